package kibana

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/secret"
)

const (
	requestTimeout = 30 * time.Second // of one request; an import takes Kibana some seconds
	maxAnswer      = 64 << 20         // bytes of an answer that are read
)

// ErrNotYet means that the same may succeed later without anybody's help: Kibana isn't
// there, or is starting, or another agent is at work.
var ErrNotYet = errors.New("not yet")

// trouble is an error of one sentence, which says what is wrong and what mends it.
type trouble struct {
	sentence string
	passes   bool // by itself
}

func (t *trouble) Error() string { return t.sentence }

func (t *trouble) Is(target error) bool { return t.passes && target == ErrNotYet }

func lasting(format string, args ...any) error {
	return &trouble{sentence: fmt.Sprintf(format, args...)}
}

func passing(format string, args ...any) error {
	return &trouble{sentence: fmt.Sprintf(format, args...), passes: true}
}

// Options say where Kibana is, and who asks it.
type Options struct {
	// URL is that of Kibana, with its base path if it has one. A user and password in it
	// count where there are none in files.
	URL string
	// Space is the id of a space; "" for the default one.
	Space string
	// User goes with PasswordFile. APIKeyFile, which wins, holds an API key, encoded or as
	// id:key. CAFile holds the PEM certificates to trust instead of the system's. The files
	// are read again when they change.
	User, PasswordFile, APIKeyFile, CAFile string
	// Version is the agent's.
	Version string
}

// Client makes requests to Kibana, one attempt each. Its methods may be called at once.
type Client struct {
	base   *url.URL // without user and password, and without a slash at its end
	space  string   // "" for the default one
	agent  string
	user   *url.Userinfo // of the URL; nil for none
	secret *secret.Authorization
	tls    *secret.Transport
	http   http.Client
}

// NewClient returns a client. Nothing is sent yet.
func NewClient(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, errors.New("the address of Kibana isn't an http or https URL")
	}
	c := &Client{base: base, space: o.Space, agent: "swarmgauge/" + o.Version, user: base.User,
		secret: secret.NewAuthorization(o.User, o.PasswordFile, o.APIKeyFile)}
	if c.space == defaultSpace {
		c.space = ""
	}
	base.User, base.Path, base.RawPath = nil, strings.TrimRight(base.Path, "/"), ""
	c.tls = secret.NewTransport(o.CAFile, false, func(config *tls.Config) *http.Transport {
		dialer := &net.Dialer{Timeout: 5 * time.Second}
		return &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: config,
			TLSHandshakeTimeout: 5 * time.Second, MaxConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
		}
	})
	c.http = http.Client{Transport: c.tls, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// defaultSpace is the id of the space without /s/ in its URLs.
const defaultSpace = "default"

// Close gives idle connections back.
func (c *Client) Close() { c.tls.CloseIdleConnections() }

// String returns the address, with the space.
func (c *Client) String() string {
	return c.base.String() + c.inSpace("")
}

// inSpace returns a path in the client's space.
func (c *Client) inSpace(path string) string {
	if c.space == "" {
		return path
	}
	return "/s/" + c.space + path
}

// reply is an answer to one request.
type reply struct {
	status int
	body   []byte
}

// said returns Kibana's own words about a failure.
func (r reply) said() string {
	var e struct{ Error, Message string }
	if json.Unmarshal(r.body, &e) == nil && e.Message != "" {
		return fmt.Sprintf("HTTP status %d: %s", r.status, clipped(e.Message))
	}
	if text := strings.TrimSpace(string(r.body)); text != "" && !strings.HasPrefix(text, "<") && !strings.HasPrefix(text, "{") {
		return fmt.Sprintf("HTTP status %d: %s", r.status, clipped(text))
	}
	return "HTTP status " + strconv.Itoa(r.status)
}

// clipped bounds what somebody else wrote.
func clipped(s string) string {
	const most = 400
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// do makes a request; body is JSON where contentType is "". An error says why there is no
// answer of a Kibana; what the statuses below 500 mean but for 401 and 429 is the caller's.
func (c *Client) do(ctx context.Context, method, path, contentType string, body []byte) (r reply, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	request.Header.Set("User-Agent", c.agent)
	request.Header.Set("kbn-xsrf", "swarmgauge") // any value; without one a change is refused
	if body != nil {
		if contentType == "" {
			contentType = "application/json"
		}
		request.Header.Set("Content-Type", contentType)
	}
	authorization, err := c.secret.Header()
	if err != nil {
		return r, lasting("a file of -kibana-password-file, -kibana-api-key-file or their Elasticsearch twins can't be read: %v", err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	} else if c.user != nil {
		password, _ := c.user.Password()
		request.SetBasicAuth(c.user.Username(), password)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return r, c.unanswered(ctx, err)
	}
	defer response.Body.Close()
	r.status = response.StatusCode
	if r.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return r, passing("the answer of Kibana at %s breaks off: %v", c, err)
	}
	switch {
	case r.status == http.StatusUnauthorized:
		c.secret.Suspect()
		return r, lasting("Kibana at %s doesn't accept the credentials (%s): check -kibana-user and its password file, or the API key file", c, r.said())
	case r.status == http.StatusTooManyRequests, r.status == http.StatusServiceUnavailable,
		r.status == http.StatusBadGateway, r.status == http.StatusGatewayTimeout:
		return r, passing("Kibana at %s isn't ready (%s)", c, r.said())
	case r.status >= 500:
		return r, lasting("Kibana at %s fails at %s %s (%s): its log says why", c, method, path, r.said())
	case r.status/100 == 3:
		to := response.Header.Get("Location")
		if u, err := url.Parse(to); err == nil {
			to = u.Redacted()
		}
		return r, lasting("Kibana's address %s redirects to %q: give the final address, with its base path, in -kibana-host", c, clipped(to))
	case r.status/100 == 2 && bytes.HasPrefix(bytes.TrimLeft(r.body, " \t\r\n"), []byte("<")):
		return r, lasting("what answers at %s sends a web page instead of Kibana's API: check host, port and base path of -kibana-host", c)
	}
	return r, nil
}

// unanswered says why there was no answer, and whether waiting helps.
func (c *Client) unanswered(ctx context.Context, err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, secret.ErrUnreadable):
		return lasting("the CA file for Kibana can't be used: %v", errors.Unwrap(err))
	case errors.As(err, &unknown):
		c.tls.Suspect()
		return lasting("the certificate of Kibana at %s is signed by an authority that isn't trusted here: give its CA in -kibana-ca-file", c)
	case errors.As(err, &name):
		return lasting("the certificate of Kibana at %s is for another host name: use the name that stands in it", c)
	case errors.As(err, &invalid), errors.As(err, &verification):
		c.tls.Suspect()
		return lasting("the certificate of Kibana at %s can't be verified: %v", c, err)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return lasting("Kibana doesn't speak TLS at %s: use http:// or the right port", c)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // without the URL, which stands in the sentence
	}
	return passing("Kibana at %s doesn't answer (%v)", c, err)
}
