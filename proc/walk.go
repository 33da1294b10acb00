package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Space is what a tree of files takes on its filesystem, counted as "du -sx" counts it:
// what lies on other filesystems is left out, and a file with several names counts once.
type Space struct {
	// Bytes are allocated, not apparent: the holes of a sparse file take none.
	Bytes uint64
	// Inodes counts files and directories, the tree's root included.
	Inodes uint64
	// Major and Minor number the device below the filesystem.
	Major, Minor uint32
}

const (
	// workSlice is for how long a Walker works at once, and restPerWork how much longer
	// it rests then: together with being woken, which takes a sixth of that again, it is
	// a twentieth of one core at most, and of the disk's time as well, because what
	// counts is the time that passes. A short slice, because the sampling loop may have
	// to wait for its end.
	workSlice   = time.Millisecond
	restPerWork = 24
	// paceEvery is how many files are looked at between two looks at the clock.
	paceEvery = 16

	// maxDepth and maxLinked bound what a walk takes in descriptors and in memory,
	// whatever a container makes: 128 descriptors and 8 KiB for each, and 5 MiB
	// for files with several names (BenchmarkLinked).
	maxDepth  = 128
	maxLinked = 1 << 17
	// direntBuffer holds some 250 entries of a directory.
	direntBuffer = 8 << 10
	// keptFrames are the levels whose memory is kept for the next walk, keptLinked the
	// files.
	keptFrames = 16
	keptLinked = 1 << 10
)

// Why a tree isn't counted, though it can be read.
var (
	errTooDeep   = fmt.Errorf("directories lie deeper than %d levels", maxDepth)
	errTooLinked = fmt.Errorf("more than %d files have several names", maxLinked)
)

// A Walker counts trees of files, one at a time and slowly: it works for a millisecond and
// rests for twenty-four, and the disk serves it when nobody else wants anything (I/O priority
// "idle", where the scheduler knows priorities: bfq, mq-deadline). Trees may be written to
// by whoever likes to mislead it: it goes from directory to directory by descriptors,
// follows no link, crosses no mount, and takes bounded memory.
//
// It needs statx(2), which Linux 4.11 has. Walk is for one goroutine at a time; Work may be
// asked by any.
type Walker struct {
	frames []frame
	linked map[uint64]struct{} // inodes of files with several names that were counted
	rest   func(context.Context, time.Duration) error

	began time.Time     // of the work since the last rest
	debt  time.Duration // work of earlier walks for which there was no rest yet
	ended time.Time     // of the last walk
	until int           // files to look at before the next look at the clock

	worked atomic.Int64 // ns
	looked atomic.Int64
}

// frame is a directory that is being read.
type frame struct {
	fd     int
	buffer []byte // direntBuffer
	rest   []byte // the entries that weren't looked at yet, part of buffer
}

// NewWalker returns a Walker.
func NewWalker() *Walker {
	return &Walker{linked: map[uint64]struct{}{}, rest: rest}
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Work returns how long the Walker has worked in all its walks, and how many files and
// directories it has counted.
func (w *Walker) Work() (time.Duration, int64) {
	return time.Duration(w.worked.Load()), w.looked.Load()
}

// Walk counts the tree whose root is open as dir, which may be an O_PATH descriptor and
// stays the caller's. What vanishes while it is counted is left out. The error says why
// there is no number, without the names of files; fs.ErrPermission is one that a
// capability mends.
func (w *Walker) Walk(ctx context.Context, dir int) (Space, error) {
	defer lowerPriority()()
	w.begin()
	defer w.end()

	var st unix.Statx_t
	root, err := openDirAt(dir, unsafe.StringData(".\x00"), &st)
	if err != nil {
		return Space{}, err
	}
	if err := w.push(0, root); err != nil {
		return Space{}, err
	}
	space := Space{Major: st.Dev_major, Minor: st.Dev_minor}
	space.add(&st)
	mount := mountIDOf(&st)
	for depth := 0; depth >= 0; {
		if err := w.pace(ctx); err != nil {
			w.closeFrames(depth)
			return Space{}, err
		}
		f := &w.frames[depth]
		name, err := f.next()
		switch {
		case err != nil:
			w.closeFrames(depth)
			return Space{}, err
		case name == nil:
			unix.Close(f.fd)
			depth--
			continue
		}
		if err := w.look(f.fd, name, mount, &space, &depth); err != nil {
			w.closeFrames(depth)
			return Space{}, err
		}
	}
	w.looked.Add(int64(space.Inodes))
	return space, nil
}

// look counts what name is in the directory fd. It goes one level deeper if that is a
// directory.
func (w *Walker) look(fd int, name *byte, root mountID, space *Space, depth *int) error {
	var st unix.Statx_t
	switch err := statAt(fd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, &st); {
	case vanished(err):
		return nil
	case err != nil:
		return &os.SyscallError{Syscall: "statx", Err: err}
	case mountIDOf(&st) != root:
		return nil
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		if st.Nlink > 1 {
			if _, counted := w.linked[st.Ino]; counted {
				return nil
			}
			if len(w.linked) >= maxLinked {
				return errTooLinked
			}
			w.linked[st.Ino] = struct{}{}
		}
		space.add(&st)
		return nil
	}
	// It may have become another directory, or a link: what was opened counts.
	sub, err := openDirAt(fd, name, &st)
	switch {
	case vanished(err):
		return nil
	case err != nil:
		return err
	case mountIDOf(&st) != root:
		unix.Close(sub)
		return nil
	}
	space.add(&st)
	if err := w.push(*depth+1, sub); err != nil {
		return err
	}
	*depth++
	return nil
}

func (s *Space) add(st *unix.Statx_t) {
	const block = 512 // whatever the filesystem's own is (stat(2))
	s.Bytes += st.Blocks * block
	s.Inodes++
}

// push makes fd, which becomes the Walker's, the directory at the given depth.
func (w *Walker) push(depth, fd int) error {
	if depth >= maxDepth {
		unix.Close(fd)
		return errTooDeep
	}
	if depth == len(w.frames) {
		w.frames = append(w.frames, frame{buffer: make([]byte, direntBuffer)})
	}
	f := &w.frames[depth]
	f.fd, f.rest = fd, nil
	return nil
}

func (w *Walker) closeFrames(depth int) {
	for ; depth >= 0; depth-- {
		unix.Close(w.frames[depth].fd)
	}
}

// next returns the NUL-terminated name of the next entry, nil at the end. It is part of the
// buffer. See getdents64(2):
//
//	u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, then d_name, NUL-terminated and padded
func (f *frame) next() (name *byte, err error) {
	const head = 19
	for {
		for len(f.rest) > head {
			entry := f.rest
			length := int(binary.NativeEndian.Uint16(entry[16:]))
			if length <= head || length > len(entry) {
				return nil, errors.New("a directory makes no sense")
			}
			f.rest = entry[length:]
			if text := entry[head:length]; text[0] == '.' && (text[1] == 0 || text[1] == '.' && text[2] == 0) {
				continue
			}
			return &entry[head], nil
		}
		n, err := unix.Getdents(f.fd, f.buffer)
		switch {
		case err == unix.EINTR:
		case vanished(err): // removed
			return nil, nil
		case err != nil:
			return nil, &os.SyscallError{Syscall: "getdents64", Err: err}
		case n == 0:
			return nil, nil
		default:
			f.rest = f.buffer[:n]
		}
	}
}

// mountID tells mounts apart: by the filesystem's device and, since Linux 5.8, by the
// kernel's id of the mount, which also tells a bind mount of the same filesystem.
type mountID struct {
	major, minor uint32
	id           uint64
}

func mountIDOf(st *unix.Statx_t) mountID {
	m := mountID{major: st.Dev_major, minor: st.Dev_minor}
	if st.Mask&unix.STATX_MNT_ID != 0 {
		m.id = st.Mnt_id
	}
	return m
}

// vanished tells whether err says that what a directory had a moment ago is gone, or has
// become something else.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ESTALE)
}

// openDirAt opens the directory name in dir for reading, and tells what it is. It isn't
// marked as read: on a disk that is mounted writable that would be a write.
func openDirAt(dir int, name *byte, st *unix.Statx_t) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := openAt(dir, name, flags|unix.O_NOATIME)
	if err == unix.EPERM { // another user's
		fd, err = openAt(dir, name, flags)
	}
	if err != nil {
		return -1, &os.SyscallError{Syscall: "openat", Err: err}
	}
	if err := statAt(fd, unsafe.StringData("\x00"), unix.AT_EMPTY_PATH, st); err != nil {
		unix.Close(fd)
		return -1, &os.SyscallError{Syscall: "statx", Err: err}
	}
	return fd, nil
}

// openAt and statAt are the system calls without a copy of the name. Neither asks a
// network filesystem's server for what it has in memory.

func openAt(dir int, name *byte, flags int) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(flags), 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

func statAt(dir int, name *byte, flags int, st *unix.Statx_t) error {
	const mask = unix.STATX_TYPE | unix.STATX_NLINK | unix.STATX_INO | unix.STATX_BLOCKS | unix.STATX_MNT_ID
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(name)),
		uintptr(flags|unix.AT_STATX_DONT_SYNC), mask, uintptr(unsafe.Pointer(st)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// begin starts the clock. Time that passed since the last walk counts as rest.
func (w *Walker) begin() {
	w.began = time.Now()
	if w.began.Sub(w.ended) >= w.debt*restPerWork {
		w.debt = 0
	}
	w.until = paceEvery
}

// end stops the clock, and gives back memory that a usual tree doesn't need.
func (w *Walker) end() {
	w.ended = time.Now()
	work := w.ended.Sub(w.began)
	w.worked.Add(int64(work))
	w.debt += work
	if len(w.frames) > keptFrames {
		clear(w.frames[keptFrames:])
		w.frames = w.frames[:keptFrames]
	}
	if len(w.linked) > keptLinked {
		w.linked = map[uint64]struct{}{}
	}
	clear(w.linked)
}

// pace rests when it is time to.
func (w *Walker) pace(ctx context.Context) error {
	if w.until--; w.until > 0 {
		return nil
	}
	w.until = paceEvery
	work := time.Since(w.began)
	if w.debt+work < workSlice {
		return ctx.Err()
	}
	w.worked.Add(int64(work))
	err := w.rest(ctx, (w.debt+work)*restPerWork)
	w.debt, w.began = 0, time.Now()
	return err
}

// lowerPriority makes the disk serve this goroutine last, until the returned function is
// called. A kernel or a sandbox that refuses that costs nothing else.
func lowerPriority() (restore func()) {
	const (
		process = 1 // IOPRIO_WHO_PROCESS, which is a thread; 0 for the caller's
		idle    = 3 << 13
	)
	runtime.LockOSThread()
	before, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, process, 0, 0)
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_IOPRIO_SET, process, 0, idle)
	}
	return func() {
		if errno == 0 {
			unix.Syscall(unix.SYS_IOPRIO_SET, process, 0, before)
		}
		runtime.UnlockOSThread()
	}
}
