package collector

import (
	"context"
	"os"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
)

// What has to be looked at process by process and socket by socket is slow, and read in the
// background, and with it what groups of resctrl have counted, for which the kernel asks
// other CPUs: a goroutine asks the loop what there is, goes round it, and hands back what it
// has read, target by target. The loop puts that into the target's next sample, from
// where on it is a number as all others, as old as the round.

// detailsShare is how much of the time the reading may take: one part in so many. A node
// with more to read is gone round more slowly, not at a higher cost.
const detailsShare = 20

// subject is a target as the background needs to know it.
type subject struct {
	path     string
	instance uint64
	id       string
	pid      int  // the runtime's word for its first process, 0 without one
	counted  bool // its network namespace is counted here
}

// detail is what was read of a subject.
type detail struct {
	path     string
	instance uint64
	sample   *metric.Sample
}

// detailSet returns the numbers of a container among what is read in the background.
func detailSet() (set metric.Set) {
	for id := metric.Processes; id <= metric.MemoryReferenced; id++ {
		set.Add(id)
	}
	return set
}

// handSubjects tells the background what there is, if it has asked.
func (c *Collector) handSubjects() {
	select {
	case <-c.background.subjectsWanted:
	default:
		return
	}
	list := make([]subject, 0, len(c.targets))
	for _, t := range c.targets {
		list = append(list, subject{
			path: t.path(), instance: t.container.Instance, id: t.container.ID, pid: t.container.PID,
			counted: t.path() == metric.Root || t.net != nil && t.window.NetworkOf == "",
		})
	}
	c.background.open.Add(1)
	c.background.subjects <- list // has room: it is asked for one at a time
}

// detailed takes what the background has read of a target.
func (c *Collector) detailed(d detail) {
	if t := c.byPath[d.path]; t != nil && t.container.Instance == d.instance {
		t.detail = d.sample
	}
}

// takeDetail puts what the background has read since the last sample into the current one.
func (c *Collector) takeDetail(t *target) {
	s := t.detail
	if s == nil {
		return
	}
	t.detail = nil
	t.cur.Forget(&c.detailSet)
	for id := metric.Processes; id <= metric.MemoryReferenced; id++ {
		if v, ok := s.Get(id); ok {
			t.cur.Put(id, v)
		}
	}
	t.cur.CopyRows(metric.PerSocket, s)
	t.cur.CopyRows(metric.PerTCP, s)
	t.cur.CopyRows(metric.PerCache, s)
}

// detailReader is what is kept of a subject from one round to the next.
type detailReader struct {
	instance  uint64
	processes *proc.Processes
	round     uint64
}

// watchDetails goes round the subjects until ctx ends.
func (b *background) watchDetails(ctx context.Context) {
	w := detailWatch{b: b, readers: map[string]*detailReader{}}
	if self, err := b.o.Proc.Self(); err == nil {
		w.self, w.seesPids = self, self == os.Getpid()
	}
	for {
		select {
		case list := <-b.subjects:
			began := time.Now()
			w.goRound(ctx, list)
			b.open.Add(-1)
			if !sleep(ctx, b.o.DetailsInterval-time.Since(began)) {
				return
			}
			b.subjectsWanted <- struct{}{}
		case <-ctx.Done():
			return
		}
	}
}

// detailWatch is the state of the goroutine that reads the details.
type detailWatch struct {
	b       *background
	readers map[string]*detailReader // by path
	round   uint64
	pids    []int // scratch

	self int // the agent's process in the node's PID namespace
	// seesPids tells that the lists of processes in cgroups are right: that the agent is
	// in the node's PID namespace. Otherwise byContainer is what all processes say.
	seesPids    bool
	byContainer map[string][]int
}

// pace says for how long to rest.
type pace struct{ owed time.Duration }

// after returns for how long to rest after work that took so long; little is left for the
// next time, when it may be worth to sleep.
func (p *pace) after(took time.Duration) (rest time.Duration) {
	const least = 10 * time.Millisecond
	p.owed += took * (detailsShare - 1)
	if p.owed >= least {
		rest, p.owed = p.owed, 0
	}
	return rest
}

// goRound reads each subject once, at a pace.
func (w *detailWatch) goRound(ctx context.Context, list []subject) {
	w.round++
	var pace pace
	began := time.Now()
	if !w.seesPids {
		var err error
		if w.byContainer, err = w.b.o.Proc.AllPidsByContainer(ctx); err != nil {
			return // ctx has ended, or there is no /proc any more
		}
	}
	if wanted := w.b.o.Details.Wanted(); wanted.OfGroups() {
		w.b.o.Details.FindGroups(w.seesPids)
	}
	for i := range list {
		d, ok := w.read(ctx, &list[i])
		if ok {
			select {
			case w.b.details <- d:
			case <-ctx.Done():
				return
			}
		}
		if !sleep(ctx, pace.after(time.Since(began))) {
			return
		}
		began = time.Now()
	}
	for path, r := range w.readers {
		if r.round != w.round {
			delete(w.readers, path)
		}
	}
}

// read reads one subject; it isn't ok where its processes can't be known.
func (w *detailWatch) read(ctx context.Context, s *subject) (d detail, ok bool) {
	if w.pids, ok = w.pidsOf(ctx, s, w.pids[:0]); !ok {
		return detail{}, false
	}
	details := w.b.o.Details
	wanted := details.Wanted()
	sample := new(metric.Sample)
	if wanted.OfProcesses() {
		r := w.readers[s.path]
		if r == nil || r.instance != s.instance {
			r = &detailReader{instance: s.instance, processes: details.NewProcesses(s.id)}
			w.readers[s.path] = r
		}
		r.round = w.round
		r.processes.Read(w.pids, time.Now(), sample)
	}
	if wanted.OfGroups() {
		if s.path == metric.Root {
			details.ReadNodeGroups(sample)
		} else {
			details.ReadGroup(s.id, w.pids, sample)
		}
	}
	if wanted.OfSockets() && s.counted && len(w.pids) > 0 {
		details.ReadSockets(w.pids[0], s.id, sample)
	}
	return detail{s.path, s.instance, sample}, true
}

// pidsOf appends the processes of a subject, the first one first: those of a container are
// those of the cgroups that it has made below its own as well, and those of the node are
// all. It isn't ok if they can't be known.
func (w *detailWatch) pidsOf(ctx context.Context, s *subject, dst []int) (pids []int, ok bool) {
	var err error
	switch {
	case s.path == metric.Root:
		dst, err = w.b.o.Proc.AppendPids(ctx, dst)
		return dst, err == nil
	case w.seesPids:
		if dst, err = w.b.o.Cgroups.AppendPids(dst, s.path); err != nil {
			return dst, false // it has gone
		}
	case s.id != "":
		dst = append(dst, w.byContainer[s.id]...)
	}
	if len(dst) == 0 && s.pid != 0 && (s.pid == w.self || w.b.o.Proc.InCgroup(s.pid, s.id)) {
		// The agent's own container, which is "/" to the agent.
		dst = append(dst, s.pid)
	}
	return dst, w.seesPids || len(dst) > 0
}
