package cadvisor

import (
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// ContainerStats is cAdvisor's v1 ContainerStats. Its memory is reused by Fill, so one
// value serves any number of documents; for that reason it must not be copied.
//
// What cAdvisor prints only when an optional group of metrics is switched on is absent as
// it is there: processes, referenced_memory and hugetlb while they aren't read; perf_stats,
// custom_metrics and accelerators always.
type ContainerStats struct {
	Timestamp  time.Time    `json:"timestamp"`
	CPU        CPU          `json:"cpu"`
	DiskIO     DiskIO       `json:"diskio"`
	Memory     Memory       `json:"memory"`
	HugePages  HugePages    `json:"hugetlb,omitempty"`
	Network    *Network     `json:"network,omitempty"`
	Filesystem []Filesystem `json:"filesystem,omitempty"`
	TaskStats  TaskStats    `json:"task_stats"`
	Processes  *Processes   `json:"processes,omitempty"`
	// ReferencedMemory is in bytes.
	ReferencedMemory uint64  `json:"referenced_memory,omitempty"`
	Resctrl          Resctrl `json:"resctrl"`
	CPUSet           CPUSet  `json:"cpuset"`
	// OOMEvents counts processes killed by the OOM killer.
	OOMEvents uint64 `json:"oom_events,omitempty"`
	Health    Health `json:"health"`

	// network is what Network points to when there is one.
	network Network
	// processes is what Processes points to when there are some.
	processes Processes
	// deviceNames keeps "/dev/<name>" for each device name seen, so that a document
	// needn't build the string again.
	deviceNames map[string]string
}

// CPU holds CPU numbers; times are nanoseconds.
type CPU struct {
	Usage     CPUUsage  `json:"usage"`
	CFS       CFS       `json:"cfs"`
	Schedstat Schedstat `json:"schedstat"`
	// LoadAverage and LoadDAverage, in thousandths, come from the load reader, which is
	// off by default.
	LoadAverage  int32 `json:"load_average"`
	LoadDAverage int32 `json:"load_d_average"`
	PSI          PSI   `json:"psi"`
}

// CPUUsage is CPU time used since the cgroup was made, in nanoseconds. PerCPU is empty
// on cgroup v2, which has no such number.
type CPUUsage struct {
	Total  uint64   `json:"total"`
	PerCPU []uint64 `json:"per_cpu_usage,omitempty"`
	User   uint64   `json:"user"`
	System uint64   `json:"system"`
}

// CFS tells how the bandwidth limit was met; times are nanoseconds.
type CFS struct {
	Periods          uint64 `json:"periods"`
	ThrottledPeriods uint64 `json:"throttled_periods"`
	ThrottledTime    uint64 `json:"throttled_time"`
	BurstsPeriods    uint64 `json:"bursts_periods"`
	BurstTime        uint64 `json:"burst_time"`
}

// Schedstat sums the tasks' schedstats, in nanoseconds and timeslices. It is off by default.
type Schedstat struct {
	RunTime      uint64 `json:"run_time"`
	RunqueueTime uint64 `json:"runqueue_time"`
	RunPeriods   uint64 `json:"run_periods"`
}

// PSI is pressure stall information.
type PSI struct {
	Full Stall `json:"full"`
	Some Stall `json:"some"`
}

// Stall is one line of a pressure file: Total in microseconds, as the kernel prints it,
// averages in percent.
type Stall struct {
	Total  uint64  `json:"total"`
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
}

// DiskIO holds bytes and operations by device. An array without elements is absent, as
// are those (io_queued, sectors, io_service_time …) that only the CFQ scheduler's files
// of kernels before 5.0 could fill.
type DiskIO struct {
	IOServiceBytes []PerDisk `json:"io_service_bytes,omitempty"`
	IOServiced     []PerDisk `json:"io_serviced,omitempty"`
	PSI            PSI       `json:"psi"`
}

// PerDisk is one device. Device is "/dev/<name>", or "" when the name isn't known.
type PerDisk struct {
	Device string    `json:"device"`
	Major  uint64    `json:"major"`
	Minor  uint64    `json:"minor"`
	Stats  DiskStats `json:"stats"`
}

// DiskStats counts bytes or operations by kind. cAdvisor's value is a map, hence the
// capitals; Discard is left out when it is zero, as on cgroup v2.
type DiskStats struct {
	Discard uint64 `json:"Discard,omitempty"`
	Read    uint64 `json:"Read"`
	Write   uint64 `json:"Write"`
}

// Memory holds bytes, unless a field says otherwise.
type Memory struct {
	Usage             uint64 `json:"usage"`
	MaxUsage          uint64 `json:"max_usage"`
	Cache             uint64 `json:"cache"`
	RSS               uint64 `json:"rss"`
	Swap              uint64 `json:"swap"`
	MappedFile        uint64 `json:"mapped_file"`
	WorkingSet        uint64 `json:"working_set"`
	TotalActiveFile   uint64 `json:"total_active_file"`
	TotalInactiveFile uint64 `json:"total_inactive_file"`
	FileDirty         uint64 `json:"file_dirty"`
	FileWriteback     uint64 `json:"file_writeback"`
	// Pages.
	PgScan                uint64 `json:"pgscan"`
	PgSteal               uint64 `json:"pgsteal"`
	WorkingsetRefaultFile uint64 `json:"workingset_refault_file"`
	WorkingsetRefaultAnon uint64 `json:"workingset_refault_anon"`
	// Failcnt counts how often usage hit the limit.
	Failcnt          uint64       `json:"failcnt"`
	Kernel           uint64       `json:"kernel"`
	ContainerData    MemoryFaults `json:"container_data"`
	HierarchicalData MemoryFaults `json:"hierarchical_data"`
	PSI              PSI          `json:"psi"`
	Events           MemoryEvents `json:"events"`
}

// MemoryFaults counts page faults, child cgroups included.
type MemoryFaults struct {
	PgFault    uint64 `json:"pgfault"`
	PgMajFault uint64 `json:"pgmajfault"`
	// NUMAStats is empty by default: memory.numa_stat is an optional group.
	NUMAStats NUMAStats `json:"numa_stats"`
}

// MemoryEvents counts lines of cgroup v2's memory.events.
type MemoryEvents struct {
	High uint64 `json:"high"`
	Max  uint64 `json:"max"`
}

// Network is cAdvisor's: the first interface inline, then all of them, then sockets.
type Network struct {
	Interface
	Interfaces  []Interface `json:"interfaces,omitempty"`
	TCP         TCP         `json:"tcp"`
	TCP6        TCP         `json:"tcp6"`
	UDP         UDP         `json:"udp"`
	UDP6        UDP         `json:"udp6"`
	TCPAdvanced TCPAdvanced `json:"tcp_advanced"`
}

// Interface holds one network interface's counters.
type Interface struct {
	Name      string `json:"name"`
	RxBytes   uint64 `json:"rx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxErrors  uint64 `json:"rx_errors"`
	RxDropped uint64 `json:"rx_dropped"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxErrors  uint64 `json:"tx_errors"`
	TxDropped uint64 `json:"tx_dropped"`
}

// TCP counts sockets by their states. Like UDP and TCPAdvanced it is there, and all zero,
// while nobody has asked for it.
type TCP struct {
	Established uint64
	SynSent     uint64
	SynRecv     uint64
	FinWait1    uint64
	FinWait2    uint64
	TimeWait    uint64
	Close       uint64
	CloseWait   uint64
	LastAck     uint64
	Listen      uint64
	Closing     uint64
}

// UDP counts sockets (Listen), what those that are open have dropped, and bytes that wait.
type UDP struct {
	Listen   uint64
	Dropped  uint64
	RxQueued uint64
	TxQueued uint64
}

// TCPAdvanced holds what TCP has counted in a network namespace, in the order of
// metric.TCPCounters, whose names are the keys. MaxConn is -1 where there is no limit.
type TCPAdvanced [metric.NumTCPCounters]int64

// MarshalJSON returns an object with all counters.
func (t TCPAdvanced) MarshalJSON() ([]byte, error) { return t.append(nil), nil }

// Filesystem is one mounted filesystem: bytes, inodes, and the counters of the device
// below it, which has times in milliseconds and sectors of 512 bytes.
type Filesystem struct {
	Device          string `json:"device,omitempty"`
	Type            string `json:"type"`
	Capacity        uint64 `json:"capacity"`
	Usage           uint64 `json:"usage"`
	BaseUsage       uint64 `json:"base_usage"`
	Available       uint64 `json:"available"`
	HasInodes       bool   `json:"has_inodes"`
	Inodes          uint64 `json:"inodes"`
	InodesFree      uint64 `json:"inodes_free"`
	ReadsCompleted  uint64 `json:"reads_completed"`
	ReadsMerged     uint64 `json:"reads_merged"`
	SectorsRead     uint64 `json:"sectors_read"`
	ReadTime        uint64 `json:"read_time"`
	WritesCompleted uint64 `json:"writes_completed"`
	WritesMerged    uint64 `json:"writes_merged"`
	SectorsWritten  uint64 `json:"sectors_written"`
	WriteTime       uint64 `json:"write_time"`
	IOInProgress    uint64 `json:"io_in_progress"`
	IOTime          uint64 `json:"io_time"`
	WeightedIOTime  uint64 `json:"weighted_io_time"`
}

// TaskStats counts tasks by state, which needs the load reader.
type TaskStats struct {
	Sleeping        uint64 `json:"nr_sleeping"`
	Running         uint64 `json:"nr_running"`
	Stopped         uint64 `json:"nr_stopped"`
	Uninterruptible uint64 `json:"nr_uninterruptible"`
	IOWait          uint64 `json:"nr_io_wait"`
}

// Processes is what there is of processes, an optional group.
type Processes struct {
	ProcessCount uint64 `json:"process_count"`
	FDCount      uint64 `json:"fd_count"`
	SocketCount  uint64 `json:"socket_count"`
	// ThreadsCurrent counts processes and threads; ThreadsMax is 0 without a limit.
	ThreadsCurrent uint64   `json:"threads_current,omitempty"`
	ThreadsMax     uint64   `json:"threads_max,omitempty"`
	Ulimits        []Ulimit `json:"ulimits,omitempty"`

	// ulimit is the element of Ulimits.
	ulimit [1]Ulimit
}

// Ulimit is one limit of the first process; -1 is no limit.
type Ulimit struct {
	Name      string `json:"name"`
	SoftLimit int64  `json:"soft_limit"`
	HardLimit int64  `json:"hard_limit"`
}

// CPUSet holds cgroup v1's cpuset.memory_migrate, an optional group.
type CPUSet struct {
	MemoryMigrate uint64 `json:"memory_migrate"`
}

// Health is Docker's health: "starting", "healthy", "unhealthy", or "" without a check.
type Health struct {
	Status string `json:"status"`
}
