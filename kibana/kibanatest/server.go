package kibanatest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// User is who may do what in a fake Kibana with security.
type User struct {
	// Write and Read are of saved objects, Rules of alerting rules. Spaces are those that
	// the user may enter; nil for all.
	Read, Write, Rules bool
	Spaces             []string
}

// Answer replaces what Kibana would say.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Server is a Kibana as setup meets it: status, spaces, import and export of saved objects,
// and alerting rules. What it refuses, and in which words, is what Kibana's own source
// refuses. It is an http.Handler. Its methods may be called at once.
type Server struct {
	mu sync.Mutex // guards what follows

	version  string
	basePath string
	booting  bool
	level    string // status.overall.level
	users    map[string]User
	spaces   map[string]bool
	objects  map[ref]*object
	rules    map[string]*rule
	clock    time.Time
	ids      int

	strict   bool
	check    func(line []byte) error
	override func(*http.Request) *Answer
	writes   []string
	requests int
}

// ref names a saved object. Ids are unique over all spaces.
type ref struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// New returns a Kibana of a version, such as 8.19.21, without security and with the space
// default alone.
func New(version string) *Server {
	return &Server{
		version: version, level: "available",
		spaces:  map[string]bool{"default": true},
		objects: make(map[ref]*object),
		rules:   make(map[string]*rule),
		clock:   time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func (s *Server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// BasePath puts Kibana behind a path, such as /kibana (server.basePath, rewriteBasePath).
func (s *Server) BasePath(path string) { s.set(func() { s.basePath = path }) }

// Boot has Kibana start, or end to.
func (s *Server) Boot(booting bool) { s.set(func() { s.booting = booting }) }

// Level sets the overall status: available, degraded, unavailable or critical.
func (s *Server) Level(level string) { s.set(func() { s.level = level }) }

// Upgrade makes it a Kibana of another version, with the same objects.
func (s *Server) Upgrade(version string) { s.set(func() { s.version = version }) }

// Space adds a space.
func (s *Server) Space(id string) { s.set(func() { s.spaces[id] = true }) }

// Secure turns security on. authorization is the header of that name that is the user.
func (s *Server) Secure(authorization string, u User) {
	s.set(func() {
		if s.users == nil {
			s.users = make(map[string]User)
		}
		s.users[authorization] = u
	})
}

// Check has f look at each object of an import, as Kibana's schemas of attributes do; an
// error refuses the object.
func (s *Server) Check(f func(line []byte) error) { s.set(func() { s.check = f }) }

// Strict has each object of an import judged by Validate, together with what is in the space.
func (s *Server) Strict() { s.set(func() { s.strict = true }) }

// Override has f answer in place of Kibana where it returns something. It may wait.
func (s *Server) Override(f func(*http.Request) *Answer) { s.set(func() { s.override = f }) }

// Writes returns the requests that changed something, as "POST /path".
func (s *Server) Writes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

// Requests returns how many requests came.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// now returns a time that no earlier call returned, as Kibana writes times.
func (s *Server) now() string {
	s.clock = s.clock.Add(time.Millisecond)
	return s.clock.Format("2006-01-02T15:04:05.000Z")
}

// request is a request on its way through the server.
type request struct {
	*http.Request
	path  string // without base path and space
	space string
	user  User
	body  []byte
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	override := s.override
	s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // whoever asked is gone
	}
	if override != nil {
		if a := override(r); a != nil {
			for k, v := range a.Header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(a.Status)
			io.WriteString(w, a.Body)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("kbn-name", "fake")
	s.serve(w, &request{Request: r, body: body})
}

// boom is an error as Kibana answers it.
type boom struct {
	status     int
	message    string
	attributes any
}

func (b *boom) write(w http.ResponseWriter) {
	answer := map[string]any{"statusCode": b.status, "error": http.StatusText(b.status), "message": b.message}
	if b.attributes != nil {
		answer["attributes"] = b.attributes
	}
	writeJSON(w, b.status, answer)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(status int, format string, args ...any) *boom {
	return &boom{status: status, message: fmt.Sprintf(format, args...)}
}

// serve is what stands before every route.
//
// Source: Kibana's src/core/packages/http/server-internal (base path, xsrf, the server that
// isn't ready yet), plugins spaces (spaces in URLs) and security (401).
func (s *Server) serve(w http.ResponseWriter, r *request) {
	path, ok := strings.CutPrefix(r.URL.Path, s.basePath)
	if !ok || s.basePath != "" && !strings.HasPrefix(path, "/") {
		refuse(404, "Not Found").write(w)
		return
	}
	if s.booting {
		if path == "/api/status" && !strings.HasPrefix(s.version, "7.") {
			writeJSON(w, 503, map[string]any{"status": map[string]any{"overall": map[string]any{"level": "unavailable"}}})
			return
		}
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(503)
		io.WriteString(w, "Kibana server is not ready yet")
		return
	}
	r.path, r.space = path, "default"
	if rest, ok := strings.CutPrefix(path, "/s/"); ok {
		// Whether there is such a space isn't asked.
		space, rest, _ := strings.Cut(rest, "/")
		r.space, r.path = space, "/"+rest
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get("kbn-xsrf") == "" && r.Header.Get("kbn-version") == "" {
		refuse(400, "Request must contain a kbn-xsrf header.").write(w)
		return
	}
	known := true
	if s.users != nil {
		r.user, known = s.users[r.Header.Get("Authorization")]
	} else {
		r.user = User{Read: true, Write: true, Rules: true}
	}
	if r.path == "/api/status" && r.Method == http.MethodGet {
		s.status(w, known)
		return
	}
	if !known {
		w.Header().Set("WWW-Authenticate", `Basic realm="security", charset="UTF-8", ApiKey`)
		refuse(401, "[security_exception\n\tRoot causes:\n\t\tsecurity_exception: unable to authenticate user for REST request [/_security/_authenticate]]: unable to authenticate user for REST request [/_security/_authenticate]").write(w)
		return
	}
	if b := s.route(w, r); b != nil {
		b.write(w)
	}
}

func (s *Server) route(w http.ResponseWriter, r *request) *boom {
	space, ofSpace := strings.CutPrefix(r.path, "/api/spaces/space/")
	id, ofRule := strings.CutPrefix(r.path, "/api/alerting/rule/")
	one, ofObject := strings.CutPrefix(r.path, "/api/saved_objects/")
	switch {
	case ofSpace && r.Method == http.MethodGet:
		return s.getSpace(w, r, space)
	case ofRule && r.Method == http.MethodGet:
		return s.getRule(w, r, id)
	case ofRule && r.Method == http.MethodPost:
		return s.createRule(w, r, id)
	case r.path == "/api/saved_objects/_export" && r.Method == http.MethodPost:
		return s.export(w, r)
	case r.path == "/api/saved_objects/_import" && r.Method == http.MethodPost:
		return s.importObjects(w, r)
	case ofObject && r.Method == http.MethodDelete:
		kind, id, _ := strings.Cut(one, "/")
		return s.delete(w, r, ref{kind, id})
	}
	return refuse(404, "Not Found")
}

// status answers /api/status. Who isn't logged in is told the level alone by 8 and 9.
func (s *Server) status(w http.ResponseWriter, known bool) {
	code := 200
	if s.level == "unavailable" || s.level == "critical" {
		code = 503
	}
	version := map[string]any{"number": s.version, "build_hash": "0", "build_number": 1, "build_snapshot": false}
	switch {
	case strings.HasPrefix(s.version, "7.") && !known:
		refuse(401, "Unauthorized").write(w)
	case strings.HasPrefix(s.version, "7."):
		state := map[string]string{"available": "green", "degraded": "yellow"}[s.level]
		if state == "" {
			state = "red"
		}
		writeJSON(w, code, map[string]any{"name": "fake", "uuid": "0", "version": version, "status": map[string]any{"overall": map[string]any{"state": state, "title": state}}})
	case !known:
		writeJSON(w, code, map[string]any{"status": map[string]any{"overall": map[string]any{"level": s.level}}})
	default:
		writeJSON(w, code, map[string]any{"name": "fake", "uuid": "0", "version": version, "status": map[string]any{"overall": map[string]any{"level": s.level, "summary": "of a fake"}}})
	}
}

// enters tells whether the user may enter a space.
func (u User) enters(space string) bool { return u.Spaces == nil || slices.Contains(u.Spaces, space) }

func (s *Server) getSpace(w http.ResponseWriter, r *request, id string) *boom {
	if !r.user.enters(id) {
		return refuse(403, "Unauthorized to get %s space", id)
	}
	if !s.spaces[id] {
		return refuse(404, "Not Found")
	}
	writeJSON(w, 200, map[string]any{"id": id, "name": id, "disabledFeatures": []string{}})
	return nil
}
