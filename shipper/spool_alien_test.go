package shipper

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/faults"
)

// alienDirectory is where TestS08Alien, run once more as another user, opens a spool.
const alienDirectory = "SHIPPER_TEST_ALIEN"

// TestS08Alien puts into the spool what isn't the agent's, in the place of each of its
// parts: nothing is followed, waited for, sent, changed or removed.
func TestS08Alien(t *testing.T) {
	if dir := os.Getenv(alienDirectory); dir != "" {
		s := testSpool(t, dir, 1<<30)
		fill(s, 1, 2)
		a, content := s.account()
		fmt.Printf("%d batches, %d bytes in memory, %d alien, fault: %s\n", content.batches, content.memoryBytes, a.alien, a.fault)
		return
	}
	row := faults.Start(t, "S8")
	kinds := alienEntries(t)
	refused := alienDirectories(t)
	owners := alienOwners(t)

	entries := 100_000
	if row.Full() {
		entries = 2_000_000 // to remove more takes longer than all else together
	}
	made, took := alienCrowd(t, entries)
	if took > 5*2*time.Second {
		t.Errorf("the start beside %d entries took %v", made, took)
	}
	if t.Failed() {
		return
	}
	row.Goal("started within 2 s", took <= 2*time.Second)
	row.Goal("beside ten million entries", made >= 10_000_000)
	row.Result("%d kinds of entries left alone, %d kinds of directories refused, %s; started in %v beside %d entries",
		kinds, refused, owners, took.Round(time.Millisecond), made)
}

// alienEntries has a start, a publishing, a sending and the trimming of dead letters beside
// entries of all kinds, in each of the directories. It returns how many kinds.
func alienEntries(t *testing.T) int {
	const name = "0000000000000007-1772366400000-2-0.gz"
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]func(path string) error{
		"a link to a file":      func(path string) error { return os.Symlink(outside, path) },
		"a link to nothing":     func(path string) error { return os.Symlink("nowhere", path) },
		"a link to itself":      func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"a link to a directory": func(path string) error { return os.Symlink("/", path) },
		"a directory":           func(path string) error { return os.Mkdir(path, 0o700) },
		"a FIFO":                func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a socket":              func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	}
	if os.Geteuid() == 0 {
		kinds["a file of another user"] = func(path string) error {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				return err
			}
			return os.Chown(path, 12345, 12345)
		}
		kinds["a device"] = func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) }
	}
	file := func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }
	for _, nearly := range []string{
		strings.ToUpper(name), name + "~", "." + name + ".swp", strings.Replace(name, "-", "_", 1), ".nfs0123456789abcdef",
		"0000000000000007-1772366400000-02-0.gz", "0000010000000000-1772366400000-2-0.gz", "\xff\xfe\n.gz",
	} {
		kinds["a file "+nearly] = file
	}
	for kind, make := range kinds {
		dir := filepath.Join(t.TempDir(), "spool")
		for _, part := range []string{liveDir, deadDir} {
			if err := os.MkdirAll(filepath.Join(dir, part), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, hidden := range []string{"", "."} {
				as := hidden + name
				if nearly, ok := strings.CutPrefix(kind, "a file "); ok && !strings.HasPrefix(nearly, "of ") {
					as = nearly
				}
				if err := make(filepath.Join(dir, part, as)); err != nil && !os.IsExist(err) {
					t.Fatalf("%s: %v", kind, err)
				}
			}
		}
		before := tree(t, dir)
		var s *spool
		inTime(t, kind, func() { s = testSpool(t, dir, 1<<30) })
		s.deadBudget = 1
		inTime(t, kind, func() {
			fill(s, 2, 3)
			e, ok := s.take(oldestFirst, func(*batchName) bool { return true })
			if !ok {
				t.Errorf("%s: nothing to be sent", kind)
				return
			}
			if e.seq > 2 {
				t.Errorf("%s is to be sent", kind)
			}
			s.bury(&e, 1, []byte("x"))
			s.acknowledge(&e)
			if e, ok = s.take(oldestFirst, func(*batchName) bool { return true }); ok && e.docs > 0 {
				s.acknowledge(&e)
			}
		})
		a, content := s.account()
		aliens := len(names(t, filepath.Join(dir, liveDir))) - content.batches
		if a.alien != aliens || aliens == 0 || a.fault != "" {
			t.Errorf("%s: %d alien entries counted of %d, fault %q", kind, a.alien, aliens, a.fault)
		}
		s.close()
		after := tree(t, dir)
		for path, was := range before {
			if after[path] != was {
				t.Errorf("%s: %s was %s and is %s", kind, path, was, after[path])
			}
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "x" {
		t.Errorf("a file outside of the spool has become %q, %v", b, err)
	}
	return len(kinds)
}

// tree describes what is in the spool's directories for batches.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, part := range []string{liveDir, deadDir} {
		for _, name := range names(t, filepath.Join(dir, part)) {
			path := filepath.Join(dir, part, name)
			st, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			all[path] = fmt.Sprint(st.Mode(), st.Size(), st.ModTime())
		}
	}
	return all
}

// inTime fails unless f comes back.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: it waits for something", what)
	}
}

// alienDirectories has something else in the place of the spool's own directories and lock.
func alienDirectories(t *testing.T) (refused int) {
	elsewhere := t.TempDir()
	replace := map[string]func(path string) error{
		"not a directory":               func(path string) error { return os.Symlink(elsewhere, path) },
		"not a directory ":              func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"not a directory  ":             func(path string) error { return unix.Mkfifo(path, 0o600) },
		"writable for everybody: chmod": func(path string) error { os.Mkdir(path, 0o700); return os.Chmod(path, 0o702) },
	}
	if os.Geteuid() == 0 {
		replace["belongs to user 12345, the agent is user 0"] = func(path string) error {
			os.Mkdir(path, 0o700)
			return os.Chown(path, 12345, 12345)
		}
	}
	try := func(complaint, part string, f func(path string) error) {
		dir := filepath.Join(t.TempDir(), "spool")
		if part != "" {
			os.Mkdir(dir, 0o700)
		}
		if err := f(filepath.Join(dir, part)); err != nil {
			t.Fatal(err)
		}
		var s *spool
		inTime(t, complaint, func() { s = testSpool(t, dir, 1<<30) })
		fill(s, 1, 3)
		a, content := s.account()
		if !strings.Contains(a.fault, strings.TrimSpace(complaint)) || content.docs != 3 || content.memoryBytes == 0 {
			t.Errorf("%s instead of %q: fault %q, %+v", complaint, part, a.fault, content)
		}
		refused++
		// Put right, it is taken up.
		if err := os.RemoveAll(filepath.Join(dir, part)); err != nil {
			t.Fatal(err)
		}
		s.retryAt = time.Time{}
		s.tick()
		if a, content := s.account(); a.fault != "" || content.memoryBytes != 0 || content.docs != 3 {
			t.Errorf("%s put right: fault %q, %+v", complaint, a.fault, content)
		}
	}
	for complaint, f := range replace {
		for _, part := range []string{"", liveDir, deadDir} {
			try(complaint, part, f)
		}
	}
	try("too many levels of symbolic links", "lock", func(path string) error {
		return os.Symlink(filepath.Join(elsewhere, "lock"), path)
	})
	if left := names(t, elsewhere); len(left) != 0 {
		t.Errorf("made elsewhere: %v", left)
	}

	return refused
}

// TestSpoolDoubts: what makes a bad place for a spool is told at start, once, and used.
func TestSpoolDoubts(t *testing.T) {
	f := func(kind int64, mode os.FileMode, owner int, want string) {
		t.Helper()
		dir := t.TempDir()
		if err := errors.Join(os.Chown(dir, owner, -1), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		s := testSpool(t, dir, 1<<30)
		s.abandon()
		core, logs := observer.New(zapcore.WarnLevel)
		s.log = zap.New(core)
		s.sys.fstatfs = func(fd int, st *unix.Statfs_t) error {
			err := unix.Fstatfs(fd, st)
			st.Type = kind
			return err
		}
		s.retryAt = time.Time{}
		fill(s, 2, 1)
		var said []string
		for _, l := range logs.All() {
			said = append(said, l.Message)
		}
		if got := strings.Join(said, "; "); !strings.Contains(got, want) || (want == "") != (got == "") || len(said) > 1 {
			t.Errorf("%q, want %q", got, want)
		}
		if a, c := s.account(); a.fault != "" || c.docs != 2 || c.memoryBytes != 0 {
			t.Errorf("%s: %+v, %+v", want, a, c)
		}
	}
	own := os.Geteuid()
	f(unix.EXT4_SUPER_MAGIC, 0o700, own, "")
	f(unix.EXT4_SUPER_MAGIC, 0o720, own, "a group may write to it")
	f(unix.TMPFS_MAGIC, 0o700, own, "goes with the machine's next start")
	f(unix.OVERLAYFS_SUPER_MAGIC, 0o700, own, "goes with the container")
	f(unix.NFS_SUPER_MAGIC, 0o700, own, "a network file system")
	if own == 0 { // the server has given it to nobody
		f(unix.SMB2_SUPER_MAGIC, 0o700, 65534, "a network file system")
	}
}

// alienOwners opens spools of root as another user.
func alienOwners(t *testing.T) string {
	if os.Geteuid() != 0 {
		return "as another user not tried: that needs root"
	}
	f := func(want string, prepare func(dir string)) {
		t.Helper()
		base, err := os.MkdirTemp("", "spool") // t.TempDir is closed to others
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(base)
		os.Chmod(base, 0o755)
		dir := filepath.Join(base, "spool")
		prepare(dir)
		program := filepath.Join(base, "test")
		if err := copyProgram(program); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-test.run=^TestS08Alien$")
		cmd.Dir = base
		cmd.Env = append(os.Environ(), alienDirectory+"="+dir, "TMPDIR="+base)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %s\nhas no %q", err, out, want)
		}
	}
	own := func(dir string) {
		os.Mkdir(dir, 0o700)
		os.Chown(dir, 12345, 12345)
	}
	f("1 batches, 0 bytes in memory, 0 alien, fault: \n", own)
	f("permission denied", func(dir string) { os.Mkdir(dir, 0o700) })
	f("belongs to user 999, the agent is user 12345: chown it", func(dir string) {
		os.Mkdir(dir, 0o777)
		os.Chown(dir, 999, 999)
		os.Chmod(dir, 0o755)
	})
	// The group's directory of root's is another way to give it to the agent.
	f("1 batches, 0 bytes in memory, 0 alien, fault: \n", func(dir string) {
		os.Mkdir(dir, 0o700)
		os.Chown(dir, 0, 12345)
		os.Chmod(dir, 0o770)
	})
	// A batch of an agent that was root isn't read again and again.
	f("1 batches, 0 bytes in memory, 1 alien, fault: \n", func(dir string) {
		own(dir)
		own(filepath.Join(dir, liveDir))
		os.WriteFile(filepath.Join(dir, liveDir, "0000000000000007-1772366400000-2-0.gz"), nil, 0o600)
	})
	return "5 cases of another user"
}

// copyProgram copies the test program to where others may execute it.
func copyProgram(to string) error {
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// alienCrowd makes that many files in the spool, or as many as the disk has inodes for, and
// returns how many and how long a start takes beside them.
func alienCrowd(t *testing.T, entries int) (made int, took time.Duration) {
	dir := t.TempDir()
	q := filepath.Join(dir, liveDir)
	if err := os.Mkdir(q, 0o700); err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(q, &st); err != nil {
		t.Fatal(err)
	}
	entries = min(entries, int(st.Ffree)/2+1)
	first := filepath.Join(q, "0")
	if err := os.WriteFile(first, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Links of one file take no inodes; a file has 65,000 of them at most.
	for made = 1; made < entries; made++ {
		path := filepath.Join(q, fmt.Sprintf("%016x-1772366400000-2-0.gz.old", made))
		if made%60_000 == 0 {
			first = path
			if err := os.WriteFile(first, nil, 0o600); err != nil {
				break // full
			}
			continue
		}
		if err := os.Link(first, path); err != nil {
			break
		}
	}
	start := time.Now()
	s := testSpool(t, dir, 1<<30)
	took = time.Since(start)
	fill(s, 1, 2)
	if a, content := s.account(); a.alien != made || content.batches != 1 || a.fault != "" {
		t.Errorf("%d alien entries of %d, %+v, fault %q", a.alien, made, content, a.fault)
	}
	s.close()
	return made, took
}
