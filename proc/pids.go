package proc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// The engine's word for a container's process may be stale, and a list of processes that
// is read in another PID namespace than the node's leaves out those that it can't name.
// The node's procfs knows better: each process's cgroup file says where it is.

// idLength is the length of a container's id, in hexadecimal digits.
const idLength = 64

// InCgroup tells whether the process pid is in the cgroup of the container with that id of
// 64 hexadecimal digits, or in one below it that isn't another container's. It is false
// for a process that ended. One in the agent's own cgroup isn't recognized when the agent
// has a cgroup namespace of its own, in which that cgroup is "/"; see Self.
func (fs *FS) InCgroup(pid int, id string) bool {
	text, err := fs.read(pidDir(pid) + "/cgroup")
	if err != nil {
		return false
	}
	found, _ := inContainer(text, id)
	return found
}

// inContainer tells whether the text of a process's cgroup file has the id of a container,
// or of any.
func inContainer(text []byte, id string) (found, any bool) {
	for _, path := range cgroupPaths(text) {
		if one := containerID(path); len(one) > 0 {
			found, any = found || string(one) == id, true
		}
	}
	return found, any
}

// openProcess opens the folder of the process pid, which goes on to be that process's,
// whoever gets the number after its end. It is ErrGone if there is no such process, or none
// that is in the container with that id; "" stands for any process. One in the agent's own
// cgroup, where that is the root of what the agent sees, may be in the agent's container.
func (fs *FS) openProcess(pid int, id string) (dir int, err error) {
	dir, err = fs.open(pidDir(pid), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil || id == "" {
		return dir, goneOr(err)
	}
	text, err := readIn(dir, "cgroup")
	found, other := inContainer(text, id)
	if err == nil && !found && !other {
		var own []byte
		own, err = fs.read("self/cgroup")
		found = bytes.Equal(text, own)
	}
	if err == nil && !found {
		err = ErrGone
	}
	if err != nil {
		unix.Close(dir)
		return -1, goneOr(err)
	}
	return dir, nil
}

// readIn returns the whole text of a file in the folder dir.
func readIn(dir int, name string) ([]byte, error) {
	fd, err := openat(dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readAll(fd, nil)
}

// PidsByContainer returns the process of each container that has the lowest id, which most
// likely is its first. The keys are ids of 64 hexadecimal digits. It looks at every
// process, 10 to 20 µs each, so it is for the background; it ends early, with the
// context's error, when ctx does.
func (fs *FS) PidsByContainer(ctx context.Context) (map[string]int, error) {
	lowest := map[string]int{}
	err := fs.eachContainerPid(ctx, func(id []byte, pid int) {
		if known, ok := lowest[string(id)]; !ok || pid < known {
			lowest[string(id)] = pid
		}
	})
	if err != nil {
		return nil, err
	}
	return lowest, nil
}

// AllPidsByContainer returns the processes of each container, the lowest first. Otherwise
// it is as PidsByContainer.
func (fs *FS) AllPidsByContainer(ctx context.Context) (map[string][]int, error) {
	all := map[string][]int{}
	err := fs.eachContainerPid(ctx, func(id []byte, pid int) { all[string(id)] = append(all[string(id)], pid) })
	if err != nil {
		return nil, err
	}
	for _, pids := range all {
		slices.Sort(pids)
	}
	return all, nil
}

// AppendPids appends the processes of the node, the lowest first, and returns the extended
// slice.
func (fs *FS) AppendPids(ctx context.Context, dst []int) ([]int, error) {
	before := len(dst)
	err := fs.eachPid(ctx, func(pid int, _ string) { dst = append(dst, pid) })
	slices.Sort(dst[before:])
	return dst, err
}

// eachContainerPid calls f with each process that is in a container, and the container's
// id, which is f's only during the call.
func (fs *FS) eachContainerPid(ctx context.Context, f func(id []byte, pid int)) error {
	return fs.eachPid(ctx, func(pid int, name string) {
		text, err := fs.read(name + "/cgroup")
		if err != nil {
			return // it ended meanwhile
		}
		var one []byte
		for _, path := range cgroupPaths(text) {
			// All hierarchies say the same of most processes.
			if id := containerID(path); len(id) > 0 && !bytes.Equal(id, one) {
				one = id
				f(id, pid)
			}
		}
	})
}

// eachPid calls f with each process, in no order, until ctx ends.
func (fs *FS) eachPid(ctx context.Context, f func(pid int, name string)) error {
	dir, err := os.Open(fs.root)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		const batch = 256
		names, err := dir.Readdirnames(batch)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil || pid <= 0 {
				continue // not a process
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			f(pid, name)
		}
	}
}

// cgroupPaths returns the controllers and the path in each line of a process's cgroup file
// (cgroups(7)). There is a line for each v1 hierarchy, and one without controllers for v2:
//
//	4:memory:/docker/5f0e…
//	0::/system.slice/docker-5f0e….scope
//
// Paths are seen from the reader's cgroup namespace, and begin with "/.." where they lie
// outside of its root. A removed v2 cgroup that a zombie is left in has " (deleted)" after
// its path, and isn't returned. Both slices are part of text.
func cgroupPaths(text []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(controllers, path []byte) bool) {
		for len(text) > 0 {
			line, rest, whole := cutLine(text)
			text = rest
			hierarchy, line, ok1 := bytes.Cut(line, []byte(":"))
			controllers, path, ok2 := bytes.Cut(line, []byte(":"))
			_, isNumber := number(hierarchy)
			if !whole || !ok1 || !ok2 || !isNumber || bytes.HasSuffix(path, []byte(" (deleted)")) {
				continue
			}
			if !yield(controllers, path) {
				return
			}
		}
	}
}

// containerID returns the id of the innermost container in a cgroup's path: the last run
// of exactly 64 hexadecimal digits, whatever the runtime's driver puts around it. It is
// empty if there is none, and part of path.
func containerID(path []byte) []byte {
	for end := len(path); end > 0; {
		start := end
		for start > 0 && isHex(path[start-1]) {
			start--
		}
		if end-start == idLength {
			return path[start:end]
		}
		end = max(start-1, 0)
	}
	return nil
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }
