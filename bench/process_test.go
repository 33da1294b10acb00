package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// interval is the agent's sampling interval.
const interval = time.Second

// agent is a running agent, the real binary.
type agent struct {
	cmd  *exec.Cmd
	proc procfs.Proc
	url  string
	log  string
	// wire counts the bytes that the agent sends to Elasticsearch; nil for none.
	wire *relay
}

// buildAgent compiles the agent as it is released.
func buildAgent(tb testing.TB) (program string) {
	tb.Helper()
	program = filepath.Join(tb.TempDir(), "agent")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../cmd/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("go build ../cmd/agent: %v\n%s", err, out)
	}
	return program
}

// startAgent starts an agent that samples and ships every second, with further
// arguments and an environment of its own, and waits for its first sweeps. It ends with
// tb, and with this process however that ends.
func startAgent(tb testing.TB, program string, wire *relay, args ...string) *agent {
	tb.Helper()
	dir := tb.TempDir()
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	a := &agent{url: "http://127.0.0.1:" + port, log: filepath.Join(dir, "agent.log"), wire: wire}
	log, err := os.Create(a.log)
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	args = append([]string{
		"-listen_ip=127.0.0.1", "-port=" + port,
		"-housekeeping_interval=" + interval.String(), "-ship-interval=" + interval.String(),
		"-docker_only", "-spool-dir=" + filepath.Join(dir, "spool"),
	}, args...)
	a.cmd = exec.Command(program, args...)
	a.cmd.Env = []string{} // neither GOGC nor SWARMGAUGE_… of whoever runs this
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.stop(); err != nil {
			tb.Error(err)
		}
	})
	if a.proc, err = procfs.NewProc(a.cmd.Process.Pid); err != nil {
		tb.Fatal(err)
	}
	const patience = 20 * time.Second
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		m, err := scrape(a.url)
		if err == nil && m[metricSweeps] >= 2 {
			return a
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the agent doesn't sweep within %v (%v); its log:\n%s", patience, err, a.lastWords())
		}
	}
}

// freePort returns a TCP port that nobody listens on at this moment.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}

// stop lets the agent end in order, or after a while kills it. The second call does
// nothing.
func (a *agent) stop() error {
	if a.cmd.ProcessState != nil {
		return nil
	}
	const grace = 30 * time.Second
	timer := time.AfterFunc(grace, func() { a.cmd.Process.Kill() })
	defer timer.Stop()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the agent: %w", err)
	}
	if err := a.cmd.Wait(); err != nil {
		if !timer.Stop() {
			err = fmt.Errorf("it didn't end in %v: %w", grace, err)
		}
		return fmt.Errorf("stop the agent: %w; its log:\n%s", err, a.lastWords())
	}
	return nil
}

// lastWords returns the end of the agent's log.
func (a *agent) lastWords() string {
	const most = 4 << 10
	text, err := os.ReadFile(a.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// paused stops the threads of a program while f runs. A reader beside it would be served
// what the program made the kernel work out a moment ago, and the other way round.
func paused(program *exec.Cmd, f func() error) (err error) {
	if err := program.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause %s: %w", program.Path, err)
	}
	defer func() { err = errors.Join(err, program.Process.Signal(syscall.SIGCONT)) }()
	return f()
}

// window is what the agent did and used in a length of time.
type window struct {
	usage  usage
	length time.Duration
	// sweeps over all targets, and samples of containers or cgroups, the node's own
	// left out.
	sweeps, samples int
	missed          int   // slots without a sweep
	collections     int   // of garbage
	indexed         int   // documents that Elasticsearch has taken
	wire            int64 // bytes sent to it, HTTP headers included
}

// perSample returns the CPU time per sample of a container or cgroup: all that the
// agent did, also for the node and for delivery, divided by these samples.
func (w window) perSample() time.Duration { return w.usage.cpu / time.Duration(max(1, w.samples)) }

// watch measures one window. It begins and ends in the middle between two sweeps, so
// that it holds whole sweeps, and the agent is asked for its metrics outside of it.
func (a *agent) watch(ctx context.Context, length time.Duration) (window, error) {
	fail := func(err error) (window, error) {
		return window{}, fmt.Errorf("%w; the agent's log:\n%s", err, a.lastWords())
	}
	if err := sleepUntil(ctx, midSlot(time.Now())); err != nil {
		return window{}, err
	}
	earlier, err := scrape(a.url)
	if err != nil {
		return fail(err)
	}
	sent := a.wire.bytes()
	before, err := measure(a.proc)
	if err != nil {
		return fail(err)
	}
	if err := sleepUntil(ctx, midSlot(before.at.Add(length-interval/2))); err != nil {
		return window{}, err
	}
	after, err := measure(a.proc)
	if err != nil {
		return fail(err)
	}
	later, err := scrape(a.url)
	if err != nil {
		return fail(err)
	}
	if err := later.has(metricSweeps, metricSamples, metricMissed, metricIndexed, metricDead, metricCollections); err != nil {
		return window{}, err
	}
	since := func(name string) int { return int(later[name] - earlier[name]) }
	w := window{
		usage: after.sub(before), length: after.at.Sub(before.at),
		sweeps: since(metricSweeps), samples: since(metricSamples) - since(metricSweeps), missed: since(metricMissed),
		collections: since(metricCollections), indexed: since(metricIndexed), wire: a.wire.bytes() - sent,
	}
	if dead := since(metricDead); dead > 0 {
		return fail(fmt.Errorf("Elasticsearch refused %d documents", dead))
	}
	if w.samples <= 0 {
		return fail(fmt.Errorf("no samples in %v", w.length))
	}
	return w, w.usage.check()
}

// sweepTimes is how long each of some sweeps took, and how late it began.
type sweepTimes struct{ took, late []time.Duration }

// watchSweeps asks the agent once per sweep. That costs it CPU time, so it is not for
// the windows.
func (a *agent) watchSweeps(ctx context.Context, sweeps int) (times sweepTimes, err error) {
	var last exposition
	for len(times.took) < sweeps {
		if err := sleepUntil(ctx, midSlot(time.Now().Add(interval/10))); err != nil {
			return times, err
		}
		now, err := scrape(a.url)
		if err != nil {
			return times, err
		}
		if err := now.has(metricSweeps, metricSweepSeconds, metricLate); err != nil {
			return times, err
		}
		// After a slot that was missed there is none, or two to be told apart.
		if last != nil && now[metricSweeps]-last[metricSweeps] == 1 {
			times.took = append(times.took, seconds(now[metricSweepSeconds]-last[metricSweepSeconds]))
			times.late = append(times.late, seconds(now[metricLate]))
		}
		last = now
	}
	return times, nil
}

// midSlot returns the first instant after t that lies in the middle between two slots,
// at which sweeps start.
func midSlot(t time.Time) time.Time {
	middle := t.Truncate(interval).Add(interval / 2)
	if !middle.After(t) {
		middle = middle.Add(interval)
	}
	return middle
}

func sleepUntil(ctx context.Context, t time.Time) error {
	select {
	case <-time.After(time.Until(t)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func TestMidSlot(t *testing.T) {
	f := func(sec, nsec, wantSec, wantNsec int64) {
		t.Helper()
		if got, want := midSlot(time.Unix(sec, nsec)), time.Unix(wantSec, wantNsec); !got.Equal(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	const half = 500_000_000
	f(10, 0, 10, half)
	f(10, half-1, 10, half)
	f(10, half, 11, half)
	f(10, 999_999_999, 11, half)
}
