package shipper

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const auditedNode = "node1"

// history is what some runs of an agent have brought into Elasticsearch.
type history struct {
	documents []string            // _ids, those of agents included
	manifests map[string]manifest // by _id
	gaps      []auditedGap
	dropped   []batchID // what the gaps are about
	order     []string  // the _ids of manifests as they were made
}

// newHistory lets an agent run, be killed and run again: what it makes is delivered, dropped,
// or waits. With drained, nothing waits in the end.
func newHistory(t testing.TB, random *rand.Rand, drained bool) *history {
	type batch struct {
		id        batchID
		documents []string
		at        int64
	}
	h := &history{manifests: map[string]manifest{}}
	var spool []batch
	now, seq := int64(1_000_000), uint64(1)
	deliver := func() {
		for _, b := range spool {
			h.documents = append(h.documents, b.documents...)
		}
		spool = nil
	}
	for range 1 + random.IntN(3) {
		epoch := random.Uint64()
		m := manifest{node: auditedNode, started: now}
		if len(spool) == 0 {
			seq = 1
		}
		for _, b := range spool {
			m.found += int64(len(b.documents))
		}
		ticks := 1 + random.IntN(12)
		for i := range ticks {
			now += 1000
			b := batch{id: batchID{epoch, seq}, at: now}
			seq++
			n := random.IntN(80)
			for ordinal := range n {
				b.documents = append(b.documents, idOf(t, now-int64(random.IntN(900)), b.id, ordinal))
			}
			signed := idOf(t, now, b.id, n)
			b.documents = append(b.documents, signed)
			m.batch, m.at, m.documents, m.final = b.id, now, n+1, false
			m.sampled += int64(n + 1)
			m.pending = m.sampled + m.found - m.indexed - m.dead - m.dropped
			m.waiting = b.id.seq
			if len(spool) > 0 {
				m.waiting = min(m.waiting, spool[0].id.seq)
			}
			m.final = i == ticks-1 && random.IntN(2) == 0
			h.manifests[signed] = m
			h.order = append(h.order, signed)
			spool = append(spool, b)
			switch random.IntN(4) {
			case 0:
			case 1: // the oldest is dropped, and a gap says so
				d := spool[0]
				spool = spool[1:]
				m.dropped += int64(len(d.documents))
				h.gaps = append(h.gaps, auditedGap{auditedNode, epoch, d.id.seq, d.id.seq, int64(len(d.documents)), "budget"})
				h.dropped = append(h.dropped, d.id)
				seq++
			default:
				for _, b := range spool {
					m.indexed += int64(len(b.documents))
				}
				deliver()
			}
		}
	}
	if drained {
		deliver()
	}
	return h
}

// judge lets an auditor see all of the history.
func (h *history) judge() *Audit {
	a := newAuditor(AuditOptions{From: time.UnixMilli(0), To: time.UnixMilli(lastMilli)})
	newest := map[string]manifest{}
	for _, id := range h.order {
		if slices.Contains(h.documents, id) {
			a.manifest(h.manifests[id], false)
			newest[auditedNode] = h.manifests[id]
		}
	}
	for i, g := range h.gaps {
		a.gap(fmt.Sprint(i), g)
	}
	for _, id := range h.documents {
		a.document(id)
	}
	return a.judge(newest)
}

func (h *history) batchOf(t testing.TB, id string) batchID {
	t.Helper()
	d, ok := parseDocumentID(id)
	if !ok {
		t.Fatal(id)
	}
	return d.batchID
}

// An agent that loses nothing is never accused, and proven as soon as nothing waits.
func TestAuditOfHistories(t *testing.T) {
	for seed := range uint64(600) {
		random := rand.New(rand.NewPCG(seed, 1))
		drained := seed%2 == 0
		h := newHistory(t, random, drained)
		got := h.judge()
		if got.Verdict == Refuted || drained && len(h.documents) > 0 && got.Verdict != Proven {
			t.Fatalf("seed %d: %s: %+v", seed, got.Verdict, got.Nodes)
		}
	}
}

// What is taken away is missed, but for the last batch of a run that says nothing after it;
// and what comes twice is seen.
func TestAuditOfDamage(t *testing.T) {
	refuted, undecided, fooled := 0, 0, 0
	for seed := range uint64(600) {
		random := rand.New(rand.NewPCG(seed, 2))
		h := newHistory(t, random, true)
		if len(h.documents) == 0 {
			continue
		}
		lastOf := map[uint64]uint64{} // of the manifests that are there
		for id, m := range h.manifests {
			if slices.Contains(h.documents, id) {
				lastOf[m.batch.epoch] = max(lastOf[m.batch.epoch], m.batch.seq)
			}
		}
		unseen := func(g auditedGap) bool { return lastOf[g.epoch] == 0 }
		if slices.ContainsFunc(h.gaps, unseen) {
			continue // a run of which nothing else is there: its gap may be about earlier runs
		}
		at := random.IntN(len(h.documents))
		id := h.documents[at]
		damaged := *h
		switch random.IntN(3) {
		case 0: // a document goes
			b := h.batchOf(t, id)
			if _, signed := h.manifests[id]; signed && b.seq == lastOf[b.epoch] {
				continue
			}
			damaged.documents = slices.Delete(slices.Clone(h.documents), at, at+1)
		case 1: // one comes again
			damaged.documents = append(slices.Clone(h.documents), id)
			if got := damaged.judge(); got.Verdict != Refuted || got.Nodes[0].Twice != 1 {
				t.Fatalf("seed %d: %s is there twice: %+v", seed, id, got)
			}
			continue
		case 2: // a gap goes
			if len(h.gaps) == 0 {
				continue
			}
			at := random.IntN(len(h.gaps))
			if b := h.dropped[at]; b.seq > lastOf[b.epoch] {
				continue // nothing that came later is there
			}
			damaged.gaps = slices.Delete(slices.Clone(h.gaps), at, at+1)
		}
		switch got := damaged.judge(); got.Verdict {
		case Refuted:
			refuted++
		case Undecided:
			undecided++
		default:
			fooled++
		}
	}
	t.Logf("%d refuted, %d undecided, fooled %d times", refuted, undecided, fooled)
	if refuted < undecided {
		t.Error("the auditor rarely dares to say anything")
	}
	// A gap about the last batches of a run, of which nothing is there, can stand for a hole
	// of the same number in a run before.
	if 100*fooled > refuted {
		t.Error("the auditor is fooled too often")
	}
}

// audited returns what is found of three batches of a run with 2, 3 and 4 documents, the
// second of which was changed.
func audited(t testing.TB, change func(*auditor, map[string]manifest)) *Audit {
	t.Helper()
	a := newAuditor(AuditOptions{From: time.UnixMilli(1000), To: time.UnixMilli(9000)})
	newest := map[string]manifest{}
	sampled := int64(0)
	for i, n := range [...]int{2, 3, 4} {
		id := batchID{7, uint64(10 + i)}
		sampled += int64(n)
		m := manifest{
			node: auditedNode, batch: id, at: int64(2000 + 1000*i), started: 1500, documents: n,
			sampled: sampled, indexed: sampled - int64(n), pending: int64(n), waiting: id.seq,
		}
		a.manifest(m, false)
		newest[auditedNode] = m
		for ordinal := range n {
			a.document(idOf(t, m.at, id, ordinal))
		}
	}
	change(a, newest)
	return a.judge(newest)
}

func TestAuditVerdicts(t *testing.T) {
	without := func(a *auditor, seq uint64) { // a whole batch, its manifest included
		delete(a.runs[7].batches, seq)
	}
	for _, test := range [...]struct {
		name    string
		verdict Verdict
		says    string // in a reason
		change  func(*auditor, map[string]manifest)
	}{
		{"whole", Proven, "", func(*auditor, map[string]manifest) {}},
		{"batch missing", Refuted, "batch 11 of run 0000000000000007, 3 documents", func(a *auditor, _ map[string]manifest) { without(a, 11) }},
		{"first batch missing", Refuted, "batches 1 to 10 of run 0000000000000007, 2 documents", func(a *auditor, _ map[string]manifest) { without(a, 10) }},
		{"first batch before the range", Proven, "", func(a *auditor, _ map[string]manifest) {
			without(a, 10)
			a.runs[7].started = 500
		}},
		{"in a gap", Proven, "", func(a *auditor, _ map[string]manifest) {
			without(a, 11)
			a.gap("x", auditedGap{auditedNode, 7, 11, 11, 3, "budget"})
		}},
		{"in two gaps", Proven, "", func(a *auditor, _ map[string]manifest) {
			without(a, 11)
			a.gap("x", auditedGap{auditedNode, 7, 11, 11, 1, "refused"})
			a.gap("y", auditedGap{auditedNode, 7, 11, 11, 2, "damaged"})
		}},
		{"in a gap of a later run", Proven, "", func(a *auditor, _ map[string]manifest) {
			without(a, 11)
			a.gap("x", auditedGap{auditedNode, 8, 3, 11, 3, "budget"})
		}},
		{"in a gap that is twice there", Refuted, "is there twice", func(a *auditor, _ map[string]manifest) {
			without(a, 11)
			a.gap("x", auditedGap{auditedNode, 7, 11, 11, 3, "budget"})
			a.gap("x", auditedGap{auditedNode, 7, 11, 11, 3, "budget"})
		}},
		{"in a gap of another node", Refuted, "are lost", func(a *auditor, _ map[string]manifest) {
			without(a, 11)
			a.gap("x", auditedGap{"node2", 7, 11, 11, 3, "budget"})
		}},
		{"in a gap of other batches", Refuted, "are lost", func(a *auditor, _ map[string]manifest) {
			without(a, 11)
			a.gap("x", auditedGap{auditedNode, 7, 12, 12, 3, "budget"})
		}},
		{"in a gap that counts less", Refuted, "1 documents are lost", func(a *auditor, _ map[string]manifest) {
			without(a, 11)
			a.gap("x", auditedGap{auditedNode, 7, 11, 11, 2, "budget"})
		}},
		{"in a gap that counts more", Refuted, "its count is wrong", func(a *auditor, _ map[string]manifest) {
			without(a, 11)
			a.gap("x", auditedGap{auditedNode, 7, 11, 11, 4, "budget"})
			a.ended[7] = true
		}},
		{"dropped after a lost answer", Proven, "answer was lost", func(a *auditor, _ map[string]manifest) {
			a.gap("x", auditedGap{auditedNode, 7, 11, 11, 3, "budget"})
			a.runs[7].newest.retries = 1
		}},
		{"manifest missing", Refuted, "batch 11 of run 0000000000000007, 1 documents", func(a *auditor, _ map[string]manifest) {
			a.runs[7].batches[11] = &auditedBatch{present: 2, seen: []uint64{3}}
		}},
		{"last manifest missing", Undecided, "at least 1 documents", func(a *auditor, newest map[string]manifest) {
			a.runs[7].batches[12] = &auditedBatch{present: 3, seen: []uint64{7}}
			m := a.runs[7].newest
			m.batch.seq, m.documents, m.sampled, m.indexed, m.pending, m.waiting = 11, 3, 5, 0, 5, 10
			a.runs[7].newest, newest[auditedNode] = m, m
		}},
		{"batch on its way", Undecided, "3 documents may be on their way", func(a *auditor, newest map[string]manifest) {
			without(a, 11)
			m := newest[auditedNode]
			m.indexed, m.pending, m.waiting = 2, 7, 11
			newest[auditedNode], a.runs[7].newest = m, m
		}},
		{"more missing than is on its way", Refuted, "1 documents are lost", func(a *auditor, newest map[string]manifest) {
			without(a, 11)
			m := newest[auditedNode]
			m.indexed, m.pending, m.waiting = 3, 6, 11
			newest[auditedNode], a.runs[7].newest = m, m
		}},
		{"missing, older than what is on its way", Refuted, "2 documents are lost", func(a *auditor, newest map[string]manifest) {
			without(a, 10)
			m := newest[auditedNode]
			m.indexed, m.pending, m.waiting = 2, 7, 11
			newest[auditedNode], a.runs[7].newest = m, m
		}},
		{"on its way, says the agent itself", Undecided, "it says that 3 wait", func(a *auditor, newest map[string]manifest) {
			without(a, 11)
			m := newest[auditedNode]
			m.indexed, m.pending, m.waiting = 2, 7, 11
			newest[auditedNode], a.runs[7].newest = m, m
			a.options.Live = []LiveAgent{{Epoch: 7, Sampled: 9, Indexed: 6, Pending: 3}}
		}},
		{"not on its way, says the agent itself", Refuted, "3 documents are lost", func(a *auditor, newest map[string]manifest) {
			without(a, 11)
			m := newest[auditedNode]
			m.indexed, m.pending, m.waiting = 2, 7, 11
			newest[auditedNode], a.runs[7].newest = m, m
			a.options.Live = []LiveAgent{{Epoch: 7, Sampled: 9, Indexed: 9, Empty: true}}
		}},
		{"live counters don't add up", Refuted, "don't add up", func(a *auditor, _ map[string]manifest) {
			a.options.Live = []LiveAgent{{Epoch: 7, Sampled: 9, Indexed: 8, Empty: true}}
		}},
		{"counters don't add up", Refuted, "don't add up", func(a *auditor, _ map[string]manifest) { a.runs[7].newest.indexed-- }},
		{"its gap is on its way", Undecided, "gaps that have not arrived may tell of 3", func(a *auditor, newest map[string]manifest) {
			without(a, 11)
			m := newest[auditedNode]
			m.indexed, m.dropped, m.waiting = 2, 3, 9 // the gap's number isn't that of what it tells of
			newest[auditedNode], a.runs[7].newest = m, m
		}},
		{"document more than the manifest counts", Refuted, "more than its manifest counts", func(a *auditor, _ map[string]manifest) {
			a.document(idOf(t, 3000, batchID{7, 11}, 3))
		}},
		{"documents before the range", Proven, "", func(a *auditor, _ map[string]manifest) {
			a.runs[7].started = 500
			a.document(idOf(t, 1001, batchID{7, 9}, 5)) // the end of a batch that ends outside
			a.manifest(manifest{node: auditedNode, batch: batchID{7, 9}, at: 999, started: 500, documents: 9, sampled: 0}, true)
		}},
		{"all manifests of the range missing", Undecided, "at least 1 documents", func(a *auditor, newest map[string]manifest) {
			for _, seq := range [...]uint64{10, 11, 12} {
				a.runs[7].batches[seq].documents = 0
			}
			a.runs[7].newest, a.runs[7].oldest = manifest{}, manifest{}
			m := newest[auditedNode]
			m.waiting, m.indexed, m.pending = 10, 0, 9
			newest[auditedNode] = m
		}},
		{"into the failure store", Refuted, "into its failure store", func(a *auditor, newest map[string]manifest) {
			a.runs[7].batches[11].present--
			a.runs[7].newest.failureStore = 1
		}},
		{"killed while the disk failed", Refuted, "what it had in memory is gone", func(a *auditor, newest map[string]manifest) {
			without(a, 11)
			a.runs[7].newest.fault = "no space left on device"
			m := manifest{node: auditedNode, batch: batchID{8, 1}, at: 6000, started: 5500, documents: 1, sampled: 1, pending: 1, waiting: 1}
			a.manifest(m, false)
			a.document(idOf(t, 6000, m.batch, 0))
			newest[auditedNode] = m
		}},
		{"another run without manifests", Undecided, "no document of the agent", func(a *auditor, _ map[string]manifest) {
			a.document(idOf(t, 3000, batchID{99, 1}, 0))
		}},
		{"not ours", Proven, "", func(a *auditor, _ map[string]manifest) { a.document("x") }},
		{"killed before", Proven, "was killed", func(a *auditor, newest map[string]manifest) {
			m := manifest{node: auditedNode, batch: batchID{8, 1}, at: 6000, started: 5500, documents: 1, sampled: 1, pending: 1, waiting: 1}
			a.manifest(m, false)
			a.document(idOf(t, 6000, m.batch, 0))
			newest[auditedNode] = m
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := audited(t, test.change)
			var all []string
			for _, n := range got.Nodes {
				all = append(all, n.Reasons...)
			}
			text := strings.Join(append(all, got.Reasons...), "\n")
			if got.Verdict != test.verdict || !strings.Contains(text, test.says) {
				t.Errorf("%s, want %s because of %q: %+v\n%s", got.Verdict, test.verdict, test.says, got.Nodes, text)
			}
			if n := got.Nodes[0]; n.Made != n.Present+n.InGaps+n.OnTheirWay+n.Lost {
				t.Errorf("made %d, there %d, in gaps %d, on their way %d, lost %d", n.Made, n.Present, n.InGaps, n.OnTheirWay, n.Lost)
			}
		})
	}
	if got := newAuditor(AuditOptions{}).judge(map[string]manifest{}); got.Verdict != Undecided {
		t.Errorf("nothing is %s", got.Verdict)
	}
}
