package metric

import "time"

// SwarmState is what the leader of a Swarm said of it at one time: all its services and
// nodes, and the tasks that should run and don't. Immutable once handed over.
type SwarmState struct {
	// Time is when it was asked.
	Time     time.Time
	Services []Service
	Nodes    []SwarmNode
	Tasks    []SwarmTask
}

// Len counts what the state has: services, nodes and tasks.
func (s *SwarmState) Len() int { return len(s.Services) + len(s.Nodes) + len(s.Tasks) }

// Service is a service of a Swarm.
type Service struct {
	ID, Name string
	// Stack is the stack that the service was deployed with, "" without one.
	Stack string
	// Mode is "replicated", "global", "replicated-job" or "global-job".
	Mode string
	// Image is the image of its tasks as it was asked for, most often with its digest.
	Image string
	// Desired is how many tasks should run now: the replicas, the nodes that a global
	// service fits, or the tasks of a job that are due. Running is how many do.
	Desired, Running uint64
	// Completed is how many tasks of a job have done their work.
	Completed uint64
	// Pending is how many tasks should run and have not begun to; Failed how many have
	// failed or were rejected within the last ten minutes. Below 0 they aren't known.
	Pending, Failed int64
	// UpdateState is how far the last update is, in the engine's words ("updating",
	// "paused", "completed", "rollback_started" …), "" without one; UpdateMessage is the
	// engine's sentence about it.
	UpdateState, UpdateMessage string
}

// Job tells whether the service's tasks are to end.
func (s *Service) Job() bool { return s.Mode == "replicated-job" || s.Mode == "global-job" }

// SwarmNode is a node of a Swarm as its managers see it.
type SwarmNode struct {
	ID, Name string
	// Role is "manager" or "worker", Availability "active", "pause" or "drain", State
	// "ready", "down", "unknown" or "disconnected", Message the engine's sentence about
	// the state.
	Role, Availability, State, Message string
	// Leader tells whether it is the leader of the managers, Reachability whether the
	// others reach it: "reachable", "unreachable" or "unknown", "" for a worker.
	Leader       bool
	Reachability string
	// EngineVersion is the version of its engine.
	EngineVersion string
	// CPUs and MemoryBytes are what it offers to tasks, 0 while it isn't known.
	CPUs        float64
	MemoryBytes uint64
}

// SwarmTask is a task that should run and doesn't, or the last one that failed in the
// place of a task that should run.
type SwarmTask struct {
	ID, Name string
	// Slot is the replica's number, 0 for a task of a global service.
	Slot int
	// Service is the service that the task belongs to.
	Service *Service
	// Image is the image of the task, which may be older than the service's.
	Image string
	// NodeID and NodeName are the node that it was given to, "" while there is none.
	NodeID, NodeName string
	// State is how far it is, DesiredState how far it shall come, both in the engine's
	// words ("pending", "preparing", "running", "failed", "rejected" …); Since is when it
	// came into its state.
	State, DesiredState string
	Since               time.Time
	// Message and Error are the engine's sentences about that.
	Message, Error string
	// ContainerID is its container, "" while there is none, and ExitCode that container's
	// exit status, UnknownExit while it has none.
	ContainerID string
	ExitCode    int
}

// EngineDisk is what a node's container engine keeps on disk beside containers and volumes.
// Immutable once handed over.
type EngineDisk struct {
	// Images counts images, ImageBytes is what their layers take; of that,
	// ImageReclaimableBytes belong to images that no container uses.
	Images                            int64
	ImageBytes, ImageReclaimableBytes int64
	// BuildCacheBytes is what the build cache takes, of which
	// BuildCacheReclaimableBytes aren't in use.
	BuildCacheBytes, BuildCacheReclaimableBytes int64
}
