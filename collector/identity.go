package collector

import (
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// retryIdentity is how long to wait before asking again who a container is: a container
// is often seen before the engine has written its files, or written its start into them.
var retryIdentity = [...]time.Duration{time.Second, time.Second, 5 * time.Second, 30 * time.Second}

// namingReads are the readings of a new container that its first document may wait for its
// name. The answer to the first question is there at the second reading, if the engine has
// written its files by then.
const namingReads = 3

// awaitsName tells whether t may still be expected to get a name presently.
func (t *target) awaitsName() bool {
	return t.container.ID != "" && !t.identity.settled && t.reads <= namingReads
}

// identify asks about the targets whose turn it is.
func (c *Collector) identify() {
	now := time.Now()
	for _, t := range c.targets {
		if t.container.ID == "" || t.identity.asked || t.identity.due.After(now) {
			continue
		}
		t.identity.asked = c.background.ask(question{path: t.path()})
	}
}

// answers takes everything that the background has found out since the last sweep.
func (c *Collector) answers() {
	for {
		select {
		case a := <-c.background.identities:
			if a.ended {
				c.lifecycle.exited(c, a)
			} else if t := c.byPath[a.path]; t != nil {
				c.identified(t, a)
				if t.identity.again {
					t.identity.again, t.identity.due = false, time.Time{}
				}
			}
		case e := <-c.background.events:
			if t := c.byID[e.ID]; t != nil {
				t.identity.due = time.Time{} // something changed: ask again
				t.identity.again = t.identity.asked
				t.changed = t.changed || e.Action == metric.Update
			}
			c.lifecycle.told(c, e)
		case s := <-c.background.swarms:
			c.swarm = s
		case n := <-c.background.nodes:
			c.setNode(n)
		case pids := <-c.background.pids:
			c.pidOf = pids
		case d := <-c.background.details:
			c.detailed(d)
		case s := <-c.background.filesystems:
			c.filesystem.CopyFrom(s)
		case a := <-c.background.counted:
			c.storageCounted(a)
		default:
			return
		}
	}
}

// identified takes the runtime's answer about t.
func (c *Collector) identified(t *target, a identified) {
	t.identity.asked = false
	if a.err != nil {
		wait := retryIdentity[min(t.identity.misses, len(retryIdentity)-1)]
		t.identity.misses++
		t.identity.due = time.Now().Add(wait)
		if reason := a.err.Error(); !t.identity.settled && t.container.Unidentified != reason {
			unnamed := *t.container
			unnamed.Unidentified = reason
			t.container = &unnamed
		}
		return
	}
	t.identity.settled = true
	wait := c.o.RefreshInterval
	if behind(a.container) {
		wait = min(wait, retryIdentity[min(t.identity.misses, len(retryIdentity)-1)])
		t.identity.misses++
	} else {
		t.identity.misses = 0
	}
	t.identity.due = time.Now().Add(wait)
	if a.container == t.inspected {
		return
	}
	before := t.container
	t.inspected = a.container
	named := *a.container
	named.Path, named.Instance = before.Path, before.Instance
	if named.Created.IsZero() {
		named.Created = before.Created
	}
	t.container = &named
	c.learnSwarm(named.Swarm.NodeID)
	if before.NetworkMode != named.NetworkMode {
		c.reown(t)
	}
	if t.net == nil {
		t.changed = true // the runtime may have told a process
	}
	c.lifecycle.changed(t, before)
	c.tellCreation(t)
}

// behind tells whether a record says that a container doesn't run. Of one whose cgroup is
// there this means that the runtime has not yet written down the start.
func behind(c *metric.Container) bool { return c.State == "created" || c.Exit != nil }

// setNode takes what is known of the node. Its Swarm id, where nothing else tells it, is
// what its tasks have said.
func (c *Collector) setNode(n *metric.Node) {
	if n.SwarmID == "" && c.node.SwarmID != "" {
		known := *n
		known.SwarmID = c.node.SwarmID
		n = &known
	}
	if *n != *c.node {
		c.node = n
	}
}

// learnSwarm takes the node's Swarm id from a task.
func (c *Collector) learnSwarm(id string) {
	if id != "" && c.node.SwarmID == "" {
		known := *c.node
		known.SwarmID = id
		c.node = &known
	}
}

// copyFilesystems puts the newest measurement of the filesystems into the node's sample.
func (c *Collector) copyFilesystems(s *metric.Sample) {
	s.CopyRows(metric.PerFilesystem, &c.filesystem)
}
