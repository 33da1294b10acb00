package web

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func get(t testing.TB, h http.Handler, method, target string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header(), string(body)
}

func TestHealthz(t *testing.T) {
	health := Health{Alive: true, Status: "degraded", Problems: []string{"Elasticsearch is away."}}
	h := Handler(Options{Health: func() Health { return health }})

	if code, _, body := get(t, h, "GET", "/healthz"); code != 200 || body != "ok" {
		t.Errorf("cAdvisor's answer: got %d %q", code, body)
	}
	code, header, body := get(t, h, "GET", "/healthz?details")
	var got Health
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 || got.Status != "degraded" || got.Problems[0] != health.Problems[0] {
		t.Errorf("details: got %d %q, %v", code, body, err)
	}
	if header.Get("Content-Type") != "application/json" {
		t.Errorf("details are %q", header.Get("Content-Type"))
	}

	health.Alive = false
	if code, _, body := get(t, h, "GET", "/healthz"); code != 503 || body != "Elasticsearch is away.\n" {
		t.Errorf("not alive: got %d %q", code, body)
	}
	if code, _, _ := get(t, h, "POST", "/healthz"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", code)
	}
}

// With a prefix there is nothing outside of it.
func TestPrefix(t *testing.T) {
	h := Handler(Options{
		Health:  func() Health { return Health{Alive: true} },
		Metrics: func() []Family { return nil },
		Prefix:  "/gauge", MetricsPath: "/numbers",
	})
	f := func(path string, want int) {
		t.Helper()
		if code, _, _ := get(t, h, "GET", path); code != want {
			t.Errorf("%s: got %d, want %d", path, code, want)
		}
	}
	f("/gauge/healthz", 200)
	f("/gauge/numbers", 200)
	f("/gauge/metrics", 307)
	f("/gauge", 307)
	f("/healthz", 404)
	f("/numbers", 404)
	f("/", 404)
}

func TestMetricsText(t *testing.T) {
	h := Handler(Options{Metrics: func() []Family {
		return []Family{
			{"a_total", "counter", "Help with a \\ and a\nline break.", []Point{{Value: 3}}},
			{"b", "gauge", "B.", []Point{{"x", "q\"\\\n", 0.5}, {"x", "y", 1e9}}},
		}
	}})
	_, header, body := get(t, h, "GET", "/metrics")
	want := `# HELP a_total Help with a \\ and a\nline break.
# TYPE a_total counter
a_total 3
# HELP b B.
# TYPE b gauge
b{x="q\"\\\n"} 0.5
b{x="y"} 1e+09
`
	if body != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	if got := header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" {
		t.Errorf("content type %q", got)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- Serve(ctx, l, Handler(Options{Health: func() Health { return Health{Alive: true} }}))
	}()
	response, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the server goes on after its context has ended")
	}
}
