package shipper

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// TestVersion: an agent that runs says that a server is too old, and not that it is something
// else; what takes documents nevertheless gets them.
func TestVersion(t *testing.T) {
	f := func(version string, product, check bool, held, remark string) {
		t.Helper()
		es := estest.New()
		es.Version(version)
		if !product {
			es.HideProduct()
		}
		o := testOptions(t, es)
		o.NoProductCheck = !check
		core, logs := observer.New(zap.WarnLevel)
		o.Log = zap.New(core)
		s, stop := start(t, o)
		defer stop()
		newLoad(3).tick(s)
		sentence := func() string {
			if v := s.Stats(); held != "" {
				return v.Trouble
			} else {
				return strings.Join(v.Remarks, "; ")
			}
		}
		eventually(t, version+" is judged", func() bool {
			v := s.Stats()
			return held != "" && v.Held || held == "" && v.Indexed == 3
		})
		if got := sentence(); got != held+remark {
			t.Errorf("%s, header %v, check %v: %q, want %q", version, product, check, got, held+remark)
		}
		time.Sleep(50 * time.Millisecond) // further probes
		want := 1
		if held+remark == "" {
			want = 0
		}
		if n := logs.Len(); n != want {
			t.Errorf("%s, header %v, check %v: said %d times: %v", version, product, check, n, logs.All())
		}
	}
	const old = `Elasticsearch %s, cluster "fake" is too old: 7.17 or newer is needed, so upgrade it`
	f("7.10.2", false, true, fmt.Sprintf(old, "7.10.2"), "")
	f("6.8.23", false, true, fmt.Sprintf(old, "6.8.23"), "")
	f("7.10.2", false, false, "", fmt.Sprintf(old, "7.10.2"))
	f("7.16.3", true, true, "", fmt.Sprintf(old, "7.16.3"))
	f("7.17.0", true, true, "", "")
	f("9.2.1", true, true, "", "")
	f("10.0.0", true, true, "", `Elasticsearch 10.0.0, cluster "fake" is newer than this agent knows: it may work, and a newer agent may be there`)
	f("8.19.7", false, true, explain("check -storage_driver_es_host; for OpenSearch, or behind a proxy that removes the header, set -es-product-check=false", errProduct.Error()), "") // a proxy in between

	// What else is in the way is told, too; and it is over when the server is upgraded.
	es := estest.New()
	es.Version("7.16.3")
	es.OnTemplate(map[string]int{http.MethodPut: 403})
	s, _ := start(t, testOptions(t, es))
	newLoad(3).tick(s)
	eventually(t, "it is held", func() bool { return s.Stats().Held })
	if got := s.Stats().Trouble; !strings.HasPrefix(got, fmt.Sprintf(old, "7.16.3")+" (") || !strings.Contains(got, "manage_index_templates") {
		t.Errorf("trouble %q", got)
	}
	es.Version("8.19.7")
	es.OnTemplate(nil)
	// The answer counts first, and then says that nothing is in the way any more.
	eventually(t, "everything is indexed", func() bool { v := s.Stats(); return v.Indexed == 3 && !v.Held })
	if v := s.Stats(); len(v.Remarks) > 0 {
		t.Errorf("%+v", v)
	}
}
