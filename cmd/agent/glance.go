package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// glance is what one look at all containers has brought. It is a collector's Sink.
type glance struct {
	node       *metric.Node
	containers []*metric.Container
	named      int // of a runtime's
	networks   int // that have numbers, or share another's
	notes      []finding

	cgroups     *cgroup.Hierarchy
	descriptors cgroup.Descriptors
}

// look measures once.
func (g *glance) look(ctx context.Context, o *options, parts *parts, c *checks) error {
	g.cgroups = parts.cgroups
	loop, err := parts.collector(ctx, o, g, zap.NewNop())
	if err != nil {
		return err
	}
	if err := loop.Once(ctx); err != nil {
		return err
	}
	if g.node, err = parts.node(ctx, o); err != nil {
		return err
	}
	c.descriptors, c.refused = g.descriptors, loop.Stats().NetworksRefused > 0
	told := parts.cgroups.Notes() // by the checks of cgroups
	if parts.storage != nil {
		told = append(told, parts.storage.notes()...)
	}
	for _, note := range parts.notes() {
		if !slices.Contains(told, note) && !aboutChecked(note, o) {
			g.notes = append(g.notes, finding{Check: "note", Status: shipper.Degraded, Text: sentence(note) + "."})
		}
	}
	return nil
}

// aboutChecked tells that a check says the same as a note, and what mends it.
func aboutChecked(note string, o *options) bool {
	for _, of := range append(strings.Split(o.MachineIDFile, ","), "interfaces in sysfs", "give the agent the capabilit") {
		if strings.Contains(note, of) {
			return true
		}
	}
	return false
}

// Put implements collector.Sink.
func (g *glance) Put(_ *metric.Node, w *metric.Window) {
	if d := g.cgroups.Descriptors(); d.Kept+d.Reopening > g.descriptors.Kept+g.descriptors.Reopening {
		g.descriptors = d
	}
	if w.Container.Runtime == "" || w.Container.State == "exited" {
		return
	}
	container := *w.Container
	g.containers = append(g.containers, &container)
	if container.Unidentified == "" {
		g.named++
	}
	if w.NetworkOf != "" || w.Last.Read(metric.PerInterface) {
		g.networks++
	}
}

// PutEvent implements collector.Sink.
func (g *glance) PutEvent(*metric.Node, *metric.Event) {}

// PutMissed implements collector.Sink.
func (g *glance) PutMissed(*metric.Node, *metric.Missed) {}

// Flush implements collector.Sink.
func (g *glance) Flush(int64) {}

var _ collector.Sink = (*glance)(nil)

// finding says how many containers are seen, and how many of them whole. explained tells
// that another finding says why they aren't.
func (g *glance) finding(explained bool) finding {
	n := len(g.containers)
	f := finding{Check: "samples", Status: shipper.OK, Text: fmt.Sprintf("%d containers are seen, all with their names and their networks.", n)}
	switch {
	case n == 0:
		f.Text = "No container runs here."
	case g.named < n:
		f.Status = shipper.Degraded
		if g.named == 0 && !explained {
			f.Status = shipper.Fault
		}
		f.Text = fmt.Sprintf("%d of %d containers have no name", n-g.named, n)
		for _, container := range g.containers {
			if why, _, _ := strings.Cut(container.Unidentified, "; "); why != "" {
				f.Text += ", the first of them because " + why
				break
			}
		}
		f.Text += "."
	case g.networks < n:
		f.Text = fmt.Sprintf("%d containers are seen, all with their names; %d have a network that is measured, the others use the node's or have none.", n, g.networks)
	}
	return f
}

// agents says whether several agents measure this node.
func (g *glance) agents(where *place) finding {
	f := finding{Check: "agents", Status: shipper.OK, Text: "No second agent measures this node."}
	own := ""
	for _, container := range g.containers {
		if container.ID == where.id {
			own = container.Image
		}
	}
	var others []*metric.Container
	for _, container := range g.containers {
		if container.ID != where.id && (container.Image == own && own != "" || strings.Contains(container.Image, "swarmgauge")) {
			others = append(others, container)
		}
	}
	agents := len(others)
	if where.id != "" && os.Getpid() != 1 { // the first process is an agent, and this one is beside it
		agents++
	}
	if agents > 1 {
		last := others[len(others)-1]
		f.Status = shipper.Degraded
		f.Text = fmt.Sprintf("%d agents measure this node, and each makes all documents: %s is one too many.", agents, last.DisplayName())
		f.mend = mend{at: onNode, elsewhere: "docker stop " + last.DisplayName()}
		if last.Swarm.ServiceName != "" { // which would start it again
			f.mend.elsewhere = "docker service rm " + last.Swarm.ServiceName
		}
	}
	return f
}
