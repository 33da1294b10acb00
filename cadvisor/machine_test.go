package cadvisor

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// strictly decodes a golden answer into v, and checks that v prints the same bytes.
func strictly(t *testing.T, file string, v any) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if got, err := json.Marshal(v); err != nil || !bytes.Equal(got, bytes.TrimSpace(text)) {
		t.Errorf("%s: %v\ngot  %s\nwant %s", file, err, got, text)
	}
	return text
}

// machineBehind returns what the golden answer was made from.
func machineBehind(t *testing.T, info *MachineInfo) (*metric.Machine, *metric.Sample) {
	t.Helper()
	m := &metric.Machine{
		Node: &metric.Node{MachineID: info.MachineID, BootID: info.BootID, CPUs: info.NumCores, MemoryBytes: info.MemoryCapacity},
		Time: info.Timestamp, Vendor: info.CPUVendorID, CPUKilohertz: info.CPUFrequency, Sockets: info.NumSockets, SwapBytes: info.SwapCapacity,
	}
	pools := func(list []HugePagesInfo) (pools []metric.HugePages) {
		for _, p := range list {
			pools = append(pools, metric.HugePages{PageBytes: p.PageSize << 10, Count: p.NumPages})
		}
		return pools
	}
	caches := func(list []CacheInfo) (caches []metric.Cache) {
		for _, c := range list {
			caches = append(caches, metric.Cache{ID: c.ID, Bytes: c.Size, Type: c.Type, Level: c.Level})
		}
		return caches
	}
	m.HugePages = pools(info.HugePages)
	for _, d := range info.DiskMap {
		m.Disks = append(m.Disks, metric.Disk{Name: d.Name, Major: uint32(d.Major), Minor: uint32(d.Minor), Bytes: d.Size, Scheduler: d.Scheduler})
	}
	for _, n := range info.NetworkDevices {
		m.Interfaces = append(m.Interfaces, metric.Interface{Name: n.Name, Address: n.MACAddress, MegabitsPerSecond: n.Speed, MTU: n.MTU})
	}
	for _, n := range info.Topology {
		node := metric.NUMANode{ID: n.ID, Bytes: n.Memory, HugePages: pools(n.HugePages), Caches: caches(n.Caches), Distances: n.Distances}
		for _, c := range n.Cores {
			node.Cores = append(node.Cores, metric.Core{ID: c.ID, Socket: c.SocketID, Threads: c.Threads, Caches: caches(c.Caches), Uncore: caches(c.UncoreCaches)})
		}
		m.NUMANodes = append(m.NUMANodes, node)
	}
	root := new(metric.Sample)
	for _, f := range info.Filesystems {
		key := metric.Key{Name: f.Device, Mountpoint: "/", Type: "ext4"}
		if !strings.HasPrefix(f.Device, "/dev/v") { // "/dev/shm", "/run/lock"
			key = metric.Key{Name: "tmpfs", Mountpoint: f.Device, Type: "tmpfs"}
		}
		row := root.AddRow(metric.PerFilesystem, key)
		root.PutRow(metric.FilesystemCapacity, row, f.Capacity)
		root.PutRow(metric.FilesystemInodes, row, f.Inodes)
	}
	return m, root
}

func TestMachineInfo(t *testing.T) {
	for _, file := range []string{"v1-hierarchy-machine.json", "v2-hierarchy-machine.json"} {
		var info MachineInfo
		text := strictly(t, file, &info)
		got, err := json.Marshal(NewMachineInfo(machineBehind(t, &info)))
		if err != nil || !bytes.Equal(got, bytes.TrimSpace(text)) {
			t.Errorf("%s: %v\ngot  %s\nwant %s", file, err, got, text)
		}
	}
}

func TestAttributes(t *testing.T) {
	var want Attributes
	text := strictly(t, "v1-hierarchy-attributes.json", &want)
	var info MachineInfo
	strictly(t, "v1-hierarchy-machine.json", &info)
	m, root := machineBehind(t, &info)
	m.Node.Kernel, m.Node.OS = want.KernelVersion, want.ContainerOSVersion
	a := NewAttributes(m, root, "")
	// cAdvisor's order of filesystems is random.
	a.Filesystems = want.Filesystems
	if got, err := json.Marshal(a); err != nil || !bytes.Equal(got, bytes.TrimSpace(text)) {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, text)
	}
}

// What is known beyond the golden machines' is shown, what isn't known is as in cAdvisor.
func TestMachineInfoParts(t *testing.T) {
	m := &metric.Machine{
		Node: &metric.Node{MachineID: "m"}, SystemUUID: "u", Books: 2, Drawers: 1,
		DIMMs: []metric.DIMMs{{Type: "DDR4", Bytes: 32 << 30, Count: 2}},
	}
	got, err := json.Marshal(NewMachineInfo(m, nil))
	const want = `{"timestamp":"0001-01-01T00:00:00Z","vendor_id":"","num_cores":0,"num_physical_cores":0,"num_sockets":0,` +
		`"num_books":2,"num_drawers":1,"cpu_frequency_khz":0,"memory_capacity":0,"swap_capacity":0,` +
		`"memory_by_type":{"DDR4":{"capacity":34359738368,"dimm_count":2}},` +
		`"nvm":{"memory_mode_capacity":0,"app direct_mode_capacity":0,"avg_power_budget":0},"hugepages":null,` +
		`"machine_id":"m","system_uuid":"u","boot_id":"","filesystems":null,"disk_map":{},"network_devices":[],"topology":null,` +
		`"cloud_provider":"Unknown","instance_type":"Unknown","instance_id":""}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}
