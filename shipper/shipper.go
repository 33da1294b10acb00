// Package shipper brings what the loop measured to Elasticsearch: it encodes documents
// into batches, keeps each batch in a spool on disk until it is delivered, and sends the
// batches as _bulk requests. Nothing is lost within the spool's budget, and nothing is
// indexed twice: every document's _index and _id are fixed before it is stored, and
// sending the same bytes again is harmless.
//
//	loop → Shipper.Put → Batch → publisher → spool → lanes → attempt → sender
//
// It takes no samples and answers no requests. Put, PutEvent, PutMissed and Flush belong to the
// loop's goroutine and never wait for a disk or the network; Stats may be called by
// anybody at any time; everything else runs in the goroutines that Run starts.
package shipper

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Options say where to ship to, and through which spool. The zero value of a field is
// its default.
type Options struct {
	// SpoolDir is the directory of the spool, made if it isn't there.
	SpoolDir string
	// SpoolBytes is the budget on disk (default 1 GiB), DeadBytes that of the
	// directory for refused documents (default 64 MiB).
	SpoolBytes, DeadBytes int64
	// Replay is how long delivered batches are kept on disk within SpoolBytes, so
	// that they can be sent once more (default 30 min); negative for not at all.
	Replay time.Duration
	// LockWait is how long New waits for another agent to leave the spool (default
	// 30 s): two are there for a moment when a service is updated start-first.
	LockWait time.Duration

	// Addresses are the nodes of Elasticsearch: URLs, or host:port for http. Without
	// any, documents are kept in the spool's budget and sent by a later run that has
	// some.
	Addresses []string
	// IndexPrefix names the indices <prefix>-YYYY.MM.DD, their alias <prefix> and the
	// index template <prefix>; default "cadvisor".
	IndexPrefix string
	// Username goes with PasswordFile. APIKeyFile, which wins, holds an API key,
	// encoded or as id:key. CAFile holds the PEM certificates to trust instead of the
	// system's. The files are read again when they change.
	Username, PasswordFile, APIKeyFile, CAFile string
	// InsecureTLS accepts any certificate.
	InsecureTLS bool
	// NoTemplate leaves the index template to somebody else, and takes it for granted.
	NoTemplate bool
	// Retention is the age from which on indices of days are deleted, once all of the day is
	// older than that; 0 for never.
	Retention time.Duration
	// NoProductCheck accepts servers that don't say that they are Elasticsearch.
	NoProductCheck bool
	// Pipeline is the ingest pipeline; "" leaves it to the index. It must neither
	// change _index nor _id.
	Pipeline string
	// Transport replaces the HTTP transport.
	Transport http.RoundTripper

	// Encoder says what documents tell of the agent. Its Interval is the shipping
	// interval.
	Encoder EncoderOptions
	// Self says how the agent is, for the document of the agent itself that ends each
	// batch. It is called by the loop's goroutine. nil for no such documents.
	Self func() Self
	// Version is the agent's version.
	Version string
	// Log takes what an operator should know; default nothing is logged.
	Log *zap.Logger

	// Tests set these: how long a request may take, and who resolves names.
	timeouts timeouts
	resolver *net.Resolver
}

func (o *Options) setDefaults() {
	if o.SpoolBytes <= 0 {
		o.SpoolBytes = 1 << 30
	}
	if o.DeadBytes <= 0 {
		o.DeadBytes = 64 << 20
	}
	if o.Replay == 0 {
		o.Replay = defaultReplay
	}
	if o.LockWait <= 0 {
		o.LockWait = 30 * time.Second
	}
	if o.IndexPrefix == "" {
		o.IndexPrefix = "cadvisor"
	}
	if o.Encoder.Interval <= 0 {
		o.Encoder.Interval = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.timeouts == (timeouts{}) {
		o.timeouts = defaultTimeouts()
	}
}

// Shipper is the collector's Sink for Elasticsearch.
type Shipper struct {
	spool    *spool
	handover *handover
	sender   *sender    // nil without addresses
	lanes    *lanes     // nil without addresses
	retain   *retention // nil for keeping everything
	counts   *counts

	// Owned by the loop.
	encoder *Encoder
	self    func() Self // nil for no documents of the agent
	agent   Agent       // the newest
	stat    Stats       // what agent.Delivery points to
	deflate deflater
	batch   *Batch // being filled, nil when nothing was put since the last one
	handed  uint64 // the last batch that was given to the publisher
	prefix  string
	node    *atomic.Pointer[metric.Node] // the newest, for gap documents

	stored atomic.Uint64 // the last batch that the publisher has given to the spool

	closed  chan struct{} // closed by Close
	ended   chan struct{} // closed by Run, if it was started
	started atomic.Bool
}

// New opens the spool and prepares to ship. It returns ErrLocked when another agent holds
// the spool for longer than LockWait, and an error for an address that can't be used. A
// directory that can't be used is no error: batches are kept in memory meanwhile, and
// Stats says so.
func New(ctx context.Context, o Options) (*Shipper, error) {
	o.setDefaults()
	var random [8]byte
	rand.Read(random[:])
	// A new epoch in each run: whatever happened to the spool since (drained, cloned
	// with its machine, set back to a snapshot), no _id can be given out again.
	epoch := binary.BigEndian.Uint64(random[:])

	s := &Shipper{
		counts:   new(counts),
		handover: newHandover(),
		encoder:  NewEncoder(o.Encoder),
		self:     o.Self,
		prefix:   o.IndexPrefix,
		node:     new(atomic.Pointer[metric.Node]),
		closed:   make(chan struct{}),
		ended:    make(chan struct{}),
	}
	s.spool = newSpool(&o, epoch, s.node)
	if len(o.Addresses) > 0 {
		var err error
		if s.sender, err = newSender(&o); err != nil {
			return nil, err
		}
		phase := time.Duration(epoch % uint64(o.Encoder.Interval/2+1))
		s.lanes = newLanes(s.sender, s.spool, newTemplate(s.sender, &o, s.counts), s.counts, phase, o.Log)
		if o.Retention > 0 {
			s.retain = &retention{s.sender, o.IndexPrefix, o.Retention, retentionFirst, s.counts, o.Log}
		}
	}
	if err := s.spool.start(ctx, o.LockWait); err != nil {
		return nil, err
	}
	return s, nil
}

// Put encodes one window. See collector.Sink.
func (s *Shipper) Put(node *metric.Node, w *metric.Window) {
	s.meet(node)
	ms := w.Last.Time / int64(time.Millisecond)
	b := s.open(w.Last.Time)
	if w.Container.Path == metric.Root {
		b.Source(s.encoder.AppendNode(b.Action(ms), node, w))
	} else {
		b.Source(s.encoder.AppendContainer(b.Action(ms), node, w))
	}
	s.counts.sampled.Add(1)
	eachRow(w, func(per metric.Per, row int) {
		b := s.open(w.Last.Time)
		b.Source(s.encoder.AppendRow(b.Action(ms), node, w, per, row))
		s.counts.sampled.Add(1)
	})
}

// PutEvent encodes one event. See collector.Sink.
func (s *Shipper) PutEvent(node *metric.Node, e *metric.Event) {
	s.meet(node)
	b := s.open(e.Time.UnixNano())
	b.Source(s.encoder.AppendEvent(b.Action(e.Time.UnixMilli()), node, e))
	s.counts.sampled.Add(1)
}

// PutSwarm encodes the state of the Swarm. See collector.SwarmSink.
func (s *Shipper) PutSwarm(node *metric.Node, state *metric.SwarmState, slot int64) {
	s.meet(node)
	for i := range state.Len() {
		b := s.open(state.Time.UnixNano())
		b.Source(s.encoder.AppendSwarm(b.Action(state.Time.UnixMilli()), node, state, i, slot))
		s.counts.sampled.Add(1)
	}
}

// PutMissed has the publisher write a gap document. See collector.Sink.
func (s *Shipper) PutMissed(node *metric.Node, m *metric.Missed) {
	s.meet(node)
	s.spool.miss(m)
}

func (s *Shipper) meet(node *metric.Node) {
	if s.node.Load() != node {
		s.node.Store(node)
	}
}

// open returns the batch for the next document, whose time is ns.
func (s *Shipper) open(ns int64) *Batch {
	if s.batch != nil && s.batch.full() {
		s.hand(false)
	}
	if s.batch == nil {
		s.batch = s.handover.spare(s.prefix)
		s.batch.reset(s.spool.epoch, s.spool.nextSeq(), &s.deflate)
	}
	s.batch.slot = max(s.batch.slot, ns)
	return s.batch
}

// Flush ends the batch and hands it to the publisher. See collector.Sink.
func (s *Shipper) Flush(slot int64) {
	if s.batch != nil {
		s.batch.slot = slot
		s.hand(false)
	}
}

// hand gives the batch to the publisher, the document of the agent as its last one. final
// tells that no other batch comes.
func (s *Shipper) hand(final bool) {
	if s.self != nil {
		s.sign(s.batch, final)
	}
	s.batch.close()
	s.handed = s.batch.seq
	dropped := s.handover.put(s.batch)
	s.batch = nil
	if dropped != nil {
		s.spool.lose(lostBehind, dropped.name(), dropped.docs)
		s.handover.recycle(dropped)
	}
}

// sign appends the document of the agent: what is in the batch, so that anybody can tell
// from Elasticsearch alone whether all of it arrived, and what has become of all others.
func (s *Shipper) sign(b *Batch, final bool) {
	now := time.Now()
	line := b.Action(now.UnixMilli())
	a := &s.agent
	*a = Agent{
		Time: now.UnixNano(), Epoch: b.epoch, Batch: b.seq, Documents: b.docs + 1,
		First: b.first, Last: b.last, Waiting: s.waiting(b.seq), Final: final,
		Sampled: s.counts.sampled.Add(1), Self: s.self(), Delivery: &s.stat, Slowest: time.Duration(s.counts.slowest.Swap(0)),
	}
	a.dropped = s.stats(&s.stat)
	b.Source(s.encoder.AppendAgent(line, s.node.Load(), a))
}

// waiting returns the oldest batch before seq that isn't delivered, or seq. What was handed
// over and isn't stored yet counts as one that is.
func (s *Shipper) waiting(seq uint64) uint64 {
	oldest := seq
	if stored := s.stored.Load(); stored < s.handed {
		oldest = stored + 1
	}
	return min(oldest, s.spool.oldest(seq))
}

// Run stores and sends batches until ctx ends or Close is called; attempts under way then
// get a few seconds. What isn't delivered stays in the spool. It is called once.
func (s *Shipper) Run(ctx context.Context) {
	s.started.Store(true)
	defer close(s.ended)
	sending, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if s.lanes != nil {
		wg.Go(func() { s.lanes.run(sending) })
	}
	if s.retain != nil {
		wg.Go(func() { s.retain.run(sending) })
	}
	s.publish(ctx)
	stop()
	wg.Wait()
	if s.sender != nil {
		s.sender.close()
	}
}

// publish is the publisher: it alone writes batches to the spool's directory, so that
// neither the loop nor a lane ever waits for an fsync.
func (s *Shipper) publish(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.store()
			return
		case <-s.closed:
			s.store()
			return
		case <-s.handover.ready:
			s.store()
		case <-s.spool.wake:
		case <-timer.C:
		}
		if s.spool.tick() {
			timer.Reset(time.Second)
		}
	}
}

// store publishes all batches that wait.
func (s *Shipper) store() {
	for b := s.handover.take(); b != nil; b = s.handover.take() {
		s.counts.storing.Store(time.Now().UnixNano())
		s.spool.publish(b)
		s.counts.storing.Store(0)
		s.stored.Store(b.seq)
		s.counts.batches.Add(1)
		s.handover.recycle(b)
	}
}

// Close stores what was put since the last Flush, and that nothing comes after it, ends Run
// and waits for its end, and gives the spool back. It takes five seconds at most: a disk that
// hangs then keeps the last batch. The loop must have stopped; it is called once.
func (s *Shipper) Close() {
	if s.batch != nil || s.self != nil && s.node.Load() != nil {
		s.open(time.Now().UnixNano())
		s.hand(true)
	}
	close(s.closed)
	if s.started.Load() {
		select {
		case <-s.ended:
		case <-time.After(5 * time.Second):
			return
		}
	}
	s.store() // what came after Run had ended with its context
	s.spool.tick()
	s.spool.close()
}
