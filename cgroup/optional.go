package cgroup

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmgauge/swarmgauge/metric"
)

// option switches rows on that few ask for; Options has a field for each.
type option uint8

const (
	always option = iota
	numa
	memoryMigrate
)

// wanted returns the rows that are asked for.
func (o *Options) wanted(rows []row) []row {
	return slices.DeleteFunc(rows, func(r row) bool {
		return r.option == numa && !o.NUMA || r.option == memoryMigrate && !o.MemoryMigrate
	})
}

// hugePageSizes returns the machine's sizes of huge pages in the words of the hugetlb
// controller, "2MB" and "1GB", from sysfs, which has them in kB:
//
//	kernel/mm/hugepages/hugepages-2048kB
func hugePageSizes(sysRoot string) []string {
	entries, _ := os.ReadDir(filepath.Join(sysRoot, "kernel/mm/hugepages")) // none where the kernel has none
	var sizes []string
	for _, e := range entries {
		text, ok1 := strings.CutPrefix(e.Name(), "hugepages-")
		text, ok2 := strings.CutSuffix(text, "kB")
		if kB, err := strconv.ParseUint(text, 10, 54); ok1 && ok2 && err == nil {
			sizes = append(sizes, hugePageSize(kB))
		}
	}
	return sizes
}

func hugePageSize(kB uint64) string {
	unit := "KB"
	switch {
	case kB >= 1<<20:
		kB, unit = kB>>20, "GB"
	case kB >= 1<<10:
		kB, unit = kB>>10, "MB"
	}
	return strconv.FormatUint(kB, 10) + unit
}

// hugePageRows are the files of the hugetlb controller for pages of the given sizes
// (cgroup-v1/hugetlb.rst, cgroup-v2.rst "HugeTLB Interface Files"). Reservations, which are
// what a process is refused for, are counted since Linux 5.7; they include what is used.
func hugePageRows(sizes []string, v2 bool, k kernel) []row {
	var rows []row
	for _, size := range sizes {
		add := func(name string, p pass, s shape, id metric.ID) {
			rows = append(rows, row{name: name, controller: hugetlb, pass: p, shape: s, pageSize: size, keys: []key{{to: id}}})
		}
		prefix := "hugetlb." + size
		reserved := prefix
		if k.atLeast(5, 7) {
			reserved += ".rsvd"
		}
		if v2 {
			add(reserved+".current", standing, shapeHugePages, metric.HugePagesUsage)
			add(prefix+".events", standing, shapeHugePageEvents, metric.HugePagesFailures)
			continue
		}
		add(reserved+".usage_in_bytes", standing, shapeHugePages, metric.HugePagesUsage)
		add(reserved+".max_usage_in_bytes", seldom, shapeHugePages, metric.HugePagesPeak)
		add(reserved+".failcnt", seldom, shapeHugePages, metric.HugePagesFailures)
	}
	return rows
}

// parseHugePages parses a file of one number for huge pages of one size.
func (k *sink) parseHugePages(b []byte, r *row) (bad int) {
	v, next := number(b, 0)
	if next == 0 || !at(b, next, '\n') || next+1 != len(b) {
		return 0
	}
	k.putHugePages(r, v)
	return parsed
}

// parseHugePageEvents parses v2's hugetlb.<size>.events:
//
//	max 0
func (k *sink) parseHugePageEvents(b []byte, r *row) (bad int) {
	for i := 0; i < len(b); {
		end := nextLine(b, i)
		if end < 0 {
			return i
		}
		const word = "max "
		if hasPrefixAt(b, i, word) {
			start := i + len(word)
			v, next := number(b, start)
			if next == start || next != end-1 {
				return i
			}
			k.putHugePages(r, v)
		}
		i = end
	}
	if len(b) == 0 {
		return 0
	}
	return parsed
}

func (k *sink) putHugePages(r *row, v uint64) {
	s := k.sample
	page := s.RowByName(metric.PerHugePage, []byte(r.pageSize))
	if page < 0 {
		page = s.AddRow(metric.PerHugePage, metric.Key{Name: r.pageSize})
	}
	s.PutRow(r.keys[0].to, page, v)
}

// maxNodes bounds the numbers of NUMA nodes; the kernel's own bound (CONFIG_NODES_SHIFT)
// is 1024.
const maxNodes = 1 << 12

// parseNUMA parses memory.numa_stat, and puts pages. v1 has pages, and each kind again with
// the cgroups below (cgroup-v1/memory.rst); there is an equals sign behind the kind:
//
//	file=2465 N0=2000 N1=465
//	hierarchical_file=2465 N0=2000 N1=465
//
// v2 has bytes, the cgroups below always included (cgroup-v2.rst):
//
//	file N0=8192000 N1=1904640
func (k *sink) parseNUMA(b []byte, keys []key) (bad int) {
	if len(b) == 0 {
		return 0
	}
	for i := 0; i < len(b); {
		end := nextLine(b, i)
		if end < 0 {
			return i
		}
		j := i + bytes.IndexAny(b[i:end], "= \n")
		known := find(keys, b[i:j])
		if known < 0 {
			i = end
			continue
		}
		unit := pageBytes()
		if b[j] == '=' {
			unit = 1
			_, next := number(b, j+1)
			if next == j+1 {
				return i
			}
			j = next
		}
		for b[j] == ' ' {
			if b[j+1] != 'N' {
				return i
			}
			node, equals := number(b, j+2)
			if equals == j+2 || b[equals] != '=' || node >= maxNodes {
				return i
			}
			v, next := number(b, equals+1)
			if next == equals+1 {
				return i
			}
			k.sample.PutRow(keys[known].to, k.numberedRow(metric.PerNUMANode, int(node)), v/unit)
			j = next
		}
		if j != end-1 {
			return i
		}
		i = end
	}
	return parsed
}

// numaKeysV1 and numaKeysV2 are the words of memory.numa_stat.
func numaKeysV1() []key {
	return []key{
		{name: "file", to: metric.NUMAFile},
		{name: "anon", to: metric.NUMAAnon},
		{name: "unevictable", to: metric.NUMAUnevictable},
		{name: "hierarchical_file", to: metric.NUMAHierarchicalFile},
		{name: "hierarchical_anon", to: metric.NUMAHierarchicalAnon},
		{name: "hierarchical_unevictable", to: metric.NUMAHierarchicalUnevictable},
	}
}

func numaKeysV2() []key {
	return []key{
		{name: "anon", to: metric.NUMAHierarchicalAnon},
		{name: "file", to: metric.NUMAHierarchicalFile},
		{name: "unevictable", to: metric.NUMAHierarchicalUnevictable},
	}
}

// pageBytes returns the size of the pages in which v1 counts.
func pageBytes() uint64 { return uint64(os.Getpagesize()) }
