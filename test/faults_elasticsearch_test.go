package test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/faults"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// The rows of the catalogue of faults that want a real Elasticsearch. All of them share one
// server, with TLS and users, because starting it takes as long as three of them.

// rowServer is the server that the rows share, started by the first.
type rowServer struct {
	mu        sync.Mutex // guards what follows
	server    *lab.ElasticsearchServer
	err       error
	authority *authority
}

var sharedRowServer rowServer

// rowRoles are those of an agent as the operations guide wants it, and of one that may
// write and nothing else.
const rowRoles = `
agent:
  cluster: [manage_index_templates]
  indices:
  - names: ['*']
    privileges: [create_doc, auto_configure, view_index_metadata]
writer:
  indices:
  - names: ['*']
    privileges: [create_doc, auto_configure]
`

func (s *rowServer) get(t testing.TB) (*lab.ElasticsearchServer, *authority) {
	t.Helper()
	lab.Need(t, lab.Elasticsearch)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.err == nil {
		s.authority = newAuthority(t, "rows")
		certificate, key := s.authority.issue(t, time.Now().Add(time.Hour))
		s.server, s.err = lab.StartElasticsearch(context.Background(), lab.ElasticsearchConfig{
			Users: []lab.ElasticsearchUser{
				{Name: "admin", Password: adminPassword},
				{Name: "agent", Password: agentPassword, Roles: []string{"agent"}},
				{Name: "writer", Password: agentPassword, Roles: []string{"writer"}},
				{Name: "rotated", Password: agentPassword, Roles: []string{"agent"}},
			},
			Roles: rowRoles, Certificate: certificate, Key: key,
			// A second instead of five, for changed files; ten instead of thirty, the
			// least, for the disk.
			Settings: map[string]string{"resource.reload.interval.high": "1s", "cluster.info.update.interval": "10s"},
		})
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server, s.authority
}

func (s *rowServer) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	return s.server.Close()
}

// rowTarget returns the shared server with an index of its own, and the options of an agent
// that measures this node every second and ships there as that user.
func rowTarget(t testing.TB, index, user string, more ...string) (g *target, options []string) {
	t.Helper()
	s, authority := sharedRowServer.get(t)
	g = newTarget(t, s, index)
	return g, g.options("/none/", append([]string{
		"-es-user=" + user, "-es-password-file=" + g.file(t, "password", agentPassword),
		"-es-ca-file=" + g.file(t, "ca.pem", certificatePEM(authority.der)),
	}, more...)...)
}

// replaced returns the options with one of them given anew.
func replaced(options []string, option string) []string {
	return append(append([]string{}, options...), option) // the last one counts
}

// authority is a certificate authority.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	der  []byte
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(crand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert, der}
}

// issue returns the certificate of a server on 127.0.0.1 and further addresses that ends at
// that time, and its key, in PEM.
func (a *authority) issue(t testing.TB, end time.Time, addresses ...net.IP) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "elasticsearch"},
		NotBefore: time.Now().Add(-12 * time.Hour), NotAfter: end,
		IPAddresses: append(addresses, net.IPv4(127, 0, 0, 1)), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(crand.Reader, c, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(certificatePEM(der)), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// mended waits until the agent has no problem and nothing waits but its newest documents,
// and returns how long that took.
func (a *agent) mended(t testing.TB, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	waitFor(t, limit, "the agent to deliver again", func() error {
		h := a.health(t)
		if h.Status != "ok" {
			return fmt.Errorf("%s: %q", h.Status, h.Problems)
		}
		return nil
	})
	return time.Since(began)
}

// heldWith waits until the agent says what is wrong in words that have all these, and
// returns how long that took.
func (a *agent) heldWith(t testing.TB, words ...string) time.Duration {
	t.Helper()
	began := time.Now()
	a.awaitProblem(t, words...)
	return time.Since(began)
}

// checkRow waits until everything is delivered, ends the agent, and fails the test unless
// each of its documents is in Elasticsearch once, and none is missing.
func (g *target) checkRow(t *testing.T, a *agent) (docs []document) {
	t.Helper()
	g.awaitDelivery(t, a, 90*time.Second)
	missed := int(a.metric(t, "swarmgauge_slots_missed_total"))
	a.stopInTime(t)
	docs = documents(t, g.ElasticsearchServer, g.index, nil)
	checkOnce(t, docs)
	for subject, slots := range slotsOf(docs, "/none/") {
		checkSlots(t, subject, slots, slots[0], slots[len(slots)-1], missed)
	}
	return docs
}

// today is the name of the index that documents of this moment go to. Near midnight it
// waits for the next day, so that a row has one.
func (g *target) today(t testing.TB) string {
	now := time.Now().UTC()
	if left := now.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now); left < 3*time.Minute {
		t.Logf("waiting %v for midnight", left)
		time.Sleep(left)
	}
	return g.index + "-" + time.Now().UTC().Format("2006.01.02")
}

// A name that isn't an index makes the same bytes two documents once it was rolled over; the
// agent's names are indices, and where an operator has made something else of them it sends
// nothing.
func TestD08Rollover(t *testing.T) {
	row := faults.Start(t, "D8")
	twice := controlOfD08(t)
	var conflicts int
	t.Run("index of the day", func(t *testing.T) { conflicts = testD08Index(t) })

	cases := []struct {
		name, user string
		options    []string
		make, mend func(t *testing.T, g *target)
		words      []string
	}{
		{
			name: "template", user: "agent", words: []string{"makes it a data stream", "there twice", "remove data_stream"},
			make: func(t *testing.T, g *target) {
				g.put(t, "/_index_template/"+g.index, map[string]any{"index_patterns": []string{g.index + "-*"}, "priority": 900, "data_stream": map[string]any{}})
			},
			mend: func(t *testing.T, g *target) {
				mustAsk[any](t, g.ElasticsearchServer, http.MethodDelete, "/_index_template/"+g.index, nil)
			},
		},
		{
			name: "stream", user: "agent", options: []string{"-es-template=false"}, words: []string{"is a data stream", "delete it"},
			make: func(t *testing.T, g *target) {
				g.put(t, "/_index_template/"+g.index, map[string]any{"index_patterns": []string{g.index + "-*"}, "priority": 900, "data_stream": map[string]any{}})
				g.put(t, "/"+g.today(t)+"/_create/1", map[string]any{"@timestamp": time.Now()})
			},
			// The stripped server has no API to delete a data stream.
		},
		{
			name: "alias", user: "agent", words: []string{"is an alias (of", "remove the alias"},
			make: func(t *testing.T, g *target) { makeRolling(t, g) },
			mend: func(t *testing.T, g *target) { removeRolling(t, g) },
		},
		{
			name: "unseen", user: "writer", options: []string{"-es-template=false"}, words: []string{"goes to", "is an alias or a data stream"},
			make: func(t *testing.T, g *target) {
				g.put(t, "/_index_template/"+g.index, json.RawMessage(shipper.IndexTemplate(g.index)))
				makeRolling(t, g)
			},
			mend: func(t *testing.T, g *target) { removeRolling(t, g) },
		},
	}
	held := make([]time.Duration, len(cases))
	for i, f := range cases {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			g, options := rowTarget(t, "d08-"+f.name, f.user, f.options...)
			f.make(t, g)
			a := startAgent(t, options...)
			held[i] = a.heldWith(t, f.words...)
			if d := a.delivery(t); d.Indexed > 0 || d.Dead > 0 {
				t.Errorf("%+v", d)
			}
			if f.mend == nil {
				return
			}
			f.mend(t, g)
			a.mended(t, 60*time.Second)
			g.checkRow(t, a)
		})
	}
	t.Cleanup(func() {
		row.Result("the index of the day: 0 twice, all %d conflicts expected ones; the same bytes in a data stream across a rollover: %d documents of one; "+
			"data stream (by its template, and as it is there) and rollover alias: nothing acknowledged, named after %.1f s at most, drained once mended; "+
			"to a user who may see neither, the first answer tells", conflicts, twice, slices.Max(held).Seconds())
	})
}

// put is PUT with a body, as the superuser.
func (g *target) put(t testing.TB, path string, body any) {
	t.Helper()
	mustAsk[any](t, g.ElasticsearchServer, http.MethodPut, path, body)
}

// controlOfD08 sends one document twice to a data stream that is rolled over in between, and
// returns how many there are.
func controlOfD08(t *testing.T) int {
	g, _ := rowTarget(t, "d08-control", "agent")
	g.put(t, "/_index_template/d08-control", map[string]any{"index_patterns": []string{"d08-control"}, "priority": 900, "data_stream": map[string]any{}})
	bulk := `{"create":{"_index":"d08-control","_id":"one"}}` + "\n" + `{"@timestamp":"2026-03-01T00:00:00Z"}` + "\n"
	for range 2 {
		mustAsk[any](t, g.ElasticsearchServer, http.MethodPost, "/_bulk", bulk)
		mustAsk[any](t, g.ElasticsearchServer, http.MethodPost, "/d08-control/_rollover", nil)
	}
	n, err := count(t, g.ElasticsearchServer, "d08-control", nil)
	if err != nil || n != 2 {
		t.Errorf("%d documents, %v: the data stream keeps _ids unique, and needn't be refused", n, err)
	}
	return n
}

// testD08Index loses answers, has an operator try to roll the alias over, and returns how
// many documents were there already when they were sent again.
func testD08Index(t *testing.T) (conflicts int) {
	g, options := rowTarget(t, "d08-index", "agent")
	var lose atomic.Bool
	var lost atomic.Int64 // answers that tell of created documents
	elasticsearch := proxyTo(t, g.ElasticsearchServer)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lose.Load() && r.URL.Path == "/_bulk" {
			r.Header.Del("Accept-Encoding") // to be read here
			answer := httptest.NewRecorder()
			elasticsearch.ServeHTTP(answer, r)
			if strings.Contains(answer.Body.String(), `"status":201`) {
				lost.Add(1)
			}
			panic(http.ErrAbortHandler) // carried out, and nobody knows
		}
		elasticsearch.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	a := startAgent(t, replaced(options, "-storage_driver_es_host="+front.URL)...)
	g.awaitDelivery(t, a, 30*time.Second)
	lose.Store(true)
	waitFor(t, 30*time.Second, "documents whose answer is lost", func() error {
		if lost.Load() == 0 {
			return errNotYet
		}
		return nil
	})
	_, err := g.Do(t.Context(), http.MethodPost, "/"+g.index+"/_rollover", nil)
	if refused := (*lab.StatusError)(nil); !errors.As(err, &refused) {
		t.Errorf("an alias without an index to write to was rolled over: %v", err)
	}
	lose.Store(false)
	a.mended(t, 60*time.Second)
	conflicts = int(a.metric(t, "swarmgauge_documents_duplicate_total"))
	if collided := a.metric(t, "swarmgauge_documents_collided_total"); conflicts == 0 || collided > 0 {
		t.Errorf("%d expected conflicts, %v others", conflicts, collided)
	}
	g.checkRow(t, a)
	return conflicts
}

// makeRolling makes the name of today's index a rollover alias.
func makeRolling(t *testing.T, g *target) {
	t.Helper()
	g.put(t, "/"+g.index+"rolling-000001", map[string]any{"aliases": map[string]any{g.today(t): map[string]any{"is_write_index": true}}})
}

func removeRolling(t *testing.T, g *target) {
	t.Helper()
	mustAsk[any](t, g.ElasticsearchServer, http.MethodDelete, "/"+g.index+"rolling-000001", nil)
}

// rowLoad puts batches of n containers into a shipper, every one of them with one document
// that is different.
type rowLoad struct {
	node    *metric.Node
	windows []metric.Window
}

func newRowLoad(n int, image string) *rowLoad {
	l := &rowLoad{node: &metric.Node{Name: "node1", CPUs: 4}}
	for i := range n {
		c := &metric.Container{Path: fmt.Sprintf("/docker/%064x", i+1), ID: fmt.Sprintf("%064x", i+1), Name: fmt.Sprintf("web.%d", i+1)}
		if i == 0 {
			c.Image = image
		}
		l.windows = append(l.windows, metric.Window{Last: new(metric.Sample), Container: c})
	}
	return l
}

func (l *rowLoad) tick(s *shipper.Shipper) {
	now := time.Now().UnixNano()
	for i := range l.windows {
		w := &l.windows[i]
		w.Next()
		w.Samples, w.Last.Time, w.Slot = 1, now, now
		w.Last.Put(metric.CPUUsage, uint64(now%1e15))
		w.Last.Put(metric.MemoryWorkingSet, uint64(64<<20+i<<12))
		s.Put(l.node, w)
	}
	s.Flush(now)
}

// One document of a hundred breaks a mapping that somebody has made strict.
func TestD13Poison(t *testing.T) {
	row := faults.Start(t, "D13")
	g, _ := rowTarget(t, "d13", "agent")
	var template map[string]any
	if err := json.Unmarshal(shipper.IndexTemplate(g.index), &template); err != nil {
		t.Fatal(err)
	}
	mappings := template["template"].(map[string]any)["mappings"].(map[string]any)
	mappings["dynamic"] = "strict"
	delete(mappings["properties"].(map[string]any)["container"].(map[string]any)["properties"].(map[string]any), "image")
	delete(template, "_meta") // an operator's
	g.put(t, "/_index_template/"+g.index, template)

	batches := 50
	if row.Full() {
		batches = 2000
	}
	spool := filepath.Join(g.dir, "spool")
	s, err := shipper.New(t.Context(), shipper.Options{
		SpoolDir: spool, Addresses: []string{g.URL()}, IndexPrefix: g.index, Username: "agent",
		PasswordFile: filepath.Join(g.dir, "password"), CAFile: filepath.Join(g.dir, "ca.pem"), Log: zap.NewNop(),
		Encoder: shipper.EncoderOptions{Interval: 100 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	go s.Run(context.Background())
	l := newRowLoad(100, "poison:1")
	for range batches {
		l.tick(s)
		time.Sleep(10 * time.Millisecond) // never two batches of one millisecond
	}
	waitFor(t, 5*time.Minute, "everything to have come to an end", func() error {
		if v := s.Stats(); v.Pending > 0 {
			return fmt.Errorf("%+v", v)
		}
		return nil
	})
	v := s.Stats()
	if v.Indexed != int64(99*batches) || v.Dead != int64(batches) || v.Held {
		t.Errorf("%+v", v)
	}
	gaps := v.GapsIndexed
	extra := v.Requests - int64(batches) - gaps
	if extra > 1 {
		t.Errorf("%d requests for %d batches and %d gaps", v.Requests, batches, gaps)
	}
	if n, err := count(t, g.ElasticsearchServer, g.index, term("event.dataset", "swarmgauge.container")); err != nil || n != 99*batches {
		t.Errorf("%d documents are there, %v", n, err)
	}
	told := 0
	if err := shipper.DeadLetters(spool, func(d shipper.DeadLetter) {
		told += d.Documents
		if !strings.Contains(d.Reason, "strict_dynamic_mapping_exception") || !d.Retry || !strings.Contains(string(d.Body), "poison") {
			t.Errorf("%+v", d)
		}
	}); err != nil || told != batches {
		t.Errorf("%d dead letters, %v", told, err)
	}
	row.Result("%d documents: %d indexed, %d buried with the mapping's reason, %d requests more than batches and gaps", 100*batches, v.Indexed, v.Dead, extra)
}

// A template that refuses everything is a fault of the configuration, not of documents.
func TestD14AllRefused(t *testing.T) {
	row := faults.Start(t, "D14")
	g, options := rowTarget(t, "d14", "agent")
	g.put(t, "/_index_template/"+g.index, map[string]any{
		"index_patterns": []string{g.index + "-*"}, "priority": 501,
		"template": map[string]any{"aliases": map[string]any{g.index: map[string]any{}}, "mappings": map[string]any{"dynamic": "strict"}},
	})
	a := startAgent(t, options...)
	degraded := a.heldWith(t, "strict_dynamic_mapping_exception")
	wait, limit := 5*time.Second, 60*time.Second
	if row.Full() {
		wait, limit = 10*time.Minute, 90*time.Second // pauses between attempts are up to a minute by then
	}
	time.Sleep(wait)
	held := a.delivery(t)
	if held.Dead > 0 || total(held.Dropped) > 0 || held.Indexed > 0 {
		t.Errorf("%+v", held)
	}
	if files, err := os.ReadDir(filepath.Join(g.dir, "spool", "dead")); err != nil || len(files) > 0 {
		t.Errorf("buried: %v, %v", files, err)
	}
	mustAsk[any](t, g.ElasticsearchServer, http.MethodDelete, "/"+g.today(t), nil)
	g.put(t, "/_index_template/"+g.index, json.RawMessage(shipper.IndexTemplate(g.index)))
	drained := a.mended(t, limit)
	docs := g.checkRow(t, a)
	row.Goal("degraded within 30 s", degraded <= 30*time.Second)
	row.Result("degraded %.1f s after the first document at most, 0 buried, %d documents held; delivering %.1f s after it was mended, %d documents, 0 lost, 0 twice",
		degraded.Seconds(), held.Pending, drained.Seconds(), len(docs))
}

// What makes an index refuse documents for a while: each is held, and over a minute after it
// is mended at the latest.
func TestD15Blocks(t *testing.T) {
	row := faults.Start(t, "D15")
	g, options := rowTarget(t, "d15", "agent")
	a := startAgent(t, options...)
	g.awaitDelivery(t, a, 30*time.Second)
	index := g.today(t)
	var longest time.Duration
	var found []string
	f := func(name string, injure, mend func(), words ...string) {
		t.Helper()
		injure()
		a.heldWith(t, words...)
		if row.Full() {
			time.Sleep(2 * time.Minute) // until the pauses between attempts are the longest
		}
		mend()
		took := a.mended(t, 90*time.Second)
		longest = max(longest, took)
		found = append(found, fmt.Sprintf("%s %.1f s", name, took.Seconds()))
		if d := a.delivery(t); d.Dead > 0 || total(d.Dropped) > 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
	set := func(setting string, value any) func() {
		return func() { g.put(t, "/"+index+"/_settings", map[string]any{setting: value}) }
	}
	post := func(path string) func() {
		return func() { mustAsk[any](t, g.ElasticsearchServer, http.MethodPost, path, nil) }
	}
	f("read-only", set("index.blocks.write", true), set("index.blocks.write", nil), "blocked for writing")
	f("closed", post("/"+index+"/_close"), post("/"+index+"/_open?wait_for_active_shards=1"), "closed")
	g.awaitDelivery(t, a, 60*time.Second)

	// The watermark that no disk satisfies; the server looks every ten seconds.
	watermark := func(free any, on any) func() {
		return func() {
			g.put(t, "/_cluster/settings", map[string]any{"persistent": map[string]any{
				"cluster.routing.allocation.disk.threshold_enabled":     on,
				"cluster.routing.allocation.disk.watermark.low":         free,
				"cluster.routing.allocation.disk.watermark.high":        free,
				"cluster.routing.allocation.disk.watermark.flood_stage": free,
			}})
		}
	}
	t.Cleanup(func() {
		g.Do(context.Background(), http.MethodPut, "/_cluster/settings", map[string]any{"persistent": map[string]any{"cluster.routing.allocation.disk.*": nil}})
	})
	f("flood stage", watermark("900tb", true), watermark("1kb", true), "disk is almost full")
	g.awaitDelivery(t, a, 60*time.Second)
	watermark(nil, nil)()

	// A deleted index is made anew by the template. What had been delivered to it is gone
	// with it, as the operator wanted, and nothing else.
	mustAsk[any](t, g.ElasticsearchServer, http.MethodDelete, "/"+index, nil)
	kept := a.delivery(t).Indexed
	waitFor(t, 60*time.Second, "documents in an index that is made anew", func() error {
		d := a.delivery(t)
		n, err := count(t, g.ElasticsearchServer, g.index, nil)
		if err != nil || n < d.Indexed-kept || n == 0 || d.Indexed < kept+20 {
			return fmt.Errorf("%d documents, %v, %+v", n, err, d)
		}
		return nil
	})
	a.mended(t, 60*time.Second)
	missed := int(a.metric(t, "swarmgauge_slots_missed_total"))
	a.stopInTime(t)
	docs := documents(t, g.ElasticsearchServer, g.index, nil)
	checkOnce(t, docs)
	checkFields(t, g.ElasticsearchServer, g.index, docs)
	for subject, slots := range slotsOf(docs, "/none/") {
		checkSlots(t, subject, slots, slots[0], slots[len(slots)-1], missed)
	}
	if longest > 60*time.Second {
		t.Errorf("delivering again only after %v", longest)
	}
	row.Result("delivering after it was mended: %s; an index that was deleted is made anew with its mapping; 0 lost, 0 twice", strings.Join(found, ", "))
}

// cable carries connections to a server, and can be pulled: a server that gets another
// certificate shows it to new connections only.
type cable struct {
	address string

	mu    sync.Mutex // guards what follows
	conns []net.Conn
}

func newCable(t testing.TB, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{address: l.Addr().String()}
	t.Cleanup(func() {
		l.Close()
		c.pull()
	})
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // closed
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, near, far)
			c.mu.Unlock()
			for _, way := range [...][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					io.Copy(way[0], way[1])
					way[0].Close()
				}()
			}
		}
	}()
	return c
}

// pull ends all connections.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// What lets an agent in is exchanged under it: it is in again within seconds, without a
// restart.
func TestD16Credentials(t *testing.T) {
	row := faults.Start(t, "D16")
	var found []string
	const limit = 15 * time.Second
	step := func(a *agent, name string, injure, mend func(), words ...string) {
		t.Helper()
		injure()
		a.heldWith(t, words...)
		if row.Full() {
			time.Sleep(2 * time.Minute)
		}
		mend()
		took := a.mended(t, 60*time.Second)
		found = append(found, fmt.Sprintf("%s %.1f s", name, took.Seconds()))
		if took > limit {
			t.Errorf("%s: delivering only %v after it was mended", name, took)
		}
	}

	g, options := rowTarget(t, "d16", "rotated")
	s, trusted := sharedRowServer.get(t)
	line := newCable(t, strings.TrimPrefix(s.URL(), "https://"))
	// set gives the server a certificate and waits until it shows it.
	set := func(certificate, key []byte) {
		t.Helper()
		if err := s.SetCertificate(certificate, key); err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(certificate)
		waitFor(t, 30*time.Second, "the server to have its new certificate", func() error {
			conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL(), "https://"), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				return err
			}
			defer conn.Close()
			if !bytes.Equal(conn.ConnectionState().PeerCertificates[0].Raw, block.Bytes) {
				return errNotYet
			}
			return nil
		})
		line.pull()
	}
	a := startAgent(t, replaced(options, "-storage_driver_es_host=https://"+line.address)...)
	g.awaitDelivery(t, a, 30*time.Second)
	step(a, "password", func() {
		if err := s.SetPassword("rotated", "another-password"); err != nil {
			t.Fatal(err)
		}
	}, func() { g.file(t, "password", "another-password\n") }, "doesn't accept the credentials")
	step(a, "expired certificate",
		func() { set(trusted.issue(t, time.Now().Add(-time.Minute))) },
		func() { set(trusted.issue(t, time.Now().Add(time.Hour))) }, "certificate of Elasticsearch isn't valid now")
	other := newAuthority(t, "another")
	step(a, "authority",
		func() { set(other.issue(t, time.Now().Add(time.Hour))) },
		func() { g.file(t, "ca.pem", certificatePEM(other.der)) }, "signed by an authority that isn't trusted here")
	g.checkRow(t, a)
	set(trusted.issue(t, time.Now().Add(time.Hour)))

	// The stripped server can't make API keys: a proxy before it has one, and answers a
	// wrong one as the server does.
	g, _ = rowTarget(t, "key-d16", "agent") // templates of d16-* and d16-key-* exclude one another
	var valid atomic.Value
	valid.Store("id:first")
	elasticsearch := proxyTo(t, g.ElasticsearchServer)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "ApiKey "+base64.StdEncoding.EncodeToString([]byte(valid.Load().(string))) {
			w.Header().Set("X-Elastic-Product", "Elasticsearch")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"root_cause":[],"type":"security_exception","reason":"unable to authenticate with provided credentials and anonymous access is not allowed for this request"},"status":401}`)
			return
		}
		r.SetBasicAuth("agent", agentPassword)
		elasticsearch.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	options = g.options("/none/", "-storage_driver_es_host="+front.URL, "-es-api-key-file="+g.file(t, "key", "id:first\n"))
	a = startAgent(t, options...)
	g.awaitDelivery(t, a, 30*time.Second)
	step(a, "API key (proxy)", func() { valid.Store("id:second") }, func() { g.file(t, "key", "id:second\n") }, "API key file")
	g.checkRow(t, a)
	row.Result("delivering after it was mended, without a restart: %s; 0 lost, 0 twice", strings.Join(found, ", "))
}

// idsIn returns the _ids of the documents in the batches of a directory.
func idsIn(t testing.TB, dir string) (ids []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		ids = append(ids, idsOf(t, file)...)
	}
	return ids
}

// checkThere fails the test for an _id that isn't among the documents.
func checkThere(t *testing.T, docs []document, ids []string) {
	t.Helper()
	there := map[string]bool{}
	for _, d := range docs {
		there[d.text(idField)] = true
	}
	for _, id := range ids {
		if !there[id] {
			t.Errorf("%s isn't there", id)
		}
	}
}

// awaitEmpty waits until nothing waits in the agent's spool, and it has found and sampled
// something.
func (a *agent) awaitEmpty(t testing.TB) (d delivery) {
	t.Helper()
	waitFor(t, 60*time.Second, "everything to be delivered", func() error {
		if d = a.delivery(t); d.Pending > 0 || d.Sampled == 0 || d.Found == 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	return d
}

// A machine is cloned with its spool: both go on, and the ids of both differ.
func TestD22Clone(t *testing.T) {
	row := faults.Start(t, "D22")
	backlog := 3 * time.Second
	if row.Full() {
		backlog = time.Minute
	}
	clone := func(t *testing.T, g *target) (copied string, ids []string) {
		t.Helper()
		copied = filepath.Join(g.dir, "copy")
		if out, err := exec.Command("cp", "-a", filepath.Join(g.dir, "spool"), copied).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if ids = idsIn(t, filepath.Join(copied, "q")); len(ids) == 0 {
			t.Fatal("nothing in the spool")
		}
		return copied, ids
	}
	conflicts := func(a *agent) (expected, others int) {
		return int(a.metric(t, "swarmgauge_documents_duplicate_total")), int(a.metric(t, "swarmgauge_documents_collided_total"))
	}
	var stopped, running string

	// The clone of a machine that was shut down: both find the backlog, and know that it
	// may have been sent.
	t.Run("stopped", func(t *testing.T) {
		g, options := rowTarget(t, "d22-stopped", "agent")
		a := startAgent(t, replaced(options, "-storage_driver=")...)
		time.Sleep(backlog)
		a.stopInTime(t)
		copied, ids := clone(t, g)
		// The name is the clone's, too; here it tells their documents apart.
		first := startAgent(t, options...)
		second := startAgent(t, append(replaced(options, "-spool-dir="+copied), "-node-name=clone")...)
		expected := 0
		for _, a := range []*agent{first, second} {
			if d := a.awaitEmpty(t); d.Found != len(ids) || d.Dead > 0 {
				t.Errorf("%+v with a backlog of %d", d, len(ids))
			}
			e, others := conflicts(a)
			if expected += e; others > 0 {
				t.Errorf("%d _ids were given out twice", others)
			}
			a.stopInTime(t)
		}
		docs := documents(t, g.ElasticsearchServer, g.index, nil)
		checkOnce(t, docs)
		checkThere(t, docs, ids)
		if expected != len(ids) {
			t.Errorf("%d conflicts for a backlog of %d", expected, len(ids))
		}
		stopped = fmt.Sprintf("%d documents copied, there once, %d expected conflicts", len(ids), expected)
	})

	// The clone of a running machine: what it delivers first, the original has never sent.
	// That is told from a lost answer, so it raises the alarm.
	t.Run("running", func(t *testing.T) {
		g, options := rowTarget(t, "d22-running", "agent")
		server := proxyLater(t, g.ElasticsearchServer)
		first := startAgent(t, replaced(options, "-storage_driver_es_host=http://"+server.address)...)
		time.Sleep(backlog)
		copied, ids := clone(t, g)
		second := startAgent(t, append(replaced(options, "-spool-dir="+copied), "-node-name=clone")...)
		second.awaitEmpty(t)
		server.start(t)
		waitFor(t, 60*time.Second, "the original to deliver", func() error {
			if d := first.delivery(t); d.Pending > 0 || d.Indexed+d.Dead < len(ids)+10 {
				return fmt.Errorf("%+v", d)
			}
			return nil
		})
		expected, others := conflicts(first)
		if d := first.delivery(t); expected+others != len(ids) || d.Dead != others {
			t.Errorf("%d expected conflicts and %d others for %d documents: %+v", expected, others, len(ids), d)
		}
		if h := first.health(t); others > 0 && !strings.Contains(strings.Join(h.Problems, "\n"), "or its copy") {
			t.Errorf("%d conflicts, and health says %q", others, h.Problems)
		}
		for _, a := range []*agent{first, second} {
			a.stopInTime(t)
		}
		docs := documents(t, g.ElasticsearchServer, g.index, nil)
		checkOnce(t, docs)
		checkThere(t, docs, ids)
		running = fmt.Sprintf("%d documents copied, there once, %d expected conflicts, %d that raise the alarm", len(ids), expected, others)
	})
	row.Result("0 _ids given out twice; cloned when shut down: %s; cloned when running: %s", stopped, running)
}

// spoolVersions are the spools in testdata, by the commit whose agent wrote them.
func spoolVersions(t testing.TB) (dirs []string) {
	t.Helper()
	dirs, err := filepath.Glob("testdata/spools/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal(dirs, err)
	}
	return dirs
}

// Spools that older agents have left are delivered, and what a newer one has left is left
// alone; today's spool is one that the older agents deliver.
func TestD21Versions(t *testing.T) {
	row := faults.Start(t, "D21")
	var upgraded, downgraded []string
	for _, dir := range spoolVersions(t) {
		commit := filepath.Base(dir)
		t.Run("from "+commit, func(t *testing.T) {
			g, options := rowTarget(t, "d21", "agent")
			spool := filepath.Join(g.dir, "spool")
			if err := os.CopyFS(filepath.Join(spool, "q"), os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			for _, d := range []string{spool, filepath.Join(spool, "q")} {
				if err := os.Chmod(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			// What only another version would know.
			strangers := []string{"state.json", "later", "q/0000000000000009-1795660746000-6-0-1.gz", "q/0000000000000009-1795660746000-6-0.zst", "q/index"}
			for _, name := range strangers {
				if err := os.WriteFile(filepath.Join(spool, name), []byte(name), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ids := idsIn(t, dir)
			a := startAgent(t, options...)
			if d := a.awaitEmpty(t); d.Found != len(ids) || d.Dead > 0 || total(d.Dropped) > 0 {
				t.Errorf("%+v", d)
			}
			a.stopInTime(t)
			docs := documents(t, g.ElasticsearchServer, g.index, nil)
			checkThere(t, docs, ids)
			for _, name := range strangers {
				if content, err := os.ReadFile(filepath.Join(spool, name)); err != nil || string(content) != name {
					t.Errorf("%s: %q, %v", name, content, err)
				}
			}
			upgraded = append(upgraded, fmt.Sprintf("%s: %d documents", commit, len(ids)))
		})
		if !row.Full() {
			continue
		}
		t.Run("to "+commit, func(t *testing.T) {
			older := buildOlderAgent(t, commit)
			g, options := rowTarget(t, "to-d21-"+commit, "agent")
			// Something delivered and kept, something that waits, a request.
			a := startAgent(t, options...)
			g.awaitDelivery(t, a, 60*time.Second)
			a.stopInTime(t)
			a = startAgent(t, replaced(options, "-storage_driver=")...)
			time.Sleep(3 * time.Second)
			a.stopInTime(t)
			spool := filepath.Join(g.dir, "spool")
			if _, err := shipper.RequestReplay(spool, time.UnixMilli(0)); err != nil {
				t.Fatal(err)
			}
			ids := append(idsIn(t, filepath.Join(spool, "q")), idsIn(t, filepath.Join(spool, "acked"))...)
			kept, err := os.ReadDir(filepath.Join(spool, "acked"))
			if err != nil || len(kept) == 0 {
				t.Fatal(kept, err)
			}
			a = startBinary(t, older, options...)
			a.awaitEmpty(t)
			a.stopInTime(t)
			docs := documents(t, g.ElasticsearchServer, g.index, nil)
			checkOnce(t, docs)
			checkThere(t, docs, ids)
			if left, err := os.ReadDir(filepath.Join(spool, "acked")); err != nil || len(left) != len(kept) {
				t.Errorf("%d files that the older agent doesn't know became %d, %v", len(kept), len(left), err)
			}
			// And back again: the request is still there, and is done.
			a = startAgent(t, options...)
			waitFor(t, 60*time.Second, "the replay", func() error {
				if d := a.delivery(t); d.Replayed == 0 || d.Pending > 0 {
					return fmt.Errorf("%+v", d)
				}
				return nil
			})
			a.stopInTime(t)
			checkOnce(t, documents(t, g.ElasticsearchServer, g.index, nil))
			downgraded = append(downgraded, fmt.Sprintf("%s: %d documents", commit, len(ids)))
		})
	}
	text := "not run in the short form"
	if row.Full() {
		text = "delivered by " + strings.Join(downgraded, ", ") + ", and back"
	}
	row.Result("delivered from %s; files of other versions untouched; today's spool by the older agents: %s", strings.Join(upgraded, ", "), text)
}

// buildOlderAgent builds the agent of an older commit, which the repository has to have.
func buildOlderAgent(t testing.TB, commit string) (path string) {
	t.Helper()
	lab.Tool(t, "git", "git")
	tree := filepath.Join(t.TempDir(), "tree")
	run := func(dir, name string, args ...string) {
		t.Helper()
		c := exec.Command(name, args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	if err := exec.Command("git", "cat-file", "-e", commit).Run(); err != nil {
		lab.Lack(t, "This test builds the agent of the commit "+commit+", which this copy of the repository lacks: git fetch --unshallow")
	}
	run("..", "git", "worktree", "add", "--detach", tree, commit)
	t.Cleanup(func() { run("..", "git", "worktree", "remove", "--force", tree) })
	path = filepath.Join(t.TempDir(), "agent")
	run(tree, "go", "build", "-o", path, "./cmd/agent")
	return path
}

// A server that acknowledges before it writes down is killed: what it has lost is sent
// again at a word. It is the last row here, because it kills the server of all.
func TestD23Forgotten(t *testing.T) {
	row := faults.Start(t, "D23")
	g, options := rowTarget(t, "d23", "agent")
	var template map[string]any
	if err := json.Unmarshal(shipper.IndexTemplate(g.index), &template); err != nil {
		t.Fatal(err)
	}
	index := template["template"].(map[string]any)["settings"].(map[string]any)["index"].(map[string]any)
	if durability := fmt.Sprint(index["translog"]); durability != "map[durability:request]" {
		t.Errorf("our template has the translog %s", durability)
	}
	index["translog"] = map[string]any{"durability": "async", "sync_interval": "10m"}
	delete(template, "_meta") // an operator's
	g.put(t, "/_index_template/"+g.index, template)

	a := startAgent(t, options...)
	waitFor(t, 30*time.Second, "the warning", func() error {
		if notes := strings.Join(a.health(t).Notes, "\n"); !strings.Contains(notes, "index.translog.durability to async") || !strings.Contains(notes, "agent replay") {
			return fmt.Errorf("notes %q", notes)
		}
		return nil
	})
	if log := a.logs(t); !strings.Contains(log, "index.translog.durability to async") {
		t.Error("the log has no warning")
	}
	before := 5 * time.Second
	if row.Full() {
		before = 5 * time.Minute
	}
	time.Sleep(before)
	g.awaitDelivery(t, a, 60*time.Second)
	acknowledged := a.delivery(t).Indexed
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.mended(t, 60*time.Second)
	waitFor(t, 60*time.Second, "the backlog to be delivered", func() error {
		if d := a.delivery(t); d.Pending > 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	left, err := count(t, g.ElasticsearchServer, g.index, nil)
	if err != nil {
		t.Fatal(err)
	}
	lost := a.delivery(t).Indexed - left
	if lost <= 0 {
		t.Fatalf("the server has lost nothing: %d documents, %+v", left, a.delivery(t))
	}

	out, err := exec.Command(buildAgent(t), "replay", "--since", "30m", "--spool-dir", filepath.Join(g.dir, "spool")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "The running agent has taken it up") {
		t.Fatalf("agent replay: %v\n%s", err, out)
	}
	waitFor(t, 60*time.Second, "what was lost", func() error {
		if d := a.delivery(t); d.Restored == 0 || d.Replayed < acknowledged || d.Pending > 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	docs := g.checkRow(t, a)
	for subject, slots := range slotsOf(docs, "/none/") {
		checkSlots(t, subject, slots, slots[0], slots[len(slots)-1], 0)
	}
	row.Result("warning at start; %d documents acknowledged, and %d of them lost when the server was killed; agent replay brought all back, 0 twice (%d in all)",
		acknowledged, lost, len(docs))
}
