package torture

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is a network between clients and one instance, which can be slow, lose everything for a
// while, and break off.
type proxy struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	latency time.Duration
	// open is closed while bytes flow.
	open  chan struct{}
	conns map[*net.TCPConn]struct{}
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, to: to, open: make(chan struct{}), conns: map[*net.TCPConn]struct{}{}}
	close(p.open)
	go p.serve()
	t.Cleanup(func() {
		listener.Close()
		p.resets()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			server, err := net.DialTimeout("tcp", p.to, 5*time.Second)
			if err != nil {
				client.Close()
				return
			}
			near, far := client.(*net.TCPConn), server.(*net.TCPConn)
			p.mu.Lock()
			p.conns[near], p.conns[far] = struct{}{}, struct{}{}
			p.mu.Unlock()
			var both sync.WaitGroup
			both.Go(func() { p.pumps(near, far) })
			both.Go(func() { p.pumps(far, near) })
			both.Wait()
			p.mu.Lock()
			delete(p.conns, near)
			delete(p.conns, far)
			p.mu.Unlock()
		}()
	}
}

// pumps copies until one side ends, and ends the other.
func (p *proxy) pumps(to, from *net.TCPConn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		open, latency := p.open, p.latency
		p.mu.Unlock()
		<-open
		time.Sleep(latency)
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

func (p *proxy) slows(latency time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = latency
}

// swallows holds everything back until flows.
func (p *proxy) swallows() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

func (p *proxy) flows() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.open)
}

// resets breaks all connections off.
func (p *proxy) resets() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.SetLinger(0)
		conn.Close()
	}
}
