package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Engine is a Docker engine (the dockerd of this machine's Debian) that shares
// nothing with other engines: it has its own data, its own network namespace
// with its own iptables rules, and its own mounts. Its containers are ordinary
// processes and cgroups of this machine.
//
// Images can't be pulled. There is [BusyboxImage]; others come from
// [Engine.Import].
type Engine struct {
	slot   *slot
	daemon *daemon
	// parents are the cgroups above the containers' that weren't there before.
	parents []string
}

// Starts take seconds; these bounds are for machines busy with other tests.
const (
	engineStart = 2 * time.Minute
	engineStop  = time.Minute
)

// StartEngine starts an engine with further arguments for dockerd and waits
// until it answers. The end of ctx ends the waiting, not the engine.
func StartEngine(ctx context.Context, args ...string) (e *Engine, err error) {
	s, err := takeSlot()
	if err != nil {
		return nil, err
	}
	e = &Engine{slot: s, parents: missingCgroups("docker")}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	// What Swarm left of an earlier run would make the engine look for nodes
	// that are gone.
	if err := os.RemoveAll(filepath.Join(s.data, "swarm")); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, engineStart)
	defer cancel()
	if err := e.launch(ctx, args); err != nil {
		return nil, err
	}
	err = e.daemon.waitFor(ctx, func(ctx context.Context) error {
		_, err := e.Docker(ctx, "version", "--format", "{{.Server.Version}}")
		return err
	})
	if err != nil {
		return nil, err
	}
	// A run that was killed leaves containers behind.
	if err := e.sweep(ctx); err != nil {
		return nil, err
	}
	box, err := busybox().get(ctx)
	if err != nil {
		return nil, err
	}
	return e, e.keepImage(ctx, BusyboxImage, busybox().tag(), []File{{Name: "/", Source: box}}, busyboxCommand)
}

// EngineFor is [Need] and [StartEngine] for a test, which ends the engine with
// its own end.
func EngineFor(tb testing.TB, args ...string) *Engine {
	tb.Helper()
	Need(tb, Docker)
	e, err := StartEngine(tb.Context(), args...)
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, e)
	return e
}

// engineEntry runs in the engine's new namespaces. It waits for a line of
// input, which says that the network is there, and becomes the engine.
//
// The kernel by default says only once a second that nobody listens on a port.
// A resolver that asks for two kinds of address would wait for the second answer.
const engineEntry = `
mount --make-rslave / &&
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit &&
ip link set lo up &&
read -r ready &&
exec "$@"
`

// launch starts dockerd and connects its network namespace with this machine's.
func (e *Engine) launch(ctx context.Context, args []string) error {
	s := e.slot
	args = append([]string{"-c", engineEntry, "sh", "dockerd",
		"--data-root", s.data,
		"--exec-root", s.execRoot(),
		"--pidfile", filepath.Join(s.run, "pid"),
		"--host", e.Host(),
		"--bip", netip.PrefixFrom(s.addr(1, 1), 24).String(),
		"--default-address-pool", "base=" + netip.PrefixFrom(s.addr(8, 0), 21).String() + ",size=24",
		// Containers reach no name server. With this one, where nobody listens,
		// questions for names of the outside world fail at once. Without it,
		// Swarm spends half a minute before each task starts, as it tries to
		// pull even an image that is there.
		"--dns", e.Addr().String(),
	}, args...)
	cmd := command(context.Background(), "sh", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	ready, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	if e.daemon, err = startDaemon(cmd, filepath.Join(s.run, "dockerd.log")); err != nil {
		return fmt.Errorf("start dockerd (as root?): %w", err)
	}
	pid := strconv.Itoa(e.daemon.pid)
	inside := func(args ...string) []string {
		return append([]string{"nsenter", "--target", pid, "--net", "ip"}, args...)
	}
	for _, step := range [][]string{
		{"ip", "link", "add", s.device(), "type", "veth", "peer", "name", uplink, "netns", pid},
		{"ip", "address", "add", e.Gateway().String() + "/24", "dev", s.device()},
		{"ip", "link", "set", s.device(), "up"},
		inside("address", "add", e.Addr().String()+"/24", "dev", uplink),
		inside("link", "set", uplink, "up"),
		inside("route", "add", "default", "via", e.Gateway().String()),
		{"ip", "route", "add", netip.PrefixFrom(s.addr(0, 0), 20).String(), "via", e.Addr().String()},
		// The engine's own rules drop what comes from outside to a container's
		// address; this is the chain that it leaves to others.
		{"nsenter", "--target", pid, "--net", "iptables", "--new-chain", "DOCKER-USER"},
		{"nsenter", "--target", pid, "--net", "iptables", "--append", "DOCKER-USER", "--in-interface", uplink, "--jump", "ACCEPT"},
	} {
		if err := run(ctx, step[0], step[1:]...); err != nil {
			return err
		}
	}
	_, err = io.WriteString(ready, "ready\n")
	return err
}

// uplink is the name that the link to this machine has in the engine's network
// namespace.
const uplink = "uplink"

// Host returns the value for DOCKER_HOST that leads to the engine.
func (e *Engine) Host() string { return "unix://" + filepath.Join(e.slot.run, "docker.sock") }

// Gateway returns this machine's address as the engine's containers reach it.
// A server that containers shall reach listens there.
func (e *Engine) Gateway() netip.Addr { return e.slot.addr(0, 1) }

// Addr returns the engine's address as this machine reaches it: published
// ports listen there. Containers can also be reached at their own addresses.
func (e *Engine) Addr() netip.Addr { return e.slot.addr(0, 2) }

// DataRoot returns the folder of the engine's data, such as containers/ and
// overlay2/.
func (e *Engine) DataRoot() string { return e.slot.data }

// Docker runs the docker command against the engine and returns its standard
// output without the white space at its ends.
func (e *Engine) Docker(ctx context.Context, args ...string) (string, error) {
	return output(e.command(ctx, args...))
}

func (e *Engine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := command(ctx, "docker", args...)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "DOCKER_") })
	// The user's own contexts, plugins and credential helpers play no part.
	cmd.Env = append(cmd.Env, "DOCKER_HOST="+e.Host(), "DOCKER_CONFIG="+filepath.Join(e.slot.run, "client"))
	return cmd
}

// Close ends all containers and the engine and removes what they had, except
// for the lab's own images, which the next engine finds again.
func (e *Engine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineStop)
	defer cancel()
	var errs []error
	if e.daemon != nil && !e.daemon.ended() {
		if _, err := os.Stat(filepath.Join(e.slot.run, "docker.sock")); err == nil {
			errs = append(errs, again(ctx, e.sweep))
		}
		errs = append(errs, e.daemon.stop(engineStop))
	}
	errs = append(errs, e.slot.release())
	for _, dir := range e.parents {
		// Another engine may use it by now; then it stays.
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.EBUSY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// again calls remove until it succeeds, five times at most: an engine refuses to remove a
// container whose first process is just dying.
func again(ctx context.Context, remove func(context.Context) error) error {
	for tries := 1; ; tries++ {
		err := remove(ctx)
		if err == nil || tries == 5 || ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Second)
	}
}

// sweep removes containers, networks, volumes, and images that aren't the
// lab's, and leaves a Swarm.
func (e *Engine) sweep(ctx context.Context) error {
	swarm, err := e.Docker(ctx, "info", "--format", "{{.Swarm.LocalNodeState}}")
	if err == nil && swarm != "inactive" {
		_, err = e.Docker(ctx, "swarm", "leave", "--force")
	}
	return errors.Join(err,
		e.each(ctx, []string{"container", "ls", "--all", "--quiet"}, "container", "rm", "--force", "--volumes"),
		e.each(ctx, []string{"network", "ls", "--quiet", "--filter", "type=custom", "--filter", "driver=bridge"}, "network", "rm"),
		e.each(ctx, []string{"volume", "ls", "--quiet"}, "volume", "rm", "--force"),
		e.sweepImages(ctx),
	)
}

// each runs one docker command on everything that another one lists.
func (e *Engine) each(ctx context.Context, list []string, args ...string) error {
	ids, err := e.Docker(ctx, list...)
	if err != nil || ids == "" {
		return err
	}
	_, err = e.Docker(ctx, append(args, strings.Fields(ids)...)...)
	return err
}

// missingCgroups returns the paths that a cgroup would have below the mounts
// of all hierarchies, as far as it isn't there.
func missingCgroups(name string) []string {
	const root = "/sys/fs/cgroup"
	var paths []string
	for _, mount := range append([]string{root}, globDirs(root)...) {
		if path := filepath.Join(mount, name); exists(filepath.Join(mount, "cgroup.procs")) && !exists(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func globDirs(dir string) []string {
	dirs, _ := filepath.Glob(dir + "/*") // the pattern is well-formed
	return dirs
}
