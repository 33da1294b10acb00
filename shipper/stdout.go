package shipper

import (
	"io"

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
	buf     []byte
	failed  bool // the last write failed, and it was said
}

// NewLines returns a Lines that writes to w.
func NewLines(w io.Writer, o EncoderOptions, log *zap.Logger) *Lines {
	return &Lines{w: w, log: log, encoder: NewEncoder(o)}
}

// Put encodes one window.
func (l *Lines) Put(node *metric.Node, w *metric.Window) {
	if w.Container.Path != metric.Root {
		l.buf = append(l.encoder.AppendContainer(l.buf, node, w), '\n')
		return
	}
	l.buf = append(l.encoder.AppendNode(l.buf, node, w), '\n')
	for _, per := range [...]metric.Per{metric.PerInterface, metric.PerDevice, metric.PerFilesystem} {
		for row := range w.Last.Rows(per) {
			l.buf = append(l.encoder.AppendRow(l.buf, node, w, per, row), '\n')
		}
	}
}

// PutEvent encodes one event.
func (l *Lines) PutEvent(node *metric.Node, e *metric.Event) {
	l.buf = append(l.encoder.AppendEvent(l.buf, node, e), '\n')
}

// Flush writes what was put.
func (l *Lines) Flush(int64) {
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	if err != nil && !l.failed {
		l.log.Error("documents can't be written", zap.Error(err))
	}
	l.failed = err != nil
}
