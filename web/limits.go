package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Limits of what clients may take together. Each connection costs about 20 KiB.
const (
	// maxConnections may be open; those of the next reserveConnections are answered,
	// too: /healthz as ever, all else with 503. Beyond that, reserveLocal more may come
	// from this machine, which is where an image's health check comes from.
	maxConnections     = 256
	reserveConnections = 256
	reserveLocal       = 16
	// reserveWait is how long a new connection waits for the place of another.
	reserveWait = time.Second

	// maxRequestBody bounds the body of a request.
	maxRequestBody = 1 << 20

	// maxExpensive requests that read what all containers do are answered at once; the
	// next ones wait for expensiveWait.
	maxExpensive  = 4
	expensiveWait = 5 * time.Second
	// expensiveWrite bounds the time for which a client that doesn't read takes a place.
	expensiveWrite = 10 * time.Second

	// firstWait is how long a request waits for the first samples of an agent that was just
	// started: its listener is there at once, and its first sweep at the next slot.
	firstWait = 2 * time.Second

	// maxStreams may be open.
	maxStreams = 64
	// streamWrite bounds the time that a client takes for one message of a stream.
	streamWrite = 10 * time.Second
)

// refuseForNow answers 503, to be asked again in a second.
func refuseForNow(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "503 Service Unavailable: "+why+"; ask again later", http.StatusServiceUnavailable)
}

// afterFirst has h answer when there are samples. Without them everything would be unknown,
// and a scrape would end all series; cAdvisor, which listens only after its first look, isn't
// there at all.
func (o *Options) afterFirst(h http.Handler) http.Handler {
	if o.Sampled == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-o.Sampled:
			h.ServeHTTP(w, r)
			return
		default:
		}
		timer := time.NewTimer(firstWait)
		defer timer.Stop()
		select {
		case <-o.Sampled:
			h.ServeHTTP(w, r)
		case <-timer.C:
			refuseForNow(w, "the agent was just started and has no samples yet")
		case <-r.Context().Done():
		}
	})
}

// gate lets a number of requests through at once.
type gate struct {
	places chan struct{}
	wait   time.Duration // for a place; 0 not to wait
	write  time.Duration // for the answer; 0 for the server's own limit
	why    string        // that there is none, for the client
}

// newExpensiveGate returns the gate for what reads all containers.
func newExpensiveGate() *gate {
	return &gate{make(chan struct{}, maxExpensive), expensiveWait, expensiveWrite, fmt.Sprintf("%d requests are being answered", maxExpensive)}
}

// newStreamGate returns the gate for streams of events.
func newStreamGate() *gate {
	return &gate{make(chan struct{}, maxStreams), 0, 0, fmt.Sprintf("%d streams of events are open", maxStreams)}
}

// wrap returns h, behind the gate.
func (g *gate) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter(w, r) {
			return
		}
		defer g.leave()
		h.ServeHTTP(w, r)
	})
}

// enter takes a place, or answers 503. Who has entered leaves.
func (g *gate) enter(w http.ResponseWriter, r *http.Request) bool {
	select {
	case g.places <- struct{}{}:
	default:
		if !g.waited(r.Context()) {
			w.Header().Set("Connection", "close")
			refuseForNow(w, g.why)
			return false
		}
	}
	if g.write > 0 {
		// A test's recorder has no deadlines.
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.write))
	}
	return true
}

func (g *gate) waited(ctx context.Context) bool {
	if g.wait == 0 {
		return false
	}
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case g.places <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (g *gate) leave() { <-g.places }

// stream is an answer that goes on for as long as the client wants: the server's limits of
// time are for each message instead of the whole.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// newStream lifts the server's limits of time and sends the headers that w has.
func newStream(w http.ResponseWriter) (*stream, error) {
	s := &stream{w, http.NewResponseController(w)}
	// The server goes on reading, to see the client go.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	w.WriteHeader(http.StatusOK)
	return s, s.flush()
}

// Write sends p at once. An error means that the client is gone or doesn't read.
func (s *stream) Write(p []byte) (int, error) {
	if err := s.extend(); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, s.flush()
}

func (s *stream) extend() error {
	err := s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if errors.Is(err, http.ErrNotSupported) { // a test's recorder
		return nil
	}
	return err
}

func (s *stream) flush() error {
	if err := s.extend(); err != nil {
		return err
	}
	return s.control.Flush()
}

// limitBodies refuses bodies over maxRequestBody: at once where the client says how long it is,
// else when it is read, where handlers may have a smaller limit.
func limitBodies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxRequestBody {
			w.Header().Set("Connection", "close")
			refuseBody(w)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBody)
		h.ServeHTTP(w, r)
	})
}

func refuseBody(w http.ResponseWriter) {
	http.Error(w, fmt.Sprintf("413 Content Too Large: the body of a request is %d bytes at most", maxRequestBody), http.StatusRequestEntityTooLarge)
}

// limitMethods lets GET and HEAD through, and POST below posts, where cAdvisor's clients
// send their questions in a body. cAdvisor lets everything through.
func limitMethods(posts string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowed := "GET, HEAD"
		if strings.HasPrefix(r.URL.Path, posts) {
			allowed = "GET, HEAD, POST"
		}
		switch {
		case r.Method == http.MethodGet, r.Method == http.MethodHead, r.Method == http.MethodPost && allowed != "GET, HEAD":
			h.ServeHTTP(w, r)
		default:
			w.Header().Set("Allow", allowed)
			http.Error(w, "405 Method Not Allowed: there is "+allowed, http.StatusMethodNotAllowed)
		}
	})
}

// limitHosts refuses requests for hosts that aren't allowed: a page that a browser took
// from elsewhere must not read numbers by pointing its own name at this machine (DNS
// rebinding). No hosts allow all.
func limitHosts(hosts []string, h http.Handler) http.Handler {
	if len(hosts) == 0 {
		return h
	}
	allowed := map[string]bool{}
	for _, host := range hosts {
		allowed[strings.ToLower(host)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := strings.ToLower(r.Host)
		if !allowed[host] && !allowed[hostname(host)] {
			http.Error(w, fmt.Sprintf("421 Misdirected Request: this server doesn't answer for the host %q; -allowed-hosts lists those it does", r.Host), http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// hostname returns a host without its port and without the dot at the end of a full name.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

// limitedListener counts the connections of a listener.
type limitedListener struct {
	net.Listener

	mu    sync.Mutex // guards what follows
	open  int
	freed chan struct{} // closed and made anew when a connection ends
	full  bool          // waiting for a place was in vain; none has been freed since
}

func limitConnections(l net.Listener) *limitedListener {
	return &limitedListener{Listener: l, freed: make(chan struct{})}
}

// Accept returns the next connection that there is a place for. Those without are closed.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if limited := l.place(c); limited != nil {
			return limited, nil
		}
		c.Close()
	}
}

// place gives a place to c, or returns nil.
func (l *limitedListener) place(c net.Conn) *limitedConn {
	most := maxConnections + reserveConnections
	if isLocal(c.RemoteAddr()) {
		most += reserveLocal
	}
	timer := time.NewTimer(reserveWait)
	defer timer.Stop()
	for {
		l.mu.Lock()
		if l.open < most {
			l.open++
			limited := &limitedConn{Conn: c, of: l, over: l.open > maxConnections}
			l.mu.Unlock()
			return limited
		}
		freed, full := l.freed, l.full
		l.mu.Unlock()
		if full {
			return nil
		}
		select {
		case <-freed:
		case <-timer.C:
			l.mu.Lock()
			l.full = true
			l.mu.Unlock()
		}
	}
}

func isLocal(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	of   *limitedListener
	over bool // it has a place of the reserve
	once sync.Once
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.once.Do(func() {
		c.of.mu.Lock()
		defer c.of.mu.Unlock()
		c.of.open--
		c.of.full = false
		close(c.of.freed)
		c.of.freed = make(chan struct{})
	})
	return c.Conn.Close()
}

// CloseWrite lets the server close a connection whose client is still sending, in a way that
// the client gets the answer.
func (c *limitedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// overLimit is the key of what a request's context says of its connection.
type overLimit struct{}

// markOverLimit notes in the context of a connection that it has a place of the reserve.
func markOverLimit(ctx context.Context, c net.Conn) context.Context {
	if limited, ok := c.(*limitedConn); ok && limited.over {
		return context.WithValue(ctx, overLimit{}, true)
	}
	return ctx
}

// refuseOverLimit answers 503 where the connection has a place of the reserve.
func refuseOverLimit(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(overLimit{}) != nil {
			w.Header().Set("Connection", "close")
			refuseForNow(w, fmt.Sprintf("%d connections are open", maxConnections))
			return
		}
		h.ServeHTTP(w, r)
	})
}
