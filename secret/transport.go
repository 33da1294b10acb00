package secret

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Transport is an http.RoundTripper that follows changes of a file of CA certificates.
type Transport struct {
	insecure bool
	build    func(*tls.Config) *http.Transport

	mu      sync.Mutex // guards what follows
	ca      File
	current *http.Transport
}

// NewTransport returns a transport that trusts the certificates in the file, or the system's
// where it is "", or any with insecure. build makes the transport that does the work; it is
// called again when the file has changed.
func NewTransport(caFile string, insecure bool, build func(*tls.Config) *http.Transport) *Transport {
	return &Transport{insecure: insecure, build: build, ca: File{Path: caFile}}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	current, err := t.transport()
	if err != nil {
		return nil, err
	}
	return current.RoundTrip(req)
}

func (t *Transport) transport() (*http.Transport, error) {
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
	if t.ca.Path != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.ca.content)) {
			return nil, fmt.Errorf("%w: %s holds no PEM certificate", ErrUnreadable, t.ca.Path)
		}
	}
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
	t.current = t.build(config)
	return t.current, nil
}

// Suspect has the file looked at with the next request.
func (t *Transport) Suspect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ca.suspect()
}

// CloseIdleConnections gives back what no request uses.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
}
