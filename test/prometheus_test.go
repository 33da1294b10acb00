package test

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// A Prometheus server that scrapes the agent each second for a minute, as it scraped cAdvisor
// before: without a complaint, with the rates that are known, and with an answer for each
// query of dashboards. A second server gets OpenMetrics, which it is to find the same in, and
// a third one is years younger.
func TestPrometheus(t *testing.T) {
	lab.Need(t, lab.Docker, lab.Prometheus)
	e := lab.EngineFor(t)
	a := startAgent(t, "-docker="+e.Host(), "-docker_root="+e.DataRoot(), "-docker_only", "-env_metadata_whitelist=SHOP_", "-spool-dir="+t.TempDir())

	const interval, span = time.Second, time.Minute
	p := lab.PrometheusFor(t, lab.PrometheusConfig{Interval: interval, Targets: map[string]string{"cadvisor": strings.TrimPrefix(a.URL, "http://")}})
	open := lab.PrometheusFor(t, lab.PrometheusConfig{Interval: interval, Targets: map[string]string{"cadvisor": strings.TrimPrefix(onlyOpenMetrics(t, a.URL), "http://")}})
	three := lab.PrometheusFor(t, lab.PrometheusConfig{Version: lab.Prometheus3, Interval: interval, Targets: map[string]string{"cadvisor": strings.TrimPrefix(a.URL, "http://")}})
	// What is scraped comes last: one of its containers lives for twenty seconds.
	busy := startShop(t, &host{Engine: e})
	time.Sleep(span/2 + 5*time.Second)
	// A quota of half a CPU is what it may use, and the kernel's own count what it has used.
	before, since, err := cgroupCPU(busy)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(span / 2)

	for name, server := range map[string]*lab.PrometheusServer{"text": p, "OpenMetrics": open, "Prometheus 3": three} {
		if scrapes, least := one(t, server, "count_over_time(up[1m])"), one(t, server, "min_over_time(up[1m])"); scrapes < 55 || least != 1 {
			t.Errorf("%s: %v scrapes in the last minute, up at least %v", name, scrapes, least)
		}
		own, err := server.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, counter := range []string{
			"prometheus_target_scrapes_sample_out_of_order_total", "prometheus_target_scrapes_sample_out_of_bounds_total",
			"prometheus_target_scrapes_sample_duplicate_timestamp_total", "prometheus_target_scrapes_exceeded_sample_limit_total",
			"prometheus_target_scrapes_exceeded_body_size_limit_total",
		} {
			if n, err := metricOf(own, counter); err != nil || n != 0 {
				t.Errorf("%s: %s is %v, %v", name, counter, n, err)
			}
		}
		warnings, err := server.Warnings()
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: Prometheus says %q, %v", name, warnings, err)
		}
		// The newest sample is of up to two seconds ago, and Prometheus' rate wouldn't go on to
		// the end of a range that lies further away than one scrape.
		cores := one(t, server, `sum(rate(container_cpu_usage_seconds_total{name="shop-busy"}[30s] offset 5s))`)
		after, until, err := cgroupCPU(busy)
		if err != nil {
			t.Fatal(err)
		}
		if used := (after - before).Seconds() / until.Sub(since).Seconds(); math.Abs(cores-used) > 0.02 || math.Abs(cores-0.5) > 0.02 {
			t.Errorf("%s: %.4f cores, want 0.50 ± 0.02; the kernel counts %.4f", name, cores, used)
		}
	}

	t.Run("OpenMetrics", func(t *testing.T) {
		const families = `count by (__name__) ({__name__=~"(container|machine|cadvisor)_.*"})`
		want := byLabel(t, p, families, "__name__")
		for name, server := range map[string]*lab.PrometheusServer{"OpenMetrics": open, "Prometheus 3": three} {
			if got := byLabel(t, server, families, "__name__"); len(want) < 50 || !maps.Equal(got, want) {
				t.Errorf("%s: series of families: %v, in the text format %v", name, got, want)
			}
		}
	})
	t.Run("Lint", func(t *testing.T) { lintAgent(t, a) })
	for _, panel := range panels() {
		t.Run(panel.query, func(t *testing.T) { panel.check(t, p) })
		t.Run("Prometheus 3 "+panel.query, func(t *testing.T) { panel.check(t, three) })
	}
}

// startShop starts the containers that the dashboards' queries find: one that uses half a CPU,
// one that serves and one that asks it, and both of them what a Swarm and Compose put on
// containers; and one that is going to want more memory than it may have, and then ends.
// It returns the cgroup in which the first is alone.
func startShop(t *testing.T, h *host) string {
	t.Helper()
	parent, option := "swarmgaugeshop"+strconv.Itoa(os.Getpid()), "/"
	if docker(t, h, "info", "--format", "{{.CgroupDriver}}") == "systemd" {
		parent, option = parent+".slice", ""
	}
	t.Cleanup(func() { removeCgroups(t, parent) })
	// Whatever else this machine does, the quota is what limits it.
	h.run(t, "--name", "shop-busy", "--cgroup-parent", option+parent, "--cpus", "0.5", lab.BusyboxImage, "sh", "-c", "while :; do :; done")
	preferCgroup(t, parent)
	web := h.run(t, "--name", "shop-web", "--memory", "64m", "--memory-reservation", "32m", "--memory-swap", "96m", "--cpus", "1.5",
		"--env", "SHOP_TIER=front", "--env", "PASSWORD=secret",
		"--label", "com.docker.stack.namespace=shop", "--label", "com.docker.swarm.service.name=shop_web",
		"--label", "com.docker.swarm.service.id=s1", "--label", "com.docker.swarm.task.name=shop_web.1.t1",
		"--label", "com.docker.swarm.task.id=t1", "--label", "com.docker.swarm.node.id=n1",
		"--health-cmd", "true", "--health-interval", "1s",
		lab.BusyboxImage, "sh", "-c", "dd if=/dev/zero of=/tmp/f bs=100k count=1; exec httpd -f -h /tmp")
	addr := docker(t, h, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", web)
	h.run(t, "--name", "shop-client", "--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=client",
		lab.BusyboxImage, "sh", "-c", "while :; do wget -q -O /dev/null http://"+addr+"/f; dd if=/dev/zero of=/tmp/f bs=64k count=4 conv=fsync; sleep 1; done")
	h.run(t, "--name", "shop-hungry", "--memory", "16m", "--memory-swap", "16m", lab.BusyboxImage, "sh", "-c", "sleep 20; exec dd if=/dev/zero of=/dev/null bs=64M count=1")
	return "/" + parent
}

// onlyOpenMetrics returns the address of a relay to the agent that asks for OpenMetrics, which
// no Prometheus does without taking text as well.
func onlyOpenMetrics(t *testing.T, agent string) string {
	t.Helper()
	to, err := url.Parse(agent)
	if err != nil {
		t.Fatal(err)
	}
	relay := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
		},
		ModifyResponse: func(r *http.Response) error {
			if got := r.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
				return fmt.Errorf("the agent answers %s", got)
			}
			return nil
		},
	})
	t.Cleanup(relay.Close)
	return relay.URL
}

// lintAgent holds the agent's own metrics against promtool's linter. What it has against
// cAdvisor's is a list in package web.
func lintAgent(t *testing.T, a *agent) {
	text, err := httpGet(t, a.URL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Metric, "container_") && !strings.HasPrefix(p.Metric, "machine_") && !strings.HasPrefix(p.Metric, "cadvisor_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// one returns the only value of a query.
func one(t *testing.T, p *lab.PrometheusServer, query string) float64 {
	t.Helper()
	samples, err := p.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) != 1 {
		t.Fatalf("%s has %d values", query, len(samples))
	}
	return samples[0].Value
}

// byLabel returns the values of a query by one of their labels.
func byLabel(t *testing.T, p *lab.PrometheusServer, query, label string) map[string]float64 {
	t.Helper()
	samples, err := p.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, s := range samples {
		values[s.Labels[label]] = s.Value
	}
	return values
}

// panel is a query as dashboards for cAdvisor have it.
type panel struct {
	query string
	// least and most bound each value.
	least, most float64
	// by is a label, and has values of it that have to be among the results.
	by  string
	has []string
}

func (q *panel) check(t *testing.T, p *lab.PrometheusServer) {
	samples, err := p.Query(t.Context(), strings.ReplaceAll(q.query, "$interval", "30s"))
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) == 0 {
		t.Error("no data")
	}
	var found []string
	for _, s := range samples {
		if !(s.Value >= q.least && s.Value <= q.most) { // so not for NaN
			t.Errorf("%v is %v, want %v … %v", s.Labels, s.Value, q.least, q.most)
		}
		found = append(found, s.Labels[q.by])
		t.Logf("%s %v", s.Labels[q.by], s.Value)
	}
	for _, value := range q.has {
		if !slices.Contains(found, value) {
			t.Errorf("nothing of %s %q, but of %q", q.by, value, found)
		}
	}
}

// panels are the distinct queries and filters of public dashboards for cAdvisor (Grafana's 179,
// 193, 395, 609, 893, 10619, 11600, 13946, 14282 and of Swarmprom), and of alerts that go with
// them, the dashboards' variables filled in.
func panels() []panel {
	const (
		mib    = 1 << 20
		memory = 1 << 50 // more than there is
		disk   = 1 << 60
		many   = math.MaxFloat64
	)
	shop := []string{"shop-busy", "shop-web", "shop-client"}
	now := float64(time.Now().Unix())
	return []panel{
		// How many there are. One that has ended is among them for five minutes, as with cAdvisor:
		// what has times of its own gets no mark of its end in Prometheus.
		{"count(container_last_seen{image!=\"\"})", 4, 4, "", nil},
		{"count(rate(container_last_seen{name!=\"\"}[$interval]))", 3, 3, "", nil},
		{"count(rate(container_last_seen{id=~\"/docker/.*\",name=~\".+\"}[$interval]))", 2, 3, "", nil},
		{"count(container_memory_usage_bytes{name=~\".+\"})", 4, 4, "", nil},
		{"scalar(count(container_memory_usage_bytes{image!=\"\"}) > 0)", 4, 4, "", nil},
		{"time() - container_last_seen{name=~\"shop-.*\"}", 0, 90, "name", shop},
		{"(time() - container_start_time_seconds{name!=\"\"})", 30, 3600, "name", shop},
		{"changes(container_start_time_seconds{name=~\".+\"}[5m])", 0, 0, "name", shop},
		{"container_start_time_seconds{name=~\".+\"}", now - 3600, now, "name", shop},

		// CPU.
		{"sum(rate(container_cpu_usage_seconds_total{name=~\".+\"}[$interval])) by (name) * 100", 0, 160, "name", shop},
		// Half a CPU as above, of a range that may end up to two seconds after the newest sample.
		{"sum(rate(container_cpu_usage_seconds_total{name=\"shop-busy\"}[$interval])) by (name) * 100", 48 * 28. / 30, 52, "name", shop[:1]},
		{"sum(irate(container_cpu_usage_seconds_total{image!=\"\",id=~\"/.+\"}[5m])) by (name)", 0, 1.6, "name", shop},
		{"sum by (name) (rate(container_cpu_user_seconds_total{image!=\"\"}[$interval]) * 100)", 0, 160, "name", shop},
		{"sum by (name) (rate(container_cpu_system_seconds_total{image!=\"\"}[$interval]) * 100)", 0, 160, "name", shop},
		{"topk(2, sum by (name) (rate(container_cpu_usage_seconds_total{name=~\".+\"}[$interval])))", 0, 1.6, "name", shop[:1]},
		{"sum(rate(container_cpu_usage_seconds_total{id=\"/\"}[$interval])) / sum(machine_cpu_cores) * 100", 1, 101, "", nil},
		{"sum by (cpu) (rate(container_cpu_usage_seconds_total{id=\"/\"}[$interval]))", 0, 1.02, "cpu", []string{"cpu00"}},
		{"sum(rate(container_cpu_usage_seconds_total{container_label_com_docker_compose_service=~\".+\"}[$interval])) by (container_label_com_docker_compose_service) * 100", 0, 100, "container_label_com_docker_compose_service", []string{"client"}},
		{"sum by (name) (rate(container_cpu_cfs_throttled_periods_total{name=~\".+\"}[$interval])) / sum by (name) (rate(container_cpu_cfs_periods_total{name=~\".+\"}[$interval])) > 0", 0.5, 1.01, "name", shop[:1]},
		{"rate(container_cpu_cfs_throttled_seconds_total{name=\"shop-busy\"}[$interval])", 0.01, 1.5, "", nil},
		{"sum by (name) (rate(container_cpu_usage_seconds_total{name=\"shop-busy\"}[$interval])) / sum by (name) (container_spec_cpu_quota{name=\"shop-busy\"} / container_spec_cpu_period{name=\"shop-busy\"})", 0.96, 1.04, "name", shop[:1]},
		{"container_spec_cpu_shares{name!=\"\"}", 2, 1 << 18, "name", shop},
		{"machine_cpu_cores", 1, 4096, "", nil},

		// Memory.
		{"sum(container_memory_rss{name=~\".+\"}) by (name)", 1, memory, "name", shop},
		{"sum(container_memory_usage_bytes{name=\"shop-web\"}) by (name)", 4096, 64 * mib, "name", shop[1:2]},
		{"container_memory_cache{name=~\".+\"}", 0, memory, "name", shop},
		{"container_memory_swap{name=~\".+\"}", 0, memory, "", nil},
		{"container_memory_max_usage_bytes{name=~\".+\"}", 4096, memory, "name", shop},
		{"container_memory_working_set_bytes{name=\"shop-web\"} / container_spec_memory_limit_bytes{name=\"shop-web\"} * 100", 0.01, 100, "", nil},
		{"(container_memory_usage_bytes{name=~\".+\"} / container_spec_memory_limit_bytes{name=~\".+\"} * 100) < +Inf", 0.001, 100, "name", shop[1:2]},
		{"container_spec_memory_limit_bytes{name=\"shop-web\"}", 64 * mib, 64 * mib, "", nil},
		{"container_spec_memory_reservation_limit_bytes{name=\"shop-web\"}", 32 * mib, 32 * mib, "", nil},
		{"container_spec_memory_swap_limit_bytes{name=\"shop-web\"}", 96 * mib, 96 * mib, "", nil},
		{"sum(container_memory_working_set_bytes{id=\"/\"}) / sum(machine_memory_bytes) * 100", 0.1, 100, "", nil},
		{"sum(container_memory_usage_bytes{image!=\"\"}) / sum(machine_memory_bytes) * 100", 0.0001, 100, "", nil},
		{"sum(container_spec_memory_limit_bytes{id=\"/\"}) / sum(machine_memory_bytes)", 1, 1, "", nil},
		{"sum by (name) (rate(container_memory_failures_total{failure_type=\"pgfault\",scope=\"container\",name=~\".+\"}[$interval]))", 0, many, "name", shop},
		{"container_memory_failcnt{name=~\".+\"}", 0, many, "", nil},
		{"sum by (name) (increase(container_oom_events_total{name=~\".+\"}[5m])) > 0", 0.9, 3, "name", []string{"shop-hungry"}},
		{"container_oom_events_total{name!~\"|shop-hungry\"}", 0, 0, "name", shop},

		// Network.
		{"sum(rate(container_network_receive_bytes_total{name=~\".+\"}[$interval])) by (name)", 0, many, "name", shop},
		{"sum(rate(container_network_receive_bytes_total{name=\"shop-client\"}[$interval])) by (name)", 10 << 10, 110 << 10, "name", shop[2:]},
		{"sum(rate(container_network_transmit_bytes_total{name=\"shop-web\"}[$interval])) by (name)", 10 << 10, 110 << 10, "name", shop[1:2]},
		{"sum(rate(container_network_receive_bytes_total{id=\"/\"}[$interval])) by (id)", 0, many, "id", []string{"/"}},
		{"- sum(rate(container_network_transmit_bytes_total{id=\"/\"}[$interval])) by (id)", -many, 0, "id", []string{"/"}},
		{"sum by (name, interface) (rate(container_network_receive_packets_total{name=\"shop-web\",interface=~\"eth.*\"}[$interval]))", 1, many, "interface", []string{"eth0"}},
		{"sum(rate(container_network_receive_errors_total{name=~\".+\"}[$interval])) + sum(rate(container_network_transmit_packets_dropped_total{name=~\".+\"}[$interval]))", 0, many, "", nil},

		// Disks.
		{"sum(container_fs_limit_bytes{id=\"/\"})", mib, disk, "", nil},
		{"sum(container_fs_usage_bytes{id=\"/\"}) / sum(container_fs_limit_bytes{id=\"/\"}) * 100", 0.001, 100, "", nil},
		{"sum(container_fs_limit_bytes{device=~\"^/dev/.*$\",id=\"/\"}) - sum(container_fs_usage_bytes{device=~\"^/dev/.*$\",id=\"/\"})", 0, disk, "", nil},
		{"container_fs_inodes_free{id=\"/\"} / container_fs_inodes_total{id=\"/\"} * 100 > 0", 0, 100, "", nil},
		{"sum(rate(container_fs_writes_bytes_total{id=\"/\"}[$interval])) by (device)", 0, many, "", nil},
		{"sum(rate(container_fs_reads_total[$interval])) + sum(rate(container_fs_writes_total[$interval]))", 0, many, "", nil},
		{"sum by (device) (rate(container_fs_io_time_seconds_total{id=\"/\"}[$interval]))", 0, 1.1, "", nil},

		// A Swarm's labels, and what else tells containers apart.
		{"count(container_last_seen{container_label_com_docker_swarm_node_id=~\"n1\"})", 1, 1, "", nil},
		{"sum(irate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_node_id=~\".+\"}[1m])) by (container_label_com_docker_stack_namespace) * 100", 0, 160, "container_label_com_docker_stack_namespace", []string{"shop"}},
		{"sum(container_memory_usage_bytes{container_label_com_docker_swarm_service_name!=\"\"}) by (container_label_com_docker_swarm_service_name)", 4096, 64 * mib, "container_label_com_docker_swarm_service_name", []string{"shop_web"}},
		{"topk(10, avg_over_time(container_memory_usage_bytes{container_label_com_docker_swarm_node_id=~\"n1\"}[1m]) / 1000 / 1000)", 0.004, 70, "container_label_com_docker_swarm_task_name", []string{"shop_web.1.t1"}},
		{"count(count(container_last_seen{container_label_com_docker_swarm_service_name=~\".+\"}) by (container_label_com_docker_swarm_service_name))", 1, 1, "", nil},
		{"sum by (container_label_com_docker_compose_project) (container_memory_working_set_bytes{container_label_com_docker_compose_project!=\"\"})", 4096, memory, "container_label_com_docker_compose_project", []string{"shop"}},
		{"sum by (container_env_shop_tier) (container_memory_rss{container_env_shop_tier!=\"\"})", 1, 64 * mib, "container_env_shop_tier", []string{"front"}},
		{"time() - container_last_seen{name=~\"shop-.*\"} < 5", 0, 5, "name", shop},
		{"time() - container_last_seen{name=~\".+\"} > 30", 30, 90, "name", []string{"shop-hungry"}},
		{"container_health_state{name=\"shop-web\"}", 1, 1, "", nil},
		{"count({container_env_password!=\"\"}) or vector(0)", 0, 0, "", nil},
		{"count by (cadvisorVersion, kernelVersion) (cadvisor_version_info)", 1, 1, "cadvisorVersion", []string{"v0.0.0-test"}},
	}
}
