package shipper

import (
	"github.com/swarmgauge/swarmgauge/metric"
)

// derivedKeys are `,"name":`.
var derivedKeys = func() (keys [numDerived]string) {
	for i := range keys {
		keys[i] = `,"` + derivedFields[i].Name + `":`
	}
	return keys
}()

// append appends a / b, rounded to millionths, as the derived number d; nothing where
// that isn't a number or beyond any meaning.
func (d derived) append(dst []byte, a, b float64) []byte {
	return appendRatio(dst, derivedKeys[d], a, b)
}

// appendRatio is append for any key, which ends with a colon.
func appendRatio(dst []byte, key string, a, b float64) []byte {
	const million, most = 1e6, 1e12
	x := a / b
	if !(x >= 0 && x < most) { // NaN compares false
		return dst
	}
	dst = append(dst, key...)
	return appendDecimal(dst, uint64(x*million+0.5), 6)
}

func appendContainerDerived(dst []byte, node *metric.Node, w *metric.Window) []byte {
	found := newEvidence()
	seconds := w.Seconds()
	used, hasUsed := w.Last.Increase(&w.First, metric.CPUUsage, 0)
	usedSeconds := float64(used) / 1e9
	if hasUsed && seconds > 0 && node.CPUs > 0 {
		dst = containerCPUShare.append(dst, usedSeconds, seconds*float64(node.CPUs))
	}
	if w.HasPeakCPU {
		dst = containerCPUPeak.append(dst, float64(w.PeakCPU), 1e9)
	}
	quota, limited := w.Last.Get(metric.CPUQuota)
	if period, ok := w.Last.Get(metric.CPUPeriod); limited && ok && period > 0 {
		limit := float64(quota) / float64(period)
		dst = containerCPULimit.append(dst, limit, 1)
		if seconds > 0 {
			dst = containerCPULimitTime.append(dst, limit*seconds, 1)
			if hasUsed && limit > 0 {
				found.limitUsage = usedSeconds / (limit * seconds)
				dst = containerCPULimitShare.append(dst, usedSeconds, limit*seconds)
			}
		}
		periods, ok1 := w.Last.Increase(&w.First, metric.CPUPeriods, 0)
		throttled, ok2 := w.Last.Increase(&w.First, metric.CPUThrottledPeriods, 0)
		if ok1 && ok2 && periods > 0 {
			found.throttled = float64(throttled) / float64(periods)
			dst = containerCPUThrottled.append(dst, float64(throttled), float64(periods))
		}
	}

	workingSet, ok := w.Last.Get(metric.MemoryWorkingSet)
	limit, limited := w.Last.Get(metric.MemoryLimit)
	most := node.MemoryBytes
	if limited && (most == 0 || limit < most) {
		most = limit
	}
	if ok && most > 0 {
		dst = containerMemoryShare.append(dst, float64(workingSet), float64(most))
	}
	if ok && limited && limit > 0 {
		found.memory = float64(workingSet) / float64(limit)
		dst = containerMemoryLimitShare.append(dst, float64(workingSet), float64(limit))
	}
	if w.HasPeakMemory {
		dst = appendKept(dst, derivedKeys[containerMemoryPeak], w.PeakWorkingSet)
	}
	return appendVerdicts(dst, w, &found)
}

func appendNodeDerived(dst []byte, node *metric.Node, w *metric.Window) []byte {
	if node.CPUs > 0 {
		dst = appendKept(dst, derivedKeys[hostCPUCores], uint64(node.CPUs))
	}
	if busy, all, ok := nodeCPU(w); ok && all > 0 {
		dst = hostCPUShare.append(dst, float64(busy), float64(all))
	}
	if w.HasPeakCPU {
		dst = hostCPUPeak.append(dst, float64(w.PeakCPU), 1e9)
	}
	total, ok := w.Last.Get(metric.NodeMemoryTotal)
	if available, read := w.Last.Get(metric.NodeMemoryAvailable); ok && read && available <= total && total > 0 {
		dst = hostMemoryShare.append(dst, float64(total-available), float64(total))
	}
	if w.HasPeakMemory {
		dst = appendKept(dst, derivedKeys[hostMemoryPeak], w.PeakWorkingSet)
	}
	return dst
}

// nodeCPU returns the CPU time of the window in nanoseconds over all CPUs: in which they
// were busy, and in all. It is absent when a mode is: iowait may fall (proc(5)).
func nodeCPU(w *metric.Window) (busy, all uint64, ok bool) {
	for id := metric.NodeCPUUser; id <= metric.NodeCPUGuest; id++ {
		spent, ok := w.Last.Increase(&w.First, id, 0)
		if !ok {
			return 0, 0, false
		}
		all += spent
		if id != metric.NodeCPUIdle && id != metric.NodeCPUIOWait {
			busy += spent
		}
	}
	return busy, all, true
}

func appendDeviceDerived(dst []byte, w *metric.Window, row int) []byte {
	if busy, ok := w.Last.Increase(&w.First, metric.DiskIOTime, row); ok && w.Seconds() > 0 {
		dst = deviceBusyShare.append(dst, float64(busy)/1e9, w.Seconds())
	}
	reads, ok1 := w.Last.Increase(&w.First, metric.DiskReadOperations, row)
	writes, ok2 := w.Last.Increase(&w.First, metric.DiskWriteOperations, row)
	reading, ok3 := w.Last.Increase(&w.First, metric.DiskReadTime, row)
	writing, ok4 := w.Last.Increase(&w.First, metric.DiskWriteTime, row)
	if ok1 && ok2 && ok3 && ok4 && reads+writes > 0 {
		dst = deviceWait.append(dst, float64(reading+writing)/1e9, float64(reads+writes))
	}
	return dst
}

func appendFilesystemDerived(dst []byte, w *metric.Window, row int) []byte {
	used, ok := w.Last.GetRow(metric.FilesystemUsed, row)
	available, read := w.Last.GetRow(metric.FilesystemAvailable, row)
	if ok && read && used+available > 0 {
		dst = filesystemShare.append(dst, float64(used), float64(used+available))
	}
	inodes, ok := w.Last.GetRow(metric.FilesystemInodes, row)
	free, read := w.Last.GetRow(metric.FilesystemInodesFree, row)
	if ok && read && free <= inodes && inodes > 0 {
		dst = filesystemInodesShare.append(dst, float64(inodes-free), float64(inodes))
	}
	return dst
}

func appendEngineDisk(dst []byte, d *metric.EngineDisk) []byte {
	dst = appendKept(dst, derivedKeys[engineImages], uint64(d.Images))
	dst = appendKept(dst, derivedKeys[engineImageBytes], uint64(d.ImageBytes))
	dst = appendKept(dst, derivedKeys[engineImageReclaimable], uint64(d.ImageReclaimableBytes))
	dst = appendKept(dst, derivedKeys[engineBuildCacheBytes], uint64(d.BuildCacheBytes))
	return appendKept(dst, derivedKeys[engineBuildCacheReclaimable], uint64(d.BuildCacheReclaimableBytes))
}
