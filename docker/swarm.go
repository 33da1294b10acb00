package docker

import (
	"strconv"
	"strings"

	"github.com/swarmgauge/swarmgauge/metric"
)

// swarmOf returns the Swarm task that a container belongs to, from the labels that the
// engine put on it: all of them, as they are, whatever the limits leave of the rest.
func swarmOf(m map[string]string) metric.Swarm {
	label := func(key string) string { return clean(m[key], maxText) }
	s := metric.Swarm{
		ServiceID:   label("com.docker.swarm.service.id"),
		ServiceName: label("com.docker.swarm.service.name"),
		TaskID:      label("com.docker.swarm.task.id"),
		TaskName:    label("com.docker.swarm.task.name"),
		NodeID:      label("com.docker.swarm.node.id"),
		Stack:       label("com.docker.stack.namespace"),
	}
	s.Slot = slot(s.TaskName, s.NodeID)
	return s
}

// slot returns the replica's number out of a task's name: "<service>.<slot>.<task id>"
// for a replicated service, "<service>.<node id>.<task id>" for a global one, which has
// none: 0. Service names have no dot.
func slot(task, node string) int {
	_, rest, _ := strings.Cut(task, ".")
	second, _, ok := strings.Cut(rest, ".")
	if !ok || second == node {
		return 0
	}
	n, err := strconv.ParseUint(second, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}
