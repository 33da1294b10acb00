package proc

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// readTasks adds what is wanted of each task (thread) of the process whose folder dir is.
func (d *Details) readTasks(dir int, sched *schedule, states *taskStates) {
	// A process that ends meanwhile ends the list, or the reading of one of its files.
	d.list(dir, "task", func(folder int, name string) bool {
		tid, err := strconv.Atoi(name)
		if err != nil {
			return true // "." and ".."
		}
		if d.wanted.Tasks {
			if text, err := d.text(folder, name+"/stat"); err == nil {
				states.add(parseTaskState(text))
			}
		}
		if d.wanted.Sched {
			text, err := d.text(folder, name+"/schedstat")
			if err == nil {
				if now, ok := parseSchedstat(text); ok {
					sched.add(tid, now)
					return true
				}
			}
			if !gone(err) {
				sched.keep(tid)
			}
		}
		return true
	})
}

// taskStates counts tasks by their states.
type taskStates struct{ running, sleeping, uninterruptible, stopped uint64 }

// add counts a task in the state with that letter (proc(5)). Those of tasks that have ended
// (Z, X) are no state, as in the kernel's own count (kernel/cgroup/cgroup-v1.c,
// cgroupstats_build), nor are the letters of old kernels.
func (c *taskStates) add(state byte) {
	switch state {
	case 'R':
		c.running++
	case 'S', 'I': // I: a task of the kernel that has nothing to do
		c.sleeping++
	case 'D':
		c.uninterruptible++
	case 'T', 't':
		c.stopped++
	}
}

// put puts the counts. Which of the uninterruptible wait for IO is known from inside the
// kernel only.
func (c *taskStates) put(s *metric.Sample) {
	s.Put(metric.TasksRunning, c.running)
	s.Put(metric.TasksSleeping, c.sleeping)
	s.Put(metric.TasksUninterruptible, c.uninterruptible)
	s.Put(metric.TasksStopped, c.stopped)
}

// parseTaskState returns the state's letter in /proc/<pid>/task/<tid>/stat (proc(5)), 0 if
// there is none. The name, in parentheses, may have any character, parentheses as well.
//
//	8565 (cat) R 8559 8559 1568 …
func parseTaskState(b []byte) byte {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 || len(b) < end+4 || b[end+1] != ' ' || b[end+3] != ' ' {
		return 0
	}
	return b[end+2]
}

// loadSpan is the time over which the load is averaged: each moment counts e times less
// than one that was 10 s later, as in cAdvisor.
const loadSpan = 10 * time.Second

// load is how many tasks run, and how many can't be interrupted, averaged.
type load struct {
	running, uninterruptible float64
	at                       time.Time
}

// add takes in the states of now. How much they count follows from the time that has
// really passed since the last ones; the first count alone.
func (l *load) add(c *taskStates, now time.Time) {
	decay := 0.0
	if !l.at.IsZero() {
		decay = math.Exp(-float64(max(0, now.Sub(l.at))) / float64(loadSpan))
	}
	l.running = l.running*decay + float64(c.running)*(1-decay)
	l.uninterruptible = l.uninterruptible*decay + float64(c.uninterruptible)*(1-decay)
	l.at = now
}

// put puts the averages in thousandths.
func (l *load) put(s *metric.Sample) {
	s.Put(metric.LoadAverage, uint64(l.running*1000))
	s.Put(metric.LoadUninterruptible, uint64(l.uninterruptible*1000))
}

// schedstat is what the scheduler has counted: time on a CPU and time on a run queue, in
// nanoseconds, and timeslices.
type schedstat struct{ run, wait, slices uint64 }

func (a *schedstat) add(b schedstat) {
	a.run += b.run
	a.wait += b.wait
	a.slices += b.slices
}

// parseSchedstat parses schedstat of a task (scheduler/sched-stats.rst).
//
//	11968842 36365330 1487
func parseSchedstat(b []byte) (v schedstat, ok bool) {
	line, _, whole := cutLine(b)
	var row [3]uint64
	if !whole || numbers(line, row[:]) < len(row) {
		return schedstat{}, false
	}
	return schedstat{row[0], row[1], row[2]}, true
}

// schedule sums up the schedstats of tasks that come and go, so that the sum never falls:
// what ended counts as it was seen last.
type schedule struct {
	tasks map[int]schedTask // by id
	ended schedstat
	round uint64
	read  bool // some schedstat was read: the kernel has them
}

type schedTask struct {
	schedstat
	round uint64 // the reading that saw it last
}

func (c *schedule) begin() { c.round++ }

// add takes in a task. One whose numbers fell is another one with the same id.
func (c *schedule) add(tid int, now schedstat) {
	c.read = true
	was := c.tasks[tid].schedstat
	if now.run < was.run || now.wait < was.wait || now.slices < was.slices {
		c.ended.add(was)
	}
	c.tasks[tid] = schedTask{now, c.round}
}

// keep takes in that a task is there, although it can't be read.
func (c *schedule) keep(tid int) {
	if t, known := c.tasks[tid]; known {
		t.round = c.round
		c.tasks[tid] = t
	}
}

// end forgets tasks that weren't seen, and puts the sum.
func (c *schedule) end(s *metric.Sample) {
	sum := c.ended
	for tid, t := range c.tasks {
		if t.round != c.round {
			c.ended.add(t.schedstat)
			delete(c.tasks, tid)
		}
		sum.add(t.schedstat)
	}
	if c.read {
		s.Put(metric.SchedRunTime, sum.run)
		s.Put(metric.SchedWaitTime, sum.wait)
		s.Put(metric.SchedTimeslices, sum.slices)
	}
}
