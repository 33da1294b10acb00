package proc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/swarmgauge/swarmgauge/metric"
)

const (
	cpuDir  = "devices/system/cpu"
	nodeDir = "devices/system/node"
)

// topology fills in how the CPUs that are online make up cores, sockets and NUMA nodes.
func (s *sysfs) topology(m *metric.Machine) {
	all := s.numbered(cpuDir, "cpu")
	if len(all) == 0 {
		return
	}
	var sockets, books, drawers []int
	nodeOf := map[int]int{} // index of a CPU's node
	for _, id := range s.numbered(nodeDir, "node") {
		for _, cpu := range cpuList(s.text(join(nodeDir, "node", id, "cpulist"))) {
			nodeOf[cpu] = len(m.NUMANodes)
		}
		m.NUMANodes = append(m.NUMANodes, metric.NUMANode{
			ID:        id,
			Bytes:     nodeMemory(s.text(join(nodeDir, "node", id, "meminfo"))),
			HugePages: s.hugePages(join(nodeDir, "node", id, "hugepages")),
			Distances: distances(s.text(join(nodeDir, "node", id, "distance"))),
		})
	}
	if len(m.NUMANodes) == 0 { // a kernel without NUMA
		m.NUMANodes = []metric.NUMANode{{Bytes: m.Node.MemoryBytes, HugePages: m.HugePages}}
	}

	cores := map[string]int{} // index of a core in its node, by its threads
	cpus := make([]int, len(m.NUMANodes))
	for _, cpu := range all {
		dir := join(cpuDir, "cpu", cpu, "topology")
		core, known := s.number(dir + "/core_id")
		if online, said := s.number(join(cpuDir, "cpu", cpu, "online")); said && online == 0 || !known {
			continue
		}
		socket, _ := s.number(dir + "/physical_package_id")
		sockets = append(sockets, int(socket))
		books = s.appendID(books, dir+"/book_id")
		drawers = s.appendID(drawers, dir+"/drawer_id")

		node := &m.NUMANodes[nodeOf[cpu]]
		cpus[nodeOf[cpu]]++
		// A core's number needn't be unique, not even in its socket; its threads are.
		threads := s.text(dir + "/thread_siblings_list")
		if threads == "" {
			threads = strconv.Itoa(cpu)
		}
		i, known := cores[threads]
		if !known {
			i = len(node.Cores)
			cores[threads] = i
			node.Cores = append(node.Cores, metric.Core{ID: int(core), Socket: int(socket)})
		}
		node.Cores[i].Threads = append(node.Cores[i].Threads, cpu)
	}
	for i := range m.NUMANodes {
		s.caches(&m.NUMANodes[i], cpus[i])
	}
	m.Sockets, m.Books, m.Drawers = len(sortedSet(sockets)), len(sortedSet(books)), len(sortedSet(drawers))
}

// appendID appends the number of a part that not all machines have.
func (s *sysfs) appendID(list []int, name string) []int {
	if id, ok := s.number(name); ok {
		list = append(list, int(id))
	}
	return list
}

// caches fills in the caches of a node with that many CPUs: as the core's own if it alone
// uses them, as the node's if all of the node use them and they are above level 2, and
// else as shared by some cores.
func (s *sysfs) caches(node *metric.NUMANode, cpus int) {
	for i := range node.Cores {
		core := &node.Cores[i]
		dir := join(cpuDir, "cpu", core.Threads[0], "cache")
		for _, index := range s.numbered(dir, "index") {
			one := join(dir, "index", index, "")
			size, ok := cacheSize(s.text(one + "/size"))
			if !ok {
				continue // not known
			}
			cache := metric.Cache{
				ID: int(s.count(one + "/id")), Bytes: size, Type: s.text(one + "/type"), Level: int(s.count(one + "/level")),
			}
			users := len(cpuList(s.text(one + "/shared_cpu_list")))
			const l2 = 2
			switch {
			case cache.Level > l2 && users >= cpus:
				if !slices.Contains(node.Caches, cache) {
					node.Caches = append(node.Caches, cache)
				}
			case cache.Level <= l2 && users <= len(core.Threads):
				core.Caches = append(core.Caches, cache)
			default:
				core.Uncore = append(core.Uncore, cache)
			}
		}
	}
}

// cpuList returns the CPUs of a list as the kernel writes it, "0-3,8"; those before the first
// mistake.
func cpuList(text string) []int {
	var cpus []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		const most = 1 << 16 // CPUs, eight times what Linux can have
		if err1 != nil || err2 != nil || from < 0 || to >= most || len(cpus)+to-from >= most {
			return cpus
		}
		for ; from <= to; from++ {
			cpus = append(cpus, from)
		}
	}
	return cpus
}

// cacheSize returns the bytes of a size as the kernel writes it, "512K" or "2048k".
func cacheSize(text string) (bytes uint64, ok bool) {
	digits := strings.TrimRight(text, "kK")
	n, err := strconv.ParseUint(digits, 10, 54)
	if err != nil {
		return 0, false
	}
	if digits != text {
		n <<= 10
	}
	return n, true
}

// nodeMemory returns the bytes of MemTotal in a node's meminfo:
//
//	Node 0 MemTotal:        6776608 kB
func nodeMemory(text string) uint64 {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 5 && fields[2] == "MemTotal:" {
			kB, _ := strconv.ParseUint(fields[3], 10, 54)
			return kB << 10
		}
	}
	return 0
}

// distances returns the numbers of a node's distance file, "10 21".
func distances(text string) []uint64 {
	var list []uint64
	for _, field := range strings.Fields(text) {
		d, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return nil
		}
		list = append(list, d)
	}
	return list
}

// sortedSet returns the numbers of list in order, each once. It uses the memory of list.
func sortedSet(list []int) []int {
	slices.Sort(list)
	return slices.Compact(list)
}
