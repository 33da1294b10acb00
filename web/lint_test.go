package web

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// allowedFindings is what promtool has against cAdvisor's names, and why they stay all the same:
// whoever scraped cAdvisor has dashboards and alerts with them.
func allowedFindings() map[string]string {
	const (
		total = `non-counter metrics should not have "_total" suffix`
		count = `non-histogram and non-summary metrics should not have "_count" suffix`
	)
	return map[string]string{
		"cadvisor_version_info: label names should be written in 'snake_case' not 'camelCase'": "cAdvisor's labels",
		"container_cpu_load_d_average_10s: metric names should not contain abbreviated units":  "the _d_ is no day: it stands for uninterruptible tasks",
		"container_fs_inodes_total: " + total:                                                  "a number of inodes, which cAdvisor calls total beside free",
		`container_memory_failcnt: counter metrics should have "_total" suffix`:                "the kernel's word",
		`container_hugetlb_failcnt: counter metrics should have "_total" suffix`:               "the kernel's word",
		"container_network_advance_tcp_stats_total: " + total:                                  "some of the numbers under this name are counters, some are settings",
		"container_network_tcp_usage_total: " + total:                                          "sockets now, in all states together the total",
		"container_network_tcp6_usage_total: " + total:                                         "as container_network_tcp_usage_total",
		"container_network_udp_usage_total: " + total:                                          "as container_network_tcp_usage_total",
		"container_network_udp6_usage_total: " + total:                                         "as container_network_tcp_usage_total",
		"machine_node_hugepages_count: " + count:                                               "a number of pages",
		"machine_thread_siblings_count: " + count:                                              "a number of CPUs",
	}
}

// findings are what a linter says, each with its family.
func findings(t *testing.T, l *promlint.Linter) map[string]bool {
	t.Helper()
	problems, err := l.Lint()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, p := range problems {
		all[p.Metric+": "+p.Text] = true
	}
	return all
}

// promtool's linter has nothing against /metrics but what it has against cAdvisor's, too.
func TestLint(t *testing.T) {
	h := Handler(Options{Metrics: func() []Family { return nil }, Containers: everything(t), Log: zap.NewNop()})
	_, _, body := get(t, h, "GET", "/metrics")
	ours := findings(t, promlint.New(strings.NewReader(body)))
	if n := strings.Count(body, "\n# TYPE "); n < 70 {
		t.Errorf("only %d families are looked at", n)
	}

	text, err := os.ReadFile("../cadvisor/testdata/families.txt")
	if err != nil {
		t.Fatal(err)
	}
	var families []*dto.MetricFamily
	for line := range strings.Lines(string(text)) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		help, of := "not in the list", dto.MetricType(dto.MetricType_value[strings.ToUpper(kind)])
		families = append(families, &dto.MetricFamily{Name: &name, Help: &help, Type: &of})
	}
	theirs := findings(t, promlint.NewWithMetricFamilies(families))

	allowed := allowedFindings()
	for _, found := range slices.Sorted(maps.Keys(ours)) {
		if allowed[found] == "" {
			t.Error(found)
		}
	}
	for _, found := range slices.Sorted(maps.Keys(allowed)) {
		if !ours[found] && !theirs[found] {
			t.Errorf("neither here nor in cAdvisor: %s", found)
		}
	}
}

// everything shows all groups, of a container and the node that have each number there is.
func everything(t *testing.T) *Containers {
	t.Helper()
	groups, err := cadvisor.ParseGroups("", "")
	if err != nil {
		t.Fatal(err)
	}
	r := fleet(1)
	for i := range r.Containers {
		fill(&r.Containers[i].Sample)
	}
	return &Containers{Groups: groups, Labels: true, Version: "v1", Machine: func() *metric.Machine { return &metric.Machine{Node: r.Node} }, Latest: func(_ context.Context, to *collector.Readings) error {
		*to = r
		return nil
	}}
}

// fill gives a sample each number there is, in a row at least.
func fill(s *metric.Sample) {
	for per := metric.PerCPU; per < metric.PerNode; per++ {
		if s.Rows(per) == 0 {
			s.AddRow(per, metric.Key{Name: "x", Major: 7})
		}
	}
	for id := range metric.ID(metric.NumIDs) {
		for row := range s.Rows(id.Per()) {
			s.PutRow(id, row, 1)
		}
	}
}
