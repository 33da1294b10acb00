package shipper

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

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
