package web

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// authFileEvery is how often a file of users is looked at: a user who was added or
	// taken away is so after that time, without a restart.
	authFileEvery = 10 * time.Second
	// maxAuthFile bounds a file of users.
	maxAuthFile = 1 << 20
)

// watchedUsers are users of type T, read again from their file when it changes. What can't
// be read or makes no sense changes nothing: those who could log in still can.
type watchedUsers[T any] struct {
	path  string                  // immutable
	parse func([]byte) (T, error) // immutable

	mu      sync.Mutex // guards what follows
	users   T
	content []byte
	looked  time.Time
	modTime time.Time
	failure string // of the last look, "" if it was fine
}

// openUsers reads the file for the first time.
func openUsers[T any](path string, parse func([]byte) (T, error)) (*watchedUsers[T], error) {
	w := &watchedUsers[T]{path: path, parse: parse}
	if err := w.refresh(time.Now()); err != nil {
		return nil, err
	}
	return w, nil
}

// get returns the users of now. Failed is a sentence about a file that went bad, once for
// each fault, else "".
func (w *watchedUsers[T]) get(now time.Time) (users T, failed string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.looked) < authFileEvery {
		return w.users, ""
	}
	was := w.failure
	err := w.refresh(now)
	w.failure = ""
	if err != nil {
		if w.failure = err.Error(); w.failure != was {
			failed = w.failure
		}
	}
	return w.users, failed
}

// refresh looks at the file. w.mu is held, or w is new.
func (w *watchedUsers[T]) refresh(now time.Time) error {
	w.looked = now
	f, err := os.Open(w.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.ModTime().Equal(w.modTime) && info.Size() == int64(len(w.content)) && w.failure == "" {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(f, maxAuthFile+1))
	if err != nil {
		return err
	}
	if len(content) > maxAuthFile {
		return fmt.Errorf("%s: longer than %d bytes", w.path, maxAuthFile)
	}
	users, err := w.parse(content)
	if err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	w.modTime = info.ModTime()
	if w.content != nil && bytes.Equal(content, w.content) {
		return nil
	}
	w.users, w.content = users, content
	return nil
}
