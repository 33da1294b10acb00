package docker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/swarmgauge/swarmgauge/metric"
)

const (
	// askTimeout bounds one request: an engine under load may take seconds.
	askTimeout = 10 * time.Second
	// silence is how long an engine that didn't answer isn't asked again, so that 300
	// containers don't wait for it one by one.
	silence = 5 * time.Second
	// recheckWatched and recheckUnwatched are how long an answer of the engine holds,
	// with and without its events, which tell of every change.
	recheckWatched   = 10 * time.Minute
	recheckUnwatched = 30 * time.Second
	// recheckFailing is how long it holds of a container whose health checks fail: events
	// don't tell of each.
	recheckFailing = time.Minute
)

// A socket is the engine's API. The version of the API is negotiated anew with each
// connection of the watcher, since the engine may have been replaced in between: from
// 1.40 (Docker 19.03) to the newest that both know.
type socket struct {
	host string
	tls  *TLS
	env  []string // prefixes of the variables to take; see environment

	mu      sync.Mutex     // guards all below; never held across a request
	client  *client.Client // nil before the first request
	watched bool           // events come
	silent  *silentError   // the last request's failure, nil if it was answered
	since   time.Time      // of silent
}

// A silentError says that the engine doesn't answer.
type silentError struct {
	host string
	err  error
}

func (e *silentError) Error() string {
	return fmt.Sprintf("the engine doesn't answer at %s: %s", e.host, strings.ReplaceAll(e.err.Error(), "\n", " "))
}

func (e *silentError) Unwrap() error { return e.err }

func newSocket(host string, tls *TLS, env []string) *socket {
	return &socket{host: host, tls: tls, env: env}
}

// connect returns a new client that has agreed on a version with the engine, and makes
// it the one that all requests use from then on.
func (s *socket) connect(ctx context.Context) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	options := []client.Opt{client.WithHost(s.host)}
	if s.tls != nil {
		options = append(options, client.WithTLSClientConfig(s.tls.CA, s.tls.Cert, s.tls.Key))
	}
	c, err := client.New(options...)
	if err == nil {
		_, err = c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if c != nil {
			c.Close()
		}
		s.answered(err)
		return nil, &silentError{s.host, err}
	}
	if s.client != nil {
		s.client.Close()
	}
	s.client = c
	s.answered(nil)
	return c, nil
}

// apiVersion returns the version that was agreed on, "" before that.
func (s *socket) apiVersion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return ""
	}
	return s.client.ClientVersion()
}

// use returns the client for a request.
func (s *socket) use(ctx context.Context) (*client.Client, error) {
	s.mu.Lock()
	c, silent := s.client, s.silent
	if silent != nil && time.Since(s.since) > silence {
		silent = nil
	}
	s.mu.Unlock()
	if silent != nil {
		return nil, silent
	}
	if c == nil {
		return s.connect(ctx)
	}
	return c, nil
}

// answered notes whether the engine answers. s.mu is held.
func (s *socket) answered(err error) {
	if err == nil {
		s.silent = nil
		return
	}
	s.silent, s.since = &silentError{s.host, err}, time.Now()
}

// failed notes that a request failed with err, unless it was the caller who gave up.
func (s *socket) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered(err)
	return s.silent
}

// inspected is the engine's answer about a container.
type inspected struct {
	record      record
	networkMode string
}

// container returns the container as the API of a runtime told it.
func (in *inspected) container(path, runtime string) *metric.Container {
	c := in.record.container(path)
	c.Runtime = runtime
	c.NetworkMode = in.networkMode
	if h := in.record.State.Health; h != nil && in.record.State.Running {
		c.Health, c.FailingStreak = h.told()
	}
	return c
}

// inspect asks the engine about the container id; errNoContainer is one of its answers.
func (s *socket) inspect(ctx context.Context, id string) (inspected, error) {
	c, err := s.use(ctx)
	if err != nil {
		return inspected{}, err
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	result, err := c.ContainerInspect(asking, id, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return inspected{}, errNoContainer
	}
	if err != nil {
		return inspected{}, s.failed(ctx, err)
	}
	clear(result.Raw) // the environment was in it
	return fromResponse(&result.Container, s.env), nil
}

// fromResponse keeps the same of the API's answer as of the record on disk.
func fromResponse(a *container.InspectResponse, env []string) inspected {
	in := inspected{record: record{
		ID:           a.ID,
		Name:         a.Name,
		Created:      a.Created,
		Image:        a.Image,
		RestartCount: a.RestartCount,
	}}
	r := &in.record
	if a.Config != nil {
		r.Config.Image, r.Config.Labels = a.Config.Image, a.Config.Labels
		r.Config.Env.prefixes = env
		for _, variable := range a.Config.Env {
			r.Config.Env.take(variable)
		}
	}
	if a.HostConfig != nil {
		in.networkMode = networkMode(string(a.HostConfig.NetworkMode))
	}
	if a.State != nil {
		r.State = state{
			Running:           a.State.Running,
			Paused:            a.State.Paused,
			Restarting:        a.State.Restarting,
			OOMKilled:         a.State.OOMKilled,
			RemovalInProgress: a.State.Status == container.StateRemoving,
			Dead:              a.State.Dead,
			Pid:               a.State.Pid,
			ExitCode:          a.State.ExitCode,
			StartedAt:         a.State.StartedAt,
			FinishedAt:        a.State.FinishedAt,
		}
		if a.State.Health != nil {
			r.State.Health = &health{Status: string(a.State.Health.Status), FailingStreak: a.State.Health.FailingStreak}
		}
	}
	return in
}

// info asks the engine about itself.
func (s *socket) info(ctx context.Context) (system.Info, error) {
	c, err := s.use(ctx)
	if err != nil {
		return system.Info{}, err
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	result, err := c.Info(asking, client.InfoOptions{})
	if err != nil {
		return system.Info{}, s.failed(ctx, err)
	}
	return result.Info, nil
}

// setWatched notes whether events come.
func (s *socket) setWatched(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = on
}

// recheck returns until when an answer of now holds, about a container of which the last
// health checks have failed in a row.
func (s *socket) recheck(now time.Time, failing int) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.watched:
		return now.Add(recheckUnwatched)
	case failing > 0:
		return now.Add(recheckFailing)
	}
	return now.Add(recheckWatched)
}

func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		s.client.Close()
	}
}
