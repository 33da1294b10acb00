package collector

import (
	"os"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A network namespace is counted once. The node's own belongs to "/"; one that several
// containers share belongs to the one that was found first or, once that is known, to the
// one that the others were started with (--network container:…). The rest say whose
// namespace they share, and their interfaces stay out of the sums.

const containerMode = "container:"

// youngReads are the readings of a new container at which its namespace is looked up
// again: a runtime moves the first process into the cgroup before it gives it a network
// namespace of its own.
const youngReads = 3

// renewNet is the time between two looks at which namespace a container is in, once it is no
// longer young. It hardly ever moves; a look costs a dozen times as much as a reading (109 µs and
// 9, by perf), and once a minute was a fiftieth of the agent's CPU time.
const renewNet = 5 * time.Minute

// readNet reads the interfaces of t into t.cur and reports whether it did. Now and then, and
// when something may have changed (afresh), the namespace is looked up again; between, it is
// kept open.
func (c *Collector) readNet(t *target, afresh bool) bool {
	if t.container.ID == "" {
		return false // cgroups of no runtime have no namespace of their own
	}
	if strings.HasPrefix(t.container.NetworkMode, containerMode) {
		return false // as cAdvisor: counted where the namespace was made
	}
	// A process that wasn't found may be so for good, and a runtime that is slow to give it a
	// namespace is done at some time: ever more seldom, at each power of two.
	if afresh || c.turn(t, renewNet) || t.reads < youngReads || t.reads&(t.reads-1) == 0 {
		c.openNet(t)
	}
	return t.net != nil && t.net.Read(t.cur) == nil
}

// openNet opens the namespace that one of the processes of t is in. It keeps the one
// that is open when no process is found.
func (c *Collector) openNet(t *target) {
	pid := c.pid(t)
	if pid == 0 {
		return
	}
	if most := c.o.MaxNetworks; t.net == nil && most != 0 && c.networks >= most {
		c.stats.netsRefused.Add(1)
		return
	}
	net, err := c.o.Proc.OpenNet(pid, t.container.ID, &c.text)
	if err != nil {
		return
	}
	old := t.net
	t.net = net
	if old == nil {
		c.networks++
	} else {
		moved := old.Namespace() != net.Namespace()
		old.Close()
		if !moved {
			return
		}
		// Interfaces of the same name are others there.
		for _, s := range [...]*metric.Sample{t.cur, t.prev, &t.window.First} {
			s.DropRows(metric.PerInterface)
		}
		t.history.breakOff()
		c.disown(t)
	}
	c.own(t)
}

// pid returns a process of t in the node's PID namespace, 0 if none is known. A process
// list has the numbers of its reader's PID namespace: in one of its own (the agent in a
// Swarm service) the lists of other containers are empty, and the agent's own says 1, which
// is another process on the node. There the runtime's word is taken, if the process is
// really there, or else what a look at all processes of the node has found.
func (c *Collector) pid(t *target) int {
	c.pids = c.pids[:0]
	if c.self == os.Getpid() {
		c.pids, _ = t.reader.AppendPids(c.pids)
	}
	lowest := 0
	for _, pid := range c.pids {
		// The lowest is most likely the one that stays: the container's first.
		if lowest == 0 || pid < lowest {
			lowest = pid
		}
	}
	if lowest != 0 {
		return lowest
	}
	for _, pid := range [...]int{t.container.PID, c.pidOf[t.container.ID]} {
		// The agent's own cgroup is "/" to itself and so can't be checked.
		if pid != 0 && (pid == c.self || c.o.Proc.InCgroup(pid, t.container.ID)) {
			return pid
		}
	}
	if t.reads&(t.reads-1) == 0 {
		c.background.wantPids()
	}
	return 0
}

// own enters whose the namespace of t is.
func (c *Collector) own(t *target) {
	ns := t.net.Namespace()
	if ns == c.o.Host.Namespace() {
		t.window.NetworkOf = metric.Root
		return
	}
	was := c.owners[ns]
	owner := was
	if maker := c.maker(t, ns); maker != nil {
		owner = maker
	} else if was == nil || c.maker(was, ns) == t {
		owner = t
	}
	for _, sharer := range [...]*target{was, t} {
		if sharer != nil {
			sharer.window.NetworkOf = owner.path()
		}
	}
	owner.window.NetworkOf = ""
	c.owners[ns] = owner
}

// maker returns the container that t was started with in the namespace ns, if that is so;
// else nil. Which of the two was found or named first doesn't matter.
func (c *Collector) maker(t *target, ns uint64) *target {
	id, ok := strings.CutPrefix(t.container.NetworkMode, containerMode)
	if maker := c.byID[id]; ok && maker != nil && maker != t && maker.net != nil && maker.net.Namespace() == ns {
		return maker
	}
	return nil
}

// disown gives the namespace that t has left to another one that shares it.
func (c *Collector) disown(t *target) {
	for ns, owner := range c.owners {
		if owner != t {
			continue
		}
		delete(c.owners, ns)
		for _, other := range c.targets {
			if other != t && other.net != nil && other.net.Namespace() == ns {
				c.own(other)
			}
		}
	}
}

// reown looks again whose the namespace of t is, now that more is known of t.
func (c *Collector) reown(t *target) {
	if t.net != nil {
		c.own(t)
	}
}
