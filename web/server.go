// Package web serves what the agent has over HTTP, read-only: how it is (/healthz), and the
// numbers of the containers and of itself (/metrics).
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
	// Prefix stands before all paths, as "/gauge"; "" for none.
	Prefix string
	// MetricsPath is where metrics are, "/metrics" if empty.
	MetricsPath string
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
// and another one than HealthPath.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+o.Prefix+HealthPath, func(w http.ResponseWriter, r *http.Request) { serveHealth(w, r, o.Health()) })
	mux.Handle("GET "+o.Prefix+cmp.Or(o.MetricsPath, DefaultMetricsPath), newMetrics(o))
	if o.API != nil {
		mux.Handle(o.Prefix+apiPath, &api{o.API})
	}
	return mux
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
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
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
