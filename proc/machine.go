package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Machine looks at the hardware of node, in procfs and in the sysfs mounted at sysRoot. What
// can't be known is left empty; the error holds the reasons that a person can do something
// about. It opens some dozen files for each CPU, so it is for the background.
func (fs *FS) Machine(node *metric.Node, sysRoot string) (metric.Machine, error) {
	m := metric.Machine{Node: node, Time: time.Now()}
	var missing []error
	table, err := procfs.NewFS(fs.root)
	if err != nil {
		return m, err
	}
	if memory, err := table.Meminfo(); err != nil {
		missing = append(missing, fmt.Errorf("%s: %w", fs.path("meminfo"), err))
	} else if memory.SwapTotalBytes != nil {
		m.SwapBytes = *memory.SwapTotalBytes
	}
	sys := &sysfs{files: os.DirFS(sysRoot)}
	if len(sys.list(cpuDir, "cpu0")) == 0 {
		missing = append(missing, fmt.Errorf("%s/%s has no CPUs; mount the node's /sys there, or name the place where it is mounted", sysRoot, cpuDir))
	}
	if cpus, err := table.CPUInfo(); err != nil {
		missing = append(missing, fmt.Errorf("%s: %w", fs.path("cpuinfo"), err))
	} else if len(cpus) > 0 {
		m.Vendor = cpus[0].VendorID
		const kilo = 1000
		m.CPUKilohertz = uint64(cpus[0].CPUMHz*kilo + 0.5)
	}
	if highest := sys.count("devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"); highest > 0 {
		m.CPUKilohertz = highest
	}
	m.SystemUUID = sys.systemUUID()
	m.DIMMs = sys.dimms()
	m.HugePages = sys.hugePages("kernel/mm/hugepages")
	m.Disks = sys.disks()
	if m.Interfaces, err = fs.interfaces(sys); err != nil {
		missing = append(missing, err)
	}
	sys.topology(&m)
	return m, errors.Join(append(missing, sys.unread...)...)
}

// systemUUID returns the id that the machine's firmware gives it, where the kernel shows it
// on PCs and ARM servers, and on POWER.
func (s *sysfs) systemUUID() string {
	for _, name := range [...]string{
		"class/dmi/id/product_uuid", "firmware/devicetree/base/system-id", "firmware/devicetree/base/vm,uuid",
	} {
		if id := strings.TrimRight(s.text(name), "\x00"); id != "" {
			return id
		}
	}
	return ""
}

// dimms sums up the memory modules by type. Their sizes are in MiB
// (Documentation/admin-guide/RAS in the kernel's sources).
func (s *sysfs) dimms() []metric.DIMMs {
	const controllers = "devices/system/edac/mc"
	var all []metric.DIMMs
	for _, controller := range s.numbered(controllers, "mc") {
		dir := join(controllers, "mc", controller, "")
		for _, module := range s.numbered(dir, "dimm") {
			size := s.count(join(dir, "dimm", module, "size")) << 20
			kind := s.text(join(dir, "dimm", module, "dimm_mem_type"))
			i := slices.IndexFunc(all, func(d metric.DIMMs) bool { return d.Type == kind })
			if i < 0 {
				i = len(all)
				all = append(all, metric.DIMMs{Type: kind})
			}
			all[i].Bytes += size
			all[i].Count++
		}
	}
	slices.SortFunc(all, func(a, b metric.DIMMs) int { return strings.Compare(a.Type, b.Type) })
	return all
}

// hugePages returns the pools in a directory of them: hugepages-2048kB/nr_hugepages.
func (s *sysfs) hugePages(dir string) []metric.HugePages {
	const prefix = "hugepages-"
	var pools []metric.HugePages
	for _, name := range s.list(dir, prefix) {
		size, ok := cacheSize(strings.TrimSuffix(name[len(prefix):], "B"))
		if ok {
			pools = append(pools, metric.HugePages{PageBytes: size, Count: s.count(dir + "/" + name + "/nr_hugepages")})
		}
	}
	return pools
}

// disks returns the whole block devices. A path of an NVMe disk that has several is hidden
// behind the disk.
func (s *sysfs) disks() []metric.Disk {
	const dir, sector = "block", 512
	var disks []metric.Disk
	for _, name := range s.list(dir, "") {
		if hasPrefix(name, "loop", "ram", "sr") || s.text(dir+"/"+name+"/hidden") == "1" {
			continue
		}
		major, minor, ok := strings.Cut(s.text(dir+"/"+name+"/dev"), ":")
		high, err1 := strconv.ParseUint(major, 10, 32)
		low, err2 := strconv.ParseUint(minor, 10, 32)
		if !ok || err1 != nil || err2 != nil {
			continue // it was just taken out
		}
		disks = append(disks, metric.Disk{
			Name: name, Major: uint32(high), Minor: uint32(low),
			Bytes:     s.count(dir+"/"+name+"/size") * sector,
			Scheduler: scheduler(s.text(dir + "/" + name + "/queue/scheduler")),
		})
	}
	return disks
}

// scheduler returns the one at work of a disk's schedulers: "mq-deadline" of
// "none [mq-deadline] kyber". A disk without a choice may name its only one without brackets,
// or nothing.
func scheduler(text string) string {
	if _, rest, ok := strings.Cut(text, "["); ok {
		name, _, _ := strings.Cut(rest, "]")
		return name
	}
	if text == "" || strings.Contains(text, " ") {
		return "none"
	}
	return text
}

// interfaces returns the node's network interfaces. A sysfs shows those of the network
// namespace that it was mounted in, which need not be the node's: then there are others
// than in the node's net/dev, and none of them is returned.
func (fs *FS) interfaces(sys *sysfs) ([]metric.Interface, error) {
	const dir = "class/net"
	text, err := fs.read("1/net/dev")
	if err != nil {
		return nil, nil // OpenNode has said so
	}
	var names []string
	for _, name := range sys.list(dir, "") {
		if sys.text(dir+"/"+name+"/mtu") != "" { // bonding_masters is no interface
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	if own := interfaceNames(text); !slices.Equal(own, names) {
		return nil, errors.New("the network interfaces in sysfs are not the node's: it was mounted in another network namespace")
	}
	list := []metric.Interface{}
	for _, name := range names {
		if hasPrefix(strings.ToLower(name), "lo", "veth", "docker", "nerdctl") {
			continue
		}
		speed, _ := sys.number(dir + "/" + name + "/speed")
		mtu, _ := sys.number(dir + "/" + name + "/mtu")
		list = append(list, metric.Interface{
			Name: name, Address: sys.text(dir + "/" + name + "/address"), MegabitsPerSecond: speed, MTU: mtu,
		})
	}
	return list, nil
}

// interfaceNames returns the names in net/dev, sorted.
func interfaceNames(text []byte) []string {
	var names []string
	for line := range strings.Lines(string(text)) {
		if name, numbers, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(numbers) != "" {
			names = append(names, strings.TrimSpace(name))
		}
	}
	slices.Sort(names)
	return names
}

// hasPrefix tells whether name begins with one of the prefixes.
func hasPrefix(name string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
