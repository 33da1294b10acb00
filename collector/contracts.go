package collector

import (
	"context"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Runtime says who a cgroup is. The loop never waits for one: Inspect and Watch are
// called from goroutines of their own.
type Runtime interface {
	// Recognize tells from a cgroup's path alone, without reading anything, which
	// runtime made it and under which id; ok is false for a cgroup of no runtime.
	Recognize(path string) (runtime, id string, ok bool)
	// Inspect returns what is known of the container with that cgroup path. It
	// returns the same pointer as before while nothing changed, and an error of one
	// sentence that names what is missing when the container can't be identified.
	// Several calls may be under way at once.
	Inspect(ctx context.Context, path string) (*metric.Container, error)
	// Watch calls f with each event that the runtime tells, until ctx ends. It
	// waits for a runtime that isn't there, and returns to one that comes back.
	Watch(ctx context.Context, f func(metric.Event))
}

// Sink takes what the loop has measured. All calls come from the loop's goroutine, must
// not wait for a disk or a network, and must not keep what they are given.
type Sink interface {
	// Put takes one window of one container; the node is the container "/".
	Put(node *metric.Node, w *metric.Window)
	// PutEvent takes one event. Its Container is never nil.
	PutEvent(node *metric.Node, e *metric.Event)
	// PutMissed takes sweeps that were due and not made: for each reason once in a
	// shipping interval at most.
	PutMissed(node *metric.Node, m *metric.Missed)
	// Flush ends a batch: all windows that end at the slot (nanoseconds since the
	// Unix epoch, a multiple of the shipping interval) have been put.
	Flush(slot int64)
}

// SwarmSink takes the state of the Swarm, under the conditions of Sink.
type SwarmSink interface {
	// PutSwarm takes the state in which the Swarm was last in the interval that ends at
	// the slot, as Flush has it. An interval of which it isn't known has none.
	PutSwarm(node *metric.Node, s *metric.SwarmState, slot int64)
}
