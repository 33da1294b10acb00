package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/shipper"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// invoke runs the program as a shell would, without its environment.
func invoke(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	code = program{args: args, environ: environ, stdout: &out, stderr: &errs}.run(ctx)
	return code, out.String(), errs.String()
}

func TestBadInputGetsOneSentence(t *testing.T) {
	f := func(environ []string, args string, want string) {
		t.Helper()
		code, stdout, stderr := invoke(t, environ, strings.Fields(args)...)
		if code != exitUsage || stdout != "" {
			t.Errorf("%s: exit %d, output %q", args, code, stdout)
		}
		if strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %q, want one line with %q", args, stderr, want)
		}
	}
	f(nil, "-storage_drivr=elasticsearch", "did you mean -storage_driver?")
	f(nil, "--housekeping-interval 1s", "did you mean -housekeeping_interval?")
	f(nil, "colect", `did you mean "collect"?`)
	f(nil, "run now", `"now" is not an option`)
	f(nil, "-port=http", `invalid value "http" for flag -port`)
	f(nil, "-port=70000", "a port is a number")
	f(nil, "-storage_driver=influx", `-storage_driver can't be "influx"`)
	f(nil, "-storage_driver=elastic", `did you mean "elasticsearch"? It is one of elasticsearch, stdout`)
	f(nil, "-storage_driver_es_index=Metrics", "in lower case: metrics")
	f(nil, "-storage_driver_es_index=a:b", "may stand in a name of an index")
	f(nil, "-listen_ip=1.2.3.4.5 -spool-dir="+t.TempDir(), `-listen_ip can't be "1.2.3.4.5"`)
	f(nil, "-storage_driver=elasticsearch,stdou", `-storage_driver can't be "stdou"; did you mean "stdout"?`)
	f(nil, "-enable_metrics=cpu,memry", `did you mean "memory"?`)
	f(nil, "-enable_metrics=cpu,memry", `no group of metrics "memry"; the groups are advtcp, app, cpu`)
	f(nil, "-disable_metrics=x", `no group of metrics "x"`)
	f(nil, "-url_base_prefix=/{x}", `-url_base_prefix can't be "/{x}"`)
	f(nil, "-prometheus_endpoint=healthz", "which is taken; the usual one is /metrics")
	f(nil, "-prometheus_endpoint=/", "the usual one is /metrics")
	f(nil, "-housekeeping_interval=3s -ship-interval=10s", "-ship-interval (10s) has to be a multiple of -housekeeping_interval (3s)")
	f(nil, "-housekeeping_interval=1ms", "the shortest is 100ms")
	f(nil, "-spool-budget=1GB", "KiB, MiB, GiB or TiB")
	f(nil, "-spool-budget=5", "the smallest is 1MiB")
	f(nil, "-es-user=a", "belong together")
	f(nil, "-es-user=a -es-password-file=b -es-api-key-file=c", "keep one")
	f(nil, "-log-level=loud", "-log-level can't be")
	f([]string{"SWARMGAUGE_PORT=x"}, "", "in SWARMGAUGE_PORT")
	f([]string{"SWARMGAUGE_PORT=1", "SWARMGAUGE_PORT_FILE=/x"}, "", "are both set")
	f([]string{"SWARMGAUGE_PORT_FILE=/does/not/exist"}, "", "SWARMGAUGE_PORT_FILE: open /does/not/exist")
}

func TestOptionsPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "user")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, rest, err := parseOptions(
		[]string{"--port=1", "-docker-only", "--storage-driver-es-index", "by-flag", "-logtostderr", "-v", "4", "--vmodule=x=1"},
		[]string{"SWARMGAUGE_PORT=2", "SWARMGAUGE_LISTEN_IP=127.0.0.1", "SWARMGAUGE_NODE_NAME_FILE=" + file, "SWARMGAUGE_SHIP_INTERVL=1s", "HOME=/"},
		os.Stderr)
	if err != nil || len(rest) != 0 {
		t.Fatal(rest, err)
	}
	if o.Port != 1 || o.ListenIP != "127.0.0.1" || o.NodeName != "from-file" || !o.DockerOnly || o.ESIndex != "by-flag" || o.ShipInterval != 10*time.Second {
		t.Errorf("got %+v", o)
	}
	if got := strings.Join(o.ignored, " "); got != "-logtostderr -vmodule" {
		t.Errorf("ignored: %q", got)
	}
	if len(o.unknown) != 1 || !strings.Contains(o.unknown[0], "did you mean SWARMGAUGE_SHIP_INTERVAL?") {
		t.Errorf("unknown: %q", o.unknown)
	}
}

func TestByteSize(t *testing.T) {
	f := func(s string, want int64) {
		t.Helper()
		var b byteSize
		if err := b.Set(s); err != nil || int64(b) != want {
			t.Errorf("%s: got %d, %v", s, b, err)
		}
	}
	f("1048576", 1<<20)
	f("1.5GiB", 3<<29)
	f("20MiB", 20<<20)
	for _, bad := range []string{"", "x", "-1", "1 GiB", "1G", "1e300", "NaN", "9999999TiB"} {
		var b byteSize
		if err := b.Set(bad); err == nil {
			t.Errorf("%q was taken as %d", bad, b)
		}
	}
	if b := byteSize(3 << 29); b.String() != "1536MiB" {
		t.Errorf("1.5 GiB is written %s", b.String())
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	o := &options{StorageDriver: "elasticsearch", ESHost: "https://user:pa@ss@es1:9200,http://es2:9200"}
	if got, want := o.destination(), "Elasticsearch at https://es1:9200,http://es2:9200"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestRepeatsAreThrottledAndCounted(t *testing.T) {
	var out bytes.Buffer
	log := newLog("info", "json", &out)
	now := time.Unix(0, 0)
	log.Core().(*throttle).seen.now = func() time.Time { return now }
	for i := range 100 {
		log.Warn("Elasticsearch is away", zap.Int("try", i))
	}
	if n := strings.Count(out.String(), "away"); n != throttlePass {
		t.Errorf("%d of 100 lines came through", n)
	}
	log.Info("something else")
	if !strings.Contains(out.String(), "something else") {
		t.Error("another message was hidden, too")
	}
	out.Reset()
	now = now.Add(throttleSpan)
	log.Warn("Elasticsearch is away")
	if !strings.Contains(out.String(), `"repeats_hidden":97`) {
		t.Errorf("a minute later: %s", out.String())
	}
}

func TestConfigurationReferenceIsCurrent(t *testing.T) {
	var want bytes.Buffer
	o := new(options)
	writeReference(o.flags(&want), &want)
	const path = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/configuration.md is stale; run: make generate")
	}
}

// writeReference writes every option as a Markdown table.
func writeReference(fs *flag.FlagSet, w *bytes.Buffer) {
	w.WriteString("# Configuration\n\nGenerated from the options (`make generate`). Precedence: flag, then environment, then default. " +
		"A flag may begin with one dash or two, and `-` and `_` in names are the same. " +
		"Each variable has a twin with `_FILE` behind its name that names a file with the value, such as a Swarm secret.\n\n" +
		"| option | environment | default | meaning |\n| --- | --- | --- | --- |\n")
	var without []string
	fs.VisitAll(func(f *flag.Flag) {
		if _, ok := f.Value.(*ignoredFlag); ok {
			without = append(without, "`-"+f.Name+"`")
			return
		}
		env := "`" + envName(f.Name) + "`"
		if f.Name == versionFlag {
			env = ""
		}
		w.WriteString("| `-" + f.Name + "` | " + env + " | `" + f.DefValue + "` | " + f.Usage + " |\n")
	})
	w.WriteString("\n## Accepted for cAdvisor's sake, without effect\n\n" + strings.Join(without, ", ") + "\n")
}

func TestHelpNamesEveryCommand(t *testing.T) {
	code, stdout, _ := invoke(t, nil, "help")
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	for _, c := range commands() {
		if !strings.Contains(stdout, c.name) {
			t.Errorf("help doesn't mention %s", c.name)
		}
	}
	code, stdout, _ = invoke(t, nil, "run", "-help")
	if code != exitOK || !strings.Contains(stdout, "SWARMGAUGE_ES_PASSWORD_FILE") || !strings.Contains(stdout, "-logtostderr") {
		t.Errorf("exit %d, help %q", code, stdout)
	}
}

func TestHealthcheckWithoutAgentFails(t *testing.T) {
	code, _, stderr := invoke(t, nil, "healthcheck", "-port=1", "-listen_ip=127.0.0.1")
	if code != exitFailure || !strings.Contains(stderr, "no agent answers") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

// An image's check knows the port of cAdvisor by a variable, or by the first process.
func TestHealthcheckFindsTheAgent(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/x/healthz" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "ok")
	}))
	defer server.Close()
	code, stdout, stderr := invoke(t, []string{"CADVISOR_HEALTHCHECK_URL=" + server.URL + "/x/healthz"}, "healthcheck")
	if code != exitOK || stdout != "ok\n" {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}

	f := func(commandLine string, want ...string) {
		t.Helper()
		if got := agentArgs(commandLine, "/agent"); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", commandLine, got, want)
		}
	}
	f("")
	f("/agent\x00")
	f("/agent\x00-port=9080\x00-logtostderr\x00", "-port=9080", "-logtostderr")
	f("/agent\x00run\x00-port\x009080\x00", "-port", "9080")
	f("/agent\x00collect\x00")
	f("/sbin/init\x00-port=9080\x00")
}

func TestTemplateIsPrintedForItsPrefix(t *testing.T) {
	code, stdout, stderr := invoke(t, nil, "template", "-storage_driver_es_index=swarm")
	if code != exitOK || stdout != string(shipper.IndexTemplate("swarm"))+"\n" {
		t.Errorf("exit %d, %q, template %q", code, stderr, stdout)
	}
	if code, _, _ := invoke(t, nil, "template", "install"); code != exitUsage {
		t.Errorf("exit %d for a command that it doesn't have", code)
	}
}

// An image without files has no machine id, and no other file of the machine's either.
func TestUnknownMachineIsANote(t *testing.T) {
	code, stdout, stderr := invoke(t, nil, "collect", "-housekeeping_interval=100ms", "-machine_id_file=/does/not/exist")
	if code != exitOK || !strings.Contains(stdout, "CONTAINER") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	if want := "note: not known of this machine: the machine id: open /does/not/exist: no such file"; !strings.Contains(stderr, want) {
		t.Errorf("got %q, want %q in it", stderr, want)
	}
}

func FuzzOptions(f *testing.F) {
	f.Add("-port=1 --docker-only -es_user x", "SWARMGAUGE_PORT=2\nSWARMGAUGE_SPOOL_BUDGET=1GiB")
	f.Fuzz(func(t *testing.T, args, environ string) {
		o, _, err := parseOptions(strings.Fields(args), strings.Split(environ, "\n"), new(bytes.Buffer))
		if (o == nil) == (err == nil) {
			t.Errorf("options %v, error %v", o, err)
		}
	})
}

func TestPasswordsAreNotShown(t *testing.T) {
	given := []string{
		"agent", "-storage_driver_es_host=https://elastic:se:cr@et@es1:9200,es2:9200", "--storage-driver-password", "secret",
		"-storage_driver_password=secret", "-storage_driver_es_host", "elastic:secret@es1:9200", "-docker_only",
	}
	want := []string{
		"agent", "-storage_driver_es_host=https://es1:9200,es2:9200", "--storage-driver-password", "…",
		"-storage_driver_password=…", "-storage_driver_es_host", "es1:9200", "-docker_only",
	}
	if got := withoutPasswords(given); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, args := range [][]string{given[1:2], given[5:7]} {
		o, _, err := parseOptions(args, nil, os.Stderr)
		if err != nil || !o.passwordShown {
			t.Errorf("%q: no warning, %v", args, err)
		}
	}
	if o, _, err := parseOptions(given[7:], []string{"SWARMGAUGE_STORAGE_DRIVER_ES_HOST=https://elastic:secret@es1:9200"}, os.Stderr); err != nil || o.passwordShown {
		t.Errorf("a warning about the command line %q, %v", given[7:], err)
	}
}

// The agent keeps the capabilities that its options make use of, and no other.
func TestCapabilitiesByOptions(t *testing.T) {
	f := func(want capabilities, args ...string) {
		t.Helper()
		o, _, err := parseOptions(args, nil, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.capabilities(); got != want {
			t.Errorf("%q: %#x, want %#x", args, got, want)
		}
	}
	const search, trace, admin = 1 << unix.CAP_DAC_READ_SEARCH, 1 << unix.CAP_SYS_PTRACE, 1 << unix.CAP_SYS_ADMIN
	f(search)
	f(search, "-enable_metrics=sched,advtcp", "-enable_load_reader")
	f(search|trace, "-enable_metrics=process")
	f(search|trace, "-enable_metrics=referenced_memory")
	f(search|trace|admin, "-enable_metrics=tcp")
	f(search|trace|admin, "-disable_metrics=tcp")
}
