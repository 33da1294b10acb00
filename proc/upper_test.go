package proc

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// Roots of containers as kernels show them; the rest of the files is left out.
const (
	// Docker 28.5 with the containerd image store, Linux 6.18.
	containerdRoot = `733 684 0:111 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/2/fs:/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs,upperdir=/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs,workdir=/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/7/work,nouserxattr
735 733 0:114 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
`
	plainRoot = "24 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
)

func TestUpperDir(t *testing.T) {
	f := func(text, want string, wantErr error) {
		t.Helper()
		got, err := upperDir([]byte(text))
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%q, %v; want %q, %v", got, err, want, wantErr)
		}
	}
	f(containerdRoot, "/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs", nil)
	f(strings.ReplaceAll(containerdRoot, "/docker/", `/my\040docker\054\134/`),
		`/var/lib/my docker,\/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs`, nil)
	f(plainRoot, "", errNoUpperDir)
	f(containerdRoot+plainRoot, "", errNoUpperDir) // covered
	f(plainRoot+containerdRoot, "/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs", nil)
	f("733 684 0:111 / / ro,relatime - overlay overlay ro,lowerdir=/a:/b\n", "", errNoUpperDir)
	f("733 684 0:111 / / rw,relatime - overlay overlay rw,lowerdir=l/A:l/B,upperdir=7/diff,workdir=7/work\n", "", errNoUpperDir)
	f("735 733 0:114 / /proc rw - proc proc rw\n", "", errNoUpperDir)
	f("", "", errNoUpperDir)
	if _, err := upperDir([]byte("733 684\n")); err == nil {
		t.Error("a line that was cut off makes sense")
	}
}

// The root of a process is asked for in its container only.
func TestUpperDirOfProcess(t *testing.T) {
	fs, err := Open("/proc")
	mustDo(t, err)
	defer fs.Close()
	id := strings.Repeat("0", idLength)
	if upper, err := fs.UpperDir(1, id); !errors.Is(err, ErrGone) {
		t.Errorf("of a process in another container: %q, %v", upper, err)
	}
	if upper, err := fs.UpperDir(os.Getpid(), id); err != nil && !errors.Is(err, errNoUpperDir) {
		t.Errorf("of the agent itself: %q, %v", upper, err)
	}
}

func FuzzUpperDir(f *testing.F) {
	f.Add([]byte(containerdRoot))
	f.Add([]byte(plainRoot + containerdRoot))
	f.Add([]byte(strings.ReplaceAll(containerdRoot, "/docker/", `/my\040docker\054\134\7/`)))
	f.Add([]byte(`1 1 0:1 / / rw - overlay overlay rw,upperdir=/\777\0,`))
	f.Fuzz(func(t *testing.T, text []byte) {
		upper, err := upperDir(text)
		if (err == nil) != strings.HasPrefix(upper, "/") {
			t.Errorf("%q, %v", upper, err)
		}
	})
}
