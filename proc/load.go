package proc

import (
	"bytes"

	"github.com/swarmgauge/swarmgauge/metric"
)

var loadIDs = [...]metric.ID{metric.NodeLoad1, metric.NodeLoad5, metric.NodeLoad15, metric.NodeTasks}

// parseLoad parses /proc/loadavg (filesystems/proc.rst): the load over 1, 5 and 15 minutes,
// tasks that can run and tasks in all, and the newest process id.
//
//	0.00 0.19 0.18 1/91 30374
func parseLoad(b []byte, s *metric.Sample) (bad []byte) {
	line, _, whole := cutLine(b)
	if !whole {
		return line
	}
	rest := line
	for _, id := range loadIDs[:3] {
		var field []byte
		field, rest = cutField(rest)
		v, ok := hundredths(field)
		if !ok {
			return line
		}
		s.Put(id, v)
	}
	tasks, _ := cutField(rest)
	_, all, _ := bytes.Cut(tasks, []byte("/"))
	v, ok := number(all)
	if !ok {
		return line
	}
	s.Put(metric.NodeTasks, v)
	return nil
}

// parseUptime parses /proc/uptime (filesystems/proc.rst): seconds since boot, suspended
// time included, and seconds that CPUs were idle.
//
//	1186.87 2075.00
func parseUptime(b []byte, s *metric.Sample) (bad []byte) {
	line, _, whole := cutLine(b)
	if !whole {
		return line
	}
	field, _ := cutField(line)
	v, ok := hundredths(field)
	if ok {
		v, ok = scaled(v, 1e9/100)
	}
	if !ok {
		return line
	}
	s.Put(metric.NodeUptime, v)
	return nil
}

// parseFileNR parses /proc/sys/fs/file-nr (admin-guide/sysctl/fs.rst): file handles in use,
// always 0, and their limit.
//
//	520	0	2465620
func parseFileNR(b []byte, s *metric.Sample) (bad []byte) {
	line, _, whole := cutLine(b)
	v, _, ok := cutNumber(line)
	if !whole || !ok {
		return line
	}
	s.Put(metric.NodeFileDescriptors, v)
	return nil
}
