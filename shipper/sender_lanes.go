package shipper

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// maxLanes bounds the batches that are sent at once oldest first. One more lane
	// goes newest first, so that dashboards are fresh at once after an outage.
	maxLanes = 4
	// promptAnswer is the time of an attempt that is never too long, slowAnswer the one
	// from which on it may tell of a server that has too much to do.
	promptAnswer = time.Second
	slowAnswer   = 5 * time.Second
	// closing is how long attempts under way may go on when the agent ends.
	closing = 3 * time.Second
)

// lanes sends the spool's batches to Elasticsearch: newest first in one lane, oldest
// first in one to four, as many as the server takes: one more for each prompt delivery,
// half as many after a failure, or when answers come much later than they used to. After a
// failure all of them wait, and one batch at a time probes until one is delivered. What a
// single index doesn't take holds the batches of its day, and no others. No batch is ever
// in two attempts at once.
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
	running   map[*attempt]time.Time // since when
	memos     map[uint64]*memo       // batches that were tried and not delivered
	blocked   map[int64]*blockedDay  // by batchName.day
	newest    bool                   // the lane newest first is in use
	allowed   int                    // how many lanes oldest first may be in use
	usual     time.Duration          // that an attempt takes when it is quick
	delivered int64                  // batches that were delivered

	failing   bool // the last attempt failed: probe
	failedAt  time.Time
	why       string // it failed
	whyHeld   bool
	waitUntil time.Time
	wait      backoff // of all lanes, when a server can't take anything now
	unreached backoff // … when there is none
	holding   backoff // … or of a day, when somebody has to repair something
	parking   backoff // of one batch, so that others get a turn; each has its own
	said      string  // the sentence that was logged last, as far as it tells of something new
}

// blockedDay is a day whose index takes nothing until somebody repairs something.
type blockedDay struct {
	notBefore time.Time
	probed    bool // a batch of it is under way
	wait      backoff
	sentence  string
}

// result is an attempt that has ended.
type result struct {
	started time.Time
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
		running: make(map[*attempt]time.Time),
		memos:   make(map[uint64]*memo),
		blocked: make(map[int64]*blockedDay),
		allowed: 1,
		wait:    backoff{base: 500 * time.Millisecond, limit: 30 * time.Second},
		// Fresh documents are to be seen within five seconds of a server's return.
		unreached: backoff{base: 500 * time.Millisecond, limit: 4 * time.Second},
		holding:   backoff{base: time.Second, limit: 15 * time.Second},
		parking:   backoff{base: 500 * time.Millisecond, limit: time.Minute},
	}
	tooLarge := new(sizeLimit)
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
		wait := time.Until(l.waitUntil)
		if wait <= 0 {
			if l.ensureTemplate(ctx) {
				now := time.Now()
				l.start(attempts, now)
				wait = l.nextTurn(now)
			} else {
				wait = time.Until(l.waitUntil)
			}
		}
		timer.Reset(max(0, wait))
		select {
		case <-ctx.Done():
		case r := <-l.results:
			l.settle(r)
		case <-l.spool.fresh:
			if now := time.Now(); len(l.running) == 0 && !l.failing && !now.Before(l.waitUntil) {
				l.waitUntil = now.Add(l.phase)
			}
		case <-timer.C:
		}
	}
	timer.Reset(closing)
	for len(l.running) > 0 {
		select {
		case r := <-l.results:
			l.free(r) // what it found out is in the spool and in the counts already
		case <-timer.C:
			cancel()
		}
	}
}

// ensureTemplate reports whether documents may be sent: not before the index template is
// known to be there, since an index without it gets a wrong mapping for good.
func (l *lanes) ensureTemplate(ctx context.Context) bool {
	if len(l.running) > 0 || l.template.fresh() {
		return true
	}
	if _, c := l.spool.account(); c.batches == 0 {
		return true // nothing to send
	}
	started := time.Now()
	f, sentence := l.template.ensure(ctx)
	if f == delivered || ctx.Err() != nil {
		return f == delivered
	}
	l.fail(&verdict{fate: f, sentence: sentence}, started)
	l.report()
	return false
}

// start fills the lanes.
func (l *lanes) start(ctx context.Context, now time.Time) {
	due := func(n *batchName) bool {
		if day := l.blocked[n.day()]; day != nil && (day.probed || now.Before(day.notBefore)) {
			return false
		}
		m := l.memos[n.seq]
		return m == nil || !now.Before(m.notBefore)
	}
	if l.failing {
		// What is due goes first, so that no batch is tried for ever before others;
		// but a server is never left unasked because all were tried lately.
		anything := func(n *batchName) bool {
			m := l.memos[n.seq]
			return l.blocked[n.day()] == nil && (m == nil || !m.held)
		}
		for _, fits := range [...]func(*batchName) bool{due, anything} {
			if len(l.running) == 0 && !l.take(ctx, newestFirst, fits, now) {
				l.take(ctx, oldestFirst, fits, now)
			}
		}
		return
	}
	if !l.newest {
		l.take(ctx, newestFirst, due, now)
	}
	for l.oldest() < l.most(now) && l.take(ctx, oldestFirst, due, now) {
	}
	for d, day := range l.blocked {
		if !day.probed && !now.Before(day.notBefore) && !l.parked(d) {
			delete(l.blocked, d) // its batches were dropped for the budget meanwhile
			l.report()
		}
	}
}

// parked tells whether the spool has a batch of that day that was tried.
func (l *lanes) parked(day int64) bool {
	for seq, m := range l.memos {
		if m.day == day && l.spool.has(seq) {
			return true
		}
	}
	return false
}

// oldest returns how many lanes oldest first are in use.
func (l *lanes) oldest() int {
	if l.newest {
		return len(l.running) - 1
	}
	return len(l.running)
}

// most returns how many lanes oldest first may be in use now: no further one while an
// attempt takes much longer than usual, which may be one into nowhere.
func (l *lanes) most(now time.Time) int {
	for _, since := range l.running {
		if now.Sub(since) > max(promptAnswer, 4*l.usual) {
			return 1
		}
	}
	return l.allowed
}

// take starts an attempt at the next batch in that order; false if there is none.
func (l *lanes) take(ctx context.Context, o order, due func(*batchName) bool, now time.Time) bool {
	e, ok := l.spool.take(o, due)
	if !ok {
		return false
	}
	if o == newestFirst {
		l.newest = true
	}
	if day := l.blocked[e.day()]; day != nil {
		day.probed = true
	}
	m := l.memos[e.seq]
	if m == nil {
		m = &memo{day: e.day(), wait: l.parking}
	}
	// What is refused a second time is no news of the configuration.
	healthy := e.refused || m.refusedAt > 0 && l.delivered >= m.refusedAt-1+provenByBatches
	a := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	l.running[a] = now
	go func() {
		v := a.run(ctx, &e, m, healthy)
		l.results <- result{now, e, m, o, a, v}
	}()
	return true
}

// free takes back what an attempt used.
func (l *lanes) free(r result) {
	l.idle = append(l.idle, r.attempt)
	delete(l.running, r.attempt)
	if r.order == newestFirst {
		l.newest = false
	}
}

// settle takes the result of an attempt.
func (l *lanes) settle(r result) {
	l.free(r)
	defer l.report()
	v, m := &r.verdict, r.memo
	day := l.blocked[r.entry.day()]
	if day != nil {
		day.probed = false
	}
	if v.fate == delivered {
		delete(l.memos, r.entry.seq)
		if v.unsent {
			return
		}
		delete(l.blocked, r.entry.day())
		l.delivered++
		l.adapt(v.took)
		l.counts.delivered(v.took)
		if l.failing {
			l.succeed()
		}
		if m.held { // what held it is repaired
			l.retry(true)
		}
		return
	}
	if v.refusals && m.refusedAt == 0 {
		m.refusedAt = l.delivered + 1
	}
	// One that fails again while others pass may be to blame itself.
	m.held = v.items && v.fate == hold || m.failedAt > 0 && l.delivered >= m.failedAt
	m.failedAt = l.delivered + 1
	m.notBefore = time.Now().Add(m.wait.next(v.retryAfter))
	l.memos[r.entry.seq] = m
	if v.fate == hold {
		l.template.suspect()
	}
	if !v.items || v.fate != hold || v.refusals {
		l.fail(v, r.started)
		return
	}
	if l.failing {
		l.succeed() // it answers
	}
	if day == nil {
		day = &blockedDay{wait: l.holding}
		day.wait.reset()
		l.blocked[r.entry.day()] = day
	}
	day.sentence = v.sentence
	day.notBefore = time.Now().Add(day.wait.next(v.retryAfter))
	l.forget()
}

// adapt changes the number of lanes by the time that a delivery took. A server that is
// always slow, because it is far away, gets as many as a near one.
func (l *lanes) adapt(took time.Duration) {
	switch usual := l.usual; {
	case took <= max(promptAnswer, 2*usual):
		l.allowed = min(l.allowed+1, maxLanes)
	case took > max(slowAnswer, 4*usual):
		l.allowed = max(1, l.allowed/2)
	}
	if l.usual == 0 || took < l.usual {
		l.usual = took
	} else {
		l.usual += (took - l.usual) / 16
	}
}

// succeed opens the lanes.
func (l *lanes) succeed() {
	l.failing, l.waitUntil, l.why, l.whyHeld = false, time.Time{}, "", false
	l.wait.reset()
	l.unreached.reset()
	l.holding.reset()
	l.retry(false) // what the server couldn't take, it can now
}

// retry has batches be due that were tried before; those that wait for themselves only if
// held.
func (l *lanes) retry(held bool) {
	l.forget()
	for _, m := range l.memos {
		if held || !m.held {
			m.notBefore = time.Time{}
		}
	}
}

// forget drops what is remembered of batches that the spool has dropped.
func (l *lanes) forget() {
	for seq := range l.memos {
		if !l.spool.has(seq) {
			delete(l.memos, seq)
		}
	}
}

// fail closes the lanes but for probes.
func (l *lanes) fail(v *verdict, started time.Time) {
	together := l.failing && !started.After(l.failedAt) // it is the same failure
	l.failing, l.why, l.whyHeld = true, v.sentence, v.fate == hold
	l.allowed = max(1, l.allowed/2)
	wait := &l.wait
	switch v.fate {
	case hold:
		wait = &l.holding
	case unreached:
		wait = &l.unreached
	}
	now := time.Now()
	if together && v.retryAfter == 0 && l.waitUntil.After(now) {
		return
	}
	l.failedAt = now
	// A server that took half a minute to say nothing was left alone for so long.
	d := wait.next(v.retryAfter)
	if v.retryAfter == 0 {
		d = max(d-now.Sub(started), min(d, rand.N(wait.base)))
	}
	l.waitUntil = now.Add(d)
}

// report says why documents wait, to whoever asks for it, and in the log if it wasn't said
// last.
func (l *lanes) report() {
	sentence, held := l.why, l.whyHeld
	if !l.failing && len(l.blocked) > 0 {
		day := slices.Min(slices.Collect(maps.Keys(l.blocked)))
		held = true
		sentence = fmt.Sprintf("the documents of %s wait: %s",
			time.UnixMilli(day*millisPerDay).UTC().Format(time.DateOnly), l.blocked[day].sentence)
	}
	l.counts.setTrouble(sentence, held)
	gist := sentence
	if !held {
		// What the server says behind it has numbers that are others with each attempt.
		gist, _, _ = strings.Cut(sentence, " (HTTP status ")
	}
	if gist == l.said {
		return
	}
	l.said = gist
	switch {
	case sentence == "":
		_, c := l.spool.account()
		l.log.Info("Elasticsearch takes documents again", zap.Int("batches waiting", c.batches))
	case held:
		l.log.Error("documents are kept, and not sent to Elasticsearch, until this is repaired", zap.String("reason", sentence))
	default:
		l.log.Warn("Elasticsearch doesn't take documents now; batches are kept", zap.String("reason", sentence))
	}
}

// nextTurn returns how long nothing has to be done unless something comes in. now is the
// time by which start decided: what was not due then has to be found here.
func (l *lanes) nextTurn(now time.Time) time.Duration {
	next := time.Minute
	for _, m := range l.memos {
		if d := m.notBefore.Sub(now); d > 0 {
			next = min(next, d)
		}
	}
	for _, day := range l.blocked {
		if d := day.notBefore.Sub(now); d > 0 {
			next = min(next, d)
		}
	}
	return next
}
