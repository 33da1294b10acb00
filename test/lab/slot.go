package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// numSlots is how many engines of the package can run on a machine at once.
const numSlots = 16

// slot is what one engine has for itself on this machine as long as it holds
// the slot's lock: folders, a network interface's name, a range of addresses.
//
// The address range of slot n is the n-th /20 of 10.231.0.0/16: its first /24
// joins this machine with the engine, its second one is the engine's default
// bridge, its second half is for networks made later.
type slot struct {
	n      int
	run    string // sockets, logs; of this engine's run only
	data   string // the engine's data root, kept in the cache
	unlock func()
}

// runRoot has a folder and a lock per slot. Paths of unix sockets may have 107
// bytes only, so it has to be short.
const runRoot = "/run/swarmgauge-lab"

// takeSlot takes the lowest slot that is free and whose addresses this machine
// doesn't use, and ends what an earlier holder of it may have left behind.
func takeSlot() (*slot, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(runRoot, 0o755); err != nil {
		return nil, err
	}
	for n := range numSlots {
		unlock, err := tryLock(filepath.Join(runRoot, strconv.Itoa(n)+".lock"))
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s := &slot{
			n:      n,
			run:    filepath.Join(runRoot, strconv.Itoa(n)),
			data:   filepath.Join(cache, "engine-"+strconv.Itoa(n)),
			unlock: unlock,
		}
		if err := s.prepare(); err != nil {
			unlock()
			return nil, err
		}
		inUse, err := s.addressesInUse()
		if err != nil {
			unlock()
			return nil, err
		}
		if inUse {
			unlock()
			continue
		}
		return s, nil
	}
	return nil, fmt.Errorf("no slot for an engine: all %d below %s are taken, or their addresses are", numSlots, runRoot)
}

// prepare ends a former run's processes and makes the folders.
func (s *slot) prepare() error {
	return errors.Join(s.clear(), os.MkdirAll(s.run, 0o755), os.MkdirAll(s.data, 0o711))
}

// release gives the slot back, its processes and run folder removed.
func (s *slot) release() error {
	defer s.unlock()
	return s.clear()
}

// clear removes all that an engine leaves in the slot but its data.
func (s *slot) clear() error {
	return errors.Join(s.reap(), s.removeDevice(), os.RemoveAll(s.run))
}

// removeDevice removes the link to an engine's network namespace. It would end
// with the namespace, but the kernel takes its time for that.
func (s *slot) removeDevice() error {
	device := filepath.Join("/sys/class/net", s.device())
	if !exists(device) {
		return nil
	}
	err := run(context.Background(), "ip", "link", "delete", s.device())
	if !exists(device) { // the kernel was faster
		return nil
	}
	return err
}

func (s *slot) device() string { return "sglab" + strconv.Itoa(s.n) }

// addr returns an address of the slot's range by the last two bytes it would
// have in slot 0.
func (s *slot) addr(third, fourth byte) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 231, byte(s.n)<<4 | third, fourth})
}

// addressesInUse tells whether another network of this machine has a part of
// the slot's range.
func (s *slot) addressesInUse() (bool, error) {
	ours := netip.PrefixFrom(s.addr(0, 0), 20)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(ours) {
			return true, nil
		}
	}
	return false, nil
}

// reap kills every process of the slot's engine that is still there, with all
// descendants, and removes the cgroups of its containers, which nobody else
// does then. The engine, containerd and the shims name the folder of their
// run-time state in their command lines; containers descend from the shims.
func (s *slot) reap() error {
	cgroups := map[string]bool{}
	for deadline := time.Now().Add(10 * time.Second); ; {
		pids, err := s.processes()
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			removeCgroups(cgroups)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of %s survive SIGKILL", pids, s.run)
		}
		for _, pid := range pids {
			addCgroups(cgroups, pid)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %d of %s: %w", pid, s.run, err)
			}
		}
		if err := sleep(context.Background(), 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// containerPath matches the part of a cgroup's path up to a container's own.
var containerPath = regexp.MustCompile(`^.*/[0-9a-f]{64}`)

// addCgroups adds the cgroups of the container that a process is in, and those
// between the two, by their paths.
func addCgroups(cgroups map[string]bool, pid int) {
	lines, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // it may have ended
	for line := range strings.Lines(string(lines)) {
		// 4:memory:/docker/<id>
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for path := parts[len(parts)-1]; containerPath.MatchString(path); path = filepath.Dir(path) {
			cgroups[path] = true
		}
	}
}

// removeCgroups removes cgroups from all hierarchies, children first. One that
// is in use again, or has gone, stays as it is.
func removeCgroups(cgroups map[string]bool) {
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(cgroups))) {
		for _, mount := range [...]string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			found, _ := filepath.Glob(mount + path) // the pattern is well-formed
			for _, dir := range found {
				os.Remove(dir)
			}
		}
	}
}

// runs tells whether a command line, its arguments ended by zero bytes, is of
// the slot's engine, its containerd or one of its shims.
func (s *slot) runs(cmdline string) bool {
	program, args, _ := strings.Cut(cmdline, "\x00")
	program = filepath.Base(program)
	return (program == "dockerd" || strings.HasPrefix(program, "containerd")) &&
		(strings.Contains(args, s.execRoot()+"\x00") || strings.Contains(args, s.execRoot()+"/"))
}

// execRoot is where the engine keeps its run-time state.
func (s *slot) execRoot() string { return filepath.Join(s.run, "exec") }

// processes returns the pids of the slot's engine and their descendants,
// zombies excepted.
func (s *slot) processes() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int)
	members := make(map[int]bool)
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		state, parent, err := readStat(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || state == 'Z' {
			continue
		}
		if err != nil {
			return nil, err
		}
		parents[pid] = parent
		// A process that ended meanwhile has no command line.
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		members[pid] = s.runs(string(cmdline))
	}
	var pids []int
	for pid := range parents {
		for p, ok := pid, true; ok; p, ok = parents[p] {
			if members[p] {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids, nil
}

// readStat returns the state letter and the parent of a process.
//
//	42 (a (b) c) S 1 42 …    proc_pid_stat(5): pid, comm, state, ppid
func readStat(pid int) (state byte, parent int, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	rest := string(stat)[strings.LastIndexByte(string(stat), ')')+1:]
	if _, err := fmt.Sscanf(rest, " %c %d", &state, &parent); err != nil {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %q: %w", pid, rest, err)
	}
	return state, parent, nil
}
