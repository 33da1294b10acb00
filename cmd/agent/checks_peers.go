package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
)

const (
	// peersWithin is how long a peer may have shipped nothing and still count as one that
	// does; who did before, within peersBefore, is missed.
	peersWithin = 5 * time.Minute
	peersBefore = 24 * time.Hour
	// peersNamed is how many names a sentence has.
	peersNamed = 20
)

// peer is another agent, in doctor's JSON.
type peer struct {
	Node string `json:"node"`
	// Seconds is the age of its newest document, nil where there is none within a day.
	Seconds *float64 `json:"seconds"`
}

// ofPeers looks at which other agents than that of this node ship to the same Elasticsearch.
// nodes are the Swarm's, nil if they aren't known here.
func (c *checks) ofPeers(ctx context.Context, own *metric.Node, nodes []metric.SwarmNode) (f finding, all []peer) {
	f = finding{Check: "peers", Status: shipper.Unknown}
	if c.mayNotRead {
		f.Text = fmt.Sprintf("Which other agents ship isn't known: the privilege read on %s-* would show it.", c.o.ESIndex)
		return f, nil
	}
	found, err := shipper.Peers(ctx, c.o.shipper(zap.NewNop()), peersBefore)
	if err != nil {
		f.Text = "Which other agents ship isn't known: " + firstOf(err) + "."
		return f, nil
	}
	isOwn := func(name, id string) bool { return name == own.Name || id != "" && id == own.SwarmID }
	var ship, silent, never, missed []string
	for _, p := range found {
		if isOwn(p.Node, p.SwarmID) {
			continue
		}
		seconds := p.Age.Round(time.Millisecond).Seconds()
		all = append(all, peer{p.Node, &seconds})
		text := fmt.Sprintf("%s (%v ago)", p.Node, p.Age.Round(time.Second))
		if p.Age <= peersWithin {
			ship = append(ship, text)
		} else {
			silent, missed = append(silent, text), append(missed, p.Node)
		}
	}
	for i := range nodes {
		n := &nodes[i]
		shipped := slices.ContainsFunc(found, func(p shipper.Peer) bool { return p.Node == n.Name || p.SwarmID == n.ID })
		if shipped || isOwn(n.Name, n.ID) || n.State != "ready" || n.Availability == "drain" {
			continue
		}
		all = append(all, peer{Node: n.Name})
		never, missed = append(never, n.Name), append(missed, n.Name)
	}
	f.Status, f.Text = shipper.OK, fmt.Sprintf("No other agent has shipped within %.0f minutes.", peersWithin.Minutes())
	if len(ship) > 0 {
		f.Text = fmt.Sprintf("Other agents that have shipped within %.0f minutes: %s.", peersWithin.Minutes(), someOf(ship))
	}
	if len(silent) > 0 {
		f.Text += fmt.Sprintf(" Within the last day and not since: %s.", someOf(silent))
	}
	if len(never) > 0 {
		f.Text += fmt.Sprintf(" Nodes of the Swarm that have shipped nothing within a day: %s.", someOf(never))
	}
	if len(missed) > 0 {
		f.Status, f.mend = shipper.Degraded, c.mendPeers(missed)
	}
	return f, all
}

// mendPeers shows why the agents of nodes don't ship.
func (c *checks) mendPeers(nodes []string) mend {
	switch c.where.kind {
	case onHost:
		return mend{at: onThoseNodes, elsewhere: "agent doctor"}
	case inContainer:
		return mend{at: onThoseNodes, elsewhere: "docker exec CONTAINER /agent doctor"}
	}
	service := c.where.fullName
	if service == "" {
		service = "STACK_" + c.where.service
	}
	line := "docker service ps --no-trunc " + service
	for _, node := range nodes[:min(len(nodes), peersNamed)] {
		line += " --filter " + shellWord("node="+node)
	}
	return mend{at: onManager, elsewhere: line}
}

// someOf joins the first of many.
func someOf(list []string) string {
	if more := len(list) - peersNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:peersNamed], ", "), more)
	}
	return strings.Join(list, ", ")
}

// swarmNodes returns the nodes of the Swarm, nil where the engine isn't asked or doesn't tell,
// as all but the leader of the managers.
func (c *checks) swarmNodes(ctx context.Context) []metric.SwarmNode {
	if c.engine == nil {
		return nil
	}
	state, _ := c.engine.Swarm(ctx)
	if state == nil {
		return nil
	}
	return state.Nodes
}
