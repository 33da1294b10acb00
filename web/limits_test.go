package web

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/swarmgauge/swarmgauge/collector"
)

// serve serves h as the agent does until the test ends, and returns its address.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- Serve(ctx, l, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// exchange sends text over a new connection and returns the answer.
func exchange(t *testing.T, address, text string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%.40q: %v", text, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%.40q: %v", text, err)
	}
	return r, string(body)
}

func TestOldClients(t *testing.T) {
	address := serve(t, Handler(wholeServer(t)))
	f := func(text string, status int, want string) {
		t.Helper()
		if r, body := exchange(t, address, text); r.StatusCode != status || !strings.Contains(body, want) {
			t.Errorf("%q: got %s %.200q", text, r.Status, body)
		}
	}
	f("GET /healthz HTTP/1.0\r\n\r\n", 200, "ok")
	f("GET /metrics HTTP/1.0\r\n\r\n", 200, "container_cpu_usage_seconds_total")
	f("GET /containers/ HTTP/1.0\r\n\r\n", 200, "shop_web.1")
	f("GET /containers/%64ocker/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "shop_web.1")
	f("GET http://x/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "ok")
	f("GET /healthz HTTP/1.1\r\n\r\n", 400, "")
	f("GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 2*maxHeaderBytes)+"\r\n\r\n", 431, "")
	f("nonsense\r\n\r\n", 400, "")
	f("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\n", 405, "")
}

// echo answers with the length of the body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, len(body))
}

func TestBodies(t *testing.T) {
	server := httptest.NewServer(limitBodies(http.HandlerFunc(echo)))
	defer server.Close()
	f := func(body io.Reader, status int, want string) {
		t.Helper()
		r, err := http.Post(server.URL, "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		got, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != status || string(got) != want {
			t.Errorf("got %s %q, %v", r.Status, got, err)
		}
	}
	const refusal = "413 Content Too Large: the body of a request is 1048576 bytes at most\n"
	f(strings.NewReader(""), 200, "0")
	f(bytes.NewReader(make([]byte, maxRequestBody)), 200, "1048576")
	f(bytes.NewReader(make([]byte, maxRequestBody+1)), 413, refusal)
	f(io.LimitReader(zeros{}, maxRequestBody), 200, "1048576") // of unknown length: chunked
	f(io.LimitReader(zeros{}, 4*maxRequestBody), 500, "http: request body too large\n")
	f(bytes.NewReader(make([]byte, 64<<20)), 413, refusal)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// An agent that was just started answers when it has samples, and says so if that takes long;
// how it is, it says at once.
func TestFirstSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wholeServer(t)
		o.API = house(t)
		sampled := make(chan struct{})
		o.Sampled = sampled
		h := Handler(o)
		f := func(status int, path string) {
			t.Helper()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if w.Code != status || (w.Header().Get("Retry-After") == "1") != (status == http.StatusServiceUnavailable) {
				t.Errorf("%s: %d, %v %.200q", path, w.Code, w.Header(), w.Body)
			}
			if said := strings.Contains(w.Body.String(), "has no samples yet"); said != (status == http.StatusServiceUnavailable) {
				t.Errorf("%s: %.200q", path, w.Body)
			}
		}
		began := time.Now()
		f(200, "/healthz")
		f(200, "/healthz?details")
		f(307, "/nowhere")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited %v for what there is", waited)
		}
		numbers := []string{"/containers/", "/docker/", "/metrics", "/api/v1.3/containers/", "/api/v2.1/machine"}
		for _, path := range numbers {
			began := time.Now()
			f(503, path)
			if waited := time.Since(began); waited != firstWait {
				t.Errorf("%s waited %v", path, waited)
			}
		}
		time.AfterFunc(firstWait/2, func() { close(sampled) })
		began = time.Now()
		for _, path := range numbers {
			f(200, path)
		}
		if waited := time.Since(began); waited != firstWait/2 {
			t.Errorf("waited %v for samples", waited)
		}

		// Who goes away isn't waited for.
		o.Sampled = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		Handler(o).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/metrics", nil))
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited %v for a client that is gone", waited)
		}
	})
}

// Requests that cost much wait for one another, and not for ever.
func TestExpensiveRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var inside, most atomic.Int64
		g := newExpensiveGate()
		h := g.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), inside.Add(1)))
			<-release
			inside.Add(-1)
		}))
		codes := make(chan int, 100)
		request := func(ctx context.Context) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/metrics", nil))
			if w.Code == 503 && (w.Header().Get("Retry-After") == "" || w.Body.String() != "503 Service Unavailable: 4 requests are being answered; ask again later\n") {
				t.Errorf("%v %q", w.Header(), w.Body)
			}
			codes <- w.Code
		}
		for range maxExpensive {
			go request(t.Context())
		}
		synctest.Wait()
		began := time.Now()
		request(t.Context()) // waits in vain
		if code := <-codes; code != 503 || time.Since(began) != expensiveWait {
			t.Errorf("got %d after %v", code, time.Since(began))
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		request(gone)
		if code := <-codes; code != 503 {
			t.Errorf("got %d", code)
		}
		for range 3 {
			go request(t.Context()) // will get in
		}
		time.Sleep(expensiveWait / 2)
		close(release)
		for range maxExpensive + 3 {
			if code := <-codes; code != 200 {
				t.Errorf("got %d", code)
			}
		}
		if most.Load() != maxExpensive || len(g.places) != 0 {
			t.Errorf("%d at once, %d places taken at the end", most.Load(), len(g.places))
		}
	})
}

// ticker is a stream of events that never ends of itself.
func ticker(every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, err := newStream(w)
		if err != nil {
			return
		}
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if _, err := io.WriteString(s, "tick\n"); err != nil {
					return
				}
			case <-r.Context().Done():
				return
			}
		}
	}
}

// Of a thousand clients that want a stream, some get one, the others are told, and all the
// while the agent says how it is. When they go, their places are free again.
func TestThousandStreams(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := wholeServer(t)
	o.API = &API{Occurrences: collector.NewOccurrences(nil)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- Serve(ctx, l, Handler(o)) }()

	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	clients, leave := context.WithCancel(context.Background())
	var open, told, lost atomic.Int64
	var asking, reading sync.WaitGroup
	for range 1000 {
		asking.Add(1)
		reading.Go(func() {
			request, _ := http.NewRequestWithContext(clients, "GET", "http://"+l.Addr().String()+"/api/v1.3/events/?stream=true", nil)
			r, err := client.Do(request)
			switch {
			case err != nil:
				lost.Add(1)
				asking.Done()
				return
			case r.StatusCode == 200:
				open.Add(1)
			case r.StatusCode == 503 && r.Header.Get("Retry-After") == "1":
				told.Add(1)
			default:
				t.Errorf("got %s", r.Status)
			}
			asking.Done()
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		})
	}
	for range 10 {
		r, err := client.Get("http://" + l.Addr().String() + "/healthz")
		if err != nil {
			t.Errorf("not healthy: %v", err)
			continue
		}
		if r.StatusCode != 200 {
			t.Errorf("not healthy: %s", r.Status)
		}
		r.Body.Close()
	}
	asking.Wait()
	if open.Load() != maxStreams || told.Load() != 1000-maxStreams || lost.Load() != 0 {
		t.Errorf("%d streams, %d were told that there are too many, %d got no answer", open.Load(), told.Load(), lost.Load())
	}
	leave()
	reading.Wait()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		request, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.Addr().String()+"/api/v1.3/events/?stream=true", nil)
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the places are still taken: %s", r.Status)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A stream lives longer than the server lets other answers, and ends with the server.
func TestStreamOutlivesTheServersLimits(t *testing.T) {
	server := httptest.NewUnstartedServer(ticker(20 * time.Millisecond))
	server.Config.ReadTimeout, server.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	server.Start()
	defer server.Close()
	r, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	began := time.Now()
	for time.Since(began) < 500*time.Millisecond {
		if !lines.Scan() {
			t.Fatalf("ended after %v: %v", time.Since(began), lines.Err())
		}
	}
}

// Clients that send a byte now and then lose their connections; others are answered
// meanwhile, and the bare health check even if all connections are taken.
func TestSlowClients(t *testing.T) {
	address := serve(t, Handler(wholeServer(t)))
	slow := make([]net.Conn, 0, maxConnections+10)
	defer func() {
		for _, c := range slow {
			c.Close()
		}
	}()
	for range cap(slow) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
		if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: "); err != nil {
			t.Fatal(err)
		}
	}
	if r, body := exchange(t, address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); r.StatusCode != 200 || body != "ok" {
		t.Errorf("health: %s %q", r.Status, body)
	}
	r, body := exchange(t, address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	if r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" || body != "503 Service Unavailable: 256 connections are open; ask again later\n" || !r.Close {
		t.Errorf("metrics: %s %q %v", r.Status, body, r.Header)
	}
	// The slow ones are closed when the time for headers is over.
	began := time.Now()
	for _, c := range slow {
		c.SetReadDeadline(began.Add(3 * headerTimeout))
		if _, err := io.ReadAll(c); err != nil {
			t.Fatalf("still open after %v: %v", time.Since(began), err)
		}
	}
	if r, _ := exchange(t, address, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); r.StatusCode != 200 {
		t.Errorf("afterwards: %s", r.Status)
	}
}

// fakeListener gives connections that are no connections.
type fakeListener struct {
	conns chan net.Conn
}

func (l fakeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (fakeListener) Close() error   { return nil }
func (fakeListener) Addr() net.Addr { return nil }

type fakeConn struct {
	net.Conn
	from   string
	closed *atomic.Int64
}

func (c fakeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.from)} }
func (c fakeConn) Close() error         { c.closed.Add(1); return nil }

// Beyond the reserve a connection waits for another to end, then is closed; one from this
// machine gets a place all the same.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int64
		fake := fakeListener{make(chan net.Conn)}
		l := limitConnections(fake)
		accepted := make(chan net.Conn, 1000)
		go func() {
			defer close(accepted)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		come := func(from string) { fake.conns <- fakeConn{from: from, closed: &closed} }
		var places []*limitedConn
		for i := range maxConnections + reserveConnections {
			come("192.0.2.1")
			c := (<-accepted).(*limitedConn)
			if c.over != (i >= maxConnections) {
				t.Fatalf("connection %d: over the limit %v", i, c.over)
			}
			places = append(places, c)
		}
		began := time.Now()
		come("192.0.2.1")
		time.Sleep(reserveWait / 2)
		places[0].Close()
		places[0].Close() // twice counts once
		if c := <-accepted; time.Since(began) >= reserveWait || c == nil {
			t.Errorf("no place after %v", time.Since(began))
		}
		before := closed.Load()
		come("192.0.2.1")
		time.Sleep(reserveWait)
		synctest.Wait()
		if len(accepted) != 0 || closed.Load() != before+1 {
			t.Errorf("%d accepted, %d closed", len(accepted), closed.Load()-before)
		}
		// The next ones aren't waited for, until a place becomes free.
		began = time.Now()
		for range 100 {
			come("192.0.2.1")
		}
		come("127.0.0.1")
		if c := (<-accepted).(*limitedConn); !c.over || time.Since(began) != 0 {
			t.Errorf("from this machine: over %v after %v", c.over, time.Since(began))
		}
		for range reserveLocal - 1 {
			come("::1")
			<-accepted
		}
		come("::1")
		synctest.Wait()
		if len(accepted) != 0 || closed.Load() != before+102 {
			t.Errorf("%d accepted, %d closed", len(accepted), closed.Load()-before)
		}
		close(fake.conns)
		if _, open := <-accepted; open {
			t.Error("goes on after the listener's end")
		}
	})
}
