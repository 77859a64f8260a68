package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"time"
)

// As little HTTP as its own clients need. POST reads the body and answers 1 KiB of JSON; GET /events/N/MS sends N
// events MS apart (0: as fast as they go), each with the time it was sent; GET /bytes/N sends N bytes.

func answerOf(body string) []byte {
	return []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(body), body))
}

var (
	answer = answerOf(`{"outputs":[{"name":"score","datatype":"FP32","shape":[1],"data":[0.12]}],"pad":"` + strings.Repeat("x", 943) + `"}`)
	chat   = answerOf(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench","pad":"` + strings.Repeat("x", 720) +
		`","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"yes"}}],` +
		`"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	block     = bytes.Repeat([]byte{'x'}, 1<<18)
	headEnd   = []byte("\r\n\r\n")
	lastChunk = []byte("0\r\n\r\n")
	token     = strings.Repeat("t", 32)
)

func serveBackend(c *conn) {
	var head []byte
	// Bytes of the body still to come; -1 while a head is awaited, -2 for chunks until the last.
	left := -1
	reply := answer
	c.data = func(c *conn, chunk []byte) {
		if left == -1 {
			if len(head) > 0 {
				head = append(head, chunk...)
				chunk = head
			}
			end := bytes.Index(chunk, headEnd)
			if end < 0 {
				head = append(head[:0], chunk...)
				return
			}
			first := chunk[:end+2]
			chunk = chunk[end+4:]
			if bytes.HasPrefix(first, []byte("GET ")) {
				path := string(first[4 : 4+bytes.IndexByte(first[4:], ' ')])
				head = head[:0]
				respond(c, strings.Split(path, "/"))
				return
			}
			reply = answer
			if bytes.HasPrefix(first, []byte("POST /v1/chat")) {
				reply = chat
			}
			if left = lengthOf(first); left == -1 {
				left = -2
			}
			head = head[:0]
		}
		if left == -2 {
			if bytes.HasSuffix(chunk, lastChunk) {
				left = 0
			}
		} else {
			left -= len(chunk)
		}
		if left == 0 {
			left = -1
			c.write(reply)
		}
	}
}

// lengthOf the body that a head announces; -1 where it does not.
func lengthOf(head []byte) int {
	for _, name := range [][]byte{[]byte("\r\ncontent-length:"), []byte("\r\nContent-Length:")} {
		if at := bytes.Index(head, name); at >= 0 {
			at += len(name)
			length, err := strconv.Atoi(string(bytes.TrimSpace(head[at : at+bytes.IndexByte(head[at:], '\r')])))
			check(err)
			return length
		}
	}
	return -1
}

func respond(c *conn, path []string) {
	number := func(at int) int {
		n, err := strconv.Atoi(path[at])
		check(err)
		return n
	}
	switch path[1] {
	case "events":
		sendEvents(c, number(2), time.Duration(number(3))*time.Millisecond)
	case "bytes":
		sendBytes(c, number(2))
	default:
		c.write(answer)
	}
}

func sendEvents(c *conn, count int, apart time.Duration) {
	c.write([]byte("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"))
	event := func() bool {
		body := fmt.Sprintf("data: {\"at\":%d,\"token\":%q}\n\n", now(), token)
		count--
		return c.write([]byte(fmt.Sprintf("%x\r\n%s\r\n", len(body), body)))
	}
	if apart == 0 {
		var turn func() bool
		turn = func() bool {
			gone := event()
			if count == 0 {
				c.drained = nil
				c.write(lastChunk)
			}
			return gone && count > 0 && !c.over
		}
		c.drained = func(c *conn) {
			if count > 0 {
				c.loop.turns = append(c.loop.turns, turn)
			}
		}
		c.loop.turns = append(c.loop.turns, turn)
		return
	}
	var next func()
	next = func() {
		if c.over {
			return
		}
		event()
		if count > 0 {
			c.loop.after(apart, next)
		} else {
			c.write(lastChunk)
		}
	}
	// Streams that start together do not send together.
	c.loop.after(time.Duration(rand.Float64()*float64(apart)), next)
}

func sendBytes(c *conn, left int) {
	send := func() {
		for left > 0 {
			size := left
			if size > len(block) {
				size = len(block)
			}
			left -= size
			if !c.write(block[:size]) {
				return
			}
		}
	}
	c.drained = func(*conn) { send() }
	c.write([]byte(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n", left)))
	send()
}
