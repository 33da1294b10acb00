package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"github.com/prometheus/procfs"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// host is an engine on this machine with two agents beside it: one that knows its
// containers from its files alone, and one that has its socket as well.
type host struct {
	*lab.Engine
	files, socket *printer
}

// agentFor returns an agent that measures an engine of this machine and prints documents
// every second.
func agentFor(t testing.TB, e *lab.Engine, options ...string) *exec.Cmd {
	return exec.Command(buildAgent(t), append([]string{
		"-listen_ip=127.0.0.1", "-port=0", "-storage_driver=stdout", "-ship-interval=1s",
		"-docker_only", "-docker_root=" + e.DataRoot(), "-node-name=host-under-test",
	}, options...)...)
}

// What an agent says about the containers of this machine's engine, whatever the
// hierarchy of its cgroups is.
func TestHost(t *testing.T) {
	e := lab.EngineFor(t)
	h := &host{
		Engine: e,
		files:  startPrinter(t, agentFor(t, e, "-docker=")),
		socket: startPrinter(t, agentFor(t, e, "-docker="+e.Host())),
	}
	t.Run("CPU", func(t *testing.T) { t.Parallel(); h.testCPU(t) })
	t.Run("Memory", func(t *testing.T) { t.Parallel(); h.testMemory(t) })
	t.Run("Network", func(t *testing.T) { t.Parallel(); h.testNetwork(t) })
	t.Run("Oracle", func(t *testing.T) { t.Parallel(); h.testOracle(t) })
	t.Run("FlowsAddUp", func(t *testing.T) { t.Parallel(); h.testFlowsAddUp(t) })
	t.Run("Identity", func(t *testing.T) { t.Parallel(); h.testIdentity(t) })
	t.Run("Events", func(t *testing.T) { t.Parallel(); h.testEvents(t) })
	t.Run("Rename", func(t *testing.T) { t.Parallel(); h.testRename(t) })
	t.Run("Labels", func(t *testing.T) { t.Parallel(); h.testLabels(t) })
	t.Run("Collect", func(t *testing.T) { t.Parallel(); h.testCollect(t) })
}

// run runs a container of busybox and returns its id; it goes with the test.
func (h *host) run(t testing.TB, args ...string) string {
	t.Helper()
	id := docker(t, h, append([]string{"run", "--detach"}, args...)...)
	t.Cleanup(func() {
		if _, err := h.Docker(context.Background(), "container", "rm", "--force", id); err != nil {
			t.Error(err)
		}
	})
	return id
}

// A container that wants a whole CPU and may have half of one gets half of one.
func (h *host) testCPU(t *testing.T) {
	// Whatever else this machine does, the quota is what limits the container: its
	// parent has the highest weight that there is.
	parent, option := "swarmgaugetest"+strconv.Itoa(os.Getpid()), "/"
	if docker(t, h, "info", "--format", "{{.CgroupDriver}}") == "systemd" {
		parent, option = parent+".slice", ""
	}
	t.Cleanup(func() { removeCgroups(t, parent) })
	id := h.run(t, "--cgroup-parent", option+parent, "--cpus", "0.5", lab.BusyboxImage, "sh", "-c", "while :; do :; done")
	preferCgroup(t, parent)

	began := h.files.after(t, id, time.Now()).time()
	const span = 20 // seconds
	var seconds float64
	var windows []document
	waitFor(t, (span+20)*time.Second, "20 s of measurements", func() error {
		windows = slices.DeleteFunc(h.files.container(id), func(d document) bool { return !d.time().After(began) })
		if seconds = sum(windows, "sample.interval_seconds"); seconds < span {
			return fmt.Errorf("%.1f s so far", seconds)
		}
		return nil
	})
	if cores := sum(windows, "container.cpu.core_seconds") / seconds; math.Abs(cores-0.5) > 0.02 {
		t.Errorf("%.4f cores over %.1f s, want 0.50 ± 0.02", cores, seconds)
	}
	if periods := sum(windows, "container.cpu.throttled_periods"); periods == 0 {
		t.Error("no throttled periods")
	}
	if held := sum(windows, "container.cpu.throttled_seconds"); held == 0 {
		t.Error("no throttled time")
	}
	last := windows[len(windows)-1]
	if limit, _ := last.number("container.cpu.limit_cores"); limit != 0.5 {
		t.Errorf("limit %v cores, want 0.5", limit)
	}
	if used, _ := last.number("container.cpu.limit_usage"); math.Abs(used-1) > 0.15 {
		t.Errorf("%v of the limit used in the last second, want 1 ± 0.15", used)
	}
}

// cgroupDirs returns the directories that a cgroup has in all hierarchies.
func cgroupDirs(path string) (dirs []string) {
	for _, pattern := range [...]string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, _ := filepath.Glob(filepath.Join(pattern, path)) // the pattern is well-formed
		dirs = append(dirs, found...)
	}
	return dirs
}

// preferCgroup gives a cgroup the highest CPU weight.
func preferCgroup(t testing.TB, path string) {
	t.Helper()
	for _, dir := range cgroupDirs(path) {
		for file, most := range map[string]string{"cpu.shares": "262144", "cpu.weight": "10000"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(most), 0); err == nil {
				return
			}
		}
	}
	t.Fatalf("the cgroup %s has no CPU weight", path)
}

func removeCgroups(t testing.TB, path string) {
	for _, dir := range cgroupDirs(path) {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	}
}

// 64 MiB of anonymous memory more are 64 MiB more.
func (h *host) testMemory(t *testing.T) {
	const mib = 1 << 20
	id := h.run(t, "--memory", "128m", lab.BusyboxImage, "sleep", "1000")
	// The kernel sums up every two seconds, and what started the container was in it.
	base, _ := h.files.after(t, id, time.Now().Add(3*time.Second)).number("container.memory.rss_bytes")
	// dd reads a block as a whole, and then waits for a reader of the pipe.
	docker(t, h, "exec", "--detach", id, "sh", "-c", "dd if=/dev/zero bs=64M count=1 | sleep 1000")
	var held document
	waitFor(t, 20*time.Second, "64 MiB", func() error {
		held = h.files.after(t, id, time.Now())
		if rss, _ := held.number("container.memory.rss_bytes"); rss < base+63*mib {
			return fmt.Errorf("%.2f MiB", rss/mib)
		}
		return nil
	})
	held = h.files.after(t, id, time.Now().Add(3*time.Second))
	rss, _ := held.number("container.memory.rss_bytes")
	if math.Abs(rss-base-64*mib) > mib {
		t.Errorf("%.3f MiB more than %.3f MiB, want 64 ± 1", (rss-base)/mib, base/mib)
	}
	if usage, _ := held.number("container.memory.usage_bytes"); usage < rss {
		t.Errorf("usage %v is less than its anonymous part %v", usage, rss)
	}
	working, _ := held.number("container.memory.working_set_bytes")
	if limit, _ := held.number("container.memory.limit_bytes"); limit != 128*mib {
		t.Errorf("limit %v, want 128 MiB", limit)
	}
	if used, _ := held.number("container.memory.limit_usage"); math.Abs(used-working/(128*mib)) > 0.001 {
		t.Errorf("%v of the limit, want %v", used, working/(128*mib))
	}
}

// A known number of bytes is received once: by the container whose network it is, and not
// by the one that shares it.
func (h *host) testNetwork(t *testing.T) {
	const payload = 8 << 20
	sender := h.run(t, lab.BusyboxImage, "sh", "-c", fmt.Sprintf("dd if=/dev/zero of=/tmp/payload bs=1M count=%d; exec httpd -f -h /tmp", payload>>20))
	receiver := h.run(t, lab.BusyboxImage, "sleep", "1000")
	h.files.after(t, receiver, time.Now())
	sharer := h.run(t, "--network", "container:"+receiver, lab.BusyboxImage, "sleep", "1000")
	h.files.after(t, sharer, time.Now())

	addr := docker(t, h, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", sender)
	waitFor(t, 10*time.Second, "the sender", func() error {
		_, err := h.Docker(t.Context(), "exec", sender, "wget", "-q", "--spider", "http://"+addr+"/payload")
		return err
	})
	docker(t, h, "exec", receiver, "wget", "-q", "-O", "/dev/null", "http://"+addr+"/payload")

	pid := inspect(t, h, receiver).State.Pid
	var last document
	var counters procfs.NetDevLine
	waitFor(t, 20*time.Second, "a quiet network around a sample", func() error {
		before := netDev(t, pid)
		last = h.files.after(t, receiver, time.Now())
		if counters = netDev(t, pid); counters != before {
			return errNotYet
		}
		return nil
	})
	windows := slices.DeleteFunc(h.files.container(receiver), func(d document) bool { return d.time().After(last.time()) })
	for _, c := range []struct {
		field, total string
		want         uint64
	}{
		{"container.network.ingress.bytes", "rx_bytes", counters.RxBytes},
		{"container.network.ingress.packets", "rx_packets", counters.RxPackets},
		{"container.network.ingress.dropped", "rx_dropped", counters.RxDropped},
		{"container.network.egress.bytes", "tx_bytes", counters.TxBytes},
		{"container.network.egress.packets", "tx_packets", counters.TxPackets},
	} {
		if got := sum(windows, c.field); got != float64(c.want) {
			t.Errorf("the windows' %s make %v together, the kernel says %d", c.field, got, c.want)
		}
		if got, _ := last.stat("network", c.total); got != float64(c.want) {
			t.Errorf("container_stats.network.%s is %v, the kernel says %d", c.total, got, c.want)
		}
	}
	if got := sum(windows, "container.network.ingress.bytes"); got < payload || got > 1.06*payload {
		t.Errorf("%.0f bytes received, want %d and at most 6 %% more", got, payload)
	}
	for _, d := range h.files.container(sharer) {
		if fields := d.fieldsBelow("container.network."); len(fields) > 0 {
			t.Fatalf("a container that shares the network of another one has %q", fields)
		}
		if _, ok := d.stat("network", "rx_bytes"); ok {
			t.Fatal("a container that shares the network of another one has container_stats.network")
		}
	}
}

// netDev reads the only interface that a process has beside the loopback.
func netDev(t testing.TB, pid int) procfs.NetDevLine {
	t.Helper()
	p, err := procfs.NewProc(pid)
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.NetDev()
	if err != nil {
		t.Fatal(err)
	}
	delete(all, "lo")
	if len(all) != 1 {
		t.Fatalf("interfaces of process %d: %v", pid, all)
	}
	for _, line := range all {
		return line
	}
	panic("unreachable")
}

// The numbers are those that other code finds in the same files of the kernel, before and
// after the sample: equal, or between the two.
func (h *host) testOracle(t *testing.T) {
	id := h.run(t, "--memory", "64m", "--memory-reservation", "32m", "--cpus", "0.2", "--cpu-shares", "512", "--pids-limit", "50",
		lab.BusyboxImage, "sh", "-c", "dd if=/dev/zero of=/tmp/f bs=64k count=64; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exec sleep 1000")
	waitFor(t, 30*time.Second, "the container to come to rest", func() error {
		// The shell's own arguments say "sleep 1000" as well.
		if out := docker(t, h, "top", id, "-o", "pid,args"); strings.Contains(out, "sh -c") || !strings.Contains(out, "sleep 1000") {
			return errors.New(out)
		}
		return nil
	})
	pid := inspect(t, h, id).State.Pid
	before := oracle(t, pid)
	// Limits and peaks are read twice a minute, and when the engine tells of an update.
	docker(t, h, "update", "--cpu-shares", "512", id)
	d := h.socket.after(t, id, time.Now().Add(2*time.Second))
	after := oracle(t, pid)

	compared := 0
	var wrong []string
	compare := func(field string, got float64, ok bool, of func(*cgroups.Stats) uint64) {
		t.Helper()
		low, high := float64(of(before)), float64(of(after))
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s is absent, want %v", field, low))
		case got < min(low, high) || got > max(low, high):
			wrong = append(wrong, fmt.Sprintf("%s is %v, want %v … %v", field, got, low, high))
		}
		compared++
	}
	stat := func(of func(*cgroups.Stats) uint64, path ...string) {
		t.Helper()
		got, ok := d.stat(path...)
		compare("container_stats."+strings.Join(path, "."), got, ok, of)
	}
	gauge := func(of func(*cgroups.Stats) uint64, field string) {
		t.Helper()
		got, ok := d.number(field)
		compare(field, got, ok, of)
	}
	stat(func(s *cgroups.Stats) uint64 { return s.CpuStats.CpuUsage.TotalUsage }, "cpu", "usage", "total")
	stat(func(s *cgroups.Stats) uint64 { return s.CpuStats.CpuUsage.UsageInUsermode }, "cpu", "usage", "user")
	stat(func(s *cgroups.Stats) uint64 { return s.CpuStats.CpuUsage.UsageInKernelmode }, "cpu", "usage", "system")
	stat(func(s *cgroups.Stats) uint64 { return s.CpuStats.ThrottlingData.Periods }, "cpu", "cfs", "periods")
	stat(func(s *cgroups.Stats) uint64 { return s.CpuStats.ThrottlingData.ThrottledPeriods }, "cpu", "cfs", "throttled_periods")
	stat(func(s *cgroups.Stats) uint64 { return s.CpuStats.ThrottlingData.ThrottledTime }, "cpu", "cfs", "throttled_time")
	stat(func(s *cgroups.Stats) uint64 { return s.MemoryStats.Usage.Usage }, "memory", "usage")
	gauge(func(s *cgroups.Stats) uint64 { return s.MemoryStats.Usage.Usage }, "container.memory.usage_bytes")
	gauge(func(s *cgroups.Stats) uint64 { return s.MemoryStats.Usage.Limit }, "container.memory.limit_bytes")
	gauge(func(*cgroups.Stats) uint64 { return 32 << 20 }, "container.memory.reservation_bytes")
	gauge(func(*cgroups.Stats) uint64 { return 20000 }, "container.cpu.quota_microseconds")
	gauge(func(s *cgroups.Stats) uint64 { return s.PidsStats.Current }, "container.pids.current")
	gauge(func(s *cgroups.Stats) uint64 { return s.PidsStats.Limit }, "container.pids.limit")
	lists := func(names map[string]string) {
		t.Helper()
		for field, keys := range names {
			for key := range strings.FieldsSeq(keys) {
				if _, ok := before.MemoryStats.Stats[key]; ok {
					gauge(func(s *cgroups.Stats) uint64 { return s.MemoryStats.Stats[key] }, "container.memory."+field)
					break // v1 has some of v2's words, too, for the cgroup alone
				}
			}
		}
	}
	lists(map[string]string{ // container.memory.… and the keys of memory.stat on v1 and v2
		"rss_bytes": "total_rss anon", "cache_bytes": "total_cache file", "mapped_file_bytes": "total_mapped_file file_mapped",
		"dirty_bytes": "total_dirty file_dirty", "shmem_bytes": "total_shmem shmem",
	})
	least := 7 + 6 + 5 // numbers of container_stats, fields, and fields from memory.stat
	if !cgroups.IsCgroup2UnifiedMode() {
		least += 3
		gauge(func(*cgroups.Stats) uint64 { return 512 }, "container.cpu.shares")
		gauge(func(s *cgroups.Stats) uint64 { return s.MemoryStats.Usage.MaxUsage }, "container.memory.peak_bytes")
		gauge(func(s *cgroups.Stats) uint64 { return s.MemoryStats.KernelUsage.Usage }, "container.memory.kernel_bytes")
	}
	if written := ioBytes(after, "Write"); written > 0 {
		least++
		own := h.socket.container(id)
		own = slices.DeleteFunc(own, func(o document) bool { return o.time().After(d.time()) })
		compare("the sum of container.disk.write.bytes", sum(own, "container.disk.write.bytes"), true,
			func(s *cgroups.Stats) uint64 { return ioBytes(s, "Write") })
	}
	// Pages that the kernel moves (compaction) are on no list for a moment, and a number may
	// not be between those around it then. It isn't so each time.
	lru := map[string]string{
		"active_anon_bytes": "total_active_anon active_anon", "inactive_anon_bytes": "total_inactive_anon inactive_anon",
		"active_file_bytes": "total_active_file active_file", "inactive_file_bytes": "total_inactive_file inactive_file",
	}
	settled := len(wrong)
	lists(lru)
	if least += len(lru); compared < least {
		t.Errorf("%d numbers compared, want %d: other code has not found all of them", compared, least)
	}
	for try := 1; try < 5 && len(wrong) > settled; try++ {
		wrong = wrong[:settled]
		before = oracle(t, pid)
		d = h.socket.after(t, id, time.Now())
		after = oracle(t, pid)
		lists(lru)
	}
	for _, w := range wrong {
		t.Error(w)
	}
	t.Logf("%d numbers compared", compared)
}

// ioBytes returns the bytes that a cgroup read or wrote, over all devices.
func ioBytes(s *cgroups.Stats, operation string) (total uint64) {
	for _, e := range s.BlkioStats.IoServiceBytesRecursive {
		if e.Op == operation {
			total += e.Value
		}
	}
	return total
}

// oracle reads the cgroups of a process by opencontainers/cgroups.
func oracle(t testing.TB, pid int) *cgroups.Stats {
	t.Helper()
	paths, err := cgroups.ParseCgroupFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	var m interface {
		GetStats() (*cgroups.Stats, error)
	}
	config := &cgroups.Cgroup{Resources: &cgroups.Resources{}}
	if cgroups.IsCgroup2UnifiedMode() {
		m, err = fs2.NewManager(config, "/sys/fs/cgroup"+paths[""])
	} else {
		dirs := map[string]string{}
		for controller, path := range paths {
			dir := "/sys/fs/cgroup/" + controller + path
			if _, err := os.Stat(dir); controller != "" && err == nil {
				dirs[controller] = dir
			}
		}
		m, err = fs.NewManager(config, dirs)
	}
	if err != nil {
		t.Fatal(err)
	}
	stats, err := m.GetStats()
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

// A container that lives for some seconds leaves documents whose flows are what it has
// itself read at its end.
func (h *host) testFlowsAddUp(t *testing.T) {
	id := h.run(t, lab.BusyboxImage, "sh", "-c", `
i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done
sleep 1
cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || sed -n 's/usage_usec \(.*\)/\1000/p' /sys/fs/cgroup/cpu.stat
sed -n 's/.*eth0: *\([0-9]*\) .*/\1/p' /proc/net/dev
sleep 2`)
	docker(t, h, "wait", id)
	var cpu, received float64
	if _, err := fmt.Sscan(docker(t, h, "logs", id), &cpu, &received); err != nil {
		t.Fatal(err)
	}
	var windows []document
	waitFor(t, 10*time.Second, "the last document", func() error {
		windows = h.files.container(id)
		if len(windows) == 0 || windows[len(windows)-1]["sample.ended"] != true {
			return errNotYet
		}
		return nil
	})
	if got := sum(windows, "container.cpu.core_seconds"); got < cpu/1e9 || got > cpu/1e9+0.1 {
		t.Errorf("%v s of CPU time, the container itself had used %v s two seconds before its end", got, cpu/1e9)
	}
	if got := sum(windows, "container.network.ingress.bytes"); got < received || got > received+1000 {
		t.Errorf("%v bytes received, the container itself had received %v two seconds before its end", got, received)
	}
	for _, d := range windows[:len(windows)-1] {
		if d["sample.ended"] != false {
			t.Errorf("sample.ended is %v in a document before the last", d["sample.ended"])
		}
	}
}

// Who a container is, is the same from files and from the socket, and as the engine says.
func (h *host) testIdentity(t *testing.T) {
	docker(t, h, "tag", lab.BusyboxImage, "registry.example/team/web:1.2")
	id := h.run(t, "--name", "web-1", "--restart", "on-failure:3", "--label", "team=web", "--label", "com.example.Ünï.c-o_d.e=1 2  3",
		"--health-cmd", "true", "--health-interval", "1s", "--health-timeout", "1s",
		"registry.example/team/web:1.2", "sh", "-c", "test -e /tmp/again || { touch /tmp/again; exit 1; }; exec sleep 1000")
	waitFor(t, 20*time.Second, "the engine to restart the container", func() error {
		if c := inspect(t, h, id); c.RestartCount != 1 || c.State.Status != "running" {
			return fmt.Errorf("%+v", c.State)
		}
		return nil
	})
	want := inspect(t, h, id)
	for name, p := range map[string]*printer{"files": h.files, "socket": h.socket} {
		waitFor(t, 20*time.Second, "the identity from "+name, func() error {
			d := p.after(t, id, time.Now())
			// Engines after 20.10 don't write into their files how the checks of health go.
			if health := d.text("container.health"); health != "healthy" && (p == h.socket || health != "") {
				return fmt.Errorf("health %q", health)
			}
			return identityOf(d, want)
		})
	}
}

// What happens to containers is told once: by the loop, or by the engine where it can be
// heard.
func (h *host) testEvents(t *testing.T) {
	seven := h.run(t, lab.BusyboxImage, "sh", "-c", "sleep 3; exit 7")
	killed := h.run(t, "--memory", "16m", lab.BusyboxImage, "sh", "-c", "sleep 3; exec tail /dev/zero")
	docker(t, h, "wait", seven, killed)
	for name, p := range map[string]*printer{"files": h.files, "socket": h.socket} {
		wantKilled := []string{"start", "die 137"}
		if p == h.socket {
			wantKilled = []string{"start", "oom", "die 137"}
		}
		p.awaitActions(t, 15*time.Second, seven, "start", "die 7")
		p.awaitActions(t, 15*time.Second, killed, wantKilled...)
		for _, id := range [...]string{seven, killed} {
			c, events := inspect(t, h, id), p.events(id)
			start, die := events[0], events[len(events)-1]
			if started := c.State.StartedAt; start.time().Sub(started).Abs() > time.Second {
				t.Errorf("%s: start at %v, want %v", name, start.time(), started)
			}
			if got, want := die.text("container.name"), strings.TrimPrefix(c.Name, "/"); got != want {
				t.Errorf("%s: the end of container %q, want %q", name, got, want)
			}
			if got, want := die["container.oom_killed"], id == killed; got != nil && got != want {
				t.Errorf("%s: container.oom_killed of %s is %v, want %v", name, c.Name, got, want)
			}
		}
		if p == h.files { // the engine's own event says nothing about it
			if die := p.events(killed)[1]; die["container.oom_killed"] != true {
				t.Errorf("container.oom_killed is %v", die["container.oom_killed"])
			}
		}
	}
	// What was told is all that is told.
	time.Sleep(5 * time.Second)
	for _, p := range [...]*printer{h.files, h.socket} {
		p.awaitActions(t, 0, seven, "start", "die 7")
	}
}

// A new name is told and taken: at once with the socket, with the next look at the
// engine's files without.
func (h *host) testRename(t *testing.T) {
	id := h.run(t, "--name", "before", lab.BusyboxImage, "sleep", "1000")
	for _, p := range [...]*printer{h.files, h.socket} {
		p.awaitActions(t, 15*time.Second, id, "start")
	}
	docker(t, h, "rename", "before", "behind")
	renamed := time.Now()
	f := func(p *printer, limit time.Duration) {
		t.Helper()
		p.awaitActions(t, limit, id, "start", "rename")
		if name := p.events(id)[1].text("container.name"); name != "behind" {
			t.Errorf("renamed to %q", name)
		}
		if name := p.after(t, id, renamed.Add(limit)).text("container.name"); name != "behind" {
			t.Errorf("%v after the event its name is %q", limit, name)
		}
	}
	f(h.socket, 3*time.Second)
	f(h.files, 15*time.Second)
}

// Whatever labels say, a document is one line of JSON in UTF-8, and other containers'
// documents don't suffer.
func (h *host) testLabels(t *testing.T) {
	long := strings.Repeat("ä", 1<<19) // 1 MiB
	nasty := map[string]string{
		"newline":                 "a\nb\r\n\u2028c",
		"quotes":                  `"}],'\"` + "`",
		"nul":                     "a\x00b",
		"control":                 "\x1b[31mred\x7f\u0085",
		"invalid":                 "a\xff\xfeb\xc3",
		"long":                    long,
		"empty":                   "",
		"":                        "without a key",
		".":                       "dot",
		"a..b":                    "dots",
		" ":                       "space",
		"key\n\"with\"\\":         "nasty key",
		"\xff":                    "invalid key",
		strings.Repeat("k", 5000): "long key",
		"emoji":                   "🐋",
		"markup":                  "</script><script>alert(1)</script>",
		"template":                "{{.}}",
		"a":                       "scalar",
		"a.b":                     "below it",
		"last":                    "kept",
	}
	id := h.createRaw(t, "nasty", nasty)
	docker(t, h, "start", id)
	for name, p := range map[string]*printer{"files": h.files, "socket": h.socket} {
		waitFor(t, 20*time.Second, "the labels from "+name, func() error {
			d := p.after(t, id, time.Now())
			labels, _ := d["labels"].(map[string]any)
			for key, want := range map[string]string{
				"quotes": nasty["quotes"], "emoji": "🐋", "last": "kept", "markup": nasty["markup"], "template": "{{.}}", "a": "scalar", "a.b": "below it", "newline": "a b  \u2028c", "nul": "a b",
				"invalid": "a\ufffd\ufffdb\ufffd", "long": long[:1024],
			} {
				if got := labels[key]; got != want {
					return fmt.Errorf("label %s is %.100q, want %.100q", key, got, want)
				}
			}
			for key, value := range labels {
				if text, ok := value.(string); !ok || !utf8.ValidString(text) || len(text) > 1024 || len(key) > 256 {
					return fmt.Errorf("label %.300q of %d bytes", key, len(text))
				}
			}
			if labels[""] != nil || labels["."] != nil || labels[" "] != nil {
				return errors.New("a key that Elasticsearch refuses")
			}
			return nil
		})
	}
}

// createRaw creates a container by the engine's API and returns its id. The labels are
// sent as they are, as no client would: what is no UTF-8 with its own bytes.
func (h *host) createRaw(t testing.TB, name string, labels map[string]string) string {
	t.Helper()
	body := []byte(`{"Image":"` + lab.BusyboxImage + `","Cmd":["sleep","1000"],"Labels":{`)
	for key, value := range labels {
		body = append(appendJSON(append(appendJSON(body, key), ':'), value), ',')
	}
	body = append(bytes.TrimSuffix(body, []byte(",")), "}}"...)

	socket := strings.TrimPrefix(h.Host(), "unix://")
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	answer, err := client.Post("http://engine/containers/create?name="+name, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var created struct{ ID, Message string }
	if err := json.NewDecoder(answer.Body).Decode(&created); err != nil || created.ID == "" {
		t.Fatalf("%s: %s (%v)", answer.Status, created.Message, err)
	}
	t.Cleanup(func() {
		if _, err := h.Docker(context.Background(), "container", "rm", "--force", created.ID); err != nil {
			t.Error(err)
		}
	})
	return created.ID
}

// appendJSON appends s as a JSON string whose bytes from 0x80 on are left alone.
func appendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// "agent collect" shows every container with its numbers, and as documents.
func (h *host) testCollect(t *testing.T) {
	busy := h.run(t, "--name", "collect-busy", "--cpus", "0.1", "--memory", "32m", lab.BusyboxImage, "sh", "-c", "while :; do :; done")
	h.run(t, "--name", "collect-shared", "--network", "container:collect-busy", lab.BusyboxImage, "sleep", "1000")
	collect := func(arg string) string {
		t.Helper()
		cmd := exec.Command(buildAgent(t), "collect", arg, "-docker_only", "-docker=", "-docker_root="+h.DataRoot())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("agent collect %s: %v\n%s", arg, err, stderr.String())
		}
		return string(out)
	}

	rows := map[string][]string{}
	for line := range strings.Lines(collect("table")) {
		columns := strings.Split(strings.TrimSpace(line), "  ")
		columns = slices.DeleteFunc(columns, func(c string) bool { return c == "" })
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		rows[columns[0]] = columns
	}
	for name, row := range rows {
		if len(row) != len(rows["CONTAINER"]) {
			t.Errorf("the row of %s has %d columns, the head has %d: %q", name, len(row), len(rows["CONTAINER"]), row)
		}
	}
	column := func(container, name string) string {
		t.Helper()
		i := slices.Index(rows["CONTAINER"], name)
		if row := rows[container]; i >= 0 && i < len(row) {
			return row[i]
		}
		t.Errorf("no column %s of %s in %q", name, container, rows)
		return ""
	}
	if cores, err := strconv.ParseFloat(column("collect-busy", "CORES"), 64); err != nil || cores == 0 {
		t.Errorf("collect-busy uses %v cores (%v)", cores, err)
	}
	if limit := column("collect-busy", "LIMIT"); limit != "32 MiB" {
		t.Errorf("collect-busy has the limit %q", limit)
	}
	if in := column("collect-shared", "NET IN"); in != "shared" {
		t.Errorf("collect-shared receives %q", in)
	}
	if tasks := column("collect-shared", "TASKS"); tasks != "1" {
		t.Errorf("collect-shared has %q tasks", tasks)
	}
	column("/", "MEMORY")

	var found []document
	for line := range strings.Lines(collect("json")) {
		var d document
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%v: %.500s", err, line)
		}
		if d.text("container.id") == busy {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d documents of one container", len(found))
	}
	if err := identityOf(found[0], inspect(t, h, busy)); err != nil {
		t.Error(err)
	}
	if cores := sum(found, "container.cpu.core_seconds") / sum(found, "sample.interval_seconds"); !(cores > 0 && cores < 0.25) {
		t.Errorf("collect-busy uses %v cores of 0.1 that it may", cores)
	}
}

// An engine that can't be heard for a while, at the start or later, costs no numbers and
// no events.
func TestSocketComesAndGoes(t *testing.T) {
	e := lab.EngineFor(t)
	h := &host{Engine: e}
	door := &door{path: filepath.Join(t.TempDir(), "docker.sock"), to: strings.TrimPrefix(e.Host(), "unix://")}
	t.Cleanup(door.close)
	p := startPrinter(t, agentFor(t, e, "-docker=unix://"+door.path))
	h.files, h.socket = p, p

	id := h.run(t, "--name", "steady", lab.BusyboxImage, "sleep", "1000")
	p.awaitActions(t, 15*time.Second, id, "start") // from the engine's files
	door.open(t)
	p.awaitEngine(t, e, id)

	door.close()
	time.Sleep(2 * time.Second)
	short := h.run(t, lab.BusyboxImage, "sh", "-c", "sleep 2; exit 3")
	docker(t, e, "wait", short)
	time.Sleep(time.Second)
	door.open(t)
	p.awaitEngine(t, e, id)
	p.awaitActions(t, 10*time.Second, short, "start", "die 3")
	p.checkSteady(t, id)
}

// awaitEngine waits until an agent hears the engine. Updates are what it can't see without.
func (p *printer) awaitEngine(t testing.TB, e engine, id string) {
	t.Helper()
	before := len(p.events(id))
	waitFor(t, time.Minute, "the engine to be heard", func() error {
		docker(t, e, "update", "--cpu-shares", strconv.Itoa(100+time.Now().Second()), id)
		time.Sleep(time.Second)
		if len(p.events(id)) == before {
			return errNotYet
		}
		return nil
	})
}

// checkSteady fails the test unless a container was measured in each second in which the
// node was, and never without a name after once with it. On a machine that is busy with
// other things the agent may miss a second; if it waited for an engine, it would miss five.
func (p *printer) checkSteady(t testing.TB, id string) {
	t.Helper()
	windows := p.container(id)
	measured := map[float64]bool{}
	for i, d := range windows {
		slot, _ := d.number("sample.slot")
		measured[slot] = true
		if i > 0 && d.text("container.name") == "" && windows[i-1].text("container.name") != "" {
			t.Errorf("the name is lost at %v", d.time())
		}
	}
	first, _ := windows[0].number("sample.slot")
	final, _ := windows[len(windows)-1].number("sample.slot")
	last := first
	for _, node := range p.find(func(d document) bool { return d.text("event.dataset") == "swarmgauge.node" }) {
		slot, _ := node.number("sample.slot")
		if slot < first || slot > final {
			continue
		}
		if !measured[slot] {
			t.Errorf("the node was measured in slot %.0f, the container wasn't", slot)
		}
		if slot > last+4 {
			t.Errorf("slot %.0f follows slot %.0f", slot, last)
		}
		last = slot
	}
}

// door is a way to an engine's socket that can be shut.
type door struct {
	path, to string

	listener net.Listener
	mu       sync.Mutex // guards conns
	conns    []net.Conn
	served   sync.WaitGroup
}

func (d *door) open(t testing.TB) {
	t.Helper()
	var err error
	if d.listener, err = net.Listen("unix", d.path); err != nil {
		t.Fatal(err)
	}
	l := d.listener
	d.served.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return // closed
			}
			to, err := net.Dial("unix", d.to)
			if err != nil {
				from.Close()
				continue
			}
			d.mu.Lock()
			d.conns = append(d.conns, from, to)
			d.mu.Unlock()
			d.served.Go(func() { io.Copy(to, from); to.Close() })
			d.served.Go(func() { io.Copy(from, to); from.Close() })
		}
	})
}

// close shuts the door and breaks what goes through it; the socket is gone after.
func (d *door) close() {
	if d.listener == nil {
		return
	}
	d.listener.Close()
	d.mu.Lock()
	for _, c := range d.conns {
		c.Close()
	}
	d.conns = nil
	d.mu.Unlock()
	d.served.Wait()
	d.listener = nil
}
