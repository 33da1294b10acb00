package test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// soakVariable is how long TestSoak lasts, everyVariable how long the agent rests between two
// faults; make soak sets them. Without the first there is one fault of each of three kinds.
const (
	soakVariable  = "SOAK"
	everyVariable = "SOAK_EVERY"
)

// TestSoak lets an agent live among two hundred cgroups that come and go, with a fault of a
// random kind each minute. In the end the auditor has to prove that nothing is lost and
// nothing there twice, and the agent must not have grown.
func TestSoak(t *testing.T) {
	lab.Need(t, lab.Elasticsearch)
	length, cgroups, between := time.Duration(0), 30, 2*time.Second
	if os.Getenv(soakVariable) != "" {
		length, between, cgroups = soakTime(t, soakVariable, 0), soakTime(t, everyVariable, time.Minute), 200
	} else {
		t.Parallel() // waits most of its time
	}
	disk := lab.LoopDiskFor(t, 48)
	fleet := newSoakFleet(t, cgroups)
	s := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{})
	g := newTarget(t, s, "soak")
	wire := newValve(t, strings.TrimPrefix(s.URL(), "http://"))
	k := &soak{
		target: g, server: s, wire: wire, disk: disk, fleet: fleet,
		options: g.options(fleet.prefix, "-storage_driver_es_host=http://"+wire.address(), "-spool-dir="+filepath.Join(disk, "spool")),
	}
	began := time.Now()
	k.start(t)
	fleet.churn(t)

	seed := uint64(began.UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, %d cgroups", seed, cgroups)
	kinds := soakFaults()
	for n := 0; ; n++ {
		time.Sleep(between / 2)
		for range soakRests {
			time.Sleep(between / 2 / soakRests)
			k.rest(t)
		}
		fault := kinds[random.IntN(len(kinds))]
		if length == 0 { // the first kinds, one after the other
			if n == 3 {
				break
			}
			fault = kinds[n]
		} else if time.Since(began) > length {
			break
		}
		at := time.Now()
		t.Logf("%v: %s", at.Sub(began).Round(time.Second), fault.name)
		fault.happen(t, k)
		ended := time.Now()
		k.recover(t)
		t.Logf("took %v, well %v later", ended.Sub(at).Round(time.Second/10), time.Since(ended).Round(time.Second/10))
	}
	k.agent.stopInTime(t)
	k.remember(t)
	k.start(t) // which delivers what that one left
	k.recover(t)
	if length > 0 && !slices.ContainsFunc(k.rests, soakJudged) {
		// All were killed too early: this one is left alone for long enough.
		time.Sleep(soakFills)
		for range 2 * soakRests {
			time.Sleep(5 * time.Second)
			k.rest(t)
		}
	}
	k.agent.stopInTime(t)
	k.remember(t)

	for _, sentence := range k.panics {
		t.Error(sentence)
	}
	time.Sleep(time.Second)
	found, code := audit(t, g, began.Add(-time.Second))
	if found.Verdict != shipper.Proven || code != 0 || len(found.Nodes) != 1 {
		t.Fatalf("%s, exit code %d: %+v\n%s", found.Verdict, code, found.Nodes, sentencesOf(found))
	}
	n := found.Nodes[0]
	t.Logf("%d runs, %d killed, %d batches, %d documents: %d there, %d in gaps; %d slots missed; the spool has %d files left\n%s",
		n.Runs, n.Killed, n.Batches, n.Made, n.Present, n.InGaps, n.MissedSweeps, len(k.waiting(t)), sentencesOf(found))
	k.checkGrowth(t)
}

// soakTime reads a length of time from the environment.
func soakTime(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s is a length of time, as 3h: %v", name, err)
	}
	return d
}

// soak is an agent in a soak, and what it lives with.
type soak struct {
	*target
	server  *lab.ElasticsearchServer
	wire    *valve
	disk    string // mount of the spool's disk
	fleet   *soakFleet
	options []string
	agent   *agent
	panics  []string
	rests   [][]soakRest // by run, without those before it was filled
	started time.Time    // the agent
}

const (
	// soakRests is how often the agent is looked at in the second half of the time between
	// two faults, and how often a run has to have been, at least, to be judged.
	soakRests = 6
	// soakFills is how long its history and its heap take to fill.
	soakFills = 150 * time.Second
)

// soakJudged tells that a run has rested often enough to tell whether it grows.
func soakJudged(rests []soakRest) bool { return len(rests) >= soakRests }

// soakRest is what the agent takes while nothing happens to it.
type soakRest struct {
	at                           time.Time
	rss, descriptors, goroutines float64
}

func (k *soak) start(t *testing.T) {
	t.Helper()
	k.agent = startAgent(t, k.options...)
	k.rests = append(k.rests, nil)
	k.started = time.Now()
}

// rest notes what the agent takes, once it is filled.
func (k *soak) rest(t *testing.T) {
	t.Helper()
	if time.Since(k.started) < soakFills {
		return
	}
	text, err := httpGet(t, k.agent.URL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	r := soakRest{at: time.Now()}
	for name, v := range map[string]*float64{
		"process_resident_memory_bytes": &r.rss, "process_open_fds": &r.descriptors, "go_goroutines": &r.goroutines,
	} {
		if *v, err = metricOf(text, name); err != nil {
			t.Fatal(err)
		}
	}
	run := &k.rests[len(k.rests)-1]
	*run = append(*run, r)
}

// remember looks for what the log of an agent that has ended must not have.
func (k *soak) remember(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(k.agent.logs(t)) {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			k.panics = append(k.panics, line)
		}
	}
}

// recover waits until the agent is well and nothing but its newest batches wait.
func (k *soak) recover(t *testing.T) {
	t.Helper()
	waitFor(t, 3*time.Minute, "the agent to get over it", func() error {
		h := k.agent.health(t)
		// A batch or two are always on their way.
		if h.Status != "ok" || h.Delivery.Indexed == 0 || h.Delivery.Memory > 0 || h.Delivery.Pending > 3*(k.fleet.size+20) {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
}

// waiting are the files of the batches in the spool.
func (k *soak) waiting(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.disk, "spool", "q", "0*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// backlog waits until so many batches wait.
func (k *soak) backlog(t *testing.T, batches int) []string {
	t.Helper()
	var files []string
	waitFor(t, 60*time.Second, "a backlog", func() error {
		if files = k.waiting(t); len(files) < batches {
			return fmt.Errorf("%d batches wait", len(files))
		}
		return nil
	})
	return files
}

// checkGrowth fails the test for an agent that grows: of each run that has rested often
// enough, the last rests take no more than the first. The short form is too short for that.
func (k *soak) checkGrowth(t *testing.T) {
	t.Helper()
	const (
		memory     = 4 << 20 // bytes that a heap and its fragments may differ by
		goroutines = 6       // requests under way
	)
	judged := 0
	for i, rests := range k.rests {
		if !soakJudged(rests) {
			continue
		}
		judged++
		third := len(rests) / 3
		grown := func(of func(soakRest) float64) (grown, slope float64) {
			median := func(rests []soakRest) float64 {
				var all []float64
				for _, r := range rests {
					all = append(all, of(r))
				}
				slices.Sort(all)
				return all[len(all)/2]
			}
			return median(rests[len(rests)-third:]) - median(rests[:third]), slopeOf(rests, of)
		}
		rss, rssSlope := grown(func(r soakRest) float64 { return r.rss })
		fds, fdSlope := grown(func(r soakRest) float64 { return r.descriptors })
		routines, routineSlope := grown(func(r soakRest) float64 { return r.goroutines })
		t.Logf("run %d, %v: RSS %+.2f MiB (%+.2f MiB/h), descriptors %+.0f (%+.1f/h), goroutines %+.0f (%+.1f/h)", i+1,
			rests[len(rests)-1].at.Sub(rests[0].at).Round(time.Second), rss/(1<<20), rssSlope/(1<<20), fds, fdSlope, routines, routineSlope)
		// One cgroup more or less has some twenty files.
		if rss > memory || fds > 80 || routines > goroutines {
			t.Errorf("run %d has grown: %.0f bytes, %.0f descriptors, %.0f goroutines", i+1, rss, fds, routines)
		}
	}
	if judged == 0 {
		t.Log("growth: not judged, no run lasted long enough; make soak judges it")
	}
}

// slopeOf is by how much a number grows in an hour, by the least squares.
func slopeOf(rests []soakRest, of func(soakRest) float64) float64 {
	var n, x, y, xx, xy float64
	for _, r := range rests {
		at, v := r.at.Sub(rests[0].at).Hours(), of(r)
		n, x, y, xx, xy = n+1, x+at, y+v, xx+at*at, xy+at*v
	}
	if d := n*xx - x*x; d > 0 {
		return (n*xy - x*y) / d
	}
	return 0
}

// soakFault is a kind of fault.
type soakFault struct {
	name   string
	happen func(*testing.T, *soak)
}

// soakFaults are the kinds, those of the short form first.
func soakFaults() []soakFault {
	return []soakFault{
		{"kill -9", func(t *testing.T, k *soak) {
			k.agent.kill()
			k.remember(t)
			k.start(t)
		}},
		{"a spool file damaged while the server swallows everything", func(t *testing.T, k *soak) {
			k.wire.set(valveSilent)
			files := k.backlog(t, 3)
			content, err := os.ReadFile(files[0])
			if err == nil {
				content[len(content)/2] ^= 0x10
				err = os.WriteFile(files[0], content, 0o600)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) { // delivered a moment ago
				t.Fatal(err)
			}
			k.wire.set(valveOpen)
		}},
		{"a disk filled by others", func(t *testing.T, k *soak) {
			ballast := filepath.Join(k.disk, "ballast")
			if err := lab.Fill(ballast); err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Second)
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		}},
		{"a disk filled by others, and no server", func(t *testing.T, k *soak) {
			k.wire.set(valveShut)
			ballast := filepath.Join(k.disk, "ballast")
			if err := lab.Fill(ballast); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			k.wire.set(valveOpen)
		}},
		{"a disk that is read-only", func(t *testing.T, k *soak) {
			remount := func(option string) {
				t.Helper()
				// Busy as long as a file is being written.
				waitFor(t, 20*time.Second, "the disk to be "+option, func() error {
					out, err := exec.Command("mount", "-o", "remount,"+option, k.disk).CombinedOutput()
					if err != nil {
						return fmt.Errorf("%w: %s", err, out)
					}
					return nil
				})
			}
			remount("ro")
			time.Sleep(15 * time.Second)
			remount("rw")
		}},
		{"stopped for 20 s", func(t *testing.T, k *soak) {
			k.agent.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(20 * time.Second)
			k.agent.cmd.Process.Signal(syscall.SIGCONT)
		}},
		{"no server for 20 s", func(t *testing.T, k *soak) {
			k.wire.set(valveShut)
			time.Sleep(20 * time.Second)
			k.wire.set(valveOpen)
		}},
		{"Elasticsearch killed and started", func(t *testing.T, k *soak) {
			if err := errors.Join(k.server.Kill(), k.server.Start(t.Context())); err != nil {
				t.Fatal(err)
			}
		}},
		{"Elasticsearch stopped and started, the agent killed meanwhile", func(t *testing.T, k *soak) {
			if err := k.server.Stop(); err != nil {
				t.Fatal(err)
			}
			k.backlog(t, 3)
			k.agent.kill()
			k.remember(t)
			k.start(t)
			if err := k.server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
	}
}

// soakFleet are bare cgroups, every fifth with a process, some of which go while others come.
type soakFleet struct {
	prefix string // of their paths
	size   int

	mu      sync.Mutex // guards what follows
	next    int
	members []soakMember
}

type soakMember struct {
	path    string
	process *exec.Cmd // nil for none
}

func newSoakFleet(t *testing.T, size int) *soakFleet {
	parent := fmt.Sprintf("swarmgauge-soak-%d", os.Getpid())
	f := &soakFleet{prefix: "/" + parent + "/", size: size}
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for len(f.members) > 0 {
			f.remove(t)
		}
		removeCgroups(t, parent)
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for range size {
		f.add(t)
	}
	return f
}

func (f *soakFleet) add(t *testing.T) {
	f.next++
	m := soakMember{path: fmt.Sprintf("%s%04d", f.prefix[1:], f.next)}
	dirs := makeCgroups(t, m.path)
	f.members = append(f.members, m)
	if f.next%5 != 0 {
		return
	}
	c := exec.Command("sh", "-c", "while :; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; sleep 1; done")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.Start(); err != nil {
		t.Error(err)
		return
	}
	f.members[len(f.members)-1].process = c
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, c.Process.Pid), 0); err != nil {
			t.Error(err)
		}
	}
}

// remove takes the oldest away.
func (f *soakFleet) remove(t *testing.T) {
	m := f.members[0]
	f.members = f.members[1:]
	if m.process != nil {
		syscall.Kill(-m.process.Process.Pid, syscall.SIGKILL) // and its sleep
		m.process.Wait()
	}
	for _, dir := range cgroupDirs(m.path) {
		// A process that was killed leaves its cgroup a moment later.
		err := syscall.Rmdir(dir)
		for deadline := time.Now().Add(5 * time.Second); errors.Is(err, syscall.EBUSY) && time.Now().Before(deadline); err = syscall.Rmdir(dir) {
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// churn replaces two of them each second until the test ends.
func (f *soakFleet) churn(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
			f.mu.Lock()
			for range 2 {
				f.remove(t)
				f.add(t)
			}
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
}

// valve is a relay between an agent and its server that can be shut.
type valve struct {
	listener net.Listener
	to       string

	mu    sync.Mutex // guards what follows
	state valveState
	open  map[net.Conn]bool
}

type valveState int

const (
	valveOpen   valveState = iota
	valveShut              // connections are reset
	valveSilent            // connections are accepted, and nothing comes
)

func newValve(t *testing.T, to string) *valve {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &valve{listener: l, to: to, open: map[net.Conn]bool{}}
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			relays.Go(func() { v.relay(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		v.set(valveShut)
		relays.Wait()
	})
	return v
}

func (v *valve) address() string { return v.listener.Addr().String() }

// set changes the state; what was connected is not any more.
func (v *valve) set(state valveState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = state
	for c := range v.open {
		c.Close()
	}
}

// hold has the connection closed by the next change, and returns the state.
func (v *valve) hold(c net.Conn) valveState {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state != valveShut {
		v.open[c] = true
	}
	return v.state
}

func (v *valve) drop(c net.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.open, c)
	c.Close()
}

func (v *valve) relay(c net.Conn) {
	defer v.drop(c)
	switch v.hold(c) {
	case valveShut:
		return
	case valveSilent:
		io.Copy(io.Discard, c)
		return
	}
	server, err := net.Dial("tcp", v.to)
	if err != nil {
		return
	}
	defer v.drop(server)
	if v.hold(server) != valveOpen {
		return
	}
	go func() {
		io.Copy(server, c)
		server.Close()
	}()
	io.Copy(c, server)
}
