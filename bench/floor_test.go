package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// floor is the compiled floor.c.
type floor string

// floorRun is what one run of the floor printed.
type floorRun struct {
	files, sweeps, failed int
	bytes                 int64
	cpu                   time.Duration
}

// buildFloor compiles floor.c, or skips where there is no C compiler.
func buildFloor(tb testing.TB) floor {
	tb.Helper()
	cc := lab.Tool(tb, "cc", "gcc libc6-dev")
	program := filepath.Join(tb.TempDir(), "floor")
	if out, err := exec.Command(cc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, "floor.c").CombinedOutput(); err != nil {
		tb.Fatalf("cc floor.c: %v\n%s", err, out)
	}
	return floor(program)
}

// run reads the files once per interval, as often as sweeps says.
func (f floor) run(ctx context.Context, files []string, interval time.Duration, sweeps int) (floorRun, error) {
	cmd := exec.CommandContext(ctx, string(f), strconv.FormatInt(interval.Milliseconds(), 10), strconv.Itoa(sweeps))
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return floorRun{}, fmt.Errorf("floor: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var r floorRun
	var cpu int64
	if _, err := fmt.Sscanf(string(out), "files %d sweeps %d bytes %d failed %d cpu_ns %d\n", &r.files, &r.sweeps, &r.bytes, &r.failed, &cpu); err != nil {
		return floorRun{}, fmt.Errorf("floor printed %q: %w", out, err)
	}
	r.cpu = time.Duration(cpu)
	return r, nil
}

// A fleet is the cgroups that count in a comparison with the floor.
type fleet struct {
	// member tells to which of them a file belongs, by its path.
	member func(path string) (cgroup string, ok bool)
	// processes has a process of each that lives as long as it, for those whose
	// network is measured. The agent may have picked another one, which reads the
	// same network namespace but may end any moment.
	processes map[string]int
}

// fastFiles returns the files of the fleet that a process reads at every sweep, those
// of one cgroup together, and the number of cgroups: the cgroup files and net/dev that
// it keeps open.
//
// What the process opens for one reading, on its slow beat, is not among them, nor are
// directories, of which it asks the link count.
func fastFiles(p procfs.Proc, f fleet) (list []string, cgroups int, err error) {
	targets, err := p.FileDescriptorTargets()
	if err != nil {
		return nil, 0, err
	}
	networks := 0
	files := map[string][]string{}
	for _, target := range targets {
		// The process by whose directory it was opened may have ended.
		if ok, err := path.Match("/proc/[0-9]*/net/dev", strings.TrimSuffix(target, " (deleted)")); err == nil && ok {
			networks++
			continue
		}
		name, ok := f.member(target)
		if !ok || !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			continue
		}
		if info, err := os.Stat(target); err == nil && info.Mode().IsRegular() {
			files[name] = append(files[name], target)
		}
	}
	if networks < len(f.processes) {
		return nil, 0, fmt.Errorf("process %d reads the network of %d cgroups, there are %d", p.PID, networks, len(f.processes))
	}
	for name, of := range files {
		if process, ok := f.processes[name]; ok {
			of = append(of, fmt.Sprintf("/proc/%d/net/dev", process))
		}
		slices.Sort(of)
		list = append(list, slices.Compact(of)...)
	}
	return list, len(files), nil
}

// The floor has to read what it is given, as often as it is told, and to say what
// can't be opened.
func TestFloorReads(t *testing.T) {
	f := buildFloor(t)
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"a", "b", "c"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Repeat(name, 100)), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	const interval, sweeps = 5 * time.Millisecond, 4
	start := time.Now()
	r, err := f.run(t.Context(), files, interval, sweeps)
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	if want := (floorRun{files: 3, sweeps: sweeps, bytes: 3 * 100 * sweeps, cpu: r.cpu}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if r.cpu <= 0 || r.cpu > took {
		t.Errorf("CPU time %v in %v", r.cpu, took)
	}
	if took < sweeps*interval {
		t.Errorf("%d sweeps every %v took %v only", sweeps, interval, took)
	}

	missing := filepath.Join(dir, "missing")
	if _, err := f.run(t.Context(), []string{files[0], missing}, 0, 1); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a file that doesn't exist: %v", err)
	}
}

func TestFastFiles(t *testing.T) {
	self, err := procfs.Self()
	if err != nil {
		t.Fatal(err)
	}
	open := func(path string) *os.File {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			lab.Lack(t, "needs "+path+": run it on a machine with cgroups mounted")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	// A cgroup file, twice and with its directory, and a network are what an agent has
	// open, among other things.
	procs, err := filepath.Glob("/sys/fs/cgroup/cgroup.procs")
	if err != nil || len(procs) == 0 {
		procs = []string{"/sys/fs/cgroup/memory/cgroup.procs"}
	}
	open(procs[0])
	open(procs[0])
	open(filepath.Dir(procs[0]))
	open(fmt.Sprintf("/proc/%d/net/dev", self.PID))
	open(fmt.Sprintf("/proc/%d", self.PID))
	open(t.TempDir())

	all := fleet{func(string) (string, bool) { return "all", true }, map[string]int{"all": self.PID}}
	files, cgroups, err := fastFiles(self, all)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("/proc/%d/net/dev", self.PID), procs[0]}
	// The Go runtime keeps cgroup files of its own open, to follow the CPU limit.
	files = slices.DeleteFunc(files, func(path string) bool { return strings.Contains(filepath.Base(path), "cpu.") })
	if cgroups != 1 || !slices.Equal(files, want) {
		t.Errorf("got %d cgroups and %q, want 1 and %q", cgroups, files, want)
	}
	none := fleet{member: func(string) (string, bool) { return "", false }}
	if files, cgroups, err := fastFiles(self, none); err != nil || cgroups != 0 || len(files) != 0 {
		t.Errorf("no member: got %q in %d cgroups, %v", files, cgroups, err)
	}
	all.processes["another"] = self.PID
	if files, _, err := fastFiles(self, all); err == nil {
		t.Errorf("two networks, one of them read: got %q", files)
	}
}
