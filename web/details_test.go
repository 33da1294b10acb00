package web

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/metric"
)

// Processes and sockets are shown where their groups are on, in cAdvisor's shapes.
func TestDetailsOnMetrics(t *testing.T) {
	r := fleet(1)
	s := &r.Containers[0].Sample
	for i, kind := range []string{"tcp", "tcp6"} {
		row := s.AddRow(metric.PerSocket, metric.Key{Name: kind})
		s.PutRow(metric.TCPListen, row, uint64(i+1))
		s.PutRow(metric.TCPSynRecv, row, 0)
	}
	s.PutRow(metric.UDPListen, s.AddRow(metric.PerSocket, metric.Key{Name: "udp"}), 5)
	s.Put(metric.TCPCounter+3, ^uint64(0)) // MaxConn is -1
	s.Put(metric.Processes, 3)
	s.Put(metric.PidsCurrent, 4)
	s.Put(metric.OpenFilesLimit, 1024)
	s.Put(metric.SchedRunTime, 1_500_000_000)
	s.Put(metric.LoadAverage, 670)
	s.Put(metric.TasksRunning, 1)
	o := of(t, r)
	var err error
	if o.Groups, err = cadvisor.ParseGroups("", ""); err != nil {
		t.Fatal(err)
	}
	all := scrapeOf(t, o)
	f := func(want float64, name string, labels ...string) {
		t.Helper()
		if v, _, ok := series(t, all, name, append(labels, "name", "shop_web.0")...); !ok || v != want {
			t.Errorf("%s %q is %v (%v), want %v", name, labels, v, ok, want)
		}
	}
	f(1, "container_network_tcp_usage_total", "tcp_state", "listen")
	f(2, "container_network_tcp6_usage_total", "tcp_state", "listen")
	f(0, "container_network_tcp6_usage_total", "tcp_state", "synrecv")
	f(5, "container_network_udp_usage_total", "udp_state", "listen")
	f(-1, "container_network_advance_tcp_stats_total", "tcp_state", "maxconn")
	f(3, "container_processes")
	f(4, "container_threads")
	f(0, "container_threads_max")
	f(1024, "container_ulimits_soft", "ulimit", "max_open_files")
	f(1.5, "container_cpu_schedstat_run_seconds_total")
	f(670, "container_cpu_load_average_10s")
	f(1, "container_tasks_state", "state", "running")
	for name, want := range map[string]int{
		"container_network_tcp_usage_total": 2, "container_network_tcp6_usage_total": 2, "container_network_udp_usage_total": 1,
		"container_network_udp6_usage_total": 0, "container_network_advance_tcp_stats_total": 1, "container_tasks_state": 1,
	} {
		if got := len(all[name].GetMetric()); got != want {
			t.Errorf("%d series of %s, want %d", got, name, want)
		}
	}
	if usual := scrapeOf(t, of(t, r)); usual["container_processes"] != nil || usual["container_cpu_load_average_10s"] == nil {
		t.Error("by default the group process is on, or cpuLoad off")
	}
}
