package shipper

import "sync"

// handoverLimit bounds the batches that wait for the disk, in bytes: half an hour of a node
// with a hundred containers, when an fsync hangs.
const handoverLimit = 16 << 20

// handover takes batches from the loop to the publisher, and empty ones back. The loop
// never waits: when the disk is so slow that the limit is reached, the oldest batch is
// given up.
type handover struct {
	limit int           // bytes that may wait
	ready chan struct{} // has a token when there is a batch

	mu      sync.Mutex // guards what follows
	waiting []*Batch
	bytes   int
	empty   []*Batch
}

func newHandover() *handover { return &handover{limit: handoverLimit, ready: make(chan struct{}, 1)} }

// put hands over a batch, and returns the one that had to be given up for it, or nil.
func (h *handover) put(b *Batch) (dropped *Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = append(h.waiting, b)
	h.bytes += len(b.member)
	if h.bytes > h.limit && len(h.waiting) > 1 {
		dropped = h.shift()
	}
	notify(h.ready)
	return dropped
}

// take returns the oldest batch that waits, or nil.
func (h *handover) take() *Batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) == 0 {
		return nil
	}
	return h.shift()
}

func (h *handover) shift() *Batch {
	b := h.waiting[0]
	copy(h.waiting, h.waiting[1:])
	h.waiting[len(h.waiting)-1] = nil
	h.waiting = h.waiting[:len(h.waiting)-1]
	h.bytes -= len(b.member)
	return b
}

// recycle gives a batch back whose content is stored. Two are kept: one that is being
// filled and one that is being stored is the usual state.
func (h *handover) recycle(b *Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.empty) < 2 && cap(b.member) <= maxRaw {
		h.empty = append(h.empty, b)
	}
}

// spare returns a batch to fill.
func (h *handover) spare(prefix string) *Batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.empty); n > 0 {
		b := h.empty[n-1]
		h.empty = h.empty[:n-1]
		return b
	}
	return &Batch{prefix: prefix}
}
