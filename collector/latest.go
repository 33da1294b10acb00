package collector

import (
	"context"
	"errors"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// ErrEnded is returned when the loop has ended and can't be asked any more.
var ErrEnded = errors.New("sampling has ended")

// Reading is the newest sample of one container.
type Reading struct {
	Container *metric.Container
	// NetworkOf is as in metric.Window.
	NetworkOf string
	Sample    metric.Sample
}

// Readings are the newest samples of everything that is measured. They belong to the
// caller, who may hand them in again: their memory is reused.
type Readings struct {
	Node       *metric.Node
	Containers []Reading
	// Killed have ended a while ago; those that exist again are not among them.
	Killed []Killed
}

// Latest fills r. Any goroutine may call it: the loop itself does the work, between two
// sweeps, which is a copy of about a kilobyte for each container. The error is that of ctx,
// or ErrEnded; r is of no use then.
func (c *Collector) Latest(ctx context.Context, r *Readings) error {
	return c.do(ctx, func() { c.copyLatest(r) })
}

// Sampled is closed when everything there is has been sampled once; until then there is
// nothing to ask for.
func (c *Collector) Sampled() <-chan struct{} { return c.sampled }

// do has the loop call f between two sweeps, and waits until it has.
func (c *Collector) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case c.asks <- func() { f(); close(done) }:
		<-done
		return nil
	case <-c.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Collector) copyLatest(r *Readings) {
	r.Node = c.node
	r.Killed = r.Killed[:0]
	for _, k := range c.buried {
		if c.byPath[k.Container.Path] == nil && time.Since(k.Ended) < rememberKills {
			r.Killed = append(r.Killed, k)
		}
	}
	r.Containers = r.Containers[:min(len(c.targets), cap(r.Containers))]
	for len(r.Containers) < len(c.targets) {
		r.Containers = append(r.Containers, Reading{})
	}
	for i, t := range c.targets {
		to := &r.Containers[i]
		to.Container, to.NetworkOf = t.container, t.window.NetworkOf
		to.Sample.CopyFrom(t.cur)
	}
}
