package shipper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// calls are all the calls that a spool makes of the system. Tests put others in their
// place: of a file system in memory that forgets at a power cut what wasn't synced, and
// such that fail. A table of functions rather than an interface, because the kernel's are
// functions already, and a test replaces one of them and leaves the others.
type calls struct {
	mkdir    func(path string, mode uint32) error
	openat   func(dir int, name string, flags int, mode uint32) (fd int, err error)
	close    func(fd int) error
	read     func(fd int, p []byte) (n int, err error)
	write    func(fd int, p []byte) (n int, err error)
	fsync    func(fd int) error
	fstat    func(fd int, st *unix.Stat_t) error
	fstatat  func(dir int, name string, st *unix.Stat_t, flags int) error
	fstatfs  func(fd int, st *unix.Statfs_t) error
	getdents func(fd int, p []byte) (n int, err error)
	renameat func(fromDir int, from string, toDir int, to string) error
	unlinkat func(dir int, name string, flags int) error
	lock     func(path string, options ...flock.Option) *flock.Flock
	now      func() time.Time
}

// kernel returns the real ones.
func kernel() *calls {
	return &calls{
		mkdir: unix.Mkdir, openat: unix.Openat, close: unix.Close,
		read: unix.Read, write: unix.Write, fsync: unix.Fsync,
		fstat: unix.Fstat, fstatat: unix.Fstatat, fstatfs: unix.Fstatfs, getdents: unix.ReadDirent,
		renameat: unix.Renameat, unlinkat: unix.Unlinkat,
		lock: flock.New, now: time.Now,
	}
}

// directory is one directory of the spool, held open. All that the spool does to a file
// system is in this file, relative to the open directory and to names without a slash:
// nothing is ever followed out of it.
//
// Plain system calls rather than google/renameio: the directory has to be synced too, the
// blocks that the file takes have to be known, no descriptor may be synced again after
// an error, and whether a failure came before or after the rename matters. That is
// everything that renameio does.
//
// Its methods may be called at once.
type directory struct {
	sys  *calls
	fd   int
	path string
	// device and inode are its identity, as long as it is open.
	device, inode uint64
	owner         uint32
	// anchored tells that the directory outlives a power cut.
	anchored atomic.Bool
}

// openDirectory opens the directory and makes it if it isn't there, readable to its
// owner only. Whoever can write to it can have the agent send what he likes, so a link in
// place of the directory is refused, one that everybody may write to, and one that belongs
// to another user than the agent's own or root.
func openDirectory(sys *calls, path string) (*directory, error) {
	if err := sys.mkdir(path, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	fd, err := sys.openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	d := &directory{sys: sys, fd: fd, path: path}
	var st unix.Stat_t
	if err := sys.fstat(fd, &st); err != nil {
		d.close()
		return nil, d.wrap("stat", ".", err)
	}
	if st.Mode&0o002 != 0 {
		d.close()
		return nil, fmt.Errorf("%s is writable for everybody: chmod 700 it", path)
	}
	if own := uint32(os.Geteuid()); st.Uid != own && st.Uid != 0 && !networked(d.kind()) {
		d.close()
		return nil, fmt.Errorf("%s belongs to user %d, the agent is user %d: chown it", path, st.Uid, own)
	}
	d.device, d.inode, d.owner = st.Dev, st.Ino, st.Uid
	return d, nil
}

// kind returns the magic number of the directory's file system, 0 if it can't be found out.
func (d *directory) kind() uint32 {
	var st unix.Statfs_t
	if d.sys.fstatfs(d.fd, &st) != nil {
		return 0
	}
	return uint32(st.Type)
}

// networked tells that files are a server's, which may give them other owners than who made
// them.
func networked(kind uint32) bool {
	switch kind {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return true
	}
	return false
}

// doubts are what an operator should know of the directory as a place for a spool, though
// it can be used.
func (d *directory) doubts() (all []string) {
	var st unix.Stat_t
	if d.sys.fstat(d.fd, &st) == nil && st.Mode&0o020 != 0 {
		all = append(all, "a group may write to it, and so have the agent send what it likes: chmod g-w it")
	}
	switch kind := d.kind(); {
	case kind == unix.TMPFS_MAGIC || kind == unix.RAMFS_MAGIC:
		all = append(all, "it is in memory and goes with the machine's next start: give the agent a directory on a disk")
	case kind == unix.OVERLAYFS_SUPER_MAGIC:
		all = append(all, "it is in the container's own layer and goes with the container: mount a volume")
	case networked(kind):
		all = append(all, "it is on a network file system, which may hang and forget locks: give the agent a local disk")
	}
	return all
}

// inPlace tells that the directory's path still leads to it, as far as can be found out: a
// disk that fails has lost nothing yet.
func (d *directory) inPlace() bool {
	var st unix.Stat_t
	err := d.sys.fstatat(unix.AT_FDCWD, d.path, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR)
	}
	return st.Dev == d.device && st.Ino == d.inode
}

func (d *directory) close() { d.sys.close(d.fd) }

func (d *directory) wrap(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: d.path + "/" + name, Err: err}
}

// anchor syncs the names by which the directory is found, its own and its parent's: a
// directory that was made a moment ago would go with a power cut, and with it all that was
// synced in it.
func (d *directory) anchor() error {
	for _, path := range [...]string{"..", "../.."} {
		fd, err := d.sys.openat(d.fd, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EACCES) {
			continue // older than the agent, or made by somebody with other rights
		}
		if err == nil {
			err = d.sys.fsync(fd)
			d.sys.close(fd)
		}
		if err != nil {
			return d.wrap("sync", path, err)
		}
	}
	d.anchored.Store(true)
	return nil
}

// publish writes the file name in one step that a crash can't halve: a new file under the
// hidden name temp, synced, renamed, the directory synced. It returns the bytes that the
// file occupies on disk. After an error the file may or may not be there under its name,
// but under none of the two names is half of it; the descriptor is never used again,
// because after a failed fsync the kernel takes the lost pages for clean.
func (d *directory) publish(temp, name string, body []byte) (allocated int64, err error) {
	if !d.anchored.Load() {
		if err := d.anchor(); err != nil {
			return 0, err
		}
	}
	fd, err := d.sys.openat(d.fd, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return 0, d.wrap("create", temp, err)
	}
	var st unix.Stat_t
	err = d.writeAll(fd, body)
	if err == nil {
		err = d.sys.fsync(fd)
	}
	if err == nil {
		err = d.sys.fstat(fd, &st)
	}
	if cerr := d.sys.close(fd); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.sys.renameat(d.fd, temp, d.fd, name)
	}
	if err != nil {
		d.sys.unlinkat(d.fd, temp, 0) // what this can't remove, the next start does
		return 0, d.wrap("write", name, err)
	}
	if err := d.sys.fsync(d.fd); err != nil {
		return 0, d.wrap("sync the directory of", name, err)
	}
	return st.Blocks * 512, nil
}

func (d *directory) writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := d.sys.write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// read appends the content of the file to dst. It neither follows a link nor waits for
// the writer of a FIFO, and refuses what isn't a regular file.
func (d *directory) read(name string, dst []byte) ([]byte, error) {
	fd, err := d.sys.openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return dst, d.wrap("open", name, err)
	}
	defer d.sys.close(fd)
	var st unix.Stat_t
	if err := d.sys.fstat(fd, &st); err != nil {
		return dst, d.wrap("stat", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return dst, d.wrap("read", name, errDamaged)
	}
	if st.Size > maxStored {
		return dst, d.wrap("read", name, errDamaged)
	}
	start := len(dst)
	dst = append(dst, make([]byte, st.Size)...)
	for at := start; at < len(dst); {
		n, err := d.sys.read(fd, dst[at:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return dst[:start], d.wrap("read", name, err)
		}
		if n == 0 {
			return dst[:at], nil
		}
		at += n
	}
	return dst, nil
}

// remove unlinks the file. Nothing is synced: a file that comes back after a power cut
// is sent once more, which its _ids make harmless.
func (d *directory) remove(name string) error {
	if err := d.sys.unlinkat(d.fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return d.wrap("remove", name, err)
	}
	return nil
}

// move renames the file into the directory to, under the name as.
func (d *directory) move(name string, to *directory, as string) error {
	if err := d.sys.renameat(d.fd, name, to.fd, as); err != nil {
		return d.wrap("move", name, err)
	}
	return nil
}

// own returns how many bytes of the disk the file takes; ok is false for what can't come
// from an earlier run: what isn't a regular file, or belongs to somebody else than the agent
// and the owner of the directory. What is root's is somebody else's, to an agent that isn't.
func (d *directory) own(name string) (allocated int64, ok bool) {
	var st unix.Stat_t
	if d.sys.fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, false
	}
	return st.Blocks * 512, st.Uid == uint32(os.Geteuid()) || st.Uid == d.owner && d.owner != 0
}

// list calls f with the name of each entry. It looks at nothing but names, so that millions
// of entries that aren't the agent's cost little.
func (d *directory) list(f func(name string)) error {
	fd, err := d.sys.openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return d.wrap("open", ".", err)
	}
	defer d.sys.close(fd)
	var names []string
	for buf := make([]byte, 8<<10); ; {
		n, err := d.sys.getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return d.wrap("list", ".", err)
		}
		if n == 0 {
			return nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		for _, name := range names {
			f(name)
		}
	}
}

// removeUnfinished removes the file if it has the name of one that publish hasn't come to
// rename, and reports whether it has.
func (d *directory) removeUnfinished(name string, log *zap.Logger) bool {
	stem, hidden := strings.CutPrefix(name, ".")
	if !hidden {
		return false
	}
	_, err := strconv.ParseUint(stem, 10, 64)
	if _, ok := parseBatchName(stem); !ok && err != nil {
		return false
	}
	if _, ok := d.own(name); !ok {
		return false
	}
	if err := d.remove(name); err != nil {
		log.Warn("spool: an unfinished file stays", zap.Error(err))
	}
	return true
}

// free returns how much of the file system is left for the spool, and its size, in bytes.
func (d *directory) free() (free, size int64, err error) {
	var st unix.Statfs_t
	if err := d.sys.fstatfs(d.fd, &st); err != nil {
		return 0, 0, d.wrap("statfs", ".", err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// fullDisk tells that the error goes away when something is deleted.
func fullDisk(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// spoolRemedy says what a person does about a disk that doesn't take batches.
func spoolRemedy(err error) string {
	switch {
	case fullDisk(err) || errors.Is(err, errNoRoom):
		return "make room on the disk below the spool"
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return "mount a volume that the agent may write to where -spool-dir says, or name another folder there"
	}
	return "the kernel's log (dmesg) says what is wrong with the disk"
}

// damaged tells that what is under the name of a batch will never be that batch again:
// it is gone, isn't a file, or holds something else.
func damaged(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP)
}
