package cadvisor

import (
	"slices"
	"strconv"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// CPUInst is the CPU use between two samples, in nanocores: billionths of a core.
type CPUInst struct {
	Total, User, System uint64
	PerCPU              []uint64
}

// Fill computes the use from prev to cur, and reports whether it is known: not if a counter
// fell, or if the CPUs aren't the same. It reuses the memory of c.
func (c *CPUInst) Fill(prev, cur *metric.Sample) bool {
	elapsed := cur.Time - prev.Time
	if elapsed <= 0 || cur.Rows(metric.PerCPU) != prev.Rows(metric.PerCPU) {
		return false
	}
	known := true
	nanocores := func(id metric.ID, row int) uint64 {
		used, ok := cur.Increase(prev, id, row)
		known = known && ok
		return uint64(float64(used) / float64(elapsed) * 1e9)
	}
	c.Total = nanocores(metric.CPUUsage, 0)
	c.User = nanocores(metric.CPUUser, 0)
	c.System = nanocores(metric.CPUSystem, 0)
	c.PerCPU = c.PerCPU[:0]
	for row := range cur.Rows(metric.PerCPU) {
		c.PerCPU = append(c.PerCPU, nanocores(metric.CPUUsagePerCPU, row))
	}
	return known
}

func (c *CPUInst) append(dst []byte) []byte {
	if c == nil {
		return dst
	}
	dst = appendUint(dst, `,"cpu_inst":{"usage":{"total":`, c.Total)
	for i, used := range c.PerCPU {
		dst = appendElement(dst, `,"per_cpu_usage":[`, i)
		dst = strconv.AppendUint(dst, used, 10)
	}
	dst = appendEnd(dst, len(c.PerCPU))
	dst = appendUint(dst, `,"user":`, c.User)
	dst = appendUint(dst, `,"system":`, c.System)
	return append(dst, "}}"...)
}

// AppendJSON21 appends v in the shape of API v2.1: what spec says that the container has.
// inst is nil for the first sample of an answer; inodes are those of its own layer.
func (v *ContainerStats) AppendJSON21(dst []byte, spec *ContainerSpec, inst *CPUInst, inodes uint64) []byte {
	dst = v.appendTimestamp(dst)
	if spec.HasCPU {
		dst = inst.append(v.CPU.append(dst))
	}
	if spec.HasDiskIO {
		dst = v.DiskIO.append(dst)
	}
	if spec.HasMemory {
		dst = v.Memory.append(dst)
	}
	if len(v.HugePages) > 0 {
		dst = v.HugePages.append(append(dst, `,"hugetlb":`...))
	}
	if spec.HasNetwork && v.Network != nil {
		dst = v.Network.appendV2(dst)
	}
	if v.Processes != nil {
		dst = v.Processes.append(dst)
	}
	if len(v.Filesystem) == 1 {
		dst = v.Filesystem[0].appendSummary(dst, inodes)
	}
	if v.ReferencedMemory != 0 {
		dst = appendUint(dst, `,"referenced_memory":`, v.ReferencedMemory)
	}
	return append(v.Resctrl.append(dst), '}')
}

// AppendMachineJSON appends v, which is the node's, in the shape of API v2.1's machinestats.
func (v *ContainerStats) AppendMachineJSON(dst []byte, spec *ContainerSpec, inst *CPUInst) []byte {
	dst = v.appendTimestamp(dst)
	if spec.HasCPU {
		dst = inst.append(v.CPU.append(dst))
	}
	if spec.HasMemory {
		dst = v.Memory.append(dst)
	}
	if v.Network != nil {
		dst = v.Network.appendV2(dst)
	}
	for i := range v.Filesystem {
		dst = appendElement(dst, `,"filesystem":[`, i)
		dst = v.Filesystem[i].appendMachine(dst)
	}
	dst = appendEnd(dst, len(v.Filesystem))
	return append(dst, '}')
}

// AppendJSON20 appends v in the shape of API v2.0: everything, and before each part whether
// the container has it.
func (v *ContainerStats) AppendJSON20(dst []byte, spec *ContainerSpec, inst *CPUInst) []byte {
	dst = v.appendTimestamp(dst)
	dst = appendBool(dst, `,"has_cpu":`, spec.HasCPU)
	dst = inst.append(v.CPU.append(dst))
	dst = appendBool(dst, `,"has_diskio":`, spec.HasDiskIO)
	dst = v.DiskIO.append(dst)
	dst = appendBool(dst, `,"has_memory":`, spec.HasMemory)
	dst = v.Memory.append(dst)
	dst = appendBool(dst, `,"has_hugetlb":`, spec.HasHugetlb)
	if len(v.HugePages) > 0 {
		dst = v.HugePages.append(append(dst, `,"hugetlb":`...))
	}
	dst = appendBool(dst, `,"has_network":`, spec.HasNetwork)
	network := v.Network
	if network == nil {
		network = &Network{}
	}
	dst = network.appendV2(dst)
	dst = appendBool(dst, `,"has_processes":`, spec.HasProcesses)
	processes := v.Processes
	if processes == nil {
		processes = &Processes{}
	}
	dst = processes.append(dst)
	dst = appendBool(dst, `,"has_filesystem":`, spec.HasFilesystem)
	for i := range v.Filesystem {
		dst = appendElement(dst, `,"filesystem":[`, i)
		dst = v.Filesystem[i].append(dst)
	}
	dst = appendEnd(dst, len(v.Filesystem))
	dst = append(dst, `,"has_load":false`...)
	dst = v.TaskStats.appendAs(dst, `,"load_stats":`)
	dst = append(dst, `,"has_custom_metrics":false`...)
	return append(v.Resctrl.append(dst), '}')
}

func (v *ContainerStats) appendTimestamp(dst []byte) []byte {
	dst = append(dst, `{"timestamp":"`...)
	dst = v.Timestamp.AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

// appendV2 appends what API v2 has of a network: without the first interface inline.
func (n *Network) appendV2(dst []byte) []byte {
	dst = append(dst, `,"network":{`...)
	for i := range n.Interfaces {
		dst = appendElement(dst, `"interfaces":[`, i)
		dst = n.Interfaces[i].append(append(dst, '{'))
		dst = append(dst, '}')
	}
	dst = appendEnd(dst, len(n.Interfaces))
	first := len(dst)
	dst = n.appendSockets(dst)
	if len(n.Interfaces) == 0 {
		dst = slices.Delete(dst, first, first+1) // no comma before the first member
	}
	return append(dst, '}')
}

// appendSummary appends what API v2.1 says of the only filesystem of a container. The odd
// spelling is cAdvisor's.
func (f *Filesystem) appendSummary(dst []byte, inodes uint64) []byte {
	dst = appendUint(dst, `,"filesystem":{"totalUsageBytes":`, f.Usage)
	dst = appendUint(dst, `,"baseUsageBytes":`, f.BaseUsage)
	dst = appendUint(dst, `,"containter_inode_usage":`, inodes)
	return append(dst, '}')
}

// appendMachine appends a filesystem as machinestats has it: with the counters of the
// device below a key that is called inline, and durations in nanoseconds.
func (f *Filesystem) appendMachine(dst []byte) []byte {
	const millisecond = 1e6
	dst = append(dst, `{"device":`...)
	dst = AppendString(dst, f.Device)
	dst = append(dst, `,"type":`...)
	dst = AppendString(dst, f.Type)
	dst = appendUint(dst, `,"capacity":`, f.Capacity)
	dst = appendUint(dst, `,"usage":`, f.Usage)
	dst = appendUint(dst, `,"available":`, f.Available)
	dst = appendUint(dst, `,"inodes_free":`, f.InodesFree)
	dst = appendUint(dst, `,"inline":{"reads_completed":`, f.ReadsCompleted)
	dst = appendUint(dst, `,"reads_merged":`, f.ReadsMerged)
	dst = appendUint(dst, `,"sectors_read":`, f.SectorsRead)
	dst = appendUint(dst, `,"read_duration":`, f.ReadTime*millisecond)
	dst = appendUint(dst, `,"writes_completed":`, f.WritesCompleted)
	dst = appendUint(dst, `,"writes_merged":`, f.WritesMerged)
	dst = appendUint(dst, `,"sectors_written":`, f.SectorsWritten)
	dst = appendUint(dst, `,"write_duration":`, f.WriteTime*millisecond)
	dst = appendUint(dst, `,"io_in_progress":`, f.IOInProgress)
	dst = appendUint(dst, `,"io_duration":`, f.IOTime*millisecond)
	dst = appendUint(dst, `,"weighted_io_duration":`, f.WeightedIOTime*millisecond)
	return append(dst, "}}"...)
}

func appendBool(dst []byte, key string, b bool) []byte {
	return strconv.AppendBool(append(dst, key...), b)
}
