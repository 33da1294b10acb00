// Command demo shows what this repository is for on one machine, from nothing: containers
// that do something, agents, and Elasticsearch.
//
//	demo up [-nodes 4]   a Swarm whose nodes are containers, made by deploy/create_cluster.sh,
//	                     and a table of what Elasticsearch knows
//	demo host            the same of this machine, without a Swarm of several nodes
//	demo down            remove all of it
//
// It uses the Docker engine that answers on this machine, or else starts Debian's, with data
// of its own and no way to a registry; where that can't be, the cgroups that are there are
// measured. What it starts itself lives in a background process
// (demo engine, demo serve), which removes it again when it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: demo up, demo host, or demo down")
	}
	cluster, err := openFiles("cluster")
	if err != nil {
		return err
	}
	host, err := openFiles("host")
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		flags := flag.NewFlagSet("demo up", flag.ContinueOnError)
		nodes := flags.Int("nodes", 4, "number of workers beside the manager")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		err := clusterUp(ctx, cluster, *nodes)
		if _, ok := errors.AsType[noEngine](err); !ok {
			return err
		}
		fmt.Println("No Docker engine answers here, and none can be started:", err)
		fmt.Println("So there is no Swarm, and this machine alone is measured, as `make demo-host` does.")
		return hostUp(ctx, host)
	case "host":
		return hostUp(ctx, host)
	case "down":
		return errors.Join(clusterDown(ctx, cluster), host.end(ctx))
	case "engine":
		return background(ctx, cluster, serveEngine)
	case "serve":
		return background(ctx, host, serve)
	}
	return fmt.Errorf("there is no %q: demo up, demo host, or demo down", args[0])
}

// hostUp starts the background process unless it is there, waits until documents have come,
// and prints them.
func hostUp(ctx context.Context, f files) error {
	running, err := f.running()
	if err != nil {
		return err
	}
	if !running {
		if err := prepare(ctx); err != nil {
			return err
		}
		if err := f.launch("serve"); err != nil {
			return err
		}
	}
	st, err := f.follow(ctx, os.Stdout)
	if err != nil {
		return err
	}
	err = show(ctx, os.Stdout, st)
	lookAt(os.Stdout, st)
	return err
}

// launch starts the background process, which is a command of this program.
func (f files) launch(command string) error {
	os.Remove(f.state)
	log, err := os.Create(f.log)
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// `go run` removes its binary when it ends; the background process stays.
	kept := filepath.Join(f.dir, "demo")
	if err := copyFile(kept, self); err != nil {
		return err
	}
	cmd := exec.Command(kept, command)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(f.pid, fmt.Append(nil, cmd.Process.Pid), 0o644); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}

// end ends the background process, which removes what it made.
func (f files) end(ctx context.Context) error {
	running, err := f.running()
	if err != nil || !running {
		return err
	}
	text, err := os.ReadFile(f.pid)
	if err != nil {
		return err
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		return fmt.Errorf("%s: %w", f.pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for range 60 {
		if running, err := f.running(); err != nil || !running {
			fmt.Println("the background process of the demo is gone, with all that it had started")
			return errors.Join(err, os.RemoveAll(f.dir))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("the demo still runs after a minute; %s says why", f.log)
}

// running tells whether a background process holds the lock.
func (f files) running() (bool, error) {
	lock := flock.New(f.lock)
	free, err := lock.TryLock()
	if err != nil {
		return false, err
	}
	if free {
		return false, lock.Unlock()
	}
	return true, nil
}

// follow prints what the background process says until it is ready.
func (f files) follow(ctx context.Context, w io.Writer) (*state, error) {
	printed := 0
	for {
		text, err := os.ReadFile(f.log)
		if err != nil {
			return nil, err
		}
		fmt.Fprint(w, string(text[printed:]))
		printed = len(text)
		st, err := f.load()
		if err == nil {
			return st, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		running, err := f.running()
		if err != nil {
			return nil, err
		}
		if !running {
			// It may have ended, or not have taken its lock yet.
			if text, err := os.ReadFile(f.log); err == nil && strings.Contains(string(text), failed) {
				fmt.Fprint(w, string(text[printed:]))
				return nil, errors.New("the demo could not be started")
			}
		}
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
