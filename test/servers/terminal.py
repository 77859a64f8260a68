"""A terminal for a program: its output as it comes, and what is to be done to it as lines of JSON on stdin."""
import fcntl, json, os, pty, select, signal, struct, sys, termios

width, height = int(sys.argv[1]), int(sys.argv[2])
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[3], sys.argv[3:])

def resize(wide, high):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", high, wide, 0, 0))

resize(width, height)
orders = b""
inputs = [terminal, 0]
while terminal in inputs:
    for ready in select.select(inputs, [], [])[0]:
        try:
            data = os.read(ready, 65536)
        except OSError:
            data = b""
        if not data:
            inputs.remove(ready)
            continue
        if ready == terminal:
            os.write(1, data)
            continue
        orders += data
        *lines, orders = orders.split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "send" in order:
                os.write(terminal, order["send"].encode())
            elif "resize" in order:
                resize(*order["resize"])
            else:
                os.kill(child, getattr(signal, order["signal"]))
os.write(1, b"\nended %d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
