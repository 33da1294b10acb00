package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// buildAgent builds the agent as it is released, once for all tests, and returns its path.
func buildAgent(t testing.TB) string {
	t.Helper()
	path, err := agentBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var agentBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "swarmgauge-agent-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "agent")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v0.0.0-test", "-o", path, "../cmd/agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/agent: %w\n%s", err, out)
	}
	return path, nil
})

// TestMain removes the binary, and ends the server that rows of faults share.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := sharedRowServer.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if path, err := agentBinary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// agent is an agent that runs on this machine.
type agent struct {
	// URL is where it answers, without a slash at the end.
	URL string

	cmd   *exec.Cmd
	log   string // path
	ended chan struct{}
}

// startAgent starts an agent with these options and a free port, and waits until it
// answers. It is ended with the test, and its log is shown if the test failed.
func startAgent(t testing.TB, options ...string) *agent {
	t.Helper()
	return startBinary(t, buildAgent(t), options...)
}

// startBinary is startAgent for another agent than today's.
func startBinary(t testing.TB, binary string, options ...string) *agent {
	t.Helper()
	a := launchBinary(t, binary, nil, options...)
	a.awaitAnswer(t)
	return a
}

// launchAgent is startAgent without the wait. The agent runs under a command, if there is
// one, that has to become the agent by exec: "setpriv …", "strace -D …".
func launchAgent(t testing.TB, under []string, options ...string) *agent {
	t.Helper()
	return launchBinary(t, buildAgent(t), under, options...)
}

func launchBinary(t testing.TB, binary string, under []string, options ...string) *agent {
	t.Helper()
	port := freePort(t)
	a := &agent{
		URL:   "http://127.0.0.1:" + strconv.Itoa(port),
		log:   filepath.Join(t.TempDir(), "agent.log"),
		ended: make(chan struct{}),
	}
	for _, option := range options {
		if port, ok := strings.CutPrefix(option, "-port="); ok { // in place of the free one
			a.URL = "http://127.0.0.1:" + port
		}
		if prefix, ok := strings.CutPrefix(option, "-url_base_prefix="); ok {
			a.URL += prefix
		}
	}
	log, err := os.Create(a.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	line := append(slices.Clone(under), binary, "-listen_ip=127.0.0.1", "-port="+strconv.Itoa(port))
	line = append(line, options...)
	a.cmd = exec.Command(line[0], line[1:]...)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.Env = []string{} // nothing of the tests' own environment
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		a.cmd.Wait()
		close(a.ended)
	}()
	t.Cleanup(func() {
		a.kill()
		if t.Failed() {
			t.Logf("the agent's log:\n%s", a.logs(t))
		}
	})
	return a
}

// awaitAnswer waits until the agent answers.
func (a *agent) awaitAnswer(t testing.TB) {
	t.Helper()
	waitFor(t, 15*time.Second, "the agent to answer", func() error {
		select {
		case <-a.ended:
			t.Fatalf("the agent ended at once:\n%s", a.logs(t))
		default:
		}
		_, err := httpGet(t, a.URL+"/healthz")
		return err
	})
}

// stop sends SIGTERM and returns how long the agent took to end.
func (a *agent) stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	a.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the agent goes on 20 s after SIGTERM")
	}
	return time.Since(began)
}

// kill sends SIGKILL and waits for the end.
func (a *agent) kill() {
	a.cmd.Process.Kill()
	<-a.ended
}

func (a *agent) logs(t testing.TB) string {
	text, err := os.ReadFile(a.log)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// metric returns the value of one of the agent's own metrics, summed over its labels.
func (a *agent) metric(t testing.TB, name string) float64 {
	t.Helper()
	text, err := httpGet(t, a.URL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	v, err := metricOf(text, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// metricOf returns the sum of the samples of a family in the Prometheus text format.
func metricOf(text, name string) (sum float64, err error) {
	found := false
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), " ")
		family, _, _ := strings.Cut(series, "{")
		if !ok || family != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("the agent has no metric %s", name)
	}
	return sum, nil
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func httpGet(t testing.TB, url string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return string(body), nil
}

// waitFor calls f until it returns nil, and fails the test with its last error when the
// time is over.
func waitFor(t testing.TB, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", limit, what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

var errNotYet = errors.New("not yet")

// serverFor returns a server that containers of the engine reach once it is started. It ends
// with the test.
func serverFor(t testing.TB, e *lab.Engine, handler http.Handler) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(e.Gateway(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener = l
	t.Cleanup(s.Close)
	return s
}
