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

// Containerd is a plain containerd with folders of its own, and no Docker above it. There
// is one of the package on a machine at a time. It has [BusyboxImage] as [PodmanImage] in
// each namespace that it was started with.
type Containerd struct {
	run, data  string // folders
	unlock     func()
	daemon     *daemon
	namespaces []string
	parents    []string
}

// StartContainerd starts containerd, waits until it answers, and makes the namespaces. The
// image comes from a Podman.
func StartContainerd(ctx context.Context, p *Podman, namespaces ...string) (c *Containerd, err error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	c = &Containerd{run: filepath.Join(runRoot, "containerd"), data: filepath.Join(cache, "containerd"), namespaces: namespaces}
	if err := os.MkdirAll(c.run, 0o755); err != nil {
		return nil, err
	}
	if c.unlock, err = lockFile(ctx, c.run+".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for _, n := range namespaces {
		c.parents = append(c.parents, missingCgroups(n)...)
	}
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = %q
[ttrpc]
address = %q
`, c.data, c.State(), c.Socket(), c.Socket()+".ttrpc")
	file := filepath.Join(c.run, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, engineStart)
	defer cancel()
	if c.daemon, err = startDaemon(command(context.Background(), "containerd", "--config", file), filepath.Join(c.run, "log")); err != nil {
		return nil, err
	}
	err = c.daemon.waitFor(ctx, func(ctx context.Context) error {
		_, err := c.Ctr(ctx, "default", "version")
		return err
	})
	if err != nil {
		return nil, err
	}
	// A run that was killed leaves tasks behind, which this containerd has found.
	if err := c.sweep(ctx); err != nil {
		return nil, err
	}
	archive := filepath.Join(c.run, "image.tar")
	if _, err := p.Podman(ctx, "save", "--output", archive, PodmanImage); err != nil {
		return nil, err
	}
	for _, n := range namespaces {
		if _, err := c.Ctr(ctx, n, "images", "import", archive); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// ContainerdFor is [Need] and [StartContainerd] for a test, which ends it with its own end.
func ContainerdFor(tb testing.TB, p *Podman, namespaces ...string) *Containerd {
	tb.Helper()
	Need(tb, ContainerdPart)
	c, err := StartContainerd(tb.Context(), p, namespaces...)
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, c)
	return c
}

// State returns containerd's state directory, such as /run/containerd.
func (c *Containerd) State() string { return filepath.Join(c.run, "state") }

// Socket returns the path of containerd's socket.
func (c *Containerd) Socket() string { return filepath.Join(c.run, "containerd.sock") }

// Ctr runs the ctr command in a namespace and returns its standard output without the
// white space at its ends.
func (c *Containerd) Ctr(ctx context.Context, namespace string, args ...string) (string, error) {
	return output(c.command(ctx, namespace, args...))
}

func (c *Containerd) command(ctx context.Context, namespace string, args ...string) *exec.Cmd {
	return command(ctx, "ctr", append([]string{"--address", c.Socket(), "--namespace", namespace}, args...)...)
}

// Run starts a detached container. What it prints goes nowhere: a task whose output nobody
// reads any more would hold up the end of this process.
func (c *Containerd) Run(ctx context.Context, namespace, id string, args []string, command ...string) error {
	cmd := c.command(ctx, namespace, append(append(append([]string{"run", "--detach", "--null-io"}, args...), PodmanImage, id), command...)...)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w; containerd's last words:\n%s", strings.Join(cmd.Args, " "), err, c.daemon.tail())
	}
	return nil
}

// Remove ends a container and removes it.
func (c *Containerd) Remove(ctx context.Context, namespace, id string) error {
	if err := c.end(ctx, namespace, id); err != nil {
		return err
	}
	_, err := c.Ctr(ctx, namespace, "containers", "rm", id)
	return err
}

// Restart ends the task of a container and starts another one.
func (c *Containerd) Restart(ctx context.Context, namespace, id string) error {
	if err := c.end(ctx, namespace, id); err != nil {
		return err
	}
	cmd := c.command(ctx, namespace, "tasks", "start", "--detach", "--null-io", id)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	return cmd.Run()
}

// end kills a container's task and waits for its end.
func (c *Containerd) end(ctx context.Context, namespace, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		tasks, err := c.Ctr(ctx, namespace, "tasks", "ls", "--quiet")
		if err != nil {
			return err
		}
		if !strings.Contains(tasks, id) {
			return nil
		}
		// Refused as long as the task runs, which the signal changes in a moment.
		_, err = c.Ctr(ctx, namespace, "tasks", "rm", "--force", id)
		if err == nil {
			return nil
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
}

// sweep removes all containers of all namespaces.
func (c *Containerd) sweep(ctx context.Context) error {
	namespaces, err := c.Ctr(ctx, "default", "namespaces", "ls", "--quiet")
	if err != nil {
		return err
	}
	var errs []error
	for namespace := range strings.FieldsSeq(namespaces) {
		ids, err := c.Ctr(ctx, namespace, "containers", "ls", "--quiet")
		errs = append(errs, err)
		for id := range strings.FieldsSeq(ids) {
			errs = append(errs, c.Remove(ctx, namespace, id))
		}
	}
	return errors.Join(errs...)
}

// Close ends all containers and containerd, and removes what they had.
func (c *Containerd) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineStop)
	defer cancel()
	defer c.unlock()
	var errs []error
	if c.daemon != nil && !c.daemon.ended() {
		errs = append(errs, c.sweep(ctx), c.daemon.stop(engineStop))
	}
	errs = append(errs, os.RemoveAll(c.run), os.RemoveAll(c.data))
	for _, dir := range c.parents {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
