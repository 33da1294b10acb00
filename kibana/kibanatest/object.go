package kibanatest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// object is a saved object as Kibana keeps it.
type object struct {
	ref
	Attributes           map[string]any `json:"attributes"`
	References           []link         `json:"references"`
	Managed              bool           `json:"managed"`
	CoreMigrationVersion string         `json:"coreMigrationVersion,omitempty"`
	TypeMigrationVersion string         `json:"typeMigrationVersion,omitempty"`
	CreatedAt            string         `json:"created_at,omitempty"`
	UpdatedAt            string         `json:"updated_at,omitempty"`
	OriginID             string         `json:"originId,omitempty"`
	Version              string         `json:"version,omitempty"`

	space string
	line  []byte // as it was imported
}

// link is a reference to another object.
type link struct {
	Name string `json:"name"`
	Type string `json:"type"`
	ID   string `json:"id"`
}

// typeVersions are the newest versions of types that a Kibana knows.
func typeVersions(kibana string) map[string]string {
	switch {
	case older(kibana, "8.0.0"):
		return map[string]string{"dashboard": "7.14.0", "index-pattern": "7.11.0", "tag": ""}
	case older(kibana, "8.9.0"):
		return map[string]string{"dashboard": "8.7.0", "index-pattern": "8.0.0", "tag": "8.0.0"}
	case older(kibana, "8.12.0"):
		return map[string]string{"dashboard": "8.9.0", "index-pattern": "8.0.0", "tag": "8.0.0"}
	}
	return map[string]string{"dashboard": "10.2.0", "index-pattern": "8.0.0", "tag": "8.0.0"}
}

// coreVersion is the newest version of all objects together that a Kibana knows.
func coreVersion(kibana string) string {
	if older(kibana, "8.8.0") {
		return kibana
	}
	return "8.8.0"
}

// older compares versions of three numbers.
func older(a, b string) bool {
	numbers := func(v string) (n []int) {
		for part := range strings.SplitSeq(v, ".") {
			i, _ := strconv.Atoi(part)
			n = append(n, i)
		}
		return n
	}
	return slices.Compare(numbers(a), numbers(b)) < 0
}

// failure is an entry of errors in the answer to an import.
type failure struct {
	ref
	Meta  map[string]any `json:"meta"`
	Error map[string]any `json:"error"`
}

func (o *object) title() string {
	for _, name := range [...]string{"title", "name"} {
		if t, ok := o.Attributes[name].(string); ok {
			return t
		}
	}
	return ""
}

func (o *object) fails(kind string, more ...any) failure {
	e := map[string]any{"type": kind}
	for i := 0; i+1 < len(more); i += 2 {
		e[more[i].(string)] = more[i+1]
	}
	return failure{o.ref, map[string]any{"title": o.title()}, e}
}

// importObjects is POST /api/saved_objects/_import.
//
// Source: Kibana's src/core/packages/saved-objects/server-internal/src/routes/import.ts and
// import-export-server-internal/src/import: what is collected, references that are
// validated, conflicts in the space (the same id) and with copies (originId), ids that are
// taken in other spaces, and that nothing at all is made while something can be resolved.
func (s *Server) importObjects(w http.ResponseWriter, r *request) *boom {
	for name := range r.URL.Query() {
		if name != "overwrite" && name != "createNewCopies" && name != "compatibilityMode" {
			return refuse(400, "[request query.%s]: definition for this key is missing", name)
		}
	}
	overwrite := false
	if text := r.URL.Query().Get("overwrite"); text != "" {
		var err error
		if overwrite, err = strconv.ParseBool(text); err != nil {
			return refuse(400, "[request query.overwrite]: expected value of type [boolean] but got [string]")
		}
	}
	content, b := file(r)
	if b != nil {
		return b
	}
	objects, failures, b := s.collect(content)
	if b != nil {
		return b
	}
	if !r.user.Read {
		return refuse(403, "Unable to bulk_get %s", types(objects))
	}
	imported := make(map[ref]bool)
	for _, o := range objects {
		imported[o.ref] = true
	}
	failures = append(failures, s.missingReferences(objects, imported, r.space)...)
	destinations := make(map[ref]string)
	overwritten := make(map[ref]bool)
	for _, o := range objects {
		switch there := s.objects[o.ref]; {
		case there != nil && there.space == r.space && !overwrite:
			failures = append(failures, o.fails("conflict"))
		case there != nil && there.space == r.space:
			overwritten[o.ref] = true
		default:
			if f, to := s.copies(o, imported, r.space, overwrite); f != nil {
				failures = append(failures, *f)
			} else if to != "" {
				destinations[o.ref], overwritten[o.ref] = to, true
			} else if there != nil { // in another space
				s.ids++
				destinations[o.ref] = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.ids)
			}
		}
	}
	made, b := s.create(r, objects, failures, destinations)
	if b != nil {
		return b
	}
	failures = append(failures, made.failures...)
	results := []map[string]any{}
	for _, o := range made.objects {
		result := map[string]any{"type": o.Type, "id": o.ID, "meta": map[string]any{"title": o.title()}, "managed": o.Managed}
		if to := destinations[o.ref]; to != "" {
			result["destinationId"] = to
		}
		if overwritten[o.ref] {
			result["overwrite"] = true
		}
		results = append(results, result)
	}
	answer := map[string]any{"successCount": len(results), "success": len(failures) == 0, "warnings": []any{}}
	if len(results) > 0 {
		answer["successResults"] = results
	}
	if len(failures) > 0 {
		answer["errors"] = failures
	}
	writeJSON(w, 200, answer)
	return nil
}

// file returns the file of a multipart form.
func file(r *request) ([]byte, *boom) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, refuse(415, "Unsupported Media Type")
	}
	form, err := multipart.NewReader(bytes.NewReader(r.body), params["boundary"]).ReadForm(64 << 20)
	if err != nil {
		return nil, refuse(400, "Invalid multipart payload format")
	}
	for name := range form.Value {
		return nil, refuse(400, "[request body.%s]: definition for this key is missing", name)
	}
	if len(form.File["file"]) != 1 || len(form.File) != 1 {
		return nil, refuse(400, "[request body.file]: expected value of type [Stream] but got [undefined]")
	}
	header := form.File["file"][0]
	if extension := strings.ToLower(filepath.Ext(header.Filename)); extension != ".ndjson" {
		return nil, refuse(400, "Invalid file extension %s", extension)
	}
	f, err := header.Open()
	if err != nil {
		return nil, refuse(400, "%v", err)
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil {
		return nil, refuse(400, "%v", err)
	}
	return content, nil
}

// collect reads the objects of an import.
func (s *Server) collect(content []byte) (objects []*object, failures []failure, b *boom) {
	known := typeVersions(s.version)
	seen := make(map[ref]bool)
	var twice []string
	for line := range bytes.Lines(content) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var o object
		if err := json.Unmarshal(line, &o); err != nil {
			return nil, nil, refuse(400, "%v", err)
		}
		if seen[o.ref] {
			twice = append(twice, o.Type+":"+o.ID)
		}
		seen[o.ref] = true
		if _, ok := known[o.Type]; !ok {
			failures = append(failures, o.fails("unsupported_type"))
			continue
		}
		o.line = bytes.Clone(line)
		objects = append(objects, &o)
	}
	if len(twice) > 0 {
		return nil, nil, refuse(400, "Non-unique import objects detected: [%s]", strings.Join(twice, ","))
	}
	return objects, failures, nil
}

// missingReferences refuses objects that refer to data views or searches that aren't there.
func (s *Server) missingReferences(objects []*object, imported map[ref]bool, space string) (failures []failure) {
	for _, o := range objects {
		var missing []ref
		for _, to := range o.References {
			k := ref{to.Type, to.ID}
			if to.Type != "index-pattern" && to.Type != "search" || imported[k] || slices.Contains(missing, k) {
				continue
			}
			if there := s.objects[k]; there == nil || there.space != space {
				missing = append(missing, k)
			}
		}
		if len(missing) > 0 {
			failures = append(failures, o.fails("missing_references", "references", missing))
		}
	}
	return failures
}

// copies looks for copies of an object that isn't there itself: objects in the space that
// originate from it. A single one is what the import takes for the object.
func (s *Server) copies(o *object, imported map[ref]bool, space string, overwrite bool) (*failure, string) {
	origin := cmp.Or(o.OriginID, o.ID)
	var found []map[string]any
	for k, there := range s.objects {
		if k.Type == o.Type && there.space == space && (there.OriginID == origin || k.ID == origin) && !imported[k] {
			found = append(found, map[string]any{"id": k.ID, "title": there.title(), "updatedAt": there.UpdatedAt})
		}
	}
	switch {
	case len(found) == 0:
		return nil, ""
	case len(found) == 1 && overwrite:
		return nil, found[0]["id"].(string)
	case len(found) == 1:
		f := o.fails("conflict", "destinationId", found[0]["id"])
		return &f, ""
	}
	f := o.fails("ambiguous_conflict", "destinations", found)
	return &f, ""
}

// made is what an import has made.
type made struct {
	objects  []*object
	failures []failure
}

// create makes the objects that nothing is wrong with, unless something can be resolved.
func (s *Server) create(r *request, objects []*object, failures []failure, destinations map[ref]string) (m made, b *boom) {
	wrong := make(map[ref]bool)
	resolvable := false
	for _, f := range failures {
		wrong[f.ref] = true
		kind := f.Error["type"]
		resolvable = resolvable || kind == "conflict" || kind == "ambiguous_conflict" || kind == "missing_references"
	}
	good := slices.DeleteFunc(slices.Clone(objects), func(o *object) bool { return wrong[o.ref] })
	if resolvable || len(good) == 0 {
		m.objects = good // said to be a success, each, though nothing is made
		return m, nil
	}
	if !r.user.Write || !r.user.enters(r.space) {
		return m, refuse(403, "Unable to bulk_create %s", types(good))
	}
	for _, o := range good {
		if b := s.migrate(o); b != nil {
			return m, b
		}
	}
	s.writes = append(s.writes, r.Method+" "+r.URL.Path)
	now := s.now()
	faults := s.judge(good, r.space)
	for _, o := range good {
		if fault := faults[o.ref]; fault != "" {
			m.failures = append(m.failures, o.fails("unknown", "statusCode", 400, "error", "Bad Request", "message", fault))
			continue
		}
		kept := *o
		kept.space, kept.UpdatedAt, kept.Version = r.space, now, "WzEsMV0="
		if kept.CreatedAt == "" {
			kept.CreatedAt = now
		}
		kept.References = slices.Clone(o.References)
		for i, to := range kept.References {
			if id := destinations[ref{to.Type, to.ID}]; id != "" {
				kept.References[i].ID = id
			}
		}
		if to := destinations[o.ref]; to != "" {
			kept.OriginID, kept.ID = cmp.Or(o.OriginID, o.ID), to
		}
		s.objects[kept.ref] = &kept
		m.objects = append(m.objects, o)
	}
	return m, nil
}

// judge returns what is wrong with objects that are to be made.
func (s *Server) judge(objects []*object, space string) map[ref]string {
	faults := make(map[ref]string)
	for _, o := range objects {
		if s.check == nil {
			break
		}
		if err := s.check(o.line); err != nil {
			faults[o.ref] = err.Error()
		}
	}
	if !s.strict {
		return faults
	}
	var all [][]byte
	imported := make(map[ref]bool)
	for _, o := range objects {
		imported[o.ref] = true
		all = append(all, o.line)
	}
	for k, o := range s.objects {
		if o.space == space && !imported[k] && o.line != nil {
			all = append(all, o.line)
		}
	}
	err := Validate(append(bytes.Join(all, []byte("\n")), '\n'))
	if err == nil {
		return faults
	}
	for _, o := range objects {
		for fault := range strings.Lines(err.Error()) {
			if strings.HasPrefix(fault, o.Type+" "+o.ID+" ") || strings.HasPrefix(fault, o.Type+" "+o.ID+":") {
				faults[o.ref] += fault
			}
		}
	}
	return faults
}

// migrate refuses objects of a newer Kibana, and stamps those of an older one.
func (s *Server) migrate(o *object) *boom {
	core, kind := coreVersion(s.version), typeVersions(s.version)[o.Type]
	if o.CoreMigrationVersion != "" && older(core, o.CoreMigrationVersion) {
		return refuse(422, "Document %q has a \"coreMigrationVersion\" which belongs to a more recent version of Kibana [%s]. The current version is [%s].", o.ID, o.CoreMigrationVersion, core)
	}
	if o.TypeMigrationVersion != "" && older(kind, o.TypeMigrationVersion) {
		return refuse(422, "Document %q belongs to a more recent version of Kibana [%s] when the last known version is [%s].", o.ID, o.TypeMigrationVersion, kind)
	}
	o.CoreMigrationVersion, o.TypeMigrationVersion = core, kind
	return nil
}

func types(objects []*object) string {
	var all []string
	for _, o := range objects {
		if !slices.Contains(all, o.Type) {
			all = append(all, o.Type)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// export is POST /api/saved_objects/_export.
func (s *Server) export(w http.ResponseWriter, r *request) *boom {
	var wanted struct {
		Objects               []ref `json:"objects"`
		IncludeReferencesDeep bool  `json:"includeReferencesDeep"`
		ExcludeExportDetails  bool  `json:"excludeExportDetails"`
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&wanted); err != nil {
		return refuse(400, "[request body]: %v", err)
	}
	if len(wanted.Objects) == 0 {
		return refuse(400, "Either `type` or `objects` are required.")
	}
	known := typeVersions(s.version)
	var list []*object
	for _, k := range wanted.Objects {
		if _, ok := known[k.Type]; !ok {
			return refuse(400, "Trying to export object(s) with non-exportable types: %s:%s", k.Type, k.ID)
		}
		list = append(list, &object{ref: k})
	}
	if !r.user.Read || !r.user.enters(r.space) {
		return refuse(403, "Unable to bulk_get %s", types(list))
	}
	var missing []map[string]any
	var out bytes.Buffer
	for _, k := range wanted.Objects {
		o := s.objects[k]
		if o == nil || o.space != r.space {
			missing = append(missing, map[string]any{"id": k.ID, "type": k.Type, "error": map[string]any{
				"statusCode": 404, "error": "Not Found", "message": fmt.Sprintf("Saved object [%s/%s] not found", k.Type, k.ID)}})
			continue
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		line, err := json.Marshal(o)
		if err != nil {
			return refuse(400, "%v", err)
		}
		out.Write(line)
	}
	if missing != nil {
		return &boom{400, "Error fetching objects to export", map[string]any{"objects": missing}}
	}
	if !wanted.ExcludeExportDetails {
		fmt.Fprintf(&out, "\n"+`{"exportedCount":%d,"missingRefCount":0,"missingReferences":[]}`, len(wanted.Objects))
	}
	w.Header().Set("Content-Type", "application/ndjson")
	w.Write(out.Bytes())
	return nil
}

// delete is DELETE /api/saved_objects/{type}/{id}.
func (s *Server) delete(w http.ResponseWriter, r *request, k ref) *boom {
	if !r.user.Write {
		return refuse(403, "Unable to delete %s", k.Type)
	}
	if o := s.objects[k]; o == nil || o.space != r.space {
		return refuse(404, "Saved object [%s/%s] not found", k.Type, k.ID)
	}
	s.writes = append(s.writes, r.Method+" "+r.URL.Path)
	delete(s.objects, k)
	writeJSON(w, 200, map[string]any{})
	return nil
}
