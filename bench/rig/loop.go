package main

import (
	"syscall"
	"time"
	"unsafe"
)

// loop is an epoll loop: what is ready, then what wants a turn, then timers.
type loop struct {
	epoll int
	ready map[int32]func()
	conns []*conn
	// Called once each round until they say false. While there are any, the loop does not sleep.
	turns  []func() bool
	timers []timer
	// While there is a job it does not sleep either: to wake this core would be work of the proxy's, and what it would be
	// asked for by a network card is less.
	working bool
	read    []byte
}

type timer struct {
	at   int64
	call func()
}

// conn is a connection: what comes goes to data, what cannot be written yet waits.
type conn struct {
	fd      int
	loop    *loop
	data    func(c *conn, chunk []byte)
	closed  func(c *conn)
	drained func(c *conn)
	pending []byte
	over    bool
}

var began = time.Now()

// now in nanoseconds.
func now() int64 { return int64(time.Since(began)) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func newLoop() *loop {
	epoll, err := syscall.EpollCreate1(0)
	check(err)
	return &loop{epoll: epoll, ready: map[int32]func(){}, conns: make([]*conn, 4096), read: make([]byte, 1<<18)}
}

func (l *loop) watch(fd int, ready func()) {
	l.ready[int32(fd)] = ready
	l.control(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN)
}

func (l *loop) control(op int, fd int, events uint32) {
	check(syscall.EpollCtl(l.epoll, op, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)}))
}

func (l *loop) listen(accept func(c *conn)) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	check(err)
	check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(syscall.Listen(fd, 4096))
	bound, err := syscall.Getsockname(fd)
	check(err)
	l.watch(fd, func() {
		for {
			client, _, err := syscall.Accept4(fd, syscall.SOCK_NONBLOCK)
			if err != nil {
				return
			}
			accept(l.adopt(client))
		}
	})
	return bound.(*syscall.SockaddrInet4).Port
}

func (l *loop) connect(port int) *conn {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	check(err)
	check(syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
	check(syscall.SetNonblock(fd, true))
	return l.adopt(fd)
}

func (l *loop) adopt(fd int) *conn {
	check(syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1))
	c := &conn{fd: fd, loop: l}
	for fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, len(l.conns))...)
	}
	l.conns[fd] = c
	l.control(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN)
	return c
}

func (l *loop) after(d time.Duration, call func()) {
	l.timers = append(l.timers, timer{now() + int64(d), call})
}

func (l *loop) run() {
	events := make([]syscall.EpollEvent, 512)
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_WAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(l.patience()), 0, 0)
		if errno != 0 {
			n = 0
		}
		for _, event := range events[:n] {
			if c := l.conns[event.Fd]; c != nil {
				c.handle(event.Events)
			} else if ready := l.ready[event.Fd]; ready != nil {
				ready()
			}
		}
		turns := l.turns
		l.turns = nil
		for _, turn := range turns {
			if turn() {
				l.turns = append(l.turns, turn)
			}
		}
		l.ring()
	}
}

// patience in milliseconds: how long there is nothing to do but to wait.
func (l *loop) patience() int {
	if len(l.turns) > 0 || l.working {
		return 0
	}
	if len(l.timers) == 0 {
		return -1
	}
	next := l.timers[0].at
	for _, each := range l.timers {
		if each.at < next {
			next = each.at
		}
	}
	left := next - now()
	if left <= 0 {
		return 0
	}
	return int((left + 999_999) / 1_000_000)
}

func (l *loop) ring() {
	if len(l.timers) == 0 {
		return
	}
	at := now()
	var due []timer
	kept := l.timers[:0]
	for _, each := range l.timers {
		if each.at <= at {
			due = append(due, each)
		} else {
			kept = append(kept, each)
		}
	}
	l.timers = kept
	for _, each := range due {
		each.call()
	}
}

func (c *conn) handle(events uint32) {
	if events&syscall.EPOLLOUT != 0 {
		c.flush()
		if len(c.pending) == 0 && !c.over {
			c.loop.control(syscall.EPOLL_CTL_MOD, c.fd, syscall.EPOLLIN)
			if c.drained != nil {
				c.drained(c)
			}
		}
	}
	if c.over || events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) == 0 {
		return
	}
	buffer := c.loop.read
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)))
	switch {
	case errno == syscall.EAGAIN:
	case errno != 0 || n == 0:
		c.close()
	case c.data != nil:
		c.data(c, buffer[:n])
	}
}

// write says whether all of it has gone; what has not goes later, and then drained is called. The bytes must not change.
func (c *conn) write(bytes []byte) bool {
	if c.over {
		return true
	}
	if len(c.pending) > 0 {
		c.pending = append(c.pending[:len(c.pending):len(c.pending)], bytes...)
		return false
	}
	c.pending = bytes
	c.flush()
	if len(c.pending) == 0 {
		return true
	}
	if !c.over {
		c.loop.control(syscall.EPOLL_CTL_MOD, c.fd, syscall.EPOLLIN|syscall.EPOLLOUT)
	}
	return false
}

func (c *conn) flush() {
	for len(c.pending) > 0 {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&c.pending[0])), uintptr(len(c.pending)), syscall.MSG_NOSIGNAL, 0, 0)
		if errno == syscall.EAGAIN {
			return
		}
		if errno != 0 {
			c.close()
			return
		}
		c.pending = c.pending[n:]
	}
}

func (c *conn) close() {
	if c.over {
		return
	}
	c.over = true
	c.loop.conns[c.fd] = nil
	syscall.Close(c.fd)
	if c.closed != nil {
		c.closed(c)
	}
}
