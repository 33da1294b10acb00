package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// parent is the cgroup, in every hierarchy, below which the bare cgroups are.
const parent = "/swarmgauge-bench"

// bareCgroups are cgroups without a container, as many as are wanted, with one sleeping
// process in each. They are made and joined as runc does it, in all hierarchies.
type bareCgroups struct {
	tb    testing.TB
	procs []*exec.Cmd
	// name returns the name of the i-th cgroup.
	name func(i int) string
}

// newBareCgroups removes what a run that was killed has left, and makes everything go
// with tb.
func newBareCgroups(tb testing.TB) *bareCgroups {
	tb.Helper()
	if os.Getuid() != 0 {
		lab.Lack(tb, "making cgroups needs root: run `sudo -E env PATH=\"$PATH\" make bench`")
	}
	all, err := cgroup(parent)
	if err != nil {
		tb.Fatal(err)
	}
	if err := all.Destroy(); err != nil {
		tb.Fatalf("%s is in use, by another benchmark? %v", parent, err)
	}
	b := &bareCgroups{tb: tb, name: func(i int) string { return fmt.Sprintf("%04d", i) }}
	tb.Cleanup(func() {
		for _, p := range b.procs {
			p.Process.Kill()
			p.Wait() // "signal: killed"
		}
		// A manager forgets what it has removed: a new one.
		all, err := cgroup(parent)
		if err == nil {
			err = all.Destroy()
		}
		if err != nil {
			tb.Error(err)
		}
	})
	return b
}

// cgroup returns the manager of the cgroup at path, which need not exist.
func cgroup(path string) (cgroups.Manager, error) {
	return manager.New(&cgroups.Cgroup{Path: path, Resources: &cgroups.Resources{}})
}

// grow makes cgroups until there are n.
func (b *bareCgroups) grow(n int) error {
	for len(b.procs) < n {
		sleep := exec.Command("sleep", "infinity")
		sleep.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := sleep.Start(); err != nil {
			return err
		}
		path := parent + "/" + b.name(len(b.procs))
		b.procs = append(b.procs, sleep)
		m, err := cgroup(path)
		if err != nil {
			return err
		}
		if err := m.Apply(sleep.Process.Pid); err != nil {
			return fmt.Errorf("cgroup %s: %w", path, err)
		}
	}
	return nil
}

// member returns the name of the bare cgroup that a file is in.
func (b *bareCgroups) member(path string) (name string, ok bool) {
	_, below, ok := strings.Cut(path, parent+"/")
	name, _, _ = strings.Cut(below, "/")
	return name, ok
}
