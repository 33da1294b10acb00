package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// tireless returns a Walker that doesn't rest.
func tireless() *Walker {
	w := NewWalker()
	w.rest = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return w
}

// walk counts the tree at a path.
func walk(tb testing.TB, w *Walker, path string) (Space, error) {
	tb.Helper()
	dir, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer unix.Close(dir)
	return w.Walk(tb.Context(), dir)
}

// count counts the tree in the plainest way.
func count(tb testing.TB, path string) (s Space) {
	tb.Helper()
	var top unix.Stat_t
	mustDo(tb, unix.Lstat(path, &top))
	seen := map[uint64]bool{}
	mustDo(tb, filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || seen[st.Ino] {
			return err
		}
		if st.Dev != top.Dev {
			return fs.SkipDir
		}
		seen[st.Ino] = true
		s.Bytes += uint64(st.Blocks) * 512
		s.Inodes++
		return nil
	}))
	return s
}

// du counts the tree as du does.
func du(tb testing.TB, path string) (s Space) {
	tb.Helper()
	for arg, to := range map[string]*uint64{"--block-size=1": &s.Bytes, "--inodes": &s.Inodes} {
		var stderr bytes.Buffer
		cmd := exec.Command("du", "-sx", arg, path)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			tb.Fatal(err, stderr.String())
		}
		number, _, _ := strings.Cut(string(out), "\t")
		if *to, err = strconv.ParseUint(number, 10, 64); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// sources returns where Go's own sources are: a tree of thirteen thousand files.
func sources(tb testing.TB) string {
	tb.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	mustDo(tb, err)
	return filepath.Join(strings.TrimSpace(string(root)), "src")
}

// mustDo fails the test at the first of errs that is one.
func mustDo(tb testing.TB, errs ...error) {
	tb.Helper()
	for _, err := range errs {
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// tree makes files of every kind below a new directory.
func tree(tb testing.TB) string {
	tb.Helper()
	top := tb.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	mustDo(tb,
		os.MkdirAll(at("a/b/c"), 0o755),
		os.WriteFile(at("empty"), nil, 0o644),
		os.WriteFile(at("one"), []byte("x"), 0o644),
		os.WriteFile(at("a/many"), make([]byte, 123_456), 0o644),
		os.WriteFile(at("a/sparse"), nil, 0o644),
		os.Truncate(at("a/sparse"), 1<<40),
		os.Link(at("a/many"), at("a/b/again")),
		os.Link(at("a/many"), at("and again")),
		os.Symlink("/", at("root")),
		os.Symlink("..", at("a/b/up")),
		os.Symlink(strings.Repeat("long/", 200), at("a/b/c/long")),
		unix.Mkfifo(at("fifo"), 0o644),
	)
	mustDo(tb, os.MkdirAll(at("full"), 0o755))
	for i := range 200 { // several times getdents
		mustDo(tb, os.WriteFile(at(fmt.Sprintf("full/%d%s", i, strings.Repeat("n", 200))), []byte("x"), 0o644))
	}
	return top
}

// Byte for byte, and file for file, what du says: files with holes and with several names,
// links, big directories, and what this machine has.
func TestWalkIsDu(t *testing.T) {
	if out, err := exec.Command("du", "--version").Output(); err != nil || !bytes.Contains(out, []byte("GNU")) {
		lab.Lack(t, "needs GNU's du: run `sudo apt-get install coreutils`")
	}
	f := func(path string) {
		t.Helper()
		got, err := walk(t, tireless(), path)
		if want := du(t, path); err != nil || got.Bytes != want.Bytes || got.Inodes != want.Inodes {
			t.Errorf("%s: %+v, %v; du says %+v", path, got, err, want)
		}
		var st unix.Stat_t
		mustDo(t, unix.Stat(path, &st))
		if got.Major != unix.Major(st.Dev) || got.Minor != unix.Minor(st.Dev) {
			t.Errorf("%s: device %d:%d", path, got.Major, got.Minor)
		}
	}
	f(t.TempDir())
	f(tree(t))
	f(filepath.Join(sources(t), "cmd", "compile"))
	f("/etc")
}

// What is mounted in a tree isn't part of it.
func TestWalkStaysOnItsMount(t *testing.T) {
	top := tree(t)
	want := count(t, top)
	mounted := filepath.Join(top, "mounted")
	mustDo(t, os.Mkdir(mounted, 0o755))
	if err := unix.Mount("tmpfs", mounted, "tmpfs", 0, ""); err != nil {
		lab.Lack(t, "needs the right to mount: "+err.Error()+": run it as root: sudo go test ./proc")
	}
	t.Cleanup(func() { mustDo(t, unix.Unmount(mounted, 0)) })
	mustDo(t, os.WriteFile(filepath.Join(mounted, "file"), make([]byte, 1<<20), 0o644))
	same, bound := filepath.Join(top, "same"), t.TempDir()
	mustDo(t, os.Mkdir(same, 0o755), os.WriteFile(filepath.Join(bound, "file"), []byte("x"), 0o644), unix.Mount(bound, same, "", unix.MS_BIND, ""))
	t.Cleanup(func() { mustDo(t, unix.Unmount(same, 0)) })

	got, err := walk(t, tireless(), top)
	if err != nil || got.Inodes != want.Inodes || got.Bytes != want.Bytes {
		t.Errorf("%+v, %v; want %+v as without the mounts", got, err, want)
	}
	if got, err = walk(t, tireless(), mounted); err != nil || got.Inodes != 2 || got.Bytes != 1<<20 {
		t.Errorf("the mount itself: %+v, %v", got, err)
	}
}

// Neither depth nor files with several names take more than their bounds.
func TestWalkBounds(t *testing.T) {
	top := t.TempDir()
	deep := top
	for range maxDepth - 1 {
		deep = filepath.Join(deep, "d")
	}
	mustDo(t, os.MkdirAll(deep, 0o755))
	w := tireless()
	got, err := walk(t, w, top)
	if want := count(t, top); err != nil || got.Bytes != want.Bytes || got.Inodes != maxDepth {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if len(w.frames) > keptFrames {
		t.Errorf("%d levels are kept", len(w.frames))
	}
	mustDo(t, os.Mkdir(filepath.Join(deep, "e"), 0o755))
	before := descriptorsOpen(t)
	if _, err = walk(t, w, top); !errors.Is(err, errTooDeep) {
		t.Errorf("error %v, want %v", err, errTooDeep)
	}
	if after := descriptorsOpen(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}

	linked := t.TempDir()
	mustDo(t, os.WriteFile(filepath.Join(linked, "file"), nil, 0o644), os.Link(filepath.Join(linked, "file"), filepath.Join(linked, "name")))
	for i := range uint64(maxLinked) {
		w.linked[1<<63+i] = struct{}{}
	}
	if _, err = walk(t, w, linked); !errors.Is(err, errTooLinked) {
		t.Errorf("error %v, want %v", err, errTooLinked)
	}
	if got, err = walk(t, w, linked); err != nil || got.Inodes != 2 {
		t.Errorf("after a walk that failed: %+v, %v", got, err)
	}
}

func descriptorsOpen(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	mustDo(tb, err)
	return len(entries)
}

// A directory that may not be read leaves no number, not a smaller one.
func TestWalkUnreadable(t *testing.T) {
	if os.Getenv("PROC_TEST_WALK") != "" {
		if _, err := walk(t, tireless(), os.Getenv("PROC_TEST_WALK")); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("error %v, want that it isn't permitted", err)
		}
		return
	}
	if os.Getuid() != 0 {
		lab.Lack(t, "needs another user to become: run it as root: sudo go test ./proc")
	}
	top := t.TempDir()
	mustDo(t, os.Chmod(filepath.Dir(top), 0o755), os.Chmod(top, 0o755), os.Mkdir(filepath.Join(top, "private"), 0o700))
	self, err := os.Executable()
	mustDo(t, err)
	binary := filepath.Join(top, "test")
	data, err := os.ReadFile(self)
	mustDo(t, err, os.WriteFile(binary, data, 0o755))
	cmd := exec.Command(binary, "-test.run=^TestWalkUnreadable$")
	cmd.Env, cmd.Dir = append(os.Environ(), "PROC_TEST_WALK="+top), top
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Whatever is renamed, replaced by links and removed meanwhile: the walk ends, stays in its
// tree, and counts what stands still.
func TestWalkRaces(t *testing.T) {
	outside := t.TempDir()
	for i := range 300 {
		mustDo(t, os.WriteFile(filepath.Join(outside, strconv.Itoa(i)), make([]byte, 64<<10), 0o644))
	}
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	for i := range 50 {
		mustDo(t, os.MkdirAll(at(fmt.Sprintf("still/%d/x", i)), 0o755))
	}
	still := count(t, at("still"))
	mustDo(t, os.Symlink(outside, at("link")), os.MkdirAll(at("dir/x/y"), 0o755))

	before := descriptorsOpen(t)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; !stop.Load(); i++ {
			// The directory and the link change places: at any time either may be there.
			unix.Renameat2(unix.AT_FDCWD, at("link"), unix.AT_FDCWD, at("dir"), unix.RENAME_EXCHANGE)
			os.MkdirAll(at("short/lived"), 0o755)
			os.WriteFile(at("short/file"), []byte("x"), 0o644)
			os.RemoveAll(at("short"))
		}
	}()
	end := sync.OnceFunc(func() { stop.Store(true); <-done })
	defer end()
	w := tireless()
	raced := false
	for range 200 {
		got, err := walk(t, w, top)
		if err != nil {
			t.Fatal(err)
		}
		raced = raced || got.Inodes != still.Inodes+5
		// Beside what stands still: the top; the directory of three, once under each name;
		// "short" and what is in it, which may have been made anew meanwhile.
		const most = 1 + 2*3 + 2*3
		if got.Inodes < still.Inodes+2 || got.Inodes > still.Inodes+most || got.Bytes > still.Bytes+most*4096 {
			t.Fatalf("%+v; what stands still is %+v", got, still)
		}
	}
	end()
	if !raced {
		t.Error("nothing changed during any walk: the test shows nothing")
	}
	if after := descriptorsOpen(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

// A walk rests twenty-four times as long as it works, over many small trees, too, and ends in
// the middle when it is told to.
func TestWalkPace(t *testing.T) {
	top := tree(t)
	var rested time.Duration
	w := NewWalker()
	w.rest = func(ctx context.Context, d time.Duration) error {
		rested += d
		return ctx.Err()
	}
	small := t.TempDir()
	began := time.Now()
	// Long enough that what is still owed at the end doesn't count, on a slow machine either.
	for rested < 5*time.Second {
		for _, path := range []string{top, small} {
			if _, err := walk(t, w, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	work, looked := w.Work()
	// What passes between two walks is rest as well.
	if all := time.Since(began) + rested; float64(work)/float64(all) > 0.05 || float64(work)/float64(work+rested) < 0.03 {
		t.Errorf("worked %v, rested %v of %v", work, rested, all)
	}
	if looked < 200 {
		t.Errorf("%d files and directories", looked)
	}

	ctx, cancel := context.WithCancel(t.Context())
	w.rest = func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	w.debt, w.ended = time.Hour, time.Now()
	dir, err := unix.Open(top, unix.O_PATH, 0)
	mustDo(t, err)
	defer unix.Close(dir)
	if _, err := w.Walk(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// The disk serves a walk last, and what else runs on its thread as before.
func TestWalkPriority(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	priority := func() uintptr {
		p, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return p
	}
	before := priority()
	w := NewWalker()
	during := uintptr(0)
	w.rest = func(context.Context, time.Duration) error { during = priority(); return nil }
	w.debt, w.ended = time.Hour, time.Now()
	if _, err := walk(t, w, tree(t)); err != nil {
		t.Fatal(err)
	}
	if during>>13 != 3 || priority() != before {
		t.Errorf("priority %#x, %#x during the walk, %#x after it", before, during, priority())
	}
}

func TestWalkAllocs(t *testing.T) {
	dir, err := unix.Open(tree(t), unix.O_PATH, 0)
	mustDo(t, err)
	defer unix.Close(dir)
	w := tireless()
	if n := testing.AllocsPerRun(20, func() {
		if _, err := w.Walk(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}); n > 2 { // of a walk, not of its 200 files
		t.Errorf("%v allocations", n)
	}
}

// A tree of some thousand files and directories, from memory.
func BenchmarkWalk(b *testing.B) {
	w, top := tireless(), sources(b)
	var files uint64
	b.ReportAllocs()
	for b.Loop() {
		space, err := walk(b, w, top)
		if err != nil {
			b.Fatal(err)
		}
		files += space.Inodes
	}
	b.ReportMetric(float64(files)/b.Elapsed().Seconds(), "files/s")
}

// What a set of files with several names costs in memory at its bound.
func BenchmarkLinked(b *testing.B) {
	heap := func() (m runtime.MemStats) {
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m
	}
	before := heap()
	var linked map[uint64]struct{}
	for b.Loop() {
		linked = map[uint64]struct{}{}
		for i := range uint64(maxLinked) {
			linked[i*7919] = struct{}{}
		}
	}
	b.ReportMetric(float64(int64(heap().HeapAlloc)-int64(before.HeapAlloc)), "B/map")
	runtime.KeepAlive(linked)
}
