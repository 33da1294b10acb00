package cadvisor

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// MachineInfo is cAdvisor's, of v1 and v2.
type MachineInfo struct {
	Timestamp        time.Time              `json:"timestamp"`
	CPUVendorID      string                 `json:"vendor_id"`
	NumCores         int                    `json:"num_cores"`
	NumPhysicalCores int                    `json:"num_physical_cores"`
	NumSockets       int                    `json:"num_sockets"`
	NumBooks         int                    `json:"num_books,omitempty"`
	NumDrawers       int                    `json:"num_drawers,omitempty"`
	CPUFrequency     uint64                 `json:"cpu_frequency_khz"`
	MemoryCapacity   uint64                 `json:"memory_capacity"`
	SwapCapacity     uint64                 `json:"swap_capacity"`
	MemoryByType     map[string]*MemoryInfo `json:"memory_by_type"`
	NVM              NVMInfo                `json:"nvm"`
	HugePages        []HugePagesInfo        `json:"hugepages"`
	MachineID        string                 `json:"machine_id"`
	SystemUUID       string                 `json:"system_uuid"`
	BootID           string                 `json:"boot_id"`
	Filesystems      []MachineFilesystem    `json:"filesystems"`
	DiskMap          map[string]DiskInfo    `json:"disk_map"`
	NetworkDevices   []NetInfo              `json:"network_devices"`
	Topology         []NodeInfo             `json:"topology"`
	CloudProvider    string                 `json:"cloud_provider"`
	InstanceType     string                 `json:"instance_type"`
	InstanceID       string                 `json:"instance_id"`
}

// Attributes is cAdvisor's v2 summary of the machine and what runs on it.
type Attributes struct {
	KernelVersion      string              `json:"kernel_version"`
	ContainerOSVersion string              `json:"container_os_version"`
	DockerVersion      string              `json:"docker_version"`
	DockerAPIVersion   string              `json:"docker_api_version"`
	CAdvisorVersion    string              `json:"cadvisor_version"`
	NumCores           int                 `json:"num_cores"`
	CPUFrequency       uint64              `json:"cpu_frequency_khz"`
	MemoryCapacity     uint64              `json:"memory_capacity"`
	MachineID          string              `json:"machine_id"`
	SystemUUID         string              `json:"system_uuid"`
	HugePages          []HugePagesInfo     `json:"hugepages"`
	Filesystems        []MachineFilesystem `json:"filesystems"`
	DiskMap            map[string]DiskInfo `json:"disk_map"`
	NetworkDevices     []NetInfo           `json:"network_devices"`
	Topology           []NodeInfo          `json:"topology"`
	CloudProvider      string              `json:"cloud_provider"`
	InstanceType       string              `json:"instance_type"`
}

// MemoryInfo is what the memory modules of one type come to, in bytes.
type MemoryInfo struct {
	Capacity  uint64 `json:"capacity"`
	DIMMCount uint   `json:"dimm_count"`
}

// NVMInfo is persistent memory, which takes a vendor's tool to ask about: always zero, as in
// cAdvisor's own images. The space in the second key is cAdvisor's.
type NVMInfo struct {
	MemoryModeCapacity    uint64 `json:"memory_mode_capacity"`
	AppDirectModeCapacity uint64 `json:"app direct_mode_capacity"`
	AvgPowerBudget        uint   `json:"avg_power_budget"`
}

// HugePagesInfo is a pool of huge pages; PageSize is in kB.
type HugePagesInfo struct {
	PageSize uint64 `json:"page_size"`
	NumPages uint64 `json:"num_pages"`
}

// MachineFilesystem is one filesystem of the node; Capacity is in bytes.
type MachineFilesystem struct {
	Device    string `json:"device"`
	Capacity  uint64 `json:"capacity"`
	Type      string `json:"type"`
	Inodes    uint64 `json:"inodes"`
	HasInodes bool   `json:"has_inodes"`
}

// DiskInfo is a whole block device; Size is in bytes.
type DiskInfo struct {
	Name      string `json:"name"`
	Major     uint64 `json:"major"`
	Minor     uint64 `json:"minor"`
	Size      uint64 `json:"size"`
	Scheduler string `json:"scheduler"`
}

// NetInfo is a network interface; Speed is in Mbit/s.
type NetInfo struct {
	Name       string `json:"name"`
	MACAddress string `json:"mac_address"`
	Speed      int64  `json:"speed"`
	MTU        int64  `json:"mtu"`
}

// NodeInfo is a NUMA node; Memory is in bytes.
type NodeInfo struct {
	ID        int             `json:"node_id"`
	Memory    uint64          `json:"memory"`
	HugePages []HugePagesInfo `json:"hugepages"`
	Cores     []CoreInfo      `json:"cores"`
	Caches    []CacheInfo     `json:"caches"`
	Distances []uint64        `json:"distances"`
}

// CoreInfo is a physical core.
type CoreInfo struct {
	ID           int         `json:"core_id"`
	Threads      []int       `json:"thread_ids"`
	Caches       []CacheInfo `json:"caches"`
	UncoreCaches []CacheInfo `json:"uncore_caches"`
	SocketID     int         `json:"socket_id"`
}

// CacheInfo is a cache of a CPU; Size is in bytes.
type CacheInfo struct {
	ID    int    `json:"id"`
	Size  uint64 `json:"size"`
	Type  string `json:"type"`
	Level int    `json:"level"`
}

// unknownCloud is what cAdvisor says of where the machine is rented, since it doesn't ask.
const unknownCloud = "Unknown"

// NewMachineInfo returns what m says of the machine, and root, which is the node's sample,
// of its filesystems; root may be nil. Neither of them is kept.
func NewMachineInfo(m *metric.Machine, root *metric.Sample) *MachineInfo {
	info := &MachineInfo{
		Timestamp:        m.Time.UTC(),
		CPUVendorID:      m.Vendor,
		NumCores:         m.Node.CPUs,
		NumPhysicalCores: m.PhysicalCores(),
		NumSockets:       m.Sockets,
		NumBooks:         m.Books,
		NumDrawers:       m.Drawers,
		CPUFrequency:     m.CPUKilohertz,
		MemoryCapacity:   m.Node.MemoryBytes,
		SwapCapacity:     m.SwapBytes,
		MemoryByType:     map[string]*MemoryInfo{},
		HugePages:        hugePages(m.HugePages),
		MachineID:        m.Node.MachineID,
		SystemUUID:       SystemUUID(m),
		BootID:           m.Node.BootID,
		Filesystems:      machineFilesystems(root),
		DiskMap:          map[string]DiskInfo{},
		NetworkDevices:   []NetInfo{},
		CloudProvider:    unknownCloud,
		InstanceType:     unknownCloud,
	}
	for _, d := range m.DIMMs {
		info.MemoryByType[d.Type] = &MemoryInfo{Capacity: d.Bytes, DIMMCount: uint(d.Count)}
	}
	for _, d := range m.Disks {
		info.DiskMap[fmt.Sprintf("%d:%d", d.Major, d.Minor)] = DiskInfo{
			Name: d.Name, Major: uint64(d.Major), Minor: uint64(d.Minor), Size: d.Bytes, Scheduler: d.Scheduler,
		}
	}
	for _, n := range m.Interfaces {
		info.NetworkDevices = append(info.NetworkDevices, NetInfo{
			Name: n.Name, MACAddress: n.Address, Speed: n.MegabitsPerSecond, MTU: n.MTU,
		})
	}
	for i := range m.NUMANodes {
		info.Topology = append(info.Topology, nodeInfo(&m.NUMANodes[i]))
	}
	return info
}

// NewAttributes returns the summary of m and root, as NewMachineInfo; version is the agent's.
func NewAttributes(m *metric.Machine, root *metric.Sample, version string) *Attributes {
	info := NewMachineInfo(m, root)
	return &Attributes{
		KernelVersion:      m.Node.Kernel,
		ContainerOSVersion: m.Node.OS,
		DockerVersion:      m.Node.EngineVersion,
		DockerAPIVersion:   m.Node.EngineAPIVersion,
		CAdvisorVersion:    version,
		NumCores:           info.NumCores,
		CPUFrequency:       info.CPUFrequency,
		MemoryCapacity:     info.MemoryCapacity,
		MachineID:          info.MachineID,
		SystemUUID:         info.SystemUUID,
		HugePages:          info.HugePages,
		Filesystems:        info.Filesystems,
		DiskMap:            info.DiskMap,
		NetworkDevices:     info.NetworkDevices,
		Topology:           info.Topology,
		CloudProvider:      info.CloudProvider,
		InstanceType:       info.InstanceType,
	}
}

// SystemUUID is the firmware's id of the machine and, where there is none, the machine id, as
// in cAdvisor.
func SystemUUID(m *metric.Machine) string { return cmp.Or(m.SystemUUID, m.Node.MachineID) }

// nodeInfo keeps lists without elements nil, which cAdvisor prints as null.
func nodeInfo(n *metric.NUMANode) NodeInfo {
	info := NodeInfo{ID: n.ID, Memory: n.Bytes, HugePages: hugePages(n.HugePages), Caches: caches(n.Caches), Distances: n.Distances}
	for i := range n.Cores {
		c := &n.Cores[i]
		info.Cores = append(info.Cores, CoreInfo{
			ID: c.ID, Threads: c.Threads, Caches: caches(c.Caches), UncoreCaches: caches(c.Uncore), SocketID: c.Socket,
		})
	}
	return info
}

func caches(list []metric.Cache) []CacheInfo {
	var infos []CacheInfo
	for _, c := range list {
		infos = append(infos, CacheInfo{ID: c.ID, Size: c.Bytes, Type: c.Type, Level: c.Level})
	}
	return infos
}

func hugePages(pools []metric.HugePages) []HugePagesInfo {
	var infos []HugePagesInfo
	for _, p := range pools {
		infos = append(infos, HugePagesInfo{PageSize: p.PageBytes >> 10, NumPages: p.Count})
	}
	return infos
}

// machineFilesystems returns the filesystems of the node's sample. Those in memory are told
// apart by where they are mounted.
func machineFilesystems(root *metric.Sample) []MachineFilesystem {
	if root == nil {
		return nil
	}
	var list []MachineFilesystem
	for row := range root.Rows(metric.PerFilesystem) {
		key := root.Key(metric.PerFilesystem, row)
		_, hasInodes := root.GetRow(metric.FilesystemInodes, row)
		device := key.Name
		if !strings.HasPrefix(device, "/") {
			device = key.Mountpoint
		}
		list = append(list, MachineFilesystem{
			Device:    device,
			Capacity:  number(root, metric.FilesystemCapacity, row),
			Type:      filesystemType(key.Type),
			Inodes:    number(root, metric.FilesystemInodes, row),
			HasInodes: hasInodes,
		})
	}
	return list
}
