import type { Server, Socket } from 'node:net'

/** How an HTTP/2 connection begins that nobody announced (RFC 9113 section 3.3): no HTTP/1.1 method starts like it. */
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** A connection that says nothing for this long is closed, as one whose head does not arrive is. Milliseconds. */
const silenceMax = 9000

/**
 * Hands the connections of a plain server that begin as HTTP/2 to `take`; all others go to the listener that node:http
 * put there, with nothing between them and the socket from then on.
 */
export function divertHttp2(server: Server, take: (socket: Socket) => void): void {
  const http1 = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    let begun: Buffer | undefined
    const timer = setTimeout(() => socket.destroy(), silenceMax)
    const quit = () => socket.destroy()
    socket.on('error', ignore)
    socket.once('end', quit)
    socket.once('close', stop)
    socket.on('readable', look)

    function look(): void {
      const more: unknown = socket.read()
      if (!Buffer.isBuffer(more)) return
      begun = begun === undefined ? more : Buffer.concat([begun, more])
      const length = Math.min(begun.length, preface.length)
      const like = begun.subarray(0, length).equals(preface.subarray(0, length))
      if (like && length < preface.length) return
      stop()
      socket.unshift(begun)
      if (like) take(socket)
      else for (const listener of http1) Reflect.apply(listener, server, [socket])
      socket.off('error', ignore)
    }

    function stop(): void {
      clearTimeout(timer)
      socket.off('readable', look)
      socket.off('end', quit)
      socket.off('close', stop)
    }
  })
}

/** Of a connection that nobody has spoken on yet. */
function ignore(): void {}
