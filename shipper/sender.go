package shipper

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/secret"
)

const (
	maxRetryAfter = 5 * time.Minute // a server that asks for more is asked sooner
	maxAnswer     = 64 << 20        // bytes of an answer that are read
	// slowestLine is the pace, in bytes per second, below which a request is given up
	// though it moves.
	slowestLine = 4 << 10
)

// timeouts bound one request.
type timeouts struct {
	connect time.Duration // TCP, and TLS once more
	// stall is how long sent bytes may go without being acknowledged, or the server
	// may take none: a connection into nowhere is given up then, whatever of the
	// request is still to be written.
	stall time.Duration
	// header is for the first byte of an answer, once all of the request is written.
	// It is longer than Elasticsearch itself waits (bulkTimeout), whose answer would
	// never be seen otherwise.
	header time.Duration
	// request is for all of it, and what slowestLine takes for the body comes on top.
	request time.Duration
}

func defaultTimeouts() timeouts {
	return timeouts{connect: 5 * time.Second, stall: 20 * time.Second, header: bulkTimeout + 3*time.Second, request: time.Minute}
}

var (
	// errProduct means that something else than Elasticsearch answered.
	errProduct = errors.New("what answers isn't Elasticsearch (the header X-Elastic-Product is missing)")
	// errPage means that a page for people was answered.
	errPage = errors.New("what answers sends a web page with status 200")
	// errTooLong means that an answer isn't read to its end.
	errTooLong = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
)

// sender makes requests to Elasticsearch, one attempt each: retries, and what an answer
// means, are its caller's. It knows nothing of files or batches. Its methods may be
// called at once.
//
// The requests are those of go-elasticsearch's esapi, over its transport, which has the
// pool of nodes with their dead times. Retries inside it are off, because they don't wait
// and don't know Retry-After; its compression is off, because the body is compressed
// already. Package elasticsearch itself stays out: it would add nothing but the typed API,
// which takes minutes to compile.
type sender struct {
	client   *elastictransport.Client
	pipeline string
	secrets  *secret.Authorization
	tls      *secret.Transport // nil if the caller brought a transport of its own
	product  bool              // require Elasticsearch's product header
	timeouts timeouts
	// placed tells that documents were seen to go into the indices they are for: until
	// then each answer to _bulk is asked where they went.
	placed atomic.Bool
}

// newSender returns a sender for the addresses in the options. Nothing is sent yet.
func newSender(o *Options) (*sender, error) {
	s := &sender{product: !o.NoProductCheck, pipeline: o.Pipeline, timeouts: o.timeouts,
		secrets: secret.NewAuthorization(o.Username, o.PasswordFile, o.APIKeyFile)}
	urls, err := parseAddresses(o.Addresses)
	if err != nil {
		return nil, err
	}
	roundTripper := o.Transport
	if roundTripper == nil {
		s.tls = secret.NewTransport(o.CAFile, o.InsecureTLS, func(c *tls.Config) *http.Transport { return newTransport(c, o.timeouts, o.resolver) })
		roundTripper = s.tls
	}
	client, err := elastictransport.NewClient(
		elastictransport.WithURLs(urls...),
		elastictransport.WithTransport(addressed{roundTripper}),
		elastictransport.WithUserAgent("swarmgauge/"+o.Version),
		elastictransport.WithDisableRetry(),
	)
	if err != nil {
		return nil, fmt.Errorf("making the client of Elasticsearch: %w", err)
	}
	s.client = client
	return s, nil
}

// CheckAddresses returns the error that New would have for such Addresses.
func CheckAddresses(addresses []string) error {
	_, err := parseAddresses(addresses)
	return err
}

func parseAddresses(addresses []string) (urls []*url.URL, err error) {
	for _, a := range addresses {
		if !strings.Contains(a, "://") {
			a = "http://" + a
		}
		u, err := url.Parse(a)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("the address of Elasticsearch %q isn't an http or https URL", redacted(a, u))
		}
		if port, err := strconv.Atoi(cmp.Or(u.Port(), "9200")); err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("the address of Elasticsearch %q has the port %s; a port is a number from 1 to 65535", redacted(a, u), u.Port())
		}
		u.Path = strings.TrimRight(u.Path, "/")
		urls = append(urls, u)
	}
	return urls, nil
}

// redacted returns the address without a password that may stand in it.
func redacted(address string, u *url.URL) string {
	if u != nil {
		return u.Redacted()
	}
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return "…" + address[at:]
	}
	return address
}

// close ends what the client does in the background and gives idle connections back.
func (s *sender) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.client.Close(ctx) // a pool that takes longer has nothing that matters any more
	if s.tls != nil {
		s.tls.CloseIdleConnections()
	}
}

// reply is an answer to one request.
type reply struct {
	status     int
	retryAfter time.Duration // 0 if the server didn't say
	body       []byte        // the caller's memory
	warning    string        // the header of that name
	location   string        // the header of that name
	product    bool          // Elasticsearch's product header is there
}

// elastic tells that the answer is Elasticsearch's. Its refusals lack the header at times.
func (r *reply) elastic(said *elasticError) bool { return r.product || said.Type != "" }

// rule returns what the table says to an answer that isn't a success, and what the server said.
func (r *reply) rule() (*rule, elasticError) {
	said := decodeError(r.body)
	kind := said.Type
	if !r.elastic(&said) {
		kind = kindForeign
	}
	return decide(requestFates[:], r.status, kind), said
}

// denied tells that the user lacks a privilege. Something else is forbidden with the same
// status, as by a block: that has a type of its own in the table.
func (r *reply) denied() bool {
	rule, _ := r.rule()
	return r.status == http.StatusForbidden && rule.kind == ""
}

// refusal returns what the table says to an answer that isn't a success, what the server said,
// and a sentence of both. of continues "HTTP status 500".
func (r *reply) refusal(of string) (*rule, elasticError, string) {
	rule, said := r.rule()
	text := fmt.Sprintf("HTTP status %d%s", r.status, of)
	if said.Reason != "" {
		text += ": " + said.Reason
	}
	return rule, said, explain(rule.advice, text)
}

// bulkTimeout is how long Elasticsearch waits for a shard before it says 503.
const bulkTimeout = 30 * time.Second

// bulkFilter is what an answer to _bulk has to tell. Its items are matched by their
// position, so each has to leave something: its status does. The index of each doubles the
// answer.
func bulkFilter(index bool) []string {
	filter := []string{"errors", "items.*.status", "items.*.error.type", "items.*.error.reason", "items.*.failure_store"}
	if index {
		filter = append(filter, "items.*._index")
	}
	return filter
}

// sendBulk sends one gzipped _bulk body. The answer is appended to dst[:0]. index asks for
// the index of each document.
func (s *sender) sendBulk(ctx context.Context, member, dst []byte, index bool) (reply, error) {
	line := time.Duration(len(member)) * time.Second / slowestLine
	return s.do(ctx, line, func(header http.Header) esapi.Request {
		header.Set("Content-Type", "application/x-ndjson")
		header.Set("Content-Encoding", "gzip")
		return esapi.BulkRequest{
			Body: bytes.NewReader(member), Header: header,
			Pipeline: s.pipeline, Timeout: bulkTimeout, FilterPath: bulkFilter(index),
		}
	}, dst)
}

// do makes the request that is built around a header with credentials; its body may take
// line beyond the usual time. The answer is appended to dst[:0]. An error means that it
// isn't known whether the server carried it out, unless transportFate says otherwise.
func (s *sender) do(ctx context.Context, line time.Duration, build func(http.Header) esapi.Request, dst []byte) (r reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.request+line)
	defer cancel()
	header := http.Header{"Accept": {"application/json"}}
	authorization, err := s.secrets.Header()
	if err != nil {
		return r, err
	}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	res, err := build(header).Do(ctx, s.client)
	if err != nil {
		if f, _ := transportFate(err); f == hold && s.tls != nil {
			s.tls.Suspect()
		}
		return r, err
	}
	defer res.Body.Close()
	r.status, r.warning, r.location = res.StatusCode, res.Header.Get("Warning"), res.Header.Get("Location")
	r.product = res.Header.Get("X-Elastic-Product") == "Elasticsearch"
	r.retryAfter = retryAfter(res.Header.Get("Retry-After"), time.Now())
	r.body, err = readAll(dst[:0], res.Body)
	if err != nil {
		return r, err
	}
	if r.status == http.StatusUnauthorized {
		s.secrets.Suspect()
	}
	if s.product && r.status/100 == 2 && !r.product {
		return r, errProduct
	}
	if r.status/100 == 2 && bytes.HasPrefix(bytes.TrimLeft(r.body, " \t\r\n"), []byte("<")) {
		return r, errPage
	}
	return r, nil
}

// readAll appends all that r has to dst.
func readAll(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
		if len(dst) > maxAnswer {
			return dst, errTooLong
		}
	}
}

// retryAfter reads the header Retry-After (RFC 9110, 10.2.3): seconds, or a date.
func retryAfter(v string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// newTransport returns a transport for few long-lived connections: one for each lane.
// HTTP/2, which only a proxy would speak, would put all lanes onto one connection, and goes
// on using it after it has died.
func newTransport(config *tls.Config, t timeouts, r *net.Resolver) *http.Transport {
	dialer := &net.Dialer{
		Timeout: t.connect, KeepAlive: 30 * time.Second, Resolver: r,
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				// A kernel without it has t.request.
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(t.stall.Milliseconds()))
			})
		},
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   t.connect,
		ResponseHeaderTimeout: t.header,
		MaxConnsPerHost:       maxLanes + 1,
		MaxIdleConnsPerHost:   maxLanes + 1,
		IdleConnTimeout:       90 * time.Second,
		// Header and body of an ordinary batch go out in one system call.
		WriteBufferSize: 64 << 10,
	}
}

// bulkAnswer is what filter_path leaves of the answer to _bulk.
type bulkAnswer struct {
	Errors *bool `json:"errors"`
	Items  []struct {
		Create *struct {
			Status       int          `json:"status"`
			Error        elasticError `json:"error"`
			FailureStore string       `json:"failure_store"`
		} `json:"create"`
	} `json:"items"`
}

// elasticError is Elasticsearch's error object.
type elasticError struct {
	Type     string        `json:"type"`
	Reason   string        `json:"reason"`
	CausedBy *elasticError `json:"caused_by"`
}

// root returns the innermost cause, which is what went wrong.
func (e *elasticError) root() *elasticError {
	for e.CausedBy != nil {
		e = e.CausedBy
	}
	return e
}

// errUnreadable means that the answer doesn't tell what became of the request.
var errUnreadable = errors.New("the answer to _bulk can't be read")

// decodeBulk reads the answer to a _bulk request of docs documents, the first of which is
// number first in its batch. It appends a problem for each document that isn't simply
// stored, and counts those that went to a failure store instead of the index.
func decodeBulk(body []byte, first, docs int, problems []problem) (_ []problem, failureStore int, err error) {
	// The usual answer, without an allocation: all is well, and for all of them.
	if bytes.HasPrefix(body, []byte(`{"errors":false,`)) && bytes.HasSuffix(body, []byte("]}")) &&
		bytes.Count(body, []byte(`{"create":{"status":201}}`)) == docs {
		return problems, 0, nil
	}
	var a bulkAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return problems, 0, fmt.Errorf("%w: %v", errUnreadable, err)
	}
	if len(a.Items) != docs || a.Errors == nil {
		return problems, 0, fmt.Errorf("%w: %d items for %d documents", errUnreadable, len(a.Items), docs)
	}
	start := len(problems)
	for i := range a.Items {
		item := a.Items[i].Create
		if item == nil || item.Status == 0 {
			return problems[:start], 0, fmt.Errorf("%w: item %d has no status", errUnreadable, i)
		}
		kind := item.Error.Type
		if item.FailureStore == "used" {
			kind = kindFailureStore
			failureStore++
		}
		r := decide(itemFates[:], item.Status, kind)
		if r.fate == delivered {
			continue
		}
		problems = append(problems, problem{
			doc: first + i, fate: r.fate, status: item.Status,
			kind: kind, reason: item.Error.Reason, advice: r.advice,
		})
	}
	return problems, failureStore, nil
}

// decodeError returns the error that the body of a refused request tells of; both fields
// are empty when it isn't Elasticsearch's.
func decodeError(body []byte) (e elasticError) {
	var a struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &a) != nil {
		return e
	}
	if json.Unmarshal(a.Error, &e) != nil {
		json.Unmarshal(a.Error, &e.Reason) // older servers say it in a plain string
	}
	return e
}
