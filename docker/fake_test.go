package docker

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/swarm"
)

// A fakeEngine answers on a unix socket as Docker does, with what testdata recorded of a
// real one: the version of the API, one container's inspection, the node, and events,
// which it remembers and replays as the engine does.
type fakeEngine struct {
	tb      testing.TB
	socket  string
	version string // of the API
	oldest  string // version that it speaks, "" for any

	mu        sync.Mutex // guards all below
	server    *http.Server
	requests  map[string]int    // by kind, as in "inspect"
	inspects  map[string][]byte // by id
	info      []byte
	past      []events.Message
	listeners map[chan events.Message]bool
	refuse    int // status for events, 0 for none
	swarm     fakeSwarm
	df        string // what /system/df answers
	asked     string // for which parts of it
}

// fakeSwarm is what the engine knows of a Swarm: nothing, unless it's a manager.
type fakeSwarm struct {
	manager  bool
	refuse   string // what it says instead of an answer, "" for answers
	nodes    []swarm.Node
	services []swarm.Service
	tasks    []swarm.Task
}

// startFake starts a fake of one of engines().
func startFake(tb testing.TB, engine string) *fakeEngine {
	tb.Helper()
	f := &fakeEngine{
		tb:        tb,
		socket:    filepath.Join(tb.TempDir(), "docker.sock"),
		version:   map[string]string{"20.10": "1.41", "26.1": "1.45", "28.5": "1.51"}[engine],
		requests:  map[string]int{},
		inspects:  map[string][]byte{},
		info:      fixture(tb, engine, "info.json"),
		listeners: map[chan events.Message]bool{},
	}
	tb.Cleanup(f.stop)
	f.start()
	return f
}

func (f *fakeEngine) host() string { return "unix://" + f.socket }

func (f *fakeEngine) start() {
	f.tb.Helper()
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		f.tb.Fatal(err)
	}
	server := &http.Server{Handler: f}
	f.mu.Lock()
	f.server = server
	f.mu.Unlock()
	go server.Serve(l)
}

// stop ends the engine and cuts all connections.
func (f *fakeEngine) stop() {
	f.mu.Lock()
	server := f.server
	f.mu.Unlock()
	server.Close()
	os.Remove(f.socket)
}

// add makes the container of testdata known to the engine.
func (f *fakeEngine) add(engine, name string) (path string) {
	f.tb.Helper()
	var all []json.RawMessage
	if err := json.Unmarshal(fixture(f.tb, engine, name, "inspect.json"), &all); err != nil {
		f.tb.Fatal(err)
	}
	id := told(f.tb, engine, name).ID
	f.set(id, all[0])
	return "/docker/" + id
}

// set sets what an inspection of id answers; nil for not found.
func (f *fakeEngine) set(id string, answer []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inspects[id] = answer
}

// tell makes an event happen.
func (f *fakeEngine) tell(m events.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.past = append(f.past, m)
	for l := range f.listeners {
		l <- m
	}
}

// count returns how often something was asked for.
func (f *fakeEngine) count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[kind]
}

func (f *fakeEngine) listening() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.listeners)
}

func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", f.version)
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/_ping" {
		f.note("ping")
		return
	}
	m := regexp.MustCompile(`^/v(1\.\d+)(/.*)$`).FindStringSubmatch(r.URL.Path)
	if m == nil || minor(m[1]) > minor(f.version) {
		f.note("refused")
		f.fail(w, http.StatusBadRequest, "client version "+r.URL.Path+" is too new. Maximum supported API version is "+f.version)
		return
	}
	if minor(m[1]) < minor(f.oldest) {
		f.note("refused")
		f.fail(w, http.StatusBadRequest, "client version "+m[1]+" is too old. Minimum supported API version is "+f.oldest)
		return
	}
	if id, ok := strings.CutPrefix(m[2], "/containers/"); ok {
		f.note("inspect")
		f.mu.Lock()
		answer := f.inspects[strings.TrimSuffix(id, "/json")]
		f.mu.Unlock()
		if answer == nil {
			f.fail(w, http.StatusNotFound, "No such container: "+id)
			return
		}
		w.Write(answer)
		return
	}
	switch m[2] {
	case "/nodes", "/services", "/tasks":
		f.note(m[2][1:])
		f.cluster(w, r, m[2])
	case "/info":
		f.note("info")
		w.Write(f.info)
	case "/system/df":
		f.note("df")
		types := r.URL.Query()["type"]
		slices.Sort(types)
		f.asked = strings.Join(types, ",")
		w.Write([]byte(f.df))
	case "/events":
		f.note("events")
		f.events(w, r)
	default:
		f.note("other")
		f.fail(w, http.StatusNotFound, "page not found")
	}
}

func minor(version string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(version, "1."))
	return n
}

func (f *fakeEngine) note(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests[kind]++
}

func (f *fakeEngine) fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "{\"message\":%q}\n", message)
}

// cluster answers about the Swarm as an engine does.
func (f *fakeEngine) cluster(w http.ResponseWriter, r *http.Request, path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.swarm
	if !s.manager {
		f.fail(w, http.StatusServiceUnavailable, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
		return
	}
	if s.refuse != "" {
		f.fail(w, http.StatusInternalServerError, s.refuse)
		return
	}
	var filters map[string]map[string]bool
	if text := r.URL.Query().Get("filters"); text != "" {
		if err := json.Unmarshal([]byte(text), &filters); err != nil {
			f.fail(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	var answer any
	switch path {
	case "/nodes":
		answer = slices.DeleteFunc(slices.Clone(s.nodes), func(n swarm.Node) bool {
			return filters["role"] != nil && !filters["role"][string(n.Spec.Role)]
		})
	case "/services":
		services := slices.Clone(s.services)
		for i := range services {
			if r.URL.Query().Get("status") != "true" {
				services[i].ServiceStatus = nil
			}
		}
		answer = services
	case "/tasks":
		answer = slices.DeleteFunc(slices.Clone(s.tasks), func(t swarm.Task) bool {
			return filters["service"] != nil && !filters["service"][t.ServiceID]
		})
	}
	json.NewEncoder(w).Encode(answer)
}

// setSwarm changes what the engine knows of the Swarm.
func (f *fakeEngine) setSwarm(change func(*fakeSwarm)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.swarm)
}

func (f *fakeEngine) events(w http.ResponseWriter, r *http.Request) {
	var filters map[string]map[string]bool
	if err := json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters); err != nil {
		f.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	sec, nsec, _ := strings.Cut(r.URL.Query().Get("since"), ".")
	seconds, err := strconv.ParseInt(sec, 10, 64)
	nanos, err2 := strconv.ParseInt(nsec, 10, 64)
	if err != nil || err2 != nil || len(nsec) != 9 {
		f.fail(w, http.StatusBadRequest, "since "+r.URL.Query().Get("since"))
		return
	}
	since := seconds*1e9 + nanos

	live := make(chan events.Message, 1000)
	f.mu.Lock()
	refuse := f.refuse
	past := f.past[max(0, len(f.past)-256):]
	if refuse == 0 {
		f.listeners[live] = true
	}
	f.mu.Unlock()
	if refuse != 0 {
		f.fail(w, refuse, "not you")
		return
	}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, live)
	}()
	out := json.NewEncoder(w)
	send := func(m events.Message) {
		action, _, _ := strings.Cut(string(m.Action), ":")
		if filters["type"][string(m.Type)] && (filters["event"][string(m.Action)] || filters["event"][action]) {
			out.Encode(m)
		}
		w.(http.Flusher).Flush()
	}
	w.(http.Flusher).Flush()
	for _, m := range past {
		if m.TimeNano >= since {
			send(m)
		}
	}
	for {
		select {
		case m := <-live:
			send(m)
		case <-r.Context().Done():
			return
		}
	}
}
