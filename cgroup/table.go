package cgroup

import "github.com/swarmgauge/swarmgauge/metric"

// row is one kernel file: where it is, how often it is read, what it looks like and
// where its numbers go. A Hierarchy's rows are immutable once it is open.
type row struct {
	name       string
	controller controller
	pass       pass
	shape      shape
	keys       []key
	// limit: "max", "-1" and very large numbers mean that there is no limit.
	limit bool
	// zeroIsNone: 0 means that nothing was set, which is absent.
	zeroIsNone bool
	// seldomInRoot: seldom in the root cgroup, where the kernel may take seconds for it.
	seldomInRoot bool
	// derived are the numbers that derive makes from this file's and others'.
	derived []metric.ID
	// group: of the files with a group, only those of the first group that has data
	// are read (v1 blkio); 0 is no group.
	group uint8
	// option has to be on for the file to be read.
	option option
	// pageSize is the size of huge pages that a file of the hugetlb controller counts.
	pageSize string
	// remedy says what would bring the file where it is missing: "Linux 5.19".
	remedy string

	file cname
	ids  metric.Set // of keys and derived
}

// key is one number of a file: the kernel's word for it (none where the file has but
// one), where it goes, and by what it is multiplied (1 if not set).
type key struct {
	name  string
	to    metric.ID
	scale uint64
}

// pass is the part of a Read in which a file is read, and so how often: a Read goes through
// some of them. What changes only when something runs, forks, faults or is killed stands
// still in a quiet cgroup (Reader.quiet).
type pass uint8

const (
	moving     pass = iota // always
	pulses                 // always, and first: they tell whether the cgroup is quiet
	stalls                 // pressure: not in a quiet cgroup where nothing waits
	throttling             // not in a quiet cgroup without a quota; periods go on for a moment
	standing               // not in a quiet cgroup
	seldom                 // at slow Reads

	numPasses = int(seldom) + 1
)

// shape is what a file looks like; the parser of that name has an example.
type shape uint8

const (
	shapeNumber shape = iota
	shapeFlat
	shapePressure
	shapePerCPU
	shapeQuota
	shapeList
	shapeIOStat
	shapeBlkio
	shapeNUMA
	shapeHugePages
	shapeHugePageEvents
)

// controller is the part of the kernel that makes a file. The rows of one are
// neighbours; the first one is there if and only if the controller is switched on for
// the cgroup, the root cgroup apart.
type controller uint8

const (
	core controller = iota // of v2 itself, without a controller: cpu.stat and pressure
	cpu
	cpuacct
	memory
	blockIO
	pids
	cpuset
	hugetlb // only where it is asked for

	numControllers = int(hugetlb) + 1
)

const (
	nsPerMicrosecond = 1000
	// nsPerTick: cpuacct.stat counts in USER_HZ, 1/100 s on every architecture that
	// Go runs on, whatever the kernel's own HZ.
	nsPerTick = 10_000_000
)

// one is the keys of a file that has one number.
func one(to metric.ID) []key { return []key{{to: to}} }

// compile fills in what the tables leave out.
func compile(rows []row) []row {
	for i := range rows {
		r := &rows[i]
		r.file = toCName(r.name)
		for j := range r.keys {
			if r.keys[j].scale == 0 {
				r.keys[j].scale = 1
			}
			if r.shape == shapePressure {
				for id := r.keys[j].to; id < r.keys[j].to+8; id++ {
					r.ids.Add(id)
				}
			} else if int(r.keys[j].to) < metric.NumIDs {
				r.ids.Add(r.keys[j].to)
			}
		}
		for _, id := range r.derived {
			r.ids.Add(id)
		}
	}
	return rows
}

// pressureRows are the files of pressure stall information; on a hybrid they come from
// the cgroup2 mount, because v1 has none.
func pressureRows() []row {
	return []row{
		{name: "cpu.pressure", controller: core, pass: stalls, shape: shapePressure, keys: one(metric.PressureCPUSome)},
		{name: "memory.pressure", controller: core, pass: stalls, shape: shapePressure, keys: one(metric.PressureMemorySome)},
		{name: "io.pressure", controller: core, pass: stalls, shape: shapePressure, keys: one(metric.PressureIOSome)},
	}
}
