package docker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// A node is an engine's data root with real records, and an Engine that reads it.
type node struct {
	*Engine
	tb   testing.TB
	root string
}

func newNode(tb testing.TB, o Options) *node {
	tb.Helper()
	n := &node{tb: tb, root: filepath.Join(tb.TempDir(), "docker")}
	if o.Root == "" {
		o.Root = n.root
	}
	var err error
	if n.Engine, err = New(o); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(n.Close)
	return n
}

// add puts the record of a container of testdata into the data root, and returns the
// path of its cgroup.
func (n *node) add(engine, name string) (path string) {
	n.tb.Helper()
	id := told(n.tb, engine, name).ID
	for _, file := range []string{"config.v2.json", "hostconfig.json"} {
		n.write(id, file, fixture(n.tb, engine, name, file))
	}
	return "/docker/" + id
}

// write replaces a file in a container's directory as the engine does it.
func (n *node) write(id, file string, b []byte) {
	n.tb.Helper()
	dir := n.dir(id)
	n.must(os.MkdirAll(dir, 0o710))
	n.must(os.WriteFile(dir+"/.tmp", b, 0o600))
	n.must(os.Rename(dir+"/.tmp", dir+"/"+file))
}

func (n *node) dir(id string) string { return filepath.Join(n.root, "containers", id) }

func (n *node) must(err error) {
	n.tb.Helper()
	if err != nil {
		n.tb.Fatal(err)
	}
}

// known inspects path, which has to be known as name.
func (n *node) known(path, name string) *metric.Container {
	n.tb.Helper()
	c, err := n.Inspect(n.tb.Context(), path)
	if err != nil || c == nil || c.Name != name || c.Path != path {
		n.tb.Fatalf("%s: %+v, %v; want %s", path, c, err, name)
	}
	return c
}

// unknown inspects path, which has to fail with an error that has all of want in it.
func (n *node) unknown(path string, want ...string) {
	n.tb.Helper()
	c, err := n.Inspect(n.tb.Context(), path)
	if c != nil || err == nil {
		n.tb.Errorf("%s: %+v, %v; want an error", path, c, err)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			n.tb.Errorf("%s: error %q, want %q in it", path, err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") || strings.HasSuffix(err.Error(), ".") {
		n.tb.Errorf("%s: error %q isn't one sentence", path, err)
	}
}

// forget makes what is missing asked for again at once.
func (n *node) forget() { n.cache.changedAll() }

func TestInspectFromDisk(t *testing.T) {
	n := newNode(t, Options{})
	for _, engine := range engines() {
		for _, name := range []string{"web", "side", "hosted", "halted", "failed", "looping", "fresh"} {
			path := n.add(engine, name)
			c := n.known(path, name)
			if again := n.known(path, name); again != c {
				t.Errorf("%s/%s: another pointer though nothing changed", engine, name)
			}
			// Written anew with the same contents, as each health check does.
			n.add(engine, name)
			if again := n.known(path, name); again != c {
				t.Errorf("%s/%s: another pointer though the record says the same", engine, name)
			}
		}
	}

	// The end of a container is read while its record is still there.
	web := told(t, "28.5", "web").ID
	before := n.known("/docker/"+web, "web")
	config := string(fixture(t, "28.5", "web", "config.v2.json"))
	config = strings.Replace(config, `"Running":true`, `"Running":false`, 1)
	config = strings.Replace(config, `"OOMKilled":false`, `"OOMKilled":true`, 1)
	config = strings.Replace(config, `"ExitCode":0`, `"ExitCode":137`, 1)
	config = strings.Replace(config, `"FinishedAt":"0001-01-01T00:00:00Z"`, `"FinishedAt":"2026-11-22T17:20:00.5Z"`, 1)
	n.write(web, "config.v2.json", []byte(config))
	c := n.known("/docker/"+web, "web")
	want := metric.Exit{Code: 137, OOMKilled: true, At: time.Date(2026, 11, 22, 17, 20, 0, 5e8, time.UTC)}
	if c.State != "exited" || c.Exit == nil || *c.Exit != want || c.Health != "" {
		t.Errorf("after the end: %+v, %+v", c, c.Exit)
	}
	if before.State != "running" || before.Exit != nil {
		t.Errorf("what was handed over before has changed: %+v", before)
	}

	// Removed ("docker rm", --rm): gone, not remembered.
	n.must(os.RemoveAll(n.dir(web)))
	n.unknown("/docker/"+web, n.root+"/containers doesn't have the container "+web[:12])
}

func TestInspectDataRoot(t *testing.T) {
	n := newNode(t, Options{})
	path := "/system.slice/docker-" + told(t, "28.5", "web").ID + ".scope"
	n.unknown(path, n.root+"/containers isn't there: mount /var/lib/docker/containers read-only into the agent")
	n.unknown("/system.slice", "no container runtime made the cgroup /system.slice")
	n.unknown("/kubepods/crio-"+id1, "CRI-O")

	// It appears later.
	n.must(os.MkdirAll(n.root+"/containers", 0o710))
	n.forget()
	n.unknown(path, "doesn't have the container", "data root was moved")
	n.add("28.5", "web")
	c := n.known(path, "web")

	// It goes away, as with an unmounted volume: what is known stays known.
	n.must(os.Rename(n.root, n.root+".away"))
	if n.known(path, "web") != c {
		t.Error("another pointer while the data root is away")
	}
	n.unknown("/docker/"+id1, "isn't there")
	n.must(os.Rename(n.root+".away", n.root))
	if n.known(path, "web") != c {
		t.Error("another pointer after the data root was away")
	}

	// The engine told where it really is.
	elsewhere := "/mnt/big/docker"
	n.dataRoot.Store(&elsewhere)
	n.unknown("/docker/"+id2, "the engine's data root is /mnt/big/docker, so mount /mnt/big/docker/containers")
}

func TestInspectUnreadable(t *testing.T) {
	if os.Getuid() != 0 {
		lab.Lack(t, "needs another user to become: run as root: sudo go test ./docker")
	}
	n := newNode(t, Options{})
	path := n.add("28.5", "web")
	n.must(os.Chmod(n.root+"/containers", 0))
	for _, dir := range []string{n.root, filepath.Dir(n.root), filepath.Dir(filepath.Dir(n.root))} {
		n.must(os.Chmod(dir, 0o755)) // the test's own
	}
	// The thread, and what it may do, ends with the goroutine.
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			done <- errno
			return
		}
		_, err := n.Inspect(t.Context(), path)
		done <- err
	}()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "run the agent as uid 0") {
		t.Errorf("error %v", err)
	}
}

// TestInspectForeignFiles puts into a record's place what doesn't belong there. Nothing
// of it may be followed or waited for.
func TestInspectForeignFiles(t *testing.T) {
	n := newNode(t, Options{})
	path := n.add("28.5", "web")
	id := told(t, "28.5", "web").ID
	config := n.dir(id) + "/config.v2.json"
	secret := filepath.Join(t.TempDir(), "secret")
	n.must(os.WriteFile(secret, fixture(t, "28.5", "web", "config.v2.json"), 0o600))

	f := func(what string, make func() error, want string) {
		t.Helper()
		n.must(os.RemoveAll(n.dir(id)))
		n.must(os.MkdirAll(n.dir(id), 0o710))
		n.must(make())
		var err error
		quickest := time.Hour // of some: other programs run as well
		for range 5 {
			n.forget()
			start := time.Now()
			_, err = n.Inspect(t.Context(), path)
			quickest = min(quickest, time.Since(start))
		}
		if quickest > 5*time.Millisecond && !raceEnabled {
			t.Errorf("%s: took %v", what, quickest)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", what, err, want)
		}
	}
	f("FIFO", func() error { return syscall.Mkfifo(config, 0o600) }, config+": not a regular file")
	f("link", func() error { return os.Symlink(secret, config) }, config+": not a regular file")
	f("directory", func() error { return os.Mkdir(config, 0o700) }, config+": not a regular file")
	f("socket", func() error { return syscall.Mknod(config, syscall.S_IFSOCK|0o600, 0) }, config+": not a regular file")
	f("100 MB", func() error {
		return errors.Join(os.WriteFile(config, []byte("{"), 0o600), os.Truncate(config, 100<<20))
	}, config+" has 104857600 bytes")
	f("torn", func() error {
		return os.WriteFile(config, fixture(t, "28.5", "web", "config.v2.json")[:1000], 0o600)
	}, config+": unexpected end of JSON input")
	f("empty", func() error { return os.WriteFile(config, nil, 0o600) }, config+": unexpected end of JSON input")
	f("nested", func() error {
		return os.WriteFile(config, []byte(strings.Repeat(`{"Config":`, 100_000)), 0o600)
	}, config+": invalid character")
	f("missing", func() error { return nil }, "doesn't have the container")
	f("link for the directory", func() error {
		return errors.Join(os.Remove(n.dir(id)), os.Symlink(filepath.Dir(secret), n.dir(id)))
	}, n.dir(id)+": not a directory")

	// A record that breaks doesn't make a known container unknown.
	n.must(os.Remove(n.dir(id)))
	n.add("28.5", "web")
	n.forget()
	c := n.known(path, "web")
	n.write(id, "config.v2.json", []byte("{"))
	if n.known(path, "web") != c {
		t.Error("another pointer for a torn record")
	}
	n.add("28.5", "web")
	if n.known(path, "web") != c {
		t.Error("another pointer after a torn record")
	}
	// One without its hostconfig.json is known but for the network.
	n.must(os.Remove(n.dir(id) + "/hostconfig.json"))
	m := newNode(t, Options{Root: n.root})
	if c := m.known(path, "web"); c.NetworkMode != "" {
		t.Errorf("network mode %q of nowhere", c.NetworkMode)
	}
}

func TestFileErrorsAreTellable(t *testing.T) {
	_, err := openDir("/nowhere/at/all")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("error %v", err)
	}
}

func TestInspectAllocs(t *testing.T) {
	n := newNode(t, Options{})
	path := n.add("28.5", "shop_api.1")
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := n.Inspect(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	})
	// The three paths that the kernel is given, and the joined paths for errors.
	if allocs > 6 && !raceEnabled {
		t.Errorf("%v allocations for a container that is known", allocs)
	}
}

func BenchmarkInspectKnown(b *testing.B) {
	n := newNode(b, Options{})
	path := n.add("28.5", "shop_api.1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Inspect(b.Context(), path); err != nil {
			b.Fatal(err)
		}
	}
}
