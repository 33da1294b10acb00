package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	oracle "github.com/prometheus/procfs/sysfs"

	"github.com/swarmgauge/swarmgauge/metric"
)

// machineOf looks at a fixture that has both trees.
func machineOf(t *testing.T, root string) (metric.Machine, error) {
	t.Helper()
	fs := open(t, filepath.Join(root, "proc"))
	node, _ := fs.Identity(IdentityOptions{BootIDs: []string{"/proc/sys/kernel/random/boot_id"}})
	before := time.Now()
	m, err := fs.Machine(&node, filepath.Join(root, "sys"))
	if m.Node != &node || m.Time.Before(before) || time.Since(m.Time) > time.Minute {
		t.Errorf("of %v at %v", m.Node, m.Time)
	}
	m.Time = time.Time{}
	return m, err
}

// Core ids repeat from socket to socket, and one CPU is offline.
func TestMachineTwoSockets(t *testing.T) {
	m, err := machineOf(t, copyMachine(t, "linux-6.1-two-sockets"))
	if err != nil {
		t.Fatal(err)
	}
	own := func(l1, l2 int) []metric.Cache {
		return []metric.Cache{
			{ID: l1, Bytes: 32 << 10, Type: "Data", Level: 1},
			{ID: l1, Bytes: 32 << 10, Type: "Instruction", Level: 1},
			{ID: l2, Bytes: 4 << 20, Type: "Unified", Level: 2},
		}
	}
	l3 := func(id int) []metric.Cache {
		return []metric.Cache{{ID: id, Bytes: 16 << 20, Type: "Unified", Level: 3}}
	}
	pages := func(small uint64) []metric.HugePages {
		return []metric.HugePages{{PageBytes: 2 << 20, Count: small}}
	}
	want := metric.Machine{
		Node:       m.Node,
		SystemUUID: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Vendor: "GenuineIntel", CPUKilohertz: 2445422,
		Sockets: 2, HugePages: pages(16),
		Disks:      []metric.Disk{{Name: "nvme0n1", Major: 259, Bytes: 64 << 20, Scheduler: "none"}},
		Interfaces: []metric.Interface{},
		NUMANodes: []metric.NUMANode{
			{ID: 0, Bytes: 255860 << 10, HugePages: pages(8), Caches: l3(0), Distances: []uint64{10, 21}, Cores: []metric.Core{
				{ID: 0, Socket: 0, Threads: []int{0, 1}, Caches: own(0, 0)},
				{ID: 1, Socket: 0, Threads: []int{2, 3}, Caches: own(2, 1)},
			}},
			{ID: 1, Bytes: 482332 << 10, HugePages: pages(8), Caches: l3(1), Distances: []uint64{21, 10}, Cores: []metric.Core{
				{ID: 0, Socket: 1, Threads: []int{4, 5}, Caches: own(4, 2)},
				{ID: 1, Socket: 1, Threads: []int{6}, Caches: own(6, 3)},
			}},
		},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	if m.PhysicalCores() != 4 || m.Node.CPUs != 7 {
		t.Errorf("%d cores, %d CPUs", m.PhysicalCores(), m.Node.CPUs)
	}
	// cAdvisor counts different ids of cores, which are the same on each socket.
	different := map[int]bool{}
	for _, node := range m.NUMANodes {
		for _, core := range node.Cores {
			different[core.ID] = true
		}
	}
	if len(different) != 2 {
		t.Errorf("cAdvisor's %d cores are right here, too", len(different))
	}
}

func TestMachineOneSocket(t *testing.T) {
	m, err := machineOf(t, copyMachine(t, "linux-6.18-one-socket"))
	if err != nil {
		t.Fatal(err)
	}
	core := func(id int) metric.Core {
		return metric.Core{ID: id, Threads: []int{id}, Caches: []metric.Cache{
			{ID: id, Bytes: 32 << 10, Type: "Data", Level: 1},
			{ID: id, Bytes: 32 << 10, Type: "Instruction", Level: 1},
			{ID: id, Bytes: 512 << 10, Type: "Unified", Level: 2},
		}}
	}
	pages := []metric.HugePages{{PageBytes: 1 << 30}, {PageBytes: 2 << 20}}
	want := metric.Machine{
		Node: m.Node, Vendor: "AuthenticAMD", CPUKilohertz: 2445412, Sockets: 1, HugePages: pages,
		Disks: []metric.Disk{
			{Name: "vda", Major: 254, Bytes: 256 << 30, Scheduler: "mq-deadline"},
			{Name: "zram0", Major: 253, Scheduler: "none"},
		},
		Interfaces: []metric.Interface{
			{Name: "eth0", Address: "02:fc:00:00:00:01", MegabitsPerSecond: -1, MTU: 1400},
			{Name: "ifb0", Address: "86:68:5e:d3:7f:65", MTU: 1500},
			{Name: "ifb1", Address: "1a:13:b7:b0:77:8a", MTU: 1500},
		},
		NUMANodes: []metric.NUMANode{{
			Bytes: m.NUMANodes[0].Bytes, HugePages: pages, Distances: []uint64{10},
			Cores: []metric.Core{core(0), core(1)}, Caches: []metric.Cache{{Bytes: 32 << 20, Type: "Unified", Level: 3}},
		}},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	if m.NUMANodes[0].Bytes < 1<<30 {
		t.Errorf("the node has %d bytes", m.NUMANodes[0].Bytes)
	}
}

// What some machines lack is absent, and what others have is there.
func TestMachineParts(t *testing.T) {
	root := copyMachine(t, "linux-6.1-two-sockets")
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, root, name, text)
	}
	remove := func(name string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	// A kernel without NUMA, and caches that two cores of four share.
	remove("sys/devices/system/node")
	put("sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list", "0-3\n")
	// Modules of two controllers, one slot of them empty.
	for i, size := range []string{"0/dimm0/size 16384", "0/dimm1/size 16384", "1/dimm0/size 0"} {
		name, text, _ := strings.Cut(size, " ")
		put("sys/devices/system/edac/mc/mc"+name, text+"\n")
		put("sys/devices/system/edac/mc/mc"+filepath.Dir(name)+"/dimm_mem_type", []string{"Registered-DDR4\n", "Registered-DDR4\n", "Empty\n"}[i])
	}
	put("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3500000\n")
	put("sys/block/nvme0c0n1/hidden", "1\n")
	put("sys/block/nvme0c0n1/dev", "\n")
	put("sys/block/sr0/dev", "11:0\n")
	put("sys/block/dm-0/dev", "253:7\n")
	put("sys/block/dm-0/size", "8\n")
	remove("sys/class/dmi")
	m, err := machineOf(t, root)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.NUMANodes) != 1 || m.NUMANodes[0].Bytes != m.Node.MemoryBytes || len(m.NUMANodes[0].Cores) != 4 || m.PhysicalCores() != 4 || m.Sockets != 2 {
		t.Errorf("topology %+v", m.NUMANodes)
	}
	if uncore := m.NUMANodes[0].Cores[0].Uncore; len(uncore) != 1 || uncore[0].Level != 3 || len(m.NUMANodes[0].Caches) != 0 {
		t.Errorf("shared caches %+v and %+v", uncore, m.NUMANodes[0].Caches)
	}
	if want := []metric.DIMMs{{Type: "Empty", Count: 1}, {Type: "Registered-DDR4", Bytes: 32 << 30, Count: 2}}; !slices.Equal(m.DIMMs, want) {
		t.Errorf("DIMMs %+v", m.DIMMs)
	}
	if m.CPUKilohertz != 3500000 || m.SystemUUID != "" {
		t.Errorf("%d kHz, UUID %q", m.CPUKilohertz, m.SystemUUID)
	}
	if len(m.Disks) != 2 || m.Disks[0] != (metric.Disk{Name: "dm-0", Major: 253, Minor: 7, Bytes: 4096, Scheduler: "none"}) {
		t.Errorf("disks %+v", m.Disks)
	}

	// Another namespace's sysfs, which is not the node's.
	put("sys/class/net/eth0/mtu", "1500\n")
	if m, err = machineOf(t, root); err == nil || !strings.Contains(err.Error(), "another network namespace") || m.Interfaces != nil {
		t.Errorf("interfaces %+v, %v", m.Interfaces, err)
	}
	// No sysfs at all: what procfs knows is there.
	remove("sys")
	if m, err = machineOf(t, root); err == nil || !strings.Contains(err.Error(), root+"/sys/devices/system/cpu has no CPUs") {
		t.Errorf("error %v", err)
	}
	if m.Vendor != "GenuineIntel" || m.NUMANodes != nil || m.Sockets != 0 || m.Disks != nil {
		t.Errorf("%+v", m)
	}
}

// The running machine, as another reader of the same files sees it.
func TestMachineLive(t *testing.T) {
	fs := open(t, "/proc")
	node, err := fs.Identity(IdentityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := fs.Machine(&node, "/sys")
	if err != nil {
		t.Log(err) // no right to read the UUID, or a container
	}
	other, err := oracle.NewFS("/sys")
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := other.CPUs()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{} // CPU: socket, core and siblings
	for _, cpu := range cpus {
		topology, err := cpu.Topology()
		if err != nil {
			continue // offline
		}
		want[cpu.Number()] = fmt.Sprintln(topology.PhysicalPackageID, topology.CoreID, len(cpuList(topology.ThreadSiblingsList)))
	}
	got := map[string]string{}
	for _, n := range m.NUMANodes {
		for _, core := range n.Cores {
			for _, thread := range core.Threads {
				got[strconv.Itoa(thread)] = fmt.Sprintln(strconv.Itoa(core.Socket), strconv.Itoa(core.ID), len(core.Threads))
			}
		}
	}
	if !reflect.DeepEqual(got, want) || len(got) != node.CPUs {
		t.Errorf("CPUs %v of %d, want %v", got, node.CPUs, want)
	}
	for _, i := range m.Interfaces {
		class, err := other.NetClassByIface(i.Name)
		if err != nil {
			t.Fatal(err)
		}
		speed := int64(0)
		if class.Speed != nil {
			speed = *class.Speed
		}
		if class.Address != i.Address || *class.MTU != i.MTU || speed != i.MegabitsPerSecond {
			t.Errorf("%+v, want %+v", i, class)
		}
	}
	if dmi, err := other.DMIClass(); err == nil && dmi.ProductUUID != nil && *dmi.ProductUUID != m.SystemUUID {
		t.Errorf("UUID %q, want %q", m.SystemUUID, *dmi.ProductUUID)
	}
}

func TestScheduler(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := scheduler(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	f("none [mq-deadline] kyber bfq", "mq-deadline")
	f("[none] mq-deadline", "none")
	f("none", "none")
	f("", "none")
	f("cfq [deadline", "deadline")
}

func FuzzInterfaceNames(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/1/net/dev"))
	f.Add([]byte("Inter-|   Receive\n face |bytes\n  eth0: 1 2\nlo:\n:1\n a b : 3"))
	f.Fuzz(func(t *testing.T, text []byte) {
		names := interfaceNames(text)
		if !slices.IsSorted(names) || len(names) > bytes.Count(text, []byte(":")) {
			t.Errorf("%q of %q", names, text)
		}
		for _, name := range names {
			if !bytes.Contains(text, []byte(name)) || strings.ContainsAny(name, ":\n") {
				t.Errorf("%q of %q", name, text)
			}
		}
	})
}

func FuzzCPUList(f *testing.F) {
	for _, text := range []string{"", "0", "0-3,8-11", "3-0", "0-65535", "0-65536", "1,x", "-1", "0-", "0-9223372036854775807"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cpus := cpuList(text)
		var again []string
		for _, cpu := range cpus {
			if cpu < 0 {
				t.Fatalf("CPU %d in %q", cpu, text)
			}
			again = append(again, strconv.Itoa(cpu))
		}
		if back := cpuList(strings.Join(again, ",")); !slices.Equal(back, cpus) {
			t.Fatalf("%q is %v and again %v", text, cpus, back)
		}
		if size, ok := cacheSize(text); ok && size == 0 && strings.Trim(text, "0kK") != "" {
			t.Fatalf("%q is %d bytes", text, size)
		}
		distances(text)
		nodeMemory(text)
	})
}

func BenchmarkMachine(b *testing.B) {
	fs, err := Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer fs.Close()
	node, _ := fs.Identity(IdentityOptions{})
	for b.Loop() {
		fs.Machine(&node, "/sys")
	}
}
