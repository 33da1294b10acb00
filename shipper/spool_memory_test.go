package shipper

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// memoryDisk is a disk in memory that can be crashed: what comes back after that is what
// was synced, and of the rest a random part. It answers the spool's calls as Linux does
// to whoever plays by the rules that the spool keeps: it knows no links, no permissions,
// and follows a path where the kernel follows a descriptor.
//
// It is thin: the files are those of Pebble's vfs, whose crashes are used to find that
// database's faults. vfs brings back each name whose removal wasn't synced; crash also
// lets some of them stay away.
type memoryDisk struct {
	fs    *vfs.MemFS
	files []memoryFile // by descriptor
	lock  string       // a real file, to be locked in place of the spool's
	clock time.Time

	// before is called with each call that changes something, ahead of it, and with the
	// name that it is about. An error that it returns is that call's answer.
	before func(call, name string) error
	// blocks is the size of the disk in blocks of 4096 bytes, used by a name or not;
	// ballast is what others have of it.
	blocks, ballast int64
}

// memoryFile is an open file of a memoryDisk.
type memoryFile struct {
	vfs.File
	path   string
	unread []string // names that getdents has yet to tell
}

// newMemoryDisk returns an empty disk. lock is the path of a file for the spool's lock.
func newMemoryDisk(lock string) *memoryDisk {
	d := &memoryDisk{
		fs:     vfs.NewCrashableMem(),
		lock:   lock,
		clock:  time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		blocks: 1 << 20,
	}
	// The parent of the spool is older than the agent.
	d.fs.MkdirAll("/var", 0o700)
	d.syncDir("/")
	return d
}

// overwrite makes a file hold something else, and leaves it synced.
func (d *memoryDisk) overwrite(name string, content []byte) error {
	f, err := d.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(slices.Clone(content)) // with -race, vfs spoils what it was given
	err = errors.Join(err, f.Sync(), f.Close())
	d.syncDir(path.Dir(name))
	return err
}

func (d *memoryDisk) syncDir(path string) {
	f, err := d.fs.OpenDir(path)
	if err != nil {
		panic(err)
	}
	f.Sync()
	f.Close()
}

// crash returns the disk as it is found after the power came back: kept percent of what
// wasn't synced is there.
func (d *memoryDisk) crash(random *rand.Rand, kept int) *memoryDisk {
	after := &memoryDisk{
		fs:   d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: random}),
		lock: d.lock, clock: d.clock, blocks: d.blocks, ballast: d.ballast,
	}
	for _, dir := range []string{path.Join(memorySpool, liveDir), path.Join(memorySpool, deadDir)} {
		now, err := d.fs.List(dir)
		if err != nil {
			continue
		}
		slices.Sort(now)
		came, err := after.fs.List(dir)
		if err != nil {
			continue
		}
		slices.Sort(came) // so that the random numbers meet the same names in each run
		for _, name := range came {
			if _, there := slices.BinarySearch(now, name); !there && random.IntN(100) < kept {
				after.fs.Remove(path.Join(dir, name))
			}
		}
		after.syncDir(dir)
	}
	return after
}

// memorySpool is where the spool is on a memoryDisk.
const memorySpool = "/var/spool"

// calls returns the disk's answers in place of the kernel's.
func (d *memoryDisk) calls() *calls {
	return &calls{
		mkdir: d.mkdir, openat: d.openat, close: d.close, read: d.read, write: d.write,
		fsync: d.fsync, fstat: d.fstat, fstatat: d.fstatat, fstatfs: d.fstatfs,
		getdents: d.getdents, renameat: d.renameat, unlinkat: d.unlinkat,
		lock: func(_ string, options ...flock.Option) *flock.Flock { return flock.New(d.lock, options...) },
		now:  func() time.Time { return d.clock },
	}
}

// changes asks whoever watches, before something is changed.
func (d *memoryDisk) changes(call, name string) error {
	if d.before == nil {
		return nil
	}
	return d.before(call, path.Base(name))
}

func (d *memoryDisk) path(dir int, name string) string {
	if dir == unix.AT_FDCWD {
		return name
	}
	return path.Join(d.files[dir].path, name)
}

// errno returns the kernel's error for one of vfs.
func errno(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return unix.ENOENT
	}
	panic(err) // nothing else is to be expected
}

func (d *memoryDisk) mkdir(path string, _ uint32) error {
	if err := d.changes("mkdir", path); err != nil {
		return err
	}
	if _, err := d.fs.Stat(path); err == nil {
		return unix.EEXIST
	}
	return errno(d.fs.MkdirAll(path, 0o700))
}

func (d *memoryDisk) openat(dir int, name string, flags int, _ uint32) (int, error) {
	path := d.path(dir, name)
	if flags&unix.O_CREAT != 0 {
		if err := d.changes("create", path); err != nil {
			return -1, err
		}
		if _, err := d.fs.Stat(path); err == nil {
			return -1, unix.EEXIST
		}
		if d.free() <= 0 {
			return -1, unix.ENOSPC
		}
		f, err := d.fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return -1, errno(err)
		}
		return d.opened(memoryFile{File: f, path: path}), nil
	}
	f, err := d.fs.Open(path)
	if err != nil {
		return -1, errno(err)
	}
	st, err := f.Stat()
	if err != nil {
		return -1, errno(err)
	}
	if flags&unix.O_DIRECTORY != 0 && !st.IsDir() {
		f.Close()
		return -1, unix.ENOTDIR
	}
	opened := memoryFile{File: f, path: path}
	if st.IsDir() {
		opened.unread, err = d.fs.List(path)
		if err != nil {
			return -1, errno(err)
		}
		slices.Sort(opened.unread)
	}
	return d.opened(opened), nil
}

func (d *memoryDisk) opened(f memoryFile) int {
	for fd := range d.files {
		if d.files[fd].File == nil {
			d.files[fd] = f
			return fd
		}
	}
	d.files = append(d.files, f)
	return len(d.files) - 1
}

func (d *memoryDisk) close(fd int) error {
	err := d.files[fd].Close()
	d.files[fd] = memoryFile{}
	return errno(err)
}

func (d *memoryDisk) read(fd int, p []byte) (int, error) {
	n, err := d.files[fd].Read(p)
	if err == io.EOF {
		err = nil
	}
	return n, errno(err)
}

func (d *memoryDisk) write(fd int, p []byte) (int, error) {
	if err := d.changes("write", d.files[fd].path); err != nil {
		return 0, err
	}
	if d.free() < blocksOf(len(p)) {
		return 0, unix.ENOSPC
	}
	n, err := d.files[fd].Write(slices.Clone(p)) // see overwrite
	return n, errno(err)
}

func (d *memoryDisk) fsync(fd int) error {
	if err := d.changes("fsync", d.files[fd].path); err != nil {
		return err
	}
	return errno(d.files[fd].Sync())
}

func (d *memoryDisk) fstat(fd int, st *unix.Stat_t) error {
	info, err := d.files[fd].Stat()
	if err != nil {
		return errno(err)
	}
	describe(info, st)
	return nil
}

func (d *memoryDisk) fstatat(dir int, name string, st *unix.Stat_t, _ int) error {
	info, err := d.fs.Stat(d.path(dir, name))
	if err != nil {
		return errno(err)
	}
	describe(info, st)
	return nil
}

func describe(info vfs.FileInfo, st *unix.Stat_t) {
	*st = unix.Stat_t{Mode: unix.S_IFREG | 0o600, Uid: uint32(os.Geteuid()), Size: info.Size(), Blocks: blocksOf(int(info.Size())) * 8}
	if info.IsDir() {
		st.Mode = unix.S_IFDIR | 0o700
	}
}

// blocksOf returns the blocks of 4096 bytes that a file of that size takes.
func blocksOf(size int) int64 { return int64(size+4095) / 4096 }

// free returns how many blocks are free.
func (d *memoryDisk) free() int64 {
	left := d.blocks - d.ballast
	for _, dir := range []string{liveDir, deadDir} {
		names, err := d.fs.List(path.Join(memorySpool, dir))
		if err != nil {
			continue
		}
		left -= int64(len(names)) // a block each: the disks that get full have no longer files
	}
	return left
}

func (d *memoryDisk) fstatfs(_ int, st *unix.Statfs_t) error {
	*st = unix.Statfs_t{Bsize: 4096, Blocks: uint64(d.blocks), Bavail: uint64(max(d.free(), 0))}
	return nil
}

func (d *memoryDisk) getdents(fd int, p []byte) (n int, err error) {
	f := &d.files[fd]
	for len(f.unread) > 0 {
		name := f.unread[0]
		const header = 8 + 8 + 2 + 1 // inode, offset, length and type
		length := (header + len(name) + 1 + 7) &^ 7
		if n+length > len(p) {
			break
		}
		record := p[n : n+length]
		clear(record)
		binary.NativeEndian.PutUint64(record, 1)
		binary.NativeEndian.PutUint16(record[16:], uint16(length))
		copy(record[header:], name)
		n += length
		f.unread = f.unread[1:]
	}
	return n, nil
}

func (d *memoryDisk) renameat(fromDir int, from string, toDir int, to string) error {
	if err := d.changes("rename", from); err != nil {
		return err
	}
	return errno(d.fs.Rename(d.path(fromDir, from), d.path(toDir, to)))
}

func (d *memoryDisk) unlinkat(dir int, name string, _ int) error {
	if err := d.changes("unlink", name); err != nil {
		return err
	}
	return errno(d.fs.Remove(d.path(dir, name)))
}
