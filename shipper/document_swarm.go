package shipper

import (
	"strconv"

	"github.com/swarmgauge/swarmgauge/metric"
)

// AppendSwarm appends the document of one service, node or task of the state, number i of
// the state.Len() that there are. Its time is the state's; slot is the end of the interval
// that it belongs to, as in collector.Sink's Flush.
func (e *Encoder) AppendSwarm(dst []byte, node *metric.Node, state *metric.SwarmState, i int, slot int64) []byte {
	ns := state.Time.UnixNano()
	if i < len(state.Services) {
		dst = e.beginSwarm(dst, node, ns, `service","event.kind":"metric"`)
		return appendService(e.appendSlot(dst, slot), &state.Services[i])
	}
	if i -= len(state.Services); i < len(state.Nodes) {
		dst = e.beginSwarm(dst, node, ns, `swarm_node","event.kind":"metric"`)
		return appendSwarmNode(e.appendSlot(dst, slot), &state.Nodes[i])
	}
	i -= len(state.Nodes)
	dst = e.beginSwarm(dst, node, ns, `task","event.kind":"metric"`)
	return appendSwarmTask(e.appendSlot(dst, slot), &state.Tasks[i])
}

// appendService appends what a service's document says of it, and its end.
func appendService(dst []byte, s *metric.Service) []byte {
	dst = appendServiceIdentity(dst, s)
	dst = serviceMode.append(dst, s.Mode)
	dst = serviceDesired.appendCount(dst, s.Desired)
	dst = serviceRunning.appendCount(dst, s.Running)
	dst = serviceMissing.appendCount(dst, s.Desired-min(s.Running, s.Desired))
	if s.Pending >= 0 {
		dst = servicePending.appendCount(dst, uint64(s.Pending))
	}
	if s.Failed >= 0 {
		dst = serviceFailed.appendCount(dst, uint64(s.Failed))
	}
	if s.Job() {
		dst = serviceCompleted.appendCount(dst, s.Completed)
	}
	dst = serviceUpdateState.append(dst, s.UpdateState)
	dst = serviceUpdateMessage.append(dst, s.UpdateMessage)
	dst = appendImage(dst, s.Image, "")
	return append(dst, '}')
}

// appendSwarmNode does so for a node.
func appendSwarmNode(dst []byte, n *metric.SwarmNode) []byte {
	dst = appendText(dst, `,"swarm.node.id":`, n.ID)
	dst = appendText(dst, `,"swarm.node.name":`, n.Name)
	dst = nodeRole.append(dst, n.Role)
	dst = nodeAvailability.append(dst, n.Availability)
	dst = nodeState.append(dst, n.State)
	dst = nodeMessage.append(dst, n.Message)
	dst = strconv.AppendBool(append(dst, swarmKeys[nodeLeader]...), n.Leader)
	dst = nodeReachability.append(dst, n.Reachability)
	dst = nodeEngineVersion.append(dst, n.EngineVersion)
	if n.CPUs > 0 {
		dst = appendRatio(dst, swarmKeys[nodeCPUs], n.CPUs, 1)
	}
	if n.MemoryBytes > 0 {
		dst = appendKept(dst, swarmKeys[nodeMemory], n.MemoryBytes)
	}
	return append(dst, '}')
}

// appendSwarmTask does so for a task.
func appendSwarmTask(dst []byte, t *metric.SwarmTask) []byte {
	dst = appendServiceIdentity(dst, t.Service)
	dst = serviceMode.append(dst, t.Service.Mode)
	dst = appendText(dst, `,"swarm.node.id":`, t.NodeID)
	dst = appendText(dst, `,"swarm.node.name":`, t.NodeName)
	dst = appendText(dst, `,"swarm.task.id":`, t.ID)
	dst = appendText(dst, `,"swarm.task.name":`, t.Name)
	dst = appendTaskSlot(dst, t.Slot)
	dst = taskState.append(dst, t.State)
	dst = taskDesiredState.append(dst, t.DesiredState)
	dst = taskMessage.append(dst, t.Message)
	dst = taskError.append(dst, t.Error)
	dst = appendDate(dst, `,"swarm.task.since":"`, t.Since)
	dst = appendText(dst, `,"container.id":`, t.ContainerID)
	if t.ExitCode != metric.UnknownExit {
		dst = appendExit(dst, t.ExitCode, nil)
	}
	dst = appendImage(dst, t.Image, "")
	return append(dst, '}')
}

// appendServiceEvent appends what an event says of a service, and its end.
func appendServiceEvent(dst []byte, s *metric.Service) []byte {
	dst = appendServiceIdentity(dst, s)
	dst = serviceMode.append(dst, s.Mode)
	dst = serviceDesired.appendCount(dst, s.Desired)
	dst = serviceUpdateState.append(dst, s.UpdateState)
	dst = appendImage(dst, s.Image, "")
	return append(dst, '}')
}

func appendServiceIdentity(dst []byte, s *metric.Service) []byte {
	dst = appendText(dst, `,"swarm.stack":`, s.Stack)
	dst = appendText(dst, `,"swarm.service.id":`, s.ID)
	return appendText(dst, `,"swarm.service.name":`, s.Name)
}

// append appends a text, as much of it as is indexed; nothing for "".
func (f swarmField) append(dst []byte, text string) []byte {
	return appendText(dst, swarmKeys[f], clip(text, ignoreAbove))
}

func (f swarmField) appendCount(dst []byte, n uint64) []byte {
	return appendKept(dst, swarmKeys[f], n)
}
