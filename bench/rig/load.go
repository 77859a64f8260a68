package main

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"sort"
	"time"
)

// call is a connection of the load: it counts what comes and says when an answer is whole.
type call struct {
	conn     *conn
	answered func(ok bool)
	body     func(chunk []byte)
	head     []byte
	left     int
	ok       bool
	due      int64
}

func (l *loop) call(port int) *call {
	each := &call{left: -1}
	each.conn = l.connect(port)
	each.conn.data = func(_ *conn, chunk []byte) { each.take(chunk) }
	each.conn.closed = func(*conn) { each.answered(false) }
	return each
}

func (each *call) take(chunk []byte) {
	if each.left == -1 {
		if len(each.head) > 0 {
			each.head = append(each.head, chunk...)
			chunk = each.head
		}
		end := bytes.Index(chunk, headEnd)
		if end < 0 {
			each.head = append(each.head[:0], chunk...)
			return
		}
		first := chunk[:end+2]
		each.ok = bytes.HasPrefix(first, []byte("HTTP/1.1 200"))
		chunk = chunk[end+4:]
		if each.left = lengthOf(first); each.left == -1 {
			each.left = -2
		}
		each.head = each.head[:0]
	}
	if each.body != nil {
		each.body(chunk)
	}
	if each.left == -2 {
		if bytes.HasSuffix(chunk, lastChunk) {
			each.left = 0
		}
	} else {
		each.left -= len(chunk)
	}
	if each.left == 0 {
		each.left = -1
		each.answered(each.ok)
	}
}

func (each *call) end() {
	each.conn.closed = nil
	each.conn.close()
}

func start(l *loop, j job, done func(result)) {
	debug.FreeOSMemory()
	switch j.Kind {
	case "closed":
		flood(l, j, done)
	case "open":
		pace(l, j, done)
	case "events":
		listenTo(l, j, done)
	default:
		transfer(l, j, done)
	}
}

func requestOf(j job, method string, length int) []byte {
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: bench.example.com\r\n", method, j.Path)
	for name, value := range j.Headers {
		text += name + ": " + value + "\r\n"
	}
	if method == "POST" {
		text += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", length)
	}
	return []byte(text + "\r\n" + j.Body)
}

func flood(l *loop, j job, done func(result)) {
	request := requestOf(j, "POST", len(j.Body))
	begin := now()
	until := begin + int64(j.Ms)*1_000_000
	var r result
	open := j.Connections
	for i := 0; i < j.Connections; i++ {
		each := l.call(j.Port)
		each.answered = func(ok bool) {
			r.Done++
			if !ok {
				r.Wrong++
			}
			if !each.conn.over && (r.Done%8 != 0 || now() < until) && open == j.Connections {
				each.conn.write(request)
				return
			}
			each.end()
			if open--; open == 0 {
				r.Ms = float64(now()-begin) / 1e6
				done(r)
			}
		}
		each.conn.write(request)
	}
}

// pace sends whatever happens. A request counts from when it was due, so that a stall shows in all that it delays.
func pace(l *loop, j job, done func(result)) {
	request := requestOf(j, "POST", len(j.Body))
	total := j.Rate * j.Ms / 1000
	apart := int64(time.Second) / int64(j.Rate)
	begin := now() + apart
	var r result
	var idle, all []*call
	var waiting []int64
	latencies := make([]float64, 0, total)
	send := func(each *call, due int64) {
		each.due = due
		each.conn.write(request)
	}
	for i := 0; i < j.Connections; i++ {
		each := l.call(j.Port)
		each.answered = func(ok bool) {
			latencies = append(latencies, float64(now()-each.due)/1e6)
			if !ok {
				r.Wrong++
			}
			if len(waiting) > 0 {
				send(each, waiting[0])
				waiting = waiting[1:]
			} else if !each.conn.over {
				idle = append(idle, each)
			}
		}
		all = append(all, each)
	}
	idle = append(idle, all...)
	sent := 0
	// Looks at the clock in every round of the loop: a timer would be late by a millisecond.
	l.turns = append(l.turns, func() bool {
		at := now()
		for sent < total && at >= begin+int64(sent)*apart {
			due := begin + int64(sent)*apart
			sent++
			if len(idle) == 0 {
				waiting = append(waiting, due)
				continue
			}
			send(idle[0], due)
			idle = idle[1:]
		}
		if len(latencies) < total && at < begin+int64(j.Ms)*1_000_000+5_000_000_000 {
			return true
		}
		for _, each := range all {
			each.end()
		}
		r.Done = len(latencies)
		r.Wrong += total - len(latencies)
		r.Ms = float64(now()-begin) / 1e6
		r.P50, r.P99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
		done(r)
		return false
	})
}

func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sort.Float64s(values)
	return values[int(float64(len(values)-1)*share)]
}

func listenTo(l *loop, j job, done func(result)) {
	begin := now()
	var r result
	var latencies []float64
	open := j.Connections
	mark := []byte(`"at":`)
	for i := 0; i < j.Connections; i++ {
		each := l.call(j.Port)
		each.body = func(chunk []byte) {
			at := now()
			for next := bytes.Index(chunk, mark); next >= 0; next = bytes.Index(chunk, mark) {
				var sent int64
				chunk = chunk[next+len(mark):]
				for _, digit := range chunk {
					if digit < '0' || digit > '9' {
						break
					}
					sent = sent*10 + int64(digit-'0')
				}
				latencies = append(latencies, float64(at-sent)/1e6)
			}
		}
		each.answered = func(ok bool) {
			if !ok {
				r.Wrong++
			}
			each.end()
			if open--; open == 0 {
				r.Done = len(latencies)
				r.Ms = float64(now()-begin) / 1e6
				r.P50, r.P99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
				done(r)
			}
		}
		each.conn.write(requestOf(j, "GET", 0))
	}
}

func transfer(l *loop, j job, done func(result)) {
	begin := now()
	var r result
	open := j.Connections
	for i := 0; i < j.Connections; i++ {
		each := l.call(j.Port)
		each.answered = func(ok bool) {
			r.Done++
			if !ok {
				r.Wrong++
			}
			each.end()
			if open--; open == 0 {
				r.Ms = float64(now()-begin) / 1e6
				done(r)
			}
		}
		if j.Kind == "download" {
			each.conn.write(requestOf(j, "GET", 0))
			continue
		}
		left := j.Bytes
		send := func() {
			for left > 0 {
				size := left
				if size > len(block) {
					size = len(block)
				}
				left -= size
				if !each.conn.write(block[:size]) {
					return
				}
			}
		}
		each.conn.drained = func(*conn) { send() }
		if each.conn.write(requestOf(j, "POST", j.Bytes)) {
			send()
		}
	}
}
