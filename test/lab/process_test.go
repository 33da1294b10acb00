package lab

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOutput(t *testing.T) {
	out, err := output(command(t.Context(), "sh", "-c", "echo ' to stdout '; echo to stderr >&2"))
	if err != nil || out != "to stdout" {
		t.Errorf("output %q (%v)", out, err)
	}
	_, err = output(command(t.Context(), "sh", "-c", "echo to stderr >&2; exit 3"))
	if err == nil || !strings.Contains(err.Error(), "exit status 3: to stderr") || !strings.HasPrefix(err.Error(), "sh -c") {
		t.Errorf("error %v", err)
	}
}

// The error about a daemon says how it ended and what it said last.
func TestDaemonEnds(t *testing.T) {
	d, err := startDaemon(command(context.Background(), "sh", "-c", "echo last words; exit 4"), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	err = d.waitFor(t.Context(), func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "exit status 4") || !strings.Contains(err.Error(), "last words") {
		t.Errorf("error %v", err)
	}
}

// A daemon that ignores the request to end is killed.
func TestDaemonStop(t *testing.T) {
	d, err := startDaemon(command(context.Background(), "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	err = d.waitFor(t.Context(), func(context.Context) error {
		if d.tail() != "ready" {
			return errors.New("not ready")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.stop(50 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("error %v", err)
	}
	if !d.ended() {
		t.Error("the daemon is still there")
	}
	if err := d.stop(time.Second); err != nil {
		t.Errorf("stop again: %v", err)
	}
}

func TestTail(t *testing.T) {
	if got := tail("\n short \n"); got != "short" {
		t.Errorf("tail %q", got)
	}
	got := tail(strings.Repeat("0123456789\n", 1000))
	if len(got) > 2<<10+len("… ") || !strings.HasPrefix(got, "… 0123456789\n") || !strings.HasSuffix(got, "\n0123456789") {
		t.Errorf("tail %q", got)
	}
}
