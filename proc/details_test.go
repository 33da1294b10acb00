package proc

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// allOfProcesses is everything that Processes.Read reads.
var allOfProcesses = Wanted{Processes: true, Sched: true, Tasks: true, Referenced: true}

// A process that was captured, beside one that has ended since it was listed.
func TestProcessesFixture(t *testing.T) {
	root := copyMachine(t, v1Machine)
	p := open(t, root).NewDetails(allOfProcesses).NewProcesses("")
	var s metric.Sample
	start := time.Unix(1000, 0)
	p.Read([]int{28949, 99999}, start, &s)
	check(t, &s, metric.Processes, 0, 2)
	check(t, &s, metric.OpenFilesLimit, 0, 20000)
	check(t, &s, metric.OpenFilesHardLimit, 0, 20000)
	check(t, &s, metric.TasksRunning, 0, 1)
	check(t, &s, metric.TasksSleeping, 0, 1)
	check(t, &s, metric.TasksStopped, 0, 0)
	check(t, &s, metric.TasksUninterruptible, 0, 0)
	check(t, &s, metric.TasksIOWait, 0, -1)
	check(t, &s, metric.LoadAverage, 0, 1000)
	check(t, &s, metric.LoadUninterruptible, 0, 0)
	check(t, &s, metric.SchedRunTime, 0, 102122229+152355)
	check(t, &s, metric.SchedWaitTime, 0, 946643)
	check(t, &s, metric.SchedTimeslices, 0, 27+1)
	check(t, &s, metric.MemoryReferenced, 0, 14328<<10)

	// A thread ends; what it has used stays in the sum.
	if err := os.RemoveAll(filepath.Join(root, "28949/task/28991")); err != nil {
		t.Fatal(err)
	}
	write(t, root, "28949/task/28949/schedstat", "1000000000 2000000000 1000\n")
	write(t, root, "28949/task/28949/stat", "28949 (a) R) D 1\n")
	p.Read([]int{28949}, start.Add(10*time.Second), &s)
	check(t, &s, metric.SchedRunTime, 0, 1000000000+152355)
	check(t, &s, metric.SchedTimeslices, 0, 1000+1)
	check(t, &s, metric.TasksUninterruptible, 0, 1)
	check(t, &s, metric.LoadAverage, 0, 367)
	check(t, &s, metric.LoadUninterruptible, 0, 632)
	for range 2 {
		p.Read(nil, start.Add(20*time.Second), &s)
		check(t, &s, metric.SchedRunTime, 0, 1000000000+152355)
	}
	check(t, &s, metric.Processes, 0, 0)
}

// The sum of what tasks have used never falls, whatever becomes of them.
func TestSchedule(t *testing.T) {
	c := schedule{tasks: map[int]schedTask{}}
	var last uint64
	f := func(want uint64, read func()) {
		t.Helper()
		var s metric.Sample
		c.begin()
		read()
		c.end(&s)
		v, ok := s.Get(metric.SchedRunTime)
		if !ok || v != want || v < last {
			t.Errorf("%d (%v), want %d after %d", v, ok, want, last)
		}
		last = v
	}
	var s metric.Sample
	c.begin()
	c.end(&s)
	check(t, &s, metric.SchedRunTime, 0, -1) // of nothing, nothing is known
	f(30, func() { c.add(1, schedstat{10, 0, 1}); c.add(2, schedstat{20, 0, 1}) })
	f(35, func() { c.add(1, schedstat{15, 0, 2}) })                               // 2 ended
	f(38, func() { c.add(1, schedstat{15, 0, 2}); c.add(2, schedstat{3, 0, 1}) }) // and came again
	f(40, func() { c.add(1, schedstat{2, 0, 1}); c.keep(2) })                     // 1 is another one, 2 can't be read
	f(40, func() { c.keep(7) })
	f(40, func() {})
	if len(c.tasks) > 0 {
		t.Errorf("%v is left of tasks that ended", c.tasks)
	}
}

func TestParseTaskState(t *testing.T) {
	f := func(text string, want byte) {
		t.Helper()
		if got := parseTaskState([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	f("8565 (cat) R 8559 8559\n", 'R')
	f("8565 (a) S (b)) D 1 2\n", 'D')
	f("8565 (\n) t 1", 't')
	f("8565 (cat) ", 0)
	f("8565 (cat) R", 0)
	f("8565 cat R 1", 0)
	f("", 0)
}

func TestParseSchedstat(t *testing.T) {
	f := func(text string, want schedstat, ok bool) {
		t.Helper()
		if got, gotOK := parseSchedstat([]byte(text)); got != want || gotOK != ok {
			t.Errorf("%q: %+v, %v", text, got, gotOK)
		}
	}
	f("1196884208 3636533048 1487\n", schedstat{1196884208, 3636533048, 1487}, true)
	f("1 2 3", schedstat{}, false)
	f("1 2\n", schedstat{}, false)
	f("1 -2 3\n", schedstat{}, false)
	f("", schedstat{}, false)
}

func TestParseLimits(t *testing.T) {
	f := func(text string, soft, hard int64, wantBad string) {
		t.Helper()
		var s metric.Sample
		if bad := parseLimits([]byte(text), &s); string(bad) != wantBad {
			t.Errorf("%q: bad line %q, want %q", text, bad, wantBad)
		}
		check(t, &s, metric.OpenFilesLimit, 0, soft)
		check(t, &s, metric.OpenFilesHardLimit, 0, hard)
	}
	const heading = "Limit                     Soft Limit           Hard Limit           Units     \n"
	f(heading+"Max open files            1024                 524288               files     \nMax locked memory         8388608              8388608              bytes     \n", 1024, 524288, "")
	f("Max open files            1024                 unlimited            files     \n", 1024, -1, "")
	f("Max open files            unlimited            unlimited            files     \n", -1, -1, "")
	f("Max open files            -1                 1            files     \n", -1, -1, "Max open files            -1                 1            files     ")
	f("Max open files            1024  ", -1, -1, "Max open files            1024  ")
	f("", -1, -1, "")
}

// startHolder starts a process that waits and has that many files and sockets open, beside
// its standard three.
func startHolder(t *testing.T, files, sockets int) *process {
	t.Helper()
	var extra []*os.File
	for range files {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		extra = append(extra, f)
	}
	for range sockets {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		extra = append(extra, os.NewFile(uintptr(fd), "socket"))
	}
	cmd := exec.Command("cat")
	cmd.ExtraFiles = extra
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	// What has come back shows that its loader has closed what it had open.
	if _, err := io.WriteString(in, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for _, f := range extra {
		f.Close()
	}
	p := &process{pid: cmd.Process.Pid, cmd: cmd}
	t.Cleanup(p.wait)
	t.Cleanup(p.kill)
	return p
}

// descriptorsOf counts the descriptors of a process by other code. It has at least what the
// test has given it, and what the test itself was started with.
func descriptorsOf(t *testing.T, p *process) int64 {
	t.Helper()
	oracle, err := procfs.NewProc(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	n, err := oracle.FileDescriptorsLen()
	if given := 3 + len(p.cmd.ExtraFiles); err != nil || n < given {
		t.Fatalf("%d descriptors (%v), %d were given", n, err, given)
	}
	return int64(n)
}

// What is read of real processes is what the test has given them, and what procfs reads.
func TestProcessesLive(t *testing.T) {
	a, b := startHolder(t, 5, 3), startHolder(t, 2, 0)
	pids := []int{a.pid, b.pid}
	d := open(t, "/proc").NewDetails(allOfProcesses)
	p := d.NewProcesses("")
	var limit unix.Rlimit
	if err := unix.Prlimit(a.pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 321, Max: 4321}, &limit); err != nil {
		t.Fatal(err)
	}
	var s metric.Sample
	for range 100 { // until both sleep, and so stand still
		p.Read(pids, time.Now(), &s)
		if v, _ := s.Get(metric.TasksSleeping); v == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(t, &s, metric.Processes, 0, 2)
	check(t, &s, metric.FileDescriptors, 0, descriptorsOf(t, a)+descriptorsOf(t, b))
	check(t, &s, metric.Sockets, 0, 3)
	check(t, &s, metric.OpenFilesLimit, 0, 321)
	check(t, &s, metric.OpenFilesHardLimit, 0, 4321)
	check(t, &s, metric.TasksSleeping, 0, 2)
	check(t, &s, metric.TasksRunning, 0, 0)
	check(t, &s, metric.TasksStopped, 0, 0)
	if notes := d.Notes(); len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
	var run, wait, slices_, referenced uint64
	for _, pid := range pids {
		oracle, err := procfs.NewProc(pid)
		if err != nil {
			t.Fatal(err)
		}
		stat, err := oracle.Schedstat()
		if err != nil {
			t.Fatal(err)
		}
		run, wait, slices_ = run+stat.RunningNanoseconds, wait+stat.WaitingNanoseconds, slices_+stat.RunTimeslices
		rollup, err := oracle.ProcSMapsRollup()
		if err != nil {
			t.Fatal(err)
		}
		referenced += rollup.Referenced
	}
	check(t, &s, metric.SchedRunTime, 0, int64(run))
	check(t, &s, metric.SchedWaitTime, 0, int64(wait))
	check(t, &s, metric.SchedTimeslices, 0, int64(slices_))
	check(t, &s, metric.MemoryReferenced, 0, int64(referenced))

	if err := unix.Kill(a.pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		p.Read(pids, time.Now(), &s)
		if v, _ := s.Get(metric.TasksStopped); v == 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(t, &s, metric.TasksStopped, 0, 1)
	check(t, &s, metric.TasksSleeping, 0, 1)

	// A zombie is a process without tasks; then there is none.
	a.kill()
	p.Read(pids, time.Now(), &s)
	check(t, &s, metric.FileDescriptors, 0, descriptorsOf(t, b))
	check(t, &s, metric.TasksSleeping, 0, 1)
	before, _ := s.Get(metric.SchedRunTime)
	a.wait()
	p.Read([]int{b.pid}, time.Now(), &s)
	if after, _ := s.Get(metric.SchedRunTime); after < before {
		t.Errorf("the time on a CPU fell from %d to %d", before, after)
	}
	check(t, &s, metric.OpenFilesLimit, 0, int64(limit.Cur))
}

// Without capabilities another user's processes still have their number of descriptors, on
// a kernel that tells it, and what can't be known is a note.
func TestProcessesWithoutRights(t *testing.T) {
	const dropped = "PROC_TEST_DROPPED"
	if pids := os.Getenv(dropped); pids != "" {
		pid, err := strconv.Atoi(pids)
		if err != nil {
			t.Fatal(err)
		}
		d := open(t, "/proc").NewDetails(Wanted{Processes: true, Sched: true, Tasks: true, Referenced: true, TCP: true})
		var s metric.Sample
		d.NewProcesses("").Read([]int{pid}, time.Now(), &s)
		d.ReadSockets(pid, "", &s)
		want, err := strconv.ParseInt(os.Getenv(dropped+"_FILES"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if !d.sizedFD {
			want = -1
		}
		check(t, &s, metric.FileDescriptors, 0, want)
		check(t, &s, metric.Sockets, 0, -1)
		check(t, &s, metric.Processes, 0, 1)
		check(t, &s, metric.OpenFilesLimit, 0, 20000)
		check(t, &s, metric.TasksSleeping, 0, 1)
		check(t, &s, metric.MemoryReferenced, 0, -1)
		if _, ok := s.Get(metric.SchedRunTime); !ok {
			t.Error("no schedstat")
		}
		if s.Rows(metric.PerSocket) != 2 {
			t.Error("no sockets by the slow way")
		}
		notes := strings.Join(d.Notes(), "\n")
		for _, want := range []string{"open sockets of processes", "referenced memory", "the slow way"} {
			if !strings.Contains(notes, want) {
				t.Errorf("no note about %s in %q", want, notes)
			}
		}
		return
	}
	needRoot(t)
	p := startHolder(t, 5, 3)
	if err := unix.Prlimit(p.pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 20000, Max: 20000}, nil); err != nil {
		t.Fatal(err)
	}
	// So that there is something to count.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), dropped+"="+strconv.Itoa(p.pid), dropped+"_FILES="+strconv.FormatInt(descriptorsOf(t, p), 10))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("%v\n%s", err, out)
	}
}

// Kernels tell pids in no order; the lowest is the first that there was.
func TestAppendPidsAndAllPidsByContainer(t *testing.T) {
	root := copyMachine(t, v1Machine)
	add := func(pid int, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, strconv.Itoa(pid)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, root, strconv.Itoa(pid)+"/cgroup", text)
	}
	add(300, "4:memory:/docker/"+idA+"\n0::/docker/"+idA+"\n")
	add(20, "0::/docker/"+idA+"/init.scope\n")
	add(50, "0::/docker/"+idB+"\n")
	add(60, "0::/system.slice\n")
	fs := open(t, root)
	all, err := fs.AllPidsByContainer(t.Context())
	if err != nil || len(all) != 2 || !slices.Equal(all[idA], []int{20, 300}) || !slices.Equal(all[idB], []int{50}) {
		t.Errorf("%v, %v", all, err)
	}
	if pids, err := fs.AppendPids(t.Context(), []int{7}); err != nil || !slices.Equal(pids, []int{7, 1, 20, 50, 60, 300, 28949}) {
		t.Errorf("%v, %v", pids, err)
	}
}

// BenchmarkDetailsOfProcesses reads one process with as many descriptors, all that there is of it
// but the referenced memory.
func BenchmarkDetailsOfProcesses(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var opened []*os.File
			defer func() {
				for _, f := range opened {
					f.Close()
				}
			}()
			for range n {
				f, err := os.Open("/dev/null")
				if err != nil {
					b.Fatal(err)
				}
				opened = append(opened, f)
			}
			p := open(b, "/proc").NewDetails(Wanted{Processes: true, Sched: true, Tasks: true}).NewProcesses("")
			pids := []int{os.Getpid()}
			var s metric.Sample
			for b.Loop() {
				p.Read(pids, time.Now(), &s)
			}
		})
	}
}

func FuzzTaskState(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/28949/task/28949/stat"))
	f.Add([]byte("1 (x) ) R "))
	f.Fuzz(func(t *testing.T, text []byte) {
		if state := parseTaskState(text); state != 0 && !bytes.Contains(text, []byte{')', ' ', state, ' '}) {
			t.Errorf("%q of %q", state, text)
		}
	})
}

func FuzzSchedstat(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/28949/task/28949/schedstat"))
	f.Add([]byte("1 2 3 4\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if v, ok := parseSchedstat(text); !ok && v != (schedstat{}) {
			t.Errorf("%+v of %q", v, text)
		}
	})
}

func FuzzLimits(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/28949/limits"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s metric.Sample
		bad := parseLimits(text, &s)
		checkFuzzed(t, text, bad, &s)
	})
}

func FuzzReferenced(f *testing.F) {
	f.Add(fixture(f, v1Machine+"/28949/smaps_rollup"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if v, ok := parseReferenced(text); ok && v%kib != 0 {
			t.Errorf("%d bytes of %q", v, text)
		}
	})
}
