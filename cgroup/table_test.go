package cgroup

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// The tables and the metric table cover each other: each number of a container, CPU or
// device has a file, and no two files of a version claim the same number, groups of
// alternatives apart. TestReadersCoverMetrics of package proc demands a reader of all numbers
// that this one lets be.
func TestTablesCoverMetrics(t *testing.T) {
	nodeOnly := want{
		metric.DiskReadsMerged: 0, metric.DiskWritesMerged: 0, metric.DiskReadTime: 0, metric.DiskWriteTime: 0,
		metric.DiskInFlight: 0, metric.DiskIOTime: 0, metric.DiskWeightedIOTime: 0,
	}
	// elsewhere is read of processes and files, in the background.
	elsewhere := func(id metric.ID) bool {
		return metric.Processes <= id && id <= metric.StorageAsOf && id != metric.CPUSetMemoryMigrate
	}
	var covered [metric.NumIDs]bool
	for _, rows := range [][]row{allV1(), allV2()} {
		owner := make(map[metric.ID]*row)
		for i := range rows {
			r := &rows[i]
			for id := metric.ID(0); int(id) < metric.NumIDs; id++ {
				if !r.ids.Has(id) {
					continue
				}
				covered[id] = true
				if o := owner[id]; o != nil && (o.group == 0 || o.group == r.group) && o.pageSize == r.pageSize {
					t.Errorf("%v comes from both %s and %s", id, o.name, r.name)
				}
				owner[id] = r
			}
		}
	}
	for id := metric.ID(0); int(id) < metric.NumIDs; id++ {
		_, node := nodeOnly[id]
		ours := id.Per() == metric.PerContainer && !elsewhere(id) || id.Per() == metric.PerCPU || id.Per() == metric.PerDevice ||
			id.Per() == metric.PerHugePage || id.Per() == metric.PerNUMANode
		if covered[id] && (!ours || node) {
			t.Errorf("%v comes from a cgroup file, but is the node's", id)
		}
		if ours && !node && !covered[id] {
			t.Errorf("%v comes from no file", id)
		}
	}
}

func TestTablesAreWellFormed(t *testing.T) {
	for _, rows := range [][]row{allV1(), allV2()} {
		names := make(map[string]bool)
		done := make(map[controller]bool)
		for i := range rows {
			r := &rows[i]
			if names[r.name] {
				t.Errorf("%s has two rows", r.name)
			}
			names[r.name] = true
			if i > 0 && rows[i-1].controller != r.controller {
				done[rows[i-1].controller] = true
			}
			// Pressure follows at the end here, and beside cpu.stat in a Hierarchy.
			if done[r.controller] && r.shape != shapePressure {
				t.Errorf("%s does not stand with its controller", r.name)
			}
			if r.ids == (metric.Set{}) {
				t.Errorf("%s gives nothing", r.name)
			}
		}
	}
}

func TestSharesOf(t *testing.T) {
	f := func(weight, shares uint64) {
		t.Helper()
		if got := sharesOf(weight); got != shares {
			t.Errorf("sharesOf(%d) = %d, want %d", weight, got, shares)
		}
	}
	f(1, 2)
	f(100, 1024)
	f(10000, 262144)
	f(170, 2001) // of 2000 shares: runtimes round the weight up
	f(59, 521)   // of 512
}

func TestParseKernel(t *testing.T) {
	f := func(release string, major, minor uint64) {
		t.Helper()
		if k := parseKernel(release); k.major != major || k.minor != minor {
			t.Errorf("%q: %v", release, k)
		}
	}
	f("6.1.0-18-amd64", 6, 1)
	f("6.18.44-fc-v445", 6, 18)
	f("5.15", 5, 15)
	f("4.18.0-553.el8", 4, 18)
	f("", 0, 0)
	f("next", 0, 0)
	if k := parseKernel("6.1.0"); !k.atLeast(5, 19) || !k.atLeast(6, 1) || k.atLeast(6, 2) || k.atLeast(7, 0) {
		t.Error("versions are compared wrongly")
	}
}
