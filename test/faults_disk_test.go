package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
	"github.com/swarmgauge/swarmgauge/test/faults"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// The rows of the spool's disk have one shape: an agent delivers, its disk fails, it says so,
// goes on from memory, the disk works again, and so does the agent. Elasticsearch is there
// unless a row says otherwise, because that is when a failing disk must cost nothing.

// inMemory is what /healthz?details says while the disk fails.
const inMemory = "Documents are kept in memory since"

// diskFault is one fault, from when it began until the agent had got over it.
type diskFault struct {
	degraded, recovered time.Duration // from the fault, and from its end
}

func (f diskFault) String() string {
	return fmt.Sprintf("degraded after %v, recovered after %v", f.degraded.Round(10*time.Millisecond), f.recovered.Round(10*time.Millisecond))
}

// inASweep tells that the agent had got over it within one sweep of the fault's end.
func (f diskFault) inASweep(c *crowd) bool { return f.recovered <= c.interval }

// suffer has the disk fail for a while. The agent has to be degraded with that problem an
// interval later, and to get over it by itself.
func (c *crowd) suffer(t testing.TB, a *agent, problem string, fail func(), while time.Duration, mend func()) (f diskFault) {
	t.Helper()
	began := time.Now()
	fail()
	waitFor(t, 20*time.Second, "the fault to be told: "+problem, func() error { return a.hasProblem(t, problem) })
	f.degraded = time.Since(began)
	before := a.delivery(t).Sampled
	time.Sleep(while)
	if now := a.delivery(t); now.Sampled == before {
		t.Errorf("no samples within %v of a failing disk: %+v", while, now)
	}
	ended := time.Now()
	mend()
	// Longer than an answer may take, and than the ten seconds between two attempts.
	waitFor(t, 30*time.Second, "the disk to be used again", func() error {
		h := a.health(t)
		if strings.Contains(strings.Join(h.Problems, "\n"), problem) || h.Delivery.Memory > 0 {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	f.recovered = time.Since(ended)
	// The goals are an interval and ten seconds; a busy machine is given more.
	if f.degraded > 5*time.Second || f.recovered > 20*time.Second {
		t.Errorf("%s: %v", problem, f)
	}
	return f
}

// hasProblem returns nil if the agent says that it is alive, and degraded with that problem.
func (a *agent) hasProblem(t testing.TB, problem string) error {
	t.Helper()
	h := a.health(t)
	if !h.Alive || h.Status != "degraded" || !strings.Contains(strings.Join(h.Problems, "\n"), problem) {
		return fmt.Errorf("%+v", h)
	}
	return nil
}

// loopDisk has the spool be on a file system of its own of 24 MiB, made with further options
// of mkfs.
func (c *crowd) loopDisk(t testing.TB, options ...string) (mount string) {
	t.Helper()
	mount = lab.LoopDiskFor(t, 24, options...)
	c.spool = filepath.Join(mount, "spool")
	return mount
}

// fill leaves no room on the file system of path, by a file there.
func fill(t testing.TB, path string) {
	t.Helper()
	if err := lab.Fill(path); err != nil {
		t.Fatal(err)
	}
}

// whole ends the agent and has another one deliver what it left. What lives checks has to
// hold, and gaps have to tell of as many documents as the agent says it has lost. It returns
// how many there are of each.
func (c *crowd) whole(t testing.TB, a *agent) (documents, lost int) {
	t.Helper()
	c.back()
	c.awaitDrained(t, a)
	dropped := total(a.delivery(t).Dropped)
	a.stopInTime(t)
	c.notePublished(t)
	c.drain(t)

	docs := c.documents(t)
	for _, l := range c.lives(t, docs) {
		documents += l.documents
	}
	for _, d := range docs {
		if n, ok := d.number("gap.documents"); ok {
			lost += int(n)
		}
	}
	if documents == 0 || lost != dropped {
		t.Errorf("%d documents, and gaps tell of %d that the agent has lost, which counts %d", documents, lost, dropped)
	}
	return documents, lost
}

// TestS01DiskFull has others fill the disk.
func TestS01DiskFull(t *testing.T) {
	row := faults.Start(t, "S1")
	there, away := 1500*time.Millisecond, 1500*time.Millisecond
	if row.Full() {
		there, away = time.Minute, time.Minute
	}
	t.Parallel()
	c := newCrowd(t, 20, 200*time.Millisecond)
	ballast := filepath.Join(c.loopDisk(t), "ballast")
	found, memory, back := c.fullDisk(t, there, away, func() { fill(t, ballast) }, func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	})
	row.Goal("16 MiB more at most", memory)
	row.Goal("back within a sweep of the space", back)
	row.Result("ext4 of 24 MiB: %s", found)
}

// fullDisk has the disk be full for a while with Elasticsearch there, and for another while
// without it. Memory has room for what comes in that time, so nothing is lost. It tells
// whether the agent took 16 MiB more at most, and was back within a sweep.
func (c *crowd) fullDisk(t testing.TB, there, away time.Duration, fill, free func()) (found string, memory, back bool) {
	t.Helper()
	a := c.start(t, nil)
	c.awaitDrained(t, a)
	before, err := residentOf(a.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	with := c.suffer(t, a, inMemory, fill, there, free)
	var after int64
	without := c.suffer(t, a, inMemory, func() { c.away(); fill() }, away, func() {
		if after, err = residentOf(a.cmd.Process.Pid); err != nil {
			t.Error(err)
		}
		free()
	})
	more := float64(after-before) / (1 << 20)
	if more > 16+8 {
		t.Errorf("%.1f MiB more memory", more)
	}
	documents, lost := c.whole(t, a)
	if lost > 0 {
		t.Errorf("%d documents lost", lost)
	}
	return fmt.Sprintf("for %v: %v; without Elasticsearch for %v: %v, %.1f MiB more memory; %d documents there once, %d in gaps, 0 not told of",
		there, with, away, without, more, documents, lost), more <= 16, with.inASweep(c) && without.inASweep(c)
}

// TestS02NoInodes is S1 for a file system of 64 inodes, which others take. There is no
// quota in this machine's kernel, so EDQUOT comes from strace: see TestS04FailingCalls.
func TestS02NoInodes(t *testing.T) {
	row := faults.Start(t, "S2")
	there, away := 1500*time.Millisecond, 1500*time.Millisecond
	if row.Full() {
		there, away = time.Minute, 5*time.Second // in which there are no more batches than inodes
	}
	t.Parallel()
	c := newCrowd(t, 20, 200*time.Millisecond)
	mount := c.loopDisk(t, "-N", "64")
	var files []string
	found, memory, back := c.fullDisk(t, there, away, func() {
		// The agent gives inodes back while it delivers: these are taken as well.
		for refused := 0; refused < 10; {
			name := filepath.Join(mount, fmt.Sprintf("taken-%d", len(files)))
			switch err := os.WriteFile(name, nil, 0o600); {
			case errors.Is(err, syscall.ENOSPC):
				refused++
				time.Sleep(c.interval / 4)
			case err != nil:
				t.Fatal(err)
			default:
				files = append(files, name)
			}
		}
	}, func() {
		for _, name := range files {
			if err := os.Remove(name); err != nil {
				t.Error(err)
			}
		}
		files = nil
	})
	row.Goal("16 MiB more at most", memory)
	row.Goal("back within a sweep of the inodes", back)
	row.Result("no inodes on ext4 with 64: %s; EDQUOT by strace: see S4", found)
}

// TestS03ReadOnly has the disk become read-only and writable again.
func TestS03ReadOnly(t *testing.T) {
	row := faults.Start(t, "S3")
	while := 1500 * time.Millisecond
	if row.Full() {
		while = 5 * time.Minute
	}
	t.Parallel()
	c := newCrowd(t, 20, 200*time.Millisecond)
	mount := c.loopDisk(t)
	remount := func(option string) {
		t.Helper()
		waitFor(t, 10*time.Second, "mount -o remount,"+option, func() error { // busy while a file is being written
			if out, err := exec.Command("mount", "-o", "remount,"+option, mount).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	a := c.start(t, nil)
	c.awaitDrained(t, a)
	f := c.suffer(t, a, inMemory, func() { remount("ro") }, while, func() { remount("rw") })
	documents, lost := c.whole(t, a)
	if lost > 0 {
		t.Errorf("%d documents lost", lost)
	}
	row.Goal("degraded within a sweep", f.degraded <= c.interval)
	row.Goal("back within 10 s", f.recovered <= 10*time.Second)
	row.Result("read-only for %v: %v; %d documents there once, %d in gaps", while, f, documents, lost)
}

// attach has strace do something to the running agent until the returned function is
// called, which returns what strace wrote.
func (a *agent) attach(t testing.TB, options ...string) (detach func() string) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(lab.Tool(t, "strace", "strace"), append([]string{"-f", "-o", trace, "-p", strconv.Itoa(a.cmd.Process.Pid)}, options...)...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running := true
	detach = func() string {
		t.Helper()
		if running {
			running = false
			cmd.Process.Signal(syscall.SIGINT) // it lets go of the agent, and ends
			cmd.Wait()
		}
		text, err := os.ReadFile(trace)
		if err != nil {
			t.Fatalf("%v: %s", err, said.String())
		}
		return string(text)
	}
	t.Cleanup(func() { detach() })
	waitFor(t, 10*time.Second, "strace to be attached", func() error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
		if err != nil || strings.Contains(string(status), "TracerPid:\t0\n") {
			return fmt.Errorf("%v: %s", err, said.String())
		}
		return nil
	})
	return detach
}

// spoolPaths are options of strace for the spool's directory and the files in it that
// aren't published yet, up to a number of them.
func (c *crowd) spoolPaths(most int) (options []string) {
	live := filepath.Join(c.spool, "q")
	options = []string{"-P", live}
	for i := range most {
		options = append(options, "-P", fmt.Sprintf("%s/.%d", live, i+1))
	}
	return options
}

// TestS04FailingCalls has each call of the spool fail in a running agent, and some of them
// in one that starts.
func TestS04FailingCalls(t *testing.T) {
	row := faults.Start(t, "S4")
	while, batches := 400*time.Millisecond, 500
	if row.Full() {
		while, batches = time.Minute, 2000
	}
	c := newCrowd(t, 20, 200*time.Millisecond)
	a := c.start(t, nil, "-spool-replay=0")
	c.awaitDrained(t, a)
	paths := c.spoolPaths(batches)
	var worst diskFault
	var found []string
	for _, fault := range [...]struct{ call, err string }{
		{"openat", "EIO"}, {"write", "EIO"}, {"fsync", "EIO"}, {"fstat", "EIO"}, {"renameat", "EIO"},
		{"write", "ENOSPC"}, {"fsync", "EDQUOT"}, {"openat", "EROFS"},
	} {
		var detach func() string
		f := c.suffer(t, a, inMemory, func() {
			detach = a.attach(t, append([]string{"-e", "trace=openat,write,fsync,fstat,renameat,close", "-e", "inject=" + fault.call + ":error=" + fault.err}, paths...)...)
		}, while, func() {
			checkNoSecondSync(t, detach())
		})
		worst.degraded, worst.recovered = max(worst.degraded, f.degraded), max(worst.recovered, f.recovered)
		found = append(found, fault.call+" "+fault.err)
	}
	// What can't be read is sent when it can. A slow server leaves something to be read.
	c.es.OnBulk(func(int, int) estest.Fault { return estest.Fault{Delay: 2 * time.Second} })
	var files []string
	waitFor(t, 10*time.Second, "batches in the spool", func() (err error) {
		if files, err = filepath.Glob(filepath.Join(c.spool, "q", "*.gz")); len(files) < 8 {
			return fmt.Errorf("%v, %v", files, err)
		}
		return nil
	})
	options := []string{"-e", "trace=read", "-e", "inject=read:error=EIO"}
	for _, file := range files {
		options = append(options, "-P", file)
	}
	reading := a.attach(t, options...)
	c.back()
	time.Sleep(while + time.Second)
	if !strings.Contains(reading(), "EIO") {
		t.Error("no batch was read")
	}
	c.awaitDrained(t, a)
	found = append(found, "read EIO")

	// What can't be unlinked was delivered, stays, and is delivered again to no effect by
	// the next agent.
	detach := a.attach(t, append([]string{"-e", "trace=unlinkat", "-e", "inject=unlinkat:error=EIO"}, paths...)...)
	time.Sleep(while + time.Second)
	if !strings.Contains(detach(), "EIO") {
		t.Error("unlinkat was not called")
	}
	c.notePublished(t)
	stayed := len(c.published)
	if stayed == 0 {
		t.Error("nothing stayed in the spool, though nothing could be unlinked")
	}
	documents, lost := c.whole(t, a)
	if lost > 0 {
		t.Errorf("%d documents lost", lost)
	}

	// An agent that can't list its directory starts all the same.
	listing := c.launch(t, append([]string{lab.Tool(t, "strace", "strace"), "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=getdents64", "-e", "inject=getdents64:error=EIO"}, paths[:2]...))
	listing.awaitAnswer(t)
	waitFor(t, 10*time.Second, "the fault to be told", func() error { return listing.hasProblem(t, inMemory) })
	waitFor(t, 10*time.Second, "documents to be delivered from memory", func() error {
		if d := listing.delivery(t); d.Indexed == 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	listing.stopInTime(t)
	c.lives(t, c.documents(t))
	row.Result("%s: %v at most; unlinkat EIO: %d documents stayed, and were delivered once; getdents64 EIO at the start: delivered from memory; %d documents there once, %d in gaps; no file synced again after a failed fsync",
		strings.Join(found, ", "), worst, stayed, documents, lost)
}

// checkNoSecondSync fails the test for a file that was synced again after an fsync had
// failed: the kernel takes the pages that were lost then for clean.
func checkNoSecondSync(t testing.TB, trace string) {
	t.Helper()
	failed := map[string]bool{} // by descriptor
	opened := map[string]bool{} // those of files; the directory's is kept
	call := regexp.MustCompile(`^\d+ +(openat|fsync|close)\((\d+)(.*)`)
	for line := range strings.Lines(trace) {
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch name, fd, rest := m[1], m[2], m[3]; name {
		case "openat":
			if _, result, ok := strings.Cut(rest, ") = "); ok {
				result = strings.TrimSpace(result)
				opened[result], failed[result] = true, false
			}
		case "close":
			delete(opened, fd)
		case "fsync":
			if failed[fd] && opened[fd] {
				t.Errorf("descriptor %s was synced again after it had failed:\n%s", fd, trace)
				return
			}
			failed[fd] = strings.Contains(rest, "= -1")
		}
	}
}

// TestS05SlowSync has each fsync take as long as it likes: sampling goes on, on time, and
// nothing of what waits is lost.
func TestS05SlowSync(t *testing.T) {
	row := faults.Start(t, "S5")
	sync, interval := 3*time.Second, 200*time.Millisecond
	if row.Full() {
		sync, interval = 30*time.Second, 250*time.Millisecond
	}
	c := newCrowd(t, 20, interval)
	a := c.start(t, nil)
	c.awaitDrained(t, a)
	const problem = "The disk of the spool has been taking one batch since"
	quiet, _ := c.latenessOf(t, time.Time{})
	machine := watchTimers()
	began := time.Now()
	detach := a.attach(t, append([]string{"-e", "trace=fsync", "-e", fmt.Sprintf("inject=fsync:delay_enter=%d", sync.Microseconds())}, c.spoolPaths(500)...)...)
	waitFor(t, 20*time.Second, "the fault to be told", func() error { return a.hasProblem(t, problem) })
	degraded := time.Since(began)
	time.Sleep(2*sync + sync/2) // a file's and the directory's fsync, and some more
	before := a.delivery(t)
	detach()
	waiting := (before.Pending + c.size - 1) / c.size
	c.awaitDrained(t, a)
	a.awaitHealth(t)
	documents, lost := c.whole(t, a)
	late, most99 := c.latenessOf(t, began)
	others := machine()
	if lost > 0 {
		t.Errorf("%d documents lost", lost)
	}
	if want := int(sync / interval * 8 / 10); waiting < want {
		t.Errorf("%d intervals were waiting, want %d at least: was the disk slow?", waiting, want)
	}
	if late > max(quiet, others)+time.Second {
		t.Errorf("a sample was taken %v after its slot, before the disk was slow %v at most; a timer of the test was %v late", late, quiet, others)
	}
	row.Goal("99 of 100 samples within 20 ms of their slots", most99 <= 20*time.Millisecond)
	row.Goal("120 intervals kept in memory", waiting >= 120)
	row.Result("fsync of %v: degraded after %v; %d intervals of %v waited in memory; samples %v after their slots at most, 99 of 100 %v at most, %v before; a timer of the test itself %v late; %d documents there once, %d in gaps",
		sync, degraded.Round(10*time.Millisecond), waiting, interval, late.Round(time.Millisecond), most99.Round(time.Millisecond), quiet.Round(time.Millisecond), others.Round(time.Millisecond), documents, lost)
}

// watchTimers returns a function that ends a watch over this process's own timers, and returns
// by how much the latest was late: what the machine does to everybody.
func watchTimers() (end func() (most time.Duration)) {
	const tick = 50 * time.Millisecond
	done, late := make(chan struct{}), make(chan time.Duration)
	go func() {
		most := time.Duration(0)
		for {
			began := time.Now()
			select {
			case <-time.After(tick):
				most = max(most, time.Since(began)-tick)
			case <-done:
				late <- most
				return
			}
		}
	}()
	return func() time.Duration {
		close(done)
		return <-late
	}
}

// latenessOf returns by how much the latest sample that was taken after from is behind its
// slot, and the latest of 99 in 100.
func (c *crowd) latenessOf(t testing.TB, from time.Time) (most, most99 time.Duration) {
	t.Helper()
	var all []time.Duration
	for _, d := range c.documents(t) {
		if d.dataset() == "container" && d.time().After(from) {
			all = append(all, d.time().Sub(c.end(d.slot())))
		}
	}
	if all == nil {
		return 0, 0
	}
	slices.Sort(all)
	return max(0, all[len(all)-1]), max(0, all[(len(all)*99+99)/100-1])
}
