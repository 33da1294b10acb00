package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// kibanaImage is an image with the fake Kibana, and with what the stack file's health check
// asks with.
const kibanaImage = "kibana:test"

const kibanaCurl = `#!/bin/sh
for url; do :; done
exec wget -q -O /dev/null "$url"
`

// buildKibanaImage makes kibanaImage in an engine.
func buildKibanaImage(t testing.TB, e *lab.Engine) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "kibana")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "./lab/cmd/kibana")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	box, err := lab.Busybox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = e.Import(t.Context(), kibanaImage, []lab.File{
		{Name: "/", Source: box}, {Name: "/kibana", Source: binary}, {Name: "/usr/bin/curl", Data: kibanaCurl},
	}, `CMD ["/kibana"]`)
	if err != nil {
		t.Fatal(err)
	}
}

// checkSetUp returns what a Kibana lacks of all that deploy/kibana/ has for import by hand.
func checkSetUp(t testing.TB, kibana string) error {
	t.Helper()
	wanted, objects := exportOfAll(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, kibana+"/api/saved_objects/_export", strings.NewReader(wanted))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("kbn-xsrf", "test")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s (%v)", response.Status, answer, err)
	}
	// The last line counts the others.
	if n := bytes.Count(bytes.TrimSpace(answer), []byte("\n")); n != objects {
		return fmt.Errorf("%d objects, want %d", n, objects)
	}
	return nil
}

// exportOfAll returns the request for an export of all that deploy/kibana/ has, and how many
// objects that are.
func exportOfAll(t testing.TB) (request string, objects int) {
	t.Helper()
	type object struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}
	file, err := os.ReadFile("../deploy/kibana/swarmgauge.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var wanted struct {
		Objects []object `json:"objects"`
	}
	for line := range bytes.Lines(file) {
		var o object
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		wanted.Objects = append(wanted.Objects, o)
	}
	body, err := json.Marshal(wanted)
	if err != nil || len(wanted.Objects) == 0 {
		t.Fatalf("%d objects (%v)", len(wanted.Objects), err)
	}
	return string(body), len(wanted.Objects)
}
