package shipper

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// maxLanes bounds the batches that are sent at once oldest first. One more lane
	// goes newest first, so that dashboards are fresh at once after an outage.
	maxLanes = 4
	// slowAnswer is the time of an attempt above which no lane is added.
	slowAnswer = 5 * time.Second
	// closing is how long attempts under way may go on when the agent ends.
	closing = 3 * time.Second
)

// lanes sends the spool's batches to Elasticsearch: newest first in one lane, oldest
// first in one to four, as many as the server takes (one more for each prompt delivery,
// half as many after a failure). After a failure all of them wait, and one batch at a
// time probes until one is delivered. No batch is ever in two attempts at once.
//
// One goroutine owns it all; the attempts run in goroutines of their own and answer by
// channel.
type lanes struct {
	spool    *spool
	template *template
	counts   *counts
	log      *zap.Logger
	// phase delays a fresh batch, so that not all nodes send in the same instant.
	phase time.Duration

	results   chan result
	idle      []*attempt
	memos     map[uint64]*memo // batches that were tried and not delivered
	newest    bool             // the lane newest first is in use
	oldest    int              // lanes oldest first in use
	allowed   int              // … and how many may be
	delivered int64            // batches that were delivered

	failing   bool // the last attempt failed: probe
	waitUntil time.Time
	wait      backoff // of all lanes, when a server can't take anything now
	holding   backoff // … when somebody has to repair something
	parking   backoff // of one batch, so that others get a turn; each has its own
	said      string  // the sentence that was logged last
}

// result is an attempt that has ended.
type result struct {
	entry   entry
	memo    *memo
	order   order
	attempt *attempt
	verdict verdict
}

func newLanes(s *sender, sp *spool, t *template, c *counts, phase time.Duration, log *zap.Logger) *lanes {
	l := &lanes{
		spool: sp, template: t, counts: c, log: log, phase: phase,
		results: make(chan result, maxLanes+1),
		memos:   make(map[uint64]*memo),
		allowed: 1,
		wait:    backoff{base: 500 * time.Millisecond, limit: 30 * time.Second},
		holding: backoff{base: time.Second, limit: 15 * time.Second},
		parking: backoff{base: 500 * time.Millisecond, limit: time.Minute},
	}
	tooLarge := new(atomic.Int64)
	for range maxLanes + 1 {
		l.idle = append(l.idle, &attempt{sender: s, spool: sp, counts: c, tooLarge: tooLarge})
	}
	return l
}

// run sends batches until ctx ends; then it waits a little for the attempts under way.
func (l *lanes) run(ctx context.Context) {
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		if !now.Before(l.waitUntil) && l.ensureTemplate(ctx) {
			l.start(attempts, now)
		}
		timer.Reset(l.nextTurn(now))
		select {
		case <-ctx.Done():
		case r := <-l.results:
			l.settle(r)
		case <-l.spool.fresh:
			if l.busy() == 0 && !l.failing && now.After(l.waitUntil) {
				l.waitUntil = now.Add(l.phase)
			}
		case <-timer.C:
		}
	}
	timer.Reset(closing)
	for l.busy() > 0 {
		select {
		case r := <-l.results:
			l.free(r) // what it found out is in the spool and in the counts already
		case <-timer.C:
			cancel()
		}
	}
}

func (l *lanes) busy() int {
	if l.newest {
		return l.oldest + 1
	}
	return l.oldest
}

// ensureTemplate reports whether documents may be sent: not before the index template is
// known to be there, since an index without it gets a wrong mapping for good.
func (l *lanes) ensureTemplate(ctx context.Context) bool {
	if l.busy() > 0 || l.template.fresh() {
		return true
	}
	if _, c := l.spool.account(); c.batches == 0 {
		return true // nothing to send
	}
	f, sentence := l.template.ensure(ctx)
	if f == delivered || ctx.Err() != nil {
		return f == delivered
	}
	l.fail(f, sentence, 0)
	return false
}

// start fills the lanes.
func (l *lanes) start(ctx context.Context, now time.Time) {
	due := func(seq uint64) bool {
		m := l.memos[seq]
		return m == nil || !now.Before(m.notBefore)
	}
	if l.failing {
		if l.busy() == 0 && !l.take(ctx, newestFirst, due) {
			l.take(ctx, oldestFirst, due)
		}
		return
	}
	if !l.newest {
		l.take(ctx, newestFirst, due)
	}
	for l.oldest < l.allowed && l.take(ctx, oldestFirst, due) {
	}
}

// take starts an attempt at the next batch in that order; false if there is none.
func (l *lanes) take(ctx context.Context, o order, due func(seq uint64) bool) bool {
	e, ok := l.spool.take(o, due)
	if !ok {
		return false
	}
	if o == newestFirst {
		l.newest = true
	} else {
		l.oldest++
	}
	m := l.memos[e.seq]
	if m == nil {
		m = &memo{wait: l.parking}
	}
	healthy := m.refusedAt > 0 && l.delivered >= m.refusedAt-1+provenByBatches
	a := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	go func() {
		v := a.run(ctx, &e, m, healthy)
		l.results <- result{e, m, o, a, v}
	}()
	return true
}

// free takes back what an attempt used.
func (l *lanes) free(r result) {
	l.idle = append(l.idle, r.attempt)
	if r.order == newestFirst {
		l.newest = false
	} else {
		l.oldest--
	}
}

// settle takes the result of an attempt.
func (l *lanes) settle(r result) {
	l.free(r)
	v := &r.verdict
	if v.fate == delivered {
		delete(l.memos, r.entry.seq)
		l.delivered++
		l.succeed(v.took)
		return
	}
	if v.refusals && r.memo.refusedAt == 0 {
		r.memo.refusedAt = l.delivered + 1
	}
	r.memo.held = v.fate == hold
	r.memo.notBefore = time.Now().Add(r.memo.wait.next(v.retryAfter))
	l.memos[r.entry.seq] = r.memo
	if v.fate == hold {
		l.template.suspect()
	}
	l.fail(v.fate, v.sentence, v.retryAfter)
}

// succeed opens the lanes.
func (l *lanes) succeed(took time.Duration) {
	if took < slowAnswer {
		l.allowed = min(l.allowed+1, maxLanes)
	}
	if !l.failing {
		return
	}
	l.failing, l.waitUntil = false, time.Time{}
	l.wait.reset()
	l.holding.reset()
	for seq, m := range l.memos {
		if !l.spool.has(seq) {
			delete(l.memos, seq) // dropped for the budget meanwhile
		} else if !m.held {
			m.notBefore = time.Time{} // what the server couldn't take, it can now
		}
	}
	if l.said != "" {
		_, c := l.spool.account()
		l.log.Info("Elasticsearch takes documents again", zap.Int("batches waiting", c.batches))
		l.said = ""
	}
	l.counts.setTrouble("", false)
}

// fail closes the lanes but for probes, and says why if it wasn't said last.
func (l *lanes) fail(f fate, sentence string, retryAfter time.Duration) {
	l.failing = true
	l.allowed = max(1, l.allowed/2)
	wait := &l.wait
	if f == hold {
		wait = &l.holding
	}
	l.waitUntil = time.Now().Add(wait.next(retryAfter))
	if sentence != l.said {
		l.said = sentence
		if f == hold {
			l.log.Error("nothing is sent to Elasticsearch until this is repaired; batches are kept", zap.String("reason", sentence))
		} else {
			l.log.Warn("Elasticsearch doesn't take documents now; batches are kept", zap.String("reason", sentence))
		}
	}
	l.counts.setTrouble(sentence, f == hold)
}

// nextTurn returns how long nothing has to be done unless something comes in. now is the
// time by which start decided: what was not due then has to be found here.
func (l *lanes) nextTurn(now time.Time) time.Duration {
	if l.waitUntil.After(now) {
		return l.waitUntil.Sub(now)
	}
	next := time.Minute
	for _, m := range l.memos {
		if d := m.notBefore.Sub(now); d > 0 {
			next = min(next, d)
		}
	}
	return next
}
