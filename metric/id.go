package metric

// ID names one number: a row of the table (see Describe). IDs of the same Per are
// contiguous, because a Sample stores each Per as a matrix with one column an ID.
type ID uint8

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

// One number per node.
const (
	NodeCPUUser ID = iota + endFilesystem
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
	PerNode

	// NumPer is how many kinds there are.
	NumPer = int(PerNode) + 1
)

// String returns the word that METRICS.md uses.
func (p Per) String() string {
	return [NumPer]string{"container", "CPU", "interface", "device", "filesystem", "node"}[p]
}

// ends are the first ID after each Per.
var ends = [NumPer]ID{endContainer, endCPU, endInterface, endDevice, endFilesystem, endNode}

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
