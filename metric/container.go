package metric

import "time"

// Container says whose numbers a Sample holds: a cgroup, and what is known of it. A
// container of a runtime, a systemd unit and the node itself (Path "/") all are
// containers in cAdvisor's sense. Immutable once handed over.
type Container struct {
	// Path is the cgroup's path below the mount of its hierarchy: "/docker/<id>".
	Path string
	// Instance tells cgroups apart that had the same path one after the other: the
	// inode number of the cgroup's directory.
	Instance uint64
	// Runtime is "docker", "podman", "containerd", "crio" or, for a cgroup that
	// no container runtime made, "".
	Runtime string
	// ID is the runtime's id, 64 hexadecimal digits for Docker; "" without a runtime.
	ID string
	// Name is the runtime's name without a leading slash; "" while it isn't known.
	Name string
	// Image is the image as it was asked for, ImageID what it resolved to.
	Image, ImageID string
	// Labels are sorted by key.
	Labels []Label
	// Env are the variables of its environment that the operator asked for, sorted by key:
	// none unless he did.
	Env []Label
	// Created and Started are zero while they aren't known.
	Created, Started time.Time
	// RestartCount counts the runtime's restarts of the container.
	RestartCount int
	// Health is "starting", "healthy" or "unhealthy"; "" without a health check.
	Health string
	// FailingStreak is how many health checks in a row have failed last; 0 where the last
	// one didn't, and where nothing tells.
	FailingStreak int
	// State is the runtime's word: "running", "paused", "restarting", "exited" …
	State string
	// Exit is how the container ended; nil while it runs.
	Exit *Exit
	// PID is the first process in the node's own PID namespace, 0 while it isn't known.
	PID int
	// NetworkMode is the runtime's word: "bridge", "host", "container:<id>", a network's name.
	NetworkMode string
	// Swarm is the task that the container belongs to; zero outside a Swarm.
	Swarm Swarm
	// Unidentified is one sentence that says why a runtime's container has no name;
	// "" when it has one.
	Unidentified string
}

// Label is one label of a container.
type Label struct{ Key, Value string }

// Exit is how a container ended.
type Exit struct {
	Code      int
	OOMKilled bool
	At        time.Time
}

// Swarm is the identity of a Swarm task, from the labels that the engine puts on
// its container.
type Swarm struct {
	ServiceID, ServiceName string
	TaskID, TaskName       string
	// Slot is the replica's number, 0 for a task of a global service.
	Slot   int
	NodeID string
	// Stack is the stack that the service was deployed with, "" without one.
	Stack string
}

// Root is the path of the root cgroup, which stands for the node.
const Root = "/"

// DisplayName returns the container's name or, while it isn't known, its path:
// cAdvisor's container_Name.
func (c *Container) DisplayName() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Path
}

// Label returns the value of the label key, "" if there is none.
func (c *Container) Label(key string) string {
	for i := range c.Labels {
		if c.Labels[i].Key == key {
			return c.Labels[i].Value
		}
	}
	return ""
}

// Node is the machine that the agent runs on. Immutable once handed over.
type Node struct {
	// Name is the node's host name, as Swarm shows it.
	Name string
	// SwarmID is the Swarm node id, "" outside a Swarm or while it isn't known.
	SwarmID string
	// ClusterID is the Swarm's own id, which only managers know.
	ClusterID string
	// MachineID is /etc/machine-id, BootID the kernel's random id of this boot.
	MachineID, BootID string
	// Kernel is the release ("6.1.0-18-amd64"), OS the distribution's pretty name.
	Kernel, OS string
	// Architecture is Go's word: "amd64".
	Architecture string
	// CPUs is the number of logical CPUs online.
	CPUs int
	// MemoryBytes is the usable memory, 0 while it isn't known.
	MemoryBytes uint64
	// EngineVersion is the container engine's version, "" while it isn't known.
	EngineVersion string
	// EngineAPIVersion is the version of the engine's API that is spoken with it, ""
	// without its socket.
	EngineAPIVersion string
	// EngineDisk is what the engine keeps on disk, nil while it isn't known.
	EngineDisk *EngineDisk
}

// Action is what happened to a container.
type Action string

// The actions, in the words of Docker's event stream.
const (
	Start  Action = "start"
	Die    Action = "die"
	OOM    Action = "oom"
	Health Action = "health_status"
	Rename Action = "rename"
	Update Action = "update"

	// What the loop itself sees of any cgroup.
	Create  Action = "create"
	Destroy Action = "destroy"
	OOMKill Action = "oom_kill"

	// ClockStep happens to the node, the container "/": its clock was set.
	ClockStep Action = "clock_step"

	// What happens to a service of the Swarm.
	ServiceCreate Action = "service_create"
	ServiceUpdate Action = "service_update"
	ServiceRemove Action = "service_remove"
)

// UnknownExit is the exit code of what has ended unobserved.
const UnknownExit = -1

// MissedReason is why sweeps were not made.
type MissedReason uint8

const (
	MissedStopped   MissedReason = iota // the agent's process didn't run when they were due
	MissedOverrun                       // the sweep before took longer than the interval
	MissedSuspended                     // the machine was suspended when they were due
	NumMissedReasons
)

// String returns the word that documents have for it.
func (r MissedReason) String() string { return [...]string{"stopped", "overrun", "suspended"}[r] }

// Missed is sweeps that were due and not made, for one reason.
type Missed struct {
	Reason MissedReason
	// Sweeps counts them.
	Sweeps int64
	// FirstSlot and LastSlot are the ends of the shipping intervals of the first and the
	// last of them, as Window.Slot.
	FirstSlot, LastSlot int64
}

// Event is one thing that happened to one container, as its runtime told it, or to one
// service of the Swarm.
type Event struct {
	Time   time.Time
	Action Action
	// ID is the runtime's id of the container.
	ID string
	// Container is who it was, as far as known; the collector fills it in from its
	// targets where the runtime doesn't.
	Container *Container
	// ExitCode belongs to Die, UnknownExit where nothing tells it; Health ("healthy",
	// "unhealthy") to Health.
	ExitCode int
	Health   string
	// Step is, for ClockStep, by how much the clock was set: forward if positive.
	Step time.Duration
	// LastMinute is, for Die, what the container did in the minute before its end; nil
	// where nothing was measured.
	LastMinute *Window
	// Service is, for what happens to a service, the service as it is after that, or was
	// before it was removed; its Container is empty then.
	Service *Service
}
