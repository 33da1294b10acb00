package cgroup

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// follower notes what a Tree tells.
type follower struct {
	t    testing.TB
	tree *Tree
	// known are the cgroups found and not gone, with their instances.
	known map[string]uint64
}

func follow(t testing.TB, h *Hierarchy) *follower {
	w := &follower{t, h.NewTree(), make(map[string]uint64)}
	t.Cleanup(w.tree.Close)
	return w
}

// update returns what one Update tells, "+" before found and "-" before gone.
func (w *follower) update() []string {
	w.t.Helper()
	var news []string
	err := w.tree.Update(func(path string, instance uint64) {
		if _, twice := w.known[path]; twice {
			w.t.Errorf("%s was found twice", path)
		}
		if _, parent := w.known[filepath.Dir(path)]; !parent && path != "/" {
			w.t.Errorf("%s was found before its parent", path)
		}
		w.known[path] = instance
		news = append(news, "+"+path)
	}, func(path string) {
		for other := range w.known {
			if other != path && within(other, path) {
				w.t.Errorf("%s is gone before %s", path, other)
			}
		}
		delete(w.known, path)
		news = append(news, "-"+path)
	})
	if err != nil {
		w.t.Error(err)
	}
	return news
}

// expect does an Update and compares what it tells, in any order.
func (w *follower) expect(news ...string) {
	w.t.Helper()
	got := w.update()
	slices.Sort(got)
	slices.Sort(news)
	if !slices.Equal(got, news) {
		w.t.Errorf("got %q, want %q", got, news)
	}
}

func TestTree(t *testing.T) {
	for i, descriptors := range []int{1000, 2, -1, 1000, 2, -1} {
		m := newMachine(t, V2)
		mkdir := func(names ...string) {
			for _, name := range names {
				if err := os.MkdirAll(m.path("cg"+name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		h := m.open(descriptors)
		h.notifies = i >= 3
		w := follow(t, h)
		w.expect("+/", "+/docker", "+/docker/a")
		w.expect()
		mkdir("/docker/b", "/system.slice/dbus.service", "/system.slice/boot.mount", "/system.slice/boot.mount/below")
		w.expect("+/docker/b", "+/system.slice", "+/system.slice/dbus.service")
		w.expect()
		m.remove("cg/docker/a")
		w.expect("-/docker/a")
		m.remove("cg/system.slice")
		mkdir("/docker/a")
		w.expect("-/system.slice", "-/system.slice/dbus.service", "+/docker/a")
		// As many children as before, but others.
		m.remove("cg/docker/a")
		mkdir("/docker/c/nested")
		w.expect("-/docker/a", "+/docker/c", "+/docker/c/nested")
		// A link is not a cgroup.
		if err := os.Symlink("/", m.path("cg/link")); err != nil {
			t.Fatal(err)
		}
		w.expect()
		m.remove("cg/docker")
		w.expect("-/docker", "-/docker/b", "-/docker/c", "-/docker/c/nested")
		if (w.tree.notify != nil) != h.notifies {
			t.Error("what the kernel tells isn't believed")
		}
		w.tree.Close()
		if d := h.Descriptors(); d.Kept != 0 {
			t.Errorf("after Close %+v", d)
		}
	}
}

// A directory that was made anew under the same name is another cgroup, with all below it.
func TestTreeRecreated(t *testing.T) {
	for i, descriptors := range []int{1000, -1, 1000, -1} {
		m := newMachine(t, V2)
		m.write("cg/docker/a/b/cgroup.procs", "")
		h := m.open(descriptors)
		h.notifies = i >= 2
		w := follow(t, h)
		w.update()
		was := w.known["/docker/a"]
		if err := os.Rename(m.path("cg/docker/a"), m.path("old")); err != nil {
			t.Fatal(err) // removing it would free its inode number for the next one
		}
		m.write("cg/docker/a/cgroup.procs", "")
		w.expect("-/docker/a/b", "-/docker/a", "+/docker/a")
		if w.known["/docker/a"] == was {
			t.Error("the instance is the same")
		}
		w.expect()
	}
}

func TestTreeDepth(t *testing.T) {
	for _, notifies := range []bool{false, true} {
		m := newMachine(t, V2)
		m.write("cg/1"+strings.Repeat("/x", MaxDepth-1)+"/deep/deeper/f", "")
		m.write("cg/1"+strings.Repeat("/x", MaxDepth-1)+"/other/f", "")
		h := m.open(1000)
		h.notifies = notifies
		w := follow(t, h)
		for range wholeEvery + 1 {
			w.update()
			if n := w.tree.Cut(); n != 2 {
				t.Errorf("%d cgroups were cut off, want 2", n)
			}
		}
		if _, ok := w.known["/1"+strings.Repeat("/x", MaxDepth-1)]; !ok {
			t.Errorf("a cgroup of depth %d is missing: %v", MaxDepth, w.known)
		}
		for path := range w.known {
			if strings.Count(path, "/") > MaxDepth {
				t.Errorf("%s is too deep", path)
			}
		}
	}
}

// A directory of which the kernel has told nothing isn't looked at, and every tenth time it is.
// A kernel that told nothing of what is seen then isn't believed any more. One that had no
// room to tell is.
func TestTreeNotify(t *testing.T) {
	start := func() (*machine, *follower) {
		m := newMachine(t, V2)
		h := m.open(1000)
		h.notifies = true
		w := follow(t, h)
		w.update()
		return m, w
	}
	mkdir := func(m *machine, name string) {
		if err := os.Mkdir(m.path("cg/docker/"+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	m, w := start()
	mkdir(m, "silent")
	if !w.tree.notify.collect() {
		t.Fatal("there was no room to tell")
	}
	for _, n := range w.tree.notify.nodes { // as if it had not
		n.dirty = false
	}
	for range wholeEvery - 2 {
		w.expect()
	}
	w.expect("+/docker/silent")
	if w.tree.notify != nil {
		t.Error("it is still believed")
	}
	mkdir(m, "seen")
	w.expect("+/docker/seen")

	m, w = start()
	for i := range wholeEvery + 1 { // what is told is believed, also where everything is looked at
		name := strconv.Itoa(i)
		mkdir(m, name)
		w.expect("+/docker/" + name)
	}
	if w.tree.notify == nil {
		t.Error("it isn't believed, without a reason")
	}
	w.tree.Forget()
	clear(w.known)
	if got := w.update(); len(got) != 3+wholeEvery+1 {
		t.Errorf("found anew: %q", got)
	}
	mkdir(m, "later")
	w.expect("+/docker/later")

	// Its queue is bounded (fs.inotify.max_queued_events): what had no room is looked for, and
	// is no reason for doubt.
	m, w = start()
	full := binary.NativeEndian.AppendUint32(nil, ^uint32(0)) // of no watch
	full = binary.NativeEndian.AppendUint32(full, unix.IN_Q_OVERFLOW)
	full = append(full, make([]byte, 8)...)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	unix.Close(w.tree.notify.fd)
	w.tree.notify.fd = pipe[0]
	mkdir(m, "drowned")
	if n, err := unix.Write(pipe[1], full); n != len(full) {
		t.Fatal(n, err)
	}
	w.expect("+/docker/drowned")
	if w.tree.notify == nil {
		t.Error("it isn't believed because it had no room")
	}
}

func TestNextNotice(t *testing.T) {
	event := func(watch int32, mask uint32, name string) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(watch))
		b = binary.NativeEndian.AppendUint32(b, mask)
		b = binary.NativeEndian.AppendUint32(b, 0)
		b = binary.NativeEndian.AppendUint32(b, uint32(len(name)))
		return append(b, name...)
	}
	b := slices.Concat(event(3, unix.IN_CREATE|unix.IN_ISDIR, "docker\x00\x00"), event(-1, unix.IN_Q_OVERFLOW, ""), event(4, unix.IN_IGNORED, ""))
	for _, want := range []notice{{3, unix.IN_CREATE | unix.IN_ISDIR}, {-1, unix.IN_Q_OVERFLOW}, {4, unix.IN_IGNORED}} {
		e, rest, ok := nextNotice(b)
		if !ok || e != want {
			t.Errorf("%+v, %v; want %+v", e, ok, want)
		}
		b = rest
	}
	if _, _, ok := nextNotice(b); ok {
		t.Error("an event at the end")
	}
	if _, _, ok := nextNotice(event(1, 2, "name")[:18]); ok {
		t.Error("an event without the end of its name")
	}
}

// A directory that can't be read is an error, and no news of what is below it.
func TestTreeUnreadable(t *testing.T) {
	w := follow(t, newMachine(t, V2).open(1000))
	w.update()
	n := w.tree.root.children["docker"]
	old := n.dir
	n.dir = 1 << 30 // no descriptor: EBADF
	err := w.tree.Update(func(path string, _ uint64) { t.Errorf("%s was found", path) }, func(path string) { t.Errorf("%s is gone", path) })
	if err == nil || !strings.Contains(err.Error(), "reading the cgroup /docker: ") {
		t.Errorf("error %v", err)
	}
	n.dir = old
	w.expect()
}

func TestTreeAllocs(t *testing.T) {
	for i, descriptors := range []int{1000, -1, 1000, -1} {
		m := newMachine(t, V2)
		for _, name := range []string{"b", "c", "c/d"} {
			m.write("cg/docker/"+name+"/cgroup.procs", "")
		}
		h := m.open(descriptors)
		h.notifies = i >= 2
		w := follow(t, h)
		w.update()
		if n := testing.AllocsPerRun(20, func() { w.tree.Update(nil, nil) }); n != 0 {
			t.Errorf("%d descriptors: %v allocations", descriptors, n)
		}
	}
}

func TestNextDirent(t *testing.T) {
	entry := func(inode uint64, kind byte, name string) []byte {
		b := binary.NativeEndian.AppendUint64(nil, inode)
		b = append(b, make([]byte, 8)...)
		length := (19 + len(name) + 1 + 7) / 8 * 8
		b = binary.NativeEndian.AppendUint16(b, uint16(length))
		b = append(append(b, kind), name...)
		return append(b, make([]byte, length-len(b))...)
	}
	b := slices.Concat(entry(1, unix.DT_DIR, "."), entry(7, unix.DT_DIR, "docker"), entry(8, unix.DT_REG, "cpu.stat"))
	e, rest, ok := nextDirent(b)
	if !ok || e.isDir() {
		t.Errorf("%+v", e)
	}
	e, rest, ok = nextDirent(rest)
	if !ok || !e.isDir() || e.inode != 7 || string(e.name) != "docker" {
		t.Errorf("%+v", e)
	}
	e, rest, ok = nextDirent(rest)
	if !ok || e.isDir() || len(rest) != 0 {
		t.Errorf("%+v", e)
	}
	if _, _, ok = nextDirent(rest); ok {
		t.Error("an entry at the end")
	}
}

func FuzzDirent(f *testing.F) {
	dir, err := unix.Open(f.TempDir(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer unix.Close(dir)
	buf := make([]byte, 4096)
	n, err := unix.ReadDirent(dir, buf)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(buf[:n])
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			e, rest, ok := nextDirent(b)
			if !ok {
				return
			}
			if len(rest) >= len(b) || len(e.name) == 0 {
				t.Fatal("no progress")
			}
			b = rest
		}
	})
}

func FuzzNotice(f *testing.F) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		f.Fatal(err)
	}
	defer unix.Close(fd)
	dir := f.TempDir()
	if _, err := unix.InotifyAddWatch(fd, dir, notified); err != nil {
		f.Fatal(err)
	}
	if err := os.Mkdir(dir+"/a", 0o755); err != nil {
		f.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(buf[:n])
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			_, rest, ok := nextNotice(b)
			if !ok {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			b = rest
		}
	})
}
