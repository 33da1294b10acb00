package cgroup

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// dirent is one entry of a directory. name is part of the buffer that it was read into.
type dirent struct {
	inode uint64
	kind  byte // unix.DT_DIR …
	name  []byte
}

// nextDirent cuts the first entry from what getdents64(2) filled in, in the machine's
// byte order:
//
//	u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, then d_name, NUL-terminated and padded
//
// ok is false at the end, and for what the kernel would not write.
func nextDirent(b []byte) (e dirent, rest []byte, ok bool) {
	const head = 19
	if len(b) < head {
		return dirent{}, nil, false
	}
	length := int(binary.NativeEndian.Uint16(b[16:]))
	if length < head || length > len(b) {
		return dirent{}, nil, false
	}
	name := b[head:length]
	end := bytes.IndexByte(name, 0)
	if end <= 0 {
		return dirent{}, nil, false
	}
	return dirent{binary.NativeEndian.Uint64(b), b[18], name[:end]}, b[length:], true
}

// readDirents reads the next entries of dir into buf and returns them: none at the end, and
// none if dir has been removed.
func readDirents(dir file, buf []byte) ([]byte, unix.Errno) {
	for {
		n, err := unix.ReadDirent(int(dir), buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ENOENT:
			return nil, 0
		case err != nil:
			return nil, toErrno(err)
		}
		return buf[:n], 0
	}
}

// isDir tells whether e is a directory other than "." and "..".
func (e *dirent) isDir() bool {
	return e.kind == unix.DT_DIR && string(e.name) != "." && string(e.name) != ".."
}
