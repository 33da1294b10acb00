package cgroup

import (
	"slices"
	"testing"
)

func TestSetup(t *testing.T) {
	f := func(mode Mode, change func(m *machine), want Setup) {
		t.Helper()
		m := newMachine(t, mode)
		change(m)
		for i, mount := range want.Mounts {
			kind, path := mount[:8], mount[8:]
			if mount[:7] == "cgroup " {
				kind, path = mount[:7], mount[7:]
			}
			want.Mounts[i] = kind + m.path(path)
		}
		got := m.open(100).Setup()
		if !slices.Equal(got.Controllers, want.Controllers) || !slices.Equal(got.Mounts, want.Mounts) ||
			got.Hierarchical != want.Hierarchical || got.Bandwidth != want.Bandwidth || got.KnowsBandwidth != want.KnowsBandwidth {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	six := []string{"blkio", "cpu", "cpuacct", "cpuset", "memory", "pids"}
	v1 := func() []string {
		return []string{"cgroup cg/cpu", "cgroup cg/cpuacct", "cgroup cg/memory", "cgroup cg/blkio", "cgroup cg/pids", "cgroup cg/cpuset"}
	}
	f(V1, func(m *machine) { m.write("cg/cpu/cpu.cfs_quota_us", "-1\n") }, Setup{six, v1(), true, true, true})
	f(V1, func(m *machine) { m.write("cg/memory/memory.use_hierarchy", "0\n") }, Setup{six, v1(), false, false, true})
	f(Hybrid, func(m *machine) { m.write("cg/memory/memory.use_hierarchy", "1\n") }, Setup{six, append([]string{"cgroup2 cg/unified"}, v1()...), true, false, true})
	unified := []string{"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}
	f(V2, func(m *machine) { m.write("cg/cgroup.controllers", "cpuset cpu io memory hugetlb rdma pids\n") }, Setup{unified, []string{"cgroup2 cg"}, true, false, false})
	f(V2, func(m *machine) {
		m.write("cg/cgroup.controllers", "cpu memory\n")
		m.write("cg/docker/cpu.weight", "100\n")
		m.write("cg/docker/cpu.max", "max 100000\n")
	}, Setup{[]string{"cpu", "memory"}, []string{"cgroup2 cg"}, true, true, true})
	f(V2, func(m *machine) {
		m.write("cg/cgroup.controllers", "cpu memory\n")
		m.write("cg/docker/cpu.weight", "100\n")
	}, Setup{[]string{"cpu", "memory"}, []string{"cgroup2 cg"}, true, false, true})
}
