package shipper

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// TestTemplateBlocked: a cluster that is read-only isn't taken for a missing privilege, and
// the agent goes on by itself when the block is lifted.
func TestTemplateBlocked(t *testing.T) {
	const answer = `{"error":{"type":"cluster_block_exception","reason":"blocked by: [FORBIDDEN/6/cluster read-only (api)];"},"status":403}`
	es := estest.New()
	var blocked atomic.Bool
	blocked.Store(true)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && blocked.Load() {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, answer)
			return
		}
		es.ServeHTTP(w, r)
	}))
	defer srv.Close()
	f := func(said string) {
		t.Helper()
		for _, want := range []string{"FORBIDDEN/6/cluster read-only", "PUT _cluster/settings", "cluster.blocks.read_only"} {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in %q", want, said)
			}
		}
		if strings.Contains(said, "privilege") {
			t.Errorf("it is told as a privilege: %q", said)
		}
	}
	o := testOptions(t, nil)
	o.Addresses = []string{srv.URL}
	found := testOutput(t, o, OutputTest{Write: true})
	if faults := found.faults(); len(faults) == 1 && faults[0].Remedy.Kind == 0 {
		f(faults[0].Text)
	} else {
		t.Errorf("%+v", found.Findings)
	}
	s, _ := start(t, o)
	newLoad(3).tick(s)
	eventually(t, "it is held", func() bool { return s.Stats().Held })
	f(s.Stats().Trouble)
	blocked.Store(false)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 && !s.Stats().Held })
}

// TestUnansweredIsExplained: what is in the way is told with what to do about it, and nothing is
// held for it, since it may pass by itself.
func TestUnansweredIsExplained(t *testing.T) {
	trouble := func(address string) string {
		t.Helper()
		o := testOptions(t, nil)
		o.Addresses, o.timeouts = []string{address}, timeouts{connect: time.Second, stall: time.Second, header: 200 * time.Millisecond, request: 5 * time.Second}
		s, stop := start(t, o)
		defer stop()
		newLoad(1).tick(s)
		eventually(t, "the trouble is told", func() bool { return s.Stats().Trouble != "" })
		v := s.Stats()
		if v.Held {
			t.Errorf("%s: held: %s", address, v.Trouble)
		}
		return v.Trouble
	}
	f := func(address string, wants ...string) {
		t.Helper()
		said := trouble(address)
		for _, want := range wants {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in %q", want, said)
			}
		}
	}
	answers := func(status int, body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	f(answers(http.StatusBadGateway, "<html>bad gateway</html>"), "a proxy answers instead of Elasticsearch", "HTTP status 502")
	f(answers(http.StatusTooManyRequests, `{"error":{"type":"es_rejected_execution_exception","reason":"full"},"status":429}`), "too much to do", "nothing is to be done unless it lasts")

	speaks := func(greeting string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				context.AfterFunc(t.Context(), func() { c.Close() })
				io.WriteString(c, greeting)
			}
		}()
		return "http://" + l.Addr().String()
	}
	ssh := speaks("SSH-2.0-OpenSSH_9\r\n")
	f(ssh, strings.TrimPrefix(ssh, "http://"), "doesn't speak HTTP", "check host and port")
	silent := speaks("")
	f(silent, strings.TrimPrefix(silent, "http://"), "says nothing within 200ms")
}
