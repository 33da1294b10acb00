package kibana

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Setup brings data views, dashboards and their tag to Kibana, as often as it is asked to,
// and changes nothing that a person has changed. Several may be at work at once: who makes
// the tag does the work, the others see that it is done.
//
//	look (export) → plan → tag: begun → still the one? → import → look again → tag: done
//
// It belongs to one goroutine.
type Setup struct {
	Client *Client
	// Objects are the saved objects for the client's space, one a line, with one tag among
	// them; Version is theirs. See Objects and InSpace.
	Objects []byte
	Version int
	// Pattern names the indices, for who has to make a data view by hand.
	Pattern string
	// Force overwrites what a person has changed, too, and brings back what he deleted.
	Force bool

	// pause is settle, and less in tests.
	pause time.Duration
	// begun is the newest setup of somebody else that was seen to have begun, at since.
	begun string
	since time.Time
}

// patience is how long a setup that somebody else has begun is waited for. It takes a few
// seconds; one that doesn't end was ended with its agent.
const patience = 20 * time.Second

// settle is how long a setup that has written that it begins waits for others that write so
// at the same time. Who is there then goes on.
const settle = 2 * time.Second

// attempts is how often setup looks again when something was made meanwhile.
const attempts = 3

// Report is what setup found and did.
type Report struct {
	// Kibana is its version, "" where it doesn't tell.
	Kibana string
	// Newer is the version of the assets that a newer agent has brought; 0 for none. Nothing
	// is done then.
	Newer int
	// Created, Replaced and Same name objects; with Plan, what would become of them.
	Created, Replaced, Same []string
	// Kept are sentences about objects that a person has changed and that are left alone.
	Kept []string
	// Changes are what would be written, for Plan.
	Changes []Change
}

// Change is an object before and after, as JSON of its attributes; Before is nil where there
// is none. Texts in it may be JSON themselves.
type Change struct {
	Name          string
	Before, After []byte
}

// Wrote tells whether anything was written, or would be.
func (r *Report) Wrote() bool { return len(r.Created)+len(r.Replaced) > 0 }

// Plan looks at what Run would do, and writes nothing.
func (s *Setup) Plan(ctx context.Context) (Report, error) {
	assets, report, err := s.begin(ctx)
	if err != nil {
		return report, err
	}
	p, _, err := s.look(ctx, assets)
	if err != nil {
		return report, err
	}
	p.tell(&report)
	for _, step := range p.steps {
		if step.action >= create && !p.newer {
			report.Changes = append(report.Changes, step.change())
		}
	}
	return report, nil
}

// Run brings what is missing. An error that is ErrNotYet says what is waited for; any other,
// what is to be mended. What a failed run leaves behind, the next one does again.
func (s *Setup) Run(ctx context.Context) (Report, error) {
	assets, report, err := s.begin(ctx)
	if err != nil {
		return report, err
	}
	for range attempts {
		p, there, err := s.look(ctx, assets)
		if err != nil {
			return report, err
		}
		if !p.writes() {
			p.tell(&report)
			return report, nil
		}
		if err := s.yield(p); err != nil {
			return report, err
		}
		switch err := s.carryOut(ctx, p, there); {
		case err == nil:
			p.tell(&report)
			return report, nil
		case !errors.Is(err, errConflict):
			return report, err
		}
	}
	return report, passing("another agent is setting Kibana up at %s", s.Client)
}

// begin waits for nothing: it returns what is to be there, if Kibana is ready.
func (s *Setup) begin(ctx context.Context) ([]asset, Report, error) {
	var report Report
	assets, err := parseAssets(s.Objects)
	if err != nil {
		return nil, report, err
	}
	report.Kibana, err = s.Client.ready(ctx, s.Pattern)
	return assets, report, err
}

// look compares what is there with what is to be.
func (s *Setup) look(ctx context.Context, assets []asset) (*setupPlan, map[objectKey]*saved, error) {
	keys := make([]objectKey, len(assets))
	for i, a := range assets {
		keys[i] = a.objectKey
	}
	there, err := s.Client.export(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	p, err := makePlan(assets, there, s.Version, s.Force)
	return p, there, err
}

// yield leaves the work to who has begun it, unless he doesn't end it.
func (s *Setup) yield(p *setupPlan) error {
	if p.known.begun == "" {
		return nil
	}
	mark := p.tagged.UpdatedAt + p.tagged.text("description")
	if mark != s.begun {
		s.begun, s.since = mark, time.Now()
	}
	if time.Since(s.since) < patience {
		return passing("another agent is setting Kibana up at %s, or has been ended while it did; this one takes over if that takes longer than %v", s.Client, patience)
	}
	return nil
}

// carryOut does what the plan says. It returns errConflict where the plan is to be made anew.
func (s *Setup) carryOut(ctx context.Context, p *setupPlan, there map[objectKey]*saved) error {
	who := rand.Text()[:4]
	if err := s.note(ctx, p, p.record(s.Version, there, who), p.tagged != nil); err != nil {
		return err
	}
	if p.tagged != nil { // who makes it is the only one
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(cmp.Or(s.pause, settle)):
		}
		if _, err := s.still(ctx, p, who, nil); err != nil {
			return err
		}
	}
	var created, replaced []asset
	var keys []objectKey
	for _, step := range p.steps {
		keys = append(keys, step.objectKey)
		switch step.action {
		case create:
			created = append(created, step.asset)
		case replace:
			replaced = append(replaced, step.asset)
		}
	}
	// New ones first: those that are replaced may refer to them. They in turn refer to what
	// is there, or is new itself.
	if err := s.Client.put(ctx, created, false); err != nil {
		return err
	}
	if err := s.Client.put(ctx, replaced, true); err != nil {
		return err
	}
	now, err := s.still(ctx, p, who, keys)
	if err != nil {
		return err
	}
	for _, step := range p.steps {
		if step.action >= create && now[step.objectKey] == nil {
			return lasting("Kibana at %s took the %v and doesn't have it: look into its log", s.Client, &step.asset)
		}
	}
	return s.note(ctx, p, p.record(s.Version, now, ""), true)
}

// still makes sure that nobody else has begun meanwhile, and returns what there is.
func (s *Setup) still(ctx context.Context, p *setupPlan, who string, keys []objectKey) (map[objectKey]*saved, error) {
	there, err := s.Client.export(ctx, append(keys, p.tag.objectKey))
	if err != nil {
		return nil, err
	}
	tag := there[p.tag.objectKey]
	if tag == nil {
		return nil, errConflict
	}
	if known, _ := parseRecord(tag.text("description")); known.begun != who {
		return nil, errConflict
	}
	return there, nil
}

// note writes the record into the tag.
func (s *Setup) note(ctx context.Context, p *setupPlan, r record, overwrite bool) error {
	tag, err := p.describe(r.String())
	if err != nil {
		return err
	}
	return s.Client.put(ctx, []asset{tag}, overwrite)
}

// change returns what is before, and what is to be.
func (s *step) change() Change {
	var to struct{ Attributes json.RawMessage }
	json.Unmarshal(s.line, &to) // was read before
	c := Change{Name: s.String(), After: to.Attributes}
	if s.there != nil {
		c.Before = s.there.Attributes
	}
	return c
}

// tell adds what the plan says to the report.
func (p *setupPlan) tell(r *Report) {
	if p.newer {
		r.Newer = p.known.version
		return
	}
	for i := range p.steps {
		s := &p.steps[i]
		switch s.action {
		case create:
			r.Created = append(r.Created, s.String())
		case replace:
			r.Replaced = append(r.Replaced, s.String())
		case leaveSame:
			r.Same = append(r.Same, s.String())
		case leavePersonal:
			r.Kept = append(r.Kept, fmt.Sprintf("the %v (id %s) is left as it is: %s", &s.asset, s.ID, s.reason))
		}
	}
}
