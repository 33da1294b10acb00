package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/web"
)

// promtool's linter has nothing against the agent's own metrics.
func TestLint(t *testing.T) {
	cgroups, err := cgroup.Open(cgroup.Options{ProcRoot: "/proc", CgroupRoot: "/sys/fs/cgroup"})
	if err != nil {
		t.Fatal(err)
	}
	defer cgroups.Close()
	s := &state{parts: &parts{cgroups: cgroups, host: new(proc.Node)}}
	families := append(loopFamilies(collector.Stats{}), s.readFamilies()...)
	families = append(families, deliveryFamilies(shipper.Stats{Dropped: map[string]int64{"budget": 1}})...)
	families = append(append(families, runtimeFamilies()...), processFamilies()...)

	w := httptest.NewRecorder()
	web.Handler(web.Options{Metrics: func() []web.Family { return families }}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body := w.Body.String()
	if n := strings.Count(body, "# TYPE "); n != len(families) || n < 30 {
		t.Errorf("%d of %d families are looked at", n, len(families))
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
