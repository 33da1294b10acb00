package cgroup

import "github.com/swarmgauge/swarmgauge/metric"

// v1Rows are the files of cgroup v1 (Documentation/admin-guide/cgroup-v1) that are read.
func v1Rows(k kernel) []row {
	return []row{
		{name: "cpu.stat", controller: cpu, pass: throttling, shape: shapeFlat, remedy: "a kernel with CONFIG_CFS_BANDWIDTH", keys: []key{
			{name: "nr_periods", to: metric.CPUPeriods},
			{name: "nr_throttled", to: metric.CPUThrottledPeriods},
			{name: "throttled_time", to: metric.CPUThrottledTime}, // ns, unlike v2
			{name: "nr_bursts", to: metric.CPUBursts},             // Linux 5.15
			{name: "burst_time", to: metric.CPUBurstTime},         // ns
		}},
		{name: "cpu.cfs_quota_us", controller: cpu, pass: seldom, limit: true, keys: one(metric.CPUQuota), remedy: "a kernel with CONFIG_CFS_BANDWIDTH"},
		{name: "cpu.cfs_period_us", controller: cpu, pass: seldom, keys: one(metric.CPUPeriod), remedy: "a kernel with CONFIG_CFS_BANDWIDTH"},
		{name: "cpu.cfs_burst_us", controller: cpu, pass: seldom, keys: one(metric.CPUBurstLimit), remedy: "Linux 5.14"},
		{name: "cpu.shares", controller: cpu, pass: seldom, keys: one(metric.CPUShares), remedy: "a kernel with CONFIG_FAIR_GROUP_SCHED"},

		{name: "cpuacct.stat", controller: cpuacct, pass: standing, shape: shapeFlat, keys: []key{
			{name: "user", to: metric.CPUUser, scale: nsPerTick},
			{name: "system", to: metric.CPUSystem, scale: nsPerTick},
		}},
		// cpuacct.usage would be the sum over the same CPUs, by the kernel's own addition.
		{name: "cpuacct.usage_percpu", controller: cpuacct, pass: pulses, shape: shapePerCPU, keys: []key{{to: metric.CPUUsagePerCPU}, {to: metric.CPUUsage}}},

		{name: "memory.usage_in_bytes", controller: memory, pass: pulses, keys: one(metric.MemoryUsage)},
		{name: "memory.stat", controller: memory, pass: standing, seldomInRoot: true, shape: shapeFlat, keys: memoryStatV1(k), derived: []metric.ID{metric.MemoryWorkingSet}},
		// The line oom_kill came with Linux 4.13; before, the file has none.
		{name: "memory.oom_control", controller: memory, pass: standing, shape: shapeFlat, keys: []key{{name: "oom_kill", to: metric.MemoryOOMKills}}},
		{name: "memory.limit_in_bytes", controller: memory, pass: seldom, limit: true, keys: one(metric.MemoryLimit)},
		{name: "memory.soft_limit_in_bytes", controller: memory, pass: seldom, limit: true, keys: one(metric.MemoryReservation), remedy: "a kernel without PREEMPT_RT"},
		{name: "memory.memsw.limit_in_bytes", controller: memory, pass: seldom, limit: true, keys: one(rawMemoryAndSwapLimit), derived: []metric.ID{metric.MemorySwapLimit}, remedy: "the boot flag swapaccount=1"},
		{name: "memory.max_usage_in_bytes", controller: memory, pass: seldom, keys: one(metric.MemoryPeak)},
		{name: "memory.failcnt", controller: memory, pass: seldom, keys: one(metric.MemoryFailures)},
		{name: "memory.numa_stat", option: numa, controller: memory, pass: standing, seldomInRoot: true, shape: shapeNUMA, keys: numaKeysV1(), remedy: "a kernel with CONFIG_NUMA"},
		{name: "memory.kmem.usage_in_bytes", controller: memory, pass: seldom, keys: one(metric.MemoryKernel), remedy: "a kernel with CONFIG_MEMCG_KMEM, booted without cgroup.memory=nokmem"},

		// Which files have data depends on the IO scheduler: bfq counts its own, CFQ
		// (until Linux 5.0) did, and for every other one only throttling does, which
		// on older kernels has no recursive files.
		{name: "blkio.bfq.io_service_bytes_recursive", controller: blockIO, group: 1, shape: shapeBlkio, keys: blkioBytes()},
		{name: "blkio.bfq.io_serviced_recursive", controller: blockIO, group: 1, shape: shapeBlkio, keys: blkioOperations()},
		{name: "blkio.io_service_bytes_recursive", controller: blockIO, group: 2, shape: shapeBlkio, keys: blkioBytes()},
		{name: "blkio.io_serviced_recursive", controller: blockIO, group: 2, shape: shapeBlkio, keys: blkioOperations()},
		{name: "blkio.throttle.io_service_bytes_recursive", controller: blockIO, group: 3, shape: shapeBlkio, keys: blkioBytes()},
		{name: "blkio.throttle.io_serviced_recursive", controller: blockIO, group: 3, shape: shapeBlkio, keys: blkioOperations()},
		{name: "blkio.throttle.io_service_bytes", controller: blockIO, group: 4, shape: shapeBlkio, keys: blkioBytes()},
		{name: "blkio.throttle.io_serviced", controller: blockIO, group: 4, shape: shapeBlkio, keys: blkioOperations()},

		{name: "pids.current", controller: pids, pass: standing, keys: one(metric.PidsCurrent)},
		{name: "pids.max", controller: pids, pass: seldom, limit: true, keys: one(metric.PidsLimit)},
		{name: "pids.events", controller: pids, pass: seldom, shape: shapeFlat, keys: []key{{name: "max", to: metric.PidsLimitHits}}, remedy: "Linux 4.8"},

		{name: "cpuset.effective_cpus", controller: cpuset, pass: seldom, shape: shapeList, keys: one(metric.CPUSetCPUs), remedy: "Linux 3.17"},
		{name: "cpuset.memory_migrate", option: memoryMigrate, controller: cpuset, pass: seldom, keys: one(metric.CPUSetMemoryMigrate)},
	}
}

// memoryStatV1 are the keys of v1's memory.stat (cgroup-v1/memory.rst). Those that
// begin with total_ count the descendants too, as every number of v2 does:
//
//	cache 10096640
//	…
//	hierarchical_memory_limit 67108864
//	total_cache 10096640
//	total_rss 61440
//	…
//
// The workingset_refault keys came with Linux 5.9 and were at first multiplied by the
// page size, on v1 alone; 6.8 states the unit of each key. Older ones are left out,
// because a number that is 4096 times too large is worse than none.
func memoryStatV1(k kernel) []key {
	keys := []key{
		{name: "total_cache", to: metric.MemoryCache},
		{name: "total_rss", to: metric.MemoryRSS},
		{name: "total_shmem", to: metric.MemoryShmem},
		{name: "total_mapped_file", to: metric.MemoryMappedFile},
		{name: "total_dirty", to: metric.MemoryDirty},
		{name: "total_writeback", to: metric.MemoryWriteback},
	}
	if k.atLeast(6, 8) {
		keys = append(keys,
			key{name: "total_workingset_refault_anon", to: metric.MemoryRefaultsAnon},
			key{name: "total_workingset_refault_file", to: metric.MemoryRefaultsFile})
	}
	return append(keys,
		key{name: "total_swap", to: metric.MemorySwap},
		key{name: "total_pgfault", to: metric.MemoryPageFaults},
		key{name: "total_pgmajfault", to: metric.MemoryMajorPageFaults},
		key{name: "total_inactive_anon", to: metric.MemoryInactiveAnon},
		key{name: "total_active_anon", to: metric.MemoryActiveAnon},
		key{name: "total_inactive_file", to: metric.MemoryInactiveFile},
		key{name: "total_active_file", to: metric.MemoryActiveFile},
		key{name: "total_unevictable", to: metric.MemoryUnevictable},
	)
}
