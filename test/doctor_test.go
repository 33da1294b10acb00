package test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Deployments that are broken in one way each: "agent doctor" says what is wrong, and with
// what it prints added, as it stands, all is well. Nobody thinks in between.

// flagsOf are flags of docker run: each with its value.
type flagsOf [][2]string

// soundFlags are those of a deployment in which nothing that is needed is missing.
func soundFlags(e *lab.Engine) flagsOf {
	return flagsOf{
		{"-v", "/proc:/host/proc:ro"},
		{"-v", "/sys/fs/cgroup:/host/sys/fs/cgroup:ro"},
		{"-v", e.DataRoot() + "/containers:/var/lib/docker/containers:ro"},
		{"-v", "spool:/var/lib/swarmgauge"},
		{"--cap-drop", "ALL"}, {"--memory", "128m"}, {"--hostname", "node1"},
	}
}

// key is what a flag is about: two with the same can't stand side by side.
func key(flag [2]string) string {
	switch flag[0] {
	case "-v":
		return flag[0] + strings.Split(flag[1], ":")[1]
	case "-e":
		name, _, _ := strings.Cut(flag[1], "=")
		return flag[0] + name
	case "--cap-add":
		return flag[0] + flag[1]
	}
	return flag[0]
}

// with returns the flags with others in place of those that are about the same.
func (f flagsOf) with(others ...[2]string) flagsOf {
	all := slices.Clone(f)
	for _, other := range others {
		all = slices.DeleteFunc(all, func(flag [2]string) bool { return key(flag) == key(other) })
		all = append(all, other)
	}
	return all
}

// without returns the flags without one.
func (f flagsOf) without(about string) flagsOf {
	return slices.DeleteFunc(slices.Clone(f), func(flag [2]string) bool { return key(flag) == about })
}

// parseFlags reads flags as a shell would, each of which has a value behind a space.
func parseFlags(t testing.TB, line string) (flags flagsOf) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\n' `+line).Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(words)%2 != 0 {
		t.Fatalf("%q aren't flags with values", words)
	}
	for i := 0; i < len(words); i += 2 {
		flags = append(flags, [2]string{words[i], words[i+1]})
	}
	return flags
}

// runDoctor runs agent doctor in a container with these flags and returns what it printed.
func runDoctor(t testing.TB, e *lab.Engine, flags flagsOf) (code int, report string) {
	t.Helper()
	args := []string{"run", "--rm", "--read-only"}
	for _, flag := range flags {
		args = append(args, flag[0], flag[1])
	}
	cmd := exec.CommandContext(t.Context(), "docker", append(args, agentImage, "doctor")...)
	cmd.Env = append(cmd.Environ(), "DOCKER_HOST="+e.Host())
	return outputOf(t, cmd)
}

func outputOf(t testing.TB, cmd *exec.Cmd) (code int, stdout string) {
	t.Helper()
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if len(exit.Stderr) > 0 {
			t.Fatalf("%q: %s", cmd.Args, exit.Stderr)
		}
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return 0, string(out)
}

// line is a finding of a report, and the line below it that mends it.
type reportLine struct{ mark, check, text, at, mend string }

func parseReport(t testing.TB, report string) (lines []reportLine) {
	t.Helper()
	width := 0
	for line := range strings.Lines(report) {
		line = strings.TrimSuffix(line, "\n")
		mark, rest, _ := strings.Cut(line, " ")
		switch {
		case slices.Contains([]string{"✓", "?", "!", "✗"}, mark):
			check, text, ok := strings.Cut(rest, "  ")
			if !ok {
				t.Fatalf("the line %q has no text", line)
			}
			if width == 0 {
				width = len(rest) - len(strings.TrimLeft(text, " "))
			}
			lines = append(lines, reportLine{mark: mark, check: check, text: strings.TrimSpace(text)})
		case strings.HasPrefix(line, "    ") && len(lines) > 0:
			last := &lines[len(lines)-1]
			last.at, last.mend, _ = strings.Cut(strings.TrimSpace(line), ": ")
		}
	}
	return lines
}

// worst returns the mark of a check, the worst if there are several lines of it.
func worst(lines []reportLine, check string) (found reportLine) {
	for _, mark := range []string{"✗", "!", "?", "✓"} {
		for _, line := range lines {
			if line.check == check && line.mark == mark {
				return line
			}
		}
	}
	return found
}

func faultsOf(lines []reportLine) (all []string) {
	for _, line := range lines {
		if line.mark == "✗" {
			all = append(all, line.check)
		}
	}
	return all
}

// broken is a deployment, and what doctor has to say of it.
type broken struct {
	name  string
	flags flagsOf
	check string
	mark  string // "✗" if empty
	text  string // part of it
	// known are what only a person knows: doctor prints it in capitals.
	known *strings.Replacer
	// apply does what isn't for docker run, nil if nothing is.
	apply func(t *testing.T, at, mend string)
}

func TestDoctor(t *testing.T) {
	e := lab.EngineFor(t)
	importAgent(t, e)
	docker(t, e, "run", "--detach", "--name", "busy", "--volume", "data:/data", lab.BusyboxImage, "sleep", "1000")
	sound := soundFlags(e)

	// Spools that the agent may not write to.
	foreign := filepath.Join(t.TempDir(), "spool")
	if err := errors.Join(os.Mkdir(foreign, 0o755), os.Chown(foreign, 1000, 1000)); err != nil {
		t.Fatal(err)
	}
	onNode := func(t *testing.T, at, mend string) {
		t.Helper()
		if at != "on the node" {
			t.Fatalf("the mend is for %q", at)
		}
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", mend).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v, %s", mend, err, out)
		}
	}
	elsewhere := t.TempDir() // as /var/lib/docker/containers is, where nothing of the engine is
	metrics := func(groups string) [2]string { return [2]string{"-e", "SWARMGAUGE_ENABLE_METRICS=" + groups} }

	for _, b := range []broken{
		{name: "containers", flags: sound.without("-v/var/lib/docker/containers"), check: "containers", text: "have ids in place of names"},
		{name: "proc", flags: sound.without("-v/host/proc"), check: "proc", text: "isn't mounted at /host/proc"},
		{name: "own proc", flags: sound.with([2]string{"-e", "SWARMGAUGE_PROC_ROOT=/proc"}), check: "proc", text: "/proc is a container's own"},
		{name: "cgroups", flags: sound.without("-v/host/sys/fs/cgroup"), check: "cgroups", text: "aren't at /host/sys/fs/cgroup"},
		{name: "own cgroups", flags: sound.with([2]string{"-e", "SWARMGAUGE_CGROUP_ROOT=/sys/fs/cgroup"}), check: "cgroups", text: "shows a part of the cgroups only"},
		{name: "spool read-only", flags: sound.with([2]string{"-v", "spool:/var/lib/swarmgauge:ro"}), check: "spool", text: "read-only file system"},
		{name: "spool of another user", flags: sound.with([2]string{"-v", foreign + ":/var/lib/swarmgauge"}), check: "spool", text: "belongs to user 1000", apply: onNode},
		{name: "process", flags: sound.with(metrics("cpu,process")), check: "capabilities", text: "process is on, and the agent lacks DAC_READ_SEARCH and SYS_PTRACE"},
		{name: "sockets", flags: sound.with(metrics("cpu,tcp")), check: "capabilities", mark: "!", text: "counted the slow way"},
		{name: "data root", flags: sound.with([2]string{"-v", elsewhere + ":/var/lib/docker/containers:ro"}), check: "containers", text: "isn't this engine's"},
		{name: "memory", flags: sound.with([2]string{"--memory", "24m"}), check: "memory", text: "24 MiB"},
		{name: "open files", flags: sound.with([2]string{"--ulimit", "nofile=300:300"}), check: "open files", mark: "!", text: "opened at each reading"},
		{name: "user", flags: sound.with([2]string{"--user", "1000"}), check: "containers", text: "has to be uid 0"},
	} {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			b.test(t, e)
		})
	}
	t.Run("Elasticsearch", func(t *testing.T) {
		t.Parallel()
		testDoctorElasticsearch(t, e, sound)
	})
}

// Agents that run: one that has the spool is as it should be, a second one isn't.
func TestDoctorBesideAgents(t *testing.T) {
	e := lab.EngineFor(t)
	importAgent(t, e)
	run := func(name string, flags flagsOf) {
		t.Helper()
		args := []string{"run", "--detach", "--name", name}
		for _, flag := range flags {
			args = append(args, flag[0], flag[1])
		}
		docker(t, e, append(args, agentImage)...)
		waitFor(t, 30*time.Second, "the agent to answer", func() error {
			_, err := e.Docker(t.Context(), "exec", name, "/agent", "healthcheck")
			return err
		})
	}
	beside := func(name string) (code int, report string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "docker", "exec", name, "/agent", "doctor")
		cmd.Env = append(cmd.Environ(), "DOCKER_HOST="+e.Host())
		return outputOf(t, cmd)
	}
	sound := soundFlags(e)
	run("first", sound)
	check := func(code int, report, agents string) {
		t.Helper()
		lines := parseReport(t, report)
		spool := worst(lines, "spool")
		if code != 0 || spool.mark != "✓" || !strings.Contains(spool.text, "An agent that runs has it") || worst(lines, "agents").mark != agents {
			t.Fatalf("exit %d\n%s", code, report)
		}
	}
	code, report := beside("first")
	check(code, report, "✓")
	if found := worst(parseReport(t, report), "agent"); found.text != "An agent answers on port 8080." {
		t.Errorf("%+v", found)
	}
	code, report = runDoctor(t, e, sound)
	check(code, report, "✓")

	run("second", sound.with([2]string{"-v", "another:/var/lib/swarmgauge"}))
	code, report = beside("first")
	check(code, report, "!")
	found := worst(parseReport(t, report), "agents")
	if found.at != "on the node" || found.mend != "docker stop second" {
		t.Fatalf("%+v", found)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", found.mend)
	cmd.Env = append(cmd.Environ(), "DOCKER_HOST="+e.Host())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	code, report = beside("first")
	check(code, report, "✓")
}

// importAgent gives the engine an image of the agent as the Dockerfile makes it.
func importAgent(t testing.TB, e *lab.Engine) {
	t.Helper()
	if err := e.Import(t.Context(), agentImage, []lab.File{{Name: "/agent", Source: buildAgent(t)}}, finalStage(t, "../Dockerfile")...); err != nil {
		t.Fatal(err)
	}
}

// test runs doctor, does what it says, and runs it again.
func (b *broken) test(t *testing.T, e *lab.Engine) {
	if b.mark == "" {
		b.mark = "✗"
	}
	code, report := runDoctor(t, e, b.flags)
	lines := parseReport(t, report)
	found := worst(lines, b.check)
	want := 1
	if b.mark == "!" {
		want = 0
	}
	if code != want || found.mark != b.mark || !strings.Contains(found.text, b.text) || found.mend == "" {
		t.Fatalf("exit %d, %+v in\n%s", code, found, report)
	}
	t.Logf("%s\n%s: %s", found.text, found.at, found.mend)
	mend := found.mend
	if b.known != nil {
		mend = b.known.Replace(mend)
	}
	if b.apply != nil {
		b.apply(t, found.at, mend)
	} else {
		if found.at != "docker run" {
			t.Fatalf("the mend is for %q", found.at)
		}
		b.flags = b.flags.with(parseFlags(t, mend)...)
	}
	code, report = runDoctor(t, e, b.flags)
	lines = parseReport(t, report)
	if found := worst(lines, b.check); code != 0 || found.mark != "✓" || len(faultsOf(lines)) > 0 {
		t.Fatalf("after %s: exit %d, %+v in\n%s", mend, code, found, report)
	}
}

// testDoctorElasticsearch is about an Elasticsearch with security.
func testDoctorElasticsearch(t *testing.T, e *lab.Engine, sound flagsOf) {
	const roles = `
ships:
  cluster: [manage_index_templates, monitor]
  indices: [{names: ["cadvisor-*"], privileges: [create_doc, auto_configure]}]
reads:
  indices: [{names: ["cadvisor-*"], privileges: [read]}]
`
	s := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{
		Addr:  e.Gateway(),
		Users: []lab.ElasticsearchUser{{Name: "admin", Password: "Correct-Admin"}, {Name: "shipper", Password: "Correct-Horse", Roles: []string{"ships"}}, {Name: "weak", Password: "Correct-Weak", Roles: []string{"reads", "swarmgauge-agent"}}},
		Roles: roles,
	})
	password := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(password, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("Correct-Horse")
	to := func(url, user string) flagsOf {
		return sound.with([2]string{"-e", "SWARMGAUGE_STORAGE_DRIVER=elasticsearch"}, [2]string{"-e", "SWARMGAUGE_STORAGE_DRIVER_ES_HOST=" + url},
			[2]string{"-e", "SWARMGAUGE_ES_USER=" + user}, [2]string{"-e", "SWARMGAUGE_ES_PASSWORD_FILE=/secret/password"},
			[2]string{"-v", password + ":/secret/password:ro"})
	}
	nobody := "http://" + netip.AddrPortFrom(e.Gateway(), uint16(freePort(t))).String()
	for _, b := range []broken{
		{name: "address", flags: to(nobody, "shipper"), check: "elasticsearch", text: "nothing listens at",
			known: strings.NewReplacer("http://ELASTICSEARCH:9200", s.URL())},
		{name: "scheme", flags: to(strings.Replace(s.URL(), "http:", "https:", 1), "shipper"), check: "elasticsearch", text: "doesn't speak TLS"},
		{name: "no user", flags: to(s.URL(), "shipper").without("-eSWARMGAUGE_ES_USER").without("-eSWARMGAUGE_ES_PASSWORD_FILE"), check: "elasticsearch", text: "wants to know who asks",
			known: strings.NewReplacer("USER ", "shipper ", "/PATH/OF/A/FILE/WITH/THE/PASSWORD", password)},
	} {
		t.Run(b.name, func(t *testing.T) { b.test(t, e) })
	}
	t.Run("password", func(t *testing.T) {
		write("Wrong-Horse")
		b := broken{flags: to(s.URL(), "shipper"), check: "elasticsearch", text: "doesn't accept the credentials",
			known: strings.NewReplacer("PASSWORD", "Correct-Horse"),
			apply: func(t *testing.T, at, mend string) {
				if out, err := exec.CommandContext(t.Context(), "sh", "-c", mend).CombinedOutput(); at != "on the node" || err != nil {
					t.Fatalf("%s: %s: %v, %s", at, mend, err, out)
				}
			}}
		b.test(t, e)
	})
	t.Run("privileges", func(t *testing.T) {
		write("Correct-Weak")
		b := broken{flags: to(s.URL(), "weak"), check: "privileges", text: "lacks create_doc on cadvisor-*, auto_configure on cadvisor-*",
			apply: func(t *testing.T, at, mend string) {
				// The server of the tests lacks the module that keeps roles, and takes them
				// from a file, where JSON is YAML: PUT _security/role/NAME {…}
				request := strings.SplitN(mend, " ", 3)
				name, ok := strings.CutPrefix(request[1], "_security/role/")
				if at != "on Elasticsearch" || len(request) != 3 || request[0] != "PUT" || !ok {
					t.Fatalf("%s: %s", at, mend)
				}
				if err := s.SetRoles(roles + name + ": " + request[2] + "\n"); err != nil {
					t.Fatal(err)
				}
				waitFor(t, 30*time.Second, "the role", func() error {
					if code, report := runDoctor(t, e, to(s.URL(), "weak")); code != 0 {
						return errors.New(report)
					}
					return nil
				})
			}}
		b.test(t, e)
	})
	t.Run("template", func(t *testing.T) {
		write("Correct-Horse")
		b := broken{flags: to(s.URL(), "shipper").with([2]string{"-e", "SWARMGAUGE_ES_TEMPLATE=false"}), check: "template", text: "somebody else installs it"}
		b.test(t, e)
	})
	t.Run("alias", func(t *testing.T) {
		write("Correct-Admin")
		day := "cadvisor-" + time.Now().UTC().Format("2006.01.02")
		mustAsk[any](t, s, http.MethodPut, "/roll-000001", map[string]any{"aliases": map[string]any{day: map[string]any{}}})
		b := broken{flags: to(s.URL(), "admin"), check: "template", text: "is an alias (of roll-000001)", apply: func(t *testing.T, at, mend string) {
			body, ok := strings.CutPrefix(mend, "POST _aliases ")
			if at != "on Elasticsearch" || !ok {
				t.Fatalf("%s: %s", at, mend)
			}
			mustAsk[any](t, s, http.MethodPost, "/_aliases", json.RawMessage(body))
		}}
		b.test(t, e)
	})
	t.Run("authority", func(t *testing.T) {
		write("Correct-Horse")
		a := newAuthority(t, "the authority")
		pair, err := tls.X509KeyPair(a.issue(t, time.Now().Add(time.Hour), e.Gateway().AsSlice()))
		if err != nil {
			t.Fatal(err)
		}
		back, err := url.Parse(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		proxy := serverFor(t, e, httputil.NewSingleHostReverseProxy(back))
		proxy.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
		proxy.StartTLS()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, []byte(certificatePEM(a.der)), 0o644); err != nil {
			t.Fatal(err)
		}
		b := broken{flags: to(proxy.URL, "shipper"), check: "elasticsearch", text: "signed by an authority that isn't trusted here",
			known: strings.NewReplacer("/PATH/OF/A/FILE/WITH/THE/CA", ca)}
		b.test(t, e)
	})
	t.Run("peers", func(t *testing.T) {
		mustAsk[any](t, s, http.MethodPut, "/_index_template/cadvisor", json.RawMessage(shipper.IndexTemplate("cadvisor")))
		for node, ago := range map[string]time.Duration{"node1": 0, "node2": time.Minute, "node3": 2 * time.Hour, "node4": 30 * time.Hour} {
			at := time.Now().Add(-ago).UTC()
			mustAsk[any](t, s, http.MethodPost, "/cadvisor-"+at.Format("2006.01.02")+"/_doc?refresh=true",
				map[string]any{"@timestamp": at.Format(time.RFC3339Nano), "event.dataset": "swarmgauge.agent", "host.name": node, "swarm.node.id": "id-" + node})
		}
		write("Correct-Weak")
		code, report := runDoctor(t, e, to(s.URL(), "weak"))
		found := worst(parseReport(t, report), "peers")
		want := regexp.MustCompile(`^Other agents that have shipped within 5 minutes: node2 \(1m\d+s ago\)\. Within the last day and not since: node3 \(2h0m\d+s ago\)\.$`)
		if code != 0 || found.mark != "!" || !want.MatchString(found.text) || found.at != "on those nodes" || found.mend == "" {
			t.Errorf("exit %d, %+v", code, found)
		}
		write("Correct-Horse")
		code, report = runDoctor(t, e, to(s.URL(), "shipper"))
		if found := worst(parseReport(t, report), "peers"); code != 0 || found.mark != "?" || !strings.Contains(found.text, "the privilege read on cadvisor-*") {
			t.Errorf("exit %d, %+v", code, found)
		}
		write("Correct-Weak")
	})
	code, report := runDoctor(t, e, to(s.URL(), "weak"))
	if found := worst(parseReport(t, report), "TLS"); code != 0 || found.mark != "!" || !strings.Contains(found.text, "plain text") {
		t.Errorf("exit %d, %+v", code, found)
	}
	write("Correct-Horse")
	code, report = runDoctor(t, e, to(s.URL(), "shipper"))
	if found := worst(parseReport(t, report), "clock"); code != 0 || found.mark != "✓" || !strings.Contains(found.text, "agrees with Elasticsearch's") {
		t.Errorf("exit %d, %+v", code, found)
	}
	for _, secret := range []string{"Correct-Weak", "Correct-Horse"} {
		if strings.Contains(report, secret) {
			t.Errorf("the report shows a password:\n%s", report)
		}
	}
}
