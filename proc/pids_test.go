package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

var (
	idA = strings.Repeat("0123456789abcdef", 4)
	idB = strings.Repeat("feedc0de", 8)
)

func TestInCgroup(t *testing.T) {
	root := copyMachine(t, v2Machine)
	fs := open(t, root)
	f := func(text string, inA, inB bool) {
		t.Helper()
		write(t, root, "2417/cgroup", text)
		if a, b := fs.InCgroup(2417, idA), fs.InCgroup(2417, idB); a != inA || b != inB {
			t.Errorf("in a: %v, in b: %v, of %s", a, b, text)
		}
	}
	f("0::/system.slice/docker-"+idA+".scope\n", true, false)
	f("11:memory:/docker/"+idB+"\n1:name=systemd:/docker/"+idB+"\n0::/\n", false, true)
	f("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f9ae64b_7a9a_4a58_8b1c_0d6f3a1a2f77.slice/cri-containerd-"+idA+".scope\n", true, false)
	f("0::/user.slice/libpod-"+idB+".scope/container\n", false, true)
	// Seen from a cgroup namespace of the agent's own.
	f("0::/../docker-"+idA+".scope\n", true, false)
	f("4:memory:/../"+idA+"\n0::/..\n", true, false)
	// What a container makes below itself is its own, but for another container.
	f("0::/docker/"+idA+"/system.slice/cron.service\n", true, false)
	f("0::/docker/"+idA+"/docker/"+idB+"\n", false, true)
	f("0::/docker/a:b:c/"+idA+"\n", true, false)

	f("0::/\n", false, false)
	f("", false, false)
	f("0::/docker/"+idA, false, false) // cut off
	f("0::/docker/"+idA+" (deleted)\n", false, false)
	f("0::/docker/"+idA+"0\n", false, false)
	f("0::/docker/"+idA[1:]+"\n", false, false)
	f("0::/docker/"+strings.ToUpper(idA)+"\n", false, false)
	f("0:/docker/"+idA+"\n", false, false)
	f("x::/docker/"+idA+"\n", false, false)
	f("\x00\xff\n", false, false)
	if fs.InCgroup(1<<22, idA) {
		t.Error("a process that doesn't exist is in a container")
	}
	if f("0::/\n", false, false); fs.InCgroup(2417, "") {
		t.Error("a process is in the container without an id")
	}
}

func TestInCgroupFixture(t *testing.T) {
	fs := open(t, copyMachine(t, v2Machine))
	if !fs.InCgroup(2417, "de2015af4df315612086bbb19a726d7492922368f14275cd2f455c238378f5f5") {
		t.Error("a process isn't in its own container")
	}
}

func TestPidsByContainer(t *testing.T) {
	root := copyMachine(t, v1Machine)
	add := func(pid int, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, strconv.Itoa(pid)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, root, strconv.Itoa(pid)+"/cgroup", text)
	}
	add(300, "0::/docker/"+idA+"\n")
	add(20, "0::/docker/"+idA+"/init.scope\n")
	add(1000, "0::/docker/"+idA+"\n")
	add(40, "0::/system.slice/cron.service\n")
	add(50, "4:memory:/../"+idB+"\n0::/\n")
	for pid := 2000; pid < 2600; pid++ {
		add(pid, "0::/docker/"+idB+"\n")
	}
	if err := os.Mkdir(filepath.Join(root, "60"), 0o755); err != nil { // ended meanwhile
		t.Fatal(err)
	}
	fs := open(t, root)
	got, err := fs.PidsByContainer(t.Context())
	if want := map[string]int{idA: 20, idB: 50}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := fs.PidsByContainer(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after the end", err)
	}
}

// A process in a cgroup that is named as a container's is found on the running kernel.
func TestPidsLive(t *testing.T) {
	needRoot(t)
	mounts, err := cgroups.GetCgroupMounts(true)
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, m := range mounts {
		dirs = append(dirs, m.Mountpoint)
	}
	if cgroups.IsCgroup2UnifiedMode() {
		dirs = []string{"/sys/fs/cgroup"}
	}
	id := newID()
	p := startProcess(t, 0)
	for _, dir := range dirs {
		dir = filepath.Join(dir, id)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		t.Cleanup(p.wait)
		t.Cleanup(p.kill)
		if os.WriteFile(filepath.Join(dir, "cgroup.procs"), strconv.AppendInt(nil, int64(p.pid), 10), 0) != nil {
			continue
		}
		fs := open(t, "/proc")
		if !fs.InCgroup(p.pid, id) || fs.InCgroup(os.Getpid(), id) {
			t.Errorf("in %s: the child %v, the test %v, want the child alone", dir, fs.InCgroup(p.pid, id), fs.InCgroup(os.Getpid(), id))
		}
		pids, err := fs.PidsByContainer(t.Context())
		if err != nil || pids[id] != p.pid {
			t.Errorf("found process %d, %v, want %d", pids[id], err, p.pid)
		}
		p.kill()
		p.wait()
		if fs.InCgroup(p.pid, id) {
			t.Error("a process that ended is still in its cgroup")
		}
		return
	}
	lab.Lack(t, fmt.Sprintf("no cgroup can be made in %v: run it as root where a hierarchy is writable: sudo go test ./proc", dirs))
}

// newID returns an id that no container has.
func newID() string {
	id := strconv.FormatInt(int64(os.Getpid()), 16)
	return strings.Repeat("e", idLength-len(id)) + id
}

// What is read of this process is what opencontainers/cgroups reads.
func TestCgroupPathsAgainstOracle(t *testing.T) {
	want, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for controllers, path := range cgroupPaths(text) {
		for controller := range bytes.SplitSeq(controllers, []byte(",")) {
			got[string(controller)] = string(path)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func BenchmarkPidsByContainer(b *testing.B) {
	fs := open(b, "/proc")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fs.PidsByContainer(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzCgroupPaths(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/1/cgroup"))
	f.Add(fixture(f, v2Machine+"/2417/cgroup"))
	f.Add([]byte("1:cpu:/docker/" + idA + "/" + idB + "\n0::\n::\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for controllers, path := range cgroupPaths(text) {
			if !bytes.Contains(text, path) || bytes.IndexByte(path, '\n') >= 0 || bytes.IndexByte(controllers, ':') >= 0 {
				t.Errorf("%q, %q of %q", controllers, path, text)
			}
			if id := containerID(path); len(id) != 0 && (len(id) != idLength || !bytes.Contains(path, id)) {
				t.Errorf("id %q of %q", id, path)
			}
		}
	})
}

// Who has the number of a process is asked before anything of it is read: another container's
// is none of this one's, and neither is one of no container.
func TestOpenProcess(t *testing.T) {
	root := copyMachine(t, v2Machine)
	f := func(cgroup, own, of string, want error) {
		t.Helper()
		for pid, text := range map[string]string{"7": cgroup, "self": own} {
			if err := os.MkdirAll(filepath.Join(root, pid), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, root, pid+"/cgroup", text)
		}
		fs := open(t, root)
		dir, err := fs.openProcess(7, of)
		if err != want {
			t.Errorf("%q of %q, the agent in %q: %v, want %v", cgroup, of, own, err, want)
		}
		if err == nil {
			unix.Close(dir)
		}
	}
	id, other := idA, idB
	f("0::/system.slice/docker-"+id+".scope\n", "0::/\n", id, nil)
	f("0::/../docker-"+id+".scope\n", "0::/\n", id, nil)
	f("0::/docker/"+other+"\n", "0::/\n", id, ErrGone)
	f("0::/docker/"+id+"/docker/"+other+"\n", "0::/\n", id, ErrGone)
	f("0::/system.slice/cron.service\n", "0::/\n", id, ErrGone)
	f("0::/\n", "0::/\n", id, nil) // in the agent's own container
	f("0::/docker/"+other+"\n", "0::/\n", "", nil)
	f("", "0::/\n", id, ErrGone) // a zombie has none
	if _, err := open(t, root).openProcess(8, id); err != ErrGone {
		t.Errorf("no process: %v", err)
	}
}
