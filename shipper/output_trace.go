package shipper

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"
)

// steps are those of a request, as far as it got.
type steps struct {
	lookup  span
	host    string   // that was looked up
	found   []string // its IP addresses
	connect span
	peer    string // IP address and port that there is a connection to
	shake   span
	tls     tls.ConnectionState
	answer  span // from the end of the request to the first byte
}

// span is the time of one step; end is zero if the step didn't succeed.
type span struct{ begin, end time.Time }

func (s span) done() bool          { return !s.end.IsZero() }
func (s span) took() time.Duration { return s.end.Sub(s.begin) }

// tracer notes the steps of a request.
type tracer struct {
	mu    sync.Mutex // guards what follows; several connections are tried at once
	steps steps
	dials map[string]time.Time // begun, by address
}

// seen returns the steps so far.
func (t *tracer) seen() steps {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.steps
	s.found = slices.Clone(s.found)
	return s
}

// trace returns a context for one request, whose steps the tracer notes.
func (t *tracer) trace(ctx context.Context) context.Context {
	t.dials = make(map[string]time.Time)
	note := func(f func(s *steps, now time.Time)) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f(&t.steps, time.Now())
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) {
			note(func(s *steps, now time.Time) { s.host, s.lookup.begin = i.Host, now })
		},
		DNSDone: func(i httptrace.DNSDoneInfo) {
			note(func(s *steps, now time.Time) {
				if i.Err == nil {
					s.lookup.end = now
				}
				for _, a := range i.Addrs {
					s.found = append(s.found, a.String())
				}
			})
		},
		ConnectStart: func(_, addr string) {
			note(func(_ *steps, now time.Time) { t.dials[addr] = now })
		},
		ConnectDone: func(_, addr string, err error) {
			note(func(s *steps, now time.Time) {
				if err == nil && !s.connect.done() {
					s.peer, s.connect = addr, span{t.dials[addr], now}
				}
			})
		},
		TLSHandshakeStart: func() {
			note(func(s *steps, now time.Time) { s.shake.begin = now })
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			note(func(s *steps, now time.Time) {
				if err == nil {
					s.tls, s.shake.end = state, now
				}
			})
		},
		WroteRequest: func(httptrace.WroteRequestInfo) {
			note(func(s *steps, now time.Time) { s.answer.begin = now })
		},
		GotFirstResponseByte: func() {
			note(func(s *steps, now time.Time) { s.answer.end = now })
		},
	})
}
