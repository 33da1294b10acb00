package kibana

import (
	"encoding/json"
	"fmt"
)

// action is what setup does with an object.
type action int

const (
	leaveSame     action = iota // it is as it is to be
	leavePersonal               // a person changed it, or it is his
	create
	replace
)

// step is an object and what setup does with it.
type step struct {
	asset
	action action
	reason string // of leavePersonal
	there  *saved // nil where Kibana has none
}

// setupPlan is what setup does.
type setupPlan struct {
	steps  []step
	tag    asset
	tagged *saved // the tag as Kibana has it, nil for none
	known  record
	newer  bool // a newer agent was here: nothing is done
}

// writes tells whether there is anything to be done.
func (p *setupPlan) writes() bool {
	if p.newer {
		return false
	}
	for _, s := range p.steps {
		if s.action >= create {
			return true
		}
	}
	return p.known.begun != "" || p.tagged == nil
}

// makePlan compares what is there with what is to be.
func makePlan(assets []asset, there map[objectKey]*saved, version int, force bool) (*setupPlan, error) {
	p := new(setupPlan)
	hasTag, own := false, ""
	for _, a := range assets {
		if a.Type == "tag" {
			p.tag, p.tagged, hasTag, own = a, there[a.objectKey], true, a.description()
		}
	}
	if !hasTag {
		return nil, fmt.Errorf("there is no tag among the %d saved objects", len(assets))
	}
	// recorded tells whether the tag has a record; erased that a person wrote something else
	// in its place.
	recorded, erased := false, false
	if p.tagged != nil {
		text := p.tagged.text("description")
		p.known, recorded = parseRecord(text)
		erased = !recorded && text != own
	}
	if recorded && p.known.version > version {
		p.newer = true
	}
	for _, a := range assets {
		if a.Type == "tag" {
			continue
		}
		s := step{asset: a, there: there[a.objectKey]}
		stamp, noted := p.known.stamps[a.letters()]
		settled := recorded && p.known.begun == ""
		switch {
		case force && s.there == nil:
			s.action = create
		case force:
			s.action = replace
			if settled && p.known.version == version && stamp == s.there.stamp() && s.there.text("title") == a.title {
				s.action = leaveSame
			}
		case noted && stamp == personal:
			s.action, s.reason = leavePersonal, "it was changed by a person before"
			if s.there == nil {
				s.reason = "it was deleted by a person"
			}
		case s.there == nil && noted && settled:
			s.action, s.reason = leavePersonal, "it was deleted by a person"
		case s.there == nil:
			s.action = create
		case erased:
			s.action, s.reason = leavePersonal, fmt.Sprintf("it may have been changed by a person: the description of the tag %q, which tells, was changed", p.tag.title)
		case noted && settled && stamp != s.there.stamp():
			s.action, s.reason = leavePersonal, "it was changed by a person"
		case !noted && !s.there.Managed && p.known.begun == "":
			// One that was begun has noted what was a person's, and all else is its own.
			s.action, s.reason = leavePersonal, "it isn't managed by swarmgauge: a person has made or imported it"
		case noted && settled && p.known.version == version:
			s.action = leaveSame
		default:
			s.action = replace
		}
		p.steps = append(p.steps, s)
	}
	return p, p.agree(force)
}

// agree refuses to take the data views of an agent with other indices.
func (p *setupPlan) agree(force bool) error {
	for _, s := range p.steps {
		if force || s.Type != "index-pattern" || s.there == nil || s.action == leavePersonal {
			continue
		}
		if pattern := s.there.text("title"); pattern != s.title {
			return lasting("the dashboards in Kibana are for the indices %s, and this agent's are %s: give it a space of its own with -kibana-space, or turn the dashboards over with \"agent setup -force\"", pattern, s.title)
		}
	}
	return nil
}

// record returns what is recorded when the plan has been carried out, given what is there
// then; before it is, by whom it is begun and only what is left alone.
func (p *setupPlan) record(version int, there map[objectKey]*saved, begun string) record {
	r := record{version: version, begun: begun, stamps: make(map[string]string)}
	for _, s := range p.steps {
		switch o := there[s.objectKey]; {
		case s.action == leavePersonal:
			r.stamps[s.letters()] = personal
		case begun != "":
		case o != nil:
			r.stamps[s.letters()] = o.stamp()
		}
	}
	return r
}

// description returns that of a tag.
func (a *asset) description() string {
	var o struct{ Attributes struct{ Description string } }
	json.Unmarshal(a.line, &o) // was read before
	return o.Attributes.Description
}

// describe returns the tag with another description, and with what a person chose for its
// name and its colour.
func (p *setupPlan) describe(description string) (asset, error) {
	var line map[string]any
	if err := json.Unmarshal(p.tag.line, &line); err != nil {
		return asset{}, err
	}
	attributes, _ := line["attributes"].(map[string]any)
	if p.tagged != nil {
		for _, name := range [...]string{"name", "color"} {
			if text := p.tagged.text(name); text != "" {
				attributes[name] = text
			}
		}
	}
	attributes["description"] = description
	text, err := json.Marshal(line)
	return asset{p.tag.objectKey, p.tag.title, text}, err
}

// text returns an attribute that is a text, "" for any other.
func (o *saved) text(attribute string) string {
	var attributes map[string]json.RawMessage
	var text string
	if json.Unmarshal(o.Attributes, &attributes) != nil || json.Unmarshal(attributes[attribute], &text) != nil {
		return ""
	}
	return text
}
