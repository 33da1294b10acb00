package cadvisor

import (
	"slices"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Family is one family of metrics of containers, under the name, type and help that cAdvisor
// gives it. It has either Numbers or Of.
type Family struct {
	Name, Help string
	Kind       metric.Kind
	// Group is the group that switches it on, "" for none.
	Group string
	// Time is which time its series carry.
	Time Time
	// NumberedDevices tells block devices by their numbers, too.
	NumberedDevices bool
	// AfterEnd keeps the series of a container for a while after its end, because what
	// they count most often ends it.
	AfterEnd bool
	// Row is the name of the only row whose numbers are shown, "" for all.
	Row string
	// Numbers are its series: one for each row of a number's Per.
	Numbers []Number
	// Needs is a number without which the family is left out of a container; nil for none.
	Needs *metric.ID
	// Of computes the only series of a container from what isn't one number of its sample.
	Of func(o *Observation) (v float64, ok bool)
}

// Time is a time that series carry.
type Time uint8

const (
	OfSample Time = iota
	OfScrape
	// NoTime: what hardly changes is as old as the scrape.
	NoTime
)

// Number is a number of the metric table in a family.
type Number struct {
	ID metric.ID
	// Labels are constant labels, as `,scope="container"`; "" for none.
	Labels string
	// Per is by what the shown number is divided again: 512 for sectors; 0 for nothing.
	Per float64
	// Else: only for a container that has none of the family's numbers before this one.
	Else bool
	// Signed: the bits are those of a number that may be below zero.
	Signed bool
}

// Observation is what a family is computed from.
type Observation struct {
	Node      *metric.Node
	Container *metric.Container
	Sample    *metric.Sample
	Now       time.Time
}

// Families returns the families of containers that are on, in the order of their names.
// What cAdvisor prints as zero because it doesn't know it (the load of a container without
// the load reader, all of a controller that isn't there) is absent.
func Families(on Groups) []Family {
	all := append(families(on.Has("percpu")), detailFamilies()...)
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return slices.DeleteFunc(all, func(f Family) bool { return !on.Has(f.Group) })
}

func families(perCPU bool) []Family {
	const counter, gauge = metric.Counter, metric.Gauge
	usage := []Number{{ID: metric.CPUUsagePerCPU}, {ID: metric.CPUUsage, Labels: `,cpu="total"`, Else: true}}
	if !perCPU {
		usage = usage[1:]
	}
	one := func(id metric.ID) []Number { return []Number{{ID: id}} }
	quota := metric.CPUQuota
	return []Family{
		{Name: "container_blkio_device_usage_total", Help: "Blkio device bytes usage", Kind: counter, Group: "diskIO", NumberedDevices: true, Numbers: []Number{
			{ID: metric.DiskDiscardBytes, Labels: `,operation="Discard"`},
			{ID: metric.DiskReadBytes, Labels: `,operation="Read"`},
			{ID: metric.DiskWriteBytes, Labels: `,operation="Write"`},
		}},
		{Name: "container_cpu_cfs_burst_periods_total", Help: "Number of periods when burst occurs.", Kind: counter, Group: "cpu", Needs: &quota, Numbers: one(metric.CPUBursts)},
		{Name: "container_cpu_cfs_burst_seconds_total", Help: "Total time duration the container has been bursted.", Kind: counter, Group: "cpu", Needs: &quota, Numbers: one(metric.CPUBurstTime)},
		{Name: "container_cpu_cfs_periods_total", Help: "Number of elapsed enforcement period intervals.", Kind: counter, Group: "cpu", Needs: &quota, Numbers: one(metric.CPUPeriods)},
		{Name: "container_cpu_cfs_throttled_periods_total", Help: "Number of throttled period intervals.", Kind: counter, Group: "cpu", Needs: &quota, Numbers: one(metric.CPUThrottledPeriods)},
		{Name: "container_cpu_cfs_throttled_seconds_total", Help: "Total time duration the container has been throttled.", Kind: counter, Group: "cpu", Needs: &quota, Numbers: one(metric.CPUThrottledTime)},
		{Name: "container_cpu_system_seconds_total", Help: "Cumulative system cpu time consumed in seconds.", Kind: counter, Group: "cpu", Numbers: one(metric.CPUSystem)},
		{Name: "container_cpu_usage_seconds_total", Help: "Cumulative cpu time consumed in seconds.", Kind: counter, Group: "cpu", Numbers: usage},
		{Name: "container_cpu_user_seconds_total", Help: "Cumulative user cpu time consumed in seconds.", Kind: counter, Group: "cpu", Numbers: one(metric.CPUUser)},
		{Name: "container_creation_time_seconds", Help: "Container creation time since unix epoch in seconds.", Kind: gauge, Time: NoTime, Of: func(o *Observation) (float64, bool) {
			return unix(o.Container.Created)
		}},
		{Name: "container_fs_inodes_free", Help: "Number of available Inodes", Kind: gauge, Group: "disk", Numbers: one(metric.FilesystemInodesFree)},
		{Name: "container_fs_inodes_total", Help: "Number of Inodes", Kind: gauge, Group: "disk", Numbers: one(metric.FilesystemInodes)},
		{Name: "container_fs_io_current", Help: "Number of I/Os currently in progress", Kind: gauge, Group: "diskIO", Numbers: one(metric.DiskInFlight)},
		{Name: "container_fs_io_time_seconds_total", Help: "Cumulative count of seconds spent doing I/Os", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskIOTime)},
		{Name: "container_fs_io_time_weighted_seconds_total", Help: "Cumulative weighted I/O time in seconds", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskWeightedIOTime)},
		{Name: "container_fs_limit_bytes", Help: "Number of bytes that can be consumed by the container on this filesystem.", Kind: gauge, Group: "disk", Numbers: one(metric.FilesystemCapacity)},
		{Name: "container_fs_read_seconds_total", Help: "Cumulative count of seconds spent reading", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskReadTime)},
		{Name: "container_fs_reads_bytes_total", Help: "Cumulative count of bytes read", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskReadBytes)},
		{Name: "container_fs_reads_merged_total", Help: "Cumulative count of reads merged", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskReadsMerged)},
		{Name: "container_fs_reads_total", Help: "Cumulative count of reads completed", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskReadOperations)},
		{Name: "container_fs_sector_reads_total", Help: "Cumulative count of sector reads completed", Kind: counter, Group: "diskIO", Numbers: []Number{{ID: metric.DiskReadBytes, Per: 512}}},
		{Name: "container_fs_sector_writes_total", Help: "Cumulative count of sector writes completed", Kind: counter, Group: "diskIO", Numbers: []Number{{ID: metric.DiskWriteBytes, Per: 512}}},
		{Name: "container_fs_usage_bytes", Help: "Number of bytes that are consumed by the container on this filesystem.", Kind: gauge, Group: "disk", Numbers: one(metric.FilesystemUsed)},
		{Name: "container_fs_write_seconds_total", Help: "Cumulative count of seconds spent writing", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskWriteTime)},
		{Name: "container_fs_writes_bytes_total", Help: "Cumulative count of bytes written", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskWriteBytes)},
		{Name: "container_fs_writes_merged_total", Help: "Cumulative count of writes merged", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskWritesMerged)},
		{Name: "container_fs_writes_total", Help: "Cumulative count of writes completed", Kind: counter, Group: "diskIO", Numbers: one(metric.DiskWriteOperations)},
		{Name: "container_health_state", Help: "The result of the container's health check", Kind: gauge, Of: healthState},
		{Name: "container_hugetlb_failcnt", Help: "Number of hugepage usage hits limits", Kind: counter, Group: "hugetlb", Numbers: one(metric.HugePagesFailures)},
		{Name: "container_hugetlb_max_usage_bytes", Help: "Maximum hugepage usage recorded in bytes", Kind: gauge, Group: "hugetlb", Numbers: one(metric.HugePagesPeak)},
		{Name: "container_hugetlb_usage_bytes", Help: "Current hugepage usage in bytes", Kind: gauge, Group: "hugetlb", Numbers: one(metric.HugePagesUsage)},
		{Name: "container_last_seen", Help: "Last time a container was seen by the exporter", Kind: gauge, Time: OfScrape, Of: func(o *Observation) (float64, bool) { return unix(o.Now) }},
		{Name: "container_memory_cache", Help: "Number of bytes of page cache memory.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryCache)},
		{Name: "container_memory_events_high_total", Help: "Cumulative count of memory.high throttle events for the container", Kind: counter, Group: "memory", Numbers: one(metric.MemoryHighEvents)},
		{Name: "container_memory_events_max_total", Help: "Cumulative count of memory.max limit hit events for the container", Kind: counter, Group: "memory", Numbers: one(metric.MemoryMaxEvents)},
		{Name: "container_memory_failcnt", Help: "Number of memory usage hits limits", Kind: counter, Group: "memory", Numbers: one(metric.MemoryFailures)},
		{Name: "container_memory_failures_total", Help: "Cumulative count of memory allocation failures.", Kind: counter, Group: "memory", Numbers: []Number{
			{ID: metric.MemoryPageFaults, Labels: `,failure_type="pgfault",scope="container"`},
			{ID: metric.MemoryPageFaults, Labels: `,failure_type="pgfault",scope="hierarchy"`},
			{ID: metric.MemoryMajorPageFaults, Labels: `,failure_type="pgmajfault",scope="container"`},
			{ID: metric.MemoryMajorPageFaults, Labels: `,failure_type="pgmajfault",scope="hierarchy"`},
		}},
		{Name: "container_memory_file_dirty_bytes", Help: "Number of bytes of file cache that has been modified but not yet written back to disk.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryDirty)},
		{Name: "container_memory_file_writeback_bytes", Help: "Number of bytes of file cache that is currently being written back to disk.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryWriteback)},
		{Name: "container_memory_kernel_usage", Help: "Size of kernel memory allocated in bytes.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryKernel)},
		{Name: "container_memory_mapped_file", Help: "Size of memory mapped files in bytes.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryMappedFile)},
		{Name: "container_memory_max_usage_bytes", Help: "Maximum memory usage recorded in bytes", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryPeak)},
		{Name: "container_memory_migrate", Help: "Memory migrate status.", Kind: gauge, Group: "cpuset", Numbers: one(metric.CPUSetMemoryMigrate)},
		{Name: "container_memory_numa_pages", Help: "Number of used pages per NUMA node", Kind: gauge, Group: "memory_numa", Numbers: []Number{
			{ID: metric.NUMAFile, Labels: `,scope="container",type="file"`},
			{ID: metric.NUMAAnon, Labels: `,scope="container",type="anon"`},
			{ID: metric.NUMAUnevictable, Labels: `,scope="container",type="unevictable"`},
			{ID: metric.NUMAHierarchicalFile, Labels: `,scope="hierarchy",type="file"`},
			{ID: metric.NUMAHierarchicalAnon, Labels: `,scope="hierarchy",type="anon"`},
			{ID: metric.NUMAHierarchicalUnevictable, Labels: `,scope="hierarchy",type="unevictable"`},
		}},
		{Name: "container_memory_pgscan_total", Help: "Cumulative number of pages scanned by the page reclaim algorithm.", Kind: counter, Group: "memory", Numbers: one(metric.MemoryPagesScanned)},
		{Name: "container_memory_pgsteal_total", Help: "Cumulative number of pages reclaimed by the page reclaim algorithm.", Kind: counter, Group: "memory", Numbers: one(metric.MemoryPagesReclaimed)},
		{Name: "container_memory_rss", Help: "Size of RSS in bytes.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryRSS)},
		{Name: "container_memory_swap", Help: "Container swap usage in bytes.", Kind: gauge, Group: "memory", Numbers: one(metric.MemorySwap)},
		{Name: "container_memory_total_active_file_bytes", Help: "Current total active file in bytes.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryActiveFile)},
		{Name: "container_memory_total_inactive_file_bytes", Help: "Current total inactive file in bytes.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryInactiveFile)},
		{Name: "container_memory_usage_bytes", Help: "Current memory usage in bytes, including all memory regardless of when it was accessed", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryUsage)},
		{Name: "container_memory_working_set_bytes", Help: "Current working set in bytes.", Kind: gauge, Group: "memory", Numbers: one(metric.MemoryWorkingSet)},
		{Name: "container_memory_workingset_refault_anon_total", Help: "Cumulative number of refaults of previously evicted anonymous pages.", Kind: counter, Group: "memory", Numbers: one(metric.MemoryRefaultsAnon)},
		{Name: "container_memory_workingset_refault_file_total", Help: "Cumulative number of refaults of previously evicted file pages.", Kind: counter, Group: "memory", Numbers: one(metric.MemoryRefaultsFile)},
		{Name: "container_network_receive_bytes_total", Help: "Cumulative count of bytes received", Kind: counter, Group: "network", Numbers: one(metric.NetworkReceiveBytes)},
		{Name: "container_network_receive_errors_total", Help: "Cumulative count of errors encountered while receiving", Kind: counter, Group: "network", Numbers: one(metric.NetworkReceiveErrors)},
		{Name: "container_network_receive_packets_dropped_total", Help: "Cumulative count of packets dropped while receiving", Kind: counter, Group: "network", Numbers: one(metric.NetworkReceiveDropped)},
		{Name: "container_network_receive_packets_total", Help: "Cumulative count of packets received", Kind: counter, Group: "network", Numbers: one(metric.NetworkReceivePackets)},
		{Name: "container_network_transmit_bytes_total", Help: "Cumulative count of bytes transmitted", Kind: counter, Group: "network", Numbers: one(metric.NetworkTransmitBytes)},
		{Name: "container_network_transmit_errors_total", Help: "Cumulative count of errors encountered while transmitting", Kind: counter, Group: "network", Numbers: one(metric.NetworkTransmitErrors)},
		{Name: "container_network_transmit_packets_dropped_total", Help: "Cumulative count of packets dropped while transmitting", Kind: counter, Group: "network", Numbers: one(metric.NetworkTransmitDropped)},
		{Name: "container_network_transmit_packets_total", Help: "Cumulative count of packets transmitted", Kind: counter, Group: "network", Numbers: one(metric.NetworkTransmitPackets)},
		{Name: "container_oom_events_total", Help: "Count of out of memory events observed for the container", Kind: counter, Group: "oom_event", AfterEnd: true, Numbers: one(metric.MemoryOOMKills)},
		{Name: "container_pressure_cpu_stalled_seconds_total", Help: "Total time duration no tasks in the container could make progress due to CPU congestion.", Kind: counter, Group: "pressure", Numbers: one(metric.PressureCPUFull)},
		{Name: "container_pressure_cpu_waiting_seconds_total", Help: "Total time duration tasks in the container have waited due to CPU congestion.", Kind: counter, Group: "pressure", Numbers: one(metric.PressureCPUSome)},
		{Name: "container_pressure_io_stalled_seconds_total", Help: "Total time duration no tasks in the container could make progress due to IO congestion.", Kind: counter, Group: "pressure", Numbers: one(metric.PressureIOFull)},
		{Name: "container_pressure_io_waiting_seconds_total", Help: "Total time duration tasks in the container have waited due to IO congestion.", Kind: counter, Group: "pressure", Numbers: one(metric.PressureIOSome)},
		{Name: "container_pressure_memory_stalled_seconds_total", Help: "Total time duration no tasks in the container could make progress due to memory congestion.", Kind: counter, Group: "pressure", Numbers: one(metric.PressureMemoryFull)},
		{Name: "container_pressure_memory_waiting_seconds_total", Help: "Total time duration tasks in the container have waited due to memory congestion.", Kind: counter, Group: "pressure", Numbers: one(metric.PressureMemorySome)},
		{Name: "container_spec_cpu_period", Help: "CPU period of the container.", Kind: gauge, Time: NoTime, Numbers: one(metric.CPUPeriod)},
		{Name: "container_spec_cpu_quota", Help: "CPU quota of the container.", Kind: gauge, Time: NoTime, Numbers: one(metric.CPUQuota)},
		{Name: "container_spec_cpu_shares", Help: "CPU share of the container.", Kind: gauge, Time: NoTime, Numbers: one(metric.CPUShares)},
		{Name: "container_spec_memory_limit_bytes", Help: "Memory limit for the container.", Kind: gauge, Time: NoTime, Of: memoryLimit},
		{Name: "container_spec_memory_reservation_limit_bytes", Help: "Memory reservation limit for the container.", Kind: gauge, Time: NoTime, Of: limitOf(metric.MemoryReservation)},
		{Name: "container_spec_memory_swap_limit_bytes", Help: "Memory swap limit for the container.", Kind: gauge, Time: NoTime, Of: swapLimit},
		{Name: "container_start_time_seconds", Help: "Start time of the container since unix epoch in seconds.", Kind: gauge, Time: NoTime, Of: lastStart},
	}
}

// lastStart is the last start; where it can't be known, the creation. A container that is
// only being started has none: the creation would be taken for a start before it.
func lastStart(o *Observation) (float64, bool) {
	switch c := o.Container; {
	case !c.Started.IsZero():
		return unix(c.Started)
	case c.State == "created":
		return 0, false
	default:
		return unix(c.Created)
	}
}

func unix(t time.Time) (float64, bool) { return float64(t.Unix()), !t.IsZero() }

// healthState is 1 for healthy, -1 for a container without a health check, and else 0.
func healthState(o *Observation) (float64, bool) {
	switch o.Container.Health {
	case "healthy":
		return 1, true
	case "":
		return -1, true
	}
	return 0, true
}

// memoryLimit is the machine's memory for the node, and 0 where there is no limit.
func memoryLimit(o *Observation) (float64, bool) {
	if o.Container.Path == metric.Root {
		return float64(o.Node.MemoryBytes), o.Node.MemoryBytes > 0
	}
	return limitOf(metric.MemoryLimit)(o)
}

// limitOf returns a limit as a family: 0 where there is none, absent where usage, too, isn't
// known.
func limitOf(id metric.ID) func(o *Observation) (float64, bool) {
	return func(o *Observation) (float64, bool) {
		v, _ := o.Sample.Get(id)
		_, counted := o.Sample.Get(metric.MemoryUsage)
		return float64(v), counted
	}
}

// swapLimit is the limit of memory and swap together, which is what users set by Docker's
// --memory-swap and what cAdvisor shows on cgroup v1, on v2, too.
func swapLimit(o *Observation) (float64, bool) {
	_, counted := o.Sample.Get(metric.MemoryUsage)
	memory, _ := o.Sample.Get(metric.MemoryLimit)
	swap, limited := o.Sample.Get(metric.MemorySwapLimit)
	if !limited {
		return 0, counted
	}
	return float64(memory + swap), counted
}
