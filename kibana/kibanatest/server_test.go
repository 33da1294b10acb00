package kibanatest

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// ask sends a request with a kbn-xsrf header unless there are headers of its own.
func ask(t *testing.T, s *Server, method, path, body string, header ...string) (status int, answer string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if len(header) == 0 {
		header = []string{"kbn-xsrf", "true", "Content-Type", "application/json"}
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(text)
}

// upload is an import of a file.
func upload(t *testing.T, s *Server, path, file, content string) (status int, answer string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, err := form.CreateFormFile("file", file)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(part, content)
	form.Close()
	return ask(t, s, http.MethodPost, path, b.String(), "kbn-xsrf", "true", "Content-Type", form.FormDataContentType())
}

const (
	imports = "/api/saved_objects/_import"
	exports = "/api/saved_objects/_export"
	view    = `{"type":"index-pattern","id":"v","attributes":{"title":"x-*"},"references":[]}` + "\n"
	board   = `{"type":"dashboard","id":"d","attributes":{"title":"D"},"references":[{"type":"index-pattern","id":"v","name":"n"}],"managed":true}` + "\n"
)

// TestServerRefuses: statuses and words are those of Kibana's source.
func TestServerRefuses(t *testing.T) {
	f := func(name string, prepare func(*Server), do func(*Server) (int, string), status int, text string) {
		t.Run(name, func(t *testing.T) {
			s := New("9.2.2")
			if prepare != nil {
				prepare(s)
			}
			if got, answer := do(s); got != status || !strings.Contains(answer, text) {
				t.Errorf("%d %s, want %d and %q", got, answer, status, text)
			}
			if got := s.IDs("default"); len(got) != 0 || len(s.Rules("default")) != 0 {
				t.Errorf("%q is there", got)
			}
		})
	}
	asks := func(method, path, body string, header ...string) func(*Server) (int, string) {
		return func(s *Server) (int, string) { return ask(t, s, method, path, body, header...) }
	}
	uploads := func(path, file, content string) func(*Server) (int, string) {
		return func(s *Server) (int, string) { return upload(t, s, path, file, content) }
	}
	f("no xsrf", nil, asks("POST", exports, "{}", "x", "y"), 400, "Request must contain a kbn-xsrf header.")
	f("another path", func(s *Server) { s.BasePath("/base") }, asks("POST", exports, "{}"), 404, "Not Found")
	f("booting", func(s *Server) { s.Boot(true) }, asks("GET", "/api/spaces/space/x", ""), 503, "Kibana server is not ready yet")
	f("booting, status", func(s *Server) { s.Boot(true) }, asks("GET", "/api/status", ""), 503, `"level":"unavailable"`)
	f("critical", func(s *Server) { s.Level("critical") }, asks("GET", "/api/status", ""), 503, `"level":"critical"`)
	f("who isn't logged in isn't told the version", func(s *Server) { s.Secure("Basic x", User{}) }, asks("GET", "/api/status", ""), 200, `{"status":{"overall":{"level":"available"}}}`)
	f("who isn't logged in", func(s *Server) { s.Secure("Basic x", User{}) }, asks("POST", exports, "{}"), 401, "unable to authenticate user")
	f("who may not read", func(s *Server) { s.Secure("", User{}) }, asks("POST", exports, `{"objects":[{"type":"tag","id":"t"}]}`), 403, "Unable to bulk_get tag")
	f("who may not write", func(s *Server) { s.Secure("", User{Read: true}) }, uploads(imports, "x.ndjson", view+board), 403, "Unable to bulk_create dashboard,index-pattern")
	f("no form", nil, asks("POST", imports, view), 415, "Unsupported Media Type")
	f("another extension", nil, uploads(imports, "x.json", view), 400, "Invalid file extension .json")
	f("no JSON", nil, uploads(imports, "x.ndjson", "{"), 400, "unexpected end of JSON")
	f("twice", nil, uploads(imports, "x.ndjson", view+view), 400, "Non-unique import objects detected: [index-pattern:v]")
	f("an unknown parameter", nil, uploads(imports+"?force=true", "x.ndjson", view), 400, "[request query.force]: definition for this key is missing")
	f("no boolean", nil, uploads(imports+"?overwrite=perhaps", "x.ndjson", view), 400, "expected value of type [boolean]")
	f("a missing reference", nil, uploads(imports, "x.ndjson", board), 200, `"error":{"references":[{"type":"index-pattern","id":"v"}],"type":"missing_references"}`)
	f("a type of another Kibana", nil, uploads(imports, "x.ndjson", `{"type":"spaceship","id":"x","attributes":{},"references":[]}`), 200, `"type":"unsupported_type"`)
	f("a newer type", nil, uploads(imports, "x.ndjson", `{"type":"tag","id":"x","attributes":{},"references":[],"typeMigrationVersion":"8.1.0"}`), 422, "belongs to a more recent version of Kibana [8.1.0] when the last known version is [8.0.0]")
	f("a newer core", func(s *Server) { s.Upgrade("7.17.29") }, uploads(imports, "x.ndjson", `{"type":"tag","id":"x","attributes":{},"references":[],"coreMigrationVersion":"8.8.0"}`), 422, "The current version is [7.17.29].")
	f("nothing to export", nil, asks("POST", exports, `{}`), 400, "Either `type` or `objects` are required.")
	f("what can't be exported", nil, asks("POST", exports, `{"objects":[{"type":"space","id":"x"}]}`), 400, "non-exportable types: space:x")
	f("what isn't there", nil, asks("POST", exports, `{"objects":[{"type":"tag","id":"x"}]}`), 400, `"attributes":{"objects":[{"error":{"error":"Not Found","message":"Saved object [tag/x] not found","statusCode":404},"id":"x","type":"tag"}]}`)
	f("an unknown key", nil, asks("POST", exports, `{"object":[]}`), 400, "unknown field")
	f("no such space", nil, asks("GET", "/api/spaces/space/x", ""), 404, "Not Found")
	f("a space of others", func(s *Server) { s.Secure("", User{Spaces: []string{}}) }, asks("GET", "/api/spaces/space/x", ""), 403, "Unauthorized to get x space")
	f("nothing to delete", nil, asks("DELETE", "/api/saved_objects/tag/x", ""), 404, "Saved object [tag/x] not found")
	f("no route", nil, asks("GET", "/api/dashboards", ""), 404, "Not Found")

	const id = "/api/alerting/rule/6f9619ff-8b86-4011-b42d-00c04fc964ff"
	const params = `{"searchType":"esQuery","index":["x"],"timeField":"t","esQuery":"{\"query\":{}}","size":0,"timeWindowSize":1,"timeWindowUnit":"m","threshold":[1],"thresholdComparator":">","aggType":"count","groupBy":"all"}`
	rule := func(more, params string) string {
		return `{"name":"r","rule_type_id":".es-query","consumer":"stackAlerts","schedule":{"interval":"1m"},"enabled":false` + more + `,"params":` + params + `}`
	}
	f("no rule", nil, asks("GET", id, ""), 404, "Saved object [alert/6f9619ff-8b86-4011-b42d-00c04fc964ff] not found")
	f("a rule's id", nil, asks("POST", "/api/alerting/rule/mine", rule("", params)), 400, "unless the ID is a UUID")
	f("a rule's key", nil, asks("POST", id, rule(`,"severity":1`, params)), 400, `unknown field \"severity\"`)
	f("a rule's right", func(s *Server) { s.Secure("", User{}) }, asks("POST", id, rule("", params)), 403, `Unauthorized to create a \".es-query\" rule for \"stackAlerts\"`)
	f("a rule without a name", nil, asks("POST", id, `{}`), 400, "[request body.name]: expected value of type [string]")
	f("a rule without parameters", nil, asks("POST", id, rule("", "null")), 400, "params invalid")
	wrong := func(old, new, text string) {
		t.Helper()
		changed := strings.Replace(params, old, new, 1)
		if changed == params {
			t.Fatal(old)
		}
		f("a rule with "+new, nil, asks("POST", id, rule("", changed)), 400, text)
	}
	wrong(`"size":0`, `"size":-1`, "[size]")
	wrong(`"timeWindowSize":1`, `"timeWindowSize":0`, "[timeWindowSize]")
	wrong(`"timeWindowUnit":"m"`, `"timeWindowUnit":"w"`, "invalid timeWindowUnit")
	wrong(`"threshold":[1]`, `"threshold":[]`, "[threshold]")
	wrong(`"thresholdComparator":">"`, `"thresholdComparator":"between"`, "[threshold]")
	wrong(`"thresholdComparator":">"`, `"thresholdComparator":"!="`, "invalid thresholdComparator")
	wrong(`"aggType":"count"`, `"aggType":"median"`, "invalid aggType")
	wrong(`"aggType":"count"`, `"aggType":"sum"`, "[aggField]: must have a value")
	wrong(`"groupBy":"all"`, `"groupBy":"some"`, "invalid groupBy")
	wrong(`"groupBy":"all"`, `"groupBy":"top"`, "termField required")
	wrong(`"groupBy":"all"`, `"groupBy":"top","termField":"f"`, "termSize required")
	wrong(`"groupBy":"all"`, `"groupBy":"top","termField":"f","termSize":1001`, "[termSize]")
	wrong(`\"query\":{}`, `\"qery\":{}`, `must contain \"query\"`)
	wrong(`{\"query\":{}}`, `{`, "must be valid JSON")
	wrong(`"index":["x"]`, `"index":[]`, "[index]")
}

// TestServerConflicts: what is there already, here, elsewhere, or as a copy.
func TestServerConflicts(t *testing.T) {
	answer := func(s *Server, path, content string) (a struct {
		Success        bool
		SuccessResults []struct{ ID, DestinationID string }
		Errors         []struct {
			ID    string
			Error struct{ Type, DestinationID string }
		}
	}) {
		t.Helper()
		status, text := upload(t, s, path, "x.ndjson", content)
		if err := json.Unmarshal([]byte(text), &a); status != 200 || err != nil {
			t.Fatal(status, text, err)
		}
		return a
	}
	s := New("8.9.0")
	s.Space("b")
	if a := answer(s, imports, view+board); !a.Success || len(a.SuccessResults) != 2 {
		t.Errorf("%+v", a)
	}
	// While one can be resolved, nothing is made.
	other := strings.ReplaceAll(board, `"id":"d"`, `"id":"e"`)
	if a := answer(s, imports, board+other); a.Success || len(a.Errors) != 1 || a.Errors[0].Error.Type != "conflict" || len(s.IDs("default")) != 2 {
		t.Errorf("%+v, %q", a, s.IDs("default"))
	}
	if a := answer(s, imports+"?overwrite=true", board+other); !a.Success || len(s.IDs("default")) != 3 {
		t.Errorf("%+v, %q", a, s.IDs("default"))
	}
	// An id that is taken in another space becomes another one, each reference with it, and
	// the next import finds it by its origin.
	a := answer(s, "/s/b"+imports, view+board)
	if !a.Success || len(a.SuccessResults) != 2 || a.SuccessResults[0].DestinationID == "" || slices.Contains(s.IDs("b"), "dashboard/d") {
		t.Errorf("%+v, %q", a, s.IDs("b"))
	}
	if a := answer(s, "/s/b"+imports+"?overwrite=true", view+board); !a.Success || len(s.IDs("b")) != 2 {
		t.Errorf("%+v, %q", a, s.IDs("b"))
	}
	if a := answer(s, "/s/b"+imports, view+board); a.Success || a.Errors[0].Error.Type != "conflict" || a.Errors[0].Error.DestinationID == "" {
		t.Errorf("%+v", a)
	}
	// A copy of what isn't there.
	s = New("8.9.0")
	s.Place("default", `{"type":"tag","id":"copy","originId":"t","attributes":{"name":"mine"},"references":[]}`)
	const tag = `{"type":"tag","id":"t","attributes":{"name":"ours"},"references":[]}`
	if a := answer(s, imports, tag); a.Success || a.Errors[0].Error.DestinationID != "copy" {
		t.Errorf("%+v", a)
	}
	if a := answer(s, imports+"?overwrite=true", tag); !a.Success || s.Attributes("tag", "copy")["name"] != "ours" {
		t.Errorf("%+v: as Kibana does, the copy is overwritten", a)
	}
	s.Place("default", `{"type":"tag","id":"second","originId":"t","attributes":{"name":"mine"},"references":[]}`)
	if a := answer(s, imports, tag); a.Success || a.Errors[0].Error.Type != "ambiguous_conflict" {
		t.Errorf("%+v", a)
	}
}

// TestServerStrict: an object that Validate refuses isn't made, and others are.
func TestServerStrict(t *testing.T) {
	s := New("9.2.2")
	s.Strict()
	const tag = `{"type":"tag","id":"t","attributes":{"name":"x","description":"","color":"#000000"},"references":[],"coreMigrationVersion":"8.8.0","typeMigrationVersion":"8.0.0","managed":true}` + "\n"
	status, text := upload(t, s, imports, "x.ndjson", tag+strings.ReplaceAll(strings.ReplaceAll(tag, `"id":"t"`, `"id":"u"`), `"color"`, `"colour"`))
	if status != 200 || !strings.Contains(text, `"success":false`) || !strings.Contains(text, "colour") || !slices.Equal(s.IDs("default"), []string{"tag/t"}) {
		t.Errorf("%d %s, %q", status, text, s.IDs("default"))
	}
}
