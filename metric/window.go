package metric

// Window is what one container did between two documents: the samples at both ends,
// and the peaks that lay between. Sampling is faster than shipping, and a spike of one
// second must not vanish in an average of ten.
type Window struct {
	Container *Container
	// First is the sample at which the previous window ended. For the first window
	// it is all zero when the container was seen to begin, and the first sample
	// taken when it was found running: what it did before is unknown, not zero.
	First Sample
	// Last is the newest sample. It stays whose it is, which may put the next one into it
	// once the window was handed over.
	Last *Sample
	// Slot is the end of the interval that the window lies in, in nanoseconds since
	// the Unix epoch: a multiple of the shipping interval. A sample that was late, and
	// a window that ends before its interval does, don't change it.
	Slot int64
	// Samples counts the samples after First.
	Samples int
	// Ended tells that the container is gone and this is its last window.
	Ended bool
	// NetworkOf is the path of the container whose network namespace this one
	// shares ("/" for the host's): the numbers of Last's interfaces are counted
	// there. "" for a namespace of its own.
	NetworkOf string
	// PeakCPU is the highest CPU use between two neighbouring samples, in
	// nanoseconds of CPU time per second; PeakWorkingSet is in bytes. They are
	// absent (false) while nothing was read.
	PeakCPU        uint64
	HasPeakCPU     bool
	PeakWorkingSet uint64
	HasPeakMemory  bool
}

// Observe takes the peaks of the sample cur, which follows prev. It keeps neither;
// the caller sees to Last.
func (w *Window) Observe(prev, cur *Sample) {
	w.Samples++
	if used, ok := cur.Increase(prev, CPUUsage, 0); ok && cur.Time > prev.Time {
		rate := uint64(float64(used) / float64(cur.Time-prev.Time) * 1e9)
		w.PeakCPU, w.HasPeakCPU = max(w.PeakCPU, rate), true
	}
	if ws, ok := cur.Get(MemoryWorkingSet); ok {
		w.PeakWorkingSet, w.HasPeakMemory = max(w.PeakWorkingSet, ws), true
	}
}

// Next starts the window after w: its first sample is the last one of w.
func (w *Window) Next() {
	w.First.CopyFrom(w.Last)
	w.Samples = 0
	w.PeakCPU, w.HasPeakCPU = 0, false
	w.PeakWorkingSet, w.HasPeakMemory = 0, false
}

// Seconds returns the length of the window, 0 when it has no beginning.
func (w *Window) Seconds() float64 {
	if w.First.Time == 0 || w.Last.Time <= w.First.Time {
		return 0
	}
	return float64(w.Last.Time-w.First.Time) / 1e9
}
