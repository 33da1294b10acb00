package kibana_test

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
)

func TestObjectsAreValid(t *testing.T) {
	if err := kibanatest.Validate(kibana.NDJSON(kibana.Objects(kibana.DefaultPrefix))); err != nil {
		t.Error(err)
	}
}
