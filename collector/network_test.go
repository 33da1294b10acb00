package collector

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// The numbers in a process list that is read in another PID namespace than the node's are
// those of other processes there.
func TestProcessListOfAnotherNamespaceIsNotUsed(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	b.runtime.set(metric.Container{ID: id("5"), Name: "elsewhere", State: "running"})
	defer b.start(t, id("5"), "sleep", "60")()
	b.tickUntil(t, "not found", func() bool { return b.byID[id("5")] != nil })
	target := b.byID[id("5")]
	here := b.pid(target)
	if here == 0 {
		t.Fatal("no process in a list of the same namespace")
	}
	b.self++
	if got := b.pid(target); got != 0 && !b.o.Proc.InCgroup(got, id("5")) {
		t.Errorf("process %d, which is no process of the container", got)
	}
	known := *target.container
	known.PID = here
	target.container = &known
	if got := b.pid(target); got != here {
		t.Errorf("process %d, the runtime says %d", got, here)
	}
}

// A shared namespace is that of the container that it was made for, also when the one that
// was started with it was found first and is known last.
func TestSharedNamespaceIsItsMakers(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	holder := exec.Command("unshare", "--net", "sleep", "60")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	net := fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
	own, _ := os.Readlink("/proc/self/ns/net")
	for there := own; there == own || there == ""; time.Sleep(10 * time.Millisecond) {
		there, _ = os.Readlink(net)
	}
	find := func(id string) *target {
		t.Cleanup(b.start(t, id, "nsenter", "--net="+net, "sleep", "60"))
		b.tickUntil(t, "not found with its network", func() bool {
			c := b.byID[id]
			return c != nil && c.net != nil && c.window.NetworkOf != metric.Root
		})
		return b.byID[id]
	}
	sharer := find(id("1"))
	maker := find(id("2"))
	f := func(change metric.Container, wantSharer, wantMaker string) {
		t.Helper()
		b.runtime.set(change)
		b.tickUntil(t, "not named", func() bool { return b.byID[change.ID].container.NetworkMode == change.NetworkMode })
		if sharer.window.NetworkOf != wantSharer || maker.window.NetworkOf != wantMaker {
			t.Errorf("%s known: the networks are of %q and %q, want %q and %q", change.Name,
				sharer.window.NetworkOf, maker.window.NetworkOf, wantSharer, wantMaker)
		}
	}
	f(metric.Container{ID: id("2"), Name: "maker", NetworkMode: "bridge"}, "", sharer.path())
	f(metric.Container{ID: id("1"), Name: "sharer", NetworkMode: "container:" + id("2")}, maker.path(), "")
}

// A container whose process goes over to another namespace has a history all the same.
func TestHistoryOverNamespaces(t *testing.T) {
	b := newBench(t, nil)
	b.tick(t)
	moved := filepath.Join(t.TempDir(), "moved")
	b.start(t, id("9"), "sh", "-c", "until [ -e "+moved+" ]; do sleep 0.02; done; exec unshare --net sleep 60")
	b.tickUntil(t, "not found with its network", func() bool {
		c := b.byID[id("9")]
		return c != nil && c.netRead && c.cur.Rows(metric.PerInterface) > 0
	})
	target := b.byID[id("9")]
	from := target.net.Namespace()
	if err := os.WriteFile(moved, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.tickUntil(t, "not found in its new namespace", func() bool {
		target.changed = true // as when the runtime tells of something
		return target.net.Namespace() != from
	})
	b.tick(t)
	n, interfaces := 0, 0
	target.history.each(0, func(s *metric.Sample) bool {
		n, interfaces = n+1, s.Rows(metric.PerInterface)
		return true
	})
	if n != int(target.reads) || interfaces != target.cur.Rows(metric.PerInterface) {
		t.Errorf("%d of %d samples, the newest with %d interfaces of %d", n, target.reads, interfaces, target.cur.Rows(metric.PerInterface))
	}
}
