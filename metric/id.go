package metric

// ID names one number: a row of the table (see Describe). IDs of the same Per are
// contiguous, because a Sample stores each Per as a matrix with one column an ID.
type ID uint16

// One number per cgroup; the root cgroup stands for the node as a whole.
const (
	CPUUsage ID = iota
	CPUUser
	CPUSystem
	CPUPeriods
	CPUThrottledPeriods
	CPUThrottledTime
	CPUBursts
	CPUBurstTime
	CPUQuota
	CPUPeriod
	CPUBurstLimit
	CPUShares
	CPUWeight
	CPUSetCPUs

	MemoryUsage
	MemoryWorkingSet
	MemoryRSS
	MemoryCache
	MemoryMappedFile
	MemoryShmem
	MemorySwap
	MemoryKernel
	MemoryActiveAnon
	MemoryInactiveAnon
	MemoryActiveFile
	MemoryInactiveFile
	MemoryUnevictable
	MemoryDirty
	MemoryWriteback
	MemorySlab
	MemoryPeak
	MemoryFailures
	MemoryPageFaults
	MemoryMajorPageFaults
	MemoryRefaultsAnon
	MemoryRefaultsFile
	MemoryPagesScanned
	MemoryPagesReclaimed
	MemoryLowEvents
	MemoryHighEvents
	MemoryMaxEvents
	MemoryOOMEvents
	MemoryOOMKills
	MemoryLimit
	MemoryReservation
	MemoryMin
	MemoryHigh
	MemorySwapLimit

	PressureCPUSome
	PressureCPUSomeAvg10
	PressureCPUSomeAvg60
	PressureCPUSomeAvg300
	PressureCPUFull
	PressureCPUFullAvg10
	PressureCPUFullAvg60
	PressureCPUFullAvg300
	PressureMemorySome
	PressureMemorySomeAvg10
	PressureMemorySomeAvg60
	PressureMemorySomeAvg300
	PressureMemoryFull
	PressureMemoryFullAvg10
	PressureMemoryFullAvg60
	PressureMemoryFullAvg300
	PressureIOSome
	PressureIOSomeAvg10
	PressureIOSomeAvg60
	PressureIOSomeAvg300
	PressureIOFull
	PressureIOFullAvg10
	PressureIOFullAvg60
	PressureIOFullAvg300

	PidsCurrent
	PidsLimit
	PidsLimitHits

	// Of the processes, read in the background and only when asked for.
	Processes
	FileDescriptors
	Sockets
	OpenFilesLimit
	OpenFilesHardLimit
	SchedRunTime
	SchedWaitTime
	SchedTimeslices
	TasksSleeping
	TasksRunning
	TasksStopped
	TasksUninterruptible
	TasksIOWait
	LoadAverage
	LoadUninterruptible
	MemoryReferenced
	CPUSetMemoryMigrate

	// Of the container's files, counted in the background.
	StorageLayer
	StorageLayerInodes
	StorageLogs
	StorageVolumes
	StorageAsOf

	endContainer
)

// One number per logical CPU.
const (
	CPUUsagePerCPU ID = iota + endContainer

	endCPU
)

// One number per network interface.
const (
	NetworkReceiveBytes ID = iota + endCPU
	NetworkReceivePackets
	NetworkReceiveErrors
	NetworkReceiveDropped
	NetworkTransmitBytes
	NetworkTransmitPackets
	NetworkTransmitErrors
	NetworkTransmitDropped

	endInterface
)

// One number per block device. A cgroup has bytes and operations; the rest exists
// for the node only (/proc/diskstats).
const (
	DiskReadBytes ID = iota + endInterface
	DiskReadOperations
	DiskWriteBytes
	DiskWriteOperations
	DiskDiscardBytes
	DiskDiscardOperations
	DiskReadsMerged
	DiskWritesMerged
	DiskReadTime
	DiskWriteTime
	DiskInFlight
	DiskIOTime
	DiskWeightedIOTime

	endDevice
)

// One number per mounted filesystem of the node.
const (
	FilesystemCapacity ID = iota + endDevice
	FilesystemUsed
	FilesystemAvailable
	FilesystemInodes
	FilesystemInodesFree
	FilesystemFullIn

	endFilesystem
)

// One number per size of huge pages.
const (
	HugePagesUsage ID = iota + endFilesystem
	HugePagesPeak
	HugePagesFailures

	endHugePage
)

// One number per NUMA node of the machine: of the cgroup alone and, where the name says
// so, of the cgroups below it as well. All are pages.
const (
	NUMAFile ID = iota + endHugePage
	NUMAAnon
	NUMAUnevictable
	NUMAHierarchicalFile
	NUMAHierarchicalAnon
	NUMAHierarchicalUnevictable

	endNUMANode
)

// One number per kind of socket ("tcp", "tcp6", "udp", "udp6"): TCP's states, in the
// order of the kernel's (include/net/tcp_states.h), then what there is of UDP.
const (
	TCPEstablished ID = iota + endNUMANode
	TCPSynSent
	TCPSynRecv
	TCPFinWait1
	TCPFinWait2
	TCPTimeWait
	TCPClose
	TCPCloseWait
	TCPLastAck
	TCPListen
	TCPClosing
	UDPListen
	UDPDropped
	UDPReceiveQueued
	UDPTransmitQueued

	endSocket
)

// One number per network namespace: what its TCP has counted. The names are in
// TCPCounters, in the order of cAdvisor's tcp_advanced.
const (
	TCPCounter ID = iota + endSocket

	endTCP = TCPCounter + ID(NumTCPCounters)
)

// One number per level 3 cache of the machine, which the kernel calls a domain.
const (
	CacheOccupancy ID = iota + endTCP
	MemoryBandwidth
	MemoryBandwidthLocal

	endCache
)

// One number per node.
const (
	NodeCPUUser ID = iota + endCache
	NodeCPUNice
	NodeCPUSystem
	NodeCPUIdle
	NodeCPUIOWait
	NodeCPUIRQ
	NodeCPUSoftIRQ
	NodeCPUSteal
	NodeCPUGuest
	NodeLoad1
	NodeLoad5
	NodeLoad15
	NodeTasksRunning
	NodeTasksBlocked
	NodeTasks
	NodeForks
	NodeContextSwitches
	NodeMemoryTotal
	NodeMemoryFree
	NodeMemoryAvailable
	NodeMemoryBuffers
	NodeMemoryCached
	NodeMemorySlab
	NodeMemoryShmem
	NodeMemoryDirty
	NodeMemoryWriteback
	NodeSwapTotal
	NodeSwapFree
	NodeSwapIn
	NodeSwapOut
	NodeMajorPageFaults
	NodeOOMKills
	NodeFileDescriptors
	NodeUptime

	endNode
)

// NumIDs is how many IDs there are; valid IDs are 0 … NumIDs-1.
const NumIDs = int(endNode)

// Per says what there is one number of.
type Per uint8

// The kinds of rows that a Sample has.
const (
	PerContainer Per = iota
	PerCPU
	PerInterface
	PerDevice
	PerFilesystem
	PerHugePage
	PerNUMANode
	PerSocket
	PerTCP
	PerCache
	PerNode

	// NumPer is how many kinds there are.
	NumPer = int(PerNode) + 1
)

// String returns the word that METRICS.md uses.
func (p Per) String() string {
	return [NumPer]string{"container", "CPU", "interface", "device", "filesystem", "huge page size", "NUMA node", "socket kind", "network namespace", "L3 cache", "node"}[p]
}

// ends are the first ID after each Per.
var ends = [NumPer]ID{endContainer, endCPU, endInterface, endDevice, endFilesystem, endHugePage, endNUMANode, endSocket, endTCP, endCache, endNode}

// First returns the first ID of p, which is column 0 of its matrix.
func (p Per) First() ID {
	if p == PerContainer {
		return 0
	}
	return ends[p-1]
}

// Width returns how many IDs p has.
func (p Per) Width() int { return int(ends[p] - p.First()) }

// Per returns what there is one of for each number of id.
func (id ID) Per() Per { return perOf[id] }

var perOf = func() (per [NumIDs]Per) {
	for p := range Per(NumPer) {
		for id := p.First(); id < ends[p]; id++ {
			per[id] = p
		}
	}
	return per
}()

// String returns the field name, which is unique within a Per.
func (id ID) String() string { return table[id].Field }
