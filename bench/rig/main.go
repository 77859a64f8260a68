// The two ends of the benchmark in one thread: the backend that proxies lead to, and the load that comes through them.
// One epoll loop and raw system calls, since whatever this core spends is what a fast proxy has to wait for.
//
// It says its four ports in one line of JSON, then reads jobs, one a line, and answers each with a line.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
)

// job is one piece of work. Everything goes to 127.0.0.1.
type job struct {
	// closed: as many requests as go through; open: Rate a second whatever happens; events: streams of events;
	// upload, download: one body of Bytes each.
	Kind        string            `json:"kind"`
	Port        int               `json:"port"`
	Path        string            `json:"path"`
	Headers     map[string]string `json:"headers"`
	Body        string            `json:"body"`
	Connections int               `json:"connections"`
	Rate        int               `json:"rate"`
	Ms          int               `json:"ms"`
	Bytes       int               `json:"bytes"`
	// The loop sleeps whenever there is nothing to do, as an ordinary load generator's does.
	Sleep bool `json:"sleep"`
}

// result: milliseconds; Wrong counts answers that were not 200 and connections that broke.
type result struct {
	Done  int     `json:"done"`
	Wrong int     `json:"wrong"`
	Ms    float64 `json:"ms"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

func main() {
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	// The loop waits in system calls that the runtime does not know of, so nothing else would ever run: garbage is
	// little, and collected between jobs.
	debug.SetGCPercent(-1)
	l := newLoop()
	ports := make([]int, 4)
	for i := range ports {
		ports[i] = l.listen(serveBackend)
	}
	fmt.Printf("{\"ports\":[%d,%d,%d,%d]}\n", ports[0], ports[1], ports[2], ports[3])

	var line []byte
	buffer := make([]byte, 65536)
	l.watch(0, func() {
		n, err := syscall.Read(0, buffer)
		if n <= 0 || err != nil {
			os.Exit(0)
		}
		line = append(line, buffer[:n]...)
		if line[len(line)-1] != '\n' {
			return
		}
		var next job
		if err := json.Unmarshal(line, &next); err != nil {
			panic(err)
		}
		line = line[:0]
		l.working = !next.Sleep
		start(l, next, func(done result) {
			l.working = false
			text, err := json.Marshal(done)
			if err != nil {
				panic(err)
			}
			os.Stdout.Write(append(text, '\n'))
			debug.FreeOSMemory()
		})
	})
	l.run()
}
