package kibana_test

import (
	"bytes"
	"flag"
	"os"
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
