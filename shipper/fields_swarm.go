package shipper

// swarmField names one field that documents of the Swarm's state have.
type swarmField uint8

const (
	serviceMode swarmField = iota
	serviceDesired
	serviceRunning
	serviceMissing
	servicePending
	serviceFailed
	serviceCompleted
	serviceUpdateState
	serviceUpdateMessage
	nodeRole
	nodeAvailability
	nodeState
	nodeMessage
	nodeLeader
	nodeReachability
	nodeEngineVersion
	nodeCPUs
	nodeMemory
	taskState
	taskDesiredState
	taskMessage
	taskError
	taskSince

	numSwarmFields
)

// swarmFields has one row per field.
var swarmFields = [numSwarmFields]Field{
	serviceMode:          {"swarm.service.mode", Keyword, "", "replicated, global, replicated-job or global-job.", false},
	serviceDesired:       {"swarm.service.desired", Long, "count", "Tasks that should run: the replicas, the nodes that a global service fits, or the tasks of a job that are due now.", false},
	serviceRunning:       {"swarm.service.running", Long, "count", "Tasks that run.", false},
	serviceMissing:       {"swarm.service.missing", Long, "count", "Desired minus running, 0 at least.", false},
	servicePending:       {"swarm.service.pending", Long, "count", "Tasks that should run and have not begun to: they wait for a node or for their time, or are prepared.", false},
	serviceFailed:        {"swarm.service.failed", Long, "count", "Tasks that failed or were rejected within the last ten minutes; absent until the service's tasks have been looked at.", false},
	serviceCompleted:     {"swarm.service.completed", Long, "count", "Tasks of a job that have done their work; absent for other services.", false},
	serviceUpdateState:   {"swarm.service.update_state", Keyword, "", "How far the last update is: updating, paused, completed, rollback_started, rollback_paused, rollback_completed; absent if there was none.", false},
	serviceUpdateMessage: {"swarm.service.update_message", Keyword, "", "The engine's sentence about the update.", false},

	nodeRole:          {"swarm.node.role", Keyword, "", "manager or worker.", false},
	nodeAvailability:  {"swarm.node.availability", Keyword, "", "Whether the node gets tasks: active, pause or drain.", false},
	nodeState:         {"swarm.node.state", Keyword, "", "ready, down, unknown or disconnected.", false},
	nodeMessage:       {"swarm.node.message", Keyword, "", "The engine's sentence about the state.", false},
	nodeLeader:        {"swarm.node.leader", Boolean, "", "Whether the node is the leader of the managers.", false},
	nodeReachability:  {"swarm.node.reachability", Keyword, "", "Whether the other managers reach the node: reachable, unreachable or unknown; absent for a worker.", false},
	nodeEngineVersion: {"swarm.node.engine_version", Keyword, "", "Version of the node's engine.", false},
	nodeCPUs:          {"swarm.node.cpus", Float, "cores", "CPUs that the node offers.", false},
	nodeMemory:        {"swarm.node.memory_bytes", Long, "bytes", "Memory that the node offers.", false},

	taskState:        {"swarm.task.state", Keyword, "", "How far the task is: new, pending, assigned, accepted, preparing, ready, starting, complete, failed, rejected, orphaned.", false},
	taskDesiredState: {"swarm.task.desired_state", Keyword, "", "How far it shall come; shutdown for one that has failed and that another one has followed or shall follow.", false},
	taskMessage:      {"swarm.task.message", Keyword, "", "What happened to it last.", false},
	taskError:        {"swarm.task.error", Keyword, "", "Why it doesn't run.", false},
	taskSince:        {"swarm.task.since", Date, "", "When it came into its state.", false},
}

// swarmKeys are `,"name":`.
var swarmKeys = func() (keys [numSwarmFields]string) {
	for i := range keys {
		keys[i] = `,"` + swarmFields[i].Name + `":`
	}
	return keys
}()
