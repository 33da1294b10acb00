package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckConfigTellsOrigins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte("https://elastic:Correct@Horse@es1:9200,es2:9200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{
		"SWARMGAUGE_STORAGE_DRIVER=elasticsearch", "SWARMGAUGE_STORAGE_DRIVER_ES_HOST_FILE=" + file,
		"SWARMGAUGE_SHIP_INTERVL=1s", "SWARMGAUGE_PORT=2", "HOME=/",
	}
	args := []string{"check-config", "--json", "--port=1", "-housekeeping-interval=15s", "-v=4", "-logtostderr", "-docker-tls-ca=x", "-storage_driver_password=Correct"}
	code, stdout, stderr := invoke(t, environ, args...)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	if strings.Contains(stdout, "Correct") || strings.Contains(stdout, "Horse") {
		t.Errorf("a password is shown:\n%s", stdout)
	}
	var got configuration
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]setting{
		"storage_driver":         {"storage_driver", "SWARMGAUGE_STORAGE_DRIVER", "elasticsearch", "SWARMGAUGE_STORAGE_DRIVER"},
		"storage_driver_es_host": {"storage_driver_es_host", "SWARMGAUGE_STORAGE_DRIVER_ES_HOST", "https://…@es1:9200,es2:9200", "SWARMGAUGE_STORAGE_DRIVER_ES_HOST_FILE (" + file + ")"},
		"port":                   {"port", "SWARMGAUGE_PORT", "1", "flag"},
		"housekeeping_interval":  {"housekeeping_interval", "SWARMGAUGE_HOUSEKEEPING_INTERVAL", "15s", "flag"},
		"ship-interval":          {"ship-interval", "SWARMGAUGE_SHIP_INTERVAL", "15s", "follows from -housekeeping_interval"},
		"log-level":              {"log-level", "SWARMGAUGE_LOG_LEVEL", "debug", "follows from -v"},
		"v":                      {"v", "SWARMGAUGE_V", "4", "flag"},
		"docker-tls-ca":          {"docker-tls-ca", "SWARMGAUGE_DOCKER_TLS_CA", "x", "flag"},
	}
	for _, s := range got.Options {
		if s != want[s.Name] {
			t.Errorf("%+v, want %+v", s, want[s.Name])
		}
		delete(want, s.Name)
	}
	for name := range want {
		t.Errorf("-%s isn't told", name)
	}
	remarks := strings.Join(got.Remarks, "\n")
	for _, part := range []string{
		"-logtostderr of cAdvisor has no effect here", "-storage_driver_password of cAdvisor has no effect here",
		"SWARMGAUGE_SHIP_INTERVL; did you mean SWARMGAUGE_SHIP_INTERVAL?", "-docker-tls-ca has no effect here: it is for -docker-tls",
	} {
		if !strings.Contains(remarks, part) {
			t.Errorf("no remark has %q:\n%s", part, remarks)
		}
	}
	if len(got.Remarks) != 4 {
		t.Errorf("%d remarks:\n%s", len(got.Remarks), remarks)
	}
}

// Each fault has a sentence of its own.
func TestCheckConfigTellsAllFaults(t *testing.T) {
	f := func(environ []string, args string, want ...string) {
		t.Helper()
		code, stdout, stderr := invoke(t, environ, append([]string{"check-config"}, strings.Fields(args)...)...)
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		if code != exitUsage || len(lines) != len(want) {
			t.Fatalf("%s: exit %d, %q, %q", args, code, stdout, stderr)
		}
		for i, part := range want {
			if !strings.HasPrefix(lines[i], "agent: ") || !strings.Contains(lines[i], part) {
				t.Errorf("%s: %q, want %q in it", args, lines[i], part)
			}
		}
	}
	f(nil, "-log-level=loud -spool-budget=1 -es-user=a", "-log-level can't be", "belong together", "the smallest is 1MiB")
	f([]string{"SWARMGAUGE_PORT=x", "SWARMGAUGE_DOCKER_ONLY=y"}, "", "in SWARMGAUGE_DOCKER_ONLY", "in SWARMGAUGE_PORT")
	f(nil, "-housekeping-interval=1s", "did you mean -housekeeping_interval?")
	f(nil, "now", `"now" is not an option`)
	f(nil, "-storage_driver=elasticsearch -storage_driver_es_host=ftp://x -docker=nowhere -http_auth_file=/does/not/exist",
		"-http_auth_file: ", `the engine's address "nowhere"`, `"ftp://x" isn't an http or https URL`)
}

func TestCheckConfigAll(t *testing.T) {
	code, stdout, _ := invoke(t, nil, "check-config")
	if code != exitOK || !strings.Contains(stdout, "at its default") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	code, stdout, _ = invoke(t, nil, "check-config", "-all")
	if code != exitOK || !strings.Contains(stdout, "-spool-budget ") || strings.Contains(stdout, "-logtostderr") || strings.Contains(stdout, "-json") {
		t.Errorf("exit %d, %q", code, stdout)
	}
}
