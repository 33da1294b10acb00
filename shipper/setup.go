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
	"path"
	"slices"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// ErrNotYet means that the same may succeed later without anybody's help: Elasticsearch isn't
// there, or has too much to do.
var ErrNotYet = errors.New("not yet")

// trouble is an error of one sentence, which says what is wrong and what mends it.
type trouble struct {
	sentence string
	passes   bool // by itself
}

func (t *trouble) Error() string { return t.sentence }

func (t *trouble) Is(target error) bool { return t.passes && target == ErrNotYet }

// troubled makes an error of a fate.
func troubled(f fate, sentence string) error {
	return &trouble{sentence, f == again || f == unreached}
}

// Setup sets up Elasticsearch: the index template and, for who asks for it, a lifecycle
// policy. What the running agent does by itself, with more to say, and with Force. Its methods
// belong to one goroutine.
type Setup struct {
	template *template
	// Lifecycle is the age from which on a lifecycle policy deletes indices; 0 for no policy.
	Lifecycle time.Duration
	// Force replaces what a person has changed, and what isn't swarmgauge's.
	Force bool
}

// SetupChange is a template or a policy before and after, as JSON.
type SetupChange struct {
	Name          string
	Before, After []byte // Before is nil where there is none
}

// SetupReport is what setup found and did, or would do.
type SetupReport struct {
	// Changes are what was written, or would be.
	Changes []SetupChange
	// Same names what is there as it is to be.
	Same []string
	// Kept are sentences about what is left alone, Remarks about what else was seen.
	Kept, Remarks []string
}

// NewSetup returns what sets up the Elasticsearch of the options. Nothing is sent yet.
func NewSetup(o Options) (*Setup, error) {
	o.setDefaults()
	s, err := newSender(&o)
	if err != nil {
		return nil, err
	}
	return &Setup{template: newTemplate(s, &o, new(counts))}, nil
}

// Close gives the connections back.
func (s *Setup) Close() { s.template.sender.close() }

// Run does what is to be done; with plan, it only says what that is. An error that is
// ErrNotYet says what is waited for; any other, what is to be mended.
func (s *Setup) Run(ctx context.Context, plan bool) (r SetupReport, err error) {
	t := s.template
	if err := s.inTheWay(ctx, &r); err != nil {
		return r, err
	}
	if s.Lifecycle > 0 {
		if err := s.policy(ctx, &r, plan); err != nil {
			return r, err
		}
	}
	if t.given {
		r.Remarks = append(r.Remarks, "the index template is somebody else's to install, by -es-template=false")
	} else if err := s.install(ctx, &r, plan); err != nil {
		return r, err
	}
	if f, sentence := t.inspect(ctx); f != delivered {
		return r, troubled(f, sentence)
	}
	if plan && len(r.Changes) > 0 {
		return r, nil // what applies to new indices isn't there yet
	}
	return r, s.applies(ctx, &r)
}

// install installs the template, or says why it doesn't.
func (s *Setup) install(ctx context.Context, r *SetupReport, plan bool) error {
	t := s.template
	found, _, f, sentence := t.look(ctx)
	if f != delivered {
		return troubled(f, sentence)
	}
	name := fmt.Sprintf("index template %q", t.prefix)
	lifecycle := found.lifecycle
	if s.Lifecycle > 0 {
		lifecycle = t.prefix
	}
	switch kept := found.kept(t.prefix); {
	case found.body != nil && found.ours() && found.meta.Version > templateVersion:
		r.Kept = append(r.Kept, fmt.Sprintf("the index template %q is of a newer agent (version %d, this one has %d)", t.prefix, found.meta.Version, templateVersion))
		return nil
	case kept != "" && !s.Force:
		r.Kept = append(r.Kept, kept)
		return nil
	case kept == "" && found.meta.Version == templateVersion && lifecycle == found.lifecycle:
		r.Same = append(r.Same, name)
		return nil
	}
	r.Changes = append(r.Changes, SetupChange{name, found.body, indexTemplate(t.prefix, lifecycle)})
	if plan {
		return nil
	}
	if f, sentence := t.install(ctx, lifecycle); f != delivered {
		return troubled(f, sentence)
	}
	return nil
}

// inTheWay looks for an index with the name of the alias, and for indices of others behind it.
func (s *Setup) inTheWay(ctx context.Context, r *SetupReport) error {
	t := s.template
	answer, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesGetRequest{Index: []string{t.prefix}, Header: header, FilterPath: []string{"*.aliases"}}
	}, nil)
	if err != nil {
		return troubled(t.sender.unanswered(err))
	}
	var there map[string]json.RawMessage
	switch {
	case answer.status == http.StatusOK && json.Unmarshal(answer.body, &there) == nil:
	case answer.status == http.StatusNotFound, answer.denied():
		return nil // nothing, or nothing that may be seen
	default:
		return troubled(answer.stands(fmt.Sprintf(" for the alias %q", t.prefix)))
	}
	for name := range there {
		if name == t.prefix {
			return troubled(hold, decide(itemFates[:], http.StatusBadRequest, "invalid_alias_name_exception").advice)
		}
		if !strings.HasPrefix(name, t.prefix+"-") {
			r.Remarks = append(r.Remarks, fmt.Sprintf("the alias %q has an index of others behind it, %s: what is searched by the alias is of both", t.prefix, name))
		}
	}
	return nil
}

// applies looks whether new indices get the template.
func (s *Setup) applies(ctx context.Context, r *SetupReport) error {
	t := s.template
	index := t.prefix + "-" + time.Now().UTC().Format(dayLayout)
	answer, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesSimulateIndexTemplateRequest{Name: index, Header: header, FilterPath: []string{"template.mappings._meta.managed_by"}}
	}, nil)
	if err != nil {
		return troubled(t.sender.unanswered(err))
	}
	var made struct {
		Template struct {
			Mappings struct {
				Meta templateMeta `json:"_meta"`
			}
		}
	}
	if answer.status != http.StatusOK || json.Unmarshal(answer.body, &made) != nil || made.Template.Mappings.Meta.ManagedBy == managedBy {
		return nil // it is well, or can't be told
	}
	r.Remarks = append(r.Remarks, fmt.Sprintf("new indices %s-* don't get swarmgauge's fields, because another index template goes before it (%s): narrow its index_patterns, or lower its priority",
		t.prefix, strings.Join(s.stronger(ctx, index), ", ")))
	return nil
}

// stronger returns the names of the templates that go before ours for an index, as far as they
// may be seen.
func (s *Setup) stronger(ctx context.Context, index string) (names []string) {
	answer, err := s.template.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesGetIndexTemplateRequest{Header: header, FilterPath: []string{
			"index_templates.name", "index_templates.index_template.index_patterns", "index_templates.index_template.priority"}}
	}, nil)
	var all struct {
		Templates []struct {
			Name     string
			Template struct {
				Patterns []string `json:"index_patterns"`
				Priority int64
			} `json:"index_template"`
		} `json:"index_templates"`
	}
	if err != nil || json.Unmarshal(answer.body, &all) != nil {
		return nil
	}
	for _, o := range all.Templates {
		fits := func(pattern string) bool { ok, err := path.Match(pattern, index); return ok && err == nil }
		if o.Template.Priority > templatePriority && slices.ContainsFunc(o.Template.Patterns, fits) {
			names = append(names, o.Name)
		}
	}
	return names
}

// noPolicy is what a user without the privilege has to know.
const noPolicy = "the user may not make a lifecycle policy: give it the cluster privilege manage_ilm, or leave -setup-ilm out, with which -retention does without"

// policy makes the lifecycle policy.
func (s *Setup) policy(ctx context.Context, r *SetupReport, plan bool) error {
	t := s.template
	name := fmt.Sprintf("lifecycle policy %q", t.prefix)
	answer, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.ILMGetLifecycleRequest{Policy: t.prefix, Header: header}
	}, nil)
	if err != nil {
		return troubled(t.sender.unanswered(err))
	}
	want := LifecyclePolicy(s.Lifecycle)
	var before []byte
	switch {
	case answer.status == http.StatusOK:
		var there map[string]struct{ Policy json.RawMessage }
		if json.Unmarshal(answer.body, &there) != nil || there[t.prefix].Policy == nil {
			return troubled(again, "the answer to GET _ilm/policy can't be read")
		}
		before = there[t.prefix].Policy
		var has lifecyclePolicy
		json.Unmarshal(before, &has.Policy) // one of another shape isn't ours
		meta, is := has.Policy.Meta, policyDigest(before)
		ours, same := meta.ManagedBy == managedBy, is == policyDigest(want)
		// Without a digest, what an agent would have written with some age counts as written
		// by one.
		wrote := meta.Digest
		if wrote == "" {
			wrote = policyDigest(lifecycleBody(has.Policy.Phases.Delete.MinAge))
		}
		switch {
		case ours && meta.Version > templateVersion && !same:
			r.Kept = append(r.Kept, fmt.Sprintf("the lifecycle policy %q is of a newer agent (version %d, this one has %d)", t.prefix, meta.Version, templateVersion))
			return nil
		case !ours && !s.Force:
			r.Kept = append(r.Kept, fmt.Sprintf("the lifecycle policy %q isn't swarmgauge's; it is left as it is (\"agent setup -force\" replaces it)", t.prefix))
			return nil
		case ours && same && meta.Digest != "":
			r.Same = append(r.Same, name)
			return nil
		case ours && wrote != is && !s.Force:
			r.Kept = append(r.Kept, fmt.Sprintf("the lifecycle policy %q was changed by a person; it is left as it is (\"agent setup -force\" replaces it)", t.prefix))
			return nil
		}
	case answer.status == http.StatusNotFound && decodeError(answer.body).Type == "resource_not_found_exception":
	case answer.denied():
		return troubled(hold, noPolicy)
	case answer.status == http.StatusBadRequest, answer.status == http.StatusMethodNotAllowed, answer.status == http.StatusNotFound:
		return troubled(hold, fmt.Sprintf("this Elasticsearch has no index lifecycle management (HTTP status %d for GET _ilm/policy): leave -setup-ilm out, -retention does without", answer.status))
	default:
		return troubled(answer.stands(" for the " + name))
	}
	var inner struct{ Policy json.RawMessage }
	if err := json.Unmarshal(want, &inner); err != nil {
		return err
	}
	r.Changes = append(r.Changes, SetupChange{name, before, inner.Policy})
	if plan {
		return nil
	}
	answer, err = t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.ILMPutLifecycleRequest{Policy: t.prefix, Body: bytes.NewReader(want), Header: header}
	}, nil)
	if err != nil {
		return troubled(t.sender.unanswered(err))
	}
	switch {
	case answer.denied():
		return troubled(hold, noPolicy)
	case answer.status != http.StatusOK:
		return troubled(answer.stands(" for the " + name))
	}
	return nil
}

// lifecyclePolicy is the body of PUT _ilm/policy/<name>.
type lifecyclePolicy struct {
	Policy struct {
		Phases struct {
			Hot    hotPhase    `json:"hot"`
			Delete deletePhase `json:"delete"`
		} `json:"phases"`
		Meta templateMeta `json:"_meta"`
	} `json:"policy"`
}

// hotPhase does nothing; Elasticsearch refuses a phase that doesn't say so.
type hotPhase struct {
	Actions struct{} `json:"actions"`
}

type deletePhase struct {
	MinAge  string `json:"min_age"`
	Actions struct {
		Delete struct{} `json:"delete"`
	} `json:"actions"`
}

// minAge returns the age of an index that is deleted when all of its day is older than
// retention. An index is made in the first minutes of its day.
func minAge(retention time.Duration) string {
	const day = 24 * time.Hour
	age := retention + day
	if age%day == 0 {
		return fmt.Sprintf("%dd", age/day)
	}
	return fmt.Sprintf("%dm", int64(age.Minutes()))
}

// LifecyclePolicy returns the policy that deletes indices of that age, as the body of
// PUT _ilm/policy/<prefix>.
func LifecyclePolicy(retention time.Duration) []byte { return lifecycleBody(minAge(retention)) }

func lifecycleBody(age string) []byte {
	var p lifecyclePolicy
	p.Policy.Phases.Delete.MinAge = age
	p.Policy.Meta = templateMeta{ManagedBy: managedBy, Version: templateVersion}
	p.Policy.Meta.Digest = policyDigest(encoded(p))
	return encoded(p)
}

// policyDigest returns a digest of what a policy does, whether it is as it was sent or, without
// "policy" around it, as Elasticsearch answers it, which adds what phases and deleting are by
// default; "" for what is no policy.
func policyDigest(body []byte) string {
	type phases = map[string]map[string]any
	var p struct {
		Phases phases
		Policy struct{ Phases phases }
	}
	if json.Unmarshal(body, &p) != nil {
		return ""
	}
	if p.Phases == nil {
		p.Phases = p.Policy.Phases
	}
	for _, phase := range p.Phases {
		if phase["min_age"] == "0ms" {
			delete(phase, "min_age")
		}
		actions, _ := phase["actions"].(object)
		if len(actions) == 0 {
			delete(phase, "actions")
		}
		if deletes, ok := actions["delete"].(object); ok && deletes["delete_searchable_snapshot"] == true {
			delete(deletes, "delete_searchable_snapshot")
		}
	}
	sum := sha256.Sum256(encoded(p.Phases))
	return hex.EncodeToString(sum[:8])
}
