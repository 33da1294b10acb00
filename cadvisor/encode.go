package cadvisor

import (
	"math"
	"strconv"

	"github.com/swarmgauge/swarmgauge/metric"
)

// AppendJSON appends v as JSON to dst and returns the extended slice. The bytes are those
// of encoding/json.Marshal(v), without its allocations and in less than a tenth of its time. The
// averages must be finite and the timestamp's year have four digits.
func (v *ContainerStats) AppendJSON(dst []byte) []byte {
	dst = v.CPU.append(v.appendTimestamp(dst))
	dst = v.DiskIO.append(dst)
	dst = v.Memory.append(dst)
	if len(v.HugePages) > 0 {
		dst = v.HugePages.append(append(dst, `,"hugetlb":`...))
	}
	if v.Network != nil {
		dst = v.Network.append(dst)
	}
	for i := range v.Filesystem {
		dst = appendElement(dst, `,"filesystem":[`, i)
		dst = v.Filesystem[i].append(dst)
	}
	dst = appendEnd(dst, len(v.Filesystem))
	dst = v.TaskStats.append(dst)
	if v.Processes != nil {
		dst = v.Processes.append(dst)
	}
	if v.ReferencedMemory != 0 {
		dst = appendUint(dst, `,"referenced_memory":`, v.ReferencedMemory)
	}
	dst = v.Resctrl.append(dst)
	dst = appendUint(dst, `,"cpuset":{"memory_migrate":`, v.CPUSet.MemoryMigrate)
	dst = append(dst, '}')
	if v.OOMEvents != 0 {
		dst = appendUint(dst, `,"oom_events":`, v.OOMEvents)
	}
	dst = append(dst, `,"health":{"status":`...)
	dst = AppendString(dst, v.Health.Status)
	return append(dst, "}}"...)
}

func (c *CPU) append(dst []byte) []byte {
	dst = appendUint(dst, `,"cpu":{"usage":{"total":`, c.Usage.Total)
	for i, used := range c.Usage.PerCPU {
		dst = appendElement(dst, `,"per_cpu_usage":[`, i)
		dst = strconv.AppendUint(dst, used, 10)
	}
	dst = appendEnd(dst, len(c.Usage.PerCPU))
	dst = appendUint(dst, `,"user":`, c.Usage.User)
	dst = appendUint(dst, `,"system":`, c.Usage.System)
	dst = appendUint(dst, `},"cfs":{"periods":`, c.CFS.Periods)
	dst = appendUint(dst, `,"throttled_periods":`, c.CFS.ThrottledPeriods)
	dst = appendUint(dst, `,"throttled_time":`, c.CFS.ThrottledTime)
	dst = appendUint(dst, `,"bursts_periods":`, c.CFS.BurstsPeriods)
	dst = appendUint(dst, `,"burst_time":`, c.CFS.BurstTime)
	dst = appendUint(dst, `},"schedstat":{"run_time":`, c.Schedstat.RunTime)
	dst = appendUint(dst, `,"runqueue_time":`, c.Schedstat.RunqueueTime)
	dst = appendUint(dst, `,"run_periods":`, c.Schedstat.RunPeriods)
	dst = append(dst, `},"load_average":`...)
	dst = strconv.AppendInt(dst, int64(c.LoadAverage), 10)
	dst = append(dst, `,"load_d_average":`...)
	dst = strconv.AppendInt(dst, int64(c.LoadDAverage), 10)
	dst = c.PSI.append(append(dst, ','))
	return append(dst, '}')
}

func (p *PSI) append(dst []byte) []byte {
	if *p == (PSI{}) { // most containers wait for nothing
		return append(dst, `"psi":{"full":{"total":0,"avg10":0,"avg60":0,"avg300":0},`+
			`"some":{"total":0,"avg10":0,"avg60":0,"avg300":0}}`...)
	}
	dst = p.Full.append(append(dst, `"psi":{"full":`...))
	dst = p.Some.append(append(dst, `,"some":`...))
	return append(dst, '}')
}

func (s *Stall) append(dst []byte) []byte {
	dst = appendUint(dst, `{"total":`, s.Total)
	dst = appendFloat(append(dst, `,"avg10":`...), s.Avg10)
	dst = appendFloat(append(dst, `,"avg60":`...), s.Avg60)
	dst = appendFloat(append(dst, `,"avg300":`...), s.Avg300)
	return append(dst, '}')
}

func (d *DiskIO) append(dst []byte) []byte {
	dst = append(dst, `,"diskio":{`...)
	dst = appendDisks(dst, `"io_service_bytes":[`, d.IOServiceBytes)
	dst = appendDisks(dst, `"io_serviced":[`, d.IOServiced)
	dst = d.PSI.append(dst)
	return append(dst, '}')
}

// appendDisks appends a member that another one follows; nothing for an empty list.
func appendDisks(dst []byte, open string, list []PerDisk) []byte {
	if len(list) == 0 {
		return dst
	}
	for i := range list {
		dst = appendElement(dst, open, i)
		dst = append(dst, `{"device":`...)
		dst = AppendString(dst, list[i].Device)
		dst = appendUint(dst, `,"major":`, list[i].Major)
		dst = appendUint(dst, `,"minor":`, list[i].Minor)
		dst = append(dst, `,"stats":{`...)
		if discard := list[i].Stats.Discard; discard != 0 {
			dst = appendUint(dst, `"Discard":`, discard)
			dst = append(dst, ',')
		}
		dst = appendUint(dst, `"Read":`, list[i].Stats.Read)
		dst = appendUint(dst, `,"Write":`, list[i].Stats.Write)
		dst = append(dst, "}}"...)
	}
	return append(dst, "],"...)
}

func (m *Memory) append(dst []byte) []byte {
	dst = appendUint(dst, `,"memory":{"usage":`, m.Usage)
	dst = appendUint(dst, `,"max_usage":`, m.MaxUsage)
	dst = appendUint(dst, `,"cache":`, m.Cache)
	dst = appendUint(dst, `,"rss":`, m.RSS)
	dst = appendUint(dst, `,"swap":`, m.Swap)
	dst = appendUint(dst, `,"mapped_file":`, m.MappedFile)
	dst = appendUint(dst, `,"working_set":`, m.WorkingSet)
	dst = appendUint(dst, `,"total_active_file":`, m.TotalActiveFile)
	dst = appendUint(dst, `,"total_inactive_file":`, m.TotalInactiveFile)
	dst = appendUint(dst, `,"file_dirty":`, m.FileDirty)
	dst = appendUint(dst, `,"file_writeback":`, m.FileWriteback)
	dst = appendUint(dst, `,"pgscan":`, m.PgScan)
	dst = appendUint(dst, `,"pgsteal":`, m.PgSteal)
	dst = appendUint(dst, `,"workingset_refault_file":`, m.WorkingsetRefaultFile)
	dst = appendUint(dst, `,"workingset_refault_anon":`, m.WorkingsetRefaultAnon)
	dst = appendUint(dst, `,"failcnt":`, m.Failcnt)
	dst = appendUint(dst, `,"kernel":`, m.Kernel)
	dst = m.ContainerData.append(append(dst, `,"container_data":`...))
	dst = m.HierarchicalData.append(append(dst, `,"hierarchical_data":`...))
	dst = m.PSI.append(append(dst, ','))
	dst = appendUint(dst, `,"events":{"high":`, m.Events.High)
	dst = appendUint(dst, `,"max":`, m.Events.Max)
	return append(dst, "}}"...)
}

func (m *MemoryFaults) append(dst []byte) []byte {
	dst = appendUint(dst, `{"pgfault":`, m.PgFault)
	dst = appendUint(dst, `,"pgmajfault":`, m.PgMajFault)
	dst = m.NUMAStats.append(append(dst, `,"numa_stats":`...))
	return append(dst, '}')
}

func (n *Network) append(dst []byte) []byte {
	dst = n.Interface.append(append(dst, `,"network":{`...))
	for i := range n.Interfaces {
		dst = appendElement(dst, `,"interfaces":[`, i)
		dst = n.Interfaces[i].append(append(dst, '{'))
		dst = append(dst, '}')
	}
	dst = appendEnd(dst, len(n.Interfaces))
	return append(n.appendSockets(dst), '}')
}

// appendSockets appends members that follow others.
func (n *Network) appendSockets(dst []byte) []byte {
	if n.TCP == (TCP{}) && n.TCP6 == (TCP{}) && n.UDP == (UDP{}) && n.UDP6 == (UDP{}) {
		dst = append(dst, zeroSockets...) // mostly nobody has asked
	} else {
		dst = n.TCP.append(append(dst, `,"tcp":`...))
		dst = n.TCP6.append(append(dst, `,"tcp6":`...))
		dst = n.UDP.append(append(dst, `,"udp":`...))
		dst = n.UDP6.append(append(dst, `,"udp6":`...))
	}
	return n.TCPAdvanced.append(append(dst, `,"tcp_advanced":`...))
}

func (t *TCP) append(dst []byte) []byte {
	dst = appendUint(dst, `{"Established":`, t.Established)
	dst = appendUint(dst, `,"SynSent":`, t.SynSent)
	dst = appendUint(dst, `,"SynRecv":`, t.SynRecv)
	dst = appendUint(dst, `,"FinWait1":`, t.FinWait1)
	dst = appendUint(dst, `,"FinWait2":`, t.FinWait2)
	dst = appendUint(dst, `,"TimeWait":`, t.TimeWait)
	dst = appendUint(dst, `,"Close":`, t.Close)
	dst = appendUint(dst, `,"CloseWait":`, t.CloseWait)
	dst = appendUint(dst, `,"LastAck":`, t.LastAck)
	dst = appendUint(dst, `,"Listen":`, t.Listen)
	dst = appendUint(dst, `,"Closing":`, t.Closing)
	return append(dst, '}')
}

func (u *UDP) append(dst []byte) []byte {
	dst = appendUint(dst, `{"Listen":`, u.Listen)
	dst = appendUint(dst, `,"Dropped":`, u.Dropped)
	dst = appendUint(dst, `,"RxQueued":`, u.RxQueued)
	dst = appendUint(dst, `,"TxQueued":`, u.TxQueued)
	return append(dst, '}')
}

func (t *TCPAdvanced) append(dst []byte) []byte {
	if *t == (TCPAdvanced{}) {
		return append(dst, zeroTCPAdvanced...)
	}
	for i, name := range metric.TCPCounters {
		dst = append(appendElement(dst, "{", i), '"')
		dst = append(append(dst, name...), `":`...)
		dst = strconv.AppendInt(dst, t[i], 10)
	}
	return append(dst, '}')
}

func (p *Processes) append(dst []byte) []byte {
	dst = appendUint(dst, `,"processes":{"process_count":`, p.ProcessCount)
	dst = appendUint(dst, `,"fd_count":`, p.FDCount)
	dst = appendUint(dst, `,"socket_count":`, p.SocketCount)
	if p.ThreadsCurrent != 0 {
		dst = appendUint(dst, `,"threads_current":`, p.ThreadsCurrent)
	}
	if p.ThreadsMax != 0 {
		dst = appendUint(dst, `,"threads_max":`, p.ThreadsMax)
	}
	for i := range p.Ulimits {
		dst = appendElement(dst, `,"ulimits":[`, i)
		dst = AppendString(append(dst, `{"name":`...), p.Ulimits[i].Name)
		dst = strconv.AppendInt(append(dst, `,"soft_limit":`...), p.Ulimits[i].SoftLimit, 10)
		dst = strconv.AppendInt(append(dst, `,"hard_limit":`...), p.Ulimits[i].HardLimit, 10)
		dst = append(dst, '}')
	}
	dst = appendEnd(dst, len(p.Ulimits))
	return append(dst, '}')
}

// append appends the members without braces: the first interface stands inline.
func (i *Interface) append(dst []byte) []byte {
	dst = append(dst, `"name":`...)
	dst = AppendString(dst, i.Name)
	dst = appendUint(dst, `,"rx_bytes":`, i.RxBytes)
	dst = appendUint(dst, `,"rx_packets":`, i.RxPackets)
	dst = appendUint(dst, `,"rx_errors":`, i.RxErrors)
	dst = appendUint(dst, `,"rx_dropped":`, i.RxDropped)
	dst = appendUint(dst, `,"tx_bytes":`, i.TxBytes)
	dst = appendUint(dst, `,"tx_packets":`, i.TxPackets)
	dst = appendUint(dst, `,"tx_errors":`, i.TxErrors)
	return appendUint(dst, `,"tx_dropped":`, i.TxDropped)
}

func (f *Filesystem) append(dst []byte) []byte {
	dst = append(dst, '{')
	if f.Device != "" {
		dst = append(dst, `"device":`...)
		dst = AppendString(dst, f.Device)
		dst = append(dst, ',')
	}
	dst = append(dst, `"type":`...)
	dst = AppendString(dst, f.Type)
	dst = appendUint(dst, `,"capacity":`, f.Capacity)
	dst = appendUint(dst, `,"usage":`, f.Usage)
	dst = appendUint(dst, `,"base_usage":`, f.BaseUsage)
	dst = appendUint(dst, `,"available":`, f.Available)
	dst = append(dst, `,"has_inodes":`...)
	dst = strconv.AppendBool(dst, f.HasInodes)
	dst = appendUint(dst, `,"inodes":`, f.Inodes)
	dst = appendUint(dst, `,"inodes_free":`, f.InodesFree)
	dst = appendUint(dst, `,"reads_completed":`, f.ReadsCompleted)
	dst = appendUint(dst, `,"reads_merged":`, f.ReadsMerged)
	dst = appendUint(dst, `,"sectors_read":`, f.SectorsRead)
	dst = appendUint(dst, `,"read_time":`, f.ReadTime)
	dst = appendUint(dst, `,"writes_completed":`, f.WritesCompleted)
	dst = appendUint(dst, `,"writes_merged":`, f.WritesMerged)
	dst = appendUint(dst, `,"sectors_written":`, f.SectorsWritten)
	dst = appendUint(dst, `,"write_time":`, f.WriteTime)
	dst = appendUint(dst, `,"io_in_progress":`, f.IOInProgress)
	dst = appendUint(dst, `,"io_time":`, f.IOTime)
	dst = appendUint(dst, `,"weighted_io_time":`, f.WeightedIOTime)
	return append(dst, '}')
}

func (t *TaskStats) append(dst []byte) []byte { return t.appendAs(dst, `,"task_stats":`) }

func (t *TaskStats) appendAs(dst []byte, key string) []byte {
	dst = appendUint(append(dst, key...), `{"nr_sleeping":`, t.Sleeping)
	dst = appendUint(dst, `,"nr_running":`, t.Running)
	dst = appendUint(dst, `,"nr_stopped":`, t.Stopped)
	dst = appendUint(dst, `,"nr_uninterruptible":`, t.Uninterruptible)
	dst = appendUint(dst, `,"nr_io_wait":`, t.IOWait)
	return append(dst, '}')
}

func appendUint(dst []byte, key string, n uint64) []byte {
	dst = append(dst, key...)
	return strconv.AppendUint(dst, n, 10)
}

// appendElement appends what stands before element i of an array: open before the
// first, a comma before each other.
func appendElement(dst []byte, open string, i int) []byte {
	if i == 0 {
		return append(dst, open...)
	}
	return append(dst, ',')
}

// appendEnd closes an array that had n elements, which was not opened for none.
func appendEnd(dst []byte, n int) []byte {
	if n == 0 {
		return dst
	}
	return append(dst, ']')
}

// appendFloat appends f as encoding/json does, that is, as ECMAScript's Number::toString.
func appendFloat(dst []byte, f float64) []byte {
	if f == 0 && !math.Signbit(f) {
		return append(dst, '0')
	}
	abs := math.Abs(f)
	if abs == 0 || 1e-6 <= abs && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// An exponent of one digit has no leading zero: 1e-9, where strconv writes 1e-09.
	if n := len(dst); dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}
