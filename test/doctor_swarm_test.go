package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// A stack whose agent lacks the engine's files and what a group of metrics needs: the lines
// that doctor prints in the running agent are files on top of the stack's, and mend it.
func TestDoctorInStack(t *testing.T) {
	e := lab.EngineFor(t)
	importAgent(t, e)
	docker(t, e, "swarm", "init", "--advertise-addr", e.Addr().String())
	text, err := os.ReadFile("../deploy/swarm-global.yml")
	if err != nil {
		t.Fatal(err)
	}
	stack := strings.Replace(string(text), "SWARMGAUGE_STORAGE_DRIVER: elasticsearch\n", "SWARMGAUGE_STORAGE_DRIVER: \"\"\n", 1)
	for _, line := range []string{
		"      - ${DOCKER_ROOT:-/var/lib/docker}/containers:/var/lib/docker/containers:ro\n",
		"    hostname: \"{{.Node.Hostname}}\"\n",
	} {
		if strings.Count(stack, line) != 1 {
			t.Fatalf("the stack hasn't the line %q", line)
		}
		stack = strings.Replace(stack, line, "", 1)
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := []string{write("stack.yml", stack), write("test.yml", strings.Replace(override, "  agent:\n", `  agent:
    environment: {SWARMGAUGE_ENABLE_METRICS: "cpu,process"}
`, 1))}
	deploy := func() {
		t.Helper()
		args := []string{"stack", "deploy", "--resolve-image", "never"}
		for _, file := range files {
			args = append(args, "--compose-file", file)
		}
		cmd := exec.CommandContext(t.Context(), "docker", append(args, "gauge")...)
		cmd.Env = append(cmd.Environ(), "DOCKER_HOST="+e.Host(), "SWARMGAUGE_IMAGE="+agentImage)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	deploy()
	last := ""
	doctor := func() (code int, lines []reportLine, report string) {
		t.Helper()
		waitFor(t, 2*time.Minute, "another agent", func() error {
			id := docker(t, e, "ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=gauge_agent")
			if id == "" || id == last || strings.Contains(id, "\n") {
				return fmt.Errorf("%q, the last was %s", id, last)
			}
			last = id
			return nil
		})
		waitFor(t, time.Minute, "the agent to answer", func() error {
			_, err := e.Docker(t.Context(), "exec", last, "/agent", "healthcheck")
			return err
		})
		cmd := exec.CommandContext(t.Context(), "docker", "exec", last, "/agent", "doctor")
		cmd.Env = append(cmd.Environ(), "DOCKER_HOST="+e.Host())
		code, report = outputOf(t, cmd)
		return code, parseReport(t, report), report
	}

	code, lines, report := doctor()
	t.Logf("exit %d\n%s", code, report)
	if code != 1 || strings.Join(faultsOf(lines), " ") != "containers capabilities" || worst(lines, "node").mark != "!" {
		t.Fatalf("exit %d, faults %q", code, faultsOf(lines))
	}
	if spool := worst(lines, "spool"); spool.mark != "✓" || !strings.Contains(spool.text, "An agent that runs has it") {
		t.Errorf("%+v", spool)
	}
	for _, check := range []string{"containers", "capabilities", "node"} {
		found := worst(lines, check)
		if found.at != "stack file" {
			t.Fatalf("%+v isn't for the stack", found)
		}
		files = append(files, write(check+".yml", found.mend+"\n"))
	}
	deploy()
	code, lines, report = doctor()
	if code != 0 || len(faultsOf(lines)) > 0 {
		t.Errorf("exit %d\n%s", code, report)
	}
	for _, check := range []string{"containers", "capabilities", "node"} {
		if found := worst(lines, check); found.mark != "✓" {
			t.Errorf("%+v", found)
		}
	}
	if place := worst(lines, "place"); !strings.Contains(place.text, "in a service of a stack (agent)") {
		t.Errorf("%+v", place)
	}

	// A wrong password in a Swarm secret, which can't be changed.
	docker(t, e, "secret", "create", "password", write("password", "Wrong-Horse"))
	files = append(files, write("elasticsearch.yml", fmt.Sprintf(`
version: "3.8"
services:
  agent:
    environment: {SWARMGAUGE_STORAGE_DRIVER: elasticsearch, SWARMGAUGE_STORAGE_DRIVER_ES_HOST: %q, SWARMGAUGE_ES_USER: anna, SWARMGAUGE_ES_PASSWORD_FILE: /run/secrets/password}
    secrets: [password]
secrets: {password: {external: true}}
`, wantsPassword(t, e, "anna", "Correct-Horse"))))
	deploy()
	code, lines, report = doctor()
	found := worst(lines, "elasticsearch")
	if code != 1 || found.at != "stack file" || !strings.Contains(found.text, "doesn't accept the credentials") {
		t.Fatalf("exit %d\n%s", code, report)
	}
	_, first, _ := strings.Cut(found.mend, " # first, on a manager: ")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(first, "PASSWORD", "Correct-Horse", 1))
	cmd.Env = append(cmd.Environ(), "DOCKER_HOST="+e.Host())
	if out, err := cmd.CombinedOutput(); err != nil || first == "" {
		t.Fatalf("%s: %v, %s", first, err, out)
	}
	files = append(files, write("secret.yml", found.mend+"\n"))
	deploy()
	code, lines, report = doctor()
	if found := worst(lines, "elasticsearch"); code != 0 || found.mark != "✓" {
		t.Errorf("exit %d\n%s", code, report)
	}
	if _, err := e.Docker(t.Context(), "stack", "rm", "gauge"); err != nil {
		t.Error(err)
	}
}

// wantsPassword starts a fake Elasticsearch that containers of the engine reach and that one
// user may do everything in.
func wantsPassword(t testing.TB, e *lab.Engine, user, password string) (address string) {
	t.Helper()
	fake := estest.New()
	s := serverFor(t, e, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		u, p, _ := r.BasicAuth()
		switch {
		case u != user || p != password:
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":{"type":"security_exception","reason":"unable to authenticate user"}}`)
		case r.URL.Path == "/":
			io.WriteString(w, `{"cluster_name":"fake","cluster_uuid":"u1","version":{"number":"8.19.21"}}`)
		case r.URL.Path == "/_security/_authenticate":
			io.WriteString(w, `{"username":"anna","roles":["agent"],"authentication_realm":{"name":"files"}}`)
		case r.URL.Path == "/_security/user/_has_privileges":
			io.WriteString(w, `{"index":{"cadvisor-*":{"create_doc":true,"auto_configure":true,"view_index_metadata":true,"delete_index":true}}}`)
		default:
			fake.ServeHTTP(w, r)
		}
	}))
	s.Start()
	return s.URL
}
