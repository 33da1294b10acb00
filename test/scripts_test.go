package test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// TestScripts has shellcheck look at the shell scripts.
func TestScripts(t *testing.T) {
	var scripts []string
	for _, pattern := range []string{"../deploy/*.sh", "../deploy/security/*.sh", "../.ci/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no scripts match %s (%v)", pattern, err)
		}
		scripts = append(scripts, found...)
	}
	if out, err := exec.CommandContext(t.Context(), lab.Tool(t, "shellcheck", "shellcheck"), scripts...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}
