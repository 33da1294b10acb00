package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Podman is Debian's Podman, for root, on data of its own. It has no daemon: a container
// is a child of its monitor, and lives on if the process that started it is killed; the
// next holder ends it. There is one Podman of the package on a machine at a time.
//
// Its containers' cgroups are /libpod_parent/libpod-<id>. It has [BusyboxImage] as
// [PodmanImage], and containers have no network unless they are given the host's.
type Podman struct {
	run, data string // folders
	unlock    func()
	service   *daemon // nil while the API isn't served
	parents   []string
}

// PodmanImage is the name that Podman gives [BusyboxImage].
const PodmanImage = "localhost/" + BusyboxImage + ":latest"

// podmanConfig makes containers start where the limits that Podman would raise can't be
// raised, and lets two Podmans share no lock.
const podmanConfig = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
`

// StartPodman prepares Podman and its image. It waits while another process has one.
func StartPodman(ctx context.Context) (p *Podman, err error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	p = &Podman{run: filepath.Join(runRoot, "podman"), data: filepath.Join(cache, "podman")}
	if err := os.MkdirAll(p.run, 0o755); err != nil {
		return nil, err
	}
	if p.unlock, err = lockFile(ctx, p.run+".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := os.WriteFile(p.config(), []byte(podmanConfig), 0o644); err != nil {
		return nil, err
	}
	if exists(p.data) {
		// A run that was killed. An empty parent is its, most likely, and Podman makes
		// another one where it isn't there.
		err = p.sweep(ctx)
		for _, hierarchy := range append([]string{"/sys/fs/cgroup"}, globDirs("/sys/fs/cgroup")...) {
			removeParent(filepath.Join(hierarchy, "libpod_parent"))
		}
	}
	p.parents = missingCgroups("libpod_parent")
	if err := errors.Join(err, os.MkdirAll(p.Root(), 0o711)); err != nil {
		return nil, err
	}
	box, err := busybox().get(ctx)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeTar(w, []File{{Name: "/", Source: box}})) }()
	defer r.Close()
	load := p.command(ctx, "import", "--change", `CMD ["/bin/sh"]`, "-", PodmanImage)
	load.Stdin = r
	_, err = output(load)
	return p, err
}

// PodmanFor is [Need] and [StartPodman] for a test, which ends Podman with its own end.
func PodmanFor(tb testing.TB) *Podman {
	tb.Helper()
	Need(tb, PodmanPart)
	p, err := StartPodman(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, p)
	return p
}

// Root returns Podman's data directory, such as /var/lib/containers.
func (p *Podman) Root() string { return p.data }

// Host returns the address at which [Podman.Serve] serves the API.
func (p *Podman) Host() string { return "unix://" + filepath.Join(p.run, "podman.sock") }

func (p *Podman) config() string { return filepath.Join(p.run, "containers.conf") }

// Podman runs the podman command and returns its standard output without the white space
// at its ends.
func (p *Podman) Podman(ctx context.Context, args ...string) (string, error) {
	return output(p.command(ctx, args...))
}

func (p *Podman) command(ctx context.Context, args ...string) *exec.Cmd {
	runtime := "crun"
	if _, err := lookPath(runtime); err != nil {
		runtime = "runc"
	}
	if path, err := lookPath(runtime); err == nil {
		runtime = path
	}
	cmd := command(ctx, "podman", append([]string{
		"--root", filepath.Join(p.data, "storage"), "--runroot", filepath.Join(p.run, "storage"),
		"--tmpdir", filepath.Join(p.run, "libpod"), "--storage-driver", "overlay", "--runtime", runtime,
	}, args...)...)
	cmd.Env = append(cmd.Env, "CONTAINERS_CONF="+p.config())
	return cmd
}

// Serve serves Podman's API until [Podman.StopServing].
func (p *Podman) Serve(ctx context.Context) error {
	d, err := startDaemon(p.command(context.Background(), "system", "service", "--time", "0", p.Host()), filepath.Join(p.run, "service.log"))
	if err != nil {
		return err
	}
	p.service = d
	return d.waitFor(ctx, func(context.Context) error {
		_, err := os.Stat(strings.TrimPrefix(p.Host(), "unix://"))
		return err
	})
}

// StopServing ends what Serve began. The containers go on.
func (p *Podman) StopServing() error {
	if p.service == nil {
		return nil
	}
	err := p.service.stop(engineStop)
	p.service = nil
	return errors.Join(err, os.RemoveAll(strings.TrimPrefix(p.Host(), "unix://")))
}

// sweep ends all containers and removes all data.
func (p *Podman) sweep(ctx context.Context) error {
	_, err := p.Podman(ctx, "rm", "--force", "--all", "--time", "0")
	if err != nil {
		return err
	}
	// The storage mounts itself so that its mounts stay private, and so does each command
	// that a monitor runs, a moment after its container has ended.
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		run(ctx, "umount", filepath.Join(p.data, "storage/overlay")) // or isn't mounted
		err = errBusy
		if !p.busy() {
			err = os.RemoveAll(p.data)
		}
		if err == nil {
			return nil
		}
		if sleep(ctx, 200*time.Millisecond) != nil {
			return err
		}
	}
}

var errBusy = errors.New("monitors of Podman's containers go on") // immutable

// busy tells whether a monitor, or a command of one, works on the data.
func (p *Podman) busy() bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	for _, path := range lines {
		// A process that ended meanwhile has no command line.
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), filepath.Join(p.data, "storage")) {
			return true
		}
	}
	return false
}

// Close ends all containers and removes what they had.
func (p *Podman) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineStop)
	defer cancel()
	defer p.unlock()
	errs := []error{p.StopServing()}
	if exists(p.data) {
		errs = append(errs, p.sweep(ctx))
	}
	errs = append(errs, os.RemoveAll(p.run))
	for _, dir := range p.parents {
		if err := removeParent(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("cgroup of Podman: %w", err))
		}
	}
	return errors.Join(errs...)
}

// removeParent removes the cgroup in which the containers' were, with that of the monitors.
func removeParent(dir string) error {
	os.Remove(filepath.Join(dir, "conmon")) // isn't there without systemd
	return os.Remove(dir)
}
