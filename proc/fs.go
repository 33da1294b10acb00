package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process ended.
var ErrGone = errors.New("process is gone")

// FS is a procfs.
type FS struct {
	root string // immutable
	dir  int    // O_PATH descriptor of root, immutable until Close

	// The block devices' names, replaced as a whole; see devices.go.
	devices    atomic.Pointer[map[device]string]
	refreshing sync.Mutex // guards refreshed
	refreshed  time.Time
}

// Open returns the procfs mounted at root.
func Open(root string) (*FS, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	lacks := root
	if err == nil {
		lacks = root + "/stat"
		if err = unix.Faccessat(dir, "stat", unix.R_OK, 0); err != nil {
			unix.Close(dir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; mount the node's /proc there, or name the place where it is mounted", lacks, err)
	}
	return &FS{root: root, dir: dir}, nil
}

// Close closes fs. What was opened from it stays usable.
func (fs *FS) Close() error { return unix.Close(fs.dir) }

// Self returns the agent's own process id in the PID namespace of the procfs, which is
// the node's and not the agent's own when the node's /proc is mounted.
func (fs *FS) Self() (int, error) {
	buf := make([]byte, 20)
	n, err := unix.Readlinkat(fs.dir, "self", buf)
	if err != nil {
		return 0, &os.PathError{Op: "readlink", Path: fs.path("self"), Err: err}
	}
	pid, err := strconv.Atoi(string(buf[:n]))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", fs.path("self"), err)
	}
	return pid, nil
}

// path returns the full name of a file of fs, for errors.
func (fs *FS) path(name string) string { return fs.root + "/" + name }

// open opens a file or directory of fs.
func (fs *FS) open(name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(fs.dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			return fd, nil
		case unix.EINTR:
		default:
			return -1, &os.PathError{Op: "open", Path: fs.path(name), Err: err}
		}
	}
}

// read returns the whole text of a file of fs, for what is read seldom.
func (fs *FS) read(name string) ([]byte, error) {
	fd, err := fs.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	text, err := readAll(fd, nil)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: fs.path(name), Err: err}
	}
	return text, nil
}

// pidDir returns the name of the directory of a process.
func pidDir(pid int) string { return strconv.Itoa(pid) }

// gone tells whether err is how procfs says that a process ended: ENOENT while it is a
// zombie, and for a new lookup; ESRCH below a directory that is kept open.
func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

// initialPIDNamespace is the inode number of the machine's PID namespace
// (PROC_PID_INIT_INO, include/linux/proc_ns.h).
const initialPIDNamespace = 0xEFFFFFFC

// inInitialPIDs tells whether the agent is in the machine's PID namespace.
func (fs *FS) inInitialPIDs() bool {
	var pids unix.Stat_t
	return unix.Stat(fs.path("self/ns/pid"), &pids) == nil && pids.Ino == initialPIDNamespace
}

// Private tells whether the procfs shows no more than a PID namespace that isn't the
// machine's, as a container's own /proc does: the agent has the number there that it has
// for itself.
func (fs *FS) Private() bool {
	self, err := fs.Self()
	return err == nil && self == os.Getpid() && !fs.inInitialPIDs()
}

// OwnRoot tells whether the root directory of the agent is that of the machine's first
// process: then the agent isn't in a container. Where it can't look, it is taken to be in
// one, and so it is in a PID namespace of its own, whose first process is another.
func (fs *FS) OwnRoot() bool {
	var first, own unix.Stat_t
	return fs.inInitialPIDs() &&
		unix.Stat(fs.path("1/root"), &first) == nil && unix.Stat("/", &own) == nil &&
		first.Dev == own.Dev && first.Ino == own.Ino
}
