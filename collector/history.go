package collector

import "github.com/swarmgauge/swarmgauge/metric"

// history keeps the newest samples of one target: segments, each of a whole sample and
// what changed from sample to sample after it. A second of an ordinary container costs
// about 100 bytes. When the oldest segment is no longer needed its memory becomes the
// newest one's, so that a history that has filled once allocates nothing.
type history struct {
	segments []segment // oldest first
	newest   int64     // the time of the sample that was added last
	broken   bool      // the next sample has nothing to be compared with
	span     int64     // nanoseconds to keep
}

type segment struct {
	keys   *metric.Keys // of all of its samples
	first  int64        // the time of the first
	deltas []byte       // the first whole, and then what changed
	count  int          // samples, first included
}

// segmentSamples is how many samples a segment holds: more make the whole samples
// cheaper, fewer give memory back sooner.
const segmentSamples = 30

// add appends s. It keeps neither s nor prev, which is the sample that was added before, and as
// it was then, unless breakOff was called or its time was changed. The first has none before
// it: prev isn't looked at. A sample from before the newest one takes its place, and that of
// all others.
func (h *history) add(s, prev *metric.Sample) {
	if s.Time < h.newest {
		h.segments = h.segments[:0] // the clock was set back: they are of a future
	}
	follows := !h.broken && prev.Time == h.newest // not so after the clock was set
	h.newest, h.broken = s.Time, false
	if n := len(h.segments); n > 0 && follows && h.segments[n-1].count < segmentSamples {
		last := &h.segments[n-1]
		if deltas, ok := s.AppendDelta(last.deltas, prev); ok {
			last.deltas = deltas
			last.count++
			return
		}
	}
	h.begin(s)
}

// breakOff tells that the sample which was added last was changed since.
func (h *history) breakOff() { h.broken = true }

// begin opens a segment with s, in the memory of the oldest if all of that is too old.
func (h *history) begin(s *metric.Sample) {
	var keys *metric.Keys // those of the segment before, as a rule
	if n := len(h.segments); n > 0 && h.segments[n-1].keys.Of(s) {
		keys = h.segments[n-1].keys
	} else {
		keys = metric.KeysOf(s)
	}
	if len(h.segments) > 1 && h.segments[1].first <= s.Time-h.span {
		oldest := h.segments[0]
		copy(h.segments, h.segments[1:])
		h.segments[len(h.segments)-1] = oldest
	} else {
		var next segment
		if n := len(h.segments); n > 0 {
			before := len(h.segments[n-1].deltas) // doubling would waste a quarter of it
			next.deltas = make([]byte, 0, before+before/8)
		}
		h.segments = append(h.segments, next)
	}
	last := &h.segments[len(h.segments)-1]
	last.keys, last.first, last.deltas, last.count = keys, s.Time, s.AppendWhole(last.deltas[:0]), 1
}

// each calls f with every sample that is not older than from, oldest first, until f
// returns false. The sample is f's only during the call.
func (h *history) each(from int64, f func(*metric.Sample) bool) {
	var s metric.Sample
	for i := range h.segments {
		if i+1 < len(h.segments) && h.segments[i+1].first < from {
			continue
		}
		s.Reset(h.segments[i].keys)
		deltas := h.segments[i].deltas
		for range h.segments[i].count {
			var err error
			if deltas, err = s.ApplyDelta(deltas); err != nil {
				return // add wrote it: can't be
			}
			if s.Time >= from && !f(&s) {
				return
			}
		}
	}
}

// len returns how many samples are kept, those included that are too old by now.
func (h *history) len() int {
	n := 0
	for i := range h.segments {
		n += h.segments[i].count
	}
	return n
}

// older returns how many samples are kept that are older than from.
func (h *history) older(from int64) (n int) {
	for i := range h.segments {
		if h.segments[i].first >= from {
			return n
		}
		if i+1 < len(h.segments) && h.segments[i+1].first <= from {
			n += h.segments[i].count
			continue
		}
		one := history{segments: h.segments[i : i+1]}
		one.each(0, func(s *metric.Sample) bool {
			if s.Time < from {
				n++
			}
			return s.Time < from
		})
	}
	return n
}

// copyNewest makes h a copy of the newest n samples of from, and of some older ones: whole
// segments; of all if n is negative. Samples that are older than from's span are left out
// as far as that is so of a whole segment.
func (h *history) copyNewest(from *history, n int) {
	first := len(from.segments)
	for have := 0; first > 0 && (n < 0 || have < n); first-- {
		have += from.segments[first-1].count
	}
	wanted := from.segments[first:]
	for len(h.segments) < len(wanted) {
		h.segments = append(h.segments, segment{})
	}
	h.segments = h.segments[:len(wanted)]
	for i := range wanted {
		to := &h.segments[i]
		to.keys, to.first, to.count = wanted[i].keys, wanted[i].first, wanted[i].count
		to.deltas = append(to.deltas[:0], wanted[i].deltas...)
	}
}
