package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// usage is what a process, and the machine, have used up to one instant.
type usage struct {
	at time.Time
	// cpu is the process's CPU time by its CPU clock: the sum over all its threads,
	// ended ones included, in ns.
	cpu time.Duration
	// user and system are the same from /proc/<pid>/stat, in ticks of 10 ms, and
	// sched the sum over the present threads' schedstat. They are there to be compared.
	user, system, sched time.Duration
	// busy is the time that all CPUs of the machine were not idle, and stolen the time
	// that a hypervisor gave to others instead.
	busy, stolen time.Duration
}

// userHZ is the unit of times in /proc/<pid>/stat (USER_HZ), the same on every
// architecture that Go runs on.
const userHZ = 100

// measure reads what the process has used.
func measure(p procfs.Proc) (u usage, err error) {
	u.at = time.Now()
	var cpu unix.Timespec
	if err := unix.ClockGettime(cpuClock(p.PID), &cpu); err != nil {
		return u, fmt.Errorf("CPU clock of process %d: %w", p.PID, err)
	}
	u.cpu = time.Duration(cpu.Nano())

	stat, err := p.Stat()
	if err != nil {
		return u, err
	}
	u.user = time.Duration(stat.UTime) * (time.Second / userHZ)
	u.system = time.Duration(stat.STime) * (time.Second / userHZ)

	threads, err := procfs.AllThreads(p.PID)
	if err != nil {
		return u, err
	}
	for _, thread := range threads {
		s, err := thread.Schedstat()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread ended
		}
		if err != nil {
			return u, err
		}
		u.sched += time.Duration(s.RunningNanoseconds)
	}

	root, err := procfs.NewDefaultFS()
	if err != nil {
		return u, err
	}
	machine, err := root.Stat()
	if err != nil {
		return u, err
	}
	c := machine.CPUTotal
	u.busy = seconds(c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ)
	u.stolen = seconds(c.Steal)
	return u, nil
}

// cpuClock is the id of a process's CPU clock, as clock_getcpuclockid(3) makes it: the
// inverted pid above three bits that say "of a process, by the scheduler's count".
func cpuClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// sub returns what was used since an earlier measurement; at is when that began.
func (u usage) sub(earlier usage) usage {
	return usage{
		at:  earlier.at,
		cpu: u.cpu - earlier.cpu, user: u.user - earlier.user, system: u.system - earlier.system, sched: u.sched - earlier.sched,
		busy: u.busy - earlier.busy, stolen: u.stolen - earlier.stolen,
	}
}

// check compares the three counts of a difference. Each of both ends of the tick count
// is off by less than a tick for user and system together, and the three aren't read at
// the same instant.
func (u usage) check() error {
	const slack = 30 * time.Millisecond
	for _, other := range []struct {
		name string
		time time.Duration
	}{{"utime+stime of /proc/<pid>/stat", u.user + u.system}, {"the threads' schedstat", u.sched}} {
		if (u.cpu - other.time).Abs() > slack+u.cpu/50 {
			return fmt.Errorf("the CPU clock says %v, %s %v", u.cpu, other.name, other.time)
		}
	}
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// memory is what a process has in RAM, and how many descriptors are open.
type memory struct {
	pss, rss, anonymous uint64 // bytes
	descriptors         int
}

// measureMemory walks all page tables of the process, which it may notice: not to be
// done within a window of time.
func measureMemory(p procfs.Proc) (m memory, err error) {
	maps, err := p.ProcSMapsRollup()
	if err != nil {
		return m, err
	}
	m.pss, m.rss, m.anonymous = maps.Pss, maps.Rss, maps.Anonymous
	m.descriptors, err = p.FileDescriptorsLen()
	return m, err
}

// The three counts have to agree on a process that does something, and see a time that
// is known otherwise.
func TestMeasure(t *testing.T) {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait() // "signal: killed"
	}()
	p, err := procfs.NewProc(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	before, err := measure(p)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	after, err := measure(p)
	if err != nil {
		t.Fatal(err)
	}
	used, wall := after.sub(before), after.at.Sub(before.at)
	if used.cpu < wall/50 || used.cpu > wall+10*time.Millisecond {
		t.Errorf("a loop used %v in %v", used.cpu, wall)
	}
	if err := used.check(); err != nil {
		t.Error(err)
	}
	if used.busy < used.cpu/2 {
		t.Errorf("the machine was busy for %v, one process of it for %v", used.busy, used.cpu)
	}

	m, err := measureMemory(p)
	if err != nil {
		t.Fatal(err)
	}
	if m.rss == 0 || m.pss == 0 || m.pss > m.rss || m.descriptors < 3 {
		t.Errorf("memory of a shell: %+v", m)
	}
}
