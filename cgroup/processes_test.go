package cgroup

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The processes of a cgroup are those below it as well: systemd, in a container, puts none
// into the container's own.
func TestHierarchyAppendPids(t *testing.T) {
	m := newMachine(t, V2)
	h := m.open(1000)
	m.write("cg/docker/a/cgroup.procs", "30\n7\n0\n")
	m.write("cg/docker/a/init.scope/cgroup.procs", "5\n")
	m.write("cg/docker/a/system.slice/cron.service/cgroup.procs", "40\n30\n") // threads in two of v1
	m.write("cg/docker/a/system.slice/cgroup.procs", "")
	var many strings.Builder
	want := []int{99, 5, 7, 30, 40} // what the caller had stays in front
	for pid := 1000; pid < 9000; pid++ {
		many.WriteString(strconv.Itoa(pid) + "\n")
		want = append(want, pid)
	}
	m.write("cg/docker/a/big/cgroup.procs", many.String()) // longer than the buffer
	if got, err := h.AppendPids([]int{99}, "/docker/a"); err != nil || !slices.Equal(got, want) {
		t.Errorf("%d processes (%v), want %d", len(got), err, len(want))
	}
	if got, err := h.AppendPids(nil, "/docker/none"); err != ErrGone || len(got) > 0 {
		t.Errorf("of a cgroup that isn't there: %v, %v", got, err)
	}
	for _, path := range []string{"", "docker/a", "/docker/../docker/a", "/docker/a\x00"} {
		if _, err := h.AppendPids(nil, path); err == nil || err == ErrGone {
			t.Errorf("%q: %v", path, err)
		}
	}
}
