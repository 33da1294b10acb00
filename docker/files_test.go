package docker

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A stored is a data root with the files of one container.
type stored struct {
	*node
	c *metric.Container
}

// newStored returns a data root with a container of testdata, of an engine with the driver
// overlay2 (26.1) or with the containerd image store (28.5), to whose record mount points
// are added.
func newStored(tb testing.TB, o Options, engine, mountPoints string) *stored {
	tb.Helper()
	n := newNode(tb, o)
	path := n.add(engine, "web")
	c := n.known(path, "web")
	record := strings.Replace(string(fixture(tb, engine, "web", "config.v2.json")), `"MountPoints":{}`, `"MountPoints":{`+mountPoints+`}`, 1)
	n.write(c.ID, "config.v2.json", []byte(record))
	return &stored{n, c}
}

// put makes a file in the data root.
func (s *stored) put(name, content string) {
	s.tb.Helper()
	at := filepath.Join(s.root, name)
	s.must(os.MkdirAll(filepath.Dir(at), 0o755))
	s.must(os.WriteFile(at, []byte(content), 0o644))
}

// paths returns where directories are.
func paths(tb testing.TB, trees Trees) (paths []string) {
	tb.Helper()
	for _, fd := range trees.Dirs {
		at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err != nil {
			tb.Fatal(err)
		}
		paths = append(paths, at)
	}
	slices.Sort(paths)
	return paths
}

// is checks where the directories are.
func (s *stored) is(trees Trees, want ...string) {
	s.tb.Helper()
	for i, name := range want {
		if !filepath.IsAbs(name) {
			want[i] = filepath.Join(s.root, name)
		}
	}
	slices.Sort(want)
	if got := paths(s.tb, trees); trees.Err != nil || !slices.Equal(got, want) {
		s.tb.Errorf("%q, %v; want %q", got, trees.Err, want)
	}
}

// isNot checks that there is an error of one sentence with all of want in it.
func (s *stored) isNot(trees Trees, want ...string) {
	s.tb.Helper()
	if trees.Err == nil || len(trees.Dirs) > 0 {
		s.tb.Errorf("%q, %v; want an error", paths(s.tb, trees), trees.Err)
		return
	}
	for _, w := range want {
		if !strings.Contains(trees.Err.Error(), w) || strings.Contains(trees.Err.Error(), "\n") {
			s.tb.Errorf("error %q, want %q in it", trees.Err, w)
		}
	}
}

// files checks what OpenFiles finds, and that it leaves no descriptor open.
func (s *stored) files(check func(Files)) {
	s.tb.Helper()
	before := descriptorsOpen(s.tb)
	f := s.OpenFiles(s.c)
	check(f)
	f.Close()
	if after := descriptorsOpen(s.tb); after != before {
		s.tb.Errorf("%d descriptors are open, %d before", after, before)
	}
}

func descriptorsOpen(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}

const layerID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// What isn't mounted is named with the mount that brings it, and the rest is found.
func TestFilesOverlay2(t *testing.T) {
	s := newStored(t, Options{}, "26.1", `"/data":{"Type":"volume","Name":"data","Driver":"local"},"/again":{"Name":"data","Driver":"local"},`+
		`"/etc/hosts.allow":{"Type":"bind","Source":"/etc/hosts.allow","Name":"","Driver":""},"/far":{"Type":"volume","Name":"far","Driver":"rexray"}`)
	s.files(func(f Files) {
		s.isNot(f.Layer, "mount the node's /var/lib/docker/image/overlay2/layerdb and /var/lib/docker/overlay2 read-only", "below "+s.root)
		s.is(f.Logs, "containers/"+s.c.ID)
		s.isNot(f.Volumes, "mount the node's /var/lib/docker/volumes read-only")
	})
	s.put("image/overlay2/layerdb/mounts/"+s.c.ID+"/mount-id", layerID)
	s.put("overlay2/"+layerID+"/diff/file", "x")
	s.put("volumes/data/_data/file", "x")
	s.files(func(f Files) {
		s.is(f.Layer, "overlay2/"+layerID+"/diff")
		s.is(f.Logs, "containers/"+s.c.ID)
		s.is(f.Volumes, "volumes/data/_data")
	})

	// A quota is an option that leaves the files where they are; a device isn't.
	s.put("volumes/data/opts.json", `{"MountType":"","MountOpts":"","MountDevice":"","Quota":{"Size":1048576}}`)
	s.files(func(f Files) { s.is(f.Volumes, "volumes/data/_data") })
	s.put("volumes/data/opts.json", `{"MountType":"none","MountOpts":"bind","MountDevice":"/srv","Quota":{"Size":0}}`)
	s.files(func(f Files) { s.is(f.Volumes) })
	s.put("volumes/data/opts.json", `{`)
	s.files(func(f Files) { s.isNot(f.Volumes, "opts.json") })

	s.must(os.Remove(filepath.Join(s.root, "image/overlay2/layerdb/mounts", s.c.ID, "mount-id")))
	s.files(func(f Files) { s.isNot(f.Layer, "mount-id: no such file") })
}

func TestFilesOfOtherDrivers(t *testing.T) {
	f := func(driver, layer string, want ...string) {
		t.Helper()
		s := newStored(t, Options{}, "26.1", "")
		s.write(s.c.ID, "config.v2.json", []byte(`{"ID":"`+s.c.ID+`","Driver":"`+driver+`"}`))
		s.put("image/"+driver+"/layerdb/mounts/"+s.c.ID+"/mount-id", layerID)
		if layer != "" {
			s.put(layer+"/file", "x")
		}
		s.files(func(f Files) {
			if layer != "" {
				s.is(f.Layer, layer)
			} else {
				s.isNot(f.Layer, want...)
			}
			s.is(f.Volumes)
		})
	}
	f("overlay", "overlay/"+layerID+"/upper")
	f("fuse-overlayfs", "fuse-overlayfs/"+layerID+"/diff")
	f("vfs", "vfs/dir/"+layerID)
	f("zfs", "", `"zfs" isn't counted`)
	f("", "", `"" isn't counted`)
}

// No link leads out of the data root, and no name.
func TestFilesFollowNothing(t *testing.T) {
	secret := t.TempDir()
	s := newStored(t, Options{}, "26.1", `"/data":{"Name":"data","Driver":"local"}`)
	names := "image/overlay2/layerdb/mounts/" + s.c.ID + "/mount-id"
	link := func(name string) {
		t.Helper()
		at := filepath.Join(s.root, name)
		s.must(os.MkdirAll(filepath.Dir(at), 0o755))
		s.must(os.RemoveAll(at))
		s.must(os.Symlink(secret, at))
	}
	s.put(names, layerID)
	link("overlay2/" + layerID + "/diff")
	link("volumes/data/_data")
	s.files(func(f Files) {
		s.isNot(f.Layer, "diff: not a directory")
		s.isNot(f.Volumes, "_data: not a directory")
	})
	link("overlay2/" + layerID)
	link("volumes/data")
	s.files(func(f Files) {
		s.isNot(f.Layer, layerID+": not a directory")
		s.isNot(f.Volumes, "data: not a directory")
	})
	for _, name := range []string{"..", ".", "", "../../etc", "a/b", "a\n"} {
		s.put(names, name)
		s.files(func(f Files) { s.isNot(f.Layer, "is no name of a layer") })
	}
	s.write(s.c.ID, "config.v2.json", []byte(`{"ID":"`+s.c.ID+`","MountPoints":{"/":{"Name":"../../etc","Driver":"local"}}}`))
	s.files(func(f Files) { s.isNot(f.Volumes, "is no name of a volume") })
	s.write(s.c.ID, "config.v2.json", []byte(`{"ID":"`+id1+`"}`))
	s.files(func(f Files) { s.isNot(f.Logs, "it is the record of container") })
}

// The containerd image store: where the kernel says that the container's root is written
// to, as the agent sees it.
func TestFilesSnapshot(t *testing.T) {
	var upper string
	var failed error
	o := Options{UpperDir: func(pid int, id string) (string, error) {
		if pid == 0 || len(id) != 64 {
			t.Errorf("asked of the process %d of %q", pid, id)
		}
		return upper, failed
	}}
	const snapshot = "io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs"
	s := newStored(t, o, "28.5", "")
	upper = "/var/lib/docker/containerd/daemon/" + snapshot
	s.files(func(f Files) {
		s.isNot(f.Layer, "mount the node's /var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots read-only")
		s.is(f.Logs, "containers/"+s.c.ID)
	})
	s.put("containerd/daemon/"+snapshot+"/file", "x")
	s.files(func(f Files) { s.is(f.Layer, "containerd/daemon/"+snapshot) }) // below the data root
	other := t.TempDir()
	upper = other + "/" + snapshot
	s.must(os.MkdirAll(upper, 0o755))
	s.files(func(f Files) { s.is(f.Layer, upper) }) // at the same path

	// A link that a container may have made, and paths that no containerd has.
	s.must(os.Symlink(other, other+"/link"))
	upper = other + "/link/" + snapshot
	s.files(func(f Files) { s.isNot(f.Layer, "link: not a directory") })
	for _, upper = range []string{
		"/", "/etc", "relative/" + snapshot, other + "/../x/" + snapshot, strings.Replace(other+"/"+snapshot, "/7/", "/../", 1),
		strings.Replace(other+"/"+snapshot, "/7/", "//", 1), strings.Replace(other+"/"+snapshot, "/7/", "/7/fs/etc/", 1), other + "/" + snapshot + "/etc",
	} {
		s.files(func(f Files) { s.isNot(f.Layer, "no snapshot of containerd's") })
	}
	failed = errors.New("the kernel says nothing")
	s.files(func(f Files) { s.isNot(f.Layer, "the kernel says nothing") })

	// The node's root is mounted elsewhere.
	failed, upper = nil, "/var/lib/containerd/"+snapshot
	o.HostRoot = other
	s = newStored(t, o, "28.5", "")
	s.must(os.MkdirAll(other+upper, 0o755))
	s.files(func(f Files) { s.is(f.Layer, other+upper) })
}

func TestFilesPodman(t *testing.T) {
	root := t.TempDir()
	s := &stored{node: newNode(t, Options{PodmanRoot: root})}
	s.c = &metric.Container{Runtime: runtimePodman, ID: "1398d9176e229aeedbe7bb3d4e59106090e435bcadb884c8843c3e2bcd1a7dac"}
	store := root + "/storage/overlay-containers"
	s.files(func(f Files) { s.isNot(f.Layer, "mount Podman's "+store) })
	s.must(os.MkdirAll(store+"/"+s.c.ID+"/userdata", 0o700))
	s.must(os.WriteFile(store+"/containers.json", fixture(t, "podman", "containers.json"), 0o600))
	s.files(func(f Files) { s.isNot(f.Layer, "mount Podman's "+root+"/storage/overlay") })
	layer := root + "/storage/overlay/ecb9f733cfc34349932e88cb97f5310067907bf6993b51492754e9c6435ad9b9/diff"
	s.must(os.MkdirAll(layer, 0o700))
	s.files(func(f Files) {
		s.is(f.Layer, layer)
		s.is(f.Logs, store+"/"+s.c.ID+"/userdata")
		s.isNot(f.Volumes, "isn't known")
	})
	s.c = &metric.Container{Runtime: runtimeContainerd, ID: id1}
	s.files(func(f Files) {
		s.isNot(f.Layer, "containerd")
		s.isNot(f.Logs, "containerd")
		s.isNot(f.Volumes, "containerd")
	})
}

func TestExplainPermission(t *testing.T) {
	err := explainPermission(&fs.PathError{Op: "open", Path: "/x", Err: unix.EACCES})
	if !strings.Contains(err.Error(), "DAC_READ_SEARCH") || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v", err)
	}
	if explainPermission(nil) != nil {
		t.Error("an error out of nothing")
	}
}

func FuzzSnapshotsOf(f *testing.F) {
	f.Add("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs")
	f.Add("/a/../io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs")
	f.Add("io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs")
	f.Fuzz(func(t *testing.T, upper string) {
		snapshots, ok := snapshotsOf(upper)
		if ok && (!strings.HasPrefix(upper, snapshots+"/") || !strings.HasPrefix(snapshots, "/") || slices.Contains(strings.Split(upper, "/"), "..")) {
			t.Errorf("%q is taken for a snapshot in %q", upper, snapshots)
		}
	})
}

// Options of a volume are a stranger's text, in which passwords may stand.
func FuzzVolumeOptions(f *testing.F) {
	f.Add([]byte(`{"MountType":"cifs","MountOpts":"username=a,password=geheim","MountDevice":"//x/y","Quota":{"Size":0}}`))
	f.Add([]byte(`{"MountType":"","MountOpts":"","MountDevice":"","Quota":{"Size":1048576}}`))
	f.Add([]byte(`{"MountType":7}`))
	f.Add([]byte(`null`))
	top := f.TempDir()
	d, err := openDir(top)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(d.close)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(top+"/opts.json", text, 0o600); err != nil {
			t.Fatal(err)
		}
		mounted, err := d.isMounted()
		if err == nil && !json.Valid(text) {
			t.Errorf("%q is taken for JSON", text)
		}
		if mounted && err != nil {
			t.Errorf("%q is both mounted and %v", text, err)
		}
		// The names may be in any case, and their letters written as numbers.
		if plain := strings.ToLower(string(text)); mounted && !strings.Contains(plain, "mount") && !strings.Contains(plain, `\u`) && !strings.Contains(plain, "\u017f") {
			t.Errorf("%q is mounted", text)
		}
	})
}
