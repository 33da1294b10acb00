package cgroup

import "github.com/swarmgauge/swarmgauge/metric"

// v2Rows are the files of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst) that are
// read, those of pressure apart.
func v2Rows() []row {
	return []row{
		// Usage is there without the cpu controller; periods need it. µs all.
		{name: "cpu.stat", controller: core, pass: pulses, shape: shapeFlat, keys: []key{
			{name: "usage_usec", to: metric.CPUUsage, scale: nsPerMicrosecond},
			{name: "user_usec", to: metric.CPUUser, scale: nsPerMicrosecond},
			{name: "system_usec", to: metric.CPUSystem, scale: nsPerMicrosecond},
			{name: "nr_periods", to: metric.CPUPeriods},
			{name: "nr_throttled", to: metric.CPUThrottledPeriods},
			{name: "throttled_usec", to: metric.CPUThrottledTime, scale: nsPerMicrosecond},
			{name: "nr_bursts", to: metric.CPUBursts}, // Linux 5.15
			{name: "burst_usec", to: metric.CPUBurstTime, scale: nsPerMicrosecond},
		}},

		{name: "cpu.weight", controller: cpu, pass: seldom, keys: one(metric.CPUWeight), derived: []metric.ID{metric.CPUShares}},
		{name: "cpu.max", controller: cpu, pass: seldom, shape: shapeQuota, keys: []key{{to: metric.CPUQuota}, {to: metric.CPUPeriod}}, remedy: "a kernel with CONFIG_CFS_BANDWIDTH"},
		{name: "cpu.max.burst", controller: cpu, pass: seldom, keys: one(metric.CPUBurstLimit), remedy: "Linux 5.14"},

		{name: "memory.current", controller: memory, pass: pulses, keys: one(metric.MemoryUsage)},
		{name: "memory.stat", controller: memory, pass: standing, seldomInRoot: true, shape: shapeFlat, keys: memoryStatV2(), derived: []metric.ID{metric.MemoryWorkingSet, metric.MemoryKernel}},
		{name: "memory.events", controller: memory, pass: standing, shape: shapeFlat, keys: []key{
			{name: "low", to: metric.MemoryLowEvents},
			{name: "high", to: metric.MemoryHighEvents},
			{name: "max", to: metric.MemoryMaxEvents},
			{name: "oom", to: metric.MemoryOOMEvents},
			{name: "oom_kill", to: metric.MemoryOOMKills}, // Linux 4.13
		}, derived: []metric.ID{metric.MemoryFailures}},
		{name: "memory.numa_stat", option: numa, controller: memory, pass: standing, seldomInRoot: true, shape: shapeNUMA, keys: numaKeysV2(), remedy: "Linux 5.9 with CONFIG_NUMA"},
		{name: "memory.swap.current", controller: memory, pass: standing, keys: one(metric.MemorySwap), remedy: "a kernel with CONFIG_SWAP, before Linux 6.1 the boot flag swapaccount=1"},
		{name: "memory.max", controller: memory, pass: seldom, limit: true, keys: one(metric.MemoryLimit)},
		{name: "memory.high", controller: memory, pass: seldom, limit: true, keys: one(metric.MemoryHigh)},
		{name: "memory.low", controller: memory, pass: seldom, limit: true, zeroIsNone: true, keys: one(metric.MemoryReservation)},
		{name: "memory.min", controller: memory, pass: seldom, limit: true, zeroIsNone: true, keys: one(metric.MemoryMin), remedy: "Linux 4.18"},
		{name: "memory.peak", controller: memory, pass: seldom, keys: one(metric.MemoryPeak), remedy: "Linux 5.19"},
		{name: "memory.swap.max", controller: memory, pass: seldom, limit: true, keys: one(metric.MemorySwapLimit), remedy: "a kernel with CONFIG_SWAP, before Linux 6.1 the boot flag swapaccount=1"},

		{name: "io.stat", controller: blockIO, shape: shapeIOStat, keys: ioKeys()},

		{name: "pids.current", controller: pids, pass: standing, keys: one(metric.PidsCurrent)},
		{name: "pids.max", controller: pids, pass: seldom, limit: true, keys: one(metric.PidsLimit)},
		{name: "pids.events", controller: pids, pass: seldom, shape: shapeFlat, keys: []key{{name: "max", to: metric.PidsLimitHits}}, remedy: "Linux 4.8"},

		{name: "cpuset.cpus.effective", controller: cpuset, pass: seldom, shape: shapeList, keys: one(metric.CPUSetCPUs)},
	}
}

// memoryStatV2 are the keys of v2's memory.stat, in bytes or events, in the kernel's
// order. All numbers count the descendants too.
//
//	anon 61440
//	file 10096640
//	kernel 299008
//	…
//	workingset_refault_anon 0
//	pgscan 0
//	pgfault 1000
func memoryStatV2() []key {
	return []key{
		{name: "anon", to: metric.MemoryRSS},
		{name: "file", to: metric.MemoryCache},
		{name: "kernel", to: metric.MemoryKernel}, // Linux 5.18; see kernelMemory
		{name: "kernel_stack", to: rawKernelStack},
		{name: "pagetables", to: rawPageTables}, // Linux 5.11
		{name: "percpu", to: rawPerCPU},         // Linux 5.9
		{name: "sock", to: rawSock},
		{name: "shmem", to: metric.MemoryShmem},
		{name: "file_mapped", to: metric.MemoryMappedFile},
		{name: "file_dirty", to: metric.MemoryDirty},
		{name: "file_writeback", to: metric.MemoryWriteback},
		{name: "inactive_anon", to: metric.MemoryInactiveAnon},
		{name: "active_anon", to: metric.MemoryActiveAnon},
		{name: "inactive_file", to: metric.MemoryInactiveFile},
		{name: "active_file", to: metric.MemoryActiveFile},
		{name: "unevictable", to: metric.MemoryUnevictable},
		{name: "slab", to: metric.MemorySlab},
		{name: "workingset_refault_anon", to: metric.MemoryRefaultsAnon}, // Linux 5.9
		{name: "workingset_refault_file", to: metric.MemoryRefaultsFile},
		{name: "pgscan", to: metric.MemoryPagesScanned},
		{name: "pgsteal", to: metric.MemoryPagesReclaimed},
		{name: "pgfault", to: metric.MemoryPageFaults},
		{name: "pgmajfault", to: metric.MemoryMajorPageFaults},
	}
}
