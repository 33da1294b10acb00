package kibana_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
	"github.com/swarmgauge/swarmgauge/shipper"
)

var update = flag.Bool("update", false, "rewrite deploy/kibana/swarmgauge.ndjson and docs/dashboards.md")

// objects are the saved objects as they are committed.
func objects() []byte { return kibana.NDJSON(kibana.Objects(kibana.DefaultPrefix)) }

func TestObjectsAreValid(t *testing.T) {
	if err := kibanatest.Validate(objects()); err != nil {
		t.Error(err)
	}
}

// TestObjectsNameFieldsOfTheMapping holds the panels against the index template.
func TestObjectsNameFieldsOfTheMapping(t *testing.T) {
	fields, err := kibanatest.Fields(shipper.IndexTemplate(kibana.DefaultPrefix))
	if err != nil {
		t.Fatal(err)
	}
	if err := kibanatest.ValidateFields(objects(), fields); err != nil {
		t.Error(err)
	}
}

// TestRulesNameFieldsOfTheMapping holds the alerting rules against the index template. What a
// rule computes with has to be a number there or in the rule itself, and what it groups by a
// keyword: of a field that isn't there, Kibana would say nothing, and the rule would never fire.
func TestRulesNameFieldsOfTheMapping(t *testing.T) {
	fields, err := kibanatest.Fields(shipper.IndexTemplate(kibana.DefaultPrefix))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range kibana.Rules(kibana.DefaultPrefix, "") {
		var body struct {
			Params struct{ ESQuery, AggField, TermField, TimeField string }
		}
		if err := json.Unmarshal(rule.Body, &body); err != nil {
			t.Fatal(err)
		}
		p := body.Params
		var query struct {
			RuntimeMappings map[string]struct{ Type string } `json:"runtime_mappings"`
		}
		if err := json.Unmarshal([]byte(p.ESQuery), &query); err != nil {
			t.Fatal(err)
		}
		typ := cmp.Or(query.RuntimeMappings[p.AggField].Type, fields[p.AggField].Type)
		if p.AggField != "" && !slices.Contains([]string{"long", "float", "double"}, typ) {
			t.Errorf("%s: %s is no number", rule.Name, p.AggField)
		}
		if p.TermField != "" && fields[p.TermField].Type != "keyword" {
			t.Errorf("%s: %s is no keyword", rule.Name, p.TermField)
		}
		if fields[p.TimeField].Type != "date" {
			t.Errorf("%s: %s is no date", rule.Name, p.TimeField)
		}
	}
}

// TestCommittedObjects keeps the file for import by hand current.
func TestCommittedObjects(t *testing.T) {
	const path = "../deploy/kibana/swarmgauge.ndjson"
	if *update {
		if err := os.WriteFile(path, objects(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, objects()) {
		t.Errorf("%s is not what kibana.Objects makes: go test ./kibana -run TestCommittedObjects -update", path)
	}
}
