package cadvisor

import (
	"github.com/swarmgauge/swarmgauge/metric"
)

// HugePages are huge pages by size. cAdvisor's is a map: it prints as an object whose keys
// are sizes, in their order.
type HugePages []HugePagesOfSize

// HugePagesOfSize are huge pages of one size ("2MB"), in bytes.
type HugePagesOfSize struct {
	Size string
	// Usage and MaxUsage are left out when they are zero.
	Usage, MaxUsage uint64
	// Failcnt counts how often usage hit the limit.
	Failcnt uint64
}

// NUMAStats is a cgroup's memory on each NUMA node. cAdvisor's are three maps: it prints as
// an object of one object for each kind of memory, whose keys are nodes.
type NUMAStats []NUMAPages

// NUMAPages is memory on one NUMA node, in pages.
type NUMAPages struct {
	Node                    string
	File, Anon, Unevictable uint64
}

// Resctrl is what a group of resctrl has counted, each list with one element for each level 3
// cache, in the order of their numbers.
type Resctrl struct {
	MemoryBandwidth []MemoryBandwidth `json:"memory_bandwidth,omitempty"`
	Cache           []CacheUse        `json:"cache,omitempty"`
}

// MemoryBandwidth is what was moved between a cache and memory, in bytes.
type MemoryBandwidth struct {
	Total uint64 `json:"mbm_total_bytes,omitempty"`
	Local uint64 `json:"mbm_local_bytes,omitempty"`
}

// CacheUse is what lies in a cache, in bytes.
type CacheUse struct {
	LLCOccupancy uint64 `json:"llc_occupancy,omitempty"`
}

// MarshalJSON returns the object.
func (h HugePages) MarshalJSON() ([]byte, error) { return h.append(nil), nil }

// MarshalJSON returns the object.
func (n NUMAStats) MarshalJSON() ([]byte, error) { return n.append(nil), nil }

func (h HugePages) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i := range h {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, h[i].Size), ":{"...)
		if h[i].Usage != 0 {
			dst = append(appendUint(dst, `"usage":`, h[i].Usage), ',')
		}
		if h[i].MaxUsage != 0 {
			dst = append(appendUint(dst, `"max_usage":`, h[i].MaxUsage), ',')
		}
		dst = append(appendUint(dst, `"failcnt":`, h[i].Failcnt), '}')
	}
	return append(dst, '}')
}

func (n NUMAStats) append(dst []byte) []byte {
	if len(n) == 0 {
		return append(dst, "{}"...)
	}
	dst = append(dst, `{"file":{`...)
	for i := range n {
		dst = appendUint(n.appendNode(dst, i), "", n[i].File)
	}
	dst = append(dst, `},"anon":{`...)
	for i := range n {
		dst = appendUint(n.appendNode(dst, i), "", n[i].Anon)
	}
	dst = append(dst, `},"unevictable":{`...)
	for i := range n {
		dst = appendUint(n.appendNode(dst, i), "", n[i].Unevictable)
	}
	return append(dst, "}}"...)
}

// appendNode appends what stands before the number of node i.
func (n NUMAStats) appendNode(dst []byte, i int) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return append(AppendString(dst, n[i].Node), ':')
}

// fill makes h say what s says, in its own memory if that suffices.
func (h HugePages) fill(s *metric.Sample) HugePages {
	h = h[:0]
	for row := range s.Rows(metric.PerHugePage) {
		if _, read := s.GetRow(metric.HugePagesFailures, row); !read {
			if _, read = s.GetRow(metric.HugePagesUsage, row); !read {
				continue
			}
		}
		h = append(h, HugePagesOfSize{
			Size:     s.Key(metric.PerHugePage, row).Name,
			Usage:    number(s, metric.HugePagesUsage, row),
			MaxUsage: number(s, metric.HugePagesPeak, row),
			Failcnt:  number(s, metric.HugePagesFailures, row),
		})
	}
	return h
}

// fill makes n say what s says under these three numbers, in its own memory if that suffices.
func (n NUMAStats) fill(s *metric.Sample, file, anon, unevictable metric.ID) NUMAStats {
	n = n[:0]
	for row := range s.Rows(metric.PerNUMANode) {
		if _, read := s.GetRow(anon, row); !read {
			continue
		}
		n = append(n, NUMAPages{
			Node:        s.Key(metric.PerNUMANode, row).Name,
			File:        number(s, file, row),
			Anon:        number(s, anon, row),
			Unevictable: number(s, unevictable, row),
		})
	}
	return n
}

// fill makes r say what s says, in its own memory if that suffices. A number that one cache
// doesn't tell is left out of its element; what none tells has no list.
func (r *Resctrl) fill(s *metric.Sample) {
	r.MemoryBandwidth, r.Cache = r.MemoryBandwidth[:0], r.Cache[:0]
	bandwidth, occupancy := false, false
	for row := range s.Rows(metric.PerCache) {
		_, total := s.GetRow(metric.MemoryBandwidth, row)
		_, local := s.GetRow(metric.MemoryBandwidthLocal, row)
		_, occupied := s.GetRow(metric.CacheOccupancy, row)
		bandwidth, occupancy = bandwidth || total || local, occupancy || occupied
		r.MemoryBandwidth = append(r.MemoryBandwidth, MemoryBandwidth{
			Total: number(s, metric.MemoryBandwidth, row), Local: number(s, metric.MemoryBandwidthLocal, row),
		})
		r.Cache = append(r.Cache, CacheUse{LLCOccupancy: number(s, metric.CacheOccupancy, row)})
	}
	if !bandwidth {
		r.MemoryBandwidth = r.MemoryBandwidth[:0]
	}
	if !occupancy {
		r.Cache = r.Cache[:0]
	}
}

func (r *Resctrl) append(dst []byte) []byte {
	dst = append(dst, `,"resctrl":{`...)
	for i := range r.MemoryBandwidth {
		b := &r.MemoryBandwidth[i]
		dst = append(appendElement(dst, `"memory_bandwidth":[`, i), '{')
		if b.Total != 0 {
			dst = appendUint(dst, `"mbm_total_bytes":`, b.Total)
		}
		if b.Local != 0 {
			if b.Total != 0 {
				dst = append(dst, ',')
			}
			dst = appendUint(dst, `"mbm_local_bytes":`, b.Local)
		}
		dst = append(dst, '}')
	}
	dst = appendEnd(dst, len(r.MemoryBandwidth))
	if len(r.MemoryBandwidth) > 0 && len(r.Cache) > 0 {
		dst = append(dst, ',')
	}
	for i := range r.Cache {
		dst = append(appendElement(dst, `"cache":[`, i), '{')
		if r.Cache[i].LLCOccupancy != 0 {
			dst = appendUint(dst, `"llc_occupancy":`, r.Cache[i].LLCOccupancy)
		}
		dst = append(dst, '}')
	}
	return append(appendEnd(dst, len(r.Cache)), '}')
}
