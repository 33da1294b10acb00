package bench

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// relay passes TCP connections on and counts the bytes that clients send. It is how a
// benchmark knows what a document costs on the wire without asking the agent.
type relay struct {
	listener net.Listener
	to       string
	sent     atomic.Int64
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu; nil once closed
}

// startRelay listens on a free port of the loopback for connections to address, until
// tb ends.
func startRelay(tb testing.TB, address string) *relay {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &relay{listener: l, to: address, conns: map[net.Conn]bool{}}
	r.running.Go(r.accept)
	tb.Cleanup(r.close)
	return r
}

// address returns where clients connect to.
func (r *relay) address() string { return r.listener.Addr().String() }

// bytes returns what clients have sent so far; nothing where there is no relay.
func (r *relay) bytes() int64 {
	if r == nil {
		return 0
	}
	return r.sent.Load()
}

func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	for conn := range r.conns {
		conn.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.running.Wait()
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.running.Go(func() {
			defer r.drop(client)
			server, err := net.Dial("tcp", r.to)
			if err != nil || !r.keep(client, server) {
				return
			}
			defer r.drop(server)
			r.running.Go(func() {
				io.Copy(client, server) // ends with either of them
				client.Close()
			})
			io.Copy(server, counted{client, &r.sent})
		})
	}
}

// keep notes connections to be closed with r; false if r is closed already.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		if r.conns == nil {
			conn.Close()
			continue
		}
		r.conns[conn] = true
	}
	return r.conns != nil
}

func (r *relay) drop(conn net.Conn) {
	conn.Close()
	r.mu.Lock()
	delete(r.conns, conn)
	r.mu.Unlock()
}

// counted adds what is read to n.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

func TestRelay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // answers in capitals
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 100)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			conn.Write(bytes.ToUpper(buf[:n]))
		}
	}()
	r := startRelay(t, l.Addr().String())
	conn, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	total := int64(0)
	for _, text := range []string{"a", "document"} {
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len(text))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != strings.ToUpper(text) {
			t.Fatalf("answer %q, %v", answer, err)
		}
		if total += int64(len(text)); r.bytes() != total {
			t.Errorf("counted %d bytes of %d", r.bytes(), total)
		}
	}
	r.close()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection of a closed relay: %v", err)
	}
	if (*relay)(nil).bytes() != 0 {
		t.Error("no relay counts bytes")
	}
}
