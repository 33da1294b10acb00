package shipper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"go.uber.org/zap"
)

const (
	// templateVersion is raised with each change of the template or of the mapping:
	// agents replace an older one, and leave a newer one alone.
	templateVersion = 3
	// templatePriority is above everything that Elasticsearch (100) and Fleet (200)
	// bring along.
	templatePriority = 501
	managedBy        = "swarmgauge"
	// templateEvery is how long a template that was seen is believed to be there.
	templateEvery = 10 * time.Minute
)

// templateMeta is the _meta of the template and of its mappings.
type templateMeta struct {
	ManagedBy string `json:"managed_by"`
	Version   int    `json:"version"`
	// Digest is that of the template as it was installed, by which changes of a person are
	// known; "" in the mappings, and in templates of versions before it.
	Digest string `json:"digest,omitempty"`
}

// CheckIndexPrefix returns what keeps Elasticsearch from having indices <prefix>-YYYY.MM.DD
// (Elasticsearch's "Create index API", "Index names"); "" stands for the default.
func CheckIndexPrefix(prefix string) error {
	const most = 255 - len("-"+dayLayout) // bytes
	switch {
	case strings.ContainsAny(prefix, "\\/*?\"<>| ,#:") || strings.ContainsFunc(prefix, unicode.IsControl) || !utf8.ValidString(prefix):
		return errors.New(`none of \ / * ? " < > | , # : may stand in a name of an index, and no space`)
	case strings.ToLower(prefix) != prefix:
		return fmt.Errorf("names of indices are in lower case: %s", strings.ToLower(prefix))
	case strings.HasPrefix(prefix, "-") || strings.HasPrefix(prefix, "_") || strings.HasPrefix(prefix, "+"):
		return errors.New("names of indices don't begin with - _ or +")
	case len(prefix) > most:
		return fmt.Errorf("it is %d bytes long, and %d is the most", len(prefix), most)
	}
	return nil
}

// IndexTemplate returns the composable index template for the indices <prefix>-*, as the
// body of PUT _index_template/<prefix>. It is made for Elasticsearch 7.17, 8 and 9.
func IndexTemplate(prefix string) []byte { return indexTemplate(prefix, "") }

// IndexTemplateWithPolicy is IndexTemplate with the lifecycle policy <prefix>, which
// LifecyclePolicy returns.
func IndexTemplateWithPolicy(prefix string) []byte { return indexTemplate(prefix, prefix) }

// indexTemplate is IndexTemplate with the lifecycle policy of that name, "" for none. A
// server without index lifecycle management refuses it with one.
func indexTemplate(prefix, lifecycle string) []byte {
	meta := templateMeta{ManagedBy: managedBy, Version: templateVersion}
	type object = map[string]any
	var mappings object
	if err := json.Unmarshal(Mapping(), &mappings); err != nil {
		panic(err) // our own constant
	}
	mappings["_meta"] = meta
	settings := object{
		"number_of_shards":     1,
		"auto_expand_replicas": "0-1", // a single node stays green
		"codec":                "best_compression",
		"translog":             object{"durability": "request"}, // acknowledged is stored
		"mapping": object{
			"ignore_malformed": true,
			"total_fields":     object{"limit": 2000},
		},
	}
	if lifecycle != "" {
		settings["lifecycle"] = object{"name": lifecycle}
	}
	template := object{
		"index_patterns": []string{prefix + "-*"},
		"priority":       templatePriority,
		"version":        templateVersion,
		"template": object{
			"aliases":  object{prefix: object{}},
			"settings": object{"index": settings},
			"mappings": mappings,
		},
	}
	meta.Digest = digest(encoded(template))
	template["_meta"] = meta
	return encoded(template)
}

func encoded(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of texts and numbers can't fail
	}
	return body
}

// digest returns one of what a template does, whether it is as it was sent or as
// Elasticsearch answers it, which writes numbers in settings as texts and adds keys; "" for
// what is no template.
func digest(body []byte) string {
	var t struct {
		Patterns []string `json:"index_patterns"`
		Composed []string `json:"composed_of"`
		Priority json.Number
		Template struct {
			Aliases, Settings, Mappings map[string]any
		}
	}
	if json.Unmarshal(body, &t) != nil {
		return ""
	}
	delete(t.Template.Mappings, "_meta")
	sum := sha256.Sum256(encoded([]any{t.Patterns, strings.Join(t.Composed, ","), t.Priority, texts(t.Template.Aliases), texts(t.Template.Settings), texts(t.Template.Mappings)}))
	return hex.EncodeToString(sum[:8])
}

// texts returns a JSON value with every number and truth in it as a text.
func texts(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for k := range v {
			v[k] = texts(v[k])
		}
	case []any:
		for i := range v {
			v[i] = texts(v[i])
		}
	case float64, bool:
		return fmt.Sprint(v)
	}
	return value
}

// template sees to it that the index template is there before anything is indexed. It
// belongs to the goroutine of the lanes.
type template struct {
	sender *sender
	prefix string
	given  bool // somebody else's business
	counts *counts
	log    *zap.Logger

	seen     time.Time // when all was last known to be well
	said     string    // of a template that is left as it is
	inferred bool      // it can't be seen, and that was said
	outdated string    // a remark, if it is ours, older, and can't be renewed
	obstacle Remedy    // what mends what inspect has found in the way
	blocked  bool      // inspect has found something in the way
}

func newTemplate(s *sender, o *Options, c *counts) *template {
	return &template{sender: s, prefix: o.IndexPrefix, given: o.NoTemplate, counts: c, log: o.Log}
}

// fresh tells that the template needs no look now.
func (t *template) fresh() bool { return time.Since(t.seen) < templateEvery }

// suspect has the next ensure look.
func (t *template) suspect() { t.seen = time.Time{} }

// ensure sees to it that the template is there, unless somebody else does, and that
// documents will get into indices. delivered means that they may be sent; with any other
// fate, the sentence says why not and what repairs it.
func (t *template) ensure(ctx context.Context) (f fate, sentence string) {
	if !t.given {
		f, sentence = t.find(ctx)
	}
	if f == delivered {
		f, sentence = t.inspect(ctx)
		if f == delivered && t.blocked && !t.given {
			// What was in the way may have been the template of that name, gone since find
			// has seen it: documents would get into an index without one.
			f, sentence = t.find(ctx)
		}
		t.blocked = f == hold
	}
	switch f {
	case delivered:
		t.seen = time.Now()
		t.sender.placed.Store(false)
	case hold:
		sentence = t.withVersion(ctx, sentence)
	}
	return f, sentence
}

// foundTemplate is an index template as Elasticsearch has it.
type foundTemplate struct {
	body      []byte // nil where there is none
	meta      templateMeta
	lifecycle string // name of a policy
	// changed tells that it isn't any more what an agent has installed.
	changed bool
}

func (t *foundTemplate) ours() bool { return t.meta.ManagedBy == managedBy }

// kept says why a template is left as it is though it isn't what this agent would install;
// "" if it is that, or may be replaced.
func (t *foundTemplate) kept(prefix string) string {
	switch {
	case t.body == nil || t.ours() && t.meta.Version > templateVersion:
	case !t.ours():
		return fmt.Sprintf("the index template %q isn't swarmgauge's; it is left as it is, and fields may be mapped otherwise (\"agent setup -force\" replaces it)", prefix)
	case t.changed:
		return fmt.Sprintf("the index template %q was changed by a person; it is left as it is, and fields of newer agents aren't mapped (\"agent setup -force\" replaces it)", prefix)
	}
	return ""
}

// look asks for the template. delivered means that found tells what is there. forbidden, with
// a fate and a sentence, means that the user may not see it.
func (t *template) look(ctx context.Context) (found foundTemplate, forbidden bool, f fate, sentence string) {
	r, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesGetIndexTemplateRequest{Name: t.prefix, Header: header}
	}, nil)
	if err != nil {
		f, sentence := t.sender.unanswered(err)
		return found, false, f, sentence
	}
	switch {
	case r.status == http.StatusOK:
		var answer struct {
			Templates []struct {
				Template json.RawMessage `json:"index_template"`
			} `json:"index_templates"`
		}
		if err := json.Unmarshal(r.body, &answer); err != nil || len(answer.Templates) != 1 {
			return found, false, again, "the answer to GET _index_template can't be read"
		}
		found.body = answer.Templates[0].Template
		var has struct {
			Meta     templateMeta `json:"_meta"`
			Template struct {
				Settings struct {
					Index struct{ Lifecycle struct{ Name string } }
				}
			}
		}
		json.Unmarshal(found.body, &has) // what is of another shape isn't ours
		found.meta, found.lifecycle = has.Meta, has.Template.Settings.Index.Lifecycle.Name
		found.changed = found.meta.Digest != "" && found.meta.Digest != digest(found.body)
		return found, false, delivered, ""
	case r.status == http.StatusNotFound && decodeError(r.body).Type == "resource_not_found_exception":
		return found, false, delivered, ""
	case r.denied():
		return found, true, hold, t.privilege()
	}
	f, sentence = t.refusal(r)
	return found, false, f, sentence
}

// find looks for the template and installs it if it isn't there, or if it is ours and
// older, and nobody has changed it.
func (t *template) find(ctx context.Context) (fate, string) {
	found, forbidden, f, sentence := t.look(ctx)
	t.outdated = ""
	switch {
	case forbidden:
		return t.infer(ctx)
	case f != delivered:
		return f, sentence
	case found.body == nil:
		return t.install(ctx, "")
	}
	if kept := found.kept(t.prefix); kept != "" {
		if kept != t.said {
			t.said = kept
			t.log.Warn(kept)
		}
		return delivered, ""
	}
	if found.meta.Version < templateVersion {
		f, sentence, forbidden := t.put(ctx, found.lifecycle)
		if forbidden {
			t.outdated = t.older(found.meta.Version)
			return delivered, ""
		}
		return f, sentence
	}
	return delivered, ""
}

// older is what the user who may not renew the template has to know.
func (t *template) older(version int) string {
	return fmt.Sprintf("the index template %q is version %d, and the user may not bring version %d: fields that came since can't be searched; %s", t.prefix, version, templateVersion, t.remedy())
}

// install puts the template, with a lifecycle policy if one is named.
func (t *template) install(ctx context.Context, lifecycle string) (fate, string) {
	f, sentence, forbidden := t.put(ctx, lifecycle)
	if forbidden {
		return hold, t.privilege()
	}
	return f, sentence
}

// put is install; forbidden tells that the user may not.
func (t *template) put(ctx context.Context, lifecycle string) (f fate, sentence string, forbidden bool) {
	body := indexTemplate(t.prefix, lifecycle)
	r, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesPutIndexTemplateRequest{Name: t.prefix, Body: bytes.NewReader(body), Header: header}
	}, nil)
	if err != nil {
		f, sentence := t.sender.unanswered(err)
		return f, sentence, false
	}
	switch {
	case r.status == http.StatusOK:
		t.log.Info("installed the index template", zap.String("template", t.prefix), zap.Int("version", templateVersion))
		if r.warning != "" {
			t.log.Warn("Elasticsearch has a remark on the index template", zap.String("template", t.prefix), zap.String("warning", r.warning))
		}
		return delivered, "", false
	case r.denied():
		return hold, "", true
	case r.status == http.StatusBadRequest:
		// Another template with the same pattern and priority, or an index with the
		// name of the alias.
		said := decodeError(r.body)
		cause := said.root()
		advice := decide(itemFates[:], r.status, cause.Type).advice
		text := fmt.Sprintf("Elasticsearch refuses the index template %q: %s", t.prefix, said.Reason)
		if cause != &said {
			text += ": " + cause.Reason
		}
		return hold, explain(advice, text), false
	}
	f, sentence = t.refusal(r)
	return f, sentence, false
}

// infer is for a user who may write documents and not see templates: how the index of today
// takes one shows whether the template made it.
func (t *template) infer(ctx context.Context) (fate, string) {
	m := t.sender.testMapping(ctx, t.prefix, time.Now())
	if m.fate != delivered {
		return m.fate, m.sentence
	}
	if !m.ours {
		return hold, t.unmapped(m.index)
	}
	if !t.inferred {
		t.inferred = true
		t.log.Info("the user may not see index templates: that swarmgauge's is in use shows in how its index takes documents, whether it is the newest doesn't",
			zap.String("template", t.prefix), zap.String("index", m.index))
	}
	return delivered, ""
}

func (t *template) privilege() string {
	return fmt.Sprintf("the user may not install the index template %q, and without it the fields would be mapped wrongly: %s", t.prefix, t.remedy())
}

// unmapped says that an index was made without the template, which the user can't see.
func (t *template) unmapped(index string) string {
	return fmt.Sprintf("the user may neither see nor install the index template %q, and the index %s was made without it, so that its fields are mapped wrongly: "+
		"%s; then delete that index, which comes back as it should be (-es-template=false takes it as it is)", t.prefix, index, t.remedy())
}

// remedy says how the template gets there for a user who can't install it.
func (t *template) remedy() string {
	return fmt.Sprintf("give the user the cluster privilege manage_index_templates, or have an administrator install it once with \"agent setup\" "+
		"(or agent template | curl -u ADMIN -X PUT -H 'Content-Type: application/json' --data-binary @- ELASTICSEARCH/_index_template/%s)", t.prefix)
}

// refusal is what the table says to an answer that has no meaning of its own here.
func (t *template) refusal(r reply) (fate, string) {
	return r.stands(fmt.Sprintf(" for the index template %q", t.prefix))
}

// stands is refusal for a request that can't be divided: it waits, or is held.
func (r *reply) stands(of string) (fate, string) {
	rule, _, sentence := r.refusal(of)
	if rule.fate == again {
		return again, sentence
	}
	return hold, sentence
}
