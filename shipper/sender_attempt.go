package shipper

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxRefused bounds the requests of one attempt at a batch that may be refused while
	// the batch is being divided: a search for one bad document among maxDocs takes 13.
	maxRefused = 64
	// maxLone is how many documents of a batch may turn out to make a whole request be
	// refused, before that is taken for the server's or a proxy's way with all of them.
	maxLone = 4
	// tooLargeFor is how long a size that was refused isn't tried again.
	tooLargeFor = 10 * time.Minute
	// strangerReason is the reason of a dead letter whose _id another document had: a
	// second attempt would take that one for it.
	strangerReason = "another document has this _id already"
)

// sizeLimit is the smallest body that was answered 413, which is divided before it is sent.
// All lanes share one.
type sizeLimit struct {
	mu    sync.Mutex // guards what follows
	bytes int        // uncompressed; 0 for none
	until time.Time
}

// exceeds tells that a body of so many bytes needn't be tried.
func (l *sizeLimit) exceeds(bytes int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes > 0 && bytes >= l.bytes && time.Now().Before(l.until)
}

// refuse notes that a body of so many bytes was refused.
func (l *sizeLimit) refuse(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.bytes == 0 || bytes < l.bytes || !now.Before(l.until) {
		l.bytes, l.until = bytes, now.Add(tooLargeFor)
	}
}

// memo is what is remembered of a batch between two attempts. It belongs to whoever has
// the batch.
type memo struct {
	notBefore time.Time
	wait      backoff
	// held tells that the batch waits for itself. If another one failed, the server was to
	// blame, and nothing is lost by trying it before its turn.
	held bool
	day  int64 // batchName.day
	// refusedAt and failedAt are, plus one, how many batches had been delivered when
	// this one was refused first, and failed last; 0 if it never did.
	refusedAt, failedAt int64
	// strangers are the documents whose _id another document had at the first attempt.
	strangers []int
}

// verdict is the result of an attempt at a batch.
type verdict struct {
	fate       fate // delivered, again, unreached or hold
	sentence   string
	retryAfter time.Duration
	// items tells that statuses of single documents decided, refusals that too many of
	// them were refused for good, unsent that there was nothing that could be sent.
	items, refusals, unsent bool
	took                    time.Duration
}

// attempt sends one batch and settles it. Its memory is reused from batch to batch; it
// belongs to one goroutine at a time.
type attempt struct {
	sender   *sender
	spool    *spool
	counts   *counts
	tooLarge *sizeLimit

	inflate  inflater
	deflate  deflater
	stored   []byte // the batch as it is on disk
	answer   []byte
	problems []problem
	reached  bool // something was sent, whatever became of it
	patient  bool // however many requests are refused
	refused  int  // requests that were
	lone     int  // documents that alone made a request be refused
}

// run sends the batch e and does what the answer says: a batch that has come to an end is
// gone from the spool afterwards; another is back in it. healthy: see judge.
func (a *attempt) run(ctx context.Context, e *entry, m *memo, healthy bool) (v verdict) {
	start := time.Now()
	defer func() { v.took = time.Since(start) }()
	docs := e.docs + e.gaps
	var err error
	a.stored, err = a.spool.read(e, a.stored[:0])
	size := 0
	if err == nil {
		size, err = a.verify(e, docs)
	}
	if err != nil && !damaged(err) {
		a.spool.putBack(e) // out of descriptors, say
		return verdict{fate: again, sentence: err.Error()}
	}
	if err != nil {
		// One batch is what a damaged file costs.
		a.spool.discard(e)
		a.counts.fail(fmt.Sprintf("batch %s: %v", e.batchName, err))
		return verdict{fate: delivered, unsent: true}
	}

	a.problems, a.reached, a.patient, a.refused, a.lone = a.problems[:0], false, healthy, 0, 0
	v = a.part(ctx, a.stored, nil, size, 0, docs)
	if v.fate == delivered {
		f, culprit := judge(a.problems, docs, healthy)
		v.fate = f
		if culprit != nil {
			v.sentence, v.items, v.refusals = culprit.sentence(), true, culprit.fate == refused
		}
	}
	if v.fate == unreached && !a.reached {
		a.spool.putBack(e)
		a.counts.retried.Add(1)
		return v
	}
	if !e.attempted {
		for i := range a.problems {
			if p := &a.problems[i]; p.fate == exists {
				m.strangers = append(m.strangers, p.doc)
			}
		}
	}
	if v.fate != delivered {
		a.spool.release(e)
		a.counts.retried.Add(1)
		return v
	}
	a.settle(e, m, docs)
	return v
}

// verify checks that a.stored is what was stored for e, and returns its length inflated, in
// bytes. A batch of an earlier run has to be inflated for that.
func (a *attempt) verify(e *entry, docs int) (size int, err error) {
	if e.sum == 0 {
		return a.inflate.verify(a.stored, docs)
	}
	if sum := checksum(a.stored); sum != e.sum {
		return 0, fmt.Errorf("%w: the checksum is %08x, was %08x", errDamaged, sum, e.sum)
	}
	return sizeOf(a.stored), nil
}

// part sends the documents from number first on, docs of them: member is their gzipped
// body, raw the same inflated if that was needed already, size its length. It returns
// delivered when all of them have an answer of their own, in a.problems unless it is a
// plain 201.
func (a *attempt) part(ctx context.Context, member, raw []byte, size, first, docs int) verdict {
	if docs > 1 && a.tooLarge.exceeds(size) {
		return a.halves(ctx, member, raw, first, docs)
	}
	if !a.patient && (a.refused >= maxRefused || a.lone > maxLone) {
		return verdict{fate: hold, items: true, refusals: true,
			sentence: fmt.Sprintf("Elasticsearch refuses one part of a batch after the other (last: %s)", a.lastReason())}
	}
	a.counts.requests.Add(1)
	where := !a.sender.placed.Load()
	r, err := a.sender.sendBulk(ctx, member, a.answer, where)
	if err != nil {
		f, sentence := a.sender.unanswered(err)
		a.reached = a.reached || f != unreached
		return verdict{fate: f, sentence: sentence}
	}
	a.reached = true
	a.answer = r.body
	if cap(a.answer) > maxRaw {
		a.answer = nil // give the memory of a burst back
	}
	if r.status == 200 {
		var failureStore int
		a.problems, failureStore, err = decodeBulk(r.body, first, docs, a.problems)
		if err != nil {
			return verdict{fate: again, sentence: err.Error(), retryAfter: r.retryAfter}
		}
		if where {
			if sentence := strayed(r.body); sentence != "" {
				return verdict{fate: hold, sentence: sentence}
			}
			a.sender.placed.Store(true)
		}
		a.counts.failureStore.Add(int64(failureStore))
		return verdict{fate: delivered, retryAfter: r.retryAfter}
	}
	rule, said, sentence := r.refusal("")
	switch rule.fate {
	case split:
		a.tooLarge.refuse(size)
		fallthrough
	case bisect:
		a.refused++
		if docs > 1 {
			return a.halves(ctx, member, raw, first, docs)
		}
		if rule.fate == bisect {
			a.lone++
		}
		a.problems = append(a.problems, problem{
			doc: first, fate: refused, status: r.status, kind: said.Type, reason: said.Reason,
		})
		return verdict{fate: delivered}
	}
	return verdict{fate: rule.fate, sentence: sentence, retryAfter: r.retryAfter}
}

// halves sends both halves of a part for themselves.
func (a *attempt) halves(ctx context.Context, member, raw []byte, first, docs int) verdict {
	if raw == nil {
		var err error
		if raw, err = a.inflate.inflate(nil, member); err != nil {
			return verdict{fate: again, sentence: err.Error()} // it was verified a moment ago
		}
	}
	half := docs / 2
	at := document(raw, half)
	for _, p := range [...]struct {
		raw         []byte
		first, docs int
	}{{raw[:at], first, half}, {raw[at:], first + half, docs - half}} {
		v := a.part(ctx, a.deflate.member(nil, p.raw, ""), p.raw, len(p.raw), p.first, p.docs)
		if v.fate != delivered {
			return v
		}
	}
	return verdict{fate: delivered}
}

// document returns where the document with that number begins in a body: its action line.
func document(body []byte, n int) int {
	at := 0
	for range 2 * n {
		at += bytes.IndexByte(body[at:], '\n') + 1
	}
	return at
}

func (a *attempt) lastReason() string {
	if len(a.problems) == 0 {
		return "HTTP status 400"
	}
	return a.problems[len(a.problems)-1].sentence()
}

// explain joins what we advise and what was said.
func explain(advice, said string) string {
	if advice == "" {
		return said
	}
	return advice + " (" + said + ")"
}

// settle ends a batch all of whose documents have come to an end.
func (a *attempt) settle(e *entry, m *memo, docs int) {
	var dead reasons
	for _, doc := range m.strangers {
		dead.add(doc, strangerReason)
	}
	duplicates := 0
	for i := range a.problems {
		switch p := &a.problems[i]; p.fate {
		case exists:
			if !slices.Contains(m.strangers, p.doc) {
				duplicates++
			}
		case refused:
			dead.add(p.doc, p.sentence())
		}
	}
	a.counts.duplicatesUnexpected.Add(int64(len(m.strangers)))
	unwanted := dead.documents()
	if len(unwanted) > 0 {
		reason := dead.first()
		a.counts.fail(fmt.Sprintf("batch %s: %d of %d documents were refused and are kept in the dead-letter directory: %s",
			e.batchName, len(unwanted), docs, reason))
		if raw, err := a.inflate.inflate(nil, a.stored); err == nil {
			a.spool.bury(e, len(unwanted), letter(pick(raw, unwanted), latin1(reason), dead.appendExtra(nil, unwanted)))
		}
	}
	switch there := docs - len(unwanted); {
	case e.replayed:
		a.counts.replayed.Add(int64(there))
		a.counts.restored.Add(int64(there - duplicates))
	case e.docs > 0:
		a.counts.duplicatesExpected.Add(int64(duplicates))
		a.counts.dead.Add(int64(len(unwanted)))
		a.counts.indexed.Add(int64(there))
	default:
		a.counts.duplicatesExpected.Add(int64(duplicates))
		a.counts.gapsIndexed.Add(int64(there))
	}
	a.counts.batchesDelivered.Add(1)
	a.spool.acknowledge(e)
}

// pick returns the documents with those numbers, in ascending order, as a body.
func pick(raw []byte, numbers []int) []byte {
	var out []byte
	done, at := 0, 0
	for _, n := range numbers {
		at += document(raw[at:], n-done)
		end := at + document(raw[at:], 1)
		out = append(out, raw[at:end]...)
		at, done = end, n+1
	}
	return out
}

// latin1 makes the text fit for the comment of a gzip header, of which Go's reader takes
// 511 bytes.
func latin1(s string) string {
	b := []byte(s[:min(len(s), 511)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
