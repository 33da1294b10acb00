package collector

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
)

// background does what may take long, in goroutines of its own: it asks the runtime who
// a container is, listens to its events, looks at the machine and at its filesystems, and
// at processes and sockets (details.go).
// Questions and answers pass through channels; the loop waits for neither.
type background struct {
	o           Options
	questions   chan question
	identities  chan identified
	events      chan metric.Event
	nodes       chan *metric.Node
	swarms      chan *metric.SwarmState // nil for none
	filesystems chan *metric.Sample
	pidsWanted  chan struct{}
	pids        chan map[string]int
	uncounted   chan *metric.Container
	counted     chan counted

	subjectsWanted chan struct{}
	subjects       chan []subject
	details        chan detail

	open       atomic.Int64 // questions without an answer
	eventsLost atomic.Int64
}

// question asks who the container with a cgroup path is. An ended one is asked about to
// learn how it ended.
type question struct {
	path  string
	ended bool
}

// identified is the answer to a question.
type identified struct {
	question
	container *metric.Container
	err       error
}

const (
	// inspectors are the goroutines that ask the runtime: more than one, so that one
	// slow answer doesn't leave all others nameless.
	inspectors = 4
	// inspectTimeout bounds one question.
	inspectTimeout = 5 * time.Second
	// backlog is how many questions, answers and events may wait for the other side.
	backlog = 512
	// few is how many answers may wait that are large and come seldom.
	few = 8
)

func newBackground(o Options) *background {
	return &background{
		o:           o,
		questions:   make(chan question, backlog),
		identities:  make(chan identified, backlog),
		events:      make(chan metric.Event, backlog),
		nodes:       make(chan *metric.Node, 1),
		swarms:      make(chan *metric.SwarmState, 1),
		filesystems: make(chan *metric.Sample, 1),
		pidsWanted:  make(chan struct{}, 1),
		pids:        make(chan map[string]int, 1),
		uncounted:   make(chan *metric.Container, backlog),
		counted:     make(chan counted, few),

		subjectsWanted: make(chan struct{}, 1),
		subjects:       make(chan []subject, 1),
		details:        make(chan detail, backlog),
	}
}

// start starts all goroutines; stop ends them and waits for them.
func (b *background) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for range inspectors {
		running.Go(func() { b.inspect(ctx) })
	}
	running.Go(func() { b.o.Runtime.Watch(ctx, b.event) })
	running.Go(func() { b.watchNode(ctx) })
	running.Go(func() { b.lookForPids(ctx) })
	if b.o.Swarm != nil {
		running.Go(func() { b.watchSwarm(ctx) })
	}
	if b.o.Filesystems != nil {
		running.Go(func() { b.watchFilesystems(ctx) })
	}
	if b.o.Storage != nil {
		running.Go(func() { b.countStorage(ctx) })
	}
	if b.o.Details != nil {
		b.subjectsWanted <- struct{}{}
		running.Go(func() { b.watchDetails(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// ask puts a question and reports whether there was room for it.
func (b *background) ask(q question) bool {
	select {
	case b.questions <- q:
		b.open.Add(1)
		return true
	default:
		return false
	}
}

func (b *background) inspect(ctx context.Context) {
	for {
		select {
		case q := <-b.questions:
			limited, cancel := context.WithTimeout(ctx, inspectTimeout)
			container, err := b.o.Runtime.Inspect(limited, q.path)
			cancel()
			select {
			case b.identities <- identified{q, container, err}:
			case <-ctx.Done():
				return
			}
			b.open.Add(-1)
		case <-ctx.Done():
			return
		}
	}
}

// event takes one event of the runtime; a loop that doesn't keep up loses it, counted.
func (b *background) event(e metric.Event) {
	select {
	case b.events <- e:
	default:
		b.eventsLost.Add(1)
	}
}

func (b *background) watchNode(ctx context.Context) {
	for sleep(ctx, b.o.NodeInterval) {
		if node, err := b.o.Node(ctx); err == nil {
			replace(b.nodes, node)
		}
	}
}

// swarmLead is how long before the end of an interval the state of the Swarm is asked for,
// or a quarter of it.
const swarmLead = 2 * time.Second

// swarmAgain is after what time a node that had nothing to tell of the Swarm is asked again,
// if nothing changes before and intervals are shorter.
const swarmAgain = 10 * time.Second

// watchSwarm asks for the state of the Swarm in each interval, and when it changes. It
// spends a tenth of the time on changes at most. What it can't learn replaces what was
// known, because somebody else may be the one to tell it by now.
func (b *background) watchSwarm(ctx context.Context) {
	lead := min(swarmLead, b.o.Window/4)
	tells := true
	for {
		now := time.Duration(time.Now().UnixNano())
		wait := b.o.Window - (now+lead)%b.o.Window
		if !tells {
			wait = max(wait, swarmAgain)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-b.o.SwarmChanges:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		state, happened := b.o.Swarm(ctx)
		for _, e := range happened {
			b.event(e)
		}
		replace(b.swarms, state)
		tells = state != nil
		if !sleep(ctx, min(max(time.Second, 9*time.Since(began)), b.o.Window/2)) {
			return
		}
	}
}

func (b *background) watchFilesystems(ctx context.Context) {
	for {
		s := new(metric.Sample)
		if err := b.o.Filesystems(s); err != nil {
			b.o.Log.Warn("some filesystems can't be measured", zap.Error(err))
		}
		replace(b.filesystems, s)
		if !sleep(ctx, b.o.RefreshInterval) {
			return
		}
	}
}

// wantPids asks for a process of every container. The answer serves all that ask until
// the next look, which is a refresh interval later at the earliest.
func (b *background) wantPids() {
	select {
	case b.pidsWanted <- struct{}{}:
	default:
	}
}

func (b *background) lookForPids(ctx context.Context) {
	for {
		select {
		case <-b.pidsWanted:
		case <-ctx.Done():
			return
		}
		pids, err := b.o.Proc.PidsByContainer(ctx)
		if err != nil {
			b.o.Log.Warn("the node's processes can't be listed: some containers have no network numbers", zap.Error(err))
		} else {
			replace(b.pids, pids)
		}
		if !sleep(ctx, b.o.RefreshInterval) {
			return
		}
	}
}

// settle waits until every question has its answer.
func (b *background) settle(ctx context.Context) error {
	for b.open.Load() > 0 {
		if !sleep(ctx, 5*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// replace puts v into a channel of one, in place of what nobody has taken.
func replace[T any](ch chan T, v T) {
	for {
		select {
		case ch <- v:
			return
		default:
		}
		select {
		case <-ch:
		default:
		}
	}
}

// sleep waits for d and reports false if ctx ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
