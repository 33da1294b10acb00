package cgroup

import (
	"testing"

	"github.com/opencontainers/cgroups"

	"github.com/swarmgauge/swarmgauge/metric"
)

// What is read on demand is what opencontainers/cgroups reads, of a cgroup at rest. Huge
// pages need the hugetlb controller, and say something where some are set aside: boot with
// hugepages=16.
func TestLiveOptional(t *testing.T) {
	h := live(t, Options{HugePages: true, NUMA: true, MemoryMigrate: true})
	path := makeCgroup(t, h, "optional")
	set(t, h, path, "cpuset.memory_migrate", "1", "cpuset.cpus", "0")
	work(t, h, path)
	r := openReader(t, h, path)
	s := read(t, r)
	o := oracle(t, h, path)
	compared := 0
	compare := func(id metric.ID, row int, want uint64) {
		t.Helper()
		compared++
		if got, ok := s.GetRow(id, row); row < 0 || !ok || got != want {
			t.Errorf("%v of row %d is %d (%v), opencontainers/cgroups has %d", id, row, got, ok, want)
		}
	}
	if h.mountOf[hugetlb] >= 0 {
		for size, stats := range o.HugetlbStats {
			row := s.RowByName(metric.PerHugePage, []byte(size))
			compare(metric.HugePagesUsage, row, stats.Usage)
			compare(metric.HugePagesFailures, row, stats.Failcnt)
			if h.mode != V2 {
				compare(metric.HugePagesPeak, row, stats.MaxUsage)
			}
			t.Logf("%s: %+v", size, stats)
		}
		if len(o.HugetlbStats) != s.Rows(metric.PerHugePage) {
			t.Errorf("%d sizes of huge pages, want %d", s.Rows(metric.PerHugePage), len(o.HugetlbStats))
		}
	}
	if h.mode != V2 {
		compare(metric.CPUSetMemoryMigrate, 0, o.CPUSetStats.MemoryMigrate)
		if o.CPUSetStats.MemoryMigrate != 1 {
			t.Error("memory_migrate was not set")
		}
		nodes := func(of *cgroups.PageUsageByNUMAInner, file, anon, unevictable metric.ID) {
			t.Helper()
			for row := range s.Rows(metric.PerNUMANode) {
				node := s.Key(metric.PerNUMANode, row).Name[0] - '0'
				compare(file, row, of.File.Nodes[node])
				compare(anon, row, of.Anon.Nodes[node])
				compare(unevictable, row, of.Unevictable.Nodes[node])
			}
		}
		pages := o.MemoryStats.PageUsageByNUMA
		nodes(&pages.PageUsageByNUMAInner, metric.NUMAFile, metric.NUMAAnon, metric.NUMAUnevictable)
		nodes(&pages.Hierarchical, metric.NUMAHierarchicalFile, metric.NUMAHierarchicalAnon, metric.NUMAHierarchicalUnevictable)
	}
	// The nodes' pages are those of memory.stat, which v2 doesn't let others read by node.
	anon := uint64(0)
	for row := range s.Rows(metric.PerNUMANode) {
		v, _ := s.GetRow(metric.NUMAHierarchicalAnon, row)
		anon += v * pageBytes()
	}
	if rss, _ := s.Get(metric.MemoryRSS); anon < rss/2 || anon > 2*rss {
		t.Errorf("%d bytes of anonymous memory on the nodes, %d in memory.stat", anon, rss)
	}
	if f := h.Failures(); len(f) > 0 {
		t.Errorf("failures %v", f)
	}
	t.Logf("%v: %d numbers compared", h.Mode(), compared)
}
