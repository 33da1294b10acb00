package cgroup

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// wanting opens the machine's hierarchy with all options on, as of Linux 6.1.
func (m *machine) wanting(o Options) *Hierarchy {
	m.t.Helper()
	o.ProcRoot, o.CgroupRoot, o.SysRoot = m.path("proc"), m.path("cg"), m.path("sys")
	h, err := open(o, kernel{major: 6, minor: 1, release: "6.1.192"})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(h.Close)
	h.trust()
	return h
}

// withHugePages gives a machine what the fixtures of huge pages and NUMA nodes are from.
func withHugePages(t testing.TB, mode Mode) *machine {
	m := newMachine(t, mode)
	m.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "16\n")
	if mode == V2 {
		m.copy("v2/hugetlb", "cg/docker/a")
		return m
	}
	m.copy("v1/hugetlb", "cg/hugetlb/docker/a")
	m.write("cg/hugetlb/release_agent", "")
	m.write("cg/memory/docker/a/memory.numa_stat", string(text(t, "v1/numa/memory.numa_stat")))
	m.write("cg/memory/memory.numa_stat", string(text(t, "v1/numa/root.memory.numa_stat")))
	m.write("cg/cpuset/docker/a/cpuset.memory_migrate", string(text(t, "v1/numa/cpuset.memory_migrate")))
	mounts := string(m.read("proc/self/mountinfo")) + "36 31 0:33 / " + m.path("cg/hugetlb") + " rw,relatime - cgroup cgroup rw,hugetlb\n"
	m.write("proc/self/mountinfo", mounts)
	return m
}

func TestReadOptional(t *testing.T) {
	f := func(mode Mode, want map[metric.Per]map[string]want, migrate bool) {
		t.Helper()
		m := withHugePages(t, mode)
		h := m.wanting(Options{HugePages: true, NUMA: true, MemoryMigrate: true})
		s := read(t, openReader(t, h, "/docker/a"))
		for per, rows := range want {
			if s.Rows(per) != len(rows) {
				t.Errorf("%v: %d rows of %v", mode, s.Rows(per), per)
			}
			for name, w := range rows {
				checkRow(t, s, per, name, w)
			}
		}
		if v, ok := s.Get(metric.CPUSetMemoryMigrate); ok != migrate || migrate && v != 1 {
			t.Errorf("%v: memory_migrate %d (%v)", mode, v, ok)
		}
		if f := h.Failures(); len(f) > 0 {
			t.Errorf("%v: failures %v", mode, f)
		}
		for _, note := range h.Notes() {
			if strings.Contains(note, "huge") {
				t.Errorf("%v: note %q", mode, note)
			}
		}
	}
	f(V1, map[metric.Per]map[string]want{
		metric.PerHugePage: {"2MB": {metric.HugePagesUsage: 3 << 21, metric.HugePagesPeak: 3 << 21, metric.HugePagesFailures: 1}},
		metric.PerNUMANode: {
			"0": {metric.NUMAFile: 0, metric.NUMAAnon: 6226, metric.NUMAUnevictable: 0, metric.NUMAHierarchicalFile: 0, metric.NUMAHierarchicalAnon: 6226, metric.NUMAHierarchicalUnevictable: 0},
			"1": {metric.NUMAAnon: 0, metric.NUMAHierarchicalAnon: 0},
		},
	}, true)
	f(V2, map[metric.Per]map[string]want{
		metric.PerHugePage: {"2MB": {metric.HugePagesUsage: 3 << 21, metric.HugePagesFailures: 0}},
		metric.PerNUMANode: {
			"0": {metric.NUMAHierarchicalAnon: 4243456 / pageBytes(), metric.NUMAHierarchicalFile: 1982464 / pageBytes(), metric.NUMAHierarchicalUnevictable: 0},
			"1": {metric.NUMAHierarchicalAnon: 21381120 / pageBytes(), metric.NUMAHierarchicalFile: 0, metric.NUMAHierarchicalUnevictable: 0},
		},
	}, false)
}

// v1 counts a cgroup alone, and with those below it.
func TestReadNUMARoot(t *testing.T) {
	m := withHugePages(t, V1)
	s := read(t, openReader(t, m.wanting(Options{NUMA: true}), "/"))
	checkRow(t, s, metric.PerNUMANode, "0", want{metric.NUMAAnon: 12, metric.NUMAHierarchicalAnon: 6239})
	checkRow(t, s, metric.PerNUMANode, "1", want{metric.NUMAAnon: 1088, metric.NUMAHierarchicalAnon: 1088})
}

// What isn't asked for costs no file, no descriptor and no row.
func TestOptionsOff(t *testing.T) {
	for _, mode := range []Mode{V1, V2} {
		m := withHugePages(t, mode)
		h := m.wanting(Options{})
		s := read(t, openReader(t, h, "/docker/a"))
		if n := s.Rows(metric.PerHugePage) + s.Rows(metric.PerNUMANode); n != 0 {
			t.Errorf("%v: %d rows", mode, n)
		}
		if _, ok := s.Get(metric.CPUSetMemoryMigrate); ok {
			t.Errorf("%v: memory_migrate", mode)
		}
		for _, r := range h.rows {
			if r.option != always || r.controller == hugetlb {
				t.Errorf("%v: %s is read", mode, r.name)
			}
		}
		for _, m := range h.mounts {
			if strings.HasSuffix(m.path, "hugetlb") {
				t.Errorf("%v: %s is open", mode, m.path)
			}
		}
	}
}

// Without huge pages there is a note, and everything else.
func TestNoHugePages(t *testing.T) {
	m := withHugePages(t, V2)
	m.remove("sys")
	h := m.wanting(Options{HugePages: true})
	if s := read(t, openReader(t, h, "/docker/a")); s.Rows(metric.PerHugePage) != 0 || s.Len() == 0 {
		t.Errorf("%d rows, %d numbers", s.Rows(metric.PerHugePage), s.Len())
	}
	if !slices.ContainsFunc(h.Notes(), func(note string) bool { return strings.Contains(note, "CONFIG_HUGETLBFS") }) {
		t.Errorf("notes %q", h.Notes())
	}
}

func TestReadOptionalAllocs(t *testing.T) {
	for _, mode := range []Mode{V1, V2} {
		h := withHugePages(t, mode).wanting(Options{HugePages: true, NUMA: true, MemoryMigrate: true})
		r := openReader(t, h, "/docker/a")
		s := read(t, r)
		for range youth {
			r.Read(s, true)
		}
		if n := testing.AllocsPerRun(50, func() { r.Read(s, true) }); n != 0 {
			t.Errorf("%v: %v allocations", mode, n)
		}
	}
}

func TestParseNUMA(t *testing.T) {
	f := func(b string, keys []key, bad int, anon int64) {
		t.Helper()
		var k sink
		k.reset(new(metric.Sample))
		if got := k.parseNUMA([]byte(b), keys); got != bad {
			t.Errorf("%q: bad at %d, want %d", b, got, bad)
		}
		row := k.sample.RowByName(metric.PerNUMANode, []byte("1"))
		v, ok := k.sample.GetRow(metric.NUMAHierarchicalAnon, max(row, 0))
		if row < 0 || !ok {
			v, ok = 0, false
		}
		if ok != (anon >= 0) || ok && int64(v) != anon {
			t.Errorf("%q: %d (%v), want %d", b, v, ok, anon)
		}
	}
	pages := func(n uint64) string { return strconv.FormatUint(n*pageBytes(), 10) }
	f("anon N0=0 N1="+pages(5)+"\nkernel_stack N0=16384\n", numaKeysV2(), parsed, 5)
	f("hierarchical_anon=7 N0=2 N1=5\nanon=3 N0=1 N1=2\ntotal=x\n", numaKeysV1(), parsed, 5)
	f("hierarchical_anon=7\n", numaKeysV1(), parsed, -1)
	f("hierarchical_anon N1=5", numaKeysV1(), 0, -1)
	f("hierarchical_anon= N1=5\n", numaKeysV1(), 0, -1)
	f("anon N0=1 N1\n", numaKeysV2(), 0, -1)
	f("anon N0=1 X1=2\n", numaKeysV2(), 0, -1)
	f("anon N4096=1\n", numaKeysV2(), 0, -1)
	f("anon N0=1 \n", numaKeysV2(), 0, -1)
	f("\n", numaKeysV2(), parsed, -1)
	f("", numaKeysV2(), 0, -1)
}

func TestHugePageSizes(t *testing.T) {
	m := &machine{t, t.TempDir()}
	for _, name := range []string{"hugepages-2048kB", "hugepages-1048576kB", "hugepages-64kB", "hugepages-16777216kB", "hugepages-xkB", "other"} {
		m.write(filepath.Join("kernel/mm/hugepages", name, "nr_hugepages"), "0\n")
	}
	if got := hugePageSizes(m.root); !slices.Equal(got, []string{"1GB", "16GB", "2MB", "64KB"}) {
		t.Errorf("%q", got)
	}
	if got := hugePageSizes(m.path("none")); got != nil {
		t.Errorf("%q", got)
	}
}
