package cgroup

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// AppendPids appends the processes of the cgroup at path and of all cgroups below it, the
// lowest first, and returns the extended slice. It returns ErrGone if the cgroup doesn't
// exist. Pids are as those of Reader.AppendPids. It is for the background: it opens every
// cgroup anew and allocates, and any goroutine may call it.
func (h *Hierarchy) AppendPids(dst []int, path string) ([]int, error) {
	name, err := relative(path)
	if err != nil {
		return dst, err
	}
	dir, errno := h.mounts[h.primary].dir.openDir(name)
	if errno != 0 {
		return dst, pidsError(path, errno)
	}
	before := len(dst)
	w := pidWalk{buf: make([]byte, direntsSize), pids: dst}
	errno = w.walk(dir, 0)
	// A process whose threads are in several cgroups of v1 is listed in each.
	slices.Sort(w.pids[before:])
	w.pids = w.pids[:before+len(slices.Compact(w.pids[before:]))]
	if errno != 0 {
		return w.pids, pidsError(path, errno)
	}
	return w.pids, nil
}

func pidsError(path string, errno unix.Errno) error {
	if errno == unix.ENOENT || errno == unix.ENODEV {
		return ErrGone
	}
	return fmt.Errorf("reading cgroup.procs of %s: %w", path, errno)
}

// pidWalk collects the processes of a cgroup and of those below it.
type pidWalk struct {
	buf  []byte
	pids []int
}

// walk adds those of dir, which it closes. That a cgroup below dir has gone is no error.
func (w *pidWalk) walk(dir file, depth int) unix.Errno {
	defer dir.close()
	f, errno := dir.openat("cgroup.procs\x00", 0)
	if errno != 0 {
		return errno
	}
	w.pids, errno = appendPids(w.pids, f, w.buf)
	f.close()
	if errno != 0 || depth == MaxDepth {
		return errno
	}
	var below []string
	for {
		b, errno := readDirents(dir, w.buf)
		if errno != 0 {
			return errno
		}
		if len(b) == 0 {
			break
		}
		for {
			e, rest, ok := nextDirent(b)
			if !ok {
				break
			}
			if b = rest; e.isDir() {
				below = append(below, string(e.name))
			}
		}
	}
	for _, name := range below {
		child, errno := dir.openDir(toCName(name))
		if errno == 0 {
			errno = w.walk(child, depth+1)
		}
		if errno != 0 && errno != unix.ENOENT && errno != unix.ENODEV {
			return errno
		}
	}
	return 0
}
