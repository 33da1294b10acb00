package main

import (
	"context"
	"strings"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/docker"
	"github.com/swarmgauge/swarmgauge/proc"
)

// checks look at what the agent is given on this node. "agent doctor" shows what they find,
// and so does /validate of an agent that runs. What couldn't be opened is nil, and the error
// beside it says why.
type checks struct {
	o          *options
	where      *place
	proc       *proc.FS
	procErr    error
	cgroups    *cgroup.Hierarchy
	cgroupsErr error
	engine     *docker.Engine
	// descriptors is the state of the budget while all containers were read.
	descriptors cgroup.Descriptors
	// answers tells that an Elasticsearch answers, and mayNotRead that documents can't be
	// read there.
	answers, mayNotRead bool
	// refused tells that containers got no descriptor for their network.
	refused bool
}

// mounted are findings about what has to be there for anything to be measured.
func (c *checks) mounted(ctx context.Context) []finding {
	return append(append(c.ofProc(), c.ofCgroups()...), c.ofContainers(ctx))
}

// optional are findings about what adds something.
func (c *checks) optional(ctx context.Context) []finding {
	return []finding{c.ofSocket(ctx), c.ofHostRoot(), c.ofSysRoot()}
}

// rights are findings about what the process may do.
func (c *checks) rights() []finding {
	return append(c.ofCapabilities(), c.ofMemory(), c.ofDescriptors(), c.ofSpool())
}

// sentence begins with a capital letter.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// firstOf returns the first line of an error.
func firstOf(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimSuffix(line, ".")
}
