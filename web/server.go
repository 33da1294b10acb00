// Package web serves what the agent has over HTTP, read-only: how it is (/healthz), the
// numbers of the containers and of itself (/metrics), pages for people, and a report on the
// machine (/validate/).
//
// It measures nothing and asks nobody: what it shows is given to it as functions, which
// any number of requests may call at once.
package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Health is how the agent is.
type Health struct {
	// Alive tells that samples are being taken. An agent that isn't alive answers
	// /healthz with 503 and should be started again.
	Alive bool `json:"alive"`
	// Status is "ok", or "degraded" while something is in the way that a person can
	// mend: sampling goes on, and nothing is lost within the spool's budget.
	Status string `json:"status"`
	// Problems are sentences that say what is wrong and what mends it.
	Problems []string `json:"problems,omitempty"`
	// Notes are sentences about numbers that this node can't give, and why.
	Notes []string `json:"notes,omitempty"`
	// Collection and Delivery are the state of the two halves.
	Collection any `json:"collection"`
	Delivery   any `json:"delivery"`
}

// Options are what a server shows.
type Options struct {
	Health func() Health
	// Metrics are the agent's own.
	Metrics func() []Family
	// Containers are those of the containers; nil for none.
	Containers *Containers
	// API is cAdvisor's REST API; nil for none.
	API *API
	Log *zap.Logger
	// Sampled is closed when there are samples to show; nil where there are. Requests wait
	// for it, but not for long.
	Sampled <-chan struct{}
	// Prefix stands before all paths, as "/gauge"; "" for none.
	Prefix string
	// MetricsPath is where metrics are, "/metrics" if empty.
	MetricsPath string

	// Auth lets in who knows a password; nil lets everybody in. The bare health check
	// is for everybody.
	Auth *Auth
	// AuthPagesOnly asks for a password on the pages and their files alone, as
	// cAdvisor does, and leaves the numbers themselves open.
	AuthPagesOnly bool
	// Hosts are the names that requests may ask for, with or without a port; none for
	// all. The bare health check is answered under any.
	Hosts []string
	// Profiling serves /debug/pprof/.
	Profiling bool
	// Validate reports on the machine; nil for no report.
	Validate func(context.Context) Report
	// Recent fills in the newest two samples of a cgroup for the pages, or fails where
	// there is none; nil for pages without rates.
	Recent func(ctx context.Context, path string, r *Recent) error
}

// Limits of one connection: a slow or greedy client must not cost memory or descriptors
// that sampling needs.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second
	idleTimeout    = 60 * time.Second
	maxHeaderBytes = 16 << 10
	shutdownTime   = 2 * time.Second
)

// Paths of the routes below the prefix.
const (
	HealthPath         = "/healthz"
	DefaultMetricsPath = "/metrics"
	apiPath            = "/api/"
)

// Handler returns the routes. Prefix and MetricsPath are clean paths that have no braces,
// and MetricsPath is none that Reserved knows.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	expensive := newExpensiveGate()
	mux.HandleFunc(o.Prefix+HealthPath, func(w http.ResponseWriter, r *http.Request) { serveHealth(w, r, o.Health()) })
	mux.Handle(o.Prefix+cmp.Or(o.MetricsPath, DefaultMetricsPath), o.afterFirst(expensive.wrap(newMetrics(o))))
	if o.API != nil {
		mux.Handle(o.Prefix+apiPath, o.afterFirst(&api{API: o.API, expensive: expensive, streams: newStreamGate()}))
	}
	o.routeAround(mux, expensive)
	return o.guard(mux)
}

// Serve answers on l until ctx ends; it closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       markOverLimit,
		// Streams end with ctx.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(limitConnections(l)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(limited); err != nil {
		server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveHealth answers as cAdvisor does, with two bytes, or in detail with ?details.
func serveHealth(w http.ResponseWriter, r *http.Request, h Health) {
	status := http.StatusOK
	if !h.Alive {
		status = http.StatusServiceUnavailable
	}
	if r.URL.Query().Has("details") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.Encode(h) // the client went away: nobody to tell
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if h.Alive {
		w.Write([]byte("ok"))
		return
	}
	for _, problem := range h.Problems {
		w.Write([]byte(problem + "\n"))
	}
}
