package collector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRuntime is a Runtime whose containers are cgroups below a parent with ids for names.
type fakeRuntime struct {
	parent     string // other tests' containers are none of this one
	mu         sync.Mutex
	containers map[string]*metric.Container // by id
	events     chan metric.Event
}

func newFakeRuntime(parent string) *fakeRuntime {
	return &fakeRuntime{parent: parent, containers: map[string]*metric.Container{}, events: make(chan metric.Event, 100)}
}

func (f *fakeRuntime) Recognize(path string) (runtime, id string, ok bool) {
	if id = filepath.Base(path); len(id) == 64 && strings.HasPrefix(path, "/"+f.parent+"/") {
		return "docker", id, true
	}
	return "", "", false
}

func (f *fakeRuntime) Inspect(_ context.Context, path string) (*metric.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.containers[filepath.Base(path)]; c != nil {
		return c, nil
	}
	return nil, errors.New("no such container")
}

func (f *fakeRuntime) Watch(ctx context.Context, tell func(metric.Event)) {
	for {
		select {
		case e := <-f.events:
			tell(e)
		case <-ctx.Done():
			return
		}
	}
}

func (f *fakeRuntime) set(c metric.Container) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.containers[c.ID] = &c
}

func (f *fakeRuntime) forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.containers, id)
}

// recorder is a Sink that keeps copies.
type recorder struct {
	windows []recorded
	events  []metric.Event
	missed  []metric.Missed
	flushed []int64
}

type recorded struct {
	node        *metric.Node
	container   *metric.Container
	slot        int64
	ended       bool
	samples     int
	cpu         uint64
	hasCPU      bool
	first, last metric.Sample
	networkOf   string
}

func (r *recorder) Put(node *metric.Node, w *metric.Window) {
	c := recorded{node: node, container: w.Container, slot: w.Slot, ended: w.Ended, samples: w.Samples, networkOf: w.NetworkOf}
	c.cpu, c.hasCPU = w.Last.Increase(&w.First, metric.CPUUsage, 0)
	c.first.CopyFrom(&w.First)
	c.last.CopyFrom(w.Last)
	r.windows = append(r.windows, c)
}

func (r *recorder) PutEvent(_ *metric.Node, e *metric.Event)   { r.events = append(r.events, *e) }
func (r *recorder) PutMissed(_ *metric.Node, m *metric.Missed) { r.missed = append(r.missed, *m) }
func (r *recorder) Flush(slot int64)                           { r.flushed = append(r.flushed, slot) }

func (r *recorder) of(id string) (found []recorded) {
	for _, w := range r.windows {
		if w.container.ID == id {
			found = append(found, w)
		}
	}
	return found
}

// bench is a collector over the live kernel whose sweeps the test makes itself.
type bench struct {
	*Collector
	runtime *fakeRuntime
	sink    *recorder
	parent  string
	slot    int64
}

const interval = 100 * time.Millisecond

func newBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	parent := fmt.Sprintf("swarmgauge-test-%d-%s", os.Getpid(), strings.ToLower(t.Name()))
	if err := makeCgroup(parent); err != nil {
		lab.Lack(t, "This test makes cgroups: "+err.Error()+": run it as root on a machine whose /sys/fs/cgroup is writable: sudo go test ./collector")
	}
	t.Cleanup(func() { removeCgroup(t, parent) })
	fs, err := proc.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	cgroups, err := cgroup.Open(cgroup.Options{ProcRoot: "/proc", CgroupRoot: "/sys/fs/cgroup", MaxDescriptors: 1000, DeviceName: fs.DeviceName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cgroups.Close)
	host, err := fs.OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{runtime: newFakeRuntime(parent), sink: new(recorder), parent: parent, slot: int64(interval)}
	o := Options{
		Cgroups: cgroups, Proc: fs, Host: host, Runtime: b.runtime, Sink: b.sink, Log: zap.NewNop(),
		Node:     func(context.Context) (*metric.Node, error) { return &metric.Node{Name: "n1", CPUs: 2}, nil },
		Interval: interval, Window: 5 * interval, SlowInterval: interval, RefreshInterval: interval,
		NodeInterval: time.Hour, RescanInterval: time.Hour, History: time.Minute,
		MaxInterval: time.Minute, RuntimeOnly: true,
	}
	if change != nil {
		change(&o)
	}
	if b.Collector, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	stop := b.background.start(t.Context())
	t.Cleanup(func() { stop(); b.close() })
	return b
}

// tick makes one sweep, not at the end of a window, after all questions are answered.
func (b *bench) tick(t *testing.T) {
	t.Helper()
	if err := b.background.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.slot += int64(interval)
	if b.slot%int64(5*interval) == 0 {
		b.slot += int64(interval)
	}
	b.sweep(b.slot)
}

// tickUntil makes sweeps until f is satisfied.
func (b *bench) tickUntil(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 300 { // an emulated processor takes its time
		if b.tick(t); f() {
			return
		}
		time.Sleep(interval)
	}
	t.Fatalf("after 30 s: %s", what)
}

// windowEnd makes the sweep at the end of a window.
func (b *bench) windowEnd(t *testing.T) {
	t.Helper()
	if err := b.background.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.slot = (b.slot/int64(5*interval) + 1) * int64(5*interval)
	b.sweep(b.slot)
}

// hierarchies are the writable mounts: each v1 controller's, or v2's.
func hierarchies() (dirs []string) {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	all, _ := filepath.Glob("/sys/fs/cgroup/*")
	for _, dir := range all {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() && filepath.Base(dir) != "unified" && filepath.Base(dir) != "systemd" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func makeCgroup(name string) error {
	dirs := hierarchies()
	if len(dirs) == 0 {
		return errors.New("no cgroup mount")
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		for _, controller := range []string{"+cpu", "+memory", "+io", "+pids"} { // v2: each parent gives them on
			// What the kernel hasn't got is refused; v1 has no such file.
			if f, err := os.OpenFile(filepath.Join(filepath.Dir(path), "cgroup.subtree_control"), os.O_WRONLY, 0); err == nil {
				f.WriteString(controller)
				f.Close()
			}
		}
		if filepath.Base(dir) == "cpuset" { // v1: tasks need a CPU first
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				inherited, err := os.ReadFile(filepath.Join(filepath.Dir(path), file))
				if err == nil {
					os.WriteFile(filepath.Join(path, file), inherited, 0)
				}
			}
		}
	}
	return nil
}

func removeCgroup(t *testing.T, name string) {
	for _, dir := range hierarchies() {
		top := filepath.Join(dir, name)
		var all []string
		filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		for i := len(all) - 1; i >= 0; i-- {
			for range 100 { // a killed process leaves its cgroup a moment later
				if err := unix.Rmdir(all[i]); err == nil || err == unix.ENOENT {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if _, err := os.Stat(all[i]); err == nil {
				t.Errorf("%s is left behind", all[i])
			}
		}
	}
}

// start runs a command in a cgroup of its own below the bench's parent.
func (b *bench) start(t *testing.T, id string, command ...string) (stop func()) {
	t.Helper()
	name := filepath.Join(b.parent, id)
	if err := makeCgroup(name); err != nil {
		t.Fatal(err)
	}
	// The shell waits until it is in its cgroup, so that nothing is counted elsewhere.
	c := exec.Command("sh", append([]string{"-c", `read go; exec "$@"`, "sh"}, command...)...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range hierarchies() {
		if err := os.WriteFile(filepath.Join(dir, name, "cgroup.procs"), fmt.Append(nil, c.Process.Pid), 0); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintln(in, "go")
	var once sync.Once
	stop = func() {
		once.Do(func() {
			c.Process.Kill()
			c.Wait()
			removeCgroup(t, name)
		})
	}
	t.Cleanup(stop)
	return stop
}

// name lets the runtime know the container id.
func (b *bench) name(id string) { b.runtime.set(metric.Container{ID: id, Name: "name-" + id[:1]}) }

func id(digit string) string { return strings.Repeat(digit, 64) }

func TestNewContainerCountsFromZeroAndItsFlowsAddUp(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t) // what runs already
	stop := b.start(t, id("a"), "sh", "-c", "while :; do :; done")
	b.runtime.set(metric.Container{ID: id("a"), Name: "burner", Runtime: "docker"})
	for range 3 {
		for range 2 { // fewer than make a window
			time.Sleep(interval)
			b.tick(t)
		}
		b.windowEnd(t)
	}
	target := b.byID[id("a")]
	if target == nil {
		t.Fatal("the container wasn't found")
	}
	b.tick(t) // what happens after the last window's end
	stop()
	b.tick(t)
	last, _ := target.cur.Get(metric.CPUUsage)
	windows := b.sink.of(id("a"))
	if len(windows) != 4 {
		t.Fatalf("%d windows, want 3 and the last", len(windows))
	}
	sum := uint64(0)
	for i, w := range windows {
		if !w.hasCPU {
			t.Errorf("window %d has no CPU time", i)
		}
		sum += w.cpu
		if w.ended != (i == 3) {
			t.Errorf("window %d: ended is %v", i, w.ended)
		}
		if w.container.Name != "burner" {
			t.Errorf("window %d is of %q", i, w.container.Name)
		}
		if w.node.Name != "n1" {
			t.Errorf("window %d is of node %q", i, w.node.Name)
		}
	}
	if sum != last || sum == 0 {
		t.Errorf("the flows add up to %d ns, the counter ended at %d", sum, last)
	}
	for ns, owner := range b.owners {
		if owner == target {
			t.Errorf("the network namespace %d is still its", ns)
		}
	}
	if b.byPath[target.path()] != nil || b.byID[id("a")] != nil || slices.Contains(b.targets, target) {
		t.Error("something of the container is left")
	}
}

func TestContainerThatEndsAtTheEndOfAWindowHasALastOne(t *testing.T) {
	b := newBench(t, nil)
	b.name(id("c"))
	b.tick(t)
	stop := b.start(t, id("c"), "sleep", "60")
	b.tick(t)
	b.windowEnd(t)
	stop()
	b.tick(t)
	windows := b.sink.of(id("c"))
	if len(windows) != 2 || windows[0].ended || !windows[1].ended {
		t.Fatalf("windows: %+v", windows)
	}
	if last := windows[1]; last.samples != 0 || last.cpu != 0 || last.last.Time != windows[0].last.Time {
		t.Errorf("the last window has %d samples and %d ns of CPU time", last.samples, last.cpu)
	}
}

func TestFoundRunningHasNoPast(t *testing.T) {
	b := newBench(t, nil)
	b.name(id("b"))
	b.start(t, id("b"), "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exec sleep 60")
	time.Sleep(500 * time.Millisecond)
	b.tick(t)
	b.tick(t)
	b.windowEnd(t)
	windows := b.sink.of(id("b"))
	if len(windows) != 1 {
		t.Fatalf("%d windows, want 1", len(windows))
	}
	total, _ := windows[0].last.Get(metric.CPUUsage)
	if windows[0].cpu >= total {
		t.Errorf("a flow of %d ns of %d: the time before the agent came is in it", windows[0].cpu, total)
	}
}

// In a PID namespace of its own the agent finds a container's process after a while. What the
// interfaces of one that was found running have counted before is no flow.
func TestFoundRunningHasNoPastOnTheNetwork(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Window = time.Hour })
	b.self = -1
	b.name(id("f"))
	b.start(t, id("f"), "sleep", "60")
	b.tick(t)
	b.tick(t)
	target := b.byID[id("f")]
	pids, err := target.reader.AppendPids(nil)
	if err != nil || len(pids) != 1 {
		t.Fatalf("processes %v, %v", pids, err)
	}
	b.runtime.set(metric.Container{ID: id("f"), Name: "found", PID: pids[0]})
	b.tickUntil(t, "the network is never read", func() bool { return target.netRead })
	b.tick(t)
	b.tick(t)
	if target.cur.Rows(metric.PerInterface) == 0 {
		lab.Lack(t, "This machine has no network interface: run it on one that has (go test ./collector)")
	}
	for row := range target.cur.Rows(metric.PerInterface) {
		total, _ := target.cur.GetRow(metric.NetworkReceiveBytes, row)
		if flow, ok := target.cur.Increase(&target.window.First, metric.NetworkReceiveBytes, row); !ok || flow > total/2 {
			t.Errorf("%s: a flow of %d (%v) of %d bytes: the time before the agent came is in it", target.cur.Key(metric.PerInterface, row).Name, flow, ok, total)
		}
	}
}

// A runtime makes a container's directories one after the other, and the agent may come
// between. The counters that it reads later have begun at zero all the same.
func TestCountersThatComeLateBeganAtZero(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Window = time.Hour })
	b.tick(t)
	b.name(id("8"))
	v1, late := len(hierarchies()) > 1, metric.MemoryPageFaults // v2: of a controller that isn't on yet
	if v1 {
		late = metric.CPUUsage
	}
	for _, dir := range hierarchies() {
		if v1 && strings.Contains(filepath.Base(dir), "cpuacct") {
			continue
		}
		if err := os.Mkdir(filepath.Join(dir, b.parent, id("8")), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.tick(t)
	target := b.byID[id("8")]
	if target == nil {
		t.Fatal("the container wasn't found")
	}
	if _, there := target.cur.Get(late); there || !target.begun {
		t.Fatalf("number %d is there (%v) although its file can't be, or the container didn't begin (%v)", late, there, target.begun)
	}
	b.start(t, id("8"), "sh", "-c", "while :; do :; done")
	b.tickUntil(t, "the counter never comes", func() bool { v, _ := target.cur.Get(late); return v > 0 })
	b.tick(t)
	total, _ := target.cur.Get(late)
	if flow, ok := target.cur.Increase(&target.window.First, late, 0); !ok || flow != total {
		t.Errorf("the container used %d (%v), its counter is at %d", flow, ok, total)
	}
}

func TestUnnamedContainerIsMeasuredWithTheReason(t *testing.T) {
	b := newBench(t, nil)
	b.start(t, id("c"), "sleep", "60")
	for range namingReads {
		b.tick(t)
	}
	b.windowEnd(t)
	windows := b.sink.of(id("c"))
	if len(windows) != 1 || windows[0].container.Unidentified != "no such container" || windows[0].container.DisplayName() != "/"+b.parent+"/"+id("c") {
		t.Fatalf("got %+v", windows)
	}
	b.runtime.set(metric.Container{ID: id("c"), Name: "late", Runtime: "docker", Swarm: metric.Swarm{NodeID: "swarmnode"}})
	b.tickUntil(t, "the name never came", func() bool { return b.byID[id("c")].container.Name == "late" })
	if c := b.byID[id("c")].container; c.Unidentified != "" || c.Path == "" || c.Instance == 0 {
		t.Errorf("identified as %+v", c)
	}
	if b.node.SwarmID != "swarmnode" {
		t.Errorf("the node's Swarm id is %q", b.node.SwarmID)
	}
}

func TestRecreatedCgroupIsAnotherContainer(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	stop := b.start(t, id("d"), "sleep", "60")
	b.tick(t)
	before := b.byID[id("d")].container.Instance
	stop()
	b.start(t, id("d"), "sleep", "60")
	b.tick(t)
	if after := b.byID[id("d")]; after == nil || after.container.Instance == before || !after.begun {
		t.Fatalf("after the restart: %+v", after)
	}
	if windows := b.sink.of(id("d")); len(windows) != 1 || !windows[0].ended {
		t.Errorf("the first one's last window: %+v", windows)
	}
}

func TestWhichCgroupsAreMeasured(t *testing.T) {
	f := func(o Options, path string, want bool) {
		t.Helper()
		c := &Collector{o: o}
		if got := c.wanted(path); got != want {
			t.Errorf("only runtimes: %v, prefixes %q: %s is %v", o.RuntimeOnly, o.RawPrefixes, path, got)
		}
	}
	f(Options{}, "/", true)
	f(Options{}, "/system.slice/ssh.service", true)
	f(Options{RuntimeOnly: true}, "/", true)
	f(Options{RuntimeOnly: true}, "/system.slice", false)
	f(Options{RuntimeOnly: true, RawPrefixes: []string{"/system.slice"}}, "/system.slice/ssh.service", true)
	f(Options{RuntimeOnly: true, RawPrefixes: []string{"/system.slice"}}, "/user.slice", false)
	f(Options{RawPrefixes: []string{"/system.slice"}}, "/user.slice", false)
}

// What the tree leaves out is told, in the log once.
func TestTooDeepCgroupsAreTold(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	b := newBench(t, func(o *Options) { o.Log = zap.New(core) })
	b.tick(t)
	before := b.Stats().TooDeep // those of somebody else
	path := b.parent
	for i := range cgroup.MaxDepth + 1 { // the parent is at the first level, so that two are too deep
		path = filepath.Join(path, strconv.Itoa(i))
	}
	if err := makeCgroup(path); err != nil {
		t.Fatal(err)
	}
	b.tick(t)
	b.tick(t)
	if n := b.Stats().TooDeep; n != before+1 {
		t.Errorf("%d cgroups are too deep, want one more than %d: those below it aren't looked at", n, before)
	}
	if n := logs.FilterMessageSnippet("too deep").Len(); n != 1 {
		t.Errorf("said %d times: %v", n, logs.All())
	}
	removeCgroup(t, filepath.Join(b.parent, "0"))
	b.tick(t)
	if n := b.Stats().TooDeep; n != before {
		t.Errorf("%d cgroups are too deep after the end of those of the test, want %d", n, before)
	}
}

// At the pace of RescanInterval all is listed anew, and what isn't shown then is no target any
// more. Between, it stays one for as long as it can be read.
func TestRescanEndsWhatTheTreeDoesNotShow(t *testing.T) {
	const sweeps = 4
	f := func(every time.Duration, rescans uint64, stays bool) {
		t.Helper()
		b := newBench(t, func(o *Options) { o.Window, o.RescanInterval = time.Hour, every })
		shown, hidden := id("5"), id("6")[:58]+".mount" // the tree leaves out mount units
		defer b.start(t, shown, "sleep", "60")()
		defer b.start(t, hidden, "sleep", "60")()
		b.tick(t)
		if b.byID[shown] == nil || b.byID[hidden] != nil {
			t.Fatal("the tree doesn't show what it should, or shows what it shouldn't")
		}
		b.found("/"+b.parent+"/"+hidden, 0) // as if it had shown it
		if b.byID[hidden] == nil {
			t.Fatal("the container can't be read")
		}
		for range sweeps - 1 {
			b.tick(t)
		}
		if b.rescans != rescans {
			t.Errorf("every %v: %d full listings in %d sweeps, want %d", every, b.rescans, sweeps, rescans)
		}
		if b.byID[shown] == nil || len(b.sink.of(shown)) != 0 {
			t.Errorf("every %v: what the tree shows has ended", every)
		}
		windows := b.sink.of(hidden)
		if ended := len(windows) == 1 && windows[0].ended; ended == stays || stays != (b.byID[hidden] != nil) {
			t.Errorf("every %v: what the tree doesn't show has ended: %v, is measured: %v", every, ended, b.byID[hidden] != nil)
		}
	}
	f(time.Hour, 1, true)
	f(time.Nanosecond, sweeps, false)
}

// A full listing has forgotten what there was, and can't tell what has gone since. An idle
// container that goes then, and isn't read, ends all the same.
func TestRescanEndsWhatHasGoneUnread(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Dynamic, o.RescanInterval = true, time.Nanosecond })
	b.name(id("9"))
	b.tick(t)
	stop := b.start(t, id("9"), "sleep", "60")
	b.tick(t)
	b.byID[id("9")].wait = 100
	stop()
	b.tick(t)
	if windows := b.sink.of(id("9")); b.byID[id("9")] != nil || len(windows) != 1 || !windows[0].ended {
		t.Errorf("measured after its end: %v; %d windows, want the last one", b.byID[id("9")] != nil, len(windows))
	}
}

func TestNetworkNamespaceIsCountedOnce(t *testing.T) {
	b := newBench(t, nil)
	b.name(id("e"))
	b.name(id("f"))
	b.tick(t)
	b.start(t, id("e"), "sleep", "60") // in the host's namespace
	b.start(t, id("f"), "unshare", "-n", "sh", "-c", "ip link add eth0 type veth peer name eth1; exec sleep 60")
	time.Sleep(300 * time.Millisecond)
	b.tick(t)
	b.tick(t) // with the names
	b.windowEnd(t)
	if windows := b.sink.of(id("e")); len(windows) != 1 || windows[0].networkOf != metric.Root {
		t.Errorf("a container in the host's network: %+v", windows)
	}
	alone := b.sink.of(id("f"))
	if len(alone) != 1 || alone[0].networkOf != "" {
		t.Fatalf("a container with its own network: %+v", alone)
	}
	if v, ok := alone[0].last.Increase(&alone[0].first, metric.NetworkReceiveBytes, 0); !ok || v != 0 {
		t.Errorf("a new container's network flow is %d, %v; it counts from zero", v, ok)
	}
}

func TestIdleContainersAreReadLessWithDynamicHousekeeping(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Dynamic, o.MaxInterval = true, 8*interval })
	b.start(t, id("1"), "sleep", "600")
	reads := func(ticks int) uint64 {
		before := b.byID[id("1")].reads
		for range ticks {
			b.tick(t)
		}
		return b.byID[id("1")].reads - before
	}
	b.tick(t)
	reads(30) // settle down
	// A machine under load charges even an idle cgroup a little now and then.
	if n := min(reads(80), reads(80), reads(80)); n > 20 {
		t.Errorf("an idle container was read %d times in 80 sweeps", n)
	}
	before := b.byID[id("1")].reads
	b.windowEnd(t)
	if b.byID[id("1")].reads != before+1 {
		t.Error("the end of a window was left out")
	}
}

func TestOnceGivesEverythingOneWindow(t *testing.T) {
	b := newBench(t, nil)
	b.start(t, id("2"), "sleep", "60")
	b.runtime.set(metric.Container{ID: id("2"), Name: "one"})
	o := b.Collector.o
	host, err := o.Proc.OpenNode() // each collector closes its own
	if err != nil {
		t.Fatal(err)
	}
	o.Host = host
	c, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if windows := b.sink.of(id("2")); len(windows) != 1 || windows[0].container.Name != "one" || !windows[0].hasCPU {
		t.Errorf("got %+v", windows)
	}
}

// A window lies in one slot, whether it ends with it, with its container or with the agent.
func TestWindowsHaveTheSlotThatTheyLieIn(t *testing.T) {
	b := newBench(t, nil)
	b.name(id("4"))
	b.tick(t)
	stop := b.start(t, id("4"), "sleep", "60")
	b.tick(t)
	b.windowEnd(t)
	full := b.slot
	b.tick(t)
	stop()
	b.tick(t)
	b.handOver(named)
	slots := map[string][]int64{}
	for _, w := range b.sink.windows {
		slots[w.container.Path] = append(slots[w.container.Path], w.slot)
	}
	want := []int64{full, full + int64(b.o.Window)}
	if got := slots[metric.Root]; !slices.Equal(got, want) {
		t.Errorf("slots %d of the node, want %d", got, want)
	}
	of := b.sink.of(id("4"))
	if len(of) != 2 || of[0].slot != want[0] || of[1].slot != want[1] || !of[1].ended {
		t.Errorf("%d windows, want two in the slots %d, the second one the last", len(of), want)
	}
}

// Sweeps that were missed are told once for each reason with the windows of their interval.
func TestMissedSweepsAreToldWithTheWindows(t *testing.T) {
	b := newBench(t, nil)
	b.windowEnd(t)
	window := int64(5 * interval)
	start := b.slot
	b.miss(metric.MissedStopped, start+int64(interval), 0)
	b.miss(metric.MissedStopped, start+int64(interval), 1)
	b.miss(metric.MissedOverrun, start+2*int64(interval), 1)
	b.miss(metric.MissedStopped, start+5*int64(interval), 6)
	if len(b.sink.missed) != 0 {
		t.Errorf("%v was told before the end of the interval", b.sink.missed)
	}
	b.windowEnd(t)
	b.windowEnd(t)
	want := []metric.Missed{
		{Reason: metric.MissedStopped, Sweeps: 7, FirstSlot: start + window, LastSlot: start + 2*window},
		{Reason: metric.MissedOverrun, Sweeps: 1, FirstSlot: start + window, LastSlot: start + window},
	}
	if !slices.Equal(b.sink.missed, want) {
		t.Errorf("%+v, want %+v", b.sink.missed, want)
	}
	if n := b.Stats().Missed; n != 8 {
		t.Errorf("%d missed in the stats, want 8", n)
	}
}

// The first document of a container waits some sweeps for its name, and has all of its
// flows. A container that doesn't get one is not kept waiting for longer.
func TestFirstWindowWaitsForAName(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	b.start(t, id("7"), "sleep", "60")
	b.start(t, id("8"), "sleep", "60")
	b.windowEnd(t)
	if n := len(b.sink.of(id("7"))) + len(b.sink.of(id("8"))); n != 0 {
		t.Errorf("%d windows without a name at once", n)
	}
	b.tick(t) // with the answer that there is no such container
	b.name(id("7"))
	b.byID[id("7")].identity.due = time.Time{}
	b.tick(t)
	b.windowEnd(t) // with the name
	of := b.sink.of(id("7"))
	if len(of) != 1 || of[0].container.Name != "name-7" || of[0].slot != b.slot || of[0].first.Time != of[0].last.Time && !of[0].hasCPU {
		t.Fatalf("got %+v", of)
	}
	if of[0].samples != int(b.byID[id("7")].reads) {
		t.Errorf("%d of %d samples", of[0].samples, b.byID[id("7")].reads)
	}
	if of := b.sink.of(id("8")); len(of) != 1 || of[0].container.Name != "" || of[0].container.Unidentified == "" {
		t.Errorf("got %+v of a container that gets no name", of)
	}
}

// A sweep that was missed at the end of an interval doesn't join two intervals into one.
func TestMissedSweepEndsItsWindow(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	b.windowEnd(t)
	full := b.slot
	b.tick(t)
	b.tick(t)
	b.slot = full + int64(b.o.Window) + int64(interval) // not full + one window
	b.sweep(b.slot)
	b.windowEnd(t)
	var slots []int64
	for _, w := range b.sink.windows {
		if w.container.Path == metric.Root {
			slots = append(slots, w.slot)
		}
	}
	if want := []int64{full, full + int64(b.o.Window), full + 2*int64(b.o.Window)}; !slices.Equal(slots, want) {
		t.Errorf("slots %d, want %d", slots, want)
	}
}

func TestRunEndsWithItsContextAndHandsOver(t *testing.T) {
	b := newBench(t, nil)
	b.start(t, id("3"), "sleep", "60")
	o := b.Collector.o
	host, err := o.Proc.OpenNode() // each collector closes its own
	if err != nil {
		t.Fatal(err)
	}
	o.Host = host
	c, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var latest Readings
	asked := make(chan error, 1)
	go func() {
		<-c.Sampled()
		if err := c.Latest(ctx, &latest); err != nil || len(latest.Containers) < 2 || latest.Containers[0].Sample.Time == 0 {
			t.Errorf("after the first sweep: %v, %d containers", err, len(latest.Containers))
		}
		for c.Stats().Sweeps < 3 && sleep(ctx, interval) {
		}
		asked <- c.Latest(ctx, &latest)
		cancel()
	}()
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err != nil || latest.Node.Name != "n1" || len(latest.Containers) < 2 {
		t.Errorf("the newest samples: %v, %d containers", err, len(latest.Containers))
	}
	for _, r := range latest.Containers {
		if _, ok := r.Sample.Get(metric.CPUUsage); !ok || r.Sample.Time == 0 {
			t.Errorf("the newest sample of %s has no CPU time", r.Container.Path)
		}
	}
	if err := c.Latest(t.Context(), &latest); !errors.Is(err, ErrEnded) {
		t.Errorf("the newest samples of a loop that has ended: %v", err)
	}
	if len(b.sink.of(id("3"))) == 0 || len(b.sink.flushed) == 0 {
		t.Error("what the running windows held was not handed over")
	}
	if s := c.Stats(); s.Sweeps < 2 || s.Targets < 2 || s.Windows == 0 {
		t.Errorf("stats %+v", s)
	}
}
