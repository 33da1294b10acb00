package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// TestLifecyclePolicyIsValid has Elasticsearch's own code parse and validate the policy of
// -setup-ilm: the servers of the lab lack the module that would take it.
func TestLifecyclePolicyIsValid(t *testing.T) {
	lab.Need(t, lab.Classes)
	policy := string(shipper.LifecyclePolicy(30 * 24 * time.Hour))
	var files, want []string
	add := func(name, text, verdict string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files, want = append(files, path), append(want, verdict)
	}
	add("days", policy, "taken, deletes after 31d")
	add("hours", string(shipper.LifecyclePolicy(90*time.Minute)), "taken, deletes after 1530m")
	// The judge judges: what a server refuses, it refuses.
	add("no actions", strings.Replace(policy, `"hot":{"actions":{}}`, `"hot":{}`, 1), "refused: ")
	add("no such action", strings.Replace(policy, `"actions":{"delete":{}}`, `"actions":{"forget":{}}`, 1), "refused: ")
	add("no such phase", strings.Replace(policy, `"hot":{"actions":{}}`, `"tepid":{"actions":{}}`, 1), "refused: ")
	out, err := lab.RunOnElasticsearch(t.Context(), "ilm/Judge.java", files...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d verdicts, want %d:\n%s", len(lines), len(want), out)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("%s: %s, want %s", filepath.Base(files[i]), line, want[i])
		}
	}
}
