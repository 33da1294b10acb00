package collector

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// swarmRecorder is a SwarmSink.
type swarmRecorder struct {
	states []*metric.SwarmState
	slots  []int64
}

func (r *swarmRecorder) PutSwarm(_ *metric.Node, s *metric.SwarmState, slot int64) {
	r.states, r.slots = append(r.states, s), append(r.slots, slot)
}

// askedSwarm tells the state of a Swarm whenever the test gives it one.
type askedSwarm struct {
	states chan *metric.SwarmState
	events []metric.Event // told with the first state
}

func (a *askedSwarm) tell(ctx context.Context) (*metric.SwarmState, []metric.Event) {
	select {
	case s := <-a.states:
		events := a.events
		a.events = nil
		return s, events
	case <-ctx.Done():
		return nil, nil
	}
}

// TestSwarmOncePerInterval holds that the newest state is handed over at the end of an
// interval, once, and that of one in which it couldn't be learnt there is none.
func TestSwarmOncePerInterval(t *testing.T) {
	service := metric.Service{ID: "s", Name: "shop_web"}
	asked := &askedSwarm{
		states: make(chan *metric.SwarmState),
		events: []metric.Event{{Time: time.Now(), Action: metric.ServiceCreate, ID: "s", Container: new(metric.Container), Service: &service}},
	}
	sink := new(swarmRecorder)
	b := newBench(t, func(o *Options) { o.Swarm, o.SwarmSink = asked.tell, sink })
	give := func(s *metric.SwarmState) {
		t.Helper()
		select {
		case asked.states <- s:
		case <-time.After(20 * time.Second):
			t.Fatal("nobody asks for the state")
		}
	}
	window := int64(b.o.Window)
	end := func() {
		t.Helper()
		b.slot = (b.slot + window) / window * window
		b.sweep(b.slot)
	}
	first, second, third := new(metric.SwarmState), new(metric.SwarmState), new(metric.SwarmState)
	end() // nothing is known yet
	give(first)
	give(second)
	b.tickUntil(t, "the second state", func() bool { return b.swarm == second })
	end()
	if len(sink.states) != 1 || sink.states[0] != second || sink.slots[0] != b.slot {
		t.Fatalf("%d states at %v, want the second one at %d", len(sink.states), sink.slots, b.slot)
	}
	end()
	if len(sink.states) != 1 {
		t.Errorf("a state of an interval that has none")
	}
	give(third)
	b.tickUntil(t, "the third state", func() bool { return b.swarm == third })
	give(nil)
	b.tickUntil(t, "to know nothing", func() bool { return b.swarm == nil })
	end()
	if len(sink.states) != 1 {
		t.Errorf("a state that was asked for again, and not told")
	}
	b.tickUntil(t, "the event", func() bool { return len(b.sink.events) > 0 })
	if e := b.sink.events[0]; e.Action != metric.ServiceCreate || e.Service != &service {
		t.Errorf("told %+v", e)
	}

	// An agent that ends leaves the interval to the next one.
	give(first)
	b.tickUntil(t, "the state", func() bool { return b.swarm == first })
	b.handOver(everything)
	if len(sink.states) != 1 {
		t.Errorf("the state of an interval that isn't over")
	}
}

// TestSwarmChanges holds that a change is asked about before the interval's end.
func TestSwarmChanges(t *testing.T) {
	asked := &askedSwarm{states: make(chan *metric.SwarmState)}
	changes := make(chan struct{})
	b := newBench(t, func(o *Options) {
		o.Swarm, o.SwarmSink, o.SwarmChanges, o.Window = asked.tell, new(swarmRecorder), changes, 24*time.Hour
	})
	for range 2 {
		select {
		case changes <- struct{}{}:
		case <-time.After(20 * time.Second):
			t.Fatal("nobody listens to changes")
		}
		state := new(metric.SwarmState)
		asked.states <- state
		b.tickUntil(t, "the state", func() bool { return b.swarm == state })
	}
}

// TestSwarmAskedInVain holds that an engine which has nothing to tell is asked seldom until
// something changes, and one that has at each interval.
func TestSwarmAskedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		changes := make(chan struct{})
		var asked atomic.Int64
		var state *metric.SwarmState
		b := newBackground(Options{Window: time.Second, SwarmChanges: changes, Swarm: func(context.Context) (*metric.SwarmState, []metric.Event) {
			asked.Add(1)
			return state, nil
		}})
		var running sync.WaitGroup
		running.Go(func() { b.watchSwarm(ctx) })
		within := func(d time.Duration, least, most int64) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := asked.Swap(0); n < least || n > most {
				t.Errorf("asked %d times in %v, want %d to %d", n, d, least, most)
			}
		}
		within(time.Minute, 5, 7)
		state = new(metric.SwarmState)
		changes <- struct{}{}
		within(10*time.Millisecond, 1, 1)
		within(time.Minute, 29, 60) // the answer is paused for a moment
		cancel()
		running.Wait()
	})
}
