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
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
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
	// Longer is how many bytes the answer has beyond its Content-Length; it needs a
	// connection of HTTP/1.
	Longer int
	// Items is how many items the answer has too many, or too few if it is negative.
	Items int
	// Delay comes before the answer, Drip before each byte of it.
	Delay, Drip time.Duration
}

// All is the Apply of a fault after which everything is stored.
const All = int(^uint(0) >> 1)

// Refusal is the answer for one document; the zero value accepts it.
type Refusal struct {
	Status       int
	Type, Reason string
	// FailureStore has the document taken into the failure store: Elasticsearch says
	// 201, and it isn't in the index.
	FailureStore bool
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
	// templateStatus answers requests of that method for templates with it, if set.
	templateStatus map[string]int
	maxBytes       int
	bytesPerSecond int
	authorization  string
	noProduct      bool
	version        string
	behind         map[string]string // the indices behind names that are aliases

	docs       map[key]struct{}
	order      []Document
	idsOnly    bool // nothing is added to order
	shorten    func(source []byte) []byte
	failed     int // documents in the failure store
	templates  map[string]json.RawMessage
	mapped     map[string]bool   // whether an index was made by a template
	names      map[string]string // of indices, each once
	requests   int
	violations []string
}

// key is what Elasticsearch keeps unique: an _id within an index. The _ids are those of the
// shipper, so that many millions of them can be kept.
type key struct {
	index string // one string for all of an index
	id    [21]byte
}

// New returns an empty server.
func New() *Server {
	return &Server{
		docs:      make(map[key]struct{}),
		templates: make(map[string]json.RawMessage),
		mapped:    make(map[string]bool),
		names:     make(map[string]string),
		behind:    make(map[string]string),
		version:   "8.19.7",
	}
}

// KeepIDs has only indices and _ids be kept from now on, and sources neither kept nor
// parsed: hundreds of thousands of documents a second, some tens of bytes each.
func (s *Server) KeepIDs() { s.set(func() { s.idsOnly = true }) }

// Shorten has what f makes of each source be kept instead of it from now on; f must not keep
// or return what it is given.
func (s *Server) Shorten(f func(source []byte) []byte) { s.set(func() { s.shorten = f }) }

// OnBulk has f decide about each _bulk request from now on; n counts them from 0.
func (s *Server) OnBulk(f func(n, docs int) Fault) { s.set(func() { s.bulk = f }) }

// OnItem has f decide about each document from now on.
func (s *Server) OnItem(f func(index, id string, source []byte) Refusal) {
	s.set(func() { s.item = f })
}

// OnPoison has requests with a document for which f is true refused with 400 as a whole.
func (s *Server) OnPoison(f func(source []byte) bool) { s.set(func() { s.poison = f }) }

// OnTemplate has requests of that method for templates answered with the status; an empty
// map ends it.
func (s *Server) OnTemplate(statuses map[string]int) { s.set(func() { s.templateStatus = statuses }) }

// Alias has documents for the index name go to another one from now on, as an alias or a
// data stream does. If it is rolled over, that is called again with another index, which has
// no objection to an _id that the one before has.
func (s *Server) Alias(name, index string) { s.set(func() { s.behind[name] = index }) }

// Read has requests read at that pace, in bytes per second; 0 for at once.
func (s *Server) Read(bytesPerSecond int) { s.set(func() { s.bytesPerSecond = bytesPerSecond }) }

// Limit has bodies above that many bytes, uncompressed, refused with 413; 0 for none.
func (s *Server) Limit(bytes int) { s.set(func() { s.maxBytes = bytes }) }

// Require has requests without that Authorization header refused with 401; "" for none.
func (s *Server) Require(authorization string) { s.set(func() { s.authorization = authorization }) }

// HideProduct leaves Elasticsearch's product header out, as OpenSearch does.
func (s *Server) HideProduct() { s.set(func() { s.noProduct = true }) }

// Version has the server say that it is of that version from now on.
func (s *Server) Version(number string) { s.set(func() { s.version = number }) }

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

// Documents returns what is stored, in the order in which it came, but for what came after
// KeepIDs.
func (s *Server) Documents() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Len returns the number of documents that are stored.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.docs)
}

// Forget deletes a document, as a server does that crashes before it has written it down.
func (s *Server) Forget(index, id string) {
	s.set(func() {
		k := key{index: index}
		base64.RawURLEncoding.Decode(k.id[:], []byte(id))
		delete(s.docs, k)
		s.order = slices.DeleteFunc(s.order, func(d Document) bool { return d.Index == index && d.ID == id })
	})
}

// DeleteIndex deletes an index with its documents.
func (s *Server) DeleteIndex(index string) {
	s.set(func() {
		delete(s.mapped, index)
		maps.DeleteFunc(s.docs, func(k key, _ struct{}) bool { return k.index == index })
		s.order = slices.DeleteFunc(s.order, func(d Document) bool { return d.Index == index })
	})
}

// FailureStore returns the number of documents in the failure store.
func (s *Server) FailureStore() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
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
	status, version := s.templateStatus[r.Method], s.version
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
	case r.URL.Path == "/" && r.Method == http.MethodGet:
		fmt.Fprintf(w, `{"cluster_name":"fake","cluster_uuid":"fake","version":{"number":%q}}`, version)
	case r.URL.Path == "/_bulk" && r.Method == http.MethodPost:
		s.serveBulk(w, r)
	case isTemplate && status != 0:
		fail(w, status, "security_exception", "action is unauthorized for user")
	case isTemplate:
		s.serveTemplate(w, r, name)
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

var indexName = regexp.MustCompile(`^[a-z][a-z0-9_.-]*-\d{4}\.\d\d\.\d\d$`)

func (s *Server) violate(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

func (s *Server) serveBulk(w http.ResponseWriter, r *http.Request) {
	body, err := s.body(r)
	fault, answer := s.decide(w, r, body, err)
	if answer == nil {
		return
	}
	if !wait(r, fault.Delay) || fault.Reset {
		panic(http.ErrAbortHandler)
	}
	for k, v := range fault.Header {
		w.Header().Set(k, v)
	}
	if fault.RetryAfter != "" {
		w.Header().Set("Retry-After", fault.RetryAfter)
	}
	status := 200
	if fault.Status != 0 {
		status, answer = fault.Status, []byte(fault.Body)
	}
	switch {
	case fault.Truncate:
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(status)
		w.Write(answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	case fault.Longer > 0:
		tooLong(w, answer, fault.Longer)
	case fault.Drip > 0:
		w.WriteHeader(status)
		for i := range answer {
			if !wait(r, fault.Drip) {
				panic(http.ErrAbortHandler)
			}
			w.Write(answer[i : i+1])
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
		}
	case strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"): // as http.compression does
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // fails for an unknown level only
		z.Write(answer)
		z.Close()
	default:
		w.WriteHeader(status)
		w.Write(answer)
	}
}

// wait waits, and reports whether whoever asked waited, too.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

// tooLong writes an answer that has more bytes than its Content-Length says.
func tooLong(w http.ResponseWriter, answer []byte, more int) {
	promised := max(0, len(answer)-more)
	h, ok := w.(http.Hijacker)
	if !ok { // no connection: what a client would make of it
		w.Write(answer[:promised])
		return
	}
	conn, _, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", promised, answer)
}

// decide does what the request asks for, as far as the fault that befalls it lets it, and
// returns the answer; nil if there has been one.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, body []byte, err error) (fault Fault, answer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.requests
	s.requests++
	switch {
	case errors.Is(err, errGone):
		panic(http.ErrAbortHandler)
	case err != nil:
		s.violate("body: %v", err)
		fail(w, 400, "parse_exception", err.Error())
		return fault, nil
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-ndjson"):
		s.violate("content type %q", r.Header.Get("Content-Type"))
		fail(w, 406, "media_type_header_exception", "Content-Type header is not supported")
		return fault, nil
	case s.maxBytes > 0 && len(body) > s.maxBytes:
		w.WriteHeader(413)
		return fault, nil
	case !bytes.HasSuffix(body, []byte("\n")):
		s.violate("no newline at the end")
		fail(w, 400, "illegal_argument_exception", `The bulk request must be terminated by a newline [\n]`)
		return fault, nil
	}
	if s.poison != nil {
		for i, line := range bytes.Split(body, []byte("\n")) {
			if i%2 == 1 && s.poison(line) {
				fail(w, 400, "x_content_parse_exception", "the request can't be parsed")
				return fault, nil
			}
		}
	}
	docs := bytes.Count(body, []byte("\n")) / 2
	if s.bulk != nil {
		fault = s.bulk(n, docs)
	}
	if fault.Status == 0 && !fault.Reset && !fault.Truncate {
		fault.Apply = All
	}
	where := strings.Contains(r.URL.Query().Get("filter_path"), "items.*._index")
	return fault, s.apply(body, fault.Apply, fault.Items, where)
}

// errGone means that the client went away within its request, which breaks no contract.
var errGone = errors.New("the rest of the body didn't come")

// body reads the request as Netty does: one gzip member, and nothing is said of what
// follows it, which is why it is a violation here.
func (s *Server) body(r *http.Request) ([]byte, error) {
	s.mu.Lock()
	raw := io.Reader(r.Body)
	if s.bytesPerSecond > 0 {
		raw = &slowReader{r, s.bytesPerSecond}
	}
	s.mu.Unlock()
	sent, err := io.ReadAll(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	if r.Header.Get("Content-Encoding") != "gzip" {
		return sent, nil
	}
	in := bytes.NewReader(sent)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	body, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	if rest := in.Len(); rest > 0 {
		return nil, fmt.Errorf("%d bytes after the gzip member are lost", rest)
	}
	return body, nil
}

// slowReader reads the body of a request at a certain pace.
type slowReader struct {
	r              *http.Request
	bytesPerSecond int
}

func (s *slowReader) Read(p []byte) (int, error) {
	n, err := s.r.Body.Read(p[:min(len(p), max(1, s.bytesPerSecond/10))])
	if !wait(s.r, time.Duration(n)*time.Second/time.Duration(s.bytesPerSecond)) {
		return n, s.r.Context().Err()
	}
	return n, err
}

// apply stores the first limit documents of the body and returns the answer, with so many
// items too many, or too few. where has it name the index of each.
func (s *Server) apply(body []byte, limit, wrong int, where bool) []byte {
	failed := false
	items := make([]string, 0, len(body)/256)
	for rest := body; len(rest) > 0; {
		var head, source []byte
		head, rest, _ = bytes.Cut(rest, []byte("\n"))
		source, rest, _ = bytes.Cut(rest, []byte("\n"))
		index, id, ok := names(head)
		if !ok {
			s.violate("action line %q", head)
			continue
		}
		if len(source) < 2 || source[0] != '{' || !s.idsOnly && !json.Valid(source) {
			s.violate("source line %q", source)
		}
		if len(items) >= limit {
			break
		}
		item := okItem
		switch r := s.create(index, id, source); {
		case r.FailureStore:
			item = `{"create":{"status":201,"failure_store":"used"}}`
		case r.Status != 201:
			failed = true
			item = fmt.Sprintf(`{"create":{"status":%d,"error":{"type":%q,"reason":%q}}}`, r.Status, r.Type, r.Reason)
		}
		if where {
			item = fmt.Sprintf(`{"create":{"_index":%q,%s`, cmp.Or(s.behind[string(index)], string(index)), item[len(`{"create":{`):])
		}
		items = append(items, item)
	}
	for ; wrong > 0; wrong-- {
		items = append(items, okItem)
	}
	items = items[:max(0, len(items)+wrong)]
	return fmt.Appendf(nil, `{"errors":%t,"items":[%s]}`, failed, strings.Join(items, ","))
}

const okItem = `{"create":{"status":201}}`

// names returns what an action line names: without decoding JSON where it has the shape that
// the shipper's have.
func names(line []byte) (index, id []byte, ok bool) {
	if rest, found := bytes.CutPrefix(line, []byte(`{"create":{"_index":"`)); found {
		index, rest, ok = bytes.Cut(rest, []byte(`","_id":"`))
		id, found = bytes.CutSuffix(rest, []byte(`"}}`))
		if ok && found && !bytes.ContainsAny(index, `"\`) && !bytes.ContainsAny(id, `"\`) {
			return index, id, true
		}
	}
	var a struct {
		Create *struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		} `json:"create"`
	}
	if json.Unmarshal(line, &a) != nil || a.Create == nil {
		return nil, nil, false
	}
	return []byte(a.Create.Index), []byte(a.Create.ID), true
}

// create does op_type=create for one document.
func (s *Server) create(name, id, source []byte) Refusal {
	index, known := s.names[string(name)]
	if !known {
		index = string(name)
		s.names[index] = index
		if !indexName.MatchString(index) {
			s.violate("index %q", index)
		}
	}
	index = cmp.Or(s.behind[index], index)
	if _, made := s.mapped[index]; !made {
		prefix, _, _ := strings.Cut(index, "-")
		s.mapped[index] = s.templates[prefix] != nil
	}
	if s.item != nil {
		if r := s.item(index, string(id), source); r.FailureStore {
			s.failed++
			return r
		} else if r.Status != 0 {
			return r
		}
	}
	if s.mapped[index] && bytes.Contains(source, []byte(`,"labels":"`)) {
		return Refusal{Status: 400, Type: "document_parsing_exception", Reason: "failed to parse field [labels] of type [flattened]"}
	}
	k := key{index: index}
	if len(id) != base64.RawURLEncoding.EncodedLen(len(k.id)) {
		s.violate("_id %q", id)
		return Refusal{Status: 400, Type: "illegal_argument_exception", Reason: "not an _id of the shipper"}
	}
	if _, err := base64.RawURLEncoding.Decode(k.id[:], id); err != nil {
		s.violate("_id %q", id)
		return Refusal{Status: 400, Type: "illegal_argument_exception", Reason: "not an _id of the shipper"}
	}
	if _, there := s.docs[k]; there {
		return Refusal{Status: 409, Type: "version_conflict_engine_exception", Reason: "[" + string(id) + "]: version conflict, document already exists"}
	}
	s.docs[k] = struct{}{}
	if !s.idsOnly {
		kept := bytes.Clone(source)
		if s.shorten != nil {
			kept = s.shorten(source)
		}
		s.order = append(s.order, Document{index, string(id), kept})
	}
	return Refusal{Status: 201}
}
