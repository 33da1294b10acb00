// Package estest is a small Elasticsearch for tests of what is sent to one: it keeps
// documents by index and _id, answers _bulk and _index_template as Elasticsearch does
// (with the filter_path that the shipper uses already applied), and fails in every way
// that a test scripts.
//
// It is strict where a real server would be lenient or silent: what breaks the contract
// of _bulk is noted in Violations. It doesn't search, map or analyse anything; only tests
// import it. Its methods may be called at once.
package estest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is what goes wrong with one request. The zero value is no fault.
type Fault struct {
	// Apply is how many documents are stored before the fault shows: 0 none, All all.
	Apply int
	// Status, Body and RetryAfter replace the answer.
	Status     int
	Body       string
	RetryAfter string
	Header     map[string]string
	// Reset breaks the connection instead of an answer; Truncate after half of the
	// answer, whose Content-Length promised all of it.
	Reset, Truncate bool
	// Delay comes before the answer.
	Delay time.Duration
}

// All is the Apply of a fault after which everything is stored.
const All = int(^uint(0) >> 1)

// Refusal is the answer for one document; the zero value accepts it.
type Refusal struct {
	Status       int
	Type, Reason string
}

// Document is one document that was stored.
type Document struct {
	Index, ID string
	Source    json.RawMessage
}

// Server is the fake. It is an http.Handler, and an http.RoundTripper that needs no
// network and so goes with fake time.
type Server struct {
	mu sync.Mutex // guards what follows

	// bulk, if set, decides about the n-th _bulk request (from 0) with that many
	// documents, item about one document.
	bulk func(n, docs int) Fault
	item func(index, id string, source []byte) Refusal
	// poison, if set, makes the whole request fail with 400 that has such a document.
	poison func(source []byte) bool
	// templateStatus answers GET and PUT of templates and mappings with it, if set.
	templateStatus  map[string]int
	forbidTemplates bool
	maxBytes        int
	authorization   string
	noProduct       bool

	docs       map[string]int // by index and id, into order
	order      []Document
	templates  map[string]json.RawMessage
	mapped     map[string]bool // indices that were made by a template
	requests   int
	violations []string
}

// New returns an empty server.
func New() *Server {
	return &Server{
		docs:      make(map[string]int),
		templates: make(map[string]json.RawMessage),
		mapped:    make(map[string]bool),
	}
}

// OnBulk has f decide about each _bulk request from now on; n counts them from 0.
func (s *Server) OnBulk(f func(n, docs int) Fault) { s.set(func() { s.bulk = f }) }

// OnItem has f decide about each document from now on.
func (s *Server) OnItem(f func(index, id string, source []byte) Refusal) {
	s.set(func() { s.item = f })
}

// OnPoison has requests with a document for which f is true refused with 400 as a whole.
func (s *Server) OnPoison(f func(source []byte) bool) { s.set(func() { s.poison = f }) }

// OnTemplate has requests of that method for templates and mappings answered with the
// status; an empty map ends it.
func (s *Server) OnTemplate(statuses map[string]int) { s.set(func() { s.templateStatus = statuses }) }

// ForbidTemplates has requests for templates answered 403, and those for mappings not.
func (s *Server) ForbidTemplates() { s.set(func() { s.forbidTemplates = true }) }

// Limit has bodies above that many bytes, uncompressed, refused with 413; 0 for none.
func (s *Server) Limit(bytes int) { s.set(func() { s.maxBytes = bytes }) }

// Require has requests without that Authorization header refused with 401; "" for none.
func (s *Server) Require(authorization string) { s.set(func() { s.authorization = authorization }) }

// HideProduct leaves Elasticsearch's product header out, as OpenSearch does.
func (s *Server) HideProduct() { s.set(func() { s.noProduct = true }) }

// SetTemplate stores an index template.
func (s *Server) SetTemplate(name, body string) {
	s.set(func() { s.templates[name] = json.RawMessage(body) })
}

func (s *Server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Template returns the index template with that name, nil without one.
func (s *Server) Template(name string) json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.templates[name]
}

// Documents returns what is stored, in the order in which it came.
func (s *Server) Documents() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Len returns the number of documents that are stored.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order)
}

// Requests returns the number of _bulk requests that came.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Violations returns what broke the contract of the API.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// RoundTrip serves the request in the caller's goroutine.
func (s *Server) RoundTrip(req *http.Request) (res *http.Response, err error) {
	if req.Body == nil {
		req.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			res, err = nil, io.ErrUnexpectedEOF
		}
	}()
	s.ServeHTTP(w, req)
	return w.Result(), nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	hide, authorization := s.noProduct, s.authorization
	status, forbidden := s.templateStatus[r.Method], s.forbidTemplates
	s.mu.Unlock()
	if !hide {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
	}
	w.Header().Set("Content-Type", "application/json")
	if authorization != "" && r.Header.Get("Authorization") != authorization {
		fail(w, 401, "security_exception", "unable to authenticate user")
		return
	}
	name, isTemplate := strings.CutPrefix(r.URL.Path, "/_index_template/")
	switch {
	case r.URL.Path == "/_bulk" && r.Method == http.MethodPost:
		s.serveBulk(w, r)
	case (isTemplate || strings.HasSuffix(r.URL.Path, "/_mapping")) && status != 0:
		fail(w, status, "security_exception", "action is unauthorized for user")
	case isTemplate && forbidden:
		fail(w, 403, "security_exception", "action is unauthorized for user")
	case isTemplate:
		s.serveTemplate(w, r, name)
	case strings.HasSuffix(r.URL.Path, "/_mapping"):
		s.serveMapping(w)
	default:
		fail(w, 404, "", "no handler for "+r.Method+" "+r.URL.Path)
	}
}

func fail(w http.ResponseWriter, status int, kind, reason string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{
		"error": map[string]string{"type": kind, "reason": reason}, "status": status,
	})
}

func (s *Server) serveTemplate(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err != nil || !json.Valid(body) {
			fail(w, 400, "parse_exception", "not JSON")
			return
		}
		s.templates[name] = body
		io.WriteString(w, `{"acknowledged":true}`)
	case http.MethodGet:
		body, ok := s.templates[name]
		if !ok {
			fail(w, 404, "resource_not_found_exception", "index template matching ["+name+"] not found")
			return
		}
		fmt.Fprintf(w, `{"index_templates":[{"name":%q,"index_template":%s}]}`, name, body)
	}
}

func (s *Server) serveMapping(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := map[string]any{}
	for index := range s.mapped {
		answer[index] = map[string]any{"mappings": map[string]any{"_meta": map[string]string{"managed_by": "swarmgauge"}}}
	}
	json.NewEncoder(w).Encode(answer)
}

// action is an action line.
type action struct {
	Create *struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	} `json:"create"`
}

var (
	indexName = regexp.MustCompile(`^[a-z][a-z0-9_.-]*-\d{4}\.\d\d\.\d\d$`)
	idForm    = regexp.MustCompile(`^[A-Za-z0-9_-]{28}$`)
)

func (s *Server) violate(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

func (s *Server) serveBulk(w http.ResponseWriter, r *http.Request) {
	body, err := s.body(r)
	s.mu.Lock()
	locked := true
	defer func() {
		if locked {
			s.mu.Unlock()
		}
	}()
	n := s.requests
	s.requests++
	if err != nil {
		s.violate("body: %v", err)
		fail(w, 400, "parse_exception", err.Error())
		return
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-ndjson") {
		s.violate("content type %q", r.Header.Get("Content-Type"))
		fail(w, 406, "media_type_header_exception", "Content-Type header is not supported")
		return
	}
	if s.maxBytes > 0 && len(body) > s.maxBytes {
		w.WriteHeader(413)
		return
	}
	if !bytes.HasSuffix(body, []byte("\n")) {
		s.violate("no newline at the end")
		fail(w, 400, "illegal_argument_exception", `The bulk request must be terminated by a newline [\n]`)
		return
	}
	if s.poison != nil {
		for i, line := range bytes.Split(body, []byte("\n")) {
			if i%2 == 1 && s.poison(line) {
				fail(w, 400, "x_content_parse_exception", "the request can't be parsed")
				return
			}
		}
	}
	var fault Fault
	docs := bytes.Count(body, []byte("\n")) / 2
	if s.bulk != nil {
		fault = s.bulk(n, docs)
	}
	if fault.Status == 0 && !fault.Reset && !fault.Truncate {
		fault.Apply = All
	}
	answer := s.apply(body, fault.Apply)
	s.mu.Unlock()
	locked = false

	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if fault.Reset {
		panic(http.ErrAbortHandler)
	}
	for k, v := range fault.Header {
		w.Header().Set(k, v)
	}
	if fault.RetryAfter != "" {
		w.Header().Set("Retry-After", fault.RetryAfter)
	}
	if fault.Status != 0 {
		w.WriteHeader(fault.Status)
		io.WriteString(w, fault.Body)
		return
	}
	if fault.Truncate {
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.Write(answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	}
	w.Write(answer)
}

// body reads the request as Netty does: one gzip member, and nothing is said of what
// follows it, which is why it is a violation here.
func (s *Server) body(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	in := bufio.NewReader(r.Body)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	body, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	if rest, _ := io.Copy(io.Discard, in); rest > 0 {
		return nil, fmt.Errorf("%d bytes after the gzip member are lost", rest)
	}
	return body, nil
}

// apply stores the first limit documents of the body and returns the answer.
func (s *Server) apply(body []byte, limit int) []byte {
	errors := false
	var items bytes.Buffer
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	if len(lines)%2 != 0 {
		s.violate("%d lines", len(lines))
	}
	for i := 0; i+1 < len(lines); i += 2 {
		var a action
		if err := json.Unmarshal(lines[i], &a); err != nil || a.Create == nil {
			s.violate("action line %q", lines[i])
			continue
		}
		if !json.Valid(lines[i+1]) {
			s.violate("source line %q", lines[i+1])
		}
		if !indexName.MatchString(a.Create.Index) || !idForm.MatchString(a.Create.ID) {
			s.violate("names %q, %q", a.Create.Index, a.Create.ID)
		}
		if i/2 >= limit {
			break
		}
		refusal := s.create(a.Create.Index, a.Create.ID, lines[i+1])
		if items.Len() > 0 {
			items.WriteByte(',')
		}
		if refusal.Status == 201 {
			items.WriteString(`{"create":{"status":201}}`)
			continue
		}
		errors = true
		fmt.Fprintf(&items, `{"create":{"status":%d,"error":{"type":%q,"reason":%q}}}`, refusal.Status, refusal.Type, refusal.Reason)
	}
	return fmt.Appendf(nil, `{"errors":%t,"items":[%s]}`, errors, items.Bytes())
}

// create does op_type=create for one document.
func (s *Server) create(index, id string, source []byte) Refusal {
	if s.item != nil {
		if r := s.item(index, id, source); r.Status != 0 {
			return r
		}
	}
	key := index + "/" + id
	if _, there := s.docs[key]; there {
		return Refusal{409, "version_conflict_engine_exception", "[" + id + "]: version conflict, document already exists"}
	}
	s.docs[key] = len(s.order)
	s.order = append(s.order, Document{index, id, bytes.Clone(source)})
	if prefix, _, ok := strings.Cut(index, "-"); ok && s.templates[prefix] != nil {
		s.mapped[index] = true
	}
	return Refusal{Status: 201}
}
