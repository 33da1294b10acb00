package collector

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
)

// withDetails switches on what is read in the background.
func withDetails(o *Options) {
	o.Details = o.Proc.NewDetails(proc.Wanted{Processes: true, Sched: true, Tasks: true, TCP: true, TCPCounters: true})
	o.DetailsInterval = interval
}

func (b *bench) target(id string) *target { return b.byID[id] }

// wantGauge makes sweeps until a number of a container has that value.
func (b *bench) wantGauge(t *testing.T, id string, of metric.ID, want uint64) {
	t.Helper()
	b.tickUntil(t, of.String()+" isn't "+strconv.FormatUint(want, 10), func() bool {
		if b.target(id) == nil {
			return false
		}
		v, ok := b.target(id).cur.Get(of)
		return ok && v == want
	})
}

// startTwo starts a container with two processes.
func (b *bench) startTwo(t *testing.T, id string) {
	t.Helper()
	stop := b.start(t, id, "sh", "-c", "sleep 1000 & exec sleep 1001")
	t.Cleanup(func() {
		pids, _ := b.o.Cgroups.AppendPids(nil, "/"+b.parent+"/"+id)
		for _, pid := range pids { // the one that isn't the test's child as well
			unix.Kill(pid, unix.SIGKILL)
		}
		stop()
	})
}

// moveBelow moves a process into a cgroup below its own.
func (b *bench) moveBelow(t *testing.T, id, name string, pid int) {
	t.Helper()
	inner := filepath.Join(b.parent, id, name)
	dirs := hierarchies()
	create := makeCgroup
	if len(dirs) == 1 { // v2: a cgroup that has processes gives no controllers on
		create = func(name string) error { return os.Mkdir(filepath.Join(dirs[0], name), 0o755) }
	}
	if err := create(inner); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, inner, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDetails(t *testing.T) {
	b := newBench(t, withDetails)
	b.tick(t) // what comes now is seen to begin
	shared, own := id("1"), id("2")
	b.name(shared)
	b.name(own)
	b.startTwo(t, shared)
	b.start(t, own, "unshare", "--net", "sleep", "1000")
	b.wantGauge(t, shared, metric.Processes, 2)
	b.wantGauge(t, shared, metric.TasksSleeping, 2)
	b.wantGauge(t, own, metric.Processes, 1)

	// The host's sockets are the node's, not those of a container in its namespace.
	b.tickUntil(t, "the container has no sockets of its own", func() bool {
		return b.target(own).cur.Rows(metric.PerSocket) == 2 && b.target(own).cur.Rows(metric.PerTCP) == 1
	})
	if rows := b.target(shared).cur.Rows(metric.PerSocket); rows != 0 {
		t.Errorf("a container in the host's network has %d kinds of sockets", rows)
	}
	root := b.byPath[metric.Root]
	established := func(v uint64, ok bool) uint64 {
		if !ok {
			t.Error("the node has no sockets")
		}
		return v
	}
	row := root.cur.RowByName(metric.PerSocket, []byte("tcp"))
	if row < 0 {
		t.Fatal("the node has no sockets")
	}
	if mine, err := os.Readlink("/proc/self/ns/net"); err == nil {
		if first, err := os.Readlink("/proc/1/ns/net"); err == nil && mine == first {
			before := established(root.cur.GetRow(metric.TCPListen, row))
			listener, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			b.tickUntil(t, "the node's new listener isn't counted", func() bool {
				return established(root.cur.GetRow(metric.TCPListen, row)) > before
			})
			listener.Close()
		}
	}
	if n, _ := root.cur.Get(metric.Processes); n < 4 {
		t.Errorf("%d processes on the node", n)
	}

	// What a container moves into a cgroup below its own stays its own.
	pids, err := b.o.Cgroups.AppendPids(nil, b.target(shared).path())
	if err != nil || len(pids) != 2 {
		t.Fatal(pids, err)
	}
	b.moveBelow(t, shared, "init.scope", pids[1])
	time.Sleep(3 * interval)
	b.tick(t)
	b.wantGauge(t, shared, metric.Processes, 2)

	// Counters of what was seen to begin began at zero.
	b.windowEnd(t)
	var flows uint64
	for _, w := range b.sink.of(shared) {
		if v, ok := w.last.Increase(&w.first, metric.SchedTimeslices, 0); ok {
			flows += v
		}
	}
	if total, _ := b.target(shared).cur.Get(metric.SchedTimeslices); flows != total || total == 0 {
		t.Errorf("the flows make %d timeslices, the container has %d", flows, total)
	}

	// A number that is no more is absent.
	b.detailed(detail{b.target(own).path(), b.target(own).container.Instance, new(metric.Sample)})
	b.takeDetail(b.target(own))
	if _, ok := b.target(own).cur.Get(metric.Processes); ok || b.target(own).cur.Rows(metric.PerSocket) > 0 {
		t.Error("details are left of what can't be read any more")
	}
}

// In a PID namespace of its own the agent can't read the lists of cgroups; what the
// processes themselves say is as good, for containers.
func TestDetailsWithoutPids(t *testing.T) {
	b := newBench(t, nil)
	o := b.o
	withDetails(&o)
	// Whoever else runs these tests has the same cgroups but for the parent.
	own := func(digit string) string { return fmt.Sprintf("%s%063x", digit, os.Getpid()) }
	one, agent, stale := own("1"), own("2"), own("3")
	b.startTwo(t, one)
	w := detailWatch{b: newBackground(o), readers: map[string]*detailReader{}, self: os.Getpid()}
	list := []subject{
		{path: metric.Root, counted: true},
		{path: "/" + b.parent + "/" + one, id: one},
		{path: "/" + b.parent}, // of no runtime: can't be known
		{path: "/" + b.parent + "/" + agent, id: agent, pid: os.Getpid()},
		{path: "/" + b.parent + "/" + stale, id: stale, pid: os.Getppid()}, // a stale word
	}
	got := map[string]uint64{}
	for range 100 {
		clear(got)
		w.goRound(t.Context(), list)
		for len(w.b.details) > 0 {
			d := <-w.b.details
			got[d.path], _ = d.sample.Get(metric.Processes)
		}
		if got[list[1].path] == 2 {
			break
		}
		time.Sleep(interval)
	}
	if len(got) != 3 || got[list[0].path] < 3 || got[list[1].path] != 2 || got[list[3].path] != 1 {
		t.Errorf("processes %v", got)
	}
	w.goRound(t.Context(), list[:1])
	if len(w.readers) != 1 {
		t.Errorf("%d readers are left for the node alone", len(w.readers))
	}
}

// A container has the numbers of a group of its own, and loses them with it; the node has
// those of all groups.
func TestDetailsOfGroups(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("mon_data/mon_L3_00/llc_occupancy", "1000\n")
	b := newBench(t, func(o *Options) {
		o.Details, o.DetailsInterval = o.Proc.NewDetails(proc.Wanted{Resctrl: root}), interval
	})
	one := id("1")
	b.name(one)
	b.start(t, one, "sleep", "1000")
	b.tickUntil(t, "the container isn't there", func() bool { return b.target(one) != nil })
	pids, err := b.o.Cgroups.AppendPids(nil, b.target(one).path())
	if err != nil || len(pids) != 1 {
		t.Fatal(pids, err)
	}
	occupancy := func(t *target) int {
		if v, ok := t.cur.GetRow(metric.CacheOccupancy, 0); ok {
			return int(v)
		}
		return -1
	}
	b.tickUntil(t, "the node has no cache", func() bool { return occupancy(b.byPath[metric.Root]) == 1000 })
	if v := occupancy(b.target(one)); v >= 0 {
		t.Errorf("a container without a group has %d", v)
	}
	write("group/mon_data/mon_L3_00/llc_occupancy", "17\n")
	write("group/cpus_list", "\n")
	write("group/tasks", strconv.Itoa(pids[0])+"\n")
	b.tickUntil(t, "the container has no group", func() bool {
		return occupancy(b.target(one)) == 17 && occupancy(b.byPath[metric.Root]) == 1017
	})
	if err := os.RemoveAll(filepath.Join(root, "group")); err != nil {
		t.Fatal(err)
	}
	b.tickUntil(t, "the container keeps the numbers of a group that is no more", func() bool {
		return occupancy(b.target(one)) < 0 && occupancy(b.byPath[metric.Root]) == 1000
	})
}

// A round that takes long takes more time, not more of the time.
func TestPace(t *testing.T) {
	var p pace
	f := func(took, want time.Duration) {
		t.Helper()
		if rest := p.after(took); rest != want {
			t.Errorf("%v of rest after %v of work, want %v", rest, took, want)
		}
	}
	f(100*time.Microsecond, 0) // too little to sleep for
	f(400*time.Microsecond, 0)
	f(time.Millisecond, 28500*time.Microsecond) // for all three
	f(0, 0)
	f(time.Second, 19*time.Second)
}
