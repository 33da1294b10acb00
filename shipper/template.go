package shipper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

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
}

// IndexTemplate returns the composable index template for the indices <prefix>-*, as the
// body of PUT _index_template/<prefix>. Elasticsearch 7.17, 8 and 9 take it.
func IndexTemplate(prefix string) []byte {
	meta := templateMeta{managedBy, templateVersion}
	type object = map[string]any
	var mappings object
	if err := json.Unmarshal(Mapping(), &mappings); err != nil {
		panic(err) // our own constant
	}
	mappings["_meta"] = meta
	body, err := json.Marshal(object{
		"index_patterns": []string{prefix + "-*"},
		"priority":       templatePriority,
		"version":        templateVersion,
		"_meta":          meta,
		"template": object{
			"aliases": object{prefix: object{}},
			"settings": object{"index": object{
				"number_of_shards":     1,
				"auto_expand_replicas": "0-1", // a single node stays green
				"codec":                "best_compression",
				"translog":             object{"durability": "request"}, // acknowledged is stored
				"mapping": object{
					"ignore_malformed": true,
					"total_fields":     object{"limit": 2000},
				},
			}},
			"mappings": mappings,
		},
	})
	if err != nil {
		panic(err) // maps of texts and numbers can't fail
	}
	return body
}

// template sees to it that the index template is there before anything is indexed. It
// belongs to the goroutine of the lanes.
type template struct {
	sender *sender
	prefix string
	given  bool // somebody else's business
	counts *counts
	log    *zap.Logger

	seen    time.Time // when all was last known to be well
	foreign bool      // it isn't ours, and that was said
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
	}
	if f == delivered {
		t.seen = time.Now()
		t.sender.placed.Store(false)
	}
	return f, sentence
}

// find looks for the template and installs it if it isn't there, or if it is ours and
// older.
func (t *template) find(ctx context.Context) (fate, string) {
	r, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesGetIndexTemplateRequest{Name: t.prefix, Header: header}
	}, nil)
	if err != nil {
		f, advice := transportFate(err)
		return f, explain(advice, err.Error())
	}
	switch {
	case r.status == http.StatusOK:
		var found struct {
			Templates []struct {
				Template struct {
					Meta templateMeta `json:"_meta"`
				} `json:"index_template"`
			} `json:"index_templates"`
		}
		if err := json.Unmarshal(r.body, &found); err != nil || len(found.Templates) != 1 {
			return again, "the answer to GET _index_template can't be read"
		}
		meta := found.Templates[0].Template.Meta
		if meta.ManagedBy == managedBy && meta.Version < templateVersion {
			return t.install(ctx)
		}
		if meta.ManagedBy != managedBy && !t.foreign {
			t.foreign = true
			t.log.Warn("the index template isn't swarmgauge's; it is left as it is, and fields may be mapped otherwise", zap.String("template", t.prefix))
		}
		return delivered, ""
	case r.status == http.StatusNotFound && decodeError(r.body).Type == "resource_not_found_exception":
		return t.install(ctx)
	case r.status == http.StatusForbidden:
		return t.infer(ctx)
	}
	return t.refusal(r)
}

// install puts the template.
func (t *template) install(ctx context.Context) (fate, string) {
	r, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesPutIndexTemplateRequest{Name: t.prefix, Body: bytes.NewReader(IndexTemplate(t.prefix)), Header: header}
	}, nil)
	if err != nil {
		f, advice := transportFate(err)
		return f, explain(advice, err.Error())
	}
	switch r.status {
	case http.StatusOK:
		t.log.Info("installed the index template", zap.String("template", t.prefix), zap.Int("version", templateVersion))
		if r.warning != "" {
			t.log.Warn("Elasticsearch has a remark on the index template", zap.String("template", t.prefix), zap.String("warning", r.warning))
		}
		return delivered, ""
	case http.StatusForbidden:
		return hold, t.privilege()
	case http.StatusBadRequest:
		// Another template with the same pattern and priority, or an index with the
		// name of the alias.
		said := decodeError(r.body)
		cause := said.root()
		advice := decide(itemFates[:], r.status, cause.Type).advice
		text := fmt.Sprintf("Elasticsearch refuses the index template %q: %s", t.prefix, said.Reason)
		if cause != &said {
			text += ": " + cause.Reason
		}
		return hold, explain(advice, text)
	}
	return t.refusal(r)
}

// infer looks at the indices, for a user who may write documents and not see templates: an
// index whose mapping carries our mark was made by the template.
func (t *template) infer(ctx context.Context) (fate, string) {
	r, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesGetMappingRequest{Index: []string{t.prefix + "-*"}, FilterPath: []string{"*.mappings._meta.managed_by"}, Header: header}
	}, nil)
	if err == nil && r.status == http.StatusOK && strings.Contains(string(r.body), `"managed_by":"`+managedBy+`"`) {
		return delivered, ""
	}
	return hold, t.privilege()
}

func (t *template) privilege() string {
	return fmt.Sprintf("the user may neither see nor install the index template %[1]q, and without it the fields would be mapped wrongly: "+
		"give the user the cluster privilege manage_index_templates, or have an administrator install it once "+
		"(agent template | curl -u ADMIN -X PUT -H 'Content-Type: application/json' --data-binary @- ELASTICSEARCH/_index_template/%[1]s) "+
		"and start the agent with -es-template=false", t.prefix)
}

// refusal is what the table says to an answer that has no meaning of its own here.
func (t *template) refusal(r reply) (fate, string) {
	said := decodeError(r.body)
	rule := decide(requestFates[:], r.status, said.Type)
	f := rule.fate
	if f != again {
		f = hold
	}
	text := fmt.Sprintf("HTTP status %d for the index template %q", r.status, t.prefix)
	if said.Reason != "" {
		text += ": " + said.Reason
	}
	return f, explain(rule.advice, text)
}
