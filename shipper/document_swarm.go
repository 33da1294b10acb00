package shipper

import (
	"strconv"

	"github.com/swarmgauge/swarmgauge/metric"
)

// AppendService appends the document of one service. Its time is the state's; slot is the
// end of the interval that it lies in, as in metric.Window.
func (e *Encoder) AppendService(dst []byte, node *metric.Node, state *metric.SwarmState, s *metric.Service, slot int64) []byte {
	dst = e.beginSwarm(dst, node, state.Time.UnixNano(), `service","event.kind":"metric"`)
	dst = e.appendSlot(dst, slot)
	dst = appendServiceIdentity(dst, s)
	dst = appendServiceState(dst, s)
	dst = appendImage(dst, s.Image, "")
	return append(dst, '}')
}

// AppendSwarmNode appends the document of one node of the Swarm, as AppendService does.
func (e *Encoder) AppendSwarmNode(dst []byte, node *metric.Node, state *metric.SwarmState, n *metric.SwarmNode, slot int64) []byte {
	dst = e.beginSwarm(dst, node, state.Time.UnixNano(), `swarm_node","event.kind":"metric"`)
	dst = e.appendSlot(dst, slot)
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

// AppendSwarmTask appends the document of one task, as AppendService does.
func (e *Encoder) AppendSwarmTask(dst []byte, node *metric.Node, state *metric.SwarmState, t *metric.SwarmTask, slot int64) []byte {
	dst = e.beginSwarm(dst, node, state.Time.UnixNano(), `task","event.kind":"metric"`)
	dst = e.appendSlot(dst, slot)
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

func appendServiceState(dst []byte, s *metric.Service) []byte {
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
	return serviceUpdateMessage.append(dst, s.UpdateMessage)
}

// append appends a text, as much of it as is indexed; nothing for "".
func (f swarmField) append(dst []byte, text string) []byte {
	return appendText(dst, swarmKeys[f], clip(text, ignoreAbove))
}

func (f swarmField) appendCount(dst []byte, n uint64) []byte {
	return appendKept(dst, swarmKeys[f], n)
}
