package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// operationsAddress is an address that only this machine reaches: the network and address of net.Listen, or nothing.
type operationsAddress struct{ network, address string }

// readOperationsAddress reads an address such as 127.0.0.1:6060 or unix:///run/corridor/operations.sock.
func readOperationsAddress(written string) (operationsAddress, error) {
	if written == "" {
		return operationsAddress{}, nil
	}
	if at, err := url.Parse(written); err == nil && at.Scheme == "unix" {
		if at.Host != "" || len(at.Path) < 2 || at.RawQuery != "" || at.Fragment != "" {
			return operationsAddress{}, fmt.Errorf("is %q: a socket looks like unix:///run/corridor/operations.sock", written)
		}
		return operationsAddress{"unix", at.Path}, nil
	}
	host, port, err := net.SplitHostPort(written)
	if err != nil || !isPort(port) {
		return operationsAddress{}, fmt.Errorf("is %q: it must be an address of this machine alone, such as 127.0.0.1:6060 or unix:///run/corridor/operations.sock", written)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return operationsAddress{}, fmt.Errorf("is %q, which others may reach: profiles ask nobody who they are, so name an address of this machine alone, such as 127.0.0.1:6060 or unix:///run/corridor/operations.sock, and come to it by ssh -L or kubectl port-forward", written)
	}
	return operationsAddress{"tcp", written}, nil
}

// listen listens there, if there is an address. A socket is for the user that the server runs as.
func (a operationsAddress) listen() (net.Listener, error) {
	if a.network == "" {
		return nil, nil
	}
	listener, err := net.Listen(a.network, a.address)
	if a.network == "unix" && errors.Is(err, syscall.EADDRINUSE) && abandonedSocket(a.address) {
		if err = os.Remove(a.address); err == nil {
			listener, err = net.Listen(a.network, a.address)
		}
	}
	if err == nil && a.network == "unix" {
		if err = os.Chmod(a.address, 0o600); err != nil {
			listener.Close()
		}
	}
	if err != nil {
		return nil, cannotListen(a.address, "CORRIDOR_OPERATIONS_LISTEN (--operations-listen)", err)
	}
	return listener, nil
}

// abandonedSocket tells whether a socket is left of a server that was killed: nobody answers at it.
func abandonedSocket(path string) bool {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// operations is what operators of this machine are answered, and nobody else.
type operations struct {
	*http.Server
	// end ends the profiles that are being taken: whoever takes one has what there is of it.
	end context.CancelFunc
}

func newOperations(logger *slog.Logger) *operations {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and the heap, goroutines, allocations, threads
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /debug/pprof/mutex", watched("mutex", func() { runtime.SetMutexProfileFraction(mutexSample) }, func() { runtime.SetMutexProfileFraction(0) }))
	mux.Handle("GET /debug/pprof/block", watched("block", func() { runtime.SetBlockProfileRate(blockSample) }, func() { runtime.SetBlockProfileRate(0) }))
	life, end := context.WithCancel(context.Background())
	return &operations{end: end, Server: &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return life },
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}}
}

// Shutdown ends what is being taken, and returns when the answers are out or ctx ends.
func (o *operations) Shutdown(ctx context.Context) error {
	o.end()
	return o.Server.Shutdown(ctx)
}

const (
	// One in so many waits for a mutex is looked at, and of other waiting one in so many nanoseconds.
	mutexSample, blockSample = 10, 10_000
	// usualSeconds is how long a profile takes if nobody says how long: pprof's own time for that of the CPU.
	usualSeconds = "30"
)

// watched serves a profile of what is looked at only while somebody takes it, for looking costs something.
func watched(profile string, begin, end func()) http.Handler {
	var mu sync.Mutex
	takers := 0
	change := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		switch takers += by; {
		case takers == 0:
			end()
		case takers == 1 && by > 0:
			begin()
		}
	}
	taken := pprof.Handler(profile)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked := r.URL.Query(); !asked.Has("seconds") || asked.Has("debug") {
			asked.Del("debug") // there is nothing to show of the time before
			if !asked.Has("seconds") {
				asked.Set("seconds", usualSeconds)
			}
			r.URL.RawQuery = asked.Encode()
		}
		change(1)
		defer change(-1)
		taken.ServeHTTP(w, r)
	})
}
