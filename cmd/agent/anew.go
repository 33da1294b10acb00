package main

import (
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// timerSlack is by how much the kernel may put off a timer of the agent, so that it can join
// it with another. Sweeps begin a millisecond late at most by it.
const timerSlack = 1e6 // ns

// startAnew starts the program anew, in this process, with what can't be had later: timers
// that needn't be exact to 50 µs, as the kernel's default is, and, unless it will be profiled,
// no notes of what allocated memory, whose table takes half a megabyte. It returns if that is
// so already, or can't be.
//
// The thread by which Go's runtime watches the others sleeps for 20 µs at a time while
// anything runs, and so wakes up all the time in a sweep: by perf, a tenth of all the CPU time
// of an agent with a hundred containers. With more slack it wakes up a third as often, for half
// of that. It is older than the first line of a program, can't be told to sleep longer, and
// only takes over what the process had before.
func startAnew(profiling bool) {
	runtime.LockOSThread() // the slack is this thread's, and this thread's is kept by exec
	defer runtime.UnlockOSThread()
	old, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || old >= timerSlack {
		return
	}
	if unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) != nil {
		return
	}
	environ := os.Environ()
	if !profiling {
		environ = withoutMemoryProfile(environ)
	}
	if program, err := os.Executable(); err == nil {
		unix.Exec(program, os.Args, environ)
	}
	// It runs as well without: a little dearer.
	unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(old), 0, 0, 0)
}

// withoutMemoryProfile returns the environment in which Go's runtime takes no memory profile.
// What the operator has said of that in GODEBUG stays.
func withoutMemoryProfile(environ []string) []string {
	const name, rate = "GODEBUG=", "memprofilerate="
	environ = slices.Clone(environ)
	for i, variable := range environ {
		settings, ok := strings.CutPrefix(variable, name)
		if !ok {
			continue
		}
		if !strings.Contains(settings, rate) {
			environ[i] = name + strings.TrimPrefix(settings+","+rate+"0", ",")
		}
		return environ
	}
	return append(environ, name+rate+"0")
}
