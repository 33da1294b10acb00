package cadvisor

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// cAdvisor's maps are decoded here only, to read golden documents.

func (h *HugePages) UnmarshalJSON(text []byte) error {
	var sizes map[string]struct {
		Usage    uint64 `json:"usage"`
		MaxUsage uint64 `json:"max_usage"`
		Failcnt  uint64 `json:"failcnt"`
	}
	err := json.Unmarshal(text, &sizes)
	for _, size := range slices.Sorted(maps.Keys(sizes)) {
		v := sizes[size]
		*h = append(*h, HugePagesOfSize{size, v.Usage, v.MaxUsage, v.Failcnt})
	}
	return err
}

func (n *NUMAStats) UnmarshalJSON(text []byte) error {
	var kinds struct {
		File        map[string]uint64 `json:"file"`
		Anon        map[string]uint64 `json:"anon"`
		Unevictable map[string]uint64 `json:"unevictable"`
	}
	err := json.Unmarshal(text, &kinds)
	for _, node := range slices.Sorted(maps.Keys(kinds.Anon)) {
		*n = append(*n, NUMAPages{node, kinds.File[node], kinds.Anon[node], kinds.Unevictable[node]})
	}
	return err
}

// The objects are those of real answers with all groups on.
func TestOptionalGolden(t *testing.T) {
	f := func(v any, want string) {
		t.Helper()
		if err := json.Unmarshal([]byte(want), v); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	f(new(HugePages), `{"1GB":{"failcnt":0},"2MB":{"failcnt":0}}`)
	f(new(HugePages), `{"2MB":{"usage":6291456,"max_usage":6291456,"failcnt":1}}`)
	f(new(NUMAStats), `{}`)
	f(new(NUMAStats), `{"file":{"0":1024},"anon":{"0":23},"unevictable":{"0":0}}`)
	f(new(NUMAStats), `{"file":{"0":0,"1":1},"anon":{"0":2,"1":3},"unevictable":{"0":4,"1":5}}`)
}

// What cAdvisor's structs make of a machine with two caches, and of one that tells less.
func TestResctrl(t *testing.T) {
	f := func(want string, caches ...map[metric.ID]uint64) {
		t.Helper()
		var s metric.Sample
		for i, cache := range caches {
			row := s.AddRow(metric.PerCache, metric.Key{Name: strconv.Itoa(i)})
			for id, v := range cache {
				s.PutRow(id, row, v)
			}
		}
		v := ContainerStats{Resctrl: Resctrl{Cache: []CacheUse{{1}, {2}, {3}}}} // left over
		v.Fill(&metric.Container{}, &s)
		got := string(v.AppendJSON(nil))
		if library, err := json.Marshal(&v); err != nil || string(library) != got {
			t.Errorf("encoding/json: %s, %v\nhere %s", library, err, got)
		}
		spec := new(ContainerSpec)
		for _, text := range []string{got, string(v.AppendJSON20(nil, spec, nil)), string(v.AppendJSON21(nil, spec, nil, 0))} {
			var stats struct{ Resctrl json.RawMessage }
			if err := json.Unmarshal([]byte(text), &stats); err != nil || string(stats.Resctrl) != want {
				t.Errorf("%s, %v, want %s", stats.Resctrl, err, want)
			}
		}
	}
	const occupancy, total, local = metric.CacheOccupancy, metric.MemoryBandwidth, metric.MemoryBandwidthLocal
	f(`{}`)
	f(`{}`, map[metric.ID]uint64{})
	f(`{"memory_bandwidth":[{"mbm_total_bytes":4512312,"mbm_local_bytes":2390393},{"mbm_total_bytes":2173713,"mbm_local_bytes":1231233}],"cache":[{"llc_occupancy":162626},{"llc_occupancy":213777}]}`,
		map[metric.ID]uint64{total: 4512312, local: 2390393, occupancy: 162626},
		map[metric.ID]uint64{total: 2173713, local: 1231233, occupancy: 213777})
	f(`{"memory_bandwidth":[{},{"mbm_local_bytes":1}]}`, map[metric.ID]uint64{total: 0}, map[metric.ID]uint64{local: 1})
	f(`{"cache":[{"llc_occupancy":7},{}]}`, map[metric.ID]uint64{occupancy: 7}, map[metric.ID]uint64{})
}

// A group that is off leaves nothing behind, nor does one of which nothing was read.
func TestOptionalFill(t *testing.T) {
	var s metric.Sample
	page := s.AddRow(metric.PerHugePage, metric.Key{Name: "2MB"})
	s.PutRow(metric.HugePagesFailures, page, 3)
	node := s.AddRow(metric.PerNUMANode, metric.Key{Name: "0"})
	s.PutRow(metric.NUMAHierarchicalAnon, node, 7)
	s.Put(metric.CPUSetMemoryMigrate, 1)
	var v ContainerStats
	v.Fill(&metric.Container{}, &s)
	if want := (HugePagesOfSize{Size: "2MB", Failcnt: 3}); len(v.HugePages) != 1 || v.HugePages[0] != want {
		t.Errorf("huge pages %+v", v.HugePages)
	}
	if alone := v.Memory.ContainerData.NUMAStats; len(alone) != 0 {
		t.Errorf("of the cgroup alone %+v", alone) // cgroup v2
	}
	if all := v.Memory.HierarchicalData.NUMAStats; len(all) != 1 || all[0] != (NUMAPages{Node: "0", Anon: 7}) || v.CPUSet.MemoryMigrate != 1 {
		t.Errorf("%+v, migrate %d", all, v.CPUSet.MemoryMigrate)
	}
	v.Fill(&metric.Container{}, new(metric.Sample))
	if len(v.HugePages) != 0 || len(v.Memory.HierarchicalData.NUMAStats) != 0 || v.CPUSet.MemoryMigrate != 0 {
		t.Errorf("left over: %+v", v)
	}
}
