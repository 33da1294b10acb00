package proc

import (
	"bytes"

	"github.com/swarmgauge/swarmgauge/metric"
)

// key is a line with one number: its name, where the number goes, and how many of the
// stored unit one of the file's is.
type key struct {
	name  string
	id    metric.ID
	scale uint64
}

func idsOf(keys []key) []metric.ID {
	ids := make([]metric.ID, len(keys))
	for i := range keys {
		ids[i] = keys[i].id
	}
	return ids
}

// kib is the unit of /proc/meminfo, whose "kB" are 1024 bytes.
const kib = 1024

// meminfoKeys are lines of /proc/meminfo (filesystems/proc.rst).
var meminfoKeys = [...]key{
	{"MemTotal:", metric.NodeMemoryTotal, kib},
	{"MemFree:", metric.NodeMemoryFree, kib},
	{"MemAvailable:", metric.NodeMemoryAvailable, kib}, // Linux 3.14
	{"Buffers:", metric.NodeMemoryBuffers, kib},
	{"Cached:", metric.NodeMemoryCached, kib},
	{"SwapTotal:", metric.NodeSwapTotal, kib},
	{"SwapFree:", metric.NodeSwapFree, kib},
	{"Dirty:", metric.NodeMemoryDirty, kib},
	{"Writeback:", metric.NodeMemoryWriteback, kib},
	{"Shmem:", metric.NodeMemoryShmem, kib},
	{"Slab:", metric.NodeMemorySlab, kib},
}

// vmstatKeys are lines of /proc/vmstat (mm/vmstat.c).
var vmstatKeys = [...]key{
	{"pswpin", metric.NodeSwapIn, 1},
	{"pswpout", metric.NodeSwapOut, 1},
	{"pgmajfault", metric.NodeMajorPageFaults, 1},
	{"oom_kill", metric.NodeOOMKills, 1}, // Linux 4.13
}

// parseMeminfo parses /proc/meminfo.
//
//	MemTotal:        2988828 kB
//	HugePages_Total:       0
func parseMeminfo(b []byte, s *metric.Sample) (bad []byte) { return parseKeys(meminfoKeys[:], b, s) }

// parseMeminfoWithUsage is parseMeminfo for a node whose root cgroup tells no usage.
func parseMeminfoWithUsage(b []byte, s *metric.Sample) (bad []byte) {
	bad = parseMeminfo(b, s)
	for _, of := range [...]struct{ used, total, unused metric.ID }{
		{metric.MemoryUsage, metric.NodeMemoryTotal, metric.NodeMemoryFree},
		{metric.MemoryWorkingSet, metric.NodeMemoryTotal, metric.NodeMemoryAvailable},
		{metric.MemorySwap, metric.NodeSwapTotal, metric.NodeSwapFree},
	} {
		total, known := s.Get(of.total)
		if unused, ok := s.Get(of.unused); ok && known && unused <= total {
			s.Put(of.used, total-unused)
		}
	}
	return bad
}

// parseVMStat parses /proc/vmstat.
//
//	pgmajfault 1579
func parseVMStat(b []byte, s *metric.Sample) (bad []byte) { return parseKeys(vmstatKeys[:], b, s) }

// parseKeys puts the lines that keys name, and passes over all others.
func parseKeys(keys []key, b []byte, s *metric.Sample) (bad []byte) {
	for len(b) > 0 {
		line, rest, whole := cutLine(b)
		b = rest
		name, values := cutField(line)
		if !whole || !putKey(keys, name, values, s) {
			bad = firstOf(bad, line)
		}
	}
	return bad
}

// putKey puts the number that values begin with if keys has name. It is false only if
// that isn't a number in the unit that is expected.
func putKey(keys []key, name, values []byte, s *metric.Sample) bool {
	for i := range keys {
		if keys[i].name != string(name) {
			continue
		}
		v, unit, ok := cutNumber(values)
		if ok {
			v, ok = scaled(v, keys[i].scale)
		}
		if !ok || keys[i].scale == kib && string(bytes.TrimLeft(unit, " ")) != "kB" {
			return false
		}
		s.Put(keys[i].id, v)
		return true
	}
	return true
}
