package shipper

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// maxRequests bounds what one attempt at a batch may cost when it has to be
	// divided: a search for one bad document among maxDocs takes 2·13.
	maxRequests = 64
	// maxLone is how many documents of a batch may turn out to make a whole request be
	// refused, before that is taken for the server's or a proxy's way with all of them.
	maxLone = 4
)

// memo is what is remembered of a batch between two attempts. It belongs to whoever has
// the batch.
type memo struct {
	notBefore time.Time
	wait      backoff
	held      bool // the last answer was to hold it
	// refusedAt is, plus one, how many batches had been delivered when this one was
	// refused first; 0 if it never was.
	refusedAt int64
	// strangers are the documents whose _id another document had at the first attempt.
	strangers []int
}

// verdict is the result of an attempt at a batch.
type verdict struct {
	fate       fate // delivered, again or hold
	sentence   string
	retryAfter time.Duration
	refusals   bool // held because of refused documents
	took       time.Duration
}

// attempt sends one batch and settles it. Its memory is reused from batch to batch; it
// belongs to one goroutine at a time.
type attempt struct {
	sender *sender
	spool  *spool
	counts *counts
	// tooLarge is the smallest raw body that was answered 413, in bytes; shared.
	tooLarge *atomic.Int64

	inflate  inflater
	deflate  deflater
	stored   []byte // the batch as it is on disk
	answer   []byte
	problems []problem
	requests int
	lone     int // documents that alone made a request be refused
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
		a.spool.release(e) // out of descriptors, say
		return verdict{fate: again, sentence: err.Error()}
	}
	if err != nil {
		// One batch is what a damaged file costs.
		a.spool.discard(e)
		a.counts.fail(fmt.Sprintf("batch %s: %v", e.batchName, err))
		return verdict{fate: delivered}
	}

	a.problems, a.requests, a.lone = a.problems[:0], 0, 0
	v = a.part(ctx, a.stored, nil, size, 0, docs)
	if v.fate == delivered {
		f, culprit := judge(a.problems, docs, healthy)
		v.fate = f
		if culprit != nil {
			v.sentence, v.refusals = culprit.sentence(), culprit.fate == refused
		}
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
	if limit := a.tooLarge.Load(); limit > 0 && int64(size) >= limit && docs > 1 {
		return a.halves(ctx, member, raw, first, docs)
	}
	if a.requests++; a.requests > maxRequests || a.lone > maxLone {
		return verdict{fate: hold, sentence: fmt.Sprintf("Elasticsearch refuses one part of a batch after the other (last: %s)", a.lastReason())}
	}
	a.counts.requests.Add(1)
	r, err := a.sender.sendBulk(ctx, member, a.answer)
	if err != nil {
		f, advice := transportFate(err)
		return verdict{fate: f, sentence: explain(advice, err.Error())}
	}
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
		a.counts.failureStore.Add(int64(failureStore))
		return verdict{fate: delivered, retryAfter: r.retryAfter}
	}
	said := decodeError(r.body)
	rule := decide(requestFates[:], r.status, said.Type)
	switch rule.fate {
	case split:
		if old := a.tooLarge.Load(); old == 0 || int64(size) < old {
			a.tooLarge.Store(int64(size))
		}
		fallthrough
	case bisect:
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
	text := fmt.Sprintf("HTTP status %d", r.status)
	if said.Reason != "" {
		text += ": " + said.Reason
	}
	return verdict{fate: rule.fate, sentence: explain(rule.advice, text), retryAfter: r.retryAfter}
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
	duplicates := 0
	unwanted := slices.Clone(m.strangers)
	reason := ""
	for i := range a.problems {
		switch p := &a.problems[i]; p.fate {
		case exists:
			if !slices.Contains(m.strangers, p.doc) {
				duplicates++
			}
		case refused:
			unwanted = append(unwanted, p.doc)
			if reason == "" {
				reason = p.sentence()
			}
		}
	}
	if n := len(m.strangers); n > 0 {
		a.counts.duplicatesUnexpected.Add(int64(n))
		reason = "another document has this _id already; " + reason
	}
	if len(unwanted) > 0 {
		slices.Sort(unwanted)
		unwanted = slices.Compact(unwanted)
		a.counts.fail(fmt.Sprintf("batch %s: %d of %d documents were refused and are kept in the dead-letter directory: %s",
			e.batchName, len(unwanted), docs, reason))
		if raw, err := a.inflate.inflate(nil, a.stored); err == nil {
			a.spool.bury(e, len(unwanted), a.deflate.member(nil, pick(raw, unwanted), latin1(reason)))
		}
	}
	a.counts.duplicatesExpected.Add(int64(duplicates))
	if e.docs > 0 {
		a.counts.dead.Add(int64(len(unwanted)))
		a.counts.indexed.Add(int64(docs - len(unwanted)))
	} else {
		a.counts.gapsIndexed.Add(int64(docs - len(unwanted)))
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

// latin1 makes the text fit for the comment of a gzip header.
func latin1(s string) string {
	b := []byte(s[:min(len(s), 1024)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
