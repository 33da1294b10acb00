package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

const (
	// statfsDeadline is how long Read waits for all filesystems together.
	statfsDeadline = 2 * time.Second
	// quarantine is how long one that didn't answer is left alone.
	quarantine = 5 * time.Minute
)

// Filesystems measures the node's local filesystems, each once however often it is
// mounted, and keeps in memory how they fill.
type Filesystems struct {
	fs       *FS
	hostRoot string
	measure  func([]mount) (usage, error)
	known    map[device]*measured
	forget   metric.Set
	timeouts atomic.Uint64
}

// measured is what is known of a filesystem from one Read to the next.
type measured struct {
	trend trend
	// asked brings the answer of a measurement that is under way; nil while none is.
	// There is never more than one, as one that hangs in the kernel can't be ended.
	asked chan answer
	until time.Time // the end of its quarantine
}

type answer struct {
	usage usage
	err   error
}

// usage is how full a filesystem is, in bytes. Without inodes the filesystem makes them as
// they are needed.
type usage struct {
	capacity, used, available uint64
	inodes, inodesFree        uint64
}

// NewFilesystems returns the filesystems that the agent can see. hostRoot is where the
// node's root filesystem is mounted, "/" for an agent that isn't in a container, "" if it
// isn't mounted.
func (fs *FS) NewFilesystems(hostRoot string) *Filesystems {
	f := &Filesystems{fs: fs, hostRoot: hostRoot, measure: measure, known: map[device]*measured{}}
	for id := metric.PerFilesystem.First(); id.Per() == metric.PerFilesystem; id++ {
		f.forget.Add(id)
	}
	return f
}

// Timeouts returns how often a filesystem didn't answer in time. Any goroutine may ask.
func (f *Filesystems) Timeouts() uint64 { return f.timeouts.Load() }

// Read puts the filesystems into the rows of s, and forgets those that are gone or didn't
// answer; it takes two seconds at most. A filesystem that didn't answer is left alone for
// five minutes. The error says which filesystems are missing, and why.
func (f *Filesystems) Read(s *metric.Sample) error {
	s.Forget(&f.forget)
	listed, err := f.fs.localFilesystems(f.hostRoot)
	if err != nil {
		return err
	}
	f.forgetUnmounted(listed)
	waiting := make([]*measured, len(listed))
	for i := range listed {
		waiting[i] = f.ask(&listed[i])
	}
	ctx, cancel := context.WithTimeout(context.Background(), statfsDeadline)
	defer cancel()
	var failed error
	for i, m := range waiting {
		if m == nil {
			continue
		}
		key := &listed[i].key
		got, ok := m.wait(ctx)
		switch {
		case !ok:
			m.until = time.Now().Add(quarantine)
			f.timeouts.Add(1)
			failed = errors.Join(failed, fmt.Errorf("%s on %s: no answer within %v; left alone for %v", key.Name, key.Mountpoint, statfsDeadline, quarantine))
		case got.err != nil:
			failed = errors.Join(failed, fmt.Errorf("%s on %s: %w", key.Name, key.Mountpoint, got.err))
		default:
			m.put(s, key, got.usage)
		}
	}
	return failed
}

// forgetUnmounted forgets the filesystems that aren't listed any more.
func (f *Filesystems) forgetUnmounted(listed []filesystem) {
	mounted := make(map[device]bool, len(listed))
	for i := range listed {
		mounted[device{listed[i].key.Major, listed[i].key.Minor}] = true
	}
	for d, m := range f.known {
		if !mounted[d] && !m.busy() {
			delete(f.known, d)
		}
	}
}

// ask starts to measure a filesystem, unless it is in quarantine: then it returns nil.
func (f *Filesystems) ask(fs *filesystem) *measured {
	d := device{fs.key.Major, fs.key.Minor}
	m := f.known[d]
	if m == nil {
		m = new(measured)
		f.known[d] = m
	}
	if m.busy() || time.Now().Before(m.until) {
		return nil
	}
	asked, mounts := make(chan answer, 1), fs.mounts
	m.asked = asked
	go func() {
		usage, err := f.measure(mounts)
		asked <- answer{usage, err}
	}()
	return m
}

// busy tells whether a measurement is still under way. An answer that came too late is
// thrown away.
func (m *measured) busy() bool {
	select {
	case <-m.asked:
		m.asked = nil
	default:
	}
	return m.asked != nil
}

// wait waits for the answer until ctx ends.
func (m *measured) wait(ctx context.Context) (got answer, ok bool) {
	select {
	case got = <-m.asked:
	case <-ctx.Done():
		select {
		case got = <-m.asked:
		default:
			return answer{}, false
		}
	}
	m.asked = nil
	return got, true
}

// put puts the usage into the row of s that has the key.
func (m *measured) put(s *metric.Sample, key *metric.Key, u usage) {
	m.trend.add(time.Now(), u.used)
	row := filesystemRow(s, key)
	s.PutRow(metric.FilesystemCapacity, row, u.capacity)
	s.PutRow(metric.FilesystemUsed, row, u.used)
	s.PutRow(metric.FilesystemAvailable, row, u.available)
	if u.inodes > 0 {
		s.PutRow(metric.FilesystemInodes, row, u.inodes)
		s.PutRow(metric.FilesystemInodesFree, row, u.inodesFree)
	}
	if left, ok := m.trend.fullIn(u.available); ok {
		s.PutRow(metric.FilesystemFullIn, row, uint64(left))
	}
}

func filesystemRow(s *metric.Sample, key *metric.Key) int {
	for row := range s.Rows(metric.PerFilesystem) {
		if *s.Key(metric.PerFilesystem, row) == *key {
			return row
		}
	}
	return s.AddRow(metric.PerFilesystem, *key)
}

// errCovered says that none of a filesystem's mounts can be reached.
var errCovered = errors.New("other filesystems are mounted over it")

// measure asks the filesystem by the first of its mounts that isn't covered by another
// one. It may hang for as long as the kernel likes.
func measure(mounts []mount) (usage, error) {
	failed := errCovered
	for _, m := range mounts {
		fd, err := unix.Open(m.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			failed = &os.PathError{Op: "open", Path: m.path, Err: err}
			continue
		}
		if covered(fd, m.id) {
			unix.Close(fd)
			continue
		}
		var st unix.Statfs_t
		err = unix.Fstatfs(fd, &st)
		unix.Close(fd)
		if err != nil {
			return usage{}, &os.PathError{Op: "statfs", Path: m.path, Err: err}
		}
		if st.Blocks == 0 || st.Bfree > st.Blocks {
			return usage{}, fmt.Errorf("%s: statfs says %d of %d blocks are free", m.path, st.Bfree, st.Blocks)
		}
		return usageOf(&st), nil
	}
	return usage{}, failed
}

// covered tells whether what was opened belongs to another mount than the one with the
// given id. Kernels before Linux 5.8 can't say; there it is taken not to.
func covered(fd, id int) bool {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st)
	return err == nil && st.Mask&unix.STATX_MNT_ID != 0 && st.Mnt_id != uint64(id)
}

// usageOf returns the numbers as df shows them: what is reserved for root is free, but not
// available.
func usageOf(st *unix.Statfs_t) usage {
	block := uint64(st.Frsize)
	return usage{
		capacity:   st.Blocks * block,
		used:       (st.Blocks - st.Bfree) * block,
		available:  st.Bavail * block,
		inodes:     st.Files,
		inodesFree: st.Ffree,
	}
}
