package web

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// sampledAt is the time of all samples, in milliseconds.
const sampledAt = 1795617752000

// fleet returns readings of the node and n containers.
func fleet(n int) collector.Readings {
	r := collector.Readings{Node: &metric.Node{Name: "n1", CPUs: 2, MemoryBytes: 8 << 30, BootID: "b", MachineID: "m", Kernel: "6.1"}}
	add := func(c *metric.Container) *metric.Sample {
		r.Containers = append(r.Containers, collector.Reading{Container: c})
		s := &r.Containers[len(r.Containers)-1].Sample
		s.Time = sampledAt * int64(time.Millisecond)
		s.Put(metric.CPUUsage, 3_500_000_000)
		s.Put(metric.CPUUser, 1_000_000_000)
		s.Put(metric.MemoryUsage, 5<<20)
		s.Put(metric.MemoryPageFaults, 7)
		eth := s.AddRow(metric.PerInterface, metric.Key{Name: "eth0"})
		s.PutRow(metric.NetworkReceiveBytes, eth, 1<<40)
		disk := s.AddRow(metric.PerDevice, metric.Key{Name: "vda", Major: 254})
		s.PutRow(metric.DiskReadBytes, disk, 1024)
		return s
	}
	for i := range n {
		c := &metric.Container{
			Path: fmt.Sprintf("/docker/%064x", i), Runtime: "docker", ID: fmt.Sprintf("%064x", i), Name: fmt.Sprintf("shop_web.%d", i), Image: "nginx:1.27",
			Started: time.Unix(1795000000, 0), Created: time.Unix(1794000000, 0), Health: "healthy",
			Labels: []metric.Label{{Key: "com.docker.swarm.service.name", Value: "shop_web"}, {Key: "n", Value: fmt.Sprint(i)}},
		}
		s := add(c)
		s.Put(metric.CPUQuota, 50000)
		s.Put(metric.CPUPeriods, 12)
		s.Put(metric.MemoryLimit, 64<<20)
	}
	root := add(&metric.Container{Path: metric.Root})
	for cpu, used := range []uint64{1_500_000_000, 2_000_000_000, 0} {
		root.PutRow(metric.CPUUsagePerCPU, root.AddRow(metric.PerCPU, metric.Key{Name: fmt.Sprint(cpu)}), used)
	}
	for _, key := range []metric.Key{{Name: "/dev/vda1", Mountpoint: "/", Type: "ext4"}, {Name: "tmpfs", Mountpoint: "/run", Type: "tmpfs"}, {Name: "tmpfs", Mountpoint: "/tmp", Type: "tmpfs"}} {
		root.PutRow(metric.FilesystemUsed, root.AddRow(metric.PerFilesystem, key), 4096)
	}
	return r
}

// of returns what shows r, all labels and the usual groups.
func of(t testing.TB, r collector.Readings) *Containers {
	on, err := cadvisor.ParseGroups("", cadvisor.DisabledByDefault)
	if err != nil {
		t.Fatal(err)
	}
	machine := &metric.Machine{Node: r.Node}
	return &Containers{Groups: on, Labels: true, Version: "v1", Machine: func() *metric.Machine { return machine }, Latest: func(_ context.Context, to *collector.Readings) error {
		to.Node = r.Node
		to.Containers = append(to.Containers[:0], r.Containers...)
		return nil
	}}
}

// scrapeOf returns what a scrape shows, read by Prometheus' own parser.
func scrapeOf(t testing.TB, o *Containers) map[string]*dto.MetricFamily {
	t.Helper()
	h := Handler(Options{Metrics: func() []Family { return nil }, Containers: o, Log: zap.NewNop()})
	_, _, body := get(t, h, "GET", "/metrics")
	return parse(t, body)
}

// parse reads a scrape as Prometheus does.
func parse(t testing.TB, body string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	return families
}

// series returns the value of the only series of a family with these labels, and its time.
func series(t testing.TB, families map[string]*dto.MetricFamily, name string, labels ...string) (v float64, ms int64, ok bool) {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.Label {
			has[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && has[labels[i]] == labels[i+1]
		}
		if !fits {
			continue
		}
		if ok {
			t.Errorf("%s has two series with %q", name, labels)
		}
		v, ms, ok = m.GetCounter().GetValue()+m.GetGauge().GetValue(), m.GetTimestampMs(), true
	}
	return v, ms, ok
}

// With max_age what is older is taken anew, and nothing else.
func TestMetricsMaxAge(t *testing.T) {
	o := of(t, fleet(2))
	var asked []string
	o.Fresh = func(_ context.Context, path string, s *metric.Sample) error {
		asked = append(asked, path)
		s.Time = (sampledAt + 5000) * int64(time.Millisecond)
		return nil
	}
	h := Handler(Options{Metrics: func() []Family { return nil }, Containers: o, Log: zap.NewNop()})
	f := func(target string, fresh int) {
		t.Helper()
		asked = nil
		_, _, body := get(t, h, "GET", target)
		if len(asked) != fresh || strings.Contains(body, fmt.Sprint(sampledAt+5000)) != (fresh > 0) {
			t.Errorf("%s: took %v anew, want %d", target, asked, fresh)
		}
	}
	f("/metrics", 0)
	f("/metrics?max_age=0s", 3)
	f("/metrics?max_age=0s&type=docker", 2)
	f("/metrics?max_age=1000000h", 0)
}

func TestContainersOnMetrics(t *testing.T) {
	families := scrapeOf(t, of(t, fleet(3)))
	f := func(want float64, wantMs int64, name string, labels ...string) {
		t.Helper()
		v, ms, ok := series(t, families, name, labels...)
		if !ok || v != want || wantMs >= 0 && ms != wantMs {
			t.Errorf("%s%q is %v (%v) at %d, want %v at %d", name, labels, v, ok, ms, want, wantMs)
		}
	}
	absent := func(name string, labels ...string) {
		t.Helper()
		if v, _, ok := series(t, families, name, labels...); ok {
			t.Errorf("%s%q is %v, want it absent", name, labels, v)
		}
	}
	one := "/docker/" + strings.Repeat("0", 63) + "1"
	f(1, sampledAt, "container_cpu_user_seconds_total", "id", one, "name", "shop_web.1", "image", "nginx:1.27", "container_label_com_docker_swarm_service_name", "shop_web", "container_label_n", "1")
	f(3.5, sampledAt, "container_cpu_usage_seconds_total", "id", one, "cpu", "total")
	f(1.5, sampledAt, "container_cpu_usage_seconds_total", "id", "/", "cpu", "cpu00")
	f(2, sampledAt, "container_cpu_usage_seconds_total", "id", "/", "cpu", "cpu01", "name", "", "container_label_n", "")
	absent("container_cpu_usage_seconds_total", "id", "/", "cpu", "cpu02")
	absent("container_cpu_usage_seconds_total", "id", "/", "cpu", "total")
	f(12, sampledAt, "container_cpu_cfs_periods_total", "id", one)
	absent("container_cpu_cfs_periods_total", "id", "/")
	f(7, sampledAt, "container_memory_failures_total", "id", one, "failure_type", "pgfault", "scope", "hierarchy")
	f(1<<40, sampledAt, "container_network_receive_bytes_total", "id", one, "interface", "eth0")
	f(1024, sampledAt, "container_blkio_device_usage_total", "id", one, "device", "/dev/vda", "major", "254", "minor", "0", "operation", "Read")
	f(2, sampledAt, "container_fs_sector_reads_total", "id", one, "device", "/dev/vda")
	f(4096, sampledAt, "container_fs_usage_bytes", "id", "/", "device", "/dev/vda1")
	f(4096, sampledAt, "container_fs_usage_bytes", "id", "/", "device", "/run")
	f(4096, sampledAt, "container_fs_usage_bytes", "id", "/", "device", "/tmp")
	f(64<<20, 0, "container_spec_memory_limit_bytes", "id", one)
	f(8<<30, 0, "container_spec_memory_limit_bytes", "id", "/")
	f(0, 0, "container_spec_memory_swap_limit_bytes", "id", one)
	f(50000, 0, "container_spec_cpu_quota", "id", one)
	absent("container_spec_cpu_quota", "id", "/")
	f(1795000000, 0, "container_start_time_seconds", "id", one)
	f(1, sampledAt, "container_health_state", "id", one)
	f(-1, sampledAt, "container_health_state", "id", "/")
	f(2, 0, "machine_cpu_cores", "machine_id", "m", "boot_id", "b", "system_uuid", "m")
	f(8<<30, 0, "machine_memory_bytes")
	f(1, 0, "cadvisor_version_info", "cadvisorVersion", "v1", "kernelVersion", "6.1")
	f(0, 0, "container_scrape_error")
	if seen, ms, _ := series(t, families, "container_last_seen", "id", one); time.Since(time.Unix(int64(seen), 0)) > time.Minute || time.Since(time.UnixMilli(ms)) > time.Minute {
		t.Errorf("last seen %v at %d", seen, ms)
	}
	for _, unread := range []string{"container_memory_rss", "container_tasks_state"} {
		if n := len(families[unread].GetMetric()); n != 0 {
			t.Errorf("%s has %d series of a number that was not read", unread, n)
		}
	}
}

// A network that several containers share is counted once.
func TestSharedNetworkOnMetrics(t *testing.T) {
	r := fleet(2)
	r.Containers[1].NetworkOf = r.Containers[0].Container.Path
	families := scrapeOf(t, of(t, r))
	if n := len(families["container_network_receive_bytes_total"].GetMetric()); n != 2 { // one and the node
		t.Errorf("%d series of received bytes, want 2", n)
	}
}

// Whatever labels say, each series stays one line that Prometheus understands, and each
// family has series with the same labels.
func TestForeignLabelsOnMetrics(t *testing.T) {
	r := fleet(2)
	odd := *r.Containers[0].Container
	odd.Labels = []metric.Label{
		{Key: "", Value: "empty"}, {Key: "a.b", Value: "other"}, {Key: "a_b", Value: "exact"}, {Key: "ä\n\x00\xff", Value: "q\"\\\n\x00\xff"},
		{Key: strings.Repeat("k", 1000), Value: strings.Repeat("v", 1<<16)}, {Key: "x-y", Value: "first"}, {Key: "x.y", Value: "second"},
	}
	odd.Name, odd.Image = "\xff\n\"", "\\"
	r.Containers[0].Container = &odd
	families := scrapeOf(t, of(t, r))
	f := func(label, want string) {
		t.Helper()
		if _, _, ok := series(t, families, "container_memory_usage_bytes", "id", odd.Path, label, want); !ok {
			t.Errorf("no series with %s=%q", label, want)
		}
	}
	f("container_label_a_b", "exact")
	f("container_label_x_y", "first")
	f("container_label_", "empty")
	f("container_label_____", "q\"\\\n\x00\ufffd")
	f("name", "\ufffd\n\"")
	f("image", `\`)
	for name, family := range families {
		for _, m := range family.Metric {
			if n := len(m.Label); strings.HasPrefix(name, "container_memory_usage") && n != len(family.Metric[0].Label) {
				t.Errorf("%s has series with %d and %d labels", name, n, len(family.Metric[0].Label))
			}
		}
	}
}

func TestAllowedLabelsOnMetrics(t *testing.T) {
	o := of(t, fleet(1))
	o.Labels, o.AllowedLabels = false, []string{"n"}
	families := scrapeOf(t, o)
	for _, l := range families["container_memory_usage_bytes"].Metric[0].Label {
		if name := l.GetName(); strings.HasPrefix(name, "container_label_") && name != "container_label_n" {
			t.Errorf("the label %s is shown", name)
		}
	}
	if _, _, ok := series(t, families, "container_memory_usage_bytes", "container_label_n", "0"); !ok {
		t.Error("the label that is allowed isn't shown")
	}
}

// A scrape that gets nothing of the containers says so, and has the agent's own numbers.
func TestScrapeErrorOnMetrics(t *testing.T) {
	o := of(t, fleet(1))
	o.Latest = func(context.Context, *collector.Readings) error { return errors.New("hangs") }
	families := scrapeOf(t, o)
	if v, _, ok := series(t, families, "container_scrape_error"); !ok || v != 1 || len(families) != 1 {
		t.Errorf("container_scrape_error is %v (%v) among %d families", v, ok, len(families))
	}
}

func TestMetricsGzipped(t *testing.T) {
	h := Handler(Options{Metrics: func() []Family { return nil }, Containers: of(t, fleet(5)), Log: zap.NewNop()})
	f := func(accepted string, want bool) {
		t.Helper()
		request := httptest.NewRequest("GET", "/metrics", nil)
		request.Header.Set("Accept-Encoding", accepted)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != want {
			t.Fatalf("%q: gzipped %v", accepted, got)
		}
		var body io.Reader = w.Body
		if want {
			r, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = r
		}
		text, err := io.ReadAll(body)
		if err != nil || !strings.Contains(string(text), `name="shop_web.4"`) {
			t.Errorf("%q: %d bytes, %v", accepted, len(text), err)
		}
	}
	f("", false)
	f("gzip", true)
	f("deflate, gzip;q=1.0", true)
	f("gzip;q=0", false)
	f("br", false)
}

// What a scrape throws away doesn't grow with the number of series, compressed or not.
func TestScrapeAllocs(t *testing.T) {
	allocs := func(containers int, compressed bool) float64 {
		m := newMetrics(Options{Metrics: func() []Family { return nil }, Containers: of(t, tasks(containers)), Log: zap.NewNop()})
		s := m.scrapes.Get().(*scrape)
		s.to, s.compressed = io.Discard, compressed
		return testing.AllocsPerRun(20, func() {
			s.deflater.reset(io.Discard)
			m.fill(s, t.Context(), &requestOptions{idType: "name", maxAge: -1})
			s.deflater.close()
		})
	}
	for _, compressed := range []bool{false, true} {
		if few, many := allocs(10, compressed), allocs(100, compressed); many > few+2 {
			t.Errorf("compressed %v: %v allocations with 10 containers, %v with 100", compressed, few, many)
		}
	}
}

// Of the environment all is shown that the container has, whatever is said of labels, and
// beside a label with the same key; the count of restarts is a label like others.
func TestEnvironmentOnMetrics(t *testing.T) {
	r := fleet(3)
	first := *r.Containers[0].Container
	first.Env = []metric.Label{{Key: "cg.role", Value: "db"}, {Key: "n", Value: "of the environment"}}
	second := *r.Containers[1].Container
	second.Labels, second.RestartCount = append([]metric.Label{{Key: "restartcount", Value: "forged"}}, second.Labels...), 3
	third := *r.Containers[2].Container
	third.Labels = append([]metric.Label{{Key: "restartcount", Value: "its own"}}, third.Labels...)
	r.Containers[0].Container, r.Containers[1].Container, r.Containers[2].Container = &first, &second, &third

	for _, all := range []bool{true, false} {
		o := of(t, r)
		o.Labels = all
		o.AllowedLabels = []string{"restartcount"}
		families := scrapeOf(t, o)
		f := func(path string, labels ...string) {
			t.Helper()
			if _, _, ok := series(t, families, "container_memory_usage_bytes", append([]string{"id", path}, labels...)...); !ok {
				t.Errorf("all labels %v: no series of %s with %q", all, path, labels)
			}
		}
		f(first.Path, "container_env_cg_role", "db", "container_env_n", "of the environment", "container_label_restartcount", "")
		f(second.Path, "container_env_cg_role", "", "container_label_restartcount", "3")
		f(third.Path, "container_env_n", "", "container_label_restartcount", "its own")
		f("/", "container_env_cg_role", "", "container_label_restartcount", "")
		if all {
			f(first.Path, "container_label_n", "0")
		}
	}
}
