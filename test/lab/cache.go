package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// CacheDir returns the folder that keeps what is slow to make: the value of
// SWARMGAUGE_CACHE, else the folder swarmgauge in the user's cache folder
// (XDG_CACHE_HOME, ~/.cache). It can be deleted whenever nothing uses it.
func CacheDir() (string, error) {
	if dir := os.Getenv("SWARMGAUGE_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for the lab's cache, set SWARMGAUGE_CACHE: %w", err)
	}
	return filepath.Join(base, "swarmgauge"), nil
}

// artefact is a file or folder that is made once per recipe.
type artefact struct {
	name string
	// recipe is every input of build that isn't in name. Its hash is part of
	// the artefact's file name, so a changed recipe never meets an old result.
	recipe string
	// build makes the artefact at path, which doesn't exist yet.
	build func(ctx context.Context, path string) error
}

// tag is the short hash of the recipe.
func (a artefact) tag() string {
	sum := sha256.Sum256([]byte(a.recipe))
	return hex.EncodeToString(sum[:5])
}

// get returns the path of the artefact and makes it first where it is missing.
// Other processes that want the same artefact wait meanwhile.
func (a artefact) get(ctx context.Context) (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, a.name+"-"+a.tag())
	if exists(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) {
		return path, nil
	}
	temp := path + ".partial"
	if err := os.RemoveAll(temp); err != nil {
		return "", err
	}
	if err := a.build(ctx, temp); err != nil {
		return "", errors.Join(fmt.Errorf("make %s: %w", path, err), os.RemoveAll(temp))
	}
	return path, os.Rename(temp, path)
}

// makeAll makes artefacts in their order, as many at once as help: most of them
// alternate between the network, one core and the disk. What is made from
// others is listed after them.
func makeAll(ctx context.Context, wanted []artefact) error {
	const atOnce = 3
	slots := make(chan struct{}, atOnce)
	errs := make([]error, len(wanted))
	var all sync.WaitGroup
	for i, a := range wanted {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			_, errs[i] = a.get(ctx)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// errLocked says that another process holds a lock.
var errLocked = errors.New("locked by another process")

// tryLock takes the exclusive lock of a file, which it creates. The lock ends
// with unlock or with the process, never later: children don't inherit it.
func tryLock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return func() { f.Close() }, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: %w", path, errLocked)
	}
	return nil, &os.PathError{Op: "flock", Path: path, Err: err}
}

// lockFile waits for the lock that tryLock takes.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	for {
		unlock, err := tryLock(path)
		if !errors.Is(err, errLocked) {
			return unlock, err
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, fmt.Errorf("wait for %s: %w", path, err)
		}
	}
}

// sleep waits for d or the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
