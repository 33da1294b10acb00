package main

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// timerSlack is by how much the kernel may put off a timer of the agent, so that it can join
// it with another. Sweeps begin a millisecond late at most by it.
const timerSlack = 1e6 // ns

// slackenTimers starts the program anew, in this process, with timers that needn't be exact to
// 50 µs, as the kernel's default is. It returns if that is so already, or can't be.
//
// The thread by which Go's runtime watches the others sleeps for 20 µs at a time while
// anything runs, and so wakes up all the time in a sweep: by perf, a tenth of all the CPU time
// of an agent with a hundred containers. With more slack it wakes up a third as often, for half
// of that. It is older than the first line of a program, can't be told to sleep longer, and
// only takes over what the process had before.
func slackenTimers() {
	runtime.LockOSThread() // the slack is this thread's, and this thread's is kept by exec
	defer runtime.UnlockOSThread()
	old, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || old >= timerSlack {
		return
	}
	if unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) != nil {
		return
	}
	if program, err := os.Executable(); err == nil {
		unix.Exec(program, os.Args, os.Environ())
	}
	// It runs as well without: a little dearer.
	unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(old), 0, 0, 0)
}
