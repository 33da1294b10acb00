// Package secret reads what proves who the agent is, and whom it trusts, from files that may
// be replaced while it runs: passwords, API keys and CA certificates. It makes HTTP headers
// and transports of them for whoever asks Elasticsearch or Kibana. What is in the files gets
// into no log and no error.
//
// Authorization and Transport may be used by several goroutines at once; a File may not.
package secret

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// every is how often the files of secrets are looked at: a rotated password, key or CA is in
// use after that time, without a restart.
const every = 10 * time.Second

// ErrUnreadable means that a secret can't be read.
var ErrUnreadable = errors.New("a secret can't be read")

// File is a small file that is read again when it changes.
type File struct {
	Path string // "" for none

	content string // without white space around it
	looked  time.Time
	modTime time.Time
	size    int64
}

// refresh reads the file again if it changed, and reports whether it did. It looks at
// most once in the time every.
func (f *File) refresh(now time.Time) (changed bool, err error) {
	if f.Path == "" || !f.looked.IsZero() && now.Sub(f.looked) < every {
		return false, nil
	}
	fi, err := os.Stat(f.Path)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	f.looked = now
	if fi.ModTime().Equal(f.modTime) && fi.Size() == f.size {
		return false, nil
	}
	b, err := os.ReadFile(f.Path)
	if err != nil {
		f.looked = time.Time{}
		return false, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	f.modTime, f.size = fi.ModTime(), fi.Size()
	content := strings.TrimSpace(string(b))
	changed = content != f.content
	f.content = content
	return changed, nil
}

// suspect has the file looked at with the next request.
func (f *File) suspect() { f.looked = time.Time{} }
