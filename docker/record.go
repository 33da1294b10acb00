package docker

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A record is what is wanted of the engine's record of a container, config.v2.json. The
// field names are the engine's, and have been the same since Docker 1.10. There is no
// field for the command line, where secrets may be; of the environment, where they are,
// only what was asked for is taken.
//
// With the containerd image store Image is the digest of the image's manifest, without
// it that of the image's configuration.
type record struct {
	ID           string
	Name         string // with a leading slash
	Created      string // times are RFC 3339, the year 1 for never
	Image        string // digest
	RestartCount int
	State        state
	Config       struct {
		Image       string // as it was asked for
		Labels      map[string]string
		Env         environment
		Healthcheck *healthcheck
	}
}

// state is a container's state. While the engine waits to start a container again
// Running and Restarting both are set.
type state struct {
	Running, Paused, Restarting, OOMKilled bool
	RemovalInProgress, Dead                bool
	Pid, ExitCode                          int
	StartedAt, FinishedAt                  string
	Health                                 *health
}

// health is the health of a container with a health check. Up to Docker 20.10 the record
// is written after each probe; later engines write it only when something else changes,
// and leave the word "starting" there for the life of the container.
type health struct {
	Status        string
	FailingStreak int                    // failed probes since the last one that didn't
	Log           []struct{ End string } // the last probes, oldest first
}

// healthcheck has a check's times in ns, 0 for the engine's default.
type healthcheck struct{ Interval, Timeout time.Duration }

// decodeRecord reads the contents of config.v2.json of the container id, and of its
// environment the variables whose keys begin with one of the prefixes.
func decodeRecord(b []byte, id string, env []string) (*record, error) {
	r := new(record)
	r.Config.Env.prefixes = env
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	if r.ID != id {
		return nil, fmt.Errorf("it is the record of container %q", clean(r.ID, maxText))
	}
	return r, nil
}

// decodeNetworkMode reads the contents of hostconfig.json. "default" has been "bridge"
// on Linux ever since, and newer engines write that.
func decodeNetworkMode(b []byte) (string, error) {
	var host struct{ NetworkMode string }
	if err := json.Unmarshal(b, &host); err != nil {
		return "", err
	}
	return networkMode(host.NetworkMode), nil
}

func networkMode(mode string) string {
	if mode == "default" {
		return "bridge"
	}
	return clean(mode, maxText)
}

// container returns what r says, without health, which has its own rules, and the
// network mode, which is in another file.
func (r *record) container(path string) *metric.Container {
	c := &metric.Container{
		Path:         path,
		Runtime:      runtimeDocker,
		ID:           r.ID,
		Name:         clean(strings.TrimPrefix(r.Name, "/"), maxText),
		Image:        clean(r.Config.Image, maxText),
		ImageID:      clean(r.Image, maxText),
		Labels:       labels(r.Config.Labels),
		Env:          r.Config.Env.labels(strings.ToLower), // as cAdvisor does it
		Created:      parseTime(r.Created),
		Started:      parseTime(r.State.StartedAt),
		RestartCount: r.RestartCount,
		State:        r.State.word(),
		PID:          r.State.Pid,
		Swarm:        swarmOf(r.Config.Labels),
	}
	switch c.State {
	case "exited", "dead", "restarting", "removing":
		c.Exit = &metric.Exit{
			Code:      r.State.ExitCode,
			OOMKilled: r.State.OOMKilled,
			At:        parseTime(r.State.FinishedAt),
		}
	}
	return c
}

// word returns the state in one word, as the engine's API has it.
func (s *state) word() string {
	switch {
	case s.Running && s.Paused:
		return "paused"
	case s.Running && s.Restarting:
		return "restarting"
	case s.Running:
		return "running"
	case s.RemovalInProgress:
		return "removing"
	case s.Dead:
		return "dead"
	case parseTime(s.StartedAt).IsZero():
		return "created"
	}
	return "exited"
}

// probed returns when the last health probe in the record ended, zero without one.
func (r *record) probed() time.Time {
	h := r.State.Health
	if h == nil || len(h.Log) == 0 {
		return time.Time{}
	}
	return parseTime(h.Log[len(h.Log)-1].End)
}

// nextProbe returns the longest time from one probe's end to the next one's.
func (r *record) nextProbe() time.Duration {
	const (
		byDefault = 30 * time.Second // the engine's, for both
		slack     = 5 * time.Second
		longest   = 24 * time.Hour
	)
	interval, timeout := byDefault, byDefault
	if c := r.Config.Healthcheck; c != nil {
		if c.Interval > 0 {
			interval = min(c.Interval, longest)
		}
		if c.Timeout > 0 {
			timeout = min(c.Timeout, longest)
		}
	}
	return interval + timeout + slack
}

// parseTime returns the zero time for a text that is no time.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
