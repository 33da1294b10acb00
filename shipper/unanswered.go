package shipper

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// addressed is a transport whose errors tell which address they are of: the client chooses one
// of several.
type addressed struct{ http.RoundTripper }

// addressError is an error of a request to an address, and says no more than that error.
type addressError struct {
	url *url.URL
	err error
}

func (e *addressError) Error() string { return e.err.Error() }
func (e *addressError) Unwrap() error { return e.err }

// RoundTrip implements http.RoundTripper.
func (a addressed) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := a.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, &addressError{&url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host}, err}
	}
	return res, nil
}

// proxy returns the proxy that requests to an address go through, without its password; ""
// for none. An error comes with the request, too.
func (s *sender) proxy(u *url.URL) string {
	if s.tls == nil {
		return ""
	}
	p, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil || p == nil {
		return ""
	}
	return p.Redacted()
}

// whereabouts names what there is to be a connection to.
func whereabouts(u *url.URL, proxy string) string {
	if proxy != "" {
		return "the proxy " + proxy
	}
	return u.Host
}

// unanswered says what becomes of a request that got no answer, or none of Elasticsearch's,
// and in one sentence why it didn't and what mends that. The sentence stays the same for as
// long as the reason does.
func (s *sender) unanswered(err error) (fate, string) {
	f, advice := transportFate(err)
	where := "Elasticsearch"
	if a, ok := errors.AsType[*addressError](err); ok {
		where = whereabouts(a.url, s.proxy(a.url))
	}
	if _, text := noWay(err, where, s.timeouts.connect); text != "" {
		return f, text
	}
	switch said := err.Error(); {
	case advice != "" || errors.Is(err, errTooLong) || errors.Is(err, context.Canceled):
		return f, explain(advice, plain(err))
	case strings.Contains(said, "TLS handshake timeout"):
		return f, noHandshake(where)
	case strings.Contains(said, "timeout awaiting response headers"):
		return f, silence(where, fmt.Sprintf("within %v", s.timeouts.header))
	case isLate(err):
		return f, silence(where, "in time")
	case strings.Contains(said, "malformed HTTP"):
		// What it said may be anything, and another thing each time.
		return f, fmt.Sprintf("what listens at %s doesn't speak HTTP: check host and port", where)
	}
	return f, noAnswer(where, err)
}

// noWay says why there is no connection to where, and in which step; "" if that isn't it.
func noWay(err error, where string, connect time.Duration) (check, text string) {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "name", fmt.Sprintf("no such name: %s; in a stack it is the name of a service, and the agent's service has to be on a network with it", dns.Name)
	case errors.As(err, &dns):
		return "name", fmt.Sprintf("the name %s can't be looked up: %s; check the resolver of this machine or container (/etc/resolv.conf)", dns.Name, plain(dns))
	case !noConnection(err):
		return "", ""
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection", fmt.Sprintf("nothing listens at %s (connection refused): check the port, that it runs, and that it listens on this address and not on localhost alone (network.host)", where)
	case isLate(err):
		return "connection", fmt.Sprintf("%s doesn't answer a connection within %v: check the address, and firewalls and networks in between", where, connect)
	}
	return "connection", fmt.Sprintf("there is no way to %s (%s): check the address and the networks of this machine or container", where, plain(err))
}

func noHandshake(where string) string {
	return fmt.Sprintf("connected to %s, and there is no answer to the TLS handshake: it hangs, or something else listens at this port", where)
}

func silence(where, within string) string {
	return fmt.Sprintf("connected to %s, and it says nothing %s: it hangs, is overloaded, or something else listens at this port", where, within)
}

func noAnswer(where string, err error) string {
	return fmt.Sprintf("connected to %s, and the connection ended without an answer (%s): unless it passes, check host and port, and whether it wants https://", where, plain(err))
}

// isLate tells that something took too long.
func isLate(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// ownPort is the port of this side of a connection in the text of an error.
var ownPort = regexp.MustCompile(`:\d+->`)

// plain returns the text of an error without what is another with each attempt: addresses, of
// which a name may have several, the port of this side, and the time of day.
func plain(err error) string {
	if of, ok := errors.AsType[*net.OpError](err); ok {
		if errno, ok := errors.AsType[syscall.Errno](of); ok {
			return errno.Error()
		}
	}
	if c, ok := errors.AsType[x509.CertificateInvalidError](err); ok && c.Reason == x509.Expired {
		return fmt.Sprintf("it is valid from %s to %s", c.Cert.NotBefore.UTC().Format(time.RFC3339), c.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return ownPort.ReplaceAllString(err.Error(), "->")
}
