package web

import (
	"os"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/metric"
)

// goldenMachine is the machine of the golden answer.
func goldenMachine() *metric.Machine {
	core := func(id int) metric.Core {
		return metric.Core{ID: id, Threads: []int{id}, Caches: []metric.Cache{
			{ID: id, Bytes: 32 << 10, Type: "Data", Level: 1},
			{ID: id, Bytes: 32 << 10, Type: "Instruction", Level: 1},
			{ID: id, Bytes: 1 << 20, Type: "Unified", Level: 2},
		}}
	}
	return &metric.Machine{
		Node: &metric.Node{
			MachineID: "3d1219c7c4c5404aaa1f6d2a48adfda4", BootID: "44b738ea-d071-45e7-8437-3570f13124bb", CPUs: 2,
			MemoryBytes: 25276502016, Kernel: "6.18.44-fc-v669", OS: "Debian GNU/Linux 12 (bookworm)",
		},
		Sockets: 1,
		NUMANodes: []metric.NUMANode{{
			Bytes: 11234652160, HugePages: []metric.HugePages{{PageBytes: 1 << 30}, {PageBytes: 2 << 20}},
			Cores: []metric.Core{core(0), core(1)}, Distances: []uint64{10},
			Caches: []metric.Cache{{Bytes: 32 << 20, Type: "Unified", Level: 3}},
		}},
	}
}

// withMachine returns what shows the machine, with all groups on.
func withMachine(t *testing.T, m *metric.Machine) map[string]*dto.MetricFamily {
	t.Helper()
	o := of(t, fleet(1))
	o.Groups, _ = cadvisor.ParseGroups("", "")
	o.Machine, o.Version = func() *metric.Machine { return m }, ""
	return scrapeOf(t, o)
}

// All of cAdvisor's families of the machine, with its types, labels and values, and without
// its times.
func TestMachineFamiliesAreThoseOfCAdvisor(t *testing.T) {
	families := withMachine(t, goldenMachine())
	text, err := os.ReadFile("testdata/machine.prom")
	if err != nil {
		t.Fatal(err)
	}
	withTime := regexp.MustCompile(`(?m)^(machine_.*) \d{13}$`)
	want := parse(t, withTime.ReplaceAllString(string(text), "$1"))
	if len(want) < 15 {
		t.Fatalf("only %d golden families", len(want))
	}
	for name, family := range want {
		if got := families[name]; got.String() != family.String() {
			t.Errorf("got  %v\nwant %v", got, family)
		}
	}
	for name := range families {
		if strings.HasPrefix(name, "machine_") && want[name] == nil {
			t.Errorf("%s isn't cAdvisor's", name)
		}
	}
}

func TestMachineParts(t *testing.T) {
	m := goldenMachine()
	m.SystemUUID = "u"
	m.DIMMs = []metric.DIMMs{{Type: "DDR4", Bytes: 32 << 30, Count: 2}}
	// Two sockets in one node: cores and caches that labels can't tell apart.
	m.NUMANodes[0].Cores = append(m.NUMANodes[0].Cores, metric.Core{ID: 0, Socket: 1, Threads: []int{2, 3}, Caches: m.NUMANodes[0].Cores[0].Caches})
	families := withMachine(t, m)
	f := func(want float64, name string, labels ...string) {
		t.Helper()
		if v, ms, ok := series(t, families, name, labels...); !ok || v != want || ms != 0 {
			t.Errorf("%s%q is %v (%v) at %d, want %v", name, labels, v, ok, ms, want)
		}
	}
	f(2, "machine_dimm_count", "type", "DDR4", "system_uuid", "u")
	f(32<<30, "machine_dimm_capacity_bytes", "type", "DDR4")
	f(3, "machine_cpu_physical_cores")
	f(32<<10, "machine_cpu_cache_capacity_bytes", "core_id", "0", "type", "Data")
	f(2, "machine_thread_siblings_count", "core_id", "0", "thread_id", "3")

	// What isn't known is absent.
	families = withMachine(t, &metric.Machine{Node: &metric.Node{CPUs: 2}})
	f(2, "machine_cpu_cores")
	f(0, "machine_scrape_error")
	for _, name := range []string{"machine_cpu_physical_cores", "machine_cpu_books", "machine_memory_bytes", "machine_swap_bytes", "machine_dimm_count", "machine_node_distance"} {
		if families[name] != nil {
			t.Errorf("%s is there: %v", name, families[name])
		}
	}
	families = withMachine(t, nil)
	f(1, "machine_scrape_error")
	if families["machine_cpu_cores"] != nil {
		t.Error("a machine that nobody looked at")
	}
}

// The group cpu_topology is off by default.
func TestMachineWithoutTopology(t *testing.T) {
	o := of(t, fleet(1))
	o.Machine = goldenMachine
	families := scrapeOf(t, o)
	for name := range families {
		if strings.HasPrefix(name, "machine_node") || strings.HasPrefix(name, "machine_thread") || strings.Contains(name, "cache_capacity") {
			t.Errorf("%s is there", name)
		}
	}
	if families["machine_cpu_sockets"] == nil {
		t.Error("machine_cpu_sockets isn't there")
	}
}

// Huge pages, NUMA nodes and caches have cAdvisor's labels, where their groups are on.
func TestOptionalGroups(t *testing.T) {
	r := fleet(1)
	s := &r.Containers[0].Sample
	s.PutRow(metric.HugePagesUsage, s.AddRow(metric.PerHugePage, metric.Key{Name: "2MB"}), 4<<20)
	node := s.AddRow(metric.PerNUMANode, metric.Key{Name: "1"})
	s.PutRow(metric.NUMAAnon, node, 3)
	s.PutRow(metric.NUMAHierarchicalAnon, node, 5)
	s.Put(metric.CPUSetMemoryMigrate, 1)
	cache := s.AddRow(metric.PerCache, metric.Key{Name: "1"})
	s.PutRow(metric.CacheOccupancy, cache, 213777)
	s.PutRow(metric.MemoryBandwidth, cache, 2173713)
	o := of(t, r)
	for name := range scrapeOf(t, o) {
		if strings.Contains(name, "hugetlb") || strings.Contains(name, "numa") || strings.Contains(name, "migrate") ||
			strings.Contains(name, "bandwidth") || strings.Contains(name, "llc") {
			t.Errorf("%s is there", name)
		}
	}
	o.Groups, _ = cadvisor.ParseGroups("", "")
	families := scrapeOf(t, o)
	f := func(want float64, name string, labels ...string) {
		t.Helper()
		if v, _, ok := series(t, families, name, labels...); !ok || v != want {
			t.Errorf("%s%q is %v (%v), want %v", name, labels, v, ok, want)
		}
	}
	f(4<<20, "container_hugetlb_usage_bytes", "pagesize", "2MB")
	f(3, "container_memory_numa_pages", "node", "1", "scope", "container", "type", "anon")
	f(5, "container_memory_numa_pages", "node", "1", "scope", "hierarchy", "type", "anon")
	f(1, "container_memory_migrate")
	f(213777, "container_llc_occupancy_bytes", "node_id", "1")
	f(2173713, "container_memory_bandwidth_bytes", "node_id", "1")
	if families["container_memory_bandwidth_local_bytes"] != nil {
		t.Error("a number that wasn't read")
	}
}
