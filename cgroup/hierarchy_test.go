package cgroup

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestFindMounts(t *testing.T) {
	dir := t.TempDir()
	f := func(root, mountinfo string, want mounts) {
		t.Helper()
		file := dir + "/mountinfo"
		if err := os.WriteFile(file, []byte(mountinfo), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := findMounts(file, root)
		if err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	// A hybrid with one mount a controller.
	const hybrid = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	f("/sys/fs/cgroup", hybrid, mounts{
		v1:      [numControllers]string{cpu: "/sys/fs/cgroup/cpu", cpuacct: "/sys/fs/cgroup/cpuacct", memory: "/sys/fs/cgroup/memory"},
		unified: "/sys/fs/cgroup/unified",
	})
	// systemd's hybrid mounts some together.
	f("/sys/fs/cgroup", "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n31 25 0:27 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n",
		mounts{v1: [numControllers]string{cpu: "/sys/fs/cgroup/cpu,cpuacct", cpuacct: "/sys/fs/cgroup/cpu,cpuacct", blockIO: "/sys/fs/cgroup/blkio"}})
	// v2 alone, and the host's beside the container's own.
	const v2 = "30 25 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n31 25 0:26 /../.. /host/sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n"
	f("/sys/fs/cgroup", v2, mounts{unified: "/sys/fs/cgroup"})
	f("/host/sys/fs/cgroup", v2, mounts{unified: "/host/sys/fs/cgroup"})
	f("/sys/fs/cgroupx", v2, mounts{})
	// A later mount hides an earlier one.
	f("/sys/fs/cgroup", v2+"40 30 0:50 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", mounts{})
	f("/host", v2+"40 30 0:50 / /sys/fs rw - tmpfs tmpfs rw\n", mounts{unified: "/host/sys/fs/cgroup"})
	// Blanks are escaped.
	f("/a b", `30 25 0:26 / /a\040b rw - cgroup2 cgroup rw`+"\n", mounts{unified: "/a b"})
	f("/sys/fs/cgroup", "", mounts{})
}

func TestOpenErrors(t *testing.T) {
	m := newMachine(t, V1)
	m.write("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n")
	_, err := Open(Options{ProcRoot: m.path("proc"), CgroupRoot: m.path("cg")})
	if err == nil || !strings.Contains(err.Error(), "no cgroup hierarchy is mounted at or below "+m.path("cg")) || !strings.Contains(err.Error(), "bind-mount") {
		t.Errorf("error %v", err)
	}
	if _, err := Open(Options{ProcRoot: m.path("nowhere")}); err == nil || !strings.Contains(err.Error(), "nowhere/self/mountinfo") {
		t.Errorf("error %v", err)
	}
	m.write("proc/self/mountinfo", "31 23 0:28 / "+m.path("cg/missing")+" rw - cgroup cgroup rw,memory\n")
	if _, err := Open(Options{ProcRoot: m.path("proc"), CgroupRoot: m.path("cg")}); err == nil || !strings.Contains(err.Error(), "cg/missing") {
		t.Errorf("error %v", err)
	}
}

func TestNotes(t *testing.T) {
	f := func(mode Mode, change func(m *machine), wants ...string) {
		t.Helper()
		m := newMachine(t, mode)
		change(m)
		notes := m.open(100).Notes()
		if len(notes) != len(wants) {
			t.Errorf("notes %q", notes)
			return
		}
		for i, want := range wants {
			if !strings.Contains(notes[i], want) {
				t.Errorf("note %q, want %q", notes[i], want)
			}
		}
	}
	f(V2, func(*machine) {})
	f(Hybrid, func(*machine) {})
	f(V1, func(*machine) {}, "mount -t cgroup2")
	f(V2, func(m *machine) { m.remove("cg/cpu.pressure") }, "boot with psi=1")
	f(V2, func(m *machine) { m.write("cg/cgroup.controllers", "cpuset cpu io pids\n") }, "cgroup_enable=memory")
	f(V2, func(m *machine) { m.write("cg/cgroup.type", "domain\n") }, "shows a part of the cgroups only")
	f(V1, func(m *machine) { m.remove("cg/cpu/release_agent") }, "mount -t cgroup2", "cg/cpu shows a part of the cgroups only")
	f(Hybrid, func(m *machine) {
		b, _ := os.ReadFile(m.path("proc/self/mountinfo"))
		m.write("proc/self/mountinfo", strings.Replace(string(b), ",pids\n", ",freezer\n", 1))
	}, "mount -t cgroup -o pids pids")
	// A machine that was booted with cgroup_no_v1=pids.
	f(Hybrid, func(m *machine) {
		b, _ := os.ReadFile(m.path("proc/self/mountinfo"))
		m.write("proc/self/mountinfo", strings.Replace(string(b), ",pids\n", ",freezer\n", 1))
		m.write("cg/unified/cgroup.controllers", "pids\n")
	}, "or where that is refused remove pids from the boot flag cgroup_no_v1")
	// A v1 mount that some program made on a machine with v2.
	f(V2, func(m *machine) {
		b, _ := os.ReadFile(m.path("proc/self/mountinfo"))
		m.write("proc/self/mountinfo", string(b)+fmt.Sprintf("40 1 0:50 / %s rw - cgroup cgroup rw,cpuset\n", m.path("cg/docker")))
	}, "is ignored")
}

func TestModeString(t *testing.T) {
	if s := fmt.Sprint(modes); s != "[v1 v2 hybrid]" {
		t.Error(s)
	}
}

func FuzzFindMounts(f *testing.F) {
	f.Add("31 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct\n")
	f.Add("30 25 0:26 /../.. /host/sys/fs/cgroup ro - cgroup2 cgroup rw\n")
	// Two machines as they are: v1 beside an empty cgroup2 (hybrid), and v2 alone.
	for _, machine := range []string{"linux-6.18-cgroup-v1", "linux-6.1-cgroup-v2"} {
		for _, process := range []string{"self", "1"} {
			captured, err := os.ReadFile("../proc/testdata/" + machine + "/" + process + "/mountinfo")
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(captured))
		}
	}
	file := f.TempDir() + "/mountinfo"
	f.Fuzz(func(t *testing.T, mountinfo string) {
		if err := os.WriteFile(file, []byte(mountinfo), 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := findMounts(file, "/sys/fs/cgroup")
		if err != nil {
			return
		}
		for _, path := range append(m.v1[:], m.unified) {
			if path != "" && !within(path, "/sys/fs/cgroup") {
				t.Errorf("%q", path)
			}
		}
	})
}
