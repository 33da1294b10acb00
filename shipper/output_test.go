package shipper

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// secured is a fake that knows who asks and what he may do, as Elasticsearch 8.19 does.
type secured struct {
	*estest.Server
	may     []string             // nil without security
	foreign bool                 // it isn't Elasticsearch
	answers map[string][2]string // status and body, by method and path; TODAY is the day of an index
}

// least is what an agent needs.
func least(more ...string) []string { return append([]string{createDoc, autoConfigure}, more...) }

func (s *secured) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.foreign {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
	}
	w.Header().Set("Content-Type", "application/json")
	answer := func(status int, body string) {
		w.WriteHeader(status)
		io.WriteString(w, strings.ReplaceAll(body, "TODAY", time.Now().UTC().Format(dayLayout)))
	}
	forbidden := func(privileges ...string) bool {
		if s.may == nil || slices.ContainsFunc(privileges, func(p string) bool { return slices.Contains(s.may, p) }) {
			return false
		}
		answer(403, `{"error":{"type":"security_exception","reason":"action is unauthorized"},"status":403}`)
		return true
	}
	path := r.Method + " " + r.URL.Path
	if scripted, ok := s.answers[path]; ok {
		var status int
		fmt.Sscan(scripted[0], &status)
		answer(status, scripted[1])
		return
	}
	switch {
	case path == "GET /":
		if !forbidden("monitor") {
			answer(200, `{"cluster_name":"fake","cluster_uuid":"u1","version":{"number":"8.19.21"}}`)
		}
	case strings.HasPrefix(path, "GET /_nodes/"):
		forbidden("monitor")
	case s.may == nil && strings.HasPrefix(r.URL.Path, "/_security"):
		answer(400, `{"error":"no handler found for uri [/_security/_authenticate] and method [GET]"}`)
	case path == "GET /_security/_authenticate":
		answer(200, `{"username":"anna","roles":["agent"],"authentication_realm":{"name":"files","type":"file"},"authentication_type":"realm"}`)
	case path == "POST /_security/user/_has_privileges":
		var asked struct {
			Cluster []string
			Index   []RoleIndices
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || len(asked.Index) != 1 {
			answer(400, `{}`)
			return
		}
		has := func(privileges []string) object {
			m := object{}
			for _, p := range privileges {
				m[p] = slices.Contains(s.may, p)
			}
			return m
		}
		indices := object{}
		for _, name := range asked.Index[0].Names {
			indices[name] = has(asked.Index[0].Privileges)
		}
		json.NewEncoder(w).Encode(object{"cluster": has(asked.Cluster), "index": indices})
	case strings.HasPrefix(path, "GET /_index_template/"):
		if !forbidden("monitor", manageTemplates) {
			s.Server.ServeHTTP(w, r)
		}
	case strings.HasPrefix(r.URL.Path, "/_index_template/"):
		if !forbidden(manageTemplates) {
			s.Server.ServeHTTP(w, r)
		}
	case path == "GET /cadvisor-*":
		if !forbidden(viewMetadata) {
			answer(200, `{}`)
		}
	case path == "POST /_bulk":
		if !forbidden(createDoc) {
			s.Server.ServeHTTP(w, r)
		}
	default:
		s.Server.ServeHTTP(w, r)
	}
}

// newSecured returns a fake whose users have these privileges, nil for no security, with our
// template or without.
func newSecured(may []string, template bool) *secured {
	s := &secured{Server: estest.New(), may: may, answers: map[string][2]string{}}
	if template {
		s.SetTemplate("cadvisor", string(IndexTemplate("cadvisor")))
	}
	return s
}

// testOutput tests the output to a server at an address.
func testOutput(t *testing.T, o Options, test OutputTest) *OutputReport {
	t.Helper()
	o.Version, test.Node = "v9", "node1"
	if test.For == "" {
		test.For = ForAgent
	}
	return RunOutputTest(t.Context(), o, test)
}

// told tells whether there is a finding with that status, that check and a text that has all
// of the parts.
func (r *OutputReport) told(s Status, check string, parts ...string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Status == s && f.Check == check && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(f.Text, p) })
	})
}

// faults are the findings that are in the way.
func (r *OutputReport) faults() (all []Finding) {
	for _, f := range r.Findings {
		if f.Status == Fault {
			all = append(all, f)
		}
	}
	return all
}

// What a user may do, what is there, and what comes of it: with the document at the end, or
// with the one sentence that says why not.
func TestOutputOfUsers(t *testing.T) {
	const (
		older   = `{"index_patterns":["cadvisor-*"],"_meta":{"managed_by":"swarmgauge","version":0}}`
		newer   = `{"index_patterns":["cadvisor-*"],"_meta":{"managed_by":"swarmgauge","version":99}}`
		foreign = `{"index_patterns":["cadvisor-*"]}`
	)
	type want struct {
		status  Status // of check, the worst unless it is Unused
		check   string
		text    string
		missing string // joined; also in the role
		written bool   // the document
	}
	f := func(es *secured, prepare func(*Options, *OutputTest), w want) {
		t.Helper()
		srv := httptest.NewServer(es)
		defer srv.Close()
		o := Options{Addresses: []string{srv.URL}}
		test := OutputTest{Write: true}
		if prepare != nil {
			prepare(&o, &test)
		}
		r := testOutput(t, o, test)
		if !r.told(w.status, w.check, w.text) || w.status != Unused && r.Status() != w.status || w.status == Fault && w.missing == "" && len(r.faults()) != 1 {
			t.Errorf("%v, want %q of %s with %q:\n%+v", r.Status(), w.status, w.check, w.text, r.Findings)
		}
		if got := strings.Join(r.Missing, ", "); got != w.missing || (r.Role == nil) != (got == "") {
			t.Errorf("missing: %q, want %q; %+v", got, w.missing, r.Role)
		}
		for _, missing := range r.Missing {
			privilege, on, _ := strings.Cut(missing, " on ")
			has := r.Role.Cluster
			if on != "the cluster" {
				has = r.Role.Indices[0].Privileges
			}
			if !slices.Contains(has, privilege) {
				t.Errorf("%q isn't in %+v", missing, r.Role)
			}
		}
		written := slices.ContainsFunc(es.Documents(), func(d estest.Document) bool { return strings.Contains(string(d.Source), `"agent.name":"node1"`) })
		if written != w.written || written != r.told(OK, "document") || len(es.Violations()) > 0 {
			t.Errorf("written: %v, want %v: %+v %q\n%+v", written, w.written, es.Documents(), es.Violations(), r.Findings)
		}
	}
	ok := func(check, text string) want { return want{OK, check, text, "", true} }
	fault := func(check, text, missing string) want { return want{Fault, check, text, missing, false} }
	remark := func(check, text string) want { return want{Degraded, check, text, "", true} }

	// What is there, without security.
	f(newSecured(nil, true), nil, ok("template", "is there, in version"))
	f(newSecured(nil, true), nil, want{Unused, "user", "no privileges are checked", "", true})
	f(newSecured(nil, false), nil, ok("template", "is installed now"))
	f(newSecured(nil, false), func(_ *Options, test *OutputTest) { test.Write = false }, want{OK, "template", "the agent installs it when it starts", "", false})
	f(newSecured(nil, false), func(o *Options, _ *OutputTest) { o.NoTemplate = true }, fault("template", `run "agent setup"`, ""))
	with := func(template string) *secured {
		es := newSecured(nil, false)
		es.SetTemplate("cadvisor", template)
		return es
	}
	f(with(older), nil, ok("template", "the agent replaces it"))
	f(with(older), func(o *Options, _ *OutputTest) { o.NoTemplate = true }, remark("template", `run "agent setup"`))
	f(with(newer), nil, ok("template", "newer than this agent's"))
	f(with(foreign), nil, remark("template", "isn't swarmgauge's"))
	stale := newSecured(nil, false) // its index of today is older than its template
	stale.OnItem(func(_, _ string, source []byte) estest.Refusal {
		if strings.Contains(string(source), `"labels":"`) {
			return estest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "object mapping for [labels] tried to parse field [labels] as object, but found a concrete value"}
		}
		return estest.Refusal{}
	})
	f(stale, nil, remark("mapping", "mapped otherwise"))
	refusing := newSecured(nil, false)
	refusing.OnTemplate(map[string]int{"PUT": 400})
	f(refusing, nil, fault("template", "Elasticsearch refuses the index template", ""))
	overloaded := newSecured(nil, false)
	overloaded.OnTemplate(map[string]int{"GET": 503})
	f(overloaded, nil, fault("template", "HTTP status 503", ""))

	// Privileges.
	f(newSecured(least(), true), nil, ok("mapping", "by swarmgauge's template"))
	f(newSecured(least(), true), nil, want{Unused, "template", "may not see index templates", "", true})
	f(newSecured(least(), true), nil, want{Unused, "privilege", "read on cadvisor-* isn't granted", "", true})
	f(newSecured(least(manageTemplates), false), nil, ok("template", "is installed now"))
	f(newSecured(least(), false), nil, fault("mapping", "was made without it", "manage_index_templates on the cluster"))
	f(newSecured(least("monitor"), false), nil, fault("template", "the user may not install it", "manage_index_templates on the cluster"))
	f(newSecured(least("monitor", "read"), true), nil, ok("answer", "8.19.21"))
	f(newSecured([]string{createDoc}, true), nil, want{Fault, "privilege", "auto_configure on cadvisor-* is missing", "auto_configure on cadvisor-*", true})
	f(newSecured([]string{autoConfigure}, true), nil, fault("privilege", "create_doc on cadvisor-* is missing", "create_doc on cadvisor-*"))
	f(newSecured([]string{}, true), nil, fault("privilege", "", "create_doc on cadvisor-*, auto_configure on cadvisor-*"))
	f(newSecured(least(all), true), nil, remark("privilege", "a user or an API key of its own"))
	keep := func(_ *Options, test *OutputTest) { test.Retention = true }
	f(newSecured(least(viewMetadata), true), keep, want{Fault, "privilege", "delete_index on cadvisor-* is missing", "delete_index on cadvisor-*", true})
	f(newSecured(least(deleteIndex, viewMetadata), true), keep, ok("privilege", "delete_index on cadvisor-*"))
	f(with(older), nil, ok("template", "version 0"))
	stuck := newSecured(least("monitor"), false)
	stuck.SetTemplate("cadvisor", older)
	f(stuck, nil, remark("template", "is version 0, and the user may not bring"))
	silent := newSecured(least(), true)
	silent.answers["POST /_security/user/_has_privileges"] = [2]string{"500", `{}`}
	f(silent, nil, remark("privileges", "doesn't tell what the user may do"))

	setup := func(_ *Options, test *OutputTest) { test.For = ForSetup }
	f(newSecured([]string{manageTemplates, viewMetadata}, false), setup, want{OK, "template", `"agent setup" installs it`, "", false})
	f(newSecured([]string{viewMetadata}, false), setup, fault("privilege", "manage_index_templates on the cluster is missing", "manage_index_templates on the cluster"))
	f(newSecured([]string{manageTemplates}, true), setup, fault("privilege", "view_index_metadata on cadvisor and cadvisor-* is missing", "view_index_metadata on cadvisor and cadvisor-*"))
	audit := func(_ *Options, test *OutputTest) { test.For = ForAudit }
	f(newSecured([]string{"read"}, true), audit, want{OK, "privilege", "read on cadvisor-*", "", false})
	f(newSecured(least(), true), audit, fault("privilege", "read on cadvisor-* is missing", "read on cadvisor-*"))

	// What is in the way of a document.
	item := func(status int, kind string) *secured {
		es := newSecured(nil, true)
		es.OnItem(func(_, _ string, source []byte) estest.Refusal {
			if strings.Contains(string(source), `"labels":"`) {
				return estest.Refusal{}
			}
			return estest.Refusal{Status: status, Type: kind, Reason: "because"}
		})
		return es
	}
	f(item(403, "cluster_block_exception"), nil, fault("document", "lift the block", ""))
	f(item(400, "invalid_alias_name_exception"), nil, fault("document", "in the way of the alias", ""))
	f(item(429, "es_rejected_execution_exception"), nil, fault("document", "because", ""))
	bulk := func(fault estest.Fault) *secured {
		es := newSecured(nil, true)
		es.OnBulk(func(int, int) estest.Fault { return fault })
		return es
	}
	f(bulk(estest.Fault{Status: 413}), nil, fault("document", "HTTP status 413", ""))
	f(bulk(estest.Fault{Status: 503, Body: "busy"}), nil, fault("mapping", "HTTP status 503", ""))
	f(bulk(estest.Fault{Reset: true}), nil, fault("mapping", "EOF", ""))
	f(bulk(estest.Fault{Status: 200, Body: "<html>"}), nil, fault("mapping", "sends a web page", ""))
	rolled := newSecured(nil, true)
	rolled.Alias("cadvisor-"+time.Now().UTC().Format(dayLayout), "roll-000001")
	f(rolled, nil, fault("mapping", "goes to roll-000001", ""))
	answers := func(path, body string) *secured {
		es := newSecured(nil, true)
		es.answers[path] = [2]string{"200", body}
		return es
	}
	const indices = "GET /cadvisor-*"
	f(answers(indices, `{".ds-cadvisor-TODAY-000001":{"data_stream":"cadvisor-TODAY"}}`), nil, fault("target", "is a data stream", ""))
	f(answers(indices, `{"roll-000001":{"aliases":{"cadvisor-TODAY":{}}}}`), nil, fault("target", "is an alias", ""))
	f(answers(indices, `{"cadvisor-TODAY":{"settings":{"index":{"translog":{"durability":"async"}}}}}`), nil, remark("target", "async"))

	// Versions.
	version := func(number, more string) *secured {
		return answers("GET /", fmt.Sprintf(`{"cluster_name":"c","cluster_uuid":"u","version":{"number":%q%s}}`, number, more))
	}
	f(version("7.16.3", ""), nil, fault("answer", "too old: 7.17 or newer", ""))
	before := version("7.10.2", "")
	before.HideProduct()
	f(before, nil, fault("answer", "too old: 7.17 or newer", ""))
	f(version("7.17.0", ""), nil, ok("answer", `Elasticsearch 7.17.0, cluster "c"`))
	f(version("10.0.0", ""), nil, remark("answer", "newer than this agent knows"))
	f(version("2.19.1", `,"distribution":"opensearch"`), nil, ok("answer", "opensearch 2.19.1"))
	f(answers("GET /", `{}`), nil, fault("answer", "doesn't say which version", ""))

	// Who asks.
	unknown := newSecured(least(), true)
	unknown.answers["GET /"] = [2]string{"401", `{"error":{"type":"security_exception","reason":"unable to authenticate user [anna]"}}`}
	unknown.answers["GET /_security/_authenticate"] = unknown.answers["GET /"]
	f(unknown, nil, fault("user", "give -es-user and -es-password-file", ""))
	file := filepath.Join(t.TempDir(), "secret")
	password := func(content string) func(*Options, *OutputTest) {
		return func(o *Options, _ *OutputTest) {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			o.Username, o.PasswordFile = "anna", file
		}
	}
	f(unknown, password("geheim"), fault("user", "doesn't accept the credentials", ""))
	f(newSecured(least(), true), password(""), fault("credentials", "is empty", ""))
	f(newSecured(least(), true), func(o *Options, _ *OutputTest) { o.Username, o.PasswordFile = "anna", file+".not" }, fault("credentials", "no such file", ""))
	f(newSecured(least(), true), func(o *Options, test *OutputTest) { password("\n")(o, test); o.APIKeyFile = file }, fault("credentials", "the API key file", ""))
	f(newSecured(nil, true), password("geheim"), remark("user", "the credentials are of no use"))
	key := newSecured(least(), true)
	key.answers["GET /_security/_authenticate"] = [2]string{"200", `{"username":"anna","authentication_type":"api_key","api_key":{"id":"1","name":"agents"}}`}
	f(key, func(o *Options, test *OutputTest) { password("id:key")(o, test); o.APIKeyFile = file }, ok("user", `the API key "agents" of the user anna`))
	opensearch := newSecured(nil, true)
	opensearch.HideProduct()
	opensearch.foreign = true
	f(opensearch, nil, fault("answer", "isn't Elasticsearch", ""))
	f(opensearch, func(o *Options, _ *OutputTest) { o.NoProductCheck = true }, want{Unused, "user", "no _security API of Elasticsearch", "", true})
}

// The document that is written has no field that the mapping doesn't have, and no audit
// counts it.
func TestOutputDocument(t *testing.T) {
	es := newSecured(nil, false)
	srv := httptest.NewServer(es)
	defer srv.Close()
	for range 3 {
		if r := testOutput(t, Options{Addresses: []string{srv.URL}}, OutputTest{Write: true}); r.Status() != OK {
			t.Fatalf("%+v", r.Findings)
		}
	}
	declared := map[string]bool{}
	for _, f := range Fields() {
		declared[f.Name] = true
	}
	docs := es.Documents()
	if len(docs) != 3 {
		t.Fatalf("%d documents", len(docs))
	}
	for _, d := range docs {
		var source map[string]any
		if err := json.Unmarshal(d.Source, &source); err != nil {
			t.Fatal(err)
		}
		for field := range source {
			if !declared[field] {
				t.Errorf("no mapping of %s in %s", field, d.Source)
			}
		}
		if source["event.dataset"] != "swarmgauge.test" || source["agent.name"] != "node1" || source["agent.version"] != "v9" || source["host.name"] != nil {
			t.Errorf("%s", d.Source)
		}
	}
	o := testOptions(t, nil)
	o.Addresses, o.Transport = []string{"http://es:9200"}, &searchable{Server: es.Server, pages: map[string][]estest.Document{}}
	found, err := RunAudit(t.Context(), o, AuditOptions{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Minute)})
	if err != nil || len(found.Nodes) != 0 || found.Foreign != 0 || strings.Contains(strings.Join(found.Reasons, " "), "documents of run") {
		t.Errorf("%+v, %v", found, err)
	}
}

// Addresses of one cluster, and of two.
func TestOutputOfClusters(t *testing.T) {
	es := newSecured(nil, true)
	one, two := httptest.NewServer(es), httptest.NewServer(es)
	defer one.Close()
	defer two.Close()
	other := newSecured(nil, true)
	other.answers["GET /"] = [2]string{"200", `{"cluster_name":"other","cluster_uuid":"u2","version":{"number":"8.19.21"}}`}
	three := httptest.NewServer(other)
	defer three.Close()
	r := testOutput(t, Options{Addresses: []string{one.URL, "http://127.0.0.1:1", two.URL + "/"}}, OutputTest{})
	if len(r.faults()) != 1 || !r.told(Fault, "connection", "nothing listens at 127.0.0.1:1") || !r.told(OK, "template") {
		t.Errorf("%+v", r.Findings)
	}
	r = testOutput(t, Options{Addresses: []string{one.URL, three.URL}}, OutputTest{})
	if len(r.faults()) != 1 || !r.told(Fault, "cluster", "another cluster (other)", one.URL) || !r.told(OK, "template") {
		t.Errorf("%+v", r.Findings)
	}
}

// certify returns a certificate for names, by an authority of its own, and that in PEM.
func certify(t *testing.T, from, to time.Time, names ...string) (tls.Certificate, []byte) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(crand.Reader, template, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: from, NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, key := sign(authority, nil, nil)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "the server"}, NotBefore: from, NotAfter: to}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	leafDER, leafKey := sign(leaf, authority, key)
	return tls.Certificate{Certificate: [][]byte{leafDER, der}, PrivateKey: leafKey}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// What is in the way between here and there gets one sentence, that says what mends it.
func TestOutputOfNetworks(t *testing.T) {
	f := func(address string, prepare func(*Options), status Status, check, text string) {
		t.Helper()
		o := Options{Addresses: []string{address}, timeouts: timeouts{connect: time.Second, stall: 20 * time.Second, header: 30 * time.Second, request: time.Minute}}
		if prepare != nil {
			prepare(&o)
		}
		r := testOutput(t, o, OutputTest{patience: 2 * time.Second})
		if !r.told(status, check, text) || status == Fault && len(r.faults()) != 1 || r.Status() != status {
			t.Errorf("%s: want %q of %s with %q: %+v", address, status, check, text, r.Findings)
		}
	}
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go serve(c)
			}
		}()
		return l.Addr().String()
	}
	page := func(status int, header, value, body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set(header, value)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}

	f("ftp://es", nil, Fault, "address", "isn't an http or https URL")
	names := newDNS(t)
	named := func(o *Options) { o.resolver = names.resolver() }
	f("http://elastic.example:9200", named, Fault, "name", "no such name: elastic.example")
	names.set(127, 0, 0, 1)
	f("http://elastic.example:1", named, Fault, "connection", "nothing listens at elastic.example:1")
	f("http://127.0.0.1:1", nil, Fault, "connection", "nothing listens at 127.0.0.1:1")
	silent := listen(func(c net.Conn) { io.Copy(io.Discard, c) })
	f("http://"+silent, nil, Fault, "answer", "says nothing within 2s")
	f("https://"+silent, nil, Fault, "TLS", "no answer to the TLS handshake")
	hangUp := listen(func(c net.Conn) { c.Close() })
	f("http://"+hangUp, nil, Fault, "answer", "ended without an answer")
	f("https://"+hangUp, nil, Fault, "TLS", "ended the TLS handshake")

	f(page(200, "", "", "<html>It works!</html>"), nil, Fault, "answer", "isn't Elasticsearch")
	f(page(200, "", "", "<html>It works!</html>"), func(o *Options) { o.NoProductCheck = true }, Fault, "answer", "sends a web page")
	f(page(404, "", "", "<html>"), nil, Fault, "answer", "check host, port and path")
	f(page(301, "Location", "https://es.example/", ""), nil, Fault, "answer", "give the final address in -storage_driver_es_host (HTTP status 301, and not from Elasticsearch): https://es.example/")
	f(page(407, "", "", ""), nil, Fault, "answer", "proxy wants credentials")
	f(page(502, "", "", "<html>Bad Gateway"), nil, Fault, "answer", "HTTP status 502, and not from Elasticsearch")
	f(page(503, "X-Elastic-Product", "Elasticsearch", `{"error":{"type":"cluster_block_exception","reason":"no master"}}`), nil, Fault, "answer", "HTTP status 503: no master")

	now := time.Now()
	secure := func(from, to time.Time, names ...string) (address string, trust func(*Options)) {
		certificate, authority := certify(t, from, to, names...)
		srv := httptest.NewUnstartedServer(newSecured(nil, true))
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		file := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, authority, 0o600); err != nil {
			t.Fatal(err)
		}
		return srv.URL, func(o *Options) { o.CAFile = file }
	}
	good, trust := secure(now.Add(-time.Hour), now.AddDate(1, 0, 0), "127.0.0.1")
	f(good, trust, OK, "TLS", "the certificate of CN=the server, by CN=the authority, is trusted and valid until")
	f(good, nil, Fault, "TLS", "isn't trusted here: give its CA file")
	f(good, nil, Fault, "TLS", "the certificate of CN=the server, by CN=the authority, SHA-256")
	f(good, func(o *Options) { o.CAFile = filepath.Join(t.TempDir(), "not.pem") }, Fault, "TLS", "no such file")
	f(strings.Replace(good, "https", "http", 1), trust, Fault, "TLS", "use https://")
	f(strings.Replace(page(200, "", "", ""), "http", "https", 1), nil, Fault, "TLS", "use http://")
	soon, trust := secure(now.AddDate(0, -1, 0), now.AddDate(0, 0, 7), "127.0.0.1")
	f(soon, trust, Degraded, "TLS", "expires on")
	short, trust := secure(now.Add(-time.Hour), now.AddDate(0, 0, 7), "127.0.0.1")
	f(short, trust, OK, "TLS", "(6 days)")
	expired, trust := secure(now.AddDate(-1, 0, 0), now.Add(-time.Hour), "127.0.0.1")
	f(expired, trust, Fault, "TLS", "isn't valid now: renew it")
	other, trust := secure(now.Add(-time.Hour), now.AddDate(1, 0, 0), "es.example")
	f(other, trust, Fault, "TLS", "is for another host name")

	// Elasticsearch closes a connection whose first bytes aren't TLS.
	certificate, _ := certify(t, now, now.AddDate(1, 0, 0), "127.0.0.1")
	netty := listen(func(c net.Conn) {
		defer c.Close()
		tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}}).Handshake()
	})
	f("http://"+netty, nil, Fault, "TLS", "use https://")
}

// What no test can bring about here.
func TestDiagnose(t *testing.T) {
	x := &outputTest{Options: Options{timeouts: defaultTimeouts()}}
	u := &url.URL{Scheme: "http", Host: "es:9200"}
	f := func(err error, proxy, check, text string) {
		t.Helper()
		if gotCheck, got := x.diagnose(t.Context(), err, steps{}, u, proxy); gotCheck != check || !strings.Contains(got, text) {
			t.Errorf("%v: %s: %s", err, gotCheck, got)
		}
	}
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	f(dial(os.ErrDeadlineExceeded), "", "connection", "es:9200 doesn't answer a connection within 5s")
	f(dial(context.DeadlineExceeded), "http://proxy:3128", "connection", "the proxy http://proxy:3128 doesn't answer")
	f(dial(errors.New("no route to host")), "", "connection", "there is no way to es:9200")
	f(dial(&net.DNSError{Name: "es", Server: "127.0.0.11:53", IsTimeout: true, Err: "i/o timeout"}), "", "name", "/etc/resolv.conf")
}

// Whatever a server answers, the test ends with findings, and takes no answer for a stored
// document that doesn't say so.
func FuzzOutput(f *testing.F) {
	for _, body := range []string{
		"", "{", "null", "[]", `{"errors":false,"items":[{"create":{"status":201}}]}`, `{"items":[{"create":null}]}`,
		`{"cluster_name":"c","cluster_uuid":"u","version":{"number":"8.19.21"}}`, `{"version":{"number":"-1.x"}}`, `{"nodes":{"n":{"version":"7.17.29"}}}`, `{"nodes":null}`,
		`{"username":"anna","authentication_type":"api_key","api_key":null,"roles":null,"authentication_realm":null}`,
		`{"cluster":{"all":true},"index":{"cadvisor-*":null}}`, `{"index":null,"cluster":null}`,
		`{"index_templates":[{"index_template":null}]}`, `{"index_templates":[{"index_template":{"_meta":{"managed_by":"swarmgauge","version":-1}}}]}`,
		`{"error":{"type":"security_exception","reason":"no"},"status":403}`, `{"error":"plain"}`, `<html>`,
	} {
		f.Add(200, []byte(body), "agent")
		f.Add(403, []byte(body), "setup")
		f.Add(404, []byte(body), "audit")
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, purpose string) {
		o := Options{Addresses: []string{"http://es:9200"}, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status, Request: r, Body: io.NopCloser(strings.NewReader(string(body))),
				Header: http.Header{"X-Elastic-Product": {"Elasticsearch"}},
			}, nil
		})}
		r := RunOutputTest(t.Context(), o, OutputTest{For: Purpose(purpose), Write: true})
		if len(r.Findings) == 0 {
			t.Error("nothing was found")
		}
		if r.told(OK, "document") && !strings.Contains(string(body), "create") {
			t.Errorf("stored, by %d %q", status, body)
		}
	})
}
