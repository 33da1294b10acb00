package shipper

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verdict is what an audit comes to.
type Verdict string

const (
	// Proven: each document that was made is there once, or in a gap.
	Proven Verdict = "proven"
	// Refuted: a document is there twice, or isn't there and in no gap.
	Refuted Verdict = "refuted"
	// Undecided: what isn't there may be on its way, or nothing says what should be there.
	Undecided Verdict = "undecided"
)

// AuditOptions say which time is audited.
type AuditOptions struct {
	// From and To bound the times of the batches' last documents.
	From, To time.Time
	// Live are what running agents say. They have to be asked before the audit: what
	// they have delivered since is then no contradiction.
	Live []LiveAgent
}

// LiveAgent is what a running agent says of its documents, as in Stats.
type LiveAgent struct {
	URL                                             string
	Epoch                                           uint64
	Sampled, Found, Indexed, Pending, Dead, Dropped int64
	// Empty tells that nothing waits on its disk or in its memory.
	Empty bool
}

// Audit is what was found of all nodes.
type Audit struct {
	From    time.Time     `json:"from"`
	To      time.Time     `json:"to"`
	Verdict Verdict       `json:"verdict"`
	Nodes   []AuditedNode `json:"nodes"`
	// Reasons are sentences about what belongs to no node.
	Reasons []string `json:"reasons,omitempty"`
	// Foreign counts documents whose _id no agent has given. They aren't judged.
	Foreign int64 `json:"foreign,omitempty"`
}

// AuditedNode is what was found of one node. Counts are of documents unless they say
// otherwise.
type AuditedNode struct {
	Name    string  `json:"node"`
	Verdict Verdict `json:"verdict"`
	// Runs counts runs of the agent, Killed those that ended without their last words.
	Runs   int `json:"runs"`
	Killed int `json:"killed"`
	// Batches counts those that have a document of the agent, Made what these say was
	// made, Present what is there of it.
	Batches int64 `json:"batches"`
	Made    int64 `json:"made"`
	Present int64 `json:"present"`
	// InGaps is what isn't there and is in a gap, Lost what isn't there, in no gap and
	// not on its way; OnTheirWay may be. Twice counts documents that are there a second
	// time.
	InGaps     int64 `json:"in_gaps"`
	OnTheirWay int64 `json:"on_their_way"`
	Lost       int64 `json:"lost"`
	Twice      int64 `json:"twice"`
	// MissedSweeps counts slots in which nothing was sampled: no document was made.
	MissedSweeps int64 `json:"missed_sweeps"`
	// Until is when the last batch ended that is there.
	Until time.Time `json:"until"`
	// Reasons are sentences: what refutes, what is in the way of a verdict, and what it
	// doesn't cover.
	Reasons []string `json:"reasons,omitempty"`
}

// auditor gathers what Elasticsearch holds and comes to a verdict. It keeps some 200 bytes
// for each batch, and nothing of single documents but that they are there.
type auditor struct {
	options  AuditOptions
	runs     map[uint64]*auditedRun // by epoch
	gaps     map[string]auditedGap  // by _id
	lostGaps map[string]int64       // gap documents that were lost, by node
	// ended are the epochs of the runs that said their last words, in the range or later.
	ended   map[uint64]bool
	foreign int64
	reasons []string
}

// auditedRun is one run of an agent.
type auditedRun struct {
	epoch   uint64
	node    string // "" while no document of the agent says it
	started int64  // ms since the Unix epoch
	batches map[uint64]*auditedBatch
	// newest is the one with the highest sequence number among the documents of the
	// agent in the range, oldest the one with the lowest.
	newest, oldest manifest
	example        string // the _id of one document
	twice          int64
	twins          []string // the _ids of some documents that are there twice
}

// auditedBatch is one batch.
type auditedBatch struct {
	documents int   // by its manifest, 0 without one
	sampled   int64 // by its manifest, in the run up to it
	outside   bool  // its manifest's time is outside of the range
	present   int
	seen      []uint64 // a bit for each ordinal
}

// atLeast is how many documents of a batch without a manifest aren't there: those below the
// highest ordinal, and the manifest, which comes last.
func (b *auditedBatch) atLeast() int64 {
	highest := 64*len(b.seen) - 1
	for b.seen[highest/64]&(1<<(highest%64)) == 0 {
		highest--
	}
	return int64(highest + 2 - b.present)
}

// manifest is a document of an agent.
type manifest struct {
	node                                                     string
	batch                                                    batchID
	at, started                                              int64 // ms since the Unix epoch
	documents                                                int
	final                                                    bool
	sampled, found, indexed, pending, dead, dropped, retries int64
	waiting                                                  uint64 // the oldest batch that wasn't delivered
	missed, failureStore                                     int64
	fault                                                    string // of its disk
}

// auditedGap is a gap document.
type auditedGap struct {
	node        string
	epoch       uint64
	first, last uint64 // batches
	documents   int64
	reason      string
}

// hole is a number of documents of a run that aren't there, of batches first to last.
type hole struct {
	run         *auditedRun
	first, last uint64
	documents   int64
	least       bool // there may be more
}

func newAuditor(o AuditOptions) *auditor {
	return &auditor{options: o, runs: map[uint64]*auditedRun{}, gaps: map[string]auditedGap{}, lostGaps: map[string]int64{}, ended: map[uint64]bool{}}
}

func (a *auditor) run(epoch uint64) *auditedRun {
	r := a.runs[epoch]
	if r == nil {
		r = &auditedRun{epoch: epoch, batches: map[uint64]*auditedBatch{}}
		a.runs[epoch] = r
	}
	return r
}

func (r *auditedRun) batch(seq uint64) *auditedBatch {
	b := r.batches[seq]
	if b == nil {
		b = new(auditedBatch)
		r.batches[seq] = b
	}
	return b
}

// manifest takes a document of an agent. outside tells that its time isn't in the range.
func (a *auditor) manifest(m manifest, outside bool) {
	r := a.run(m.batch.epoch)
	r.node, r.started = m.node, m.started
	if m.final {
		a.ended[m.batch.epoch] = true
	}
	b := r.batch(m.batch.seq)
	b.documents, b.sampled, b.outside = m.documents, m.sampled, outside
	if outside {
		return
	}
	if r.newest.documents == 0 || m.batch.seq > r.newest.batch.seq {
		r.newest = m
	}
	if r.oldest.documents == 0 || m.batch.seq < r.oldest.batch.seq {
		r.oldest = m
	}
}

// gap takes a gap document.
func (a *auditor) gap(id string, g auditedGap) {
	if _, there := a.gaps[id]; there {
		a.reasons = append(a.reasons, fmt.Sprintf("The gap document %s of node %s is there twice.", id, g.node))
	}
	a.gaps[id] = g
}

// document takes the _id of a document that is no gap.
func (a *auditor) document(text string) {
	id, ok := parseDocumentID(text)
	if !ok {
		a.foreign++
		return
	}
	r := a.run(id.epoch)
	if r.example == "" {
		r.example = text
	}
	b := r.batch(id.seq)
	for len(b.seen) <= id.ordinal/64 {
		b.seen = append(b.seen, 0)
	}
	word, bit := &b.seen[id.ordinal/64], uint64(1)<<(id.ordinal%64)
	if *word&bit != 0 {
		const enough = 3
		r.twice++
		if len(r.twins) < enough {
			r.twins = append(r.twins, text)
		}
		return
	}
	*word |= bit
	b.present++
}

// strays tells whether there are batches without a manifest.
func (r *auditedRun) strays() bool {
	for _, b := range r.batches {
		if b.documents == 0 {
			return true
		}
	}
	return false
}

// holes finds what isn't there of a run, from the counts of its manifests: each says how
// many documents the batch has, and how many the run had made up to its end. So what lies
// between two manifests is known exactly, whether or not anything of it is there.
func (r *auditedRun) holes(from int64) (holes []hole, wrong []string) {
	var (
		begun    bool   // total and previous are known
		inside   bool   // previous is in the range
		previous uint64 // batch with a manifest
		total    int64  // documents made up to its end
		between  int64  // documents there since
		strays   []uint64
	)
	if r.started >= from {
		begun, inside = true, true // from its first document on
	}
	tell := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	// Without a manifest behind them, or before them, at least so many are missing.
	alone := func() {
		for _, seq := range strays {
			holes = append(holes, hole{r, seq, seq, r.batches[seq].atLeast(), true})
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(r.batches)) {
		b := r.batches[seq]
		if b.documents == 0 {
			strays = append(strays, seq)
			between += int64(b.present)
			continue
		}
		if !begun {
			alone()
		} else if inside || !b.outside {
			switch missing := b.sampled - int64(b.documents) - total - between; {
			case missing > 0:
				holes = append(holes, hole{r, previous + 1, max(seq-1, previous+1), missing, false})
			case missing < 0:
				tell("Before batch %d of run %016x there are %d documents more than its counter says.", seq, r.epoch, -missing)
			}
		}
		if !b.outside {
			switch missing := b.documents - b.present; {
			case missing > 0:
				holes = append(holes, hole{r, seq, seq, int64(missing), false})
			case missing < 0:
				tell("Batch %d of run %016x has %d documents more than its manifest counts.", seq, r.epoch, -missing)
			}
		}
		begun, inside, previous, total, between, strays = true, !b.outside, seq, b.sampled, 0, nil
	}
	alone()
	return holes, wrong
}

// judge comes to the verdict. newest is the newest document of the agent of each node,
// whenever that was.
func (a *auditor) judge(newest map[string]manifest) *Audit {
	result := &Audit{From: a.options.From, To: a.options.To, Reasons: a.reasons, Foreign: a.foreign}
	byNode := map[string][]*auditedRun{}
	for _, r := range a.runs {
		if r.node != "" {
			byNode[r.node] = append(byNode[r.node], r)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byNode)) {
		result.Nodes = append(result.Nodes, a.judgeNode(name, byNode[name], newest[name]))
	}
	result.Verdict = Proven
	if len(a.reasons) > 0 {
		result.Verdict = Refuted
	}
	for i := range result.Nodes {
		result.Verdict = worse(result.Verdict, result.Nodes[i].Verdict)
	}
	for _, r := range a.runs {
		if r.node == "" {
			result.Verdict = worse(result.Verdict, Undecided)
			result.Reasons = append(result.Reasons, fmt.Sprintf("Run %016x has batches, for example that of the document %s, and no document of the agent: it is of a version that has none, or they are lost. Nothing can be said of it.", r.epoch, r.example))
		}
	}
	if len(result.Nodes) == 0 {
		result.Verdict = worse(result.Verdict, Undecided)
		result.Reasons = append(result.Reasons, "No batch of an agent ends in that time.")
	}
	for _, live := range a.options.Live {
		if live.Sampled+live.Found != live.Indexed+live.Pending+live.Dead+live.Dropped {
			result.Verdict = Refuted
			result.Reasons = append(result.Reasons, fmt.Sprintf("The counters of the agent at %s don't add up: sampled %d + found %d, indexed %d + pending %d + dead %d + dropped %d.",
				live.URL, live.Sampled, live.Found, live.Indexed, live.Pending, live.Dead, live.Dropped))
		}
		if !slices.ContainsFunc(slices.Collect(maps.Values(newest)), func(m manifest) bool { return m.batch.epoch == live.Epoch }) {
			result.Reasons = append(result.Reasons, fmt.Sprintf("The run of the agent at %s, %016x, has no batch in Elasticsearch: what it says wasn't used.", live.URL, live.Epoch))
		}
	}
	return result
}

// worse returns the verdict of two together.
func worse(a, b Verdict) Verdict {
	for _, v := range [...]Verdict{Refuted, Undecided} {
		if a == v || b == v {
			return v
		}
	}
	return Proven
}

// judgeNode comes to the verdict on one node. newest is its newest document of the agent.
func (a *auditor) judgeNode(name string, runs []*auditedRun, newest manifest) AuditedNode {
	slices.SortFunc(runs, func(a, b *auditedRun) int { return cmp.Compare(a.started, b.started) })
	n := AuditedNode{Name: name, Verdict: Proven}
	tell := func(v Verdict, format string, args ...any) {
		n.Verdict = worse(n.Verdict, v)
		n.Reasons = append(n.Reasons, fmt.Sprintf(format, args...))
	}
	order := map[uint64]int{} // by epoch
	var holes []hole
	untold := map[uint64]int64{} // by epoch: documents dropped or dead that no gap tells of
	for i, r := range runs {
		order[r.epoch] = i
		if r.newest.documents == 0 && !r.strays() {
			continue // its batches end before the range or after it
		}
		n.Runs++
		for _, b := range r.batches {
			if !b.outside {
				n.Present += int64(b.present)
			}
			if !b.outside && b.documents > 0 {
				n.Batches++
			}
		}
		more, wrong := r.holes(a.options.From.UnixMilli())
		holes = append(holes, more...)
		for _, sentence := range wrong {
			tell(Refuted, "%s", sentence)
		}
		if r.twice > 0 {
			n.Twice += r.twice
			tell(Refuted, "%d documents of run %016x are there twice, for example %s.", r.twice, r.epoch, strings.Join(r.twins, ", "))
		}
		m := &r.newest
		if m.documents == 0 {
			continue
		}
		n.Until = time.UnixMilli(max(m.at, n.Until.UnixMilli())).UTC()
		n.MissedSweeps += m.missed - r.oldest.missed
		untold[r.epoch] = m.dropped + m.dead
		if m.sampled+m.found != m.indexed+m.pending+m.dead+m.dropped {
			tell(Refuted, "The counters of run %016x don't add up in batch %d: sampled %d + found %d, indexed %d + pending %d + dead %d + dropped %d.",
				r.epoch, m.batch.seq, m.sampled, m.found, m.indexed, m.pending, m.dead, m.dropped)
		}
		if m.failureStore > 0 {
			n.Reasons = append(n.Reasons, fmt.Sprintf("Elasticsearch has taken %d documents of run %016x into its failure store instead of the index.", m.failureStore, r.epoch))
		}
		if !a.ended[r.epoch] && r.epoch != newest.batch.epoch {
			n.Killed++
			n.Reasons = append(n.Reasons, fmt.Sprintf("Run %016x ended without its last words: it was killed. What it had published up to %s is judged; a batch of a later time that vanished with its spool leaves no trace here.",
				r.epoch, time.UnixMilli(m.at).UTC().Format(time.RFC3339)))
			if m.fault != "" {
				n.Reasons = append(n.Reasons, fmt.Sprintf("The disk of run %016x failed when it was killed (%s): what it had in memory is gone.", r.epoch, m.fault))
			}
		}
	}
	for _, h := range holes {
		n.Made += h.documents
	}
	n.Made += n.Present

	var gaps []auditedGap
	for _, g := range a.gaps {
		if g.node == name {
			gaps = append(gaps, g)
			if n, ok := untold[g.epoch]; ok {
				untold[g.epoch] = max(0, n-g.documents)
			}
		}
	}
	// Earlier runs' first: a later run's gap may be about what it found, and never takes
	// their own from them.
	slices.SortFunc(gaps, func(a, b auditedGap) int {
		at := func(g auditedGap) int {
			if i, ok := order[g.epoch]; ok {
				return i
			}
			return len(order)
		}
		return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last), cmp.Compare(a.documents, b.documents))
	})
	covered := cover(holes, gaps, runs, order)
	for _, amount := range covered {
		n.InGaps += amount
	}
	if lost := a.lostGaps[name]; lost > 0 {
		n.Reasons = append(n.Reasons, fmt.Sprintf("%d gap documents were damaged before they were delivered: what is missing before their batches (gap.first_batch to gap.last_batch, where there are gap.gaps) may be what they told of.", lost))
	}
	a.explain(&n, holes, untold, newest, tell)
	a.excess(gaps, covered, runs, order, tell)
	return n
}

// cover finds how many of the missing documents each gap can account for, all holes
// together: the greatest flow from the gaps to the holes that they tell of. What a gap has
// accounted for is taken from the hole. A gap tells of batches of its own run and, if that
// found any, of earlier ones. order says which run is which, by their epochs.
func cover(holes []hole, gaps []auditedGap, runs []*auditedRun, order map[uint64]int) (covered []int64) {
	covered = make([]int64, len(gaps))
	flow := make([]map[int]int64, len(gaps)) // by gap and hole
	tells := func(g, h int) bool {
		if gaps[g].first > holes[h].last || holes[h].first > gaps[g].last {
			return false
		}
		at, known := order[gaps[g].epoch]
		of := order[holes[h].run.epoch]
		return !known || of == at || of < at && (runs[at].newest.found > 0 || runs[at].newest.documents == 0)
	}
	for g := range gaps {
		flow[g] = map[int]int64{}
	}
	// push moves up to most from gap g to any hole, on the way moving what other gaps have
	// given to holes of g to other holes.
	var seen []bool
	var push func(g int, most int64) int64
	push = func(g int, most int64) int64 {
		seen[g] = true
		for h := range holes {
			if tells(g, h) && holes[h].documents > 0 {
				moved := min(most, holes[h].documents)
				holes[h].documents -= moved
				flow[g][h] += moved
				return moved
			}
		}
		for h := range holes {
			if !tells(g, h) {
				continue
			}
			for other := range gaps {
				if seen[other] || flow[other][h] == 0 {
					continue
				}
				if moved := push(other, min(most, flow[other][h])); moved > 0 {
					flow[other][h] -= moved
					flow[g][h] += moved
					return moved
				}
			}
		}
		return 0
	}
	for g := range gaps {
		for covered[g] < gaps[g].documents {
			seen = make([]bool, len(gaps))
			moved := push(g, gaps[g].documents-covered[g])
			if moved == 0 {
				break
			}
			covered[g] += moved
		}
	}
	return covered
}

// explain says what has become of documents that aren't there and in no gap. untold are
// those that the runs counted as dropped or dead, and no gap tells of, by epoch.
func (a *auditor) explain(n *AuditedNode, holes []hole, untold map[uint64]int64, newest manifest, tell func(Verdict, string, ...any)) {
	waiting, empty, whose := newest.pending-int64(newest.documents), newest.waiting == newest.batch.seq, "its newest batch"
	for _, live := range a.options.Live {
		if live.Epoch == newest.batch.epoch {
			waiting, empty, whose = live.Pending, live.Empty, "it"
		}
	}
	var gone, late int64 // certainly not on their way, and perhaps
	var sentences []string
	for _, h := range holes {
		if h.documents == 0 {
			continue
		}
		sentences = append(sentences, h.String())
		mine := h.run.epoch == newest.batch.epoch
		if !empty && h.last >= newest.waiting && (mine || newest.found > 0) {
			late += h.documents
		} else {
			gone += h.documents
		}
	}
	if gone+late == 0 {
		return
	}
	n.OnTheirWay = min(late, waiting)
	n.Lost = gone + late - n.OnTheirWay
	gapsWait := int64(0)
	if !empty {
		// A gap that waits, too, may tell of the rest. Those of earlier runs wait only if
		// something does that is older than the newest run; how much one dropped before it
		// was killed is known to its gaps alone.
		gapsWait = untold[newest.batch.epoch]
		run := a.runs[newest.batch.epoch]
		if run == nil || run.oldest.documents == 0 || newest.waiting < run.oldest.batch.seq {
			for epoch, n := range untold {
				if epoch != newest.batch.epoch {
					gapsWait += n
				}
			}
			if n.Killed > 0 {
				gapsWait = max(gapsWait, n.Lost)
			}
		}
		byGap := min(n.Lost, gapsWait)
		n.OnTheirWay, n.Lost = n.OnTheirWay+byGap, n.Lost-byGap
	}
	const most = 10
	if more := len(sentences) - most; more > 0 {
		sentences = append(sentences[:most], fmt.Sprintf("And so on, %d more times.", more))
	}
	n.Reasons = append(n.Reasons, sentences...)
	if n.Lost > 0 {
		tell(Refuted, "%d documents are lost: not there, in no gap, and not on their way.", n.Lost)
	}
	if n.OnTheirWay > 0 {
		tell(Undecided, "%d documents may be on their way: %s says that %d wait, and gaps that have not arrived may tell of %d. Audit again when nothing waits.",
			n.OnTheirWay, whose, waiting, gapsWait)
	}
}

// excess says where gaps count documents that are there all the same, as far as the range
// shows all batches that the gap can be about.
func (a *auditor) excess(gaps []auditedGap, covered []int64, runs []*auditedRun, order map[uint64]int, tell func(Verdict, string, ...any)) {
	for i, g := range gaps {
		at, known := order[g.epoch]
		if covered[i] == g.documents || !known {
			continue
		}
		r := runs[at]
		if m := &r.newest; r.started < a.options.From.UnixMilli() || m.found > 0 || m.documents == 0 || g.last > m.batch.seq {
			continue
		}
		v, why := Refuted, "its count is wrong"
		if r.newest.retries > 0 {
			v, why = Proven, "they were delivered by requests whose answer was lost, and then dropped"
		} else if !a.ended[g.epoch] {
			v, why = Proven, "the agent was killed after it had told of them and before it dropped them"
		}
		tell(v, "A gap (%s) of run %016x, batches %d to %d, counts %d documents of which %d are there: %s.",
			g.reason, g.epoch, g.first, g.last, g.documents, g.documents-covered[i], why)
	}
}

func (h *hole) String() string {
	n, what := strconv.FormatInt(h.documents, 10), fmt.Sprintf("batches %d to %d", h.first, h.last)
	if h.first == h.last {
		what = fmt.Sprintf("batch %d", h.first)
	}
	if h.least {
		n = "at least " + n
	}
	return fmt.Sprintf("Of %s of run %016x, %s documents are not there and in no gap.", what, h.run.epoch, n)
}
