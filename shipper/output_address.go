package shipper

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/swarmgauge/swarmgauge/secret"
)

// expiresSoon is how long a certificate has to be valid without being remarked upon; a third
// of its whole time where that is shorter, as those are that renew themselves.
const expiresSoon = 30 * 24 * time.Hour

// address tests one address, and reports whether Elasticsearch answers there.
func (x *outputTest) address(ctx context.Context, address string) (answers bool) {
	o := x.Options
	o.Addresses = []string{address}
	s, err := newSender(&o)
	if err != nil {
		x.add("", "address", Fault, 0, "%v", err)
		return false
	}
	defer s.close()
	u := s.client.URLs()[0]
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	proxy := s.proxy(u)
	if proxy != "" {
		x.add(shown, "proxy", OK, 0, "requests go through the proxy %s, as HTTP_PROXY or HTTPS_PROXY says; NO_PROXY makes exceptions", proxy)
	}

	var t tracer
	r, _, err := x.look(t.trace(ctx), s, func(header http.Header) esapi.Request {
		return esapi.InfoRequest{Header: header}
	})
	did := t.seen()
	if did.lookup.done() {
		x.add(shown, "name", OK, did.lookup.took(), "%s is %s", did.host, strings.Join(did.found, ", "))
	}
	if did.connect.done() {
		x.add(shown, "connection", OK, did.connect.took(), "connected to %s", did.peer)
	}
	switch {
	case did.shake.done():
		x.certificate(shown, did)
	case did.connect.done() && u.Scheme == "http" && (!x.anonymous || u.User != nil) && (proxy != "" || !local(did.peer)):
		x.add(shown, "TLS", Degraded, 0, "the credentials go over the network as plain text: let Elasticsearch have TLS, and use https://")
	}
	if s, _ := unfit(r.body); err != nil && !(errors.Is(err, errProduct) && s == Fault) { // before 7.14 it has no such header
		check, text := x.diagnose(ctx, err, did, u, proxy)
		x.add(shown, check, Fault, 0, "%s", text)
		if check == "TLS" {
			x.remedy(certificateRemedy(err))
		}
		return false
	}
	if !r.product && r.status == http.StatusBadRequest && u.Scheme == "http" && x.speaksTLS(ctx, u) {
		x.add(shown, "TLS", Fault, 0, "what answers has TLS at this address: use https://")
		return false
	}
	return x.greeting(ctx, s, shown, r, did.answer.took())
}

// local tells that what is sent to an IP address and port doesn't leave this machine.
func local(peer string) bool {
	a, err := netip.ParseAddrPort(peer)
	return err == nil && a.Addr().IsLoopback()
}

// certificate tells of the server's certificate, which the client has verified.
func (x *outputTest) certificate(shown string, did steps) {
	chain := did.tls.PeerCertificates
	if len(did.tls.VerifiedChains) > 0 {
		chain = did.tls.VerifiedChains[0]
	}
	first := chain[0]
	for _, c := range chain {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	left := time.Until(first.NotAfter)
	ends := fmt.Sprintf("%s (%d days)", first.NotAfter.UTC().Format(time.DateOnly), int(left.Hours()/24))
	if left < min(expiresSoon, first.NotAfter.Sub(first.NotBefore)/3) {
		x.add(shown, "TLS", Degraded, did.shake.took(), "the certificate of %s expires on %s: renew it; the agent sends nothing there afterwards", first.Subject, ends)
		return
	}
	x.add(shown, "TLS", OK, did.shake.took(), "%s; the certificate of %s, by %s, is trusted and valid until %s",
		tls.VersionName(did.tls.Version), chain[0].Subject, chain[0].Issuer, ends)
}

// diagnose says in one sentence why there is no answer, and in which step.
func (x *outputTest) diagnose(ctx context.Context, err error, did steps, u *url.URL, proxy string) (check, text string) {
	where := whereabouts(u, proxy)
	_, advice := transportFate(err)
	late := isLate(err)
	if check, text := noWay(err, where, x.timeouts.connect); check != "" {
		return check, text
	}
	switch {
	case errors.Is(err, secret.ErrUnreadable): // credentials were read before
		return "TLS", err.Error() + ": -es-ca-file has to name a file of PEM certificates that the agent's user can read"
	case errors.Is(err, errProduct), errors.Is(err, errPage):
		return "answer", explain(advice, plain(err))
	case advice != "":
		text := explain(advice, plain(err))
		if c, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(c.UnverifiedCertificates) > 0 {
			leaf := c.UnverifiedCertificates[0]
			text += fmt.Sprintf(": the certificate of %s, by %s, SHA-256 %X", leaf.Subject, leaf.Issuer, sha256.Sum256(leaf.Raw))
		}
		return "TLS", text
	case u.Scheme == "https" && !did.shake.done() && late:
		return "TLS", noHandshake(did.peer)
	case u.Scheme == "https" && !did.shake.done():
		return "TLS", fmt.Sprintf("%s ended the TLS handshake (%s): check host and port, and whether it wants a client certificate, which the agent hasn't", where, plain(err))
	case u.Scheme == "http" && !late && x.speaksTLS(ctx, u):
		return "TLS", "Elasticsearch has TLS at this address: use https://"
	case late:
		return "answer", silence(did.peer, fmt.Sprintf("within %v", x.test.patience))
	}
	return "answer", noAnswer(did.peer, err)
}

// speaksTLS tells whether the server takes part in a TLS handshake.
func (x *outputTest) speaksTLS(ctx context.Context, u *url.URL) bool {
	o := x.Options
	secure := *u
	secure.Scheme = "https"
	o.Addresses = []string{secure.String()}
	s, err := newSender(&o)
	if err != nil {
		return false
	}
	defer s.close()
	var t tracer
	_, _, err = x.look(t.trace(ctx), s, func(header http.Header) esapi.Request {
		return esapi.InfoRequest{Header: header}
	})
	return t.seen().shake.done() || as[*tls.CertificateVerificationError](err)
}

// greeting judges the first answer: is it Elasticsearch's, and of which version.
func (x *outputTest) greeting(ctx context.Context, s *sender, shown string, r reply, took time.Duration) bool {
	said := decodeError(r.body)
	isElastic := r.elastic(&said)
	switch {
	case r.status == http.StatusOK:
		return x.version(shown, r.body, took)
	case isElastic && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden || r.status == http.StatusMethodNotAllowed):
		// Who asks comes later. A user without the privilege monitor isn't told the version,
		// and a server without its module for that doesn't tell it here.
	case isElastic:
		_, _, sentence := r.refusal("")
		x.add(shown, "answer", Fault, took, "%s", sentence)
		return false
	default:
		_, _, sentence := r.refusal(", and not from Elasticsearch")
		if r.location != "" {
			sentence += ": " + r.location
		}
		x.add(shown, "answer", Fault, took, "%s", sentence)
		return false
	}
	n, _, err := x.look(ctx, s, func(header http.Header) esapi.Request {
		return esapi.NodesInfoRequest{NodeID: []string{"_local"}, FilterPath: []string{"cluster_name", "nodes.*.version"}, Header: header}
	})
	var info struct {
		Cluster string `json:"cluster_name"`
		Nodes   map[string]struct{ Version string }
	}
	if err == nil && n.status == http.StatusOK && json.Unmarshal(n.body, &info) == nil {
		for _, node := range info.Nodes {
			return x.judgeVersion(shown, node.Version, info.Cluster, took)
		}
	}
	x.add(shown, "answer", OK, took, "Elasticsearch answers; its version isn't told without the privilege monitor, and isn't needed")
	return true
}

// version judges the answer of a server that says what it is.
func (x *outputTest) version(shown string, body []byte, took time.Duration) bool {
	info, ok := decodeGreeting(body)
	if !ok {
		x.add(shown, "answer", Fault, took, "what answers doesn't say which version of Elasticsearch it is: check host, port and path of -storage_driver_es_host")
		return false
	}
	const none = "_na_" // a node that has found no cluster yet
	switch {
	case info.UUID == "" || info.UUID == none:
	case x.uuid == "":
		x.uuid, x.uuidFrom = info.UUID, shown
	case x.uuid != info.UUID:
		x.add(shown, "cluster", Fault, 0, "this is another cluster (%s) than that of %s: documents would be spread over both; -storage_driver_es_host is for addresses of one", info.Cluster, x.uuidFrom)
		return false
	}
	if d := info.Version.Distribution; d != "" {
		x.add(shown, "answer", OK, took, "%s %s, cluster %q", d, info.Version.Number, info.Cluster)
		return true
	}
	return x.judgeVersion(shown, info.Version.Number, info.Cluster, took)
}

func (x *outputTest) judgeVersion(shown, number, cluster string, took time.Duration) bool {
	s, sentence := judgeVersion(number, cluster)
	x.add(shown, "answer", s, took, "%s", sentence)
	return s != Fault
}
