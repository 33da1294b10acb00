package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// systemPath is where Debian keeps administrators' commands; the PATH of an
// ordinary user lacks half of it.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// command is exec.CommandContext with [systemPath] behind the caller's PATH.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	if path, err := lookPath(name); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+systemPath, "LC_ALL=C")
	// Grandchildren may keep the output pipes open after an interrupted command.
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// lookPath is exec.LookPath with [systemPath] behind the caller's PATH.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || strings.Contains(name, "/") {
		return path, err
	}
	for dir := range strings.SplitSeq(systemPath, ":") {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path, nil
		}
	}
	return "", err
}

// endGently makes the end of its context a request to the command, which then
// has a minute to clean up.
func endGently(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
}

// output runs a command to its end and returns its standard output without
// the white space at its ends. The error names the command and has the end of
// what it wrote to standard error, or else to standard output.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out := strings.TrimSpace(stdout.String())
	if err != nil {
		said := strings.TrimSpace(stderr.String())
		if said == "" {
			said = out
		}
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, tail(said))
	}
	return out, err
}

// run is output for a command whose output matters only if it fails.
func run(ctx context.Context, name string, args ...string) error {
	_, err := output(command(ctx, name, args...))
	return err
}

// tail returns the last lines of a text, 2 KiB at most.
func tail(s string) string {
	const most = 2 << 10
	s = strings.TrimSpace(s)
	if len(s) <= most {
		return s
	}
	s = s[len(s)-most:]
	_, s, _ = strings.Cut(s, "\n")
	return "… " + s
}

// daemon is a process that runs until it is stopped. It also ends when the
// process that started it dies, however that dies.
type daemon struct {
	name string
	pid  int
	log  string        // path of the file with its output
	done chan struct{} // closed at its end
	err  error         // why it ended; valid once done is closed
}

// startDaemon starts cmd in a process group of its own, its output in the file
// log. The command must not be bound to a context that ends before it.
func startDaemon(cmd *exec.Cmd, log string) (*daemon, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM

	d := &daemon{name: cmd.Args[0], log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal at the end of the *thread*
		// that started the child, so that thread has to outlive the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		d.pid = cmd.Process.Pid
		started <- nil
		d.err = cmd.Wait()
		close(d.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return d, nil
}

// waitFor calls ready until it returns nil. It gives up when ctx ends or when
// the daemon does; its error then has the last answer of ready and the end of
// the daemon's output.
func (d *daemon) waitFor(ctx context.Context, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("%s ended (%v) before it was ready; its last words:\n%s", d.name, d.err, d.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s isn't ready (%w): %w; its last words:\n%s", d.name, context.Cause(ctx), err, d.tail())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop asks the daemon to end, and after grace kills its process group.
func (d *daemon) stop(grace time.Duration) error {
	if d.ended() {
		return nil
	}
	if err := syscall.Kill(d.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s (pid %d): %w", d.name, d.pid, err)
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(grace):
		return errors.Join(fmt.Errorf("%s (pid %d) didn't end in %v, killed; its last words:\n%s", d.name, d.pid, grace, d.tail()), d.kill())
	}
}

// kill ends the daemon's process group at once and waits for the daemon.
func (d *daemon) kill() error {
	if d.ended() {
		return nil
	}
	if err := syscall.Kill(-d.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s (pid %d): %w", d.name, d.pid, err)
	}
	<-d.done
	return nil
}

func (d *daemon) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// tail returns the end of the daemon's output.
func (d *daemon) tail() string {
	f, err := os.Open(d.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 8<<10 {
		f.Seek(-8<<10, io.SeekEnd)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return tail(string(text))
}
