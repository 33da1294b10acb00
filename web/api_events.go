package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// eventQuery is what a request for events asks for.
type eventQuery struct {
	name          string
	subcontainers bool
	actions       map[metric.Action]bool
	most          int
	start, end    time.Time
	stream        bool
}

// parseEvents reads a query as cAdvisor does, who takes what can't be read for not given.
func parseEvents(name string, query url.Values) eventQuery {
	is := func(key string) bool {
		b, _ := strconv.ParseBool(query.Get(key))
		return b
	}
	at := func(key string) time.Time {
		t, _ := time.Parse(time.RFC3339, query.Get(key))
		return t
	}
	all := is("all_events")
	q := eventQuery{
		name: name, subcontainers: is("subcontainers"), stream: is("stream"), most: 10,
		start: at("start_time"), end: at("end_time"),
		actions: map[metric.Action]bool{
			metric.Create:  all || is("creation_events"),
			metric.Destroy: all || is("deletion_events"),
			metric.OOM:     all || is("oom_events"),
			metric.OOMKill: all || is("oom_kill_events"),
		},
	}
	if n, err := strconv.Atoi(query.Get("max_events")); err == nil {
		q.most = n
	}
	return q
}

// wants tells whether o is asked for. The root stands for all containers.
func (q *eventQuery) wants(o *collector.Occurrence) bool {
	switch {
	case !q.actions[o.Action],
		!q.start.IsZero() && o.Time.Before(q.start),
		!q.end.IsZero() && o.Time.After(q.end):
		return false
	}
	return q.name == metric.Root || o.Path == q.name || q.subcontainers && strings.HasPrefix(o.Path, q.name+"/")
}

// events answers with what happened or, as a stream of lines, with what happens.
func events(a *api, w http.ResponseWriter, r *http.Request, name string) error {
	q := parseEvents(name, r.URL.Query())
	if q.stream {
		if !q.start.IsZero() || !q.end.IsZero() {
			return errors.New("for a call to watch, request.StartTime and request.EndTime must be uninitialized")
		}
		a.stream(w, r, &q)
		return nil
	}
	list := []cadvisor.Event{}
	for _, o := range a.Occurrences.Select(q.most, q.wants) {
		list = append(list, event(&o))
	}
	return respond(w, list)
}

// stream writes each event as a line when it happens, until the client leaves.
func (a *api) stream(w http.ResponseWriter, r *http.Request, q *eventQuery) {
	if !a.streams.enter(w, r) {
		return
	}
	defer a.streams.leave()
	watch := a.Occurrences.Watch()
	defer a.Occurrences.Unwatch(watch)
	w.Header()["Content-Type"] = nil // as cAdvisor: none
	out, err := newStream(w)
	if err != nil {
		return
	}
	for {
		select {
		case o := <-watch.C:
			if !q.wants(&o) {
				continue
			}
			line, err := json.Marshal(event(&o))
			if err != nil {
				return
			}
			if _, err := out.Write(append(line, '\n')); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// event returns o as cAdvisor has it.
func event(o *collector.Occurrence) cadvisor.Event {
	e := cadvisor.Event{ContainerName: o.Path, Timestamp: o.Time, EventType: cadvisor.EventType(o.Action)}
	switch o.Action {
	case metric.Destroy:
		e.EventData.Deletion = &cadvisor.DeletionData{ExitCode: o.ExitCode}
	case metric.OOMKill:
		e.EventData.OOM = &cadvisor.OOMData{Constraint: "CONSTRAINT_NONE"}
		if o.AtLimit {
			e.EventData.OOM.Constraint = "CONSTRAINT_MEMCG"
		}
	}
	return e
}
