package shipper

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Lines is the collector's Sink for -storage_driver=stdout: the same documents that
// Elasticsearch would get, one line each, written when a batch ends. It belongs to the
// loop's goroutine. The writer is expected to be quick; what it doesn't take is lost.
type Lines struct {
	w       io.Writer
	log     *zap.Logger
	encoder *Encoder
	self    func() Self
	node    *metric.Node
	agent   Agent // of the batch that is being filled
	buf     []byte
	failed  bool // the last write failed, and it was said
}

// NewLines returns a Lines that writes to w. self is as in Options.
func NewLines(w io.Writer, o EncoderOptions, self func() Self, log *zap.Logger) *Lines {
	var epoch [8]byte
	rand.Read(epoch[:])
	l := &Lines{w: w, log: log, encoder: NewEncoder(o), self: self}
	l.agent.Epoch = binary.BigEndian.Uint64(epoch[:])
	l.begin()
	return l
}

// begin begins a batch.
func (l *Lines) begin() {
	l.buf = l.buf[:0]
	l.agent.Batch++
	l.agent.Documents, l.agent.First, l.agent.Last = 0, math.MaxInt64, math.MinInt64
}

// end ends the line of a document whose time is ns.
func (l *Lines) end(ns int64) {
	l.buf = append(l.buf, '\n')
	l.count(ns)
}

func (l *Lines) count(ns int64) {
	a, ms := &l.agent, ns/int64(time.Millisecond)
	a.Documents++
	a.Sampled++
	a.First, a.Last = min(a.First, ms), max(a.Last, ms)
}

// Put encodes one window.
func (l *Lines) Put(node *metric.Node, w *metric.Window) {
	l.node = node
	if w.Container.Path == metric.Root {
		l.buf = l.encoder.AppendNode(l.buf, node, w)
	} else {
		l.buf = l.encoder.AppendContainer(l.buf, node, w)
	}
	l.end(w.Last.Time)
	eachRow(w, func(per metric.Per, row int) {
		l.buf = l.encoder.AppendRow(l.buf, node, w, per, row)
		l.end(w.Last.Time)
	})
}

// PutEvent encodes one event.
func (l *Lines) PutEvent(node *metric.Node, e *metric.Event) {
	l.node = node
	l.buf = l.encoder.AppendEvent(l.buf, node, e)
	l.end(e.Time.UnixNano())
}

// PutSwarm encodes the state of the Swarm.
func (l *Lines) PutSwarm(node *metric.Node, state *metric.SwarmState, slot int64) {
	l.node = node
	for i := range state.Len() {
		l.buf = l.encoder.AppendSwarm(l.buf, node, state, i, slot)
		l.end(state.Time.UnixNano())
	}
}

// PutMissed encodes a gap.
func (l *Lines) PutMissed(node *metric.Node, m *metric.Missed) {
	l.buf = append(l.encoder.AppendGap(l.buf, node, missedGap(time.Now().UnixNano(), m)), '\n')
}

// Flush writes what was put, and the document of the agent behind it.
func (l *Lines) Flush(int64) {
	if l.agent.Documents > 0 && l.self != nil {
		now := time.Now().UnixNano()
		l.count(now)
		l.agent.Time, l.agent.Self = now, l.self()
		l.buf = append(l.encoder.AppendAgent(l.buf, l.node, &l.agent), '\n')
	}
	_, err := l.w.Write(l.buf)
	l.begin()
	if err != nil && !l.failed {
		l.log.Error("documents can't be written", zap.Error(err))
	}
	l.failed = err != nil
}
