package proc

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// resctrl is the kernel's file system of Intel's RDT and AMD's QoS
// (Documentation/filesystems/resctrl.rst). Each task is in one control group, and may be in
// one of that one's monitoring groups. What a control group has counted includes its
// monitoring groups; the folder itself is a control group, too, of all tasks that nobody has
// put elsewhere:
//
//	mon_data/mon_L3_00/llc_occupancy
//	mon_groups/<monitoring group>/{tasks,mon_data}
//	<control group>/{tasks,mon_data,mon_groups}
//
// The groups are made by others; here nothing is made, and no task is moved.

// defaultGroup is the folder of the control group that is always there.
const defaultGroup = "."

// resctrl is what Details keeps of the groups.
type resctrl struct {
	groups []resctrlGroup
	// node are the node's numbers, by the cache's.
	node map[int]*[numMonitored]nodeSum
}

// resctrlGroup is a group at one look.
type resctrlGroup struct {
	dir     string // below the file system's root
	control bool
	// owner is the id of the container that all its tasks belong to, "" if there is none
	// or it can't be known.
	owner string
	tasks []int // of a group with an owner
}

// monitored are the files of a cache. CacheOccupancy, which is the first, goes up and down.
var monitored = [...]struct {
	file string
	to   metric.ID
}{
	{"llc_occupancy", metric.CacheOccupancy},
	{"mbm_total_bytes", metric.MemoryBandwidth},
	{"mbm_local_bytes", metric.MemoryBandwidthLocal},
}

const numMonitored = len(monitored)

// cacheUse is what a group has of one cache.
type cacheUse struct {
	cache  int
	values [numMonitored]uint64
	read   [numMonitored]bool
}

// nodeSum is one number of one cache, summed up over all control groups.
type nodeSum struct {
	sum  uint64 // at this look
	told int    // how many groups tell it
	// last is the sum at the look before, and ended what groups had counted that are no
	// more: what a counter has counted stays in the sum.
	last, ended uint64
}

// rising returns the sum of counters, some of which may have ended since the look before.
func (n *nodeSum) rising() uint64 {
	if n.sum < n.last {
		n.ended += n.last - n.sum
	}
	n.last = n.sum
	return n.ended + n.sum
}

// FindGroups looks which groups of resctrl there are, for ReadGroup and ReadNodeGroups. With
// ownPids the process ids that the agent is told are those of the procfs; else whose tasks a
// group has can't be known.
func (d *Details) FindGroups(ownPids bool) {
	d.resctrl.groups = d.resctrl.groups[:0]
	root, err := unix.Open(d.wanted.Resctrl, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(root)
		err = unix.Faccessat(root, "mon_data", unix.F_OK, 0)
	}
	if err != nil {
		d.note(d.wanted.Resctrl + " has no monitoring of caches and memory bandwidth: it takes a CPU with Intel RDT or AMD QoS; " +
			"mount -t resctrl resctrl /sys/fs/resctrl, and where the agent is in a container, that folder into it")
		return
	}
	d.addGroup(root, defaultGroup, true, false)
	d.addMonitoringGroups(root, defaultGroup, ownPids)
	d.list(root, defaultGroup, func(_ int, name string) bool {
		if name != "mon_groups" && isGroup(root, name) {
			d.addGroup(root, name, true, ownPids)
			d.addMonitoringGroups(root, name, ownPids)
		}
		return true
	})
}

// isGroup tells whether a name in a folder of groups is one: info, mon_data and the files
// are not.
func isGroup(root int, dir string) bool {
	return unix.Faccessat(root, dir+"/mon_data", unix.F_OK, 0) == nil
}

// addMonitoringGroups adds the groups below a control group.
func (d *Details) addMonitoringGroups(root int, control string, ownPids bool) {
	dir := control + "/mon_groups"
	d.list(root, dir, func(_ int, name string) bool {
		if name := dir + "/" + name; isGroup(root, name) {
			d.addGroup(root, name, false, ownPids)
		}
		return true
	})
}

func (d *Details) addGroup(root int, dir string, control, ownPids bool) {
	g := resctrlGroup{dir: dir, control: control}
	// A group that has CPUs counts what tasks without a group do there.
	if cpus, err := d.text(root, dir+"/cpus_list"); ownPids && err == nil && string(cpus) == "\n" {
		if text, err := d.text(root, dir+"/tasks"); err == nil {
			g.owner, g.tasks = d.ownerOf(parseTasks(text))
		}
	}
	d.resctrl.groups = append(d.resctrl.groups, g)
}

// ownerOf returns the id of the container that all tasks belong to, and the tasks; "" if
// they belong to several, or one to none. A task that has ended belongs to nobody.
func (d *Details) ownerOf(tasks []int) (id string, _ []int) {
	for _, tid := range tasks {
		text, err := d.text(d.fs.dir, pidDir(tid)+"/cgroup")
		if err != nil {
			continue
		}
		var found []byte
		for _, path := range cgroupPaths(text) {
			if found = containerID(path); len(found) > 0 {
				break // all hierarchies say the same
			}
		}
		switch {
		case len(found) == 0, id != "" && string(found) != id:
			return "", nil
		case id == "":
			id = string(found)
		}
	}
	return id, tasks
}

// parseTasks returns the tasks in a file of them, one a line. A line that is none ends it.
func parseTasks(text []byte) (tasks []int) {
	for len(text) > 0 {
		line, rest, whole := cutLine(text)
		tid, ok := number(line)
		if !whole || !ok || tid == 0 || tid > maxPid {
			break
		}
		tasks, text = append(tasks, int(tid)), rest
	}
	return tasks
}

// maxPid is the highest process id there may be (PID_MAX_LIMIT, include/linux/threads.h).
const maxPid = 4 << 20

// ReadGroup puts what the group of the container with that id has counted into s. That is
// the group that is named by the id, or else one that has the first of its processes pids and
// no task of anybody else. A container without a group of its own has no numbers.
func (d *Details) ReadGroup(id string, pids []int, s *metric.Sample) {
	if id == "" {
		return
	}
	var own *resctrlGroup
	for i := range d.resctrl.groups {
		g := &d.resctrl.groups[i]
		switch {
		case g.named(id):
			if own == nil || !own.named(id) || g.control {
				own = g
			}
		case g.owner == id && len(pids) > 0 && slices.Contains(g.tasks, pids[0]):
			if own == nil || !own.named(id) && g.control {
				own = g
			}
		}
	}
	if own == nil {
		return
	}
	for _, use := range d.readGroup(own.dir) {
		row := s.AddRow(metric.PerCache, metric.Key{Name: strconv.Itoa(use.cache)})
		for i, m := range monitored {
			if use.read[i] {
				s.PutRow(m.to, row, use.values[i])
			}
		}
	}
}

// named tells whether the group is named by a container's id: its name is the id, as the
// runtime makes it, or ends in it, maybe with what systemd puts behind it, as a monitoring
// agent's group does that is named by the cgroup:
//
//	5f0e…
//	cadvisor-system.slice-docker-5f0e….scope
func (g *resctrlGroup) named(id string) bool {
	rest, ok := strings.CutSuffix(strings.TrimSuffix(g.dir, ".scope"), id)
	return ok && (rest == "" || !isHex(rest[len(rest)-1]))
}

// ReadNodeGroups puts what all control groups together have counted into s. What the groups
// that were removed since the first call had counted stays in it, but for what came after the
// last call. A number that one group doesn't tell isn't known of the node.
func (d *Details) ReadNodeGroups(s *metric.Sample) {
	if d.resctrl.node == nil {
		d.resctrl.node = map[int]*[numMonitored]nodeSum{}
	}
	node := d.resctrl.node
	for _, sums := range node {
		for i := range sums {
			sums[i].sum, sums[i].told = 0, 0
		}
	}
	groups := 0
	for i := range d.resctrl.groups {
		g := &d.resctrl.groups[i]
		if !g.control {
			continue
		}
		groups++
		for _, use := range d.readGroup(g.dir) {
			if node[use.cache] == nil {
				node[use.cache] = new([numMonitored]nodeSum)
			}
			for i := range monitored {
				if use.read[i] {
					node[use.cache][i].sum += use.values[i]
					node[use.cache][i].told++
				}
			}
		}
	}
	if groups == 0 {
		return
	}
	for _, cache := range slices.Sorted(maps.Keys(node)) {
		row := s.AddRow(metric.PerCache, metric.Key{Name: strconv.Itoa(cache)})
		for i, m := range monitored {
			switch n := &node[cache][i]; {
			case n.told < groups:
			case m.to == metric.CacheOccupancy:
				s.PutRow(m.to, row, n.sum)
			default:
				s.PutRow(m.to, row, n.rising())
			}
		}
	}
}

// maxCaches bounds the numbers of caches. They are the kernel's ids, which may have gaps.
const maxCaches = 1 << 16

// readGroup returns what a group has counted, in the order of the caches' numbers. Each file
// makes the kernel ask a CPU that has the cache.
func (d *Details) readGroup(dir string) (uses []cacheUse) {
	root, err := unix.Open(d.wanted.Resctrl+"/"+dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil // it was just removed
	}
	defer unix.Close(root)
	d.list(root, "mon_data", func(folder int, name string) bool {
		digits, ok := strings.CutPrefix(name, "mon_L3_")
		cache, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || cache >= maxCaches {
			return true
		}
		use := cacheUse{cache: int(cache)}
		for i, m := range monitored {
			// A CPU may have a part of them.
			if text, err := d.text(folder, name+"/"+m.file); err == nil {
				use.values[i], use.read[i] = parseMonitored(text)
			}
		}
		uses = append(uses, use)
		return true
	})
	slices.SortFunc(uses, func(a, b cacheUse) int { return a.cache - b.cache })
	return uses
}

// parseMonitored returns a number of a group; it isn't ok where there is a word instead:
// Unavailable, Error, or Unassigned, which says that no counter is free for the group.
func parseMonitored(text []byte) (v uint64, ok bool) {
	line, rest, whole := cutLine(text)
	if !whole || len(rest) > 0 {
		return 0, false
	}
	return number(line)
}
