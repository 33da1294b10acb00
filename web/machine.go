package web

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/metric"
)

// machineFamily is one of cAdvisor's families of the machine; all are gauges.
type machineFamily struct {
	name, help string
	series     []machineSeries
}

type machineSeries struct {
	labels []metric.Label
	value  uint64
}

// add adds a series, whose labels are names and values by turns. One with the labels of an
// earlier one is left out: two caches of one level, or cores of two sockets in one node,
// can't be told apart by them.
func (f *machineFamily) add(value uint64, labels ...string) {
	s := machineSeries{value: value}
	for i := 0; i < len(labels); i += 2 {
		s.labels = append(s.labels, metric.Label{Key: labels[i], Value: labels[i+1]})
	}
	if !slices.ContainsFunc(f.series, func(other machineSeries) bool { return slices.Equal(s.labels, other.labels) }) {
		f.series = append(f.series, s)
	}
}

// appendMachine appends cAdvisor's families of the machine. They are without a time, by which
// cAdvisor's vanish for minutes.
func appendMachine(dst []byte, m *metric.Machine, on cadvisor.Groups, version string) []byte {
	if m == nil { // not looked at yet
		return appendMachineError(dst, "1\n")
	}
	dst = appendHead(dst, "cadvisor_version_info", "gauge", "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.")
	dst = append(dst, `cadvisor_version_info{cadvisorRevision="",`...)
	dst = appendLabel(dst, "cadvisorVersion", version)
	dst = appendLabel(append(dst, ','), "dockerVersion", m.Node.EngineVersion)
	dst = appendLabel(append(dst, ','), "kernelVersion", m.Node.Kernel)
	dst = appendLabel(append(dst, ','), "osVersion", m.Node.OS)
	dst = append(dst, "} 1\n"...)

	families := machineFamilies(m)
	if on.Has("cpu_topology") {
		families = append(families, topologyFamilies(m)...)
	}
	slices.SortFunc(families, func(a, b machineFamily) int { return cmp.Compare(a.name, b.name) })
	of := []metric.Label{{Key: "boot_id", Value: m.Node.BootID}, {Key: "machine_id", Value: m.Node.MachineID}, {Key: "system_uuid", Value: cadvisor.SystemUUID(m)}}
	for _, f := range families {
		if len(f.series) == 0 {
			continue // not known, or nothing of the kind is there
		}
		dst = appendHead(dst, f.name, "gauge", f.help)
		for _, s := range f.series {
			labels := slices.Concat(of, s.labels)
			slices.SortFunc(labels, func(a, b metric.Label) int { return cmp.Compare(a.Key, b.Key) })
			dst = append(append(dst, f.name...), '{')
			for i, label := range labels {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendLabel(dst, label.Key, label.Value)
			}
			dst = append(strconv.AppendUint(append(dst, "} "...), s.value, 10), '\n')
		}
	}
	return appendMachineError(dst, "0\n")
}

func appendMachineError(dst []byte, value string) []byte {
	const name = "machine_scrape_error"
	dst = appendHead(dst, name, "gauge", "1 if there was an error while getting machine metrics, 0 otherwise.")
	return append(append(append(dst, name...), ' '), value...)
}

// machineFamilies returns those that are always on. What isn't known has no series.
func machineFamilies(m *metric.Machine) []machineFamily {
	one := func(name, help string, value int, known bool) machineFamily {
		f := machineFamily{name: name, help: help}
		if known {
			f.add(uint64(value))
		}
		return f
	}
	cores, cpus, memory := m.PhysicalCores(), m.Node.CPUs, m.Node.MemoryBytes > 0
	dimms := machineFamily{name: "machine_dimm_count", help: "Number of RAM DIMM (all types memory modules) value labeled by dimm type."}
	dimmBytes := machineFamily{name: "machine_dimm_capacity_bytes", help: "Total RAM DIMM capacity (all types memory modules) value labeled by dimm type."}
	for _, d := range m.DIMMs {
		dimms.add(uint64(d.Count), "type", d.Type)
		dimmBytes.add(d.Bytes, "type", d.Type)
	}
	nvm := machineFamily{name: "machine_nvm_capacity", help: "NVM capacity value labeled by NVM mode (memory mode or app direct mode)."}
	nvm.add(0, "mode", "app_direct_mode")
	nvm.add(0, "mode", "memory_mode")
	return []machineFamily{
		one("machine_cpu_books", "Number of CPU books.", m.Books, cores > 0),
		one("machine_cpu_cores", "Number of logical CPU cores.", cpus, cpus > 0),
		one("machine_cpu_drawers", "Number of CPU drawers.", m.Drawers, cores > 0),
		one("machine_cpu_physical_cores", "Number of physical CPU cores.", cores, cores > 0),
		one("machine_cpu_sockets", "Number of CPU sockets.", m.Sockets, cores > 0),
		dimmBytes,
		dimms,
		one("machine_memory_bytes", "Amount of memory installed on the machine.", int(m.Node.MemoryBytes), memory),
		one("machine_nvm_avg_power_budget_watts", "NVM power budget.", 0, true),
		nvm,
		one("machine_swap_bytes", "Amount of swap memory available on the machine.", int(m.SwapBytes), memory),
	}
}

// topologyFamilies returns those of the group cpu_topology.
func topologyFamilies(m *metric.Machine) []machineFamily {
	caches := machineFamily{name: "machine_cpu_cache_capacity_bytes", help: "Cache size in bytes assigned to NUMA node and CPU core."}
	distances := machineFamily{name: "machine_node_distance", help: "Distance between NUMA node and target NUMA node."}
	pages := machineFamily{name: "machine_node_hugepages_count", help: "Numer of hugepages assigned to NUMA node."}
	memory := machineFamily{name: "machine_node_memory_capacity_bytes", help: "Amount of memory assigned to NUMA node."}
	siblings := machineFamily{name: "machine_thread_siblings_count", help: "Number of CPU thread siblings."}
	for i := range m.NUMANodes {
		n := &m.NUMANodes[i]
		node := strconv.Itoa(n.ID)
		addCaches := func(core string, list []metric.Cache) {
			for _, c := range list {
				caches.add(c.Bytes, "core_id", core, "level", strconv.Itoa(c.Level), "node_id", node, "type", c.Type)
			}
		}
		addCaches("", n.Caches)
		for j := range n.Cores {
			c := &n.Cores[j]
			core := strconv.Itoa(c.ID)
			addCaches(core, c.Caches)
			addCaches(core, c.Uncore)
			for _, thread := range c.Threads {
				siblings.add(uint64(len(c.Threads)), "core_id", core, "node_id", node, "thread_id", strconv.Itoa(thread))
			}
		}
		for to, d := range n.Distances {
			if to < len(m.NUMANodes) {
				distances.add(d, "node_id", node, "target_node_id", strconv.Itoa(m.NUMANodes[to].ID))
			}
		}
		memory.add(n.Bytes, "node_id", node)
		for _, p := range n.HugePages {
			pages.add(p.Count, "node_id", node, "page_size", strconv.FormatUint(p.PageBytes>>10, 10))
		}
	}
	return []machineFamily{caches, distances, pages, memory, siblings}
}
