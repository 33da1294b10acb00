package cgroup

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// notifier has the kernel say in which directories something came or went (inotify(7)), so
// that the others needn't be looked at. It is told of directories only; who made them doesn't
// matter, nor in which mount of the hierarchy.
type notifier struct {
	fd    int
	nodes map[int32]*node // by the kernel's number of the watch
	buf   []byte
	lost  bool // the kernel had no room to tell something
}

// notified are the events that are wanted: a directory was made, removed, or renamed.
const notified = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW

// notifyBuffer holds about a hundred events with names of containers.
const notifyBuffer = 8 << 10

// newNotifier returns nil where the kernel has none to give: a user has 128 by default.
func newNotifier() *notifier {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil
	}
	return &notifier{fd: fd, nodes: map[int32]*node{}, buf: make([]byte, notifyBuffer)}
}

// watch has the kernel tell of the directory of n, which is at path. Where there is no room
// for it (fs.inotify.max_user_watches), n stays unwatched.
func (w *notifier) watch(n *node, path string) {
	if number, err := unix.InotifyAddWatch(w.fd, path, notified); err == nil {
		n.watch = int32(number)
		w.nodes[n.watch] = n
	}
}

// forget gives up the watch of n, which the kernel drops itself when the directory goes.
func (w *notifier) forget(n *node) {
	if w.nodes[n.watch] == n {
		delete(w.nodes, n.watch)
	}
	n.watch = unwatched
}

// collect marks the nodes that something has happened to. It reports whether these are all:
// what the kernel had no room for is lost until somebody has looked at everything.
func (w *notifier) collect() bool {
	for {
		n, err := unix.Read(w.fd, w.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			w.lost = w.lost || err != unix.EAGAIN
			return !w.lost
		}
		for b := w.buf[:n]; len(b) > 0; {
			e, rest, ok := nextNotice(b)
			if !ok || e.mask&unix.IN_Q_OVERFLOW != 0 {
				w.lost = true
			}
			if n := w.nodes[e.watch]; ok && n != nil && e.mask&unix.IN_ISDIR != 0 {
				n.dirty = true
			}
			b = rest
		}
	}
}

func (w *notifier) close() { unix.Close(w.fd) }

// notice is one event of inotify.
type notice struct {
	watch int32
	mask  uint32
}

// nextNotice cuts the first event from what the kernel has filled in, in the machine's byte
// order:
//
//	s32 wd, u32 mask, u32 cookie, u32 len, and a name, padded with NUL to len
//
// ok is false for what the kernel would not write.
func nextNotice(b []byte) (e notice, rest []byte, ok bool) {
	const head = 16
	if len(b) < head {
		return notice{}, nil, false
	}
	length := uint64(head) + uint64(binary.NativeEndian.Uint32(b[12:]))
	if length > uint64(len(b)) {
		return notice{}, nil, false
	}
	return notice{int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])}, b[length:], true
}
