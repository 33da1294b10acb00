package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// maxFile limits what is read of a runtime's record. The largest honest one has some
// ten kilobytes.
const maxFile = 4 << 20 // bytes

// errNotRegular refuses a FIFO, a device, a directory in a record's place.
var errNotRegular = errors.New("not a regular file")

// A dir is an open directory, good only to open what is in it. No link below it is
// followed: the records lie beside directories that containers write to.
type dir struct {
	fd   int
	path string // for errors
}

// openDir opens a directory by its path, which is the operator's and may be a link.
func openDir(path string) (dir, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return dir{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return dir{fd, path}, nil
}

// sub opens a directory in d.
func (d dir) sub(name string) (dir, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return dir{}, &fs.PathError{Op: "open", Path: d.path + "/" + name, Err: err}
	}
	return dir{fd, d.path + "/" + name}, nil
}

func (d dir) close() { unix.Close(d.fd) }

// stamp returns the version of the directory, another one when something came or went;
// zero if it can't be told.
func (d dir) stamp() stamp {
	var st unix.Stat_t
	if unix.Fstat(d.fd, &st) != nil {
		return stamp{}
	}
	return stampOf(&st)
}

// names returns what is in d, sorted.
func (d dir) names() ([]string, error) {
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	defer unix.Close(fd)
	var names []string
	buf := make([]byte, 4<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: d.path, Err: err}
		}
		if n == 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// A stamp tells versions of a file apart. A runtime replaces its records by rename, so
// a new version has another inode, mostly; the rest catches the inode that comes back.
type stamp struct {
	dev, inode   uint64
	size         int64
	mtime, ctime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// time returns when the file was written, zero for the zero stamp.
func (s stamp) time() time.Time {
	if s == (stamp{}) {
		return time.Time{}
	}
	return time.Unix(s.mtime.Unix()).UTC()
}

// A file is an open regular file.
type file struct {
	fd    int
	stamp stamp
	dir   string // for errors
	name  string
}

// file opens a regular file in d for reading, without ever waiting: a FIFO that nobody
// writes to would hold an open(2) forever.
func (d dir) file(name string) (file, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(d.fd, name, flags, 0)
	if err != nil {
		if err == unix.ELOOP || err == unix.ENXIO { // a link; a socket or a device without a driver
			return file{}, &fs.PathError{Op: "open", Path: d.path + "/" + name, Err: errNotRegular}
		}
		return file{}, &fs.PathError{Op: "open", Path: d.path + "/" + name, Err: err}
	}
	f := file{fd: fd, dir: d.path, name: name}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotRegular
	}
	if err != nil {
		f.close()
		return file{}, &fs.PathError{Op: "open", Path: f.path(), Err: err}
	}
	f.stamp = stampOf(&st)
	return f, nil
}

func (f file) path() string { return f.dir + "/" + f.name }

func (f file) close() { unix.Close(f.fd) }

// read returns the file's contents. They may hold secrets: the caller clears them.
func (f file) read() ([]byte, error) {
	if f.stamp.size > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that are read of it", f.path(), f.stamp.size, maxFile)
	}
	b := make([]byte, f.stamp.size)
	n := 0
	for n < len(b) {
		m, err := unix.Read(f.fd, b[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			clear(b)
			return nil, &fs.PathError{Op: "read", Path: f.path(), Err: err}
		}
		if m == 0 {
			break
		}
		n += m
	}
	return b[:n], nil
}
