package shipper

import (
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// loss is why documents will never be indexed, or why there never were any.
type loss uint8

const (
	lostBudget     loss = iota // the spool was over its budget, and they were the oldest
	lostMemory                 // the disk failed, and they were the oldest in memory
	lostBehind                 // the disk was too slow to take them
	lostDamaged                // their file no longer held what was written to it
	lostRefused                // Elasticsearch refused them; they are in the dead-letter directory
	documentLosses             // the number of reasons for documents to be lost

	// Sweeps that were never made: see metric.MissedReason.
	losses = documentLosses + loss(metric.NumMissedReasons)
)

// lossNames are the reasons as they stand in gap documents and in metrics.
var lossNames = [documentLosses]string{"budget", "memory", "behind", "damaged", "refused"}

func (l loss) String() string {
	if l >= documentLosses {
		return metric.MissedReason(l - documentLosses).String()
	}
	return lossNames[l]
}

// missedGap returns the gap of sweeps that were found missing at ns.
func missedGap(ns int64, m *metric.Missed) *Gap {
	return &Gap{
		Time: ns, Reason: m.Reason.String(), Sweeps: uint64(m.Sweeps),
		FirstSlot: m.FirstSlot, LastSlot: m.LastSlot,
	}
}

// add takes docs documents of one batch, or of a part of it, into the gap.
func (g *Gap) add(n batchName, docs int) {
	slot := n.slot * int64(time.Millisecond)
	g.merge(&Gap{Documents: uint64(docs), FirstSlot: slot, LastSlot: slot, FirstBatch: n.seq, LastBatch: n.seq})
}

// addGaps takes the loss of gap documents into the gap, which lay in the spool under that
// name.
func (g *Gap) addGaps(n batchName) {
	slot := n.slot * int64(time.Millisecond)
	g.merge(&Gap{Gaps: uint64(n.gaps), FirstSlot: slot, LastSlot: slot, FirstBatch: n.seq, LastBatch: n.seq})
}

// empty tells that nothing is lost.
func (g *Gap) empty() bool { return g.Documents == 0 && g.Sweeps == 0 && g.Gaps == 0 }

// merge takes all of h into the gap. Its time stays, because that is part of the _id.
func (g *Gap) merge(h *Gap) {
	if g.empty() {
		g.FirstSlot, g.LastSlot, g.FirstBatch, g.LastBatch = h.FirstSlot, h.LastSlot, h.FirstBatch, h.LastBatch
	}
	g.FirstSlot, g.LastSlot = min(g.FirstSlot, h.FirstSlot), max(g.LastSlot, h.LastSlot)
	g.FirstBatch, g.LastBatch = min(g.FirstBatch, h.FirstBatch), max(g.LastBatch, h.LastBatch)
	g.Documents += h.Documents
	g.Sweeps += h.Sweeps
	g.Gaps += h.Gaps
}

// storedGap is a gap that lies in the spool as a batch of its own.
type storedGap struct {
	gap Gap
	seq uint64 // 0 while there is none
}

// miss has it written down in a gap that sweeps were not made.
func (s *spool) miss(m *metric.Missed) {
	s.mu.Lock()
	s.lost[documentLosses+loss(m.Reason)].merge(missedGap(s.sys.now().UnixNano(), m))
	s.mu.Unlock()
	notify(s.wake)
}

// writeGaps stores what was lost since the last call: one document for each reason. So
// everything that was sampled is either indexed or in a gap, provable from Elasticsearch
// alone. What was dropped for the budget is deleted after its gap is stored; after a
// crash in between both are found, and the data counts.
//
// A gap of the same reason that was never sent is replaced by one that tells of both:
// under the same name, in one rename, with the same _id. A long outage leaves one gap
// and not one for each batch that was dropped in it.
//
// Losses wait until the first document has told which node this is.
func (s *spool) writeGaps() {
	node := s.node.Load()
	if node == nil {
		return
	}
	for reason := range losses {
		open := &s.gaps[reason]
		s.mu.Lock()
		lost := s.lost[reason]
		s.lost[reason] = Gap{}
		at, grows := s.find(open.seq)
		grows = grows && s.entries[at].state == ready && !s.entries[at].attempted
		if !lost.empty() && grows {
			s.entries[at].state = moving // nobody sends it while it is being replaced
		}
		s.mu.Unlock()
		if lost.empty() {
			continue
		}
		if !grows {
			*open = storedGap{seq: s.nextSeq(), gap: Gap{
				Time: s.sys.now().UnixNano(), Reason: reason.String(), Epoch: s.epoch,
			}}
		}
		open.gap.merge(&lost)
		b := &s.gapBatch
		b.reset(s.epoch, open.seq, &s.deflate)
		b.slot = open.gap.Time
		b.gap(s.encoder.AppendGap(b.Action(open.gap.Time/int64(time.Millisecond)), node, &open.gap))
		b.close()
		s.store(b.name(), b.member, grows)
	}
}
