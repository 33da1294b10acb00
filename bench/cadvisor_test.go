package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// BenchmarkCAdvisor is what the agent costs beside cAdvisor, on the same containers in the same
// minutes: the agent with everything on, as in BenchmarkAgent, and of cAdvisor the sampling
// alone, which delivers nothing (see the command cadvisor). Both are told to take a sample of
// each container every second; both are divided by the samples that they took. While one is
// measured the other is paused.
func BenchmarkCAdvisor(b *testing.B) {
	length := windowLength(b)
	theirs := buildCAdvisor(b)
	agent, d := startDelivering(b)
	peer := startCAdvisor(b, theirs, "-docker="+d.engine.Host(), "-docker_root="+d.engine.DataRoot())
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	// beside watches the one while the other is paused.
	beside := func(other *exec.Cmd, watch func(context.Context, time.Duration) (window, error)) (w window) {
		b.Helper()
		check(paused(other, func() (err error) {
			const settle = 10 * time.Second // what was paused has something to make up for
			if err = sleepUntil(b.Context(), time.Now().Add(settle)); err == nil {
				w, err = watch(b.Context(), length/2)
			}
			return err
		}))
		return w
	}
	var ours, other comparison
	for b.Loop() {
		// The first isn't always the same.
		ours.windows = append(ours.windows, beside(peer.cmd, agent.watch))
		other.windows = append(other.windows, beside(agent.cmd, peer.watch))
		other.windows = append(other.windows, beside(agent.cmd, peer.watch))
		ours.windows = append(ours.windows, beside(peer.cmd, agent.watch))
	}
	for _, of := range []struct {
		name    string
		windows comparison
		proc    procfs.Proc
	}{{"agent, with delivery", ours, agent.proc}, {"cAdvisor, sampling alone", other, peer.proc}} {
		memory, err := measureMemory(of.proc)
		check(err)
		for _, w := range of.windows.windows {
			b.Logf("%s: %s per sample (%d in %.0f s)", of.name, micros(w.perSample()), w.samples, w.length.Seconds())
		}
		t := of.windows.total()
		b.Logf("%s: %s per sample, %.2f %% of a core, every container each %.2f s, PSS %s", of.name, micros(t.perSample()),
			100*t.usage.cpu.Seconds()/t.length.Seconds(), t.length.Seconds()*containers/float64(t.samples), mebibytes(memory.pss))
	}
	check(agent.stop())
	perSample, theirPerSample := ours.total().perSample(), other.total().perSample()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(perSample.Nanoseconds())/1e3, "µs/sample")
	b.ReportMetric(float64(theirPerSample.Nanoseconds())/1e3, "cadvisor-µs/sample")
	b.ReportMetric(float64(theirPerSample)/float64(perSample), "×agent")
}

// cadvisor is a running cAdvisor.
type cadvisor struct {
	cmd  *exec.Cmd
	proc procfs.Proc
	url  string
}

// buildCAdvisor compiles the command cadvisor, which is a module of its own.
func buildCAdvisor(tb testing.TB) (program string) {
	tb.Helper()
	program = filepath.Join(tb.TempDir(), "cadvisor")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	cmd.Dir = "cadvisor"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("go build in ./cadvisor: %v\n%s", err, out)
	}
	return program
}

// startCAdvisor starts a cAdvisor that samples every second, and waits until it knows the
// containers. It ends with tb, and with this process however that ends.
func startCAdvisor(tb testing.TB, program string, args ...string) *cadvisor {
	tb.Helper()
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	c := &cadvisor{url: "http://127.0.0.1:" + port}
	log, err := os.Create(filepath.Join(tb.TempDir(), "cadvisor.log"))
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(program, append([]string{
		"-listen=127.0.0.1:" + port, "-housekeeping_interval=" + interval.String(), "-allow_dynamic_housekeeping=false", "-docker_only",
	}, args...)...)
	c.cmd.Stderr = log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	if c.proc, err = procfs.NewProc(c.cmd.Process.Pid); err != nil {
		tb.Fatal(err)
	}
	const patience = 30 * time.Second
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Second) {
		n, err := c.samples(tb.Context(), time.Unix(0, 0))
		if err == nil && n > 2*containers {
			return c
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			tb.Fatalf("cAdvisor has %d samples after %v (%v); its log:\n%s", n, patience, err, said[max(0, len(said)-4<<10):])
		}
	}
}

// samples counts those of containers that were taken since.
func (c *cadvisor) samples(ctx context.Context, since time.Time) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/samples?since=%d", c.url, since.UnixNano()), nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// watch measures one window. It asks for the samples outside of it.
func (c *cadvisor) watch(ctx context.Context, length time.Duration) (w window, err error) {
	before, err := measure(c.proc)
	if err != nil {
		return w, err
	}
	if err := sleepUntil(ctx, before.at.Add(length)); err != nil {
		return w, err
	}
	after, err := measure(c.proc)
	if err != nil {
		return w, err
	}
	w.usage, w.length = after.sub(before), after.at.Sub(before.at)
	w.samples, err = c.samples(ctx, before.at)
	return w, err
}
