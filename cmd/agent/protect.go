package main

import (
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"
	"unsafe"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/cgroup"
)

// limitMemory has the Go runtime collect harder before the kernel kills the agent: from
// four fifths of its cgroup's memory limit on. What else the process takes (its code, the
// kernel's buffers, pages of the spool that wait for the disk) has the last fifth. A
// GOMEMLIMIT that is set is left alone. If the limit is too low for what there is to
// measure, Go bounds the time spent on collections by half of the CPU time, and goes over
// it.
func limitMemory(environ []string, log *zap.Logger) {
	for _, kv := range environ {
		if strings.HasPrefix(kv, "GOMEMLIMIT=") {
			return // the runtime has read it
		}
	}
	limit, ok, err := cgroup.OwnMemoryLimit("/proc")
	if err != nil {
		log.Warn("the memory limit of the agent itself isn't known", zap.Error(err))
	}
	if ok {
		debug.SetMemoryLimit(int64(limit / 5 * 4))
	}
}

// shut closes the process to others of the node: what it executes gains no privilege, its
// memory, which holds secrets, is neither dumped nor read by its user's other processes,
// and what it creates is its own.
func shut() error {
	unix.Umask(0o077)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // of the process, not of a thread
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	return threadsError("PR_SET_NO_NEW_PRIVS", errno)
}

// threadsError is the error of a system call that was to be made on all threads of the
// process, because the kernel keeps by thread what it sets; nil if there was none.
func threadsError(call string, errno syscall.Errno) error {
	switch errno {
	case 0:
		return nil
	case syscall.ENOTSUP: // C code may have threads of its own
		return fmt.Errorf("%s can't be called in a binary that was built with cgo: build it with CGO_ENABLED=0", call)
	}
	return fmt.Errorf("%s: %w", call, errno)
}

// capabilities is a set of them, by bit.
type capabilities uint64

func (c capabilities) has(n int) bool { return c>>n&1 != 0 }

// capabilityUse is what an option makes use of capabilities for.
type capabilityUse struct {
	// option is the option, or the groups of metrics, that makes use of them.
	option string
	needs  capabilities
	// without is what comes of it without them, and essential that numbers are missing then.
	without   string
	essential bool
}

// capabilityUses returns what the options make use of capabilities for.
func (o *options) capabilityUses() (uses []capabilityUse) {
	const search, trace, admin = 1 << unix.CAP_DAC_READ_SEARCH, 1 << unix.CAP_SYS_PTRACE, 1 << unix.CAP_SYS_ADMIN
	wanted := o.wanted()
	if wanted.Processes {
		uses = append(uses, capabilityUse{"process", search | trace, "the sockets among open files aren't counted, and before Linux 6.2 no open files", true})
	}
	if wanted.Referenced {
		uses = append(uses, capabilityUse{"referenced_memory", trace, "referenced memory is missing", true})
	}
	if wanted.TCP || wanted.UDP {
		// To look into a container's network namespace.
		uses = append(uses, capabilityUse{"tcp and udp", trace | admin, "sockets are counted the slow way, which costs five times as much", false})
	}
	return uses
}

// capabilities returns those that the options can make use of, where the agent was given
// them; it needs none.
func (o *options) capabilities() capabilities {
	// Files of other users: engines of other users, layers and volumes, secrets, and
	// mount points in private directories.
	keep := capabilities(1 << unix.CAP_DAC_READ_SEARCH)
	for _, use := range o.capabilityUses() {
		keep |= use.needs
	}
	return keep
}

// names returns the capabilities' names, as Docker has them, of those that options may use.
func (c capabilities) names() (all []string) {
	for _, known := range [...]struct {
		bit  int
		name string
	}{{unix.CAP_DAC_READ_SEARCH, "DAC_READ_SEARCH"}, {unix.CAP_SYS_PTRACE, "SYS_PTRACE"}, {unix.CAP_SYS_ADMIN, "SYS_ADMIN"}} {
		if c.has(known.bit) {
			all = append(all, known.name)
		}
	}
	return all
}

// effective returns the capabilities that the calling thread has.
func effective() (capabilities, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	if err := unix.Capget(&header, &has[0]); err != nil {
		return 0, fmt.Errorf("capget: %w", err)
	}
	return capabilities(has[0].Effective) | capabilities(has[1].Effective)<<32, nil
}

// giveUp takes all capabilities but those in keep from all threads of the process, for good.
func giveUp(keep capabilities) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had, rest [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	effective := capabilities(had[0].Effective) | capabilities(had[1].Effective)<<32
	if effective.has(unix.CAP_SETPCAP) {
		for n := range 64 {
			if bounding, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0); err != nil || bounding == 0 || keep.has(n) {
				continue
			}
			_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0, 0)
			if err := threadsError("PR_CAPBSET_DROP", errno); err != nil {
				return err
			}
		}
	}
	for i := range rest {
		half := uint32(keep >> (32 * i))
		// Nothing inheritable, and so nothing ambient.
		rest[i] = unix.CapUserData{Effective: had[i].Effective & half, Permitted: had[i].Permitted & half}
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&rest[0])), 0)
	return threadsError("capset", errno)
}

// withoutPasswords returns a command line as it may be shown.
func withoutPasswords(args []string) []string {
	shown := make([]string, len(args))
	for i, arg := range args {
		name, value, isSet := strings.Cut(arg, "=")
		if isSet && isPasswordFlag(name) {
			shown[i] = name + "=…"
		} else if isSet && strings.HasPrefix(name, "-") {
			shown[i] = name + "=" + redact(value)
		} else if i > 0 && isPasswordFlag(args[i-1]) {
			shown[i] = "…"
		} else {
			shown[i] = redact(arg)
		}
	}
	return shown
}

// isPasswordFlag tells whether a flag's value is a password: of cAdvisor's, which are taken
// and ignored.
func isPasswordFlag(arg string) bool {
	return strings.TrimLeft(strings.ReplaceAll(arg, "_", "-"), "-") == "storage-driver-password"
}
