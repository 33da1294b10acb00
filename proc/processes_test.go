package proc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// psRow is what ps says of a process.
type psRow struct {
	user, stat, comm string
	parent, psr      int
	rss, size        uint64 // KiB
	cpuTime, elapsed time.Duration
}

// ps runs ps for all processes.
func ps(t *testing.T) map[int]psRow {
	t.Helper()
	// Busybox's ps, which the machine with a unified hierarchy has, knows none of the columns.
	if out, err := exec.Command("ps", "--version").CombinedOutput(); err != nil || !strings.Contains(string(out), "procps") {
		lab.Lack(t, "needs the ps of procps: run `sudo apt-get install procps`")
	}
	cmd := exec.Command("ps", "-e", "-o", "pid=,ppid=,psr=,rss=,vsz=,cputimes=,etimes=,stat=,user:40=,comm=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[int]psRow{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 10 {
			t.Fatalf("ps says %q", line)
		}
		var n [7]uint64
		for i := range n {
			if n[i], err = strconv.ParseUint(f[i], 10, 64); err != nil {
				t.Fatalf("ps says %q: %v", line, err)
			}
		}
		rows[int(n[0])] = psRow{
			parent: int(n[1]), psr: int(n[2]), rss: n[3], size: n[4],
			cpuTime: time.Duration(n[5]) * time.Second, elapsed: time.Duration(n[6]) * time.Second,
			stat: f[7], user: f[8], comm: strings.Join(f[9:], " "),
		}
	}
	return rows
}

// What ps says before and after is what is said between: everything of processes that do
// nothing, and of all others what can't change.
func TestProcessesArePS(t *testing.T) {
	idle, nice, zombie := startProcess(t, 0), startProcess(t, 0), startProcess(t, 0)
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, nice.pid, 7); err != nil {
		t.Fatal(err)
	}
	zombie.kill()
	time.Sleep(50 * time.Millisecond) // for the two to fall asleep
	before := ps(t)
	list, err := open(t, "/proc").Processes(t.Context(), ProcessesOptions{HostRoot: "/"})
	if err != nil {
		t.Fatal(err)
	}
	after := ps(t)
	if !slices.IsSortedFunc(list, func(a, b metric.Process) int { return a.PID - b.PID }) {
		t.Error("the processes aren't sorted")
	}
	compared, whole := 0, 0
	for _, p := range list {
		was, is := before[p.PID], after[p.PID]
		if was.comm == "" || was.parent != is.parent || was.user != is.user || was.size != is.size {
			continue // it began, ended, or grew
		}
		compared++
		if p.Parent != was.parent || p.User != was.user || p.VirtualBytes != was.size<<10 {
			t.Errorf("%+v, ps says %+v", p, was)
		}
		if p.CPUTime < was.cpuTime-time.Second || p.CPUTime > is.cpuTime+time.Second || p.Elapsed < was.elapsed-time.Second || p.Elapsed > is.elapsed+time.Second {
			t.Errorf("%+v, ps says %v to %v of %v to %v", p, was.cpuTime, is.cpuTime, was.elapsed, is.elapsed)
		}
		if d := time.Since(p.Started) - p.Elapsed; d < 0 || d > time.Minute {
			t.Errorf("%d: began %v, %v ago", p.PID, p.Started, p.Elapsed)
		}
		if p.PID != idle.pid && p.PID != nice.pid && p.PID != zombie.pid {
			continue
		}
		whole++
		if p.State != was.stat || p.CPU != was.psr || p.RSSBytes != was.rss<<10 || p.Command != strings.TrimSuffix(was.comm, " <defunct>") {
			t.Errorf("%+v, ps says %+v", p, was)
		}
		fds, _ := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.PID), "fd"))
		if p.FDs != len(fds) || p.PID != zombie.pid && p.FDs < 3 {
			t.Errorf("%d has %d open files, want %d", p.PID, p.FDs, len(fds))
		}
		if wants := map[int]string{nice.pid: "N", zombie.pid: "Z", idle.pid: "S"}[p.PID]; !strings.Contains(p.State, wants) {
			t.Errorf("state %s without %s", p.State, wants)
		}
	}
	if whole < 3 || compared < len(list)/2 {
		t.Errorf("%d of %d processes were compared, %d of them whole", compared, len(list), whole)
	}
	t.Logf("%d of %d processes compared", compared, len(list))
}

// The cgroup's path is that of the process's own file.
func TestProcessesCgroup(t *testing.T) {
	list, err := open(t, "/proc").Processes(t.Context(), ProcessesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(p metric.Process) bool { return p.PID == os.Getpid() })
	if i < 0 {
		t.Fatal("the test isn't in the list")
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if p := list[i]; p.Cgroup != cgroupOf(text) || p.User != strconv.Itoa(os.Geteuid()) {
		t.Errorf("%+v of %s", p, text)
	}
}

// lister in the environment makes the test binary a process that waits for a line, gets a
// cgroup namespace of its own, and lists the processes; it holds the paths of known cgroups.
const lister = "PROC_TEST_LISTER"

func listProcesses() error {
	bufio.NewReader(os.Stdin).ReadString('\n')
	runtime.LockOSThread() // the namespace is the thread's
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return err
	}
	fs, err := Open("/proc")
	if err != nil {
		return err
	}
	list, err := fs.Processes(context.Background(), ProcessesOptions{Cgroups: strings.Split(os.Getenv(lister), ",")})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(list)
}

// A list that is made in a cgroup namespace is the list that is made outside of it.
func TestProcessesInCgroupNamespace(t *testing.T) {
	needRoot(t)
	base := "/sys/fs/cgroup/cpu"
	if _, err := os.Stat(base); err != nil {
		base = "/sys/fs/cgroup"
	}
	name := "/swarmgauge-test-ps-" + strconv.Itoa(os.Getpid())
	enter := func(cgroup string, pid int) {
		t.Helper()
		if err := os.Mkdir(base+cgroup, 0o755); err != nil {
			lab.Lack(t, "needs writable cgroups: "+err.Error()+": run it as root where they are: sudo go test ./proc")
		}
		t.Cleanup(func() {
			for range 100 { // the kernel takes a moment to let go of the last process
				if os.Remove(base+cgroup) == nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		if pid > 0 {
			if err := os.WriteFile(base+cgroup+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	enter(name, 0)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{lister + "=" + name + "/a," + name + "/b"}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waited := false
	wait := func() error { waited = true; return cmd.Wait() }
	t.Cleanup(func() {
		if !waited {
			in.Close()
			wait()
		}
	})
	enter(name+"/a", cmd.Process.Pid)
	sibling := startProcess(t, 0)
	enter(name+"/b", sibling.pid)
	t.Cleanup(sibling.wait) // before its cgroup is removed
	t.Cleanup(sibling.kill)
	in.Write([]byte("go\n"))
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	var inside []metric.Process
	if err := json.Unmarshal(out.Bytes(), &inside); err != nil {
		t.Fatal(err)
	}
	outside, err := open(t, "/proc").Processes(t.Context(), ProcessesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	paths := map[int]string{cmd.Process.Pid: ""} // its own isn't known
	for _, p := range outside {
		paths[p.PID] = p.Cgroup
	}
	compared := 0
	for _, p := range inside {
		if want, ok := paths[p.PID]; ok && !zombie(p.PID) {
			compared++
			if p.Cgroup != want {
				t.Errorf("%d is in %q from inside, in %q from outside", p.PID, p.Cgroup, want)
			}
		}
	}
	if paths[sibling.pid] != name+"/b" || compared < len(inside)/2 {
		t.Errorf("the sibling is in %q; %d of %d compared", paths[sibling.pid], compared, len(inside))
	}
}

func TestProcessesEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, "/proc").Processes(ctx, ProcessesOptions{}); err != context.Canceled {
		t.Errorf("error %v", err)
	}
}

func TestCgroupOf(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := cgroupOf([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	f("4:memory:/m\n3:cpu,cpuacct:/docker/a\n2:cpuset:/c\n0::/u\n", "/docker/a")
	f("2:cpuset:/c\n1:name=systemd:/s\n0::/u\n", "/u")
	f("0::/system.slice/a.service\n", "/system.slice/a.service")
	f("0::/gone (deleted)\n", "")
	f("", "")
}

// Paths as a process in a cgroup namespace of its own sees them, whose root is
// /system.slice/docker-a.scope.
func TestCompleteCgroups(t *testing.T) {
	known := []string{"/", "/system.slice/docker-b.scope", "/system.slice/docker-b.scope/init", "/kubepods/docker-c.scope", "/x/y/docker-b.scope", "/system.slice/twice", "/user.slice/twice"}
	f := func(seen, want string) {
		t.Helper()
		list := []metric.Process{{Cgroup: "/../.."}, {Cgroup: seen}, {Cgroup: seen}}
		completeCgroups(list, known)
		if list[0].Cgroup != "/" || list[1].Cgroup != want || list[2].Cgroup != want {
			t.Errorf("%q: %v, want %q", seen, list, want)
		}
	}
	f("/../..", "/")
	f("/../../init.scope", "/init.scope")
	f("/../../user.slice/a", "/user.slice/a")
	f("/../docker-b.scope", "/system.slice/docker-b.scope")
	f("/../docker-b.scope/init", "/system.slice/docker-b.scope/init")
	f("/../unknown.service", "/../unknown.service")
	f("/../twice", "/../twice")
	f("/", "")
	f("/..", "")
	f("/..odd", "/..odd")
	f("", "")
	whole := []metric.Process{{Cgroup: "/docker/a"}, {Cgroup: "/"}}
	completeCgroups(whole, known)
	if whole[0].Cgroup != "/docker/a" || whole[1].Cgroup != "/" {
		t.Errorf("%v without a namespace", whole)
	}
}

func TestParsePasswd(t *testing.T) {
	names := parsePasswd(strings.NewReader("root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:\nwww-data:x:33:33::/:\n:x:5:5::/:\nbad:x:-1:1::/:\nshort:x:7\n+::::::\n"))
	if len(names) != 2 || names["0"] != "root" || names["33"] != "www-data" {
		t.Errorf("%q", names)
	}
}

// What a container puts in the place of a file is neither followed out of the root nor
// waited for.
func TestUserNamesStayInRoot(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	passwd := filepath.Join(root, "etc/passwd")
	if err := os.Symlink("/etc/passwd", passwd); err != nil {
		t.Fatal(err)
	}
	if names := userNames(root); len(names) != 0 {
		t.Errorf("%q of a file outside", names)
	}
	os.Remove(passwd)
	if err := syscall.Mkfifo(passwd, 0o644); err != nil {
		t.Fatal(err)
	}
	if names := userNames(root); len(names) != 0 {
		t.Errorf("%q of a pipe", names)
	}
	if userNames("") != nil || userNames(filepath.Join(root, "none")) != nil {
		t.Error("names of nothing")
	}
}

func FuzzCgroupOf(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/1/cgroup"))
	f.Add(fixture(f, v2Machine+"/2417/cgroup"))
	f.Add([]byte("3:cpu,cpuacct:/docker/a\n0::/u\n1:,cpu,:/b (deleted)\n::\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := cgroupOf(text)
		if !bytes.Contains(text, []byte(path)) || strings.Contains(path, "\n") {
			t.Errorf("%q of %q", path, text)
		}
		if path == "" {
			return
		}
		// The hierarchy that it is of decides alone.
		if alone := cgroupOf([]byte("7:cpu:" + path + "\n")); alone != path {
			t.Errorf("%q is %q alone", path, alone)
		}
	})
}

func FuzzPasswd(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n")
	f.Fuzz(func(t *testing.T, text string) {
		for number, name := range parsePasswd(strings.NewReader(text)) {
			if _, err := strconv.ParseUint(number, 10, 32); err != nil || name == "" || strings.Contains(name, "\n") {
				t.Fatalf("%q is %q", number, name)
			}
		}
	})
}

func BenchmarkProcesses(b *testing.B) {
	fs, err := Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer fs.Close()
	n := 0
	for b.Loop() {
		list, err := fs.Processes(b.Context(), ProcessesOptions{HostRoot: "/"})
		if err != nil {
			b.Fatal(err)
		}
		n += len(list)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/process")
}

// zombie tells whether a process has ended and nobody has asked how: the kernel shows its
// cgroups differently from within a namespace.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}
