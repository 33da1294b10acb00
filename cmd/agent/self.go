package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// self is what the agent knows of itself, for its own documents. The loop, which is made
// after what takes its documents, is set before it runs.
type self struct {
	started time.Time
	cgroups *cgroup.Hierarchy
	loop    *collector.Collector
	statm   int // descriptor of /proc/self/statm, below 0 if that can't be read
}

func newSelf(cgroups *cgroup.Hierarchy) *self {
	s := &self{started: time.Now(), cgroups: cgroups}
	var err error
	if s.statm, err = unix.Open("/proc/self/statm", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		s.statm = -1
	}
	return s
}

func (s *self) close() {
	if s.statm >= 0 {
		unix.Close(s.statm)
	}
	s.statm = -1
}

// tell says how the agent is. The loop's goroutine calls it at the end of each batch; it
// allocates nothing.
func (s *self) tell() shipper.Self {
	v := s.process()
	l := s.loop.Stats()
	v.Containers, v.Descriptors = l.Targets, int64(s.cgroups.Descriptors().Kept)
	v.Sweeps, v.Missed, v.Samples = l.Sweeps, l.Missed, l.Samples
	v.Longest, v.Latest = s.loop.Recent()
	return v
}

// process says what the process is, whatever it does.
func (s *self) process() shipper.Self {
	v := shipper.Self{Started: s.started, Goroutines: int64(runtime.NumGoroutine()), RSS: s.rss()}
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err == nil {
		v.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	return v
}

// rss returns the memory of the process in bytes, 0 if it can't be read.
func (s *self) rss() int64 {
	if s.statm < 0 {
		return 0
	}
	var text [128]byte
	n, err := unix.Pread(s.statm, text[:], 0)
	if err != nil {
		return 0
	}
	pages, field := int64(0), 0 // the second one: resident pages
	for _, c := range text[:n] {
		switch {
		case c == ' ':
			field++
		case field == 1:
			pages = pages*10 + int64(c-'0')
		}
	}
	return pages * int64(unix.Getpagesize())
}
