package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// series returns the value of the only series of a family that has these labels.
func (s scrape) series(family string, labels map[string]string) (v float64, ok bool) {
	for _, m := range s[family].GetMetric() {
		found := 0
		for _, l := range m.Label {
			if want, is := labels[l.GetName()]; is && want == l.GetValue() {
				found++
			}
		}
		if found == len(labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}

// pidsOf returns the processes of a container, in this machine's numbers.
func pidsOf(t testing.TB, e engine, id string) (pids []int) {
	t.Helper()
	for i, line := range strings.Split(docker(t, e, "top", id, "-o", "pid"), "\n") {
		if i == 0 {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// descriptorsOf counts what processes have open, and the sockets among it, by listing it.
func descriptorsOf(t testing.TB, pids []int) (files, sockets float64) {
	t.Helper()
	for _, pid := range pids {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			files++
			if target, _ := os.Readlink(link); strings.HasPrefix(target, "socket:") {
				sockets++
			}
		}
	}
	return files, sockets
}

// tcpStates counts the sockets in the network namespace of a process by their states, which
// are the fourth column of what the kernel prints.
func tcpStates(t testing.TB, pid int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, name := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 3 {
				counts[fields[3]]++
			}
		}
	}
	return counts
}

// The groups that are off by default, switched on: of a container that has so many
// processes, listeners and connections, and of one that is busy.
func TestGroupsOfProcessesAndSockets(t *testing.T) {
	e := lab.EngineFor(t)
	h := &host{Engine: e}
	const listeners, connections, files = 3, 2, 1234
	// Each connection has a sleep that the server runs for it, and one that holds the input of
	// its client open: with the client, three processes.
	crowd := h.run(t, "--name", "groups-crowd", "--ulimit", fmt.Sprintf("nofile=%d:4321", files), lab.BusyboxImage, "sh", "-c",
		`for p in 7001 7002 7003; do nc -ll -p $p -e sleep 1000 & done; sleep 1
		for i in 1 2; do sleep 1000 | nc 127.0.0.1 7001 & done; exec sleep 1000`)
	h.run(t, "--name", "groups-busy", lab.BusyboxImage, "sh", "-c", "while :; do :; done")
	sharer := h.run(t, "--name", "groups-sharer", "--network", "container:"+crowd, lab.BusyboxImage, "sleep", "1000")
	first := inspect(t, h, crowd).State.Pid
	const established, listen = "01", "0A" // the kernel's numbers
	waitFor(t, 20*time.Second, "the connections", func() error {
		if states := tcpStates(t, first); states[established] != 2*connections || states[listen] != listeners {
			return fmt.Errorf("%v", states)
		}
		return nil
	})
	all := []string{"-disable_metrics=", "-enable_load_reader"}
	a := startAgent(t, append(all, "-docker=", "-docker_root="+e.DataRoot(), "-docker_only", "-spool-dir="+t.TempDir())...)
	p := startPrinter(t, agentFor(t, e, append(all, "-docker=")...))
	off := startAgent(t, "-docker=", "-docker_root="+e.DataRoot(), "-docker_only", "-spool-dir="+t.TempDir())

	pids := pidsOf(t, h, crowd)
	if want := 1 + listeners + 3*connections; len(pids) != want {
		t.Fatalf("the container has %d processes, want %d", len(pids), want)
	}
	open, sockets := descriptorsOf(t, pids)
	of := func(s scrape, family string, more ...string) (v float64, ok bool) {
		labels := map[string]string{"name": "groups-crowd"}
		if len(more) > 0 {
			labels[more[0]] = more[1]
		}
		return s.series(family, labels)
	}
	var s scrape
	waitFor(t, 60*time.Second, "processes, sockets and the load", func() error {
		s = a.scrape(t)
		running, _ := s.series("container_tasks_state", map[string]string{"name": "groups-busy", "state": "running"})
		_, known := of(s, "container_network_tcp_usage_total", "tcp_state", "listen")
		if load, _ := s.series("container_cpu_load_average_10s", map[string]string{"name": "groups-busy"}); load < 900 || running != 1 || !known {
			return fmt.Errorf("%v tasks run, load %v, sockets known: %v", running, load, known)
		}
		return nil
	})
	want := func(want float64, family string, more ...string) {
		t.Helper()
		if v, ok := of(s, family, more...); !ok || v != want {
			t.Errorf("%s %q is %v (%v), want %v", family, more, v, ok, want)
		}
	}
	want(float64(len(pids)), "container_processes")
	want(float64(len(pids)), "container_threads")
	want(open, "container_file_descriptors")
	want(sockets, "container_sockets")
	want(files, "container_ulimits_soft", "ulimit", "max_open_files")
	want(float64(len(pids)), "container_tasks_state", "state", "sleeping")
	want(0, "container_tasks_state", "state", "running")
	want(0, "container_cpu_load_average_10s")
	four, _ := of(s, "container_network_tcp_usage_total", "tcp_state", "listen")
	six, _ := of(s, "container_network_tcp6_usage_total", "tcp_state", "listen")
	if four+six != listeners {
		t.Errorf("%v and %v listeners, want %d", four, six, listeners)
	}
	four, _ = of(s, "container_network_tcp_usage_total", "tcp_state", "established")
	six, _ = of(s, "container_network_tcp6_usage_total", "tcp_state", "established")
	if four+six != 2*connections {
		t.Errorf("%v and %v ends of connections, want %d", four, six, 2*connections)
	}
	want(2*connections, "container_network_advance_tcp_stats_total", "tcp_state", "currestab")
	want(-1, "container_network_advance_tcp_stats_total", "tcp_state", "maxconn")
	want(0, "container_network_udp_usage_total", "udp_state", "listen")
	if v, ok := of(s, "container_referenced_bytes"); !ok || v <= 0 {
		t.Errorf("referenced memory is %v (%v)", v, ok)
	}
	// What the scheduler counts is what the cgroup has used, but for the seconds since it was
	// asked, which are fewer and fewer of all.
	waitFor(t, time.Minute, "the scheduler's count", func() error {
		later := a.scrape(t)
		ran, _ := later.series("container_cpu_schedstat_run_seconds_total", map[string]string{"name": "groups-busy"})
		used, _, _ := later.sum("container_cpu_usage_seconds_total", "name", "groups-busy")
		if ran > used {
			t.Errorf("the scheduler counted %v s, the cgroup %v s", ran, used)
		}
		if ran < used/3 || ran <= 0 {
			return fmt.Errorf("the scheduler counted %v s, the cgroup %v s", ran, used)
		}
		return nil
	})
	// Shared sockets are counted once; the rest of a container is its own.
	if v, ok := s.series("container_network_tcp_usage_total", map[string]string{"name": "groups-sharer"}); ok {
		t.Errorf("a container that shares a network has %v sockets", v)
	}
	if v, _ := s.series("container_processes", map[string]string{"name": "groups-sharer"}); v != 1 {
		t.Errorf("%s has %v processes, want 1", sharer, v)
	}
	if v, _ := s.series("container_processes", map[string]string{"id": "/"}); v < float64(len(pids)+2) {
		t.Errorf("the node has %v processes", v)
	}
	if v, ok := s.series("container_network_tcp_usage_total", map[string]string{"id": "/", "tcp_state": "listen"}); !ok || v < 1 {
		t.Errorf("the node has %v listeners (%v)", v, ok)
	}

	// Documents have the same.
	waitFor(t, 30*time.Second, "a document with processes", func() error {
		d := p.after(t, crowd, time.Now())
		count, ok := d.number("container.processes.count")
		if !ok {
			return errNotYet
		}
		stat, _ := d.stat("processes", "process_count")
		listening4, ok4 := d.stat("network", "tcp", "Listen")
		listening6, _ := d.stat("network", "tcp6", "Listen")
		if !ok4 || listening4+listening6 == 0 {
			return errNotYet
		}
		if count != float64(len(pids)) || stat != count || listening4+listening6 != listeners {
			t.Errorf("%v and %v processes, %v and %v listeners", count, stat, listening4, listening6)
		}
		return nil
	})

	// By default there is nothing of it.
	for _, family := range []string{
		"container_processes", "container_cpu_schedstat_run_seconds_total", "container_network_tcp_usage_total",
		"container_tasks_state", "container_cpu_load_average_10s",
	} {
		if v, ok := of(off.scrape(t), family); ok {
			t.Errorf("%s is %v, although its group is off", family, v)
		}
	}
}
