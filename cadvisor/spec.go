package cadvisor

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// ContainerSpec is what a container is, and what it may use, in cAdvisor's API v1.
type ContainerSpec struct {
	CreationTime time.Time         `json:"creation_time"`
	StartTime    time.Time         `json:"start_time"`
	Labels       map[string]string `json:"labels,omitempty"`
	Envs         map[string]string `json:"envs,omitempty"`
	HasCPU       bool              `json:"has_cpu"`
	CPU          CPUSpec           `json:"cpu"`
	HasMemory    bool              `json:"has_memory"`
	Memory       MemorySpec        `json:"memory"`
	HasHugetlb   bool              `json:"has_hugetlb"`
	HasNetwork   bool              `json:"has_network"`
	HasProcesses bool              `json:"has_processes"`
	Processes    ProcessSpec       `json:"processes"`
	// HasFilesystem and HasDiskIO tell that space and IO are measured.
	HasFilesystem    bool   `json:"has_filesystem"`
	HasDiskIO        bool   `json:"has_diskio"`
	HasCustomMetrics bool   `json:"has_custom_metrics"`
	Image            string `json:"image,omitempty"`
}

// ContainerSpecV2 is the same in API v2: other members in another order.
type ContainerSpecV2 struct {
	CreationTime     time.Time         `json:"creation_time"`
	StartTime        time.Time         `json:"start_time"`
	Aliases          []string          `json:"aliases,omitempty"`
	Namespace        string            `json:"namespace,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	Envs             map[string]string `json:"envs,omitempty"`
	HasCPU           bool              `json:"has_cpu"`
	CPU              CPUSpec           `json:"cpu"`
	HasMemory        bool              `json:"has_memory"`
	Memory           MemorySpec        `json:"memory"`
	HasHugetlb       bool              `json:"has_hugetlb"`
	HasCustomMetrics bool              `json:"has_custom_metrics"`
	HasProcesses     bool              `json:"has_processes"`
	Processes        ProcessSpec       `json:"processes"`
	HasNetwork       bool              `json:"has_network"`
	HasFilesystem    bool              `json:"has_filesystem"`
	HasDiskIO        bool              `json:"has_diskio"`
	Image            string            `json:"image,omitempty"`
}

// CPUSpec has a weight on the scale of v1's cpu.shares, MaxLimit, which is always 0, the
// CPUs as a list, and the bandwidth limit in microseconds.
type CPUSpec struct {
	Limit    uint64 `json:"limit"`
	MaxLimit uint64 `json:"max_limit"`
	Mask     string `json:"mask,omitempty"`
	Quota    uint64 `json:"quota,omitempty"`
	Period   uint64 `json:"period,omitempty"`
}

// MemorySpec has limits in bytes. SwapLimit is of memory and swap together.
type MemorySpec struct {
	Limit       uint64 `json:"limit,omitempty"`
	Reservation uint64 `json:"reservation,omitempty"`
	SwapLimit   uint64 `json:"swap_limit,omitempty"`
}

// ProcessSpec has the limit of processes and threads.
type ProcessSpec struct {
	Limit uint64 `json:"limit,omitempty"`
}

// V2 returns the same in the shape of API v2.
func (s *ContainerSpec) V2(c *metric.Container) ContainerSpecV2 {
	return ContainerSpecV2{
		CreationTime: s.CreationTime, StartTime: s.StartTime,
		Aliases: Aliases(c), Namespace: c.Runtime, Labels: s.Labels, Envs: s.Envs,
		HasCPU: s.HasCPU, CPU: s.CPU, HasMemory: s.HasMemory, Memory: s.Memory,
		HasHugetlb: s.HasHugetlb, HasCustomMetrics: s.HasCustomMetrics,
		HasProcesses: s.HasProcesses, Processes: s.Processes,
		HasNetwork: s.HasNetwork, HasFilesystem: s.HasFilesystem, HasDiskIO: s.HasDiskIO,
		Image: s.Image,
	}
}

// Aliases returns the names by which a container is known beside its path: its name, if it
// has one, and its id; of containerd, which has no names, its id and its path. Nil for a
// cgroup that no runtime made.
func Aliases(c *metric.Container) []string {
	switch {
	case c.ID == "":
		return nil
	case c.Name != "" && c.Name != c.ID:
		return []string{c.Name, c.ID}
	case c.Runtime == "containerd":
		return []string{c.ID, c.Path}
	}
	return []string{c.ID}
}

// Unlimited is the limit that each version of cgroups prints where there is none.
type Unlimited uint64

const (
	// UnlimitedV1 is v1's: the largest signed number, in whole pages.
	UnlimitedV1 Unlimited = math.MaxInt64 &^ 4095
	// UnlimitedV2 is what cAdvisor makes of v2's "max".
	UnlimitedV2 Unlimited = math.MaxUint64
)

// Spec returns the specification of the container that o observes; groups are those that
// are on.
func Spec(o *Observation, groups Groups, none Unlimited) ContainerSpec {
	c, s := o.Container, o.Sample
	root := c.Path == metric.Root
	spec := ContainerSpec{
		CreationTime: c.Created, StartTime: c.Started,
		Labels: specLabels(c), Envs: labelMap(c.Env), Image: c.Image,
		HasDiskIO: groups.Has("diskIO"), HasHugetlb: s.Read(metric.PerHugePage),
		HasNetwork:    groups.Has("network") && hasNetwork(c, s),
		HasFilesystem: groups.Has("disk") && (root || c.Runtime == "docker" || c.Runtime == "podman"),
	}
	_, spec.HasCPU = s.Get(metric.CPUUsage)
	spec.CPU.Limit, _ = s.Get(metric.CPUShares)
	spec.CPU.Quota, _ = s.Get(metric.CPUQuota)
	spec.CPU.Period, _ = s.Get(metric.CPUPeriod)
	if none == UnlimitedV2 || groups.Has("cpuset") {
		spec.CPU.Mask = s.CPUSet
	}
	_, spec.HasMemory = s.Get(metric.MemoryUsage)
	if spec.HasMemory {
		spec.Memory = memorySpec(o, none)
	}
	if _, counted := s.Get(metric.PidsCurrent); none == UnlimitedV2 && (counted || root) || groups.Has("process") {
		spec.HasProcesses = true
		spec.Processes.Limit = limit(s, metric.PidsLimit, UnlimitedV2) // of both versions
		if root || !counted {
			spec.Processes.Limit = 0
		}
	}
	return spec
}

func memorySpec(o *Observation, none Unlimited) MemorySpec {
	s := o.Sample
	if o.Container.Path == metric.Root {
		swap, _ := s.Get(metric.NodeSwapTotal)
		spec := MemorySpec{Limit: o.Node.MemoryBytes, SwapLimit: swap}
		if none == UnlimitedV1 {
			spec.Reservation = uint64(none)
		}
		return spec
	}
	spec := MemorySpec{Limit: limit(s, metric.MemoryLimit, none)}
	spec.Reservation, _ = s.Get(metric.MemoryReservation)
	if spec.Reservation == 0 && none == UnlimitedV1 {
		spec.Reservation = uint64(none)
	}
	swap, limited := s.Get(metric.MemorySwapLimit)
	_, counted := s.Get(metric.MemorySwap)
	switch memory, _ := s.Get(metric.MemoryLimit); {
	case limited && memory > 0:
		spec.SwapLimit = memory + swap
	case counted:
		spec.SwapLimit = uint64(none)
	}
	return spec
}

// limit returns a limit, none where there is none.
func limit(s *metric.Sample, id metric.ID, none Unlimited) uint64 {
	if v, limited := s.Get(id); limited {
		return v
	}
	return uint64(none)
}

// hasNetwork tells whether numbers of a network are c's own: of the node, if it has interfaces,
// and of a container, unless it was made in the network of another one.
func hasNetwork(c *metric.Container, s *metric.Sample) bool {
	if c.Runtime == "docker" || c.Runtime == "podman" {
		return !strings.HasPrefix(c.NetworkMode, "container:")
	}
	return s.Read(metric.PerInterface)
}

// RestartLabel is the label that cAdvisor makes of how often a runtime has restarted a
// container.
const RestartLabel = "restartcount"

// specLabels are the labels of c and, of one that its runtime has restarted, how often.
func specLabels(c *metric.Container) map[string]string {
	labels := labelMap(c.Labels)
	if c.RestartCount > 0 {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[RestartLabel] = strconv.Itoa(c.RestartCount)
	}
	return labels
}

func labelMap(labels []metric.Label) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		m[l.Key] = l.Value
	}
	return m
}

// ContainerInfo is a container without its samples, which stand behind it as "stats". The
// subcontainers are the cgroups directly below.
type ContainerInfo struct {
	ID            string        `json:"id,omitempty"`
	Name          string        `json:"name"`
	Aliases       []string      `json:"aliases,omitempty"`
	Namespace     string        `json:"namespace,omitempty"`
	Subcontainers []Reference   `json:"subcontainers,omitempty"`
	Spec          ContainerSpec `json:"spec"`
}

// Reference names a container.
type Reference struct {
	Name string `json:"name"`
}
