package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// requestsV1 returns those requests of API v1 that a version has.
func requestsV1(names ...string) map[string]request {
	all := map[string]request{
		"containers": containersV1, "docker": dockerV1, "events": events,
		"machine": machine, "subcontainers": subcontainersV1,
	}
	requests := map[string]request{}
	for _, name := range names {
		requests[name] = all[name]
	}
	return requests
}

// containersV1 answers with one container.
func containersV1(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	wanted, err := readBody(r)
	if err != nil {
		return err
	}
	n := &answer{a: a}
	if err := n.load(r, wanted.query(name)); err != nil {
		return fmt.Errorf("failed to get container %q with error: %w", name, err)
	}
	w.Header().Set("Content-Type", "application/json")
	n.text = n.appendInfo(n.text, wanted)
	w.Write(n.text) // the client went away: nobody to tell
	return nil
}

// subcontainersV1 answers with an array of the container and all below it.
func subcontainersV1(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	wanted, err := readBody(r)
	if err != nil {
		return err
	}
	all, err := a.List(r.Context(), nil)
	if err != nil {
		return err
	}
	paths := below(all, name)
	if len(paths) == 0 {
		return fmt.Errorf("failed to get subcontainers for container %q with error: no containers found", name)
	}
	(&answer{a: a}).write(w, r, paths, '[', ']', wanted)
	return nil
}

// dockerV1 answers with an object of Docker's containers, or of one of them, by path.
func dockerV1(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	wanted, err := readBody(r)
	if err != nil {
		return err
	}
	all, err := a.List(r.Context(), nil)
	if err != nil {
		return err
	}
	paths := ofRuntime(all, "docker")
	if name != metric.Root {
		id := strings.TrimPrefix(name, "/")
		if strings.Contains(id, "/") {
			return fmt.Errorf("unknown request for Docker container %v", strings.Split(id, "/"))
		}
		c, err := find(all, "docker", id)
		if err != nil {
			return fmt.Errorf("failed to get Docker container %q with error: %w", id, err)
		}
		paths = []string{c.Path}
	}
	(&answer{a: a}).write(w, r, paths, '{', '}', wanted)
	return nil
}

// write writes containers one after the other, as the array or the object (by path) that
// open and end make. One that has gone meanwhile is left out.
func (n *answer) write(w http.ResponseWriter, r *http.Request, paths []string, open, end byte, wanted samplesWanted) {
	w.Header().Set("Content-Type", "application/json")
	n.text = append(n.text[:0], open)
	for _, path := range paths {
		if n.load(r, wanted.query(path)) != nil {
			continue
		}
		if len(n.text) == 0 || n.text[len(n.text)-1] != open {
			n.text = append(n.text, ',')
		}
		if open == '{' {
			n.text = append(cadvisor.AppendString(n.text, path), ':')
		}
		n.text = n.appendInfo(n.text, wanted)
		if _, err := w.Write(n.text); err != nil {
			return // the client went away
		}
		n.text = n.text[:0]
	}
	w.Write(append(n.text, end))
}

// query asks for the samples that are wanted. In a window, which of them are the newest
// shows only in the copy.
func (s *samplesWanted) query(path string) collector.Query {
	count := s.NumStats
	if !s.Start.IsZero() || !s.End.IsZero() {
		count = -1
	}
	return collector.Query{Path: path, Count: count, MaxAge: -1}
}

// has tells whether a sample lies in the window.
func (s *samplesWanted) has(at int64) bool {
	t := time.Unix(0, at)
	return (s.Start.IsZero() || !t.Before(s.Start)) && (s.End.IsZero() || !t.After(s.End))
}

// appendInfo appends the container that was loaded.
func (n *answer) appendInfo(dst []byte, wanted samplesWanted) []byte {
	c := n.history.Container
	info := cadvisor.ContainerInfo{ID: c.ID, Name: c.Path, Aliases: cadvisor.Aliases(c), Namespace: c.Runtime, Spec: n.spec()}
	if c.ID == "" {
		for _, child := range n.a.Children(c.Path) {
			info.Subcontainers = append(info.Subcontainers, cadvisor.Reference{Name: path.Join(c.Path, child)})
		}
	}
	head, err := json.Marshal(&info)
	if err != nil {
		return dst // strings, numbers and times of this millennium: can't be
	}
	dst = append(dst, head[:len(head)-1]...)

	inWindow, skip := 0, 0
	if wanted.NumStats >= 0 {
		n.history.Each(func(s *metric.Sample) bool {
			if wanted.has(s.Time) {
				inWindow++
			}
			return true
		})
		skip = max(0, inWindow-wanted.NumStats)
	}
	written := 0
	n.history.Each(func(s *metric.Sample) bool {
		if !wanted.has(s.Time) {
			return true
		}
		if skip > 0 {
			skip--
			return true
		}
		if written++; written == 1 {
			dst = append(dst, `,"stats":[`...)
		} else {
			dst = append(dst, ',')
		}
		n.fill(s)
		n.stats.Complete()
		dst = n.stats.AppendJSON(dst)
		return true
	})
	if written > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}
