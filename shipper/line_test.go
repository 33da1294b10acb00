package shipper

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// line is one direction of a bad network, which all connections share. The zero value is a
// good one.
type line struct {
	latency        time.Duration
	bytesPerSecond int                  // 0 for no limit
	piece          int                  // bytes that are carried at once, 0 for many
	stall          func() time.Duration // how long a piece is held up, as a lost one is

	mu   sync.Mutex // guards what follows
	free time.Time  // when the line has carried what was given to it
}

// carried takes n bytes and returns when they will have arrived.
func (l *line) carried(n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	if l.bytesPerSecond > 0 {
		l.free = l.free.Add(time.Duration(n) * time.Second / time.Duration(l.bytesPerSecond))
	}
	return l.free.Add(l.latency)
}

// carry copies from src to dst as the line does, until one of them ends; then it closes both.
// Within a connection everything stays in order, so what is behind a stalled piece waits.
func (l *line) carry(dst, src net.Conn) {
	type piece struct {
		bytes []byte
		at    time.Time
	}
	pieces := make(chan piece, 256)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(pieces)
		size := l.piece
		if size == 0 {
			size = 32 << 10
		}
		for {
			b := make([]byte, size)
			n, err := src.Read(b)
			if n > 0 {
				p := piece{b[:n], l.carried(n)}
				if l.stall != nil {
					p.at = p.at.Add(l.stall())
				}
				pieces <- p
			}
			if err != nil {
				return
			}
		}
	})
	for p := range pieces {
		time.Sleep(time.Until(p.at))
		if _, err := dst.Write(p.bytes); err != nil {
			break
		}
	}
	dst.Close()
	src.Close()
	for range pieces { // so that the reader ends
	}
	wg.Wait()
}

// join carries between two connections until both have ended.
func join(client, server net.Conn, there, back *line) {
	var wg sync.WaitGroup
	wg.Go(func() { there.carry(server, client) })
	wg.Go(func() { back.carry(client, server) })
	wg.Wait()
}

// pipes is a network in memory with one listener, for a test in fake time.
type pipes struct {
	there, back line
	incoming    chan net.Conn
	closed      chan struct{}
	relays      sync.WaitGroup
}

func newPipes() *pipes {
	return &pipes{incoming: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, ours := net.Pipe()
	theirs, server := net.Pipe()
	select {
	case p.incoming <- server:
		p.relays.Go(func() { join(ours, theirs, &p.there, &p.back) })
		return client, nil
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.incoming:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// openConns counts the connections that a server has.
type openConns struct {
	mu      sync.Mutex // guards what follows
	n, most int
}

func (o *openConns) state(_ net.Conn, s http.ConnState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch s {
	case http.StateNew:
		o.n++
		o.most = max(o.most, o.n)
	case http.StateClosed, http.StateHijacked:
		o.n--
	}
}

// serve serves h on the pipes and returns the agent's own transport over them. stop ends both.
func (p *pipes) serve(h http.Handler, conns *openConns) (_ *http.Transport, stop func()) {
	srv := &http.Server{Handler: h, ConnState: conns.state}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(p) })
	t := newTransport(nil, defaultTimeouts(), nil)
	t.DialContext = p.dial
	return t, func() {
		t.CloseIdleConnections()
		srv.Close()
		wg.Wait()
		p.relays.Wait()
	}
}

// proxy is a TCP proxy to a server on this machine, over bad lines.
func proxy(t *testing.T, server string, there, back *line) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			wg.Go(func() { join(client, backend, there, back) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}
