package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// comparison is windows of the agent, and runs of the floor between them.
type comparison struct {
	windows []window
	floors  []floorRun
	// read is the number of samples that all runs of the floor together took.
	read int
	// log has a line for each of them, in order.
	log strings.Builder
}

// alternate adds one round, floor, agent, floor, agent, floor, so that what else the
// machine does meets both. The agent's windows are length long together; it is paused
// while the floor runs. The floor reads the files that the agent has open then.
func (c *comparison) alternate(ctx context.Context, a *agent, f floor, length time.Duration, of fleet) error {
	const windows = 2
	runFloor := func() error {
		files, cgroups, err := fastFiles(a.proc, of)
		if err != nil {
			return err
		}
		if cgroups == 0 {
			return fmt.Errorf("the agent keeps no file of the cgroups open; its log:\n%s", a.lastWords())
		}
		r, err := f.run(ctx, files, interval, int(length/interval)/(2*windows))
		if err != nil {
			return err
		}
		if r.failed > 0 {
			return fmt.Errorf("the floor couldn't read %d times: cgroups have gone meanwhile", r.failed)
		}
		c.note(r, cgroups)
		return nil
	}
	for range windows {
		if err := paused(a.cmd, runFloor); err != nil {
			return err
		}
		// The sweep after a pause has much to make up for.
		const settle = 5 * time.Second
		if err := sleepUntil(ctx, time.Now().Add(settle)); err != nil {
			return err
		}
		w, err := a.watch(ctx, length/windows)
		if err != nil {
			return err
		}
		c.add(w)
	}
	return paused(a.cmd, runFloor)
}

// total returns all windows as one.
func (c *comparison) total() (t window) {
	for _, w := range c.windows {
		t.usage.cpu += w.usage.cpu
		t.usage.user += w.usage.user
		t.usage.system += w.usage.system
		t.length += w.length
		t.sweeps += w.sweeps
		t.samples += w.samples
		t.missed += w.missed
		t.collections += w.collections
		t.indexed += w.indexed
		t.wire += w.wire
	}
	return t
}

// floorPerSample returns the floor's CPU time per sample.
func (c *comparison) floorPerSample() time.Duration {
	var cpu time.Duration
	for _, r := range c.floors {
		cpu += r.cpu
	}
	return cpu / time.Duration(max(1, c.read))
}

// ratio returns how many times the floor the agent costs.
func (c *comparison) ratio() float64 {
	return float64(c.total().perSample()) / float64(max(1, c.floorPerSample()))
}

// note adds a run of the floor, over so many cgroups.
func (c *comparison) note(r floorRun, cgroups int) {
	c.floors = append(c.floors, r)
	c.read += cgroups * r.sweeps
	fmt.Fprintf(&c.log, "floor  %3d s  %7.1f ms of CPU time per sweep, %d files of %d cgroups\n",
		r.sweeps, milliseconds(r.cpu)/float64(r.sweeps), r.files, cgroups)
}

// add adds a window of the agent.
func (c *comparison) add(w window) {
	c.windows = append(c.windows, w)
	wall := w.length.Seconds()
	fmt.Fprintf(&c.log, "agent  %3.0f s  %7.1f ms of CPU time per sweep, %s per sample (CPU clock %v, schedstat %v, utime+stime %v; machine %.2f CPUs busy, %.2f stolen)\n",
		wall, milliseconds(w.usage.cpu)/float64(max(1, w.sweeps)), micros(w.perSample()),
		w.usage.cpu.Round(time.Millisecond), w.usage.sched.Round(time.Millisecond), w.usage.user+w.usage.system,
		w.usage.busy.Seconds()/wall, w.usage.stolen.Seconds()/wall)
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func TestComparison(t *testing.T) {
	var c comparison
	floor := func(cpu time.Duration) {
		c.note(floorRun{cpu: cpu, sweeps: 10, files: 1300}, 100)
	}
	floor(30 * time.Millisecond)
	c.add(window{usage: usage{cpu: 300 * time.Millisecond}, samples: 5000, sweeps: 50, length: 50 * time.Second})
	floor(50 * time.Millisecond)
	c.add(window{usage: usage{cpu: 60 * time.Millisecond}, samples: 1000, sweeps: 10, length: 10 * time.Second})
	floor(40 * time.Millisecond)

	if got, want := c.total().perSample(), 60*time.Microsecond; got != want {
		t.Errorf("agent: %v, want %v", got, want)
	}
	if got, want := c.floorPerSample(), 40*time.Microsecond; got != want {
		t.Errorf("floor: %v, want %v", got, want)
	}
	if got, want := c.ratio(), 1.5; got != want {
		t.Errorf("ratio: %v, want %v", got, want)
	}
	var order []string
	for line := range strings.Lines(c.log.String()) {
		order = append(order, strings.Fields(line)[0])
	}
	if got, want := strings.Join(order, " "), "floor agent floor agent floor"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
}
