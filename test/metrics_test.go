package test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// scrape is one answer of /metrics, read by Prometheus' own parser.
type scrape map[string]*dto.MetricFamily

func (a *agent) scrape(t testing.TB) scrape {
	t.Helper()
	text, err := httpGet(t, a.URL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return parseScrape(t, text)
}

func parseScrape(t testing.TB, text string) scrape {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// sum returns the sum over the series of a family that have a label, and the time of one.
func (s scrape) sum(family, label, value string) (sum float64, at time.Time, ok bool) {
	for _, m := range s[family].GetMetric() {
		for _, l := range m.Label {
			if l.GetName() == label && l.GetValue() == value {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				at, ok = time.UnixMilli(m.GetTimestampMs()), true
			}
		}
	}
	return sum, at, ok
}

// Who asks an agent at once when it listens gets its first samples.
func TestFirstAnswers(t *testing.T) {
	paths := []string{"/containers/", "/metrics", "/api/v1.3/containers/", "/api/v2.1/stats/?recursive=true"}
	a := startAgent(t, "-docker=", "-spool-dir="+t.TempDir())
	for _, path := range paths {
		text, err := httpGet(t, a.URL+path)
		if err != nil || len(text) < 1000 {
			t.Errorf("%s: %v, %.200q", path, err, text)
		}
		if _, _, ok := a.scrape(t).sum("container_cpu_usage_seconds_total", "id", "/"); !ok {
			t.Errorf("after %s: no CPU time of the node", path)
		}
	}
	if text, err := httpGet(t, a.URL+"/healthz"); err != nil || text != "ok" {
		t.Errorf("health: %q, %v", text, err)
	}
}

// What a Prometheus gets that scraped cAdvisor before: names, labels and numbers of real
// containers, and of the node.
func TestContainerMetrics(t *testing.T) {
	e := lab.EngineFor(t)
	h := &host{Engine: e}
	busy := h.run(t, "--name", "metrics-busy", "--label", "com.docker.swarm.service.name=shop_web", "--memory", "64m", "--cpus", "0.5",
		lab.BusyboxImage, "sh", "-c", "while :; do :; done")
	h.run(t, "--name", "metrics-idle", lab.BusyboxImage, "sleep", "1000")
	a := startAgent(t, "-docker=", "-docker_root="+e.DataRoot(), "-docker_only", "-spool-dir="+t.TempDir())

	var first scrape
	waitFor(t, 10*time.Second, "both containers on /metrics", func() error {
		first = a.scrape(t)
		for _, name := range []string{"metrics-busy", "metrics-idle"} {
			if _, _, ok := first.sum("container_cpu_usage_seconds_total", "name", name); !ok {
				return fmt.Errorf("no CPU time of %s", name)
			}
		}
		return nil
	})
	f := func(family string, want float64) {
		t.Helper()
		if got, _, ok := first.sum(family, "container_label_com_docker_swarm_service_name", "shop_web"); !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", family, got, ok, want)
		}
	}
	f("container_spec_memory_limit_bytes", 64<<20)
	f("container_spec_cpu_quota", 50000)
	f("container_spec_cpu_period", 100000)
	f("container_health_state", -1)
	started, err := time.Parse(time.RFC3339Nano, docker(t, h, "inspect", "--format", "{{.State.StartedAt}}", busy))
	if err != nil {
		t.Fatal(err)
	}
	f("container_start_time_seconds", float64(started.Unix()))
	for _, family := range []string{"container_memory_working_set_bytes", "container_cpu_cfs_throttled_periods_total", "container_last_seen"} {
		if v, _, _ := first.sum(family, "name", "metrics-busy"); v <= 0 {
			t.Errorf("%s is %v", family, v)
		}
	}
	for _, family := range []string{"container_cpu_usage_seconds_total", "container_memory_rss", "container_network_receive_bytes_total", "machine_memory_bytes"} {
		label, value := "id", "/"
		if family == "machine_memory_bytes" {
			id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
			if err != nil {
				t.Fatal(err)
			}
			label, value = "boot_id", strings.TrimSpace(string(id))
		}
		if v, _, _ := first.sum(family, label, value); v <= 0 {
			t.Errorf("%s of the node is %v", family, v)
		}
	}

	// The rate is that between the times that the series carry.
	const span = 10 * time.Second
	before, from, _ := first.sum("container_cpu_usage_seconds_total", "name", "metrics-busy")
	waitFor(t, 2*span, "a later sample", func() error {
		used, at, ok := a.scrape(t).sum("container_cpu_usage_seconds_total", "name", "metrics-busy")
		if !ok || at.Sub(from) < span {
			return errNotYet
		}
		if rate := (used - before) / at.Sub(from).Seconds(); math.Abs(rate-0.5) > 0.05 {
			t.Errorf("%.3f cores of 0.5 used in %v", rate, at.Sub(from))
		}
		return nil
	})
}
