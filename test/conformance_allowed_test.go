package test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// allowance is a difference from cAdvisor that is meant.
type allowance struct {
	// pattern is of differences as they are printed; * stands for anything.
	pattern string
	reason  string
}

// circumstance is a difference that comes and goes for other reasons than the program that
// answers, so that no line of it has to be used.
type circumstance struct {
	pattern string
	// except is what no such difference contains.
	except []string
	reason string
}

// ledger holds differences against what is allowed of them.
type ledger struct {
	allowed []allowance
	used    []bool
}

func newLedger(allowed []allowance) *ledger {
	return &ledger{allowed: allowed, used: make([]bool, len(allowed))}
}

// allows tells whether a difference is meant. All lines that match have a use.
func (l *ledger) allows(difference string) (allowed bool) {
	for i, a := range l.allowed {
		if matches(a.pattern, difference) {
			l.used[i], allowed = true, true
		}
	}
	return allowed || slices.ContainsFunc(circumstances(), func(c circumstance) bool {
		return matches(c.pattern, difference) && !slices.ContainsFunc(c.except, func(text string) bool { return strings.Contains(difference, text) })
	})
}

// unused returns the lines that no difference matched: they are to be deleted.
func (l *ledger) unused() (lines []allowance) {
	for i, used := range l.used {
		if !used {
			lines = append(lines, l.allowed[i])
		}
	}
	return lines
}

// finish fails the test for lines that nothing needed.
func (l *ledger) finish(t testing.TB) {
	t.Helper()
	for _, a := range l.unused() {
		t.Errorf("nothing needs the line %q of the allowed differences (%s): delete it", a.pattern, a.reason)
	}
}

// matches tells whether text is pattern, in which each * stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	if len(parts) == 1 {
		return rest == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

func TestLedger(t *testing.T) {
	f := func(pattern, text string, want bool) {
		t.Helper()
		if matches(pattern, text) != want {
			t.Errorf("%q matches %q: want %v", pattern, text, want)
		}
	}
	f("a", "a", true)
	f("a", "ab", false)
	f("a*", "ab", true)
	f("*b", "ab", true)
	f("a*c*e", "abcde", true)
	f("a*c*e", "abde", false)
	f("ab*b", "ab", false)
	f("*", "", true)

	l := newLedger([]allowance{{"a: *", ""}, {"*: missing", ""}, {"b: *", ""}})
	if !l.allows("a: missing") || l.allows("c: extra") {
		t.Error("the first difference is allowed, the second isn't")
	}
	if unused := l.unused(); !slices.Equal(unused, []allowance{{"b: *", ""}}) {
		t.Errorf("unused: %q", unused)
	}
}

// allowedOnV1 are the differences of answers about containers on a v1 hierarchy, on a kernel
// that counts no IO of cgroups there.
func allowedOnV1() []allowance {
	return slices.Concat(allowedOnBoth(), allowedToStrangers(), []allowance{
		{"v2.1-attributes.json .docker_version: *", "cAdvisor forgets to fill it in"},
		{"v2.1-attributes.json .docker_api_version: *", "cAdvisor forgets to fill it in"},
		{"v2.1-attributes.json .cadvisor_version: *", "that cAdvisor was built without a version"},
		{"v2.1-version.json : *", "that cAdvisor was built without a version"},
		{"* container_threads* of /{}: missing", "v1's root counts no tasks; cAdvisor shows zeros"},
		{"* container_memory_events_*_total: missing", "v1 counts no such events; cAdvisor shows zeros"},
		{"* container_memory_pgs*_total: missing", "v1 counts no such pages; cAdvisor shows zeros"},
		{"metrics-default.prom container_last_seen of cg-load{*", "app.tier and app_tier make one name: cAdvisor takes one at random, the agent the one that is the name"},
		{"* container_blkio_device_usage_total: cAdvisor has no such family", "the node's devices are known where v1 counts nothing"},
		{"* container_fs_*s_bytes_total: cAdvisor has no such family", "the node's devices are known where v1 counts nothing"},
		{"metrics-lean-whitelist.prom container_cpu_load_*: missing", "nobody has counted tasks without -enable_load_reader; cAdvisor shows zeros"},
		{"metrics-lean-whitelist.prom container_tasks_state: missing", "nobody has counted tasks without -enable_load_reader; cAdvisor shows zeros"},
		{"metrics-lean-whitelist.prom process_*: cAdvisor has no such family", "taken out of that file"},
		{"metrics-lean-whitelist.prom container_pressure_io_*: cAdvisor has no such family", "pressure is a group of its own: -disable_metrics=diskIO doesn't take it away"},
		{"metrics-openmetrics.headers.txt Content-Type: *", "OpenMetrics is negotiated"},
	})
}

// circumstances are those of every conformance test. A container has devices once it had to
// read from them what wasn't in memory; one that writes all the time always has them, and so
// has the node.
func circumstances() []circumstance {
	const reason = "whether a container had to read from a disk is a matter of what was in memory"
	writes, node := []string{"<cg-disk>"}, []string{" of cg-disk{", " of /{"}
	return []circumstance{
		{"*.diskio.io_serv*: missing", writes, reason},
		{"*.diskio.io_serv*: cAdvisor has no such key", writes, reason},
		{"* container_blkio_device_usage_total of *: missing", node, reason},
		{"* container_blkio_device_usage_total of *: cAdvisor has no such series", node, reason},
		{"* container_fs_*s_bytes_total of *: missing", node, reason},
		{"* container_fs_*s_bytes_total of *: cAdvisor has no such series", node, reason},
	}
}

// allowedOnBoth are those on both kinds of hierarchies.
func allowedOnBoth() []allowance {
	return []allowance{
		{"*.filesystem*[overlay]: missing", "a container's mounted layers are no filesystem: cAdvisor shows the same disk once for each"},
		{"*.filesystem*[/*]: missing", "a filesystem in memory is no disk space"},
		{"v1*.stats[].network: cAdvisor has no such key", "API v1 has an empty object, as before cAdvisor 0.60: scripts look into it without asking"},
		{"v*.stats[].processes: cAdvisor has no such key", "API v1 has an empty object, as before cAdvisor 0.60: scripts look into it without asking"},
		{"* container_network_advance_tcp_stats_total of *{tcp_state=\"tcpfackreorder\"}: missing", "the kernel has no such counter any more; cAdvisor shows zero"},
		{"*.oom_events: cAdvisor has no such key", "cAdvisor shows kills on /metrics alone"},
		{"* container_fs_re* of *{device=\"disk\"}: missing", "cAdvisor shows the whole disk's; the agent what was counted for the container, if anything"},
		{"* container_fs_write* of *{device=\"disk\"}: missing", "cAdvisor shows the whole disk's; the agent what was counted for the container, if anything"},
		{"* container_fs_sector_* of *{device=\"disk\"}: missing", "cAdvisor shows the whole disk's; the agent what was counted for the container, if anything"},
		{"* container_fs_io_* of *{device=\"disk\"}: missing", "cAdvisor shows the whole disk's; the agent what was counted for the container, if anything"},
		{"v2*.cpu.quota: cAdvisor has no such key", "cAdvisor forgets it in API v2"},
		{"v2*.cpu.period: cAdvisor has no such key", "cAdvisor forgets it in API v2"},
		{"*.filesystem[].has_inodes: true, cAdvisor has false", "those of the filesystem that the layer lies on"},
		{"* container_network_* of cg-share{*: missing", "what is received once is counted once, for the container that made the network"},
		{"* container_network_* of cg-host{*: missing", "what is received once is counted once, for the node"},
		{"metrics-default.prom container_cpu_load_*: missing", "nobody has counted tasks without -enable_load_reader; cAdvisor shows zeros"},
		{"metrics-default.prom container_tasks_state: missing", "nobody has counted tasks without -enable_load_reader; cAdvisor shows zeros"},
		{"* container_tasks_state of *{state=\"iowaiting\"}: missing", "the kernel doesn't tell; cAdvisor shows zero"},
		{"* machine_*: with a time: false, in cAdvisor true", "cAdvisor's is up to five minutes old, by which they vanish"},
		{"* go_*: missing", "of another program"},
		{"* go_*: cAdvisor has no such family", "the agent's own"},
		{"* swarmgauge_*: cAdvisor has no such family", "the agent's own"},
		{"* container_fs_* of /{device=\"overlay\"}: missing", "a container's mounted layers are no filesystem: cAdvisor shows the same disk once for each"},
		{"* container_fs_* of /{device=\"/*\"}: missing", "a filesystem in memory is no disk space"},
	}
}

// allowedOnV2 are those on a unified hierarchy.
func allowedOnV2() []allowance {
	return append(allowedOnBoth(), []allowance{
		{"*.cpu.limit: 1024, cAdvisor has 2597", "the shares that were asked for: cAdvisor inverts another formula than the runtime's"},
		{"*.processes.limit: *, cAdvisor has 3473", "systemd's default is of the machine's memory"},
		{"*<cg-load>*.memory.swap_limit: 100663296, cAdvisor has 33554432", "memory and swap together, as on v1; cAdvisor has swap alone"},
		{"*<cg-oom>*.memory.swap_limit: cAdvisor has no such key", "memory and swap together, as on v1; cAdvisor has swap alone"},
		{"*.memory.reservation: cAdvisor has no such key", "memory.low: cAdvisor reads memory.min, which Docker doesn't set"},
		{"v2*.processes.limit: cAdvisor has no such key", "cAdvisor forgets it in API v2"},
		{"*-all-metrics-on.json *.numa_stats.*: cAdvisor has no such key", "from memory.numa_stat, which cAdvisor doesn't read on v2"},
		{"*-all-metrics-on.json *.has_hugetlb: true, cAdvisor has false", "cAdvisor has the numbers and says that it hasn't"},
		{"*[/system.slice/system-*].subcontainers: missing", "that machine had somebody at its terminal"},
		{"*.per_cpu_usage: cAdvisor has no such key", "the node's CPUs are known where v2 doesn't tell them apart"},
		{"* container_cpu_usage_seconds_total of /{cpu=\"*\"}: *", "the node's CPUs are known where v2 doesn't tell them apart"},
		{"* container_spec_cpu_* of /{}: missing", "v2's root has no such file; cAdvisor shows zeros"},
		{"* container_memory_events_*_total of /{}: missing", "v2's root has no such file; cAdvisor shows zeros"},
		{"* container_memory_failcnt of /{}: missing", "v2's root has no such file; cAdvisor shows zeros"},
		{"* container_memory_max_usage_bytes of /{}: missing", "v2's root has no such file; cAdvisor shows zeros"},
		{"* container_oom_events_total of /{}: missing", "v2's root has no such file; cAdvisor shows zeros"},
		{"* container_threads* of /{}: missing", "v2's root has no such file; cAdvisor shows zeros"},
		{"* container_blkio_device_usage_total of *operation=\"Discard\"}: cAdvisor has no such series", "cAdvisor leaves out what is discarded on v2"},
		{"* container_memory_numa_pages: cAdvisor has no such family", "from memory.numa_stat, which cAdvisor doesn't read on v2"},
		{"* container_memory_migrate: missing", "v2 has no such number; cAdvisor shows zero"},
		{"* container_hugetlb_max_usage_bytes: missing", "v2 has no such number; cAdvisor shows zero"},
	}...)
}

// allowedInTexts are the differences of status lines, headers and texts.
func allowedInTexts() []allowance {
	return []allowance{
		{"POST num_stats -5 docker/aa: *", "cAdvisor crashes; here it is for all samples, as -1"},
		{"DELETE /api/v1.3/machine: *", "cAdvisor doesn't look at the method"},
		{"GET /podman/: *", "what there is of Podman is known without its socket"},
		{"GET /static/containers.js: *", "the pages are the agent's own, and need no scripts"},
	}
}

// allowedInEvents are those of events.
func allowedInEvents() []allowance {
	return []allowance{
		{"*.event_data.oom.process_name: \"\", cAdvisor has \"tail\"", "the cgroup counts kills, and doesn't say of whom; cAdvisor reads the kernel's log"},
	}
}

// allowedToStrangers are those on a machine some of whose processes root may not look into,
// as in some containers.
func allowedToStrangers() []allowance {
	if _, err := os.ReadFile("/proc/1/smaps_rollup"); !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return []allowance{
		{"* container_sockets of /{}: missing", "not all of the node's could be counted"},
		{"* container_referenced_bytes of /{}: missing", "not all of the node's could be counted"},
	}
}
