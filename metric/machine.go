package metric

import "time"

// Machine is the hardware of a node as its kernel shows it. Immutable once handed over.
type Machine struct {
	// Node is who the machine is, and what a node's document says of it.
	Node *Node
	// Time is when the machine was looked at.
	Time time.Time
	// SystemUUID is the firmware's id of the machine; "" where there is none, or where only
	// root may read it.
	SystemUUID string
	// Vendor is the CPU's maker in its own word ("AuthenticAMD").
	Vendor string
	// CPUKilohertz is the highest frequency of the CPUs, or the present one where nothing
	// scales it; 0 while it isn't known.
	CPUKilohertz uint64
	// Sockets, Books and Drawers count what the CPUs sit in. Books and drawers are s390's,
	// and 0 elsewhere. Sockets is 0 while it isn't known.
	Sockets, Books, Drawers int
	// SwapBytes is the swap space, in use or not.
	SwapBytes uint64
	// DIMMs are the memory modules by type, sorted by it; only machines whose memory
	// controller reports errors (EDAC) tell of them.
	DIMMs []DIMMs
	// HugePages are the pools of huge pages, those of all NUMA nodes together.
	HugePages []HugePages
	// Disks are whole block devices, sorted by name, without loop devices, RAM disks and
	// optical drives.
	Disks []Disk
	// Interfaces are the network interfaces of the node, sorted by name, without loopback
	// and what container engines make; nil where only the agent's own can be seen.
	Interfaces []Interface
	// NUMANodes are the nodes of the topology, sorted by their numbers: a single one where
	// the kernel doesn't know of any.
	NUMANodes []NUMANode
}

// PhysicalCores counts the cores of all NUMA nodes; 0 while it isn't known.
func (m *Machine) PhysicalCores() int {
	n := 0
	for i := range m.NUMANodes {
		n += len(m.NUMANodes[i].Cores)
	}
	return n
}

// DIMMs are the memory modules of one type ("Registered-DDR4").
type DIMMs struct {
	Type  string
	Bytes uint64
	Count int
}

// HugePages is a pool of huge pages of one size.
type HugePages struct {
	PageBytes uint64
	Count     uint64
}

// Disk is a whole block device.
type Disk struct {
	Name         string
	Major, Minor uint32
	Bytes        uint64
	// Scheduler is the IO scheduler at work, "none" for none.
	Scheduler string
}

// Interface is a network interface. MegabitsPerSecond is the kernel's number: -1 where the
// speed isn't known, 0 where there can be none.
type Interface struct {
	Name, Address     string
	MegabitsPerSecond int64
	MTU               int64
}

// NUMANode is one node of the topology.
type NUMANode struct {
	ID        int
	Bytes     uint64
	HugePages []HugePages
	// Cores are sorted by their lowest thread.
	Cores []Core
	// Caches are those that all CPUs of the node share.
	Caches []Cache
	// Distances are the relative costs of access to the memory of each node, itself
	// included, which is 10.
	Distances []uint64
}

// Core is one physical core. ID is unique in a socket at most; on some machines not even
// there.
type Core struct {
	ID, Socket int
	// Threads are the numbers of its logical CPUs that are online.
	Threads []int
	// Caches are its own, Uncore those that it shares with some of the node's cores.
	Caches, Uncore []Cache
}

// Cache is a cache of a CPU. Type is "Data", "Instruction" or "Unified".
type Cache struct {
	ID    int
	Bytes uint64
	Type  string
	Level int
}
