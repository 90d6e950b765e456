// Package clamavtest runs a small clamd in the process of a test.
package clamavtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// EICAR harms nobody, and every scanner finds it. It is in two parts so that none finds this file.
const EICAR = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// Fake speaks the protocol as man clamd has it: the commands PING and INSTREAM, with the prefix z.
type Fake struct {
	// Address is what clamav.New takes. It stays the same when the daemon stops and starts.
	Address string

	t    testing.TB
	path string

	switching sync.Mutex // by who starts or stops it

	mu       sync.Mutex
	verdict  func(content []byte) string
	limit    int
	held     chan struct{} // nil if verdicts are not held
	released chan struct{}
	listener net.Listener // nil if it is stopped
	stopping chan struct{}
	conns    map[net.Conn]bool
	serving  sync.WaitGroup
}

// Daemon starts a clamd that finds EICAR, wherever it is in a content, and nothing else. It ends with the test.
func Daemon(t testing.TB) *Fake {
	t.Helper()
	dir, err := os.MkdirTemp("", "clamd") // the name of a test would be too long for a socket's
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "clamd.ctl")
	f := &Fake{Address: "unix://" + filepath.ToSlash(path), t: t, path: path, verdict: findsEICAR, limit: 100 << 20}
	t.Cleanup(func() {
		f.Stop()
		os.RemoveAll(dir)
	})
	f.Start()
	return f
}

func findsEICAR(content []byte) string {
	if bytes.Contains(content, []byte(EICAR)) {
		return "Eicar-Signature FOUND"
	}
	return "OK"
}

// Verdict sets what follows "stream: " in the replies from now on: "OK", "Some-Name FOUND", "Some reason ERROR". It is asked
// by many at once.
func (f *Fake) Verdict(verdict func(content []byte) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verdict = verdict
}

// Limit sets StreamMaxLength: how many bytes a content may have from now on.
func (f *Fake) Limit(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = bytes
}

// Hold keeps verdicts back until release is called. Each content that has come and waits for its verdict is told on held.
func (f *Fake) Hold() (held <-chan struct{}, release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting, released := make(chan struct{}, 1024), make(chan struct{})
	f.held, f.released = waiting, released
	return waiting, sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		close(released)
		if f.released == released {
			f.held, f.released = nil, nil
		}
	})
}

// Start starts it again at the same address.
func (f *Fake) Start() {
	f.t.Helper()
	f.switching.Lock()
	defer f.switching.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener != nil {
		return
	}
	listener, err := net.Listen("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.listener, f.stopping, f.conns = listener, make(chan struct{}), map[net.Conn]bool{}
	f.serving.Go(func() { f.accept(listener) })
}

// Stop ends it as a crash does: conversations break off, and nobody answers any more.
func (f *Fake) Stop() {
	f.switching.Lock()
	defer f.switching.Unlock()
	f.mu.Lock()
	if f.listener != nil {
		f.listener.Close()
		f.listener = nil
		close(f.stopping)
	}
	for conn := range f.conns {
		conn.Close()
	}
	f.mu.Unlock()
	f.serving.Wait()
}

func (f *Fake) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		if f.listener != listener {
			conn.Close()
		} else {
			f.conns[conn] = true
			stopping := f.stopping
			f.serving.Go(func() { f.serve(conn, stopping) })
		}
		f.mu.Unlock()
	}
}

func (f *Fake) serve(conn net.Conn, stopping <-chan struct{}) {
	defer func() {
		conn.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, conn)
	}()
	in := bufio.NewReader(conn)
	command, err := in.ReadString(0)
	if err != nil {
		return
	}
	reply := "UNKNOWN COMMAND"
	switch command {
	case "zPING\x00":
		reply = "PONG"
	case "zINSTREAM\x00":
		if reply = f.scan(in, stopping); reply == "" {
			return
		}
	}
	_, _ = io.WriteString(conn, reply+"\x00") // whoever does not want to hear it has gone
}

// scan takes a content and returns the reply, "" if there is none. Like the original it looks at the length that a chunk
// announces and does not wait for the rest of one that is too large.
func (f *Fake) scan(in io.Reader, stopping <-chan struct{}) (reply string) {
	f.mu.Lock()
	limit := f.limit
	f.mu.Unlock()
	var content bytes.Buffer
	for {
		var length uint32
		if binary.Read(in, binary.BigEndian, &length) != nil {
			return ""
		}
		if length == 0 {
			break
		}
		if int64(length) > int64(limit-content.Len()) {
			return "INSTREAM size limit exceeded. ERROR"
		}
		if _, err := io.CopyN(&content, in, int64(length)); err != nil {
			return ""
		}
	}
	f.mu.Lock()
	held, released := f.held, f.released
	f.mu.Unlock()
	if held != nil {
		select {
		case held <- struct{}{}:
		default:
		}
		select {
		case <-released:
		case <-stopping:
			return ""
		}
	}
	f.mu.Lock()
	verdict := f.verdict
	f.mu.Unlock()
	return "stream: " + verdict(content.Bytes())
}
