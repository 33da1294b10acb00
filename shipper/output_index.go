package shipper

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"

	"go.uber.org/zap"
)

// index tests what documents meet: the index template, the names of the indices, the mapping
// of today's, and, with one document, all of it together.
func (x *outputTest) index(ctx context.Context, s *sender) {
	o := x.Options
	o.Log = zap.NewNop()
	c := new(counts)
	t := newTemplate(s, &o, c)
	known, usable := x.template(ctx, t)
	if !usable {
		return
	}
	if f, sentence := t.inspect(ctx); f != delivered {
		x.add("", "target", Fault, 0, "%s", sentence)
		x.remedy(t.obstacle)
		return
	}
	for _, remark := range c.remarks {
		x.add("", "target", Degraded, 0, "%s", remark)
	}
	if x.test.For != ForAgent || !x.test.Write || x.lacks(createDoc) {
		return
	}
	if x.mapping(ctx, s, known) {
		x.document(ctx, s)
	}
}

// template looks at the index template. known tells that it is seen, usable that documents
// may be sent, with or without it having been seen.
func (x *outputTest) template(ctx context.Context, t *template) (known, usable bool) {
	began := time.Now()
	found, forbidden, f, sentence := t.look(ctx)
	took := time.Since(began)
	kept := found.kept(x.IndexPrefix)
	installs := x.test.For == ForAgent && !x.NoTemplate
	switch {
	case forbidden && x.test.For == ForAgent:
		x.add("", "template", Unused, took, "the user may not see index templates; the mapping of an index shows whether it is there")
		return false, true
	case forbidden:
		return false, false // the missing privilege was told
	case f != delivered:
		x.add("", "template", Fault, took, "%s", sentence)
		x.replace(f, sentence, OtherAddress)
		return false, false
	case found.body == nil:
		return true, x.absent(ctx, t, installs, took)
	case kept != "":
		x.add("", "template", Degraded, took, "%s", kept)
		x.remedy(x.ifMay(ForceSetup))
	case found.meta.Version > templateVersion:
		x.add("", "template", OK, took, "the index template %q is version %d, which is newer than this agent's %d and is left as it is", x.IndexPrefix, found.meta.Version, templateVersion)
	case found.meta.Version == templateVersion:
		x.add("", "template", OK, took, "the index template %q is there, in version %d", x.IndexPrefix, templateVersion)
	case !installs:
		x.add("", "template", Degraded, took, `the index template %q is version %d, and this agent's is %d: run "agent setup"`, x.IndexPrefix, found.meta.Version, templateVersion)
		x.remedy(x.ifMay(RunSetup))
	case x.lacks(manageTemplates):
		x.add("", "template", Degraded, took, "%s", t.older(found.meta.Version))
		x.remedy(Remedy{Kind: InstallTemplate})
	default:
		x.add("", "template", OK, took, "the index template %q is version %d; the agent replaces it by version %d when it starts", x.IndexPrefix, found.meta.Version, templateVersion)
	}
	return true, true
}

// replace has what the last finding is held by be mended with another address or name, unless
// it is a block: its sentence says how it is lifted.
func (x *outputTest) replace(f fate, sentence string, kind RemedyKind) {
	if f == hold && !strings.HasPrefix(sentence, adviceBlock) {
		x.remedy(Remedy{Kind: kind})
	}
}

// ifMay is what mends the template, which is something else for a user who may not install it.
func (x *outputTest) ifMay(kind RemedyKind) Remedy {
	if x.lacks(manageTemplates) {
		kind = InstallTemplate
	}
	return Remedy{Kind: kind}
}

// absent is for a template that isn't there.
func (x *outputTest) absent(ctx context.Context, t *template, installs bool, took time.Duration) (usable bool) {
	switch {
	case !installs && x.test.For == ForSetup:
		x.add("", "template", OK, took, `the index template %q isn't there; "agent setup" installs it`, x.IndexPrefix)
		return true
	case !installs:
		x.add("", "template", Fault, took, `the index template %q isn't there, and -es-template=false says that somebody else installs it: run "agent setup"`, x.IndexPrefix)
		x.remedy(x.ifMay(AllowTemplate))
		return false
	case x.lacks(manageTemplates):
		x.require(manageTemplates)
		x.add("", "template", Fault, took, "the index template %q isn't there, and the user may not install it: %s", x.IndexPrefix, t.remedy())
		x.remedy(Remedy{Kind: InstallTemplate})
		return false
	case !x.test.Write:
		x.add("", "template", OK, took, "the index template %q isn't there; the agent installs it when it starts", x.IndexPrefix)
		return true
	}
	began := time.Now()
	if f, sentence := t.install(ctx, ""); f != delivered {
		x.require(manageTemplates)
		x.add("", "template", Fault, time.Since(began), "%s", sentence)
		x.replace(f, sentence, OtherIndex)
		return false
	}
	x.add("", "template", OK, time.Since(began), "the index template %q wasn't there, and is installed now, in version %d, as the agent would have done", x.IndexPrefix, templateVersion)
	return true
}

// mapping sees whether the index of today is mapped by our template, and reports whether
// documents may be sent there. known tells that the template is there, ours or not.
func (x *outputTest) mapping(ctx context.Context, s *sender, known bool) (usable bool) {
	began := time.Now()
	m := s.testMapping(ctx, x.IndexPrefix, began)
	took := time.Since(began)
	switch {
	case m.fate != delivered:
		x.add("", "mapping", Fault, took, "%s", m.sentence)
	case m.ours:
		x.add("", "mapping", OK, took, "the index %s is mapped by swarmgauge's template", m.index)
		return true
	case known || x.NoTemplate:
		x.add("", "mapping", Degraded, took, "the index %s is mapped otherwise than by swarmgauge's template, which it was made without, or which another one with a higher priority outdoes: dashboards miss fields there; delete the index once the template is right, and it comes back as it should be", m.index)
		return true
	default:
		x.require(manageTemplates)
		x.add("", "mapping", Fault, took, "%s", newTemplate(s, &x.Options, nil).unmapped(m.index))
	}
	return false
}

// document sends a document the way that all documents go, and judges the answer as the agent
// does. It stays in the index of today: its event.dataset is swarmgauge.test, which no
// dashboard shows and no audit counts.
func (x *outputTest) document(ctx context.Context, s *sender) {
	var epoch [8]byte
	rand.Read(epoch[:])
	now := time.Now()
	b := Batch{prefix: x.IndexPrefix}
	b.reset(binary.BigEndian.Uint64(epoch[:]), 0, new(deflater))
	line := appendTestHead(b.Action(now.UnixMilli()), now)
	line = appendText(line, `,"agent.version":`, x.Version)
	line = appendText(line, `,"agent.name":`, x.test.Node)
	b.Source(append(line, '}'))
	b.close()
	o := s.sendOne(ctx, &b)
	took := time.Since(now)
	if o.fate != delivered {
		x.add("", "document", Fault, took, "no document gets through: %s", o.sentence)
		return
	}
	x.add("", "document", OK, took, "a document went the way of all documents, into the index %s (event.dataset: swarmgauge.%s)", b.index, testDataset)
}
