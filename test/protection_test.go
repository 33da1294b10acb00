package test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// statusOf returns a field of /proc/<pid>/status for each thread of the process.
func statusOf(t testing.TB, pid int, field string) (values []string) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, field+":"); ok {
				values = append(values, strings.TrimSpace(value))
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// spoolOnly are options of an agent that measures and delivers to nobody.
func spoolOnly(t testing.TB, more ...string) []string {
	return append([]string{
		"-docker_only", "-docker=", "-podman=", "-containerd=", "-docker_root=" + t.TempDir(),
		"-housekeeping_interval=200ms", "-ship-interval=200ms", "-spool-dir=" + filepath.Join(t.TempDir(), "spool"),
	}, more...)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		lab.Lack(t, "This test gives rights to an agent: run it as root (sudo go test ./test -run "+t.Name()+")")
	}
}

// What root has given the agent and no option makes use of is gone, on all of its threads and
// for good.
func TestRightsAreGivenUp(t *testing.T) {
	needRoot(t)
	given, err := strconv.ParseUint(statusOf(t, os.Getpid(), "CapBnd")[0], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	setpriv := lab.Tool(t, "setpriv", "util-linux")
	f := func(name, bounding string, keep uint64, options ...string) {
		t.Run(name, func(t *testing.T) {
			under := []string{"sh", "-c", `umask 0 && exec "$@"`, "sh", setpriv, "--bounding-set=" + bounding}
			a := launchAgent(t, under, spoolOnly(t, options...)...)
			a.awaitAnswer(t)
			pid := a.cmd.Process.Pid
			for field, want := range map[string]string{
				"CapPrm": fmt.Sprintf("%016x", keep&given), "CapEff": fmt.Sprintf("%016x", keep&given), "CapBnd": fmt.Sprintf("%016x", keep&given),
				"CapInh": fmt.Sprintf("%016x", 0), "CapAmb": fmt.Sprintf("%016x", 0), "NoNewPrivs": "1", "Umask": "0077",
			} {
				if got := statusOf(t, pid, field); len(got) != 1 || got[0] != want {
					t.Errorf("%s is %q, want %s", field, got, want)
				}
			}
			a.awaitHealth(t)
			if log := a.logs(t); strings.Contains(log, `"warn"`) {
				t.Errorf("a warning:\n%s", log)
			}
			// What root reads of it, as benchmarks do.
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)); err != nil || !strings.Contains(string(text), "Rss:") {
				t.Errorf("smaps_rollup: %v, %s", err, text)
			}
		})
	}
	const search, trace, admin = 1 << unix.CAP_DAC_READ_SEARCH, 1 << unix.CAP_SYS_PTRACE, 1 << unix.CAP_SYS_ADMIN
	f("none, as in the stack", "-all", 0, "-enable_metrics=process,tcp")
	f("default", "+all", search)
	f("processes", "+all", search|trace, "-enable_metrics=process")
	f("sockets", "+all", search|trace|admin, "-enable_metrics=tcp,udp")
	f("port", "+all", search, "-port="+strconv.Itoa(lowPort(t)))
}

// lowPort returns a free port that only root may listen on.
func lowPort(t testing.TB) int {
	t.Helper()
	for port := 1023; port > 500; port-- {
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port below 1024 is free")
	return 0
}

const nobody = 65534

// An agent that isn't root works, and lets its user's other processes not look into it.
func TestAgentOfAnotherUser(t *testing.T) {
	needRoot(t)
	setpriv := lab.Tool(t, "setpriv", "util-linux")
	dir := t.TempDir()
	binary, spool := filepath.Join(dir, "agent"), filepath.Join(dir, "spool")
	program, err := os.ReadFile(buildAgent(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.WriteFile(binary, program, 0o755), os.Mkdir(spool, 0o700), os.Chown(spool, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	as := []string{setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"}
	// The agent that everybody may execute takes the place of the first argument.
	under := []string{"sh", "-c", `umask 0 && shift && exec ` + strings.Join(as, " ") + " " + binary + ` "$@"`, "sh"}
	a := launchAgent(t, under, spoolOnly(t, "-spool-dir="+spool)...)
	a.awaitAnswer(t)
	waitFor(t, 10*time.Second, "documents in the spool", func() error {
		if d := a.delivery(t); d.Pending == 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	a.awaitHealth(t)
	for _, name := range [...]string{"process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"} {
		if v := a.metric(t, name); v <= 0 {
			t.Errorf("%s is %v", name, v)
		}
	}
	environ := fmt.Sprintf("/proc/%d/environ", a.cmd.Process.Pid)
	info, err := os.Stat(environ)
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
		t.Errorf("%s belongs to user %d: the process can be dumped", environ, owner)
	}
	if out, err := exec.Command(as[0], append(as[1:], "cat", environ)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("another process of its user reads %s: %v, %s", environ, err, out)
	}
	err = filepath.WalkDir(spool, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // delivered, or published under another name
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The runtime's limit follows the memory limit of the agent's cgroup, unless it is set.
func TestMemoryLimitIsTaken(t *testing.T) {
	g := newMemoryCgroup(t)
	g.limit(t, 50<<20)
	a := launchAgent(t, g.under(), spoolOnly(t)...)
	a.awaitAnswer(t)
	if v := a.metric(t, "go_gc_gomemlimit_bytes"); v != 40<<20 {
		t.Errorf("the limit is %v in a cgroup of 50 MiB", v)
	}
	under := g.under()
	under[2] = "export GOMEMLIMIT=33MiB; " + under[2]
	a = launchAgent(t, under, spoolOnly(t)...)
	a.awaitAnswer(t)
	if v := a.metric(t, "go_gc_gomemlimit_bytes"); v != 33<<20 {
		t.Errorf("the limit is %v with GOMEMLIMIT=33MiB", v)
	}
}

// What the agent knows of secrets is in nothing that it writes or answers, whatever goes
// wrong, and not in the dump of a crash.
func TestSecretsAreNotShown(t *testing.T) {
	const secret = "Correct-Horse-Battery"
	hidden := []string{
		secret, base64.StdEncoding.EncodeToString([]byte("elastic:" + secret)), base64.StdEncoding.EncodeToString([]byte("id:" + secret)),
	}
	dir := t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	serve := func(status int, header, value, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Elastic-Product", "Elasticsearch")
			w.Header().Set(header, value)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	refused := "http://127.0.0.1:" + strconv.Itoa(freePort(t))
	unauthorized := serve(http.StatusUnauthorized, "Content-Type", "application/json", `{"error":{"type":"security_exception","reason":"unable to authenticate user [elastic]"},"status":401}`)
	encrypted := httptest.NewTLSServer(nil)
	t.Cleanup(encrypted.Close)
	inURL := func(url string) string { return strings.Replace(url, "://", "://elastic:"+secret+"@", 1) }
	password := []string{"-es-user=elastic", "-es-password-file=" + file("password", secret+"\n")}
	key := []string{"-es-api-key-file=" + file("key", "id:"+secret)}
	broken := []string{"-es-api-key-file=" + file("broken", secret+"\x01\r\n"+secret)}
	f := func(name string, runs bool, host string, options ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := append(spoolOnly(t, "-storage_driver=elasticsearch", "-storage_driver_es_host="+host, "-profiling", "-log-level=debug"), options...)
			a := launchAgent(t, nil, options...)
			said := ""
			if runs {
				a.awaitAnswer(t)
				waitFor(t, 20*time.Second, "trouble", func() error { return a.hasProblem(t, "Documents wait since") })
				for _, path := range [...]string{"/healthz?details", "/metrics", "/validate/", "/containers/", "/api/v2.1/machine",
					"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1"} {
					text, err := httpGet(t, a.URL+path)
					if err != nil {
						t.Error(err)
					}
					said += text
				}
				a.cmd.Process.Signal(syscall.SIGQUIT) // as a crash: the stacks of all goroutines
			}
			select {
			case <-a.ended:
			case <-time.After(20 * time.Second):
				t.Fatal("the agent goes on")
			}
			log := a.logs(t)
			if runs && !strings.Contains(log, "goroutine ") {
				t.Error("the agent left no dump")
			}
			for _, text := range hidden {
				if at := strings.Index(log+said, text); at >= 0 {
					t.Errorf("%q is in what the agent says: …%.200s", text, (log + said)[max(0, at-100):])
				}
			}
			shown := strings.Contains(log, "a command line can be read by everybody")
			if runs && shown != strings.Contains(strings.Join(options, " "), "elastic:"+secret) {
				t.Errorf("warned of a password in the command line: %v", shown)
			}
		})
	}
	f("refused", true, refused, password...)
	f("url refused", true, inURL(refused))
	f("url without scheme", true, "elastic:"+secret+"@"+strings.TrimPrefix(refused, "http://"))
	f("url unauthorized", true, inURL(unauthorized))
	f("unauthorized", true, unauthorized, password...)
	f("key", true, unauthorized, key...)
	f("key with a line end", true, unauthorized, broken...)
	f("certificate", true, encrypted.URL, password...)
	f("url certificate", true, inURL(encrypted.URL))
	f("redirect", true, inURL(serve(http.StatusFound, "Location", inURL(refused), "")))
	f("page", true, serve(http.StatusOK, "Content-Type", "text/html", "<html>It works!"), password...)
	f("no password file", true, refused, "-es-user=elastic", "-es-password-file="+filepath.Join(dir, "none"))
	f("cadvisor", true, refused, "-storage_driver_user=elastic", "-storage_driver_password="+secret)
	f("url unreadable", false, "http://elastic:"+secret+"@[::1")
	f("users", false, refused, "-http_auth_file="+file("users", "elastic:"+secret+"\n"))
}
