package cadvisor

import (
	"math"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Fill makes v say what the sample s says of the container c. It keeps neither of them
// (strings are shared, and immutable) and allocates only for rows and devices that v has
// not held before. Network is nil when s has no interfaces, which is so for cgroups
// without a network namespace of their own.
func (v *ContainerStats) Fill(c *metric.Container, s *metric.Sample) {
	v.Timestamp = time.Unix(0, s.Time).UTC()
	v.fillCPU(s)
	v.fillDiskIO(s)
	v.fillMemory(s)
	v.fillNetwork(s)
	v.fillFilesystem(s)
	v.TaskStats = TaskStats{
		Sleeping:        number(s, metric.TasksSleeping, 0),
		Running:         number(s, metric.TasksRunning, 0),
		Stopped:         number(s, metric.TasksStopped, 0),
		Uninterruptible: number(s, metric.TasksUninterruptible, 0),
		IOWait:          number(s, metric.TasksIOWait, 0),
	}
	v.fillProcesses(s)
	v.ReferencedMemory = number(s, metric.MemoryReferenced, 0)
	v.HugePages = v.HugePages.fill(s)
	v.Resctrl.fill(s)
	v.CPUSet = CPUSet{MemoryMigrate: number(s, metric.CPUSetMemoryMigrate, 0)}
	v.OOMEvents = number(s, metric.MemoryOOMKills, 0)
	v.Health.Status = c.Health
}

// number returns what cAdvisor would print: zero for what was not read. So it does for
// what exceeds a signed 64-bit integer: no kernel means such a number, and Elasticsearch
// would refuse the whole document for it.
func number(s *metric.Sample, id metric.ID, row int) uint64 {
	if n, read := s.GetRow(id, row); read && n <= math.MaxInt64 {
		return n
	}
	return 0
}

// resize returns list with n elements, in its own memory if that suffices. The
// elements' contents are left over from earlier use.
func resize[T any](list []T, n int) []T {
	if n <= cap(list) {
		return list[:n]
	}
	return make([]T, n)
}

func (v *ContainerStats) fillCPU(s *metric.Sample) {
	perCPU := v.CPU.Usage.PerCPU
	if s.Read(metric.PerCPU) {
		perCPU = resize(perCPU, s.Rows(metric.PerCPU))
		for row := range perCPU {
			perCPU[row] = number(s, metric.CPUUsagePerCPU, row)
		}
	} else {
		perCPU = perCPU[:0]
	}
	v.CPU = CPU{
		Usage: CPUUsage{
			Total:  number(s, metric.CPUUsage, 0),
			PerCPU: perCPU,
			User:   number(s, metric.CPUUser, 0),
			System: number(s, metric.CPUSystem, 0),
		},
		CFS: CFS{
			Periods:          number(s, metric.CPUPeriods, 0),
			ThrottledPeriods: number(s, metric.CPUThrottledPeriods, 0),
			ThrottledTime:    number(s, metric.CPUThrottledTime, 0),
			BurstsPeriods:    number(s, metric.CPUBursts, 0),
			BurstTime:        number(s, metric.CPUBurstTime, 0),
		},
		Schedstat: Schedstat{
			RunTime:      number(s, metric.SchedRunTime, 0),
			RunqueueTime: number(s, metric.SchedWaitTime, 0),
			RunPeriods:   number(s, metric.SchedTimeslices, 0),
		},
		LoadAverage:  int32(min(number(s, metric.LoadAverage, 0), math.MaxInt32)),
		LoadDAverage: int32(min(number(s, metric.LoadUninterruptible, 0), math.MaxInt32)),
		PSI:          PSI{Full: stall(s, metric.PressureCPUFull), Some: stall(s, metric.PressureCPUSome)},
	}
}

// stall reads the four numbers of a pressure line, which stand in a row in the table:
// total (ns), avg10, avg60, avg300 (hundredths of a percent).
func stall(s *metric.Sample, total metric.ID) Stall {
	return Stall{
		Total:  number(s, total, 0) / 1000,
		Avg10:  float64(number(s, total+1, 0)) / 100,
		Avg60:  float64(number(s, total+2, 0)) / 100,
		Avg300: float64(number(s, total+3, 0)) / 100,
	}
}

func (v *ContainerStats) fillDiskIO(s *metric.Sample) {
	v.DiskIO = DiskIO{
		IOServiceBytes: v.perDisk(v.DiskIO.IOServiceBytes[:0], s,
			metric.DiskReadBytes, metric.DiskWriteBytes, metric.DiskDiscardBytes),
		IOServiced: v.perDisk(v.DiskIO.IOServiced[:0], s,
			metric.DiskReadOperations, metric.DiskWriteOperations, metric.DiskDiscardOperations),
		PSI: PSI{Full: stall(s, metric.PressureIOFull), Some: stall(s, metric.PressureIOSome)},
	}
}

// perDisk appends the devices of which reads or writes were read.
func (v *ContainerStats) perDisk(list []PerDisk, s *metric.Sample, read, write, discard metric.ID) []PerDisk {
	for row := range s.Rows(metric.PerDevice) {
		_, hasRead := s.GetRow(read, row)
		_, hasWrite := s.GetRow(write, row)
		if !hasRead && !hasWrite {
			continue
		}
		key := s.Key(metric.PerDevice, row)
		list = append(list, PerDisk{
			Device: v.devicePath(key.Name),
			Major:  uint64(key.Major),
			Minor:  uint64(key.Minor),
			Stats: DiskStats{
				Discard: number(s, discard, row),
				Read:    number(s, read, row),
				Write:   number(s, write, row),
			},
		})
	}
	return list
}

// devicePath returns "/dev/<name>", and "" for a name that is only numbers ("259:0").
func (v *ContainerStats) devicePath(name string) string {
	if path, known := v.deviceNames[name]; known {
		return path
	}
	path := ""
	if !strings.Contains(name, ":") {
		path = "/dev/" + name
	}
	if v.deviceNames == nil {
		v.deviceNames = make(map[string]string)
	}
	v.deviceNames[name] = path
	return path
}

func (v *ContainerStats) fillMemory(s *metric.Sample) {
	faults := MemoryFaults{
		PgFault:    number(s, metric.MemoryPageFaults, 0),
		PgMajFault: number(s, metric.MemoryMajorPageFaults, 0),
	}
	alone, all := faults, faults
	alone.NUMAStats = v.Memory.ContainerData.NUMAStats.fill(s, metric.NUMAFile, metric.NUMAAnon, metric.NUMAUnevictable)
	all.NUMAStats = v.Memory.HierarchicalData.NUMAStats.fill(s, metric.NUMAHierarchicalFile, metric.NUMAHierarchicalAnon, metric.NUMAHierarchicalUnevictable)
	v.Memory = Memory{
		Usage:                 number(s, metric.MemoryUsage, 0),
		MaxUsage:              number(s, metric.MemoryPeak, 0),
		Cache:                 number(s, metric.MemoryCache, 0),
		RSS:                   number(s, metric.MemoryRSS, 0),
		Swap:                  number(s, metric.MemorySwap, 0),
		MappedFile:            number(s, metric.MemoryMappedFile, 0),
		WorkingSet:            number(s, metric.MemoryWorkingSet, 0),
		TotalActiveFile:       number(s, metric.MemoryActiveFile, 0),
		TotalInactiveFile:     number(s, metric.MemoryInactiveFile, 0),
		FileDirty:             number(s, metric.MemoryDirty, 0),
		FileWriteback:         number(s, metric.MemoryWriteback, 0),
		PgScan:                number(s, metric.MemoryPagesScanned, 0),
		PgSteal:               number(s, metric.MemoryPagesReclaimed, 0),
		WorkingsetRefaultFile: number(s, metric.MemoryRefaultsFile, 0),
		WorkingsetRefaultAnon: number(s, metric.MemoryRefaultsAnon, 0),
		Failcnt:               number(s, metric.MemoryFailures, 0),
		Kernel:                number(s, metric.MemoryKernel, 0),
		ContainerData:         alone,
		HierarchicalData:      all,
		PSI:                   PSI{Full: stall(s, metric.PressureMemoryFull), Some: stall(s, metric.PressureMemorySome)},
		Events: MemoryEvents{
			High: number(s, metric.MemoryHighEvents, 0),
			Max:  number(s, metric.MemoryMaxEvents, 0),
		},
	}
}

func (v *ContainerStats) fillNetwork(s *metric.Sample) {
	if !s.Read(metric.PerInterface) && !s.Read(metric.PerSocket) && !s.Read(metric.PerTCP) {
		v.Network = nil
		return
	}
	list := resize(v.network.Interfaces, s.Rows(metric.PerInterface))
	for row := range list {
		list[row] = Interface{
			Name:      s.Key(metric.PerInterface, row).Name,
			RxBytes:   number(s, metric.NetworkReceiveBytes, row),
			RxPackets: number(s, metric.NetworkReceivePackets, row),
			RxErrors:  number(s, metric.NetworkReceiveErrors, row),
			RxDropped: number(s, metric.NetworkReceiveDropped, row),
			TxBytes:   number(s, metric.NetworkTransmitBytes, row),
			TxPackets: number(s, metric.NetworkTransmitPackets, row),
			TxErrors:  number(s, metric.NetworkTransmitErrors, row),
			TxDropped: number(s, metric.NetworkTransmitDropped, row),
		}
	}
	v.network = Network{Interfaces: list}
	if len(list) > 0 {
		v.network.Interface = list[0]
	}
	v.network.fillSockets(s)
	v.Network = &v.network
}

func (n *Network) fillSockets(s *metric.Sample) {
	for row := range s.Rows(metric.PerSocket) {
		switch s.Key(metric.PerSocket, row).Name {
		case "tcp":
			n.TCP = tcp(s, row)
		case "tcp6":
			n.TCP6 = tcp(s, row)
		case "udp":
			n.UDP = udp(s, row)
		case "udp6":
			n.UDP6 = udp(s, row)
		}
	}
	if s.Read(metric.PerTCP) {
		for i := range n.TCPAdvanced {
			v, _ := s.Get(metric.TCPCounter + metric.ID(i))
			n.TCPAdvanced[i] = int64(v) // MaxConn may be -1
		}
	}
}

func tcp(s *metric.Sample, row int) TCP {
	return TCP{
		Established: number(s, metric.TCPEstablished, row),
		SynSent:     number(s, metric.TCPSynSent, row),
		SynRecv:     number(s, metric.TCPSynRecv, row),
		FinWait1:    number(s, metric.TCPFinWait1, row),
		FinWait2:    number(s, metric.TCPFinWait2, row),
		TimeWait:    number(s, metric.TCPTimeWait, row),
		Close:       number(s, metric.TCPClose, row),
		CloseWait:   number(s, metric.TCPCloseWait, row),
		LastAck:     number(s, metric.TCPLastAck, row),
		Listen:      number(s, metric.TCPListen, row),
		Closing:     number(s, metric.TCPClosing, row),
	}
}

func udp(s *metric.Sample, row int) UDP {
	return UDP{
		Listen:   number(s, metric.UDPListen, row),
		Dropped:  number(s, metric.UDPDropped, row),
		RxQueued: number(s, metric.UDPReceiveQueued, row),
		TxQueued: number(s, metric.UDPTransmitQueued, row),
	}
}

func (v *ContainerStats) fillProcesses(s *metric.Sample) {
	if _, read := s.Get(metric.Processes); !read {
		v.Processes = nil
		return
	}
	p := &v.processes
	*p = Processes{
		ProcessCount:   number(s, metric.Processes, 0),
		FDCount:        number(s, metric.FileDescriptors, 0),
		SocketCount:    number(s, metric.Sockets, 0),
		ThreadsCurrent: number(s, metric.PidsCurrent, 0),
		ThreadsMax:     number(s, metric.PidsLimit, 0),
	}
	if _, read := s.Get(metric.OpenFilesLimit); read {
		p.ulimit[0] = Ulimit{"max_open_files", ulimit(s, metric.OpenFilesLimit), ulimit(s, metric.OpenFilesHardLimit)}
		p.Ulimits = p.ulimit[:]
	}
	v.Processes = p
}

// ulimit returns a limit, -1 for none.
func ulimit(s *metric.Sample, id metric.ID) int64 {
	if v, limited := s.Get(id); limited && v <= math.MaxInt64 {
		return int64(v)
	}
	return -1
}

func (v *ContainerStats) fillFilesystem(s *metric.Sample) {
	v.Filesystem = resize(v.Filesystem, s.Rows(metric.PerFilesystem))
	for row := range v.Filesystem {
		key := s.Key(metric.PerFilesystem, row)
		_, hasInodes := s.GetRow(metric.FilesystemInodes, row)
		f := Filesystem{
			Device:     key.Name,
			Type:       filesystemType(key.Type),
			Capacity:   number(s, metric.FilesystemCapacity, row),
			Usage:      number(s, metric.FilesystemUsed, row),
			BaseUsage:  number(s, metric.StorageLayer, 0), // which the node hasn't got
			Available:  number(s, metric.FilesystemAvailable, row),
			HasInodes:  hasInodes,
			Inodes:     number(s, metric.FilesystemInodes, row),
			InodesFree: number(s, metric.FilesystemInodesFree, row),
		}
		// Of the disk these are for the node, and of the container for a container: its
		// sample has no others.
		if disk := s.RowByDevice(metric.PerDevice, key.Major, key.Minor); disk >= 0 {
			const sector, millisecond = 512, 1e6
			f.ReadsCompleted = number(s, metric.DiskReadOperations, disk)
			f.ReadsMerged = number(s, metric.DiskReadsMerged, disk)
			f.SectorsRead = number(s, metric.DiskReadBytes, disk) / sector
			f.ReadTime = number(s, metric.DiskReadTime, disk) / millisecond
			f.WritesCompleted = number(s, metric.DiskWriteOperations, disk)
			f.WritesMerged = number(s, metric.DiskWritesMerged, disk)
			f.SectorsWritten = number(s, metric.DiskWriteBytes, disk) / sector
			f.WriteTime = number(s, metric.DiskWriteTime, disk) / millisecond
			f.IOInProgress = number(s, metric.DiskInFlight, disk)
			f.IOTime = number(s, metric.DiskIOTime, disk) / millisecond
			f.WeightedIOTime = number(s, metric.DiskWeightedIOTime, disk) / millisecond
		}
		v.Filesystem[row] = f
	}
}

// filesystemType returns cAdvisor's word: how it measures, not what the kernel mounted.
func filesystemType(kernel string) string {
	if kernel == "zfs" {
		return "zfs"
	}
	return "vfs"
}
