package main

import (
	"io"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

// newLog returns the log: for people on a terminal, JSON with ECS names otherwise.
// Secrets never get here: they are read from files by those who need them.
func newLog(level, format string, w io.Writer) *zap.Logger {
	at, err := zapcore.ParseLevel(level)
	if err != nil {
		at = zapcore.InfoLevel // check has refused anything else
	}
	var encoder zapcore.Encoder
	if format == "console" || format == "auto" && isTerminal(w) {
		config := zap.NewDevelopmentEncoderConfig()
		config.EncodeTime = zapcore.TimeEncoderOfLayout(time.TimeOnly)
		config.EncodeLevel = zapcore.CapitalColorLevelEncoder
		if !isTerminal(w) {
			config.EncodeLevel = zapcore.CapitalLevelEncoder
		}
		encoder = zapcore.NewConsoleEncoder(config)
	} else {
		encoder = zapcore.NewJSONEncoder(zapcore.EncoderConfig{
			TimeKey: "@timestamp", LevelKey: "log.level", MessageKey: "message", NameKey: "log.logger",
			EncodeTime: zapcore.RFC3339NanoTimeEncoder, EncodeLevel: zapcore.LowercaseLevelEncoder,
			EncodeDuration: zapcore.StringDurationEncoder, EncodeName: zapcore.FullNameEncoder,
		})
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), at)
	return zap.New(&throttle{Core: core, seen: &seen{lines: map[string]*line{}, now: time.Now}})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// throttle lets a message through a few times a minute and then once with the number of
// those it hid: a fault that repeats with every batch must not fill a disk with logs.
type throttle struct {
	zapcore.Core
	seen *seen
}

type seen struct {
	mu    sync.Mutex // guards lines
	lines map[string]*line
	now   func() time.Time
}

// line is one message's minute.
type line struct {
	began  time.Time
	passed int
	hidden int64
}

const (
	throttleSpan  = time.Minute
	throttlePass  = 3
	throttleLines = 1000 // different messages remembered
)

// With implements zapcore.Core.
func (t *throttle) With(fields []zapcore.Field) zapcore.Core {
	return &throttle{t.Core.With(fields), t.seen}
}

// Check implements zapcore.Core.
func (t *throttle) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !t.Enabled(e.Level) {
		return checked
	}
	return checked.AddCore(e, t)
}

// Write implements zapcore.Core.
func (t *throttle) Write(e zapcore.Entry, fields []zapcore.Field) error {
	pass, hidden := t.seen.pass(e.Level.String() + e.Message)
	if !pass {
		return nil
	}
	if hidden > 0 {
		fields = append(fields[:len(fields):len(fields)], zap.Int64("repeats_hidden", hidden))
	}
	return t.Core.Write(e, fields)
}

// pass tells whether a message is written now, and how many of it were hidden before.
func (s *seen) pass(message string) (pass bool, hidden int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	l := s.lines[message]
	if l == nil {
		if len(s.lines) >= throttleLines {
			clear(s.lines)
		}
		l = &line{began: now}
		s.lines[message] = l
	}
	if now.Sub(l.began) >= throttleSpan {
		hidden = l.hidden
		*l = line{began: now}
	}
	if l.passed >= throttlePass {
		l.hidden++
		return false, 0
	}
	l.passed++
	return true, hidden
}
