package shipper

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// secretEvery is how often the files of secrets are looked at: a rotated password, key
// or CA is in use after that time, without a restart.
const secretEvery = 10 * time.Second

// errSecret means that a secret can't be read.
var errSecret = errors.New("a secret can't be read")

// watchedFile is a small file that is read again when it changes. It belongs to one
// goroutine at a time.
type watchedFile struct {
	path    string // "" for none
	content string // without white space around it
	looked  time.Time
	modTime time.Time
	size    int64
}

// refresh reads the file again if it changed, and reports whether it did. It looks at
// most every secretEvery.
func (w *watchedFile) refresh(now time.Time) (changed bool, err error) {
	if w.path == "" || !w.looked.IsZero() && now.Sub(w.looked) < secretEvery {
		return false, nil
	}
	fi, err := os.Stat(w.path)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errSecret, err)
	}
	w.looked = now
	if fi.ModTime().Equal(w.modTime) && fi.Size() == w.size {
		return false, nil
	}
	b, err := os.ReadFile(w.path)
	if err != nil {
		w.looked = time.Time{}
		return false, fmt.Errorf("%w: %w", errSecret, err)
	}
	w.modTime, w.size = fi.ModTime(), fi.Size()
	content := strings.TrimSpace(string(b))
	changed = content != w.content
	w.content = content
	return changed, nil
}

// suspect has the file looked at with the next request.
func (w *watchedFile) suspect() { w.looked = time.Time{} }

// secrets makes the header Authorization. Nothing of it is ever logged.
type secrets struct {
	mu       sync.Mutex // guards what follows
	user     string
	password watchedFile
	apiKey   watchedFile
	header   string
}

// authorization returns the header's value, "" for none.
func (s *secrets) authorization() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	newKey, err := s.apiKey.refresh(now)
	if err != nil {
		return "", err
	}
	newPassword, err := s.password.refresh(now)
	if err != nil {
		return "", err
	}
	if s.header != "" && !newKey && !newPassword {
		return s.header, nil
	}
	switch {
	case strings.Contains(s.apiKey.content, ":"): // id:key, not yet encoded
		s.header = "ApiKey " + base64.StdEncoding.EncodeToString([]byte(s.apiKey.content))
	case s.apiKey.content != "":
		s.header = "ApiKey " + s.apiKey.content
	case s.user != "":
		s.header = "Basic " + base64.StdEncoding.EncodeToString([]byte(s.user+":"+s.password.content))
	}
	return s.header, nil
}

// suspect has the files read again: the server refused what they held.
func (s *secrets) suspect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password.suspect()
	s.apiKey.suspect()
}

// reloadingTransport is an http.RoundTripper that follows changes of the CA file.
type reloadingTransport struct {
	insecure bool
	timeouts timeouts
	resolver *net.Resolver // nil for the system's

	mu      sync.Mutex // guards what follows
	ca      watchedFile
	current *http.Transport
}

func (t *reloadingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	current, err := t.transport()
	if err != nil {
		return nil, err
	}
	return current.RoundTrip(req)
}

func (t *reloadingTransport) transport() (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed, err := t.ca.refresh(time.Now())
	if err != nil {
		return nil, err
	}
	if t.current != nil && !changed {
		return t.current, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.insecure}
	if t.ca.path != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.ca.content)) {
			return nil, fmt.Errorf("%w: %s holds no PEM certificate", errSecret, t.ca.path)
		}
	}
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
	t.current = newTransport(config, t.timeouts, t.resolver)
	return t.current, nil
}

// suspect has the CA file looked at with the next request.
func (t *reloadingTransport) suspect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ca.suspect()
}

func (t *reloadingTransport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
}
