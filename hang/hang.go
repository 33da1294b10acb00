// Package hang reads files whose answer may never come, and goes on without it.
//
// The kernel makes up its own files from memory and always answers. But what stands in
// their place may be a program's: FUSE, whose server hangs or was stopped (lxcfs puts such
// files over /proc/stat and its neighbours), or a FIFO that nobody writes to. Such a read
// can't be ended from outside. So it gets a goroutine of its own and is waited for a moment
// only; as long as it hangs, nothing else is read in its place, and only so many may hang.
package hang

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHung says that a file doesn't answer: this read or an earlier one still hangs, or as
// many others do as may.
var ErrHung = errors.New("the read hangs")

const (
	// patience is the longest time that one read is waited for.
	patience = 250 * time.Millisecond
	// impatience is the time that is left when all patience was used up: enough for a
	// server that is well.
	impatience = 2 * time.Millisecond
	// share is the part of the time that may be spent with waiting, one in so many.
	share = 4
)

// Reads are the reads of one goroutine. Only Hung may be called by others.
type Reads struct {
	most   int64
	hung   atomic.Int64
	credit time.Duration // to be waited
	since  time.Time     // when credit was that
	free   []byte        // the buffer of the last read that came back in time
}

// New returns Reads of which at most so many may hang at once.
func New(most int) *Reads { return &Reads{most: int64(most), credit: patience} }

// Hung returns how many reads hang now, each with a thread of the process.
func (r *Reads) Hung() int { return int(r.hung.Load()) }

// A Place is where one read at a time may be under way. The zero value is ready for use.
type Place struct{ answer chan answer }

type answer struct {
	text []byte
	err  error
}

// Read calls read with memory of so many bytes, in another goroutine, and returns what it
// returns: how many bytes it put there, which are copied to dst, and its error. Where it
// takes too long, Read returns ErrHung, and does so without a new attempt until the first
// one has come back, whose answer is thrown away: it is as old as the attempt.
func (r *Reads) Read(p *Place, dst []byte, read func(b []byte) (int, error)) (int, error) {
	if p.answer != nil {
		select {
		case <-p.answer:
			p.answer = nil
		default:
			return 0, ErrHung
		}
	}
	if r.hung.Load() >= r.most {
		return 0, ErrHung
	}
	buf := r.free
	r.free = nil
	if len(buf) < len(dst) {
		buf = make([]byte, len(dst))
	}
	buf = buf[:len(dst)]
	came := make(chan answer, 1)
	var late atomic.Bool
	go func() {
		n, err := read(buf)
		came <- answer{buf[:n], err}
		if !late.CompareAndSwap(false, true) {
			r.hung.Add(-1)
		}
	}()
	began := time.Now()
	timer := time.NewTimer(r.allowance(began))
	defer timer.Stop()
	select {
	case a := <-came:
		r.spend(began)
		r.free = buf
		return copy(dst, a.text), a.err
	case <-timer.C:
	}
	r.spend(began)
	p.answer = came
	r.hung.Add(1)
	if !late.CompareAndSwap(false, true) {
		r.hung.Add(-1) // it has just come back
	}
	return 0, ErrHung
}

// allowance returns for how long a read that begins now may be waited for.
func (r *Reads) allowance(now time.Time) time.Duration {
	if !r.since.IsZero() {
		r.credit = min(patience, r.credit+now.Sub(r.since)/share)
	}
	return max(r.credit, impatience)
}

// spend takes the time since a read began from the credit.
func (r *Reads) spend(began time.Time) {
	r.since = time.Now()
	r.credit = max(0, r.credit-r.since.Sub(began))
}

// The kernel's own filesystems (include/uapi/linux/magic.h).
var own = [...]int64{unix.PROC_SUPER_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC} // immutable

// May tells whether a read of the open file or directory may hang: whether it belongs to
// anything else than the kernel's own procfs or cgroups.
func May(fd int) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return true
	}
	for _, magic := range own {
		if int64(st.Type) == magic {
			return false
		}
	}
	return true
}
