package test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// mirror is a filesystem in user space, and so one that may hang: it shows what lies in a
// directory, and holds back its answers as long as a test wants.
type mirror struct {
	// Dir is where it is mounted.
	Dir string

	from    string
	device  *os.File
	serving sync.WaitGroup

	mu       sync.Mutex // guards what follows
	paths    []string   // by node, from 1 on, below from; "" is the root
	numbers  map[string]uint64
	hangs    func(path string, op uint32) bool
	held     []func()
	requests int
}

// FUSE's requests, as far as they are answered (include/uapi/linux/fuse.h).
const (
	fuseLookup, fuseForget, fuseGetattr         = 1, 2, 3
	fuseReadlink                                = 5
	fuseOpen, fuseRead, fuseStatfs, fuseRelease = 14, 15, 17, 18
	fuseInit, fuseOpendir, fuseReaddir          = 26, 27, 28
	fuseReleasedir, fuseInterrupt, fuseForgets  = 29, 36, 42
)

// mountMirror mounts a mirror of a directory as a filesystem of a type, until the test ends.
func mountMirror(t testing.TB, from, fstype string) *mirror {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		lab.Lack(t, "needs FUSE: "+err.Error()+": run as root on a machine that has it: `sudo modprobe fuse`")
	}
	m := &mirror{Dir: t.TempDir(), from: from, device: device, paths: []string{"", ""}, numbers: map[string]uint64{"": 1}}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", int(device.Fd()), os.Getuid(), os.Getgid())
	if err := unix.Mount("mirror", m.Dir, fstype, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		device.Close()
		lab.Lack(t, "needs the right to mount: "+err.Error()+": run as root: `sudo go test ./test`")
	}
	m.serving.Go(m.serve)
	t.Cleanup(func() {
		m.hang(nil)
		if err := unix.Unmount(m.Dir, unix.MNT_DETACH|unix.MNT_FORCE); err != nil {
			t.Error(err)
		}
		m.serving.Wait()
		device.Close()
	})
	waitFor(t, 10*time.Second, "the kernel to say hello", func() error {
		if n, _ := m.asked(); n == 0 {
			return errNotYet
		}
		return nil
	})
	return m
}

// hang makes requests about files hang that f accepts, by the path below the directory; nil
// answers all, those included that hung until now.
func (m *mirror) hang(f func(path string, op uint32) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hangs = f
	if f == nil {
		for _, answer := range m.held {
			answer()
		}
		m.held = nil
	}
}

// asked returns how many requests there were, and how many of them hang.
func (m *mirror) asked() (requests, held int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests, len(m.held)
}

// serve answers requests until the filesystem is unmounted. Reading the device blocks a
// thread of its own: what is closed by another one doesn't wake it, an unmount does.
func (m *mirror) serve() {
	fd := int(m.device.Fd())
	buf := make([]byte, 256<<10)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return // unmounted
		}
		request := slices.Clone(buf[:n])
		op, node := binary.NativeEndian.Uint32(request[4:]), binary.NativeEndian.Uint64(request[16:])
		if op == fuseForget || op == fuseForgets || op == fuseInterrupt {
			continue // are not answered
		}
		m.mu.Lock()
		m.requests++
		path := ""
		if node < uint64(len(m.paths)) {
			path = m.paths[node]
		}
		answer := func() { m.answer(fd, request, path) }
		if m.hangs != nil && m.hangs(path, op) {
			m.held = append(m.held, answer)
		} else {
			answer()
		}
		m.mu.Unlock()
	}
}

// answer answers a request about what lies at path. m.mu is held.
func (m *mirror) answer(fd int, request []byte, path string) {
	op, body := binary.NativeEndian.Uint32(request[4:]), request[40:]
	var out bytes.Buffer
	put := func(v any) { binary.Write(&out, binary.NativeEndian, v) }
	var err error
	switch op {
	case fuseInit:
		put([...]uint32{7, 31, 64 << 10, 0}) // major, minor, readahead, flags
		put([...]uint16{16, 12})             // background
		put([...]uint32{64 << 10, 1})        // largest write, grain of time
		put([...]uint16{16, 0})              // pages
		put([8]uint32{})
	case fuseLookup:
		path = filepath.Join(path, string(bytes.TrimRight(body, "\x00")))
		var st unix.Stat_t
		if err = unix.Lstat(filepath.Join(m.from, path), &st); err == nil {
			put([...]uint64{m.number(path), 0, 0, 0, 0}) // nothing is to be remembered
			putAttributes(&out, m.number(path), &st)
		}
	case fuseGetattr:
		var st unix.Stat_t
		if err = unix.Lstat(filepath.Join(m.from, path), &st); err == nil {
			put([...]uint64{0, 0})
			putAttributes(&out, m.number(path), &st)
		}
	case fuseReadlink:
		var to string
		to, err = os.Readlink(filepath.Join(m.from, path))
		out.WriteString(to)
	case fuseOpen, fuseOpendir:
		const direct = 1 // nothing is kept in the page cache
		put(uint64(0))
		put([...]uint32{direct, 0})
	case fuseRead:
		offset, size := binary.NativeEndian.Uint64(body[8:]), binary.NativeEndian.Uint32(body[16:])
		var text []byte
		if text, err = os.ReadFile(filepath.Join(m.from, path)); err == nil {
			text = text[min(offset, uint64(len(text))):]
			out.Write(text[:min(int(size), len(text))])
		}
	case fuseReaddir:
		offset, size := binary.NativeEndian.Uint64(body[8:]), int(binary.NativeEndian.Uint32(body[16:]))
		var entries []os.DirEntry
		entries, err = os.ReadDir(filepath.Join(m.from, path))
		for i := int(offset); i < len(entries) && out.Len()+24+len(entries[i].Name())+8 <= size; i++ {
			name, kind := entries[i].Name(), uint32(unix.DT_REG)
			if entries[i].IsDir() {
				kind = unix.DT_DIR
			}
			put([...]uint64{m.number(filepath.Join(path, name)), uint64(i + 1)})
			put([...]uint32{uint32(len(name)), kind})
			out.WriteString(name)
			out.Write(make([]byte, -len(name)&7))
		}
	case fuseStatfs:
		put([...]uint64{1000, 500, 500, 100, 50})
		put([...]uint32{4096, 255, 4096, 0})
		put([6]uint32{})
	case fuseRelease, fuseReleasedir:
	default:
		err = unix.ENOSYS
	}
	head := make([]byte, 16)
	if err != nil {
		out.Reset()
		errno := unix.EIO
		errors.As(err, &errno)
		binary.NativeEndian.PutUint32(head[4:], uint32(-int32(errno)))
	}
	binary.NativeEndian.PutUint32(head, uint32(16+out.Len()))
	copy(head[8:], request[8:16])
	unix.Write(fd, append(head, out.Bytes()...)) // fails if nobody waits any more
}

// number returns the node of a path. m.mu is held.
func (m *mirror) number(path string) uint64 {
	path = strings.TrimPrefix(path, "/")
	n, ok := m.numbers[path]
	if !ok {
		n = uint64(len(m.paths))
		m.paths, m.numbers[path] = append(m.paths, path), n
	}
	return n
}

// putAttributes appends the attributes of a node.
func putAttributes(out *bytes.Buffer, number uint64, st *unix.Stat_t) {
	put := func(v any) { binary.Write(out, binary.NativeEndian, v) }
	put([...]uint64{number, uint64(st.Size), uint64(st.Blocks), uint64(st.Atim.Sec), uint64(st.Mtim.Sec), uint64(st.Ctim.Sec)})
	put([...]uint32{uint32(st.Atim.Nsec), uint32(st.Mtim.Nsec), uint32(st.Ctim.Nsec), st.Mode, uint32(st.Nlink), st.Uid, st.Gid, 0, 4096, 0})
}
