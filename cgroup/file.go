package cgroup

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// file is a raw descriptor. An *os.File would be offered to the runtime's poller,
// which costs two more system calls at each open and puts thousands of files into one
// epoll set that never has news of them.
type file int32

// none is the descriptor of nothing.
const none file = -1

// cname is a file name with the NUL byte that the kernel wants, added once instead of
// at each open.
type cname string

func toCName(name string) cname { return cname(name + "\x00") }

// text returns the name without its NUL byte.
func (n cname) text() string { return string(n[:len(n)-1]) }

// scratchSize bounds what is read of one file. The longest file that real machines
// show, io.stat with hundreds of devices, stays below half of it.
const scratchSize = 64 << 10

// openat opens name below the directory f for reading; it doesn't follow a link, and
// doesn't wait for who would write into a FIFO.
func (f file) openat(name cname, flags int) (file, unix.Errno) {
	flags |= unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(f),
			uintptr(unsafe.Pointer(unsafe.StringData(string(name)))), uintptr(flags), 0, 0, 0)
		switch errno {
		case 0:
			return file(fd), 0
		case unix.EINTR:
		default:
			return none, errno
		}
	}
}

// openDir opens the directory path below f; "" is f itself.
func (f file) openDir(path cname) (file, unix.Errno) {
	if len(path) == 1 {
		path = ".\x00"
	}
	return f.openat(path, unix.O_DIRECTORY)
}

// read reads the file from its beginning into buf and returns how many bytes came.
// The kernel makes up the whole text of a cgroup file in one read if there is room
// for it; a buffer that is full therefore means EFBIG.
//
// A quick read is one that Go's scheduler isn't told of, for files that the kernel makes up
// from memory in no time. Told of a thousand calls in a row, the runtime's monitor thread
// looks every 20 µs whether one hangs, and at times takes the processor away from the loop
// in the middle of one. That cost a twentieth of the agent's CPU time, with 100 cgroups at
// 1 s. But while a quick read lasts no other goroutine runs, so it is never used for a
// filesystem that isn't the kernel's own, nor for a cgroup that was slow lately.
func (f file) read(buf []byte, quick bool) (int, unix.Errno) {
	for {
		var n uintptr
		var errno unix.Errno
		if quick {
			n, _, errno = unix.RawSyscall6(unix.SYS_PREAD64, uintptr(f),
				uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0, 0)
		} else {
			n, _, errno = unix.Syscall6(unix.SYS_PREAD64, uintptr(f),
				uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0, 0)
		}
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return 0, errno
		case int(n) == len(buf):
			return 0, unix.EFBIG
		default:
			return int(n), 0
		}
	}
}

// stat returns the inode number and the number of links of f.
func (f file) stat(st *unix.Stat_t) (inode, links uint64, errno unix.Errno) {
	if err := unix.Fstat(int(f), st); err != nil {
		return 0, 0, toErrno(err)
	}
	return st.Ino, uint64(st.Nlink), 0
}

// close closes f if it is open, and forgets it.
func (f *file) close() {
	if *f != none {
		unix.Close(int(*f))
		*f = none
	}
}

func toErrno(err error) unix.Errno {
	if errno, ok := err.(unix.Errno); ok {
		return errno
	}
	return unix.EIO
}
