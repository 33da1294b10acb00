package shipper

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

func TestIndexTemplate(t *testing.T) {
	var v struct {
		Patterns []string     `json:"index_patterns"`
		Priority int          `json:"priority"`
		Meta     templateMeta `json:"_meta"`
		Template struct {
			Aliases  map[string]any `json:"aliases"`
			Mappings struct {
				Dynamic    any            `json:"dynamic"`
				Properties map[string]any `json:"properties"`
				Meta       templateMeta   `json:"_meta"`
			} `json:"mappings"`
		} `json:"template"`
	}
	if err := json.Unmarshal(IndexTemplate("metrics"), &v); err != nil {
		t.Fatal(err)
	}
	meta := templateMeta{ManagedBy: managedBy, Version: templateVersion}
	signed := meta
	signed.Digest = digest(IndexTemplate("metrics"))
	if len(v.Patterns) != 1 || v.Patterns[0] != "metrics-*" || v.Priority != 501 || v.Meta != signed || v.Template.Mappings.Meta != meta {
		t.Errorf("%+v", v)
	}
	if _, ok := v.Template.Aliases["metrics"]; !ok || len(v.Template.Mappings.Properties) < 10 || v.Template.Mappings.Dynamic != false {
		t.Errorf("%+v", v.Template)
	}
}

// TestTemplate names what the agent may find, and what it does about it.
func TestTemplate(t *testing.T) {
	const older = `{"index_patterns":["cadvisor-*"],"_meta":{"managed_by":"swarmgauge","version":0}}`
	const newer = `{"index_patterns":["cadvisor-*"],"_meta":{"managed_by":"swarmgauge","version":99}}`
	const foreign = `{"index_patterns":["cadvisor-*"]}`
	const changed = `{"index_patterns":["cadvisor-*"],"priority":600,"_meta":{"managed_by":"swarmgauge","version":1,"digest":"0123456789abcdef"}}`
	f := func(name, existing, want string) {
		t.Run(name, func(t *testing.T) {
			es := estest.New()
			if existing != "" {
				es.SetTemplate("cadvisor", existing)
			}
			s, _ := start(t, testOptions(t, es))
			newLoad(3).tick(s)
			eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
			if got := string(es.Template("cadvisor")); got != want {
				t.Errorf("the template is %.80s…", got)
			}
		})
	}
	ours := string(IndexTemplate("cadvisor"))
	f("absent", "", ours)
	f("older", older, ours)
	f("the same", ours, ours)
	f("newer", newer, newer)
	f("foreign", foreign, foreign)
	f("changed", changed, changed)
	f("older, as it was", strings.Replace(ours, fmt.Sprintf(`"version":%d,"digest"`, templateVersion), `"version":1,"digest"`, 1), ours)
	lived := string(indexTemplate("cadvisor", "rules"))
	f("older, with a lifecycle", strings.Replace(lived, fmt.Sprintf(`"version":%d,"digest"`, templateVersion), `"version":1,"digest"`, 1), lived)
}

// TestTemplateForbidden: without the template nothing is sent; the sentence says what helps.
func TestTemplateForbidden(t *testing.T) {
	f := func(name, sentence string, statuses map[string]int) {
		t.Run(name, func(t *testing.T) {
			es := estest.New()
			es.OnTemplate(statuses)
			o := testOptions(t, es)
			s, stop := start(t, o)
			l := newLoad(3)
			l.tick(s)
			eventually(t, "it is held", func() bool { return s.Stats().Trouble != "" })
			if v := s.Stats(); !strings.Contains(v.Trouble, sentence) || es.Len() != 0 || v.Requests != 0 {
				t.Errorf("%+v", v)
			}
			stop()
			o.NoTemplate = true // an administrator has installed it
			s, _ = start(t, o)
			eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
		})
	}
	f("installing", "manage_index_templates", map[string]int{"PUT": 403})
	f("conflict", "refuses the index template", map[string]int{"PUT": 400})
	f("credentials", "doesn't accept the credentials", map[string]int{"GET": 401})
	f("overload", "HTTP status 503", map[string]int{"GET": 503})
	f("elsewhere", "HTTP status 405", map[string]int{"GET": 405})
}

// TestTemplateOutdated: an older one of ours does where the user may not bring a newer.
func TestTemplateOutdated(t *testing.T) {
	es := estest.New()
	es.SetTemplate("cadvisor", `{"index_patterns":["cadvisor-*"],"_meta":{"managed_by":"swarmgauge","version":0}}`)
	es.OnTemplate(map[string]int{"PUT": 403})
	s, _ := start(t, testOptions(t, es))
	newLoad(3).tick(s)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
	if got := s.Stats().Remarks; len(got) != 1 || !strings.Contains(got[0], "is version 0") || !strings.Contains(got[0], "agent setup") {
		t.Errorf("remarks %q", got)
	}
}

// TestTemplateUnseen: a user who may write and not see templates. Where there is none, today's
// index shows it, at the price of one document however often it is looked at; once an
// administrator has installed it and deleted that index, the agent goes on by itself.
func TestTemplateUnseen(t *testing.T) {
	es := estest.New()
	es.OnTemplate(map[string]int{"GET": 403, "PUT": 403})
	s, _ := start(t, testOptions(t, es))
	l := newLoad(3)
	l.tick(s)
	eventually(t, "it is held after several looks", func() bool { return s.Stats().Held && es.Requests() > 3 })
	questions := es.Documents()
	v := s.Stats()
	for _, want := range []string{"was made without it", "manage_index_templates", "agent setup", "agent template", "delete that index", "-es-template=false"} {
		if !strings.Contains(v.Trouble, want) {
			t.Errorf("no %q in %q", want, v.Trouble)
		}
	}
	if len(questions) != 1 || !strings.Contains(string(questions[0].Source), `"event.dataset":"swarmgauge.test"`) || v.Requests != 0 {
		t.Errorf("%+v, %+v", questions, v)
	}
	es.SetTemplate("cadvisor", string(IndexTemplate("cadvisor")))
	es.DeleteIndex(questions[0].Index)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 && !s.Stats().Held })
	audit(t, es, 3)
}

// TestTemplateInferred: the same user, where it is installed beforehand.
func TestTemplateInferred(t *testing.T) {
	es := estest.New()
	es.OnTemplate(map[string]int{"GET": 403, "PUT": 403})
	es.SetTemplate("cadvisor", string(IndexTemplate("cadvisor")))
	s, _ := start(t, testOptions(t, es))
	newLoad(3).tick(s)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
	if v := s.Stats(); v.Degraded || v.LastError != "" {
		t.Errorf("%+v", v)
	}
	audit(t, es, 3)
}

// TestTemplateUnknown: what is in the way of the question is told, as of any other document.
func TestTemplateUnknown(t *testing.T) {
	f := func(want string, r estest.Refusal) {
		t.Helper()
		es := estest.New()
		es.OnTemplate(map[string]int{"GET": 403})
		es.OnItem(func(string, string, []byte) estest.Refusal { return r })
		s, _ := start(t, testOptions(t, es))
		newLoad(3).tick(s)
		eventually(t, "it is told", func() bool { return strings.Contains(s.Stats().Trouble, want) })
	}
	f("auto_configure", estest.Refusal{Status: 403, Type: "security_exception", Reason: "action [indices:admin/auto_create] is unauthorized"})
	f("lift the block", estest.Refusal{Status: 403, Type: "cluster_block_exception"})
	f("too busy", estest.Refusal{Status: 429, Type: "es_rejected_execution_exception", Reason: "too busy"})
	f("was made without it", estest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "object mapping for [labels] tried to parse field [labels] as object, but found a concrete value"})
}

func TestCheckIndexPrefix(t *testing.T) {
	for _, good := range []string{"", "cadvisor", ".hidden", "a-1_b+c", "größe", strings.Repeat("x", 244)} {
		if err := CheckIndexPrefix(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"A", "a b", "a:b", "a,b", "a/b", `a\b`, "a*", "-a", "_a", "+a", "a\n", "\xff", strings.Repeat("x", 245)} {
		if CheckIndexPrefix(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
