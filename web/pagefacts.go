package web

import (
	"fmt"
	"strconv"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// absent stands on a page for a number that wasn't read.
const absent = "–"

// increase returns by how much a counter grew, over all rows.
func (r *Recent) increase(id metric.ID) (v uint64, ok bool) {
	for row := range r.Newest.Rows(id.Per()) {
		if by, read := r.Newest.Increase(&r.Previous, id, row); read {
			v, ok = v+by, true
		}
	}
	return v, ok
}

// perSecond returns a growth by the second.
func (r *Recent) perSecond(v uint64, ok bool) (float64, bool) {
	elapsed := r.Newest.Time - r.Previous.Time
	if !ok || r.Previous.Time == 0 || elapsed <= 0 {
		return 0, false
	}
	return float64(v) / time.Duration(elapsed).Seconds(), true
}

// rate returns how many bytes there were per second, over all rows.
func (r *Recent) rate(id metric.ID) string { return bytesPerSecond(r.perSecond(r.increase(id))) }

func (r *Recent) rowRate(id metric.ID, row int) string {
	return bytesPerSecond(r.perSecond(r.Newest.Increase(&r.Previous, id, row)))
}

func bytesPerSecond(v float64, ok bool) string {
	if !ok {
		return absent
	}
	return bytesText(v) + "/s"
}

// cores returns how many CPUs were busy.
func (r *Recent) cores(id metric.ID) string {
	v, ok := r.perSecond(r.increase(id))
	if !ok {
		return absent
	}
	return strconv.FormatFloat(v/1e9, 'f', 3, 64)
}

func size(s *metric.Sample, id metric.ID) string { return rowSize(s, id, 0) }

func rowSize(s *metric.Sample, id metric.ID, row int) string {
	v, ok := s.GetRow(id, row)
	if !ok {
		return absent
	}
	return bytesText(float64(v))
}

func count(s *metric.Sample, id metric.ID) string { return rowCount(s, id, 0) }

func rowCount(s *metric.Sample, id metric.ID, row int) string {
	v, ok := s.GetRow(id, row)
	if !ok {
		return absent
	}
	return strconv.FormatUint(v, 10)
}

// bytesText writes a number of bytes as people read it.
func bytesText(v float64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + " " + units[i]
}

// cpuLimit returns the CPUs that a quota allows.
func cpuLimit(s *metric.Sample) string {
	quota, limited := s.Get(metric.CPUQuota)
	period, ok := s.Get(metric.CPUPeriod)
	if !limited || !ok || period == 0 {
		return absent
	}
	return strconv.FormatFloat(float64(quota)/float64(period), 'g', 3, 64)
}

// facts collects those that are known.
type facts []fact

func (f *facts) add(name, value string) {
	if value != "" && value != absent {
		*f = append(*f, fact{name, value})
	}
}

func (f *facts) addTime(name string, t time.Time) {
	if !t.IsZero() {
		f.add(name, t.UTC().Format(time.RFC3339))
	}
}

func containerFacts(c *metric.Container) []fact {
	var f facts
	f.add("cgroup", c.Path)
	f.add("runtime", c.Runtime)
	f.add("id", c.ID)
	f.add("image", c.Image)
	f.add("without a name", c.Unidentified)
	f.addTime("created", c.Created)
	f.addTime("started", c.Started)
	f.add("state", c.State)
	f.add("health", c.Health)
	if c.RestartCount > 0 {
		f.add("restarts", strconv.Itoa(c.RestartCount))
	}
	f.add("service", c.Swarm.ServiceName)
	f.add("stack", c.Swarm.Stack)
	f.add("task", c.Swarm.TaskName)
	f.add("network mode", c.NetworkMode)
	return f
}

func nodeFacts(n *metric.Node) []fact {
	var f facts
	f.add("kernel", n.Kernel)
	f.add("distribution", n.OS)
	if n.CPUs > 0 {
		f.add("CPUs", strconv.Itoa(n.CPUs))
	}
	if n.MemoryBytes > 0 {
		f.add("memory installed", bytesText(float64(n.MemoryBytes)))
	}
	f.add("engine", n.EngineVersion)
	f.add("Swarm node", n.SwarmID)
	f.add("machine id", n.MachineID)
	return f
}

func limitFacts(s *metric.Sample) []fact {
	var f facts
	f.add("CPU limit", cpuLimit(s))
	f.add("CPU shares", count(s, metric.CPUShares))
	f.add("CPU weight", count(s, metric.CPUWeight))
	f.add("CPUs allowed", s.CPUSet)
	f.add("memory limit", size(s, metric.MemoryLimit))
	f.add("memory reservation", size(s, metric.MemoryReservation))
	f.add("swap limit", size(s, metric.MemorySwapLimit))
	f.add("tasks limit", count(s, metric.PidsLimit))
	return f
}

func usageFacts(r *Recent) []fact {
	var f facts
	s := &r.Newest
	f.add("CPU cores busy", r.cores(metric.CPUUsage))
	if periods, ok := r.increase(metric.CPUPeriods); ok && periods > 0 {
		throttled, _ := r.increase(metric.CPUThrottledPeriods)
		f.add("throttled", fmt.Sprintf("%.0f %% of the periods", 100*float64(throttled)/float64(periods)))
	}
	if v, ok := s.Get(metric.CPUUsage); ok {
		f.add("CPU time", time.Duration(v).Round(time.Millisecond).String())
	}
	f.add("memory", size(s, metric.MemoryUsage))
	f.add("working set", size(s, metric.MemoryWorkingSet))
	f.add("RSS", size(s, metric.MemoryRSS))
	f.add("cache", size(s, metric.MemoryCache))
	f.add("swap", size(s, metric.MemorySwap))
	f.add("OOM kills", count(s, metric.MemoryOOMKills))
	f.add("tasks", count(s, metric.PidsCurrent))
	return f
}

func interfaceTable(r *Recent) numbers {
	t := numbers{Title: "Network", Columns: []string{"in", "out", "received", "sent", "errors", "dropped"}}
	s := &r.Newest
	for row := range s.Rows(metric.PerInterface) {
		t.Rows = append(t.Rows, numbersRow{s.Key(metric.PerInterface, row).Name, []string{
			r.rowRate(metric.NetworkReceiveBytes, row), r.rowRate(metric.NetworkTransmitBytes, row),
			rowSize(s, metric.NetworkReceiveBytes, row), rowSize(s, metric.NetworkTransmitBytes, row),
			sum(s, row, metric.NetworkReceiveErrors, metric.NetworkTransmitErrors),
			sum(s, row, metric.NetworkReceiveDropped, metric.NetworkTransmitDropped),
		}})
	}
	return t
}

// sum returns the sum of two numbers of a row.
func sum(s *metric.Sample, row int, a, b metric.ID) string {
	x, okX := s.GetRow(a, row)
	y, okY := s.GetRow(b, row)
	if !okX || !okY {
		return absent
	}
	return strconv.FormatUint(x+y, 10)
}

func deviceTable(r *Recent) numbers {
	t := numbers{Title: "Disks", Columns: []string{"read", "write", "read in all", "written in all", "reads", "writes"}}
	s := &r.Newest
	for row := range s.Rows(metric.PerDevice) {
		t.Rows = append(t.Rows, numbersRow{s.Key(metric.PerDevice, row).Name, []string{
			r.rowRate(metric.DiskReadBytes, row), r.rowRate(metric.DiskWriteBytes, row),
			rowSize(s, metric.DiskReadBytes, row), rowSize(s, metric.DiskWriteBytes, row),
			rowCount(s, metric.DiskReadOperations, row), rowCount(s, metric.DiskWriteOperations, row),
		}})
	}
	return t
}

func filesystemTable(s *metric.Sample) numbers {
	t := numbers{Title: "Filesystems", Columns: []string{"used", "available", "capacity", "inodes free"}}
	for row := range s.Rows(metric.PerFilesystem) {
		key := s.Key(metric.PerFilesystem, row)
		t.Rows = append(t.Rows, numbersRow{key.Mountpoint + " (" + key.Name + ", " + key.Type + ")", []string{
			rowSize(s, metric.FilesystemUsed, row), rowSize(s, metric.FilesystemAvailable, row),
			rowSize(s, metric.FilesystemCapacity, row), rowCount(s, metric.FilesystemInodesFree, row),
		}})
	}
	return t
}
