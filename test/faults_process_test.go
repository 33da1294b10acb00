package test

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/shipper/estest"
	"github.com/swarmgauge/swarmgauge/test/faults"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// TestD01KillLoop kills the agent again and again, at any moment, while half of what it
// sends is refused or answered to nobody. What lives checks has to hold; what a run had
// sampled and not published dies with it, and that is the end of it only.
func TestD01KillLoop(t *testing.T) {
	row := faults.Start(t, "D1")
	kills, longest := 25, 700*time.Millisecond
	if row.Full() {
		kills, longest = 1000, 5*time.Second
	}
	c := newCrowd(t, 50, 100*time.Millisecond)
	c.es.Shorten(func(source []byte) []byte { return whenAndWhose(t, source) })
	c.flap()
	buildAgent(t) // not within the first run
	type run struct{ began, killed time.Time }
	var runs []run
	for range kills {
		r := run{began: time.Now()}
		a := c.launch(t, nil)
		time.Sleep(100*time.Millisecond + rand.N(longest-100*time.Millisecond))
		a.kill()
		r.killed = time.Now()
		runs = append(runs, r)
		c.notePublished(t)
	}
	first := c.firstSamples(t)
	c.drain(t)

	docs := c.documents(t)
	var restarts, tails []time.Duration
	lives := c.lives(t, docs)
	documents := 0
	for _, l := range lives {
		documents += l.documents
		for _, r := range runs {
			if l.firstSample.After(r.began) && l.firstSample.Before(r.killed) {
				restarts = append(restarts, l.firstSample.Sub(r.began))
				tails = append(tails, max(0, r.killed.Sub(c.end(l.last))))
			}
		}
	}
	if len(restarts) == 0 || len(c.published) == 0 {
		t.Fatal("nothing was published: the agents were killed too early")
	}
	restart, slowest := median(restarts)
	oneSecond, slowestOneSecond := median(first)
	tail, longestTail := median(tails)
	// The goals are 500 ms and one interval; what is asserted leaves room for a machine
	// that does other things.
	if oneSecond > 5*time.Second || longestTail > 5*time.Second {
		t.Errorf("first sample after %v, %v not published at a kill", oneSecond, longestTail)
	}
	row.Goal("first sample 500 ms after a restart at most", oneSecond <= 500*time.Millisecond)
	row.Result("%d kills, %d documents in %d runs that published, 0 lost of %d seen in the spool, 0 twice; not published at the kill: %v (median), %v (most) of samples, intervals of %v; first sample after a restart: %v (median), %v (most), at sampling intervals of 1 s %v and %v",
		kills, documents, len(lives), len(c.published), tail, longestTail, c.interval, restart, slowest, oneSecond, slowestOneSecond)
}

// firstSamples starts agents that sample once a second, the default, and returns the times
// from their starts to their first samples.
func (c *crowd) firstSamples(t *testing.T) (after []time.Duration) {
	t.Helper()
	for range 5 {
		began := time.Now()
		a := launchAgent(t, nil, append(c.options(), "-housekeeping_interval=1s", "-ship-interval=1s", "-storage_driver=", "-spool-dir="+t.TempDir())...)
		var answer struct {
			Collection struct {
				Sweeps int
				Last   time.Time `json:"last_sweep"`
			}
		}
		waitFor(t, 15*time.Second, "the first sample", func() error {
			text, err := httpGet(t, a.URL+"/healthz?details")
			if err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(text), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Collection.Sweeps == 0 {
				return errNotYet
			}
			return nil
		})
		// Others may have followed already: one each second, if not fewer.
		others := time.Duration(answer.Collection.Sweeps-1) * time.Second
		after = append(after, answer.Collection.Last.Sub(began)-others)
		a.kill()
	}
	return after
}

// TestD02KillAtEachCall kills the agent at the first, second, … system call of each kind that
// publishing and acknowledging a batch consist of, before it is carried out, and within a
// request: before the server has carried it out, when it has done half, and when it has
// done all of it and not answered.
func TestD02KillAtEachCall(t *testing.T) {
	row := faults.Start(t, "D2")
	most, requests := 4, 15
	if row.Full() {
		most, requests = 25, 100
	}
	strace := lab.Tool(t, "strace", "strace")
	c := newCrowd(t, 5, 100*time.Millisecond)
	live := filepath.Join(c.spool, "q")
	if err := os.MkdirAll(live, 0o700); err != nil { // what strace is to watch has to be there
		t.Fatal(err)
	}
	watched := []string{"-P", live}
	for i := range 4 * most { // the names of files that aren't published yet
		watched = append(watched, "-P", fmt.Sprintf("%s/.%d", live, i+1))
	}
	kills := map[string]int{}
	total := 0
	// An agent that goes on is given up by what it has done: how long that takes under strace
	// is the machine's affair.
	killed := func(a *agent, call string) bool {
		t.Helper()
		defer c.notePublished(t)
		enough, deadline := c.es.Requests()+requests, time.After(time.Minute)
		for c.es.Requests() < enough {
			select {
			case <-a.ended:
				kills[call]++
				total++
				return true
			case <-deadline:
				t.Fatalf("an agent under strace (%s) sent no %d batches within a minute", call, requests)
			case <-time.After(50 * time.Millisecond):
			}
		}
		a.kill()
		return false
	}
	// In the order of publishing; openat and fstat are also the lane's that sends, and
	// the last two are acknowledgements: a rename where batches are kept for a replay, else
	// unlinkat.
	for _, call := range [...]string{"openat", "write", "fsync", "fstat", "connect", "renameat", "unlinkat"} {
		var options []string
		if call == "unlinkat" {
			options = append(options, "-spool-replay=0")
		}
		// strace counts by thread: a number may not be reached though the next one is.
		for n, missed := 1, 0; n <= most && missed < 3; n++ {
			under := []string{strace, "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n)}
			if call != "connect" { // which has no path
				under = append(under, watched...)
			}
			if !killed(c.launch(t, under, options...), call) {
				missed++
			}
		}
		if kills[call] == 0 {
			t.Errorf("no agent was killed at a call of %s", call)
		}
	}
	for name, apply := range map[string]func(docs int) int{
		"request": func(int) int { return 0 }, "half a request": func(docs int) int { return docs / 2 }, "answer": func(int) int { return estest.All },
	} {
		var pid atomic.Int64
		c.es.OnBulk(func(_, docs int) estest.Fault {
			if p := int(pid.Swap(0)); p != 0 {
				syscall.Kill(p, syscall.SIGKILL)
			}
			return estest.Fault{Apply: apply(docs), Reset: true}
		})
		a := c.launch(t, nil)
		pid.Store(int64(a.cmd.Process.Pid))
		if !killed(a, name) {
			t.Errorf("the agent sent nothing to be killed at (%s)", name)
		}
		c.back()
	}
	c.drain(t)
	documents := 0
	for _, l := range c.lives(t, c.documents(t)) {
		documents += l.documents
	}
	row.Result("%d kills (%v), %d documents, 0 lost of %d seen in the spool, 0 twice", total, kills, documents, len(c.published))
}

// TestD03OutOfMemory has the agent live in a cgroup of 24 MiB with a backlog many times as
// large, started again whenever the kernel kills it, while the server is away and when it is
// back; before that, in one that is too small to live in.
func TestD03OutOfMemory(t *testing.T) {
	row := faults.Start(t, "D3")
	backlog, tight := int64(60<<20), 5
	if row.Full() {
		backlog, tight = 300<<20, 50
	}
	c := newCrowd(t, 50, 200*time.Millisecond)
	g := newMemoryCgroup(t)
	filled := fillSpool(t, c.spool, backlog)
	c.notePublished(t)
	budget := "-spool-budget=2GiB"

	c.away()
	// Killed at its start, or somewhat later.
	killed := 0
	for i := range tight {
		g.limit(t, int64(4+2*(i%5))<<20)
		a := c.launch(t, g.under(), budget)
		select {
		case <-a.ended:
			killed++
		case <-time.After(2 * time.Second):
			a.kill()
		}
		c.notePublished(t)
	}
	if killed == 0 {
		t.Errorf("4 MiB were enough for the agent: this test shows nothing")
	}

	g.limit(t, 24<<20)
	rest := 3 * time.Second
	var resident int64
	oom := 0
	// live runs an agent until done, and starts it again when it is killed.
	live := func(what string, done func(a *agent) bool) {
		t.Helper()
		for began := time.Now(); ; oom++ {
			a := c.launch(t, g.under(), budget)
			for {
				select {
				case <-a.ended:
				case <-time.After(50 * time.Millisecond):
					if time.Since(began) > 3*time.Minute {
						t.Fatalf("%s: not after 3 minutes and %d ends of the agent", what, oom)
					}
					if rss, err := residentOf(a.cmd.Process.Pid); err == nil {
						resident = max(resident, rss)
					}
					if !done(a) {
						continue
					}
					a.stopInTime(t)
					return
				}
				break
			}
			if oom > 50 {
				t.Fatalf("%s: the agent has ended %d times; its log:\n%s", what, oom, a.logs(t))
			}
		}
	}
	from := time.Now()
	live("the server is away", func(*agent) bool { return time.Since(from) > rest })
	c.notePublished(t)
	c.back()
	back := time.Now()
	live("the backlog is delivered", func(a *agent) bool {
		text, err := httpGet(t, a.URL+"/healthz?details")
		var h health
		return err == nil && json.Unmarshal([]byte(text), &h) == nil && h.Delivery.Indexed > 0 && (h.Delivery.Oldest.IsZero() || h.Delivery.Oldest.After(back))
	})
	took := time.Since(back)
	lives := c.lives(t, c.documents(t))
	if n := c.es.Len(); n < filled {
		t.Errorf("%d documents, fewer than the %d of the backlog", n, filled)
	}
	free := drainUnlimited(t, backlog/4, budget)
	row.Goal("40 MiB of memory at most where there is no limit", free <= 40<<20)
	row.Result("%d kills in 4 to 12 MiB; in 24 MiB with %d MiB in the spool %d kills, %.1f MiB resident at most, drained in %v, 0 lost of %d, 0 twice, %d runs that published; without a limit %.1f MiB resident at most while a quarter of that is drained",
		killed, backlog>>20, oom, float64(resident)/(1<<20), took.Round(100*time.Millisecond), len(c.published), len(lives), float64(free)/(1<<20))
}

// drainUnlimited has an agent that may use all memory deliver so many bytes, and returns how
// many it had resident at most.
func drainUnlimited(t testing.TB, backlog int64, options ...string) (most int64) {
	t.Helper()
	c := newCrowd(t, 50, 200*time.Millisecond)
	filled := fillSpool(t, c.spool, backlog)
	a := c.start(t, nil, options...)
	waitFor(t, 3*time.Minute, "the backlog to be delivered", func() error {
		if rss, err := residentOf(a.cmd.Process.Pid); err == nil {
			most = max(most, rss)
		}
		if n := c.es.Len(); n < filled {
			return fmt.Errorf("%d documents of %d", n, filled)
		}
		return nil
	})
	a.stopInTime(t)
	return most
}

// TestD04Stopped stops the agent's process and has it go on: one gap document tells how many
// sweeps were not made, to the sweep, and none is made up for.
func TestD04Stopped(t *testing.T) {
	row := faults.Start(t, "D4")
	stopped := 6 * time.Second
	if row.Full() {
		stopped = 10 * time.Minute
	}
	t.Parallel()
	c := newCrowd(t, 20, time.Second)
	a := c.start(t, nil)
	await := func(sweeps int) {
		t.Helper()
		waitFor(t, time.Minute, "sweeps", func() error {
			if n := int(a.metric(t, "swarmgauge_sweeps_total")); n < sweeps {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
	}
	await(4)
	if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	time.Sleep(stopped)
	took := time.Since(from)
	if err := a.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	before, again := int(a.metric(t, "swarmgauge_sweeps_total")), time.Now()
	await(before + 3)
	sweeps := int(a.metric(t, "swarmgauge_sweeps_total")) - before
	if most := int(time.Since(again)/c.interval) + 3; sweeps > most {
		t.Errorf("%d sweeps in %v after the stop: a burst", sweeps, time.Since(again))
	}
	a.stopInTime(t)
	c.drain(t)

	docs := c.documents(t)
	run := c.lives(t, docs)[0].run
	swept := map[int64]bool{} // slots of that run
	for _, d := range docs {
		if d.text("agent.ephemeral_id") == run && d.dataset() == "container" {
			swept[d.slot()] = true
		}
	}
	// A busy machine may stop the agent for a second or two as well.
	var told []float64
	for _, d := range docs {
		missed, _ := d.number("gap.sweeps")
		if d.text("agent.ephemeral_id") != run || d.text("gap.reason") != "stopped" || missed < float64(stopped/c.interval)/2 {
			continue
		}
		told = append(told, missed)
		first, _ := d.number("gap.first_slot")
		last, _ := d.number("gap.last_slot")
		none := 0.0
		for slot := int64(first); slot <= int64(last); slot++ {
			if !swept[slot] {
				none++
			}
		}
		if none != missed || last-first+1 != missed || !swept[int64(last)+1] {
			t.Errorf("a gap tells of %v sweeps missed from slot %v to %v, of which %v have no documents; the slot after it has some: %v", missed, first, last, none, swept[int64(last)+1])
		}
		if most := float64(took/c.interval) + 1; missed < float64(took/c.interval)-1 || missed > most {
			t.Errorf("%v sweeps missed in %v", missed, took)
		}
	}
	if len(told) != 1 {
		t.Fatalf("%d gaps tell of the stop, want one", len(told))
	}
	row.Result("stopped for %v with a sweep each %v: 1 gap with %v sweeps, the %v slots without documents; %d sweeps in the %v after it",
		took.Round(time.Millisecond), c.interval, told[0], told[0], sweeps, time.Since(again).Round(time.Second))
}

// TestD20TwoAgents starts a second agent on the spool of another: it waits, and says so; when
// the first one ends it takes over, else it ends with a sentence.
func TestD20TwoAgents(t *testing.T) {
	row := faults.Start(t, "D20")
	t.Parallel()
	c := newCrowd(t, 5, 200*time.Millisecond)
	taken := newCrowd(t, 5, 200*time.Millisecond)
	first, other := c.start(t, nil), taken.start(t, nil)
	began := time.Now()
	second, heir := c.launch(t, nil), taken.launch(t, nil)
	for _, a := range []*agent{second, heir} {
		waitFor(t, 10*time.Second, "the second agent to wait", func() error {
			if log := a.logs(t); !strings.Contains(log, "waiting for the agent that has it") {
				return errors.New(log)
			}
			return nil
		})
	}
	time.Sleep(2 * time.Second)
	ending := time.Now()
	other.stopInTime(t)
	heir.awaitAnswer(t)
	tookOver := time.Since(ending)
	waitFor(t, 10*time.Second, "the heir to sample", func() error {
		if d := heir.delivery(t); d.Sampled == 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	taken.awaitDrained(t, heir)
	heir.stopInTime(t)
	if lives := taken.lives(t, taken.documents(t)); len(lives) != 2 {
		t.Errorf("%d agents have delivered, want the first and its heir", len(lives))
	} else if lives[1].first <= lives[0].last {
		t.Errorf("the heir sampled slot %d while the first one had it until %d", lives[1].first, lives[0].last)
	}

	select {
	case <-second.ended:
	case <-time.After(time.Minute):
		t.Fatal("the second agent still waits")
	}
	waited := time.Since(began)
	log := strings.TrimSpace(second.logs(t))
	last := log[strings.LastIndexByte(log, '\n')+1:]
	if code := second.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(last, "the spool is in use by another agent: "+c.spool) {
		t.Errorf("exit code %d, last line %q", code, last)
	}
	if waited < 25*time.Second || waited > 60*time.Second {
		t.Errorf("the second agent waited %v", waited)
	}
	c.awaitDrained(t, first)
	first.stopInTime(t)
	if lives := c.lives(t, c.documents(t)); len(lives) != 1 {
		t.Errorf("%d agents have delivered, want the first alone", len(lives))
	}
	row.Goal("ends after 35 s at most", waited <= 35*time.Second)
	row.Result("the second ended after %v with %q; where the first ended, the second had taken over after %v; 0 twice", waited.Round(100*time.Millisecond), strings.ReplaceAll(last, c.spool, "<spool>"), tookOver.Round(10*time.Millisecond))
}

// memoryCgroup is a cgroup with a memory limit, for an agent to live in.
type memoryCgroup struct{ dir, limitFile string }

// newMemoryCgroup makes one, which is removed with the test.
func newMemoryCgroup(t testing.TB) *memoryCgroup {
	t.Helper()
	for _, m := range []struct{ root, limitFile string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"},
	} {
		g := &memoryCgroup{filepath.Join(m.root, fmt.Sprintf("swarmgauge-limited-%d-%d", os.Getpid(), time.Now().UnixNano())), m.limitFile}
		if _, err := os.Stat(m.root); err != nil || os.Mkdir(g.dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			// The last process is gone a moment after its end was told.
			waitFor(t, 5*time.Second, "the cgroup to be removed", func() error { return os.Remove(g.dir) })
		})
		if _, err := os.Stat(filepath.Join(g.dir, g.limitFile)); err == nil {
			return g
		}
	}
	lab.Lack(t, "This test makes a cgroup with a memory limit: run it as root on a machine whose memory controller is writable (sudo go test ./test -run "+t.Name()+")")
	return nil
}

func (g *memoryCgroup) limit(t testing.TB, bytes int64) {
	t.Helper()
	// What earlier processes have left of pages is given back while the limit falls.
	waitFor(t, 5*time.Second, "the limit to be set", func() error {
		return os.WriteFile(filepath.Join(g.dir, g.limitFile), fmt.Append(nil, bytes), 0)
	})
}

// under is a command that goes into the cgroup and becomes what is appended to it.
func (g *memoryCgroup) under() []string {
	return []string{"sh", "-c", "echo $$ >" + g.dir + `/cgroup.procs && exec "$@"`, "sh"}
}

// residentOf returns the memory that a process has resident, in bytes.
func residentOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, resident int64
	_, err = fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize()), err
}

// fillSpool has a shipper without an Elasticsearch leave batches of about a hundred
// kilobytes in the directory until they are that many bytes, and returns the number of
// documents.
func fillSpool(t testing.TB, dir string, bytes int64) (documents int) {
	t.Helper()
	s, err := shipper.New(t.Context(), shipper.Options{
		SpoolDir: dir, SpoolBytes: 8 << 30, Encoder: shipper.EncoderOptions{AgentVersion: "test", EphemeralID: "backlog", Interval: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan struct{})
	go func() {
		defer close(running)
		s.Run(context.Background())
	}()
	defer func() {
		s.Close()
		<-running
	}()
	container := &metric.Container{Path: "/backlog"}
	for i := range 100 {
		container.Labels = append(container.Labels, metric.Label{Key: fmt.Sprintf("label%02d", i)})
	}
	node := &metric.Node{Name: "faults"}
	w := metric.Window{Last: new(metric.Sample), Container: container}
	slot := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	for batches := int64(0); s.Stats().SpoolBytes < bytes; batches++ {
		slot = slot.Add(time.Second)
		for range 50 {
			other := *container
			other.Labels = slices.Clone(container.Labels)
			for i := range other.Labels {
				other.Labels[i].Value = crand.Text() + crand.Text() // hardly to be compressed
			}
			w.Container = &other
			w.Next()
			w.Samples = 1
			w.Last.Time, w.Slot = slot.UnixNano()+int64(documents), slot.UnixNano()
			s.Put(node, &w)
			documents++
		}
		s.Flush(slot.UnixNano())
		for s.Stats().Batches < batches-20 { // more would be dropped
			time.Sleep(time.Millisecond)
		}
	}
	return documents
}
