package collector

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// ErrUnknown is returned for a path that no measured cgroup has.
var ErrUnknown = errors.New("no such container")

// Query says which samples of a container History copies.
type Query struct {
	Path string
	// Count is how many of the newest samples are wanted, negative for all.
	Count int
	// MaxAge is how old the newest may be: for an older one another is taken, which
	// is in no window. Negative takes the newest as it is.
	MaxAge time.Duration
}

// History is a copy of what is kept of one container. It belongs to the caller, who may
// hand it in again: its memory is reused.
type History struct {
	Node      *metric.Node
	Container *metric.Container
	// NetworkOf is as in metric.Window.
	NetworkOf string
	Summary   Summary

	samples history
	fresh   metric.Sample // taken for the query; Time is 0 without
	last    metric.Sample
	count   int
	oldest  int64 // what is older, is not kept any more
}

// HistoryOf returns the History of a container that has those samples, oldest first.
func HistoryOf(node *metric.Node, c *metric.Container, samples ...*metric.Sample) *History {
	h := &History{Node: node, Container: c, count: -1, samples: history{span: math.MaxInt64}}
	for _, s := range samples {
		h.samples.add(s, &h.last)
		h.last.CopyFrom(s)
	}
	return h
}

// Copy makes h a copy of the newest count samples of from, and of all if count is negative.
func (h *History) Copy(from *History, count int) {
	h.Node, h.Container, h.NetworkOf, h.Summary, h.count = from.Node, from.Container, from.NetworkOf, from.Summary, count
	h.samples.copyNewest(&from.samples, count)
	h.last.CopyFrom(&from.last)
	h.fresh.Time, h.oldest = 0, from.oldest
}

// Each calls f with the samples that were asked for, oldest first, until f returns false.
// The sample is f's only during the call.
func (h *History) Each(f func(*metric.Sample) bool) {
	kept := h.samples.len() - h.samples.older(h.oldest)
	total := kept
	if h.fresh.Time != 0 {
		total++
	}
	skip := 0
	if h.count >= 0 {
		skip = max(0, total-h.count)
	}
	i, stopped := 0, false
	h.samples.each(h.oldest, func(s *metric.Sample) bool {
		if i++; i > skip {
			stopped = !f(s)
		}
		return !stopped
	})
	if h.fresh.Time != 0 && !stopped && total > skip {
		f(&h.fresh)
	}
}

// Newest returns the newest sample. It stays h's.
func (h *History) Newest() *metric.Sample {
	if h.fresh.Time != 0 {
		return &h.fresh
	}
	return &h.last
}

// History fills h with what q asks for. Any goroutine may call it: the loop itself does the
// work, between two sweeps, which is a copy of some kilobytes. The error is ErrUnknown,
// ErrEnded, or that of ctx; h is of no use then.
func (c *Collector) History(ctx context.Context, q Query, h *History) error {
	found := false
	err := c.do(ctx, func() {
		if t := c.byPath[q.Path]; t != nil && t.reads > 0 {
			found = true
			c.copyHistory(t, q, h)
		}
	})
	if err == nil && !found {
		return ErrUnknown
	}
	return err
}

func (c *Collector) copyHistory(t *target, q Query, h *History) {
	h.Node, h.Container, h.NetworkOf, h.count = c.node, t.container, t.window.NetworkOf, q.Count
	h.samples.copyNewest(&t.history, q.Count)
	h.oldest = t.cur.Time - t.history.span + 1
	h.last.CopyFrom(t.cur)
	h.Summary = t.summary.now(t.prev, t.cur)
	h.fresh.Time = 0
	if q.MaxAge >= 0 && time.Now().UnixNano()-t.cur.Time > int64(q.MaxAge) {
		c.readFresh(t, &h.fresh)
	}
}

// Fresh takes a sample of the container with that path into s, beside those of the sweeps.
// Any goroutine may call it. The error is ErrUnknown, ErrEnded or that of ctx; s is then as
// it was.
func (c *Collector) Fresh(ctx context.Context, path string, s *metric.Sample) error {
	found := false
	err := c.do(ctx, func() {
		t := c.byPath[path]
		if t == nil || t.reads == 0 {
			return
		}
		var fresh metric.Sample
		c.readFresh(t, &fresh)
		if found = fresh.Time != 0; found {
			s.CopyFrom(&fresh)
		}
	})
	if err == nil && !found {
		return ErrUnknown
	}
	return err
}

// readFresh takes a sample of t beside those of the sweeps. Its Time stays 0 if t is gone.
func (c *Collector) readFresh(t *target, s *metric.Sample) {
	s.CopyFrom(t.cur)
	s.Time = time.Now().UnixNano()
	if c.o.NoRootStats && t.path() == metric.Root {
		s.Time = 0
		return
	}
	if t.reader.Read(s, false) != nil {
		s.Time = 0
		return
	}
	if t.path() == metric.Root {
		c.o.Host.Read(s, false) // what fails here, fails in the sweeps, too, which say so
	} else if t.net != nil {
		t.net.Read(s)
	}
	s.DropEmptyRows()
}

// Listed is one container that is measured.
type Listed struct {
	Container *metric.Container
	// NetworkOf is as in metric.Window.
	NetworkOf string
}

// List appends everything that is measured to list and returns it, in no order. Any
// goroutine may call it; the error is ErrEnded or that of ctx.
func (c *Collector) List(ctx context.Context, list []Listed) ([]Listed, error) {
	err := c.do(ctx, func() {
		for _, t := range c.targets {
			if t.reads > 0 {
				list = append(list, Listed{t.container, t.window.NetworkOf})
			}
		}
	})
	return list, err
}
