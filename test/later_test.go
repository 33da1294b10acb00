package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// An agent that knows no Elasticsearch keeps what it samples, and the first one that does
// delivers all of it.
func testConfiguredLater(t *testing.T, g *target, prefix string) {
	a := startAgent(t, g.options(prefix, "-storage_driver=")...)
	began := time.Now()
	var kept delivery
	waitFor(t, 20*time.Second, "six seconds in the spool", func() error {
		if kept = a.delivery(t); kept.Pending < 20 || time.Since(began) < 6*time.Second {
			return errNotYet
		}
		return nil
	})
	if n, err := count(t, g.ElasticsearchServer, g.index, nil); n > 0 || total(kept.Dropped) > 0 {
		t.Fatalf("%d documents went to an Elasticsearch that wasn't named (%v), %v were dropped", n, err, kept.Dropped)
	}
	a.stopInTime(t)
	stopped := time.Now().Unix()

	a = startAgent(t, g.options(prefix, "-es-user=agent", "-es-password-file="+g.file(t, "password", agentPassword))...)
	g.awaitDelivery(t, a, 90*time.Second)
	if found := a.delivery(t).Found; found < kept.Pending {
		t.Errorf("%d documents were found in the spool, of %d at least", found, kept.Pending)
	}
	a.stopInTime(t)
	docs := documents(t, g.ElasticsearchServer, g.index, nil)
	checkOnce(t, docs)
	gaps := gapsOf(t, docs)
	for subject, slots := range slotsOf(docs, prefix) {
		slots = slices.DeleteFunc(slots, func(slot int64) bool { return slot > stopped })
		if len(slots) < 4 {
			t.Errorf("%s has documents for the slots %d of those before Elasticsearch was named", subject, slots)
			continue
		}
		if absent := untold(slots, gaps, slots[0], slots[len(slots)-1]); len(absent) > 0 {
			t.Errorf("%s has no documents for the slots %d", subject, absent)
		}
	}
}

// A cluster that is read-only before there is a template is told as that, and not as a right
// that the user lacks. Once it is lifted everything is there.
func TestReadOnlyCluster(t *testing.T) {
	lab.Need(t, lab.Elasticsearch)
	prefix := cgroupsOfTest(t, "one", "two", "three")
	g := newTarget(t, lab.ElasticsearchFor(t, lab.ElasticsearchConfig{}), "blocked")
	block := func(value any) {
		t.Helper()
		mustAsk[any](t, g.ElasticsearchServer, http.MethodPut, "/_cluster/settings", map[string]any{"persistent": map[string]any{"cluster.blocks.read_only": value}})
	}
	block(true)
	a := startAgent(t, g.options(prefix)...)
	a.awaitProblem(t, "blocked for writing", "cluster.blocks.read_only")
	if problems := strings.Join(a.health(t).Problems, "\n"); strings.Contains(problems, "privilege") {
		t.Errorf("told as a right that is lacking: %s", problems)
	}
	block(nil)
	g.awaitWhole(t, a, prefix)
}
