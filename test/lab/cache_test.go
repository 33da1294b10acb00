package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// However many want an artefact at once, it is made once; a failed or
// interrupted attempt leaves nothing that the next one would take for it.
func TestArtefact(t *testing.T) {
	t.Setenv("SWARMGAUGE_CACHE", t.TempDir())
	var mu sync.Mutex
	made := 0
	fail := errors.New("no luck")
	a := artefact{name: "thing", recipe: "1", build: func(_ context.Context, path string) error {
		mu.Lock()
		defer mu.Unlock()
		made++
		if err := os.WriteFile(path, []byte("half"), 0o644); err != nil {
			return err
		}
		if made == 1 {
			return fail
		}
		return os.WriteFile(path, []byte("whole"), 0o644)
	}}
	if _, err := a.get(t.Context()); !errors.Is(err, fail) {
		t.Fatalf("error %v, want %v", err, fail)
	}
	left, err := filepath.Glob(os.Getenv("SWARMGAUGE_CACHE") + "/*.partial")
	if err != nil || len(left) != 0 {
		t.Fatalf("the failed attempt left %v (%v)", left, err)
	}
	if err := makeAll(t.Context(), []artefact{a, a, a, a, a}); err != nil {
		t.Fatal(err)
	}
	if made != 2 {
		t.Errorf("made %d times after the failure, want once", made-1)
	}
	path, err := a.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "whole" {
		t.Errorf("%s: %q (%v)", path, content, err)
	}
	a.recipe = "2"
	if other, err := a.get(t.Context()); err != nil || other == path {
		t.Errorf("another recipe gives %s (%v)", other, err)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := tryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryLock(path); !errors.Is(err, errLocked) {
		t.Errorf("second lock: %v, want %v", err, errLocked)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for the lock: %v", err)
	}
	unlock()
	if unlock, err = lockFile(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	unlock()
}
