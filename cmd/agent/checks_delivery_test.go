package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// elastic is a fake that says what it is, with answers that a test gives by method and path.
type elastic struct {
	*estest.Server
	answers map[string]scripted
	// security has users with passwords; anna may write documents and no more.
	security bool
}

type scripted struct {
	status int
	body   string
}

func newElastic() *elastic {
	return &elastic{Server: estest.New(), answers: map[string]scripted{
		"GET /": {200, `{"cluster_name":"fake","cluster_uuid":"u1","version":{"number":"8.19.21"}}`},
	}}
}

func (e *elastic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	user, password, _ := r.BasicAuth()
	answer, ok := e.answers[r.Method+" "+strings.ReplaceAll(r.URL.Path, today(), "TODAY")]
	switch {
	case e.security && (user != "anna" || password != "geheim"):
		answer = scripted{401, `{"error":{"type":"security_exception","reason":"unable to authenticate user"}}`}
	case ok:
	case e.security && r.URL.Path == "/_security/_authenticate":
		answer = scripted{200, `{"username":"anna","roles":["agent"],"authentication_realm":{"name":"files"}}`}
	case e.security && r.URL.Path == "/_security/user/_has_privileges":
		answer = scripted{200, `{"cluster":{"manage_index_templates":false},"index":{"cadvisor-*":{"create_doc":true,"auto_configure":true},"cadvisor-2-*":{"create_doc":true,"auto_configure":true}}}`}
	case strings.HasPrefix(r.URL.Path, "/_security"):
		answer = scripted{400, `{"error":"no handler found"}`}
	default:
		e.Server.ServeHTTP(w, r)
		return
	}
	w.WriteHeader(answer.status)
	io.WriteString(w, strings.ReplaceAll(answer.body, "TODAY", today()))
}

func today() string { return time.Now().UTC().Format("2006.01.02") }

// certificate returns one for names, by an authority of its own, and that in PEM.
func certificate(t *testing.T, from, to time.Time, usage x509.ExtKeyUsage, names ...string) (tls.Certificate, []byte) {
	t.Helper()
	var parent *x509.Certificate
	var parentKey *ecdsa.PrivateKey
	var made tls.Certificate
	var authority []byte
	for _, c := range []*x509.Certificate{
		{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the authority"}, IsCA: true, BasicConstraintsValid: true, NotBefore: from, NotAfter: time.Now().AddDate(10, 0, 0)},
		{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "the server"}, ExtKeyUsage: []x509.ExtKeyUsage{usage}, NotBefore: from, NotAfter: to},
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, parentKey = c, key
		} else {
			for _, name := range names {
				if ip := net.ParseIP(name); ip != nil {
					c.IPAddresses = append(c.IPAddresses, ip)
				} else {
					c.DNSNames = append(c.DNSNames, name)
				}
			}
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		if authority == nil {
			authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		} else {
			made = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		}
	}
	return made, authority
}

// delivery returns the findings of that name about where documents go, for an agent that is
// started so at a place.
func delivery(t *testing.T, where *place, check string, args ...string) (all []finding) {
	t.Helper()
	o, _, err := parseOptions(append([]string{"-storage_driver=elasticsearch"}, args...), nil, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	c := &checks{o: o, where: where}
	for _, f := range c.ofDelivery(t.Context()) {
		if f.Check == check {
			all = append(all, f)
		}
	}
	return all
}

// shellWords takes a line apart as a shell does.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\n' `+line).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// mended checks that there is one fault of that check with a text, and returns the line that
// mends it at the place.
func mended(t *testing.T, where *place, check, text string, args ...string) string {
	t.Helper()
	for _, f := range delivery(t, where, check, args...) {
		if f.Status != shipper.Fault || !strings.Contains(f.Text, text) {
			continue
		}
		line := f.mend.line(where)
		if line == nil {
			t.Fatalf("nothing mends %q", f.Text)
		}
		return line.String()
	}
	t.Fatalf("%q isn't told: %+v", text, delivery(t, where, check, args...))
	return ""
}

// appliedOptions does what a line for a host says, and checks that the fault is gone.
func appliedOptions(t *testing.T, line, check string, args ...string) {
	t.Helper()
	options, ok := strings.CutPrefix(line, "agent: ")
	if !ok {
		t.Fatalf("%q aren't options", line)
	}
	for _, f := range delivery(t, &place{}, check, append(args, shellWords(t, options)...)...) {
		if f.Status == shipper.Fault {
			t.Errorf("after %s: %s", line, f.Text)
		}
	}
}

// What is wrong with the certificate of Elasticsearch is mended by the line below it.
func TestMendOfCertificates(t *testing.T) {
	now := time.Now()
	serve := func(from, to time.Time, usage x509.ExtKeyUsage, names ...string) (address, authority string) {
		t.Helper()
		pair, ca := certificate(t, from, to, usage, names...)
		e := newElastic()
		srv := httptest.NewUnstartedServer(e)
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		file := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, ca, 0o600); err != nil {
			t.Fatal(err)
		}
		return "-storage_driver_es_host=" + srv.URL, file
	}
	const server = x509.ExtKeyUsageServerAuth
	service, container, host := &place{kind: inService, service: "gauge"}, &place{kind: inContainer}, &place{}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}

	good, authority := serve(now.Add(-time.Hour), now.AddDate(1, 0, 0), server, "127.0.0.1")
	_, another := serve(now.Add(-time.Hour), now.AddDate(1, 0, 0), server, "127.0.0.1")
	here := strings.NewReplacer("/PATH/OF/A/FILE/WITH/THE/CA", authority)
	want(mended(t, service, "elasticsearch", "give its CA file", good),
		`stack file: {version: "3.8", services: {gauge: {environment: {SWARMGAUGE_ES_CA_FILE: "/run/secrets/swarmgauge-es-ca"}, secrets: [swarmgauge-es-ca]}}, secrets: {swarmgauge-es-ca: {external: true}}} # first, on a manager: docker secret create swarmgauge-es-ca /PATH/OF/A/FILE/WITH/THE/CA`)
	want(mended(t, container, "elasticsearch", "give its CA file", good),
		"docker run: -v /PATH/OF/A/FILE/WITH/THE/CA:/run/secrets/swarmgauge-es-ca:ro -e SWARMGAUGE_ES_CA_FILE=/run/secrets/swarmgauge-es-ca")
	appliedOptions(t, here.Replace(mended(t, host, "elasticsearch", "give its CA file", good)), "elasticsearch", good)
	// Another authority's, and none.
	for text, file := range map[string]string{"give its CA file": another, "no such file": filepath.Join(t.TempDir(), "swarmgauge-es-ca-9")} {
		line := mended(t, service, "elasticsearch", text, good, "-es-ca-file="+file)
		if name := otherName(filepath.Base(file)); !strings.Contains(line, `SWARMGAUGE_ES_CA_FILE: "/run/secrets/`+name+`"`) || !strings.HasSuffix(line, " create "+name+" /PATH/OF/A/FILE/WITH/THE/CA") {
			t.Errorf("%s", line)
		}
		want(mended(t, container, "elasticsearch", text, good, "-es-ca-file="+file), "docker run: -v /PATH/OF/A/FILE/WITH/THE/CA:"+file+":ro")
		appliedOptions(t, here.Replace(mended(t, host, "elasticsearch", text, good, "-es-ca-file="+file)), "elasticsearch", good, "-es-ca-file="+file)
	}

	// A name that the certificate has.
	named := func(names ...string) (address, trust, port string) {
		address, authority := serve(now.Add(-time.Hour), now.AddDate(1, 0, 0), server, names...)
		return address, "-es-ca-file=" + authority, address[strings.LastIndexByte(address, ':')+1:]
	}
	address, trust, port := named("elastic.invalid", "localhost")
	line := mended(t, host, "elasticsearch", "for another host name", address, trust)
	want(line, "agent: -storage_driver_es_host=https://localhost:"+port)
	appliedOptions(t, line, "elasticsearch", address, trust)
	want(mended(t, container, "elasticsearch", "for another host name", address, trust), "docker run: -e SWARMGAUGE_STORAGE_DRIVER_ES_HOST=https://localhost:"+port)
	address, trust, port = named("::2", "elastic.invalid")
	want(mended(t, host, "elasticsearch", "for another host name", address, trust), "agent: -storage_driver_es_host=https://elastic.invalid:"+port)
	address, trust, port = named("*.elastic.invalid")
	want(mended(t, host, "elasticsearch", "for another host name", address, trust), "agent: -storage_driver_es_host=https://HOST.elastic.invalid:"+port)
	address, trust, _ = named()
	want(mended(t, host, "elasticsearch", "for another host name", address, trust), "on Elasticsearch: give the server a certificate with the name that its address has")

	// Where nothing of the agent's mends it.
	expired, authority := serve(now.AddDate(-1, 0, 0), now.Add(-time.Hour), server, "127.0.0.1")
	want(mended(t, service, "elasticsearch", "isn't valid now", expired, "-es-ca-file="+authority),
		fmt.Sprintf("on Elasticsearch: renew the server's certificate, that of CN=the server, which ended on %s; the agent has nothing to do with it", now.Add(-time.Hour).UTC().Format(time.DateOnly)))
	early, authority := serve(now.Add(time.Hour), now.AddDate(1, 0, 0), server, "127.0.0.1")
	want(mended(t, host, "elasticsearch", "isn't valid now", early, "-es-ca-file="+authority), "on the node: timedatectl set-ntp true")
	client, authority := serve(now.Add(-time.Hour), now.AddDate(1, 0, 0), x509.ExtKeyUsageClientAuth, "127.0.0.1")
	want(mended(t, host, "elasticsearch", "isn't valid now", client, "-es-ca-file="+authority), "on Elasticsearch: give the server another certificate than that of CN=the server")

	// An address without TLS where the server has it, by an authority that isn't known yet.
	plain := strings.Replace(good, "https://", "http://", 1)
	line = mended(t, host, "elasticsearch", "use https://", plain)
	want(line, "agent: "+strings.Replace(plain, "http://", "https://", 1))
}

// What is in the way of documents, and wrong credentials.
func TestMendOfDelivery(t *testing.T) {
	service, container, host := &place{kind: inService, service: "gauge"}, &place{kind: inContainer, id: strings.Repeat("0a", 32)}, &place{}
	start := func(prepare func(*elastic)) (e *elastic, address string) {
		e = newElastic()
		if prepare != nil {
			prepare(e)
		}
		srv := httptest.NewServer(e)
		t.Cleanup(srv.Close)
		return e, "-storage_driver_es_host=" + srv.URL
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}

	// The template.
	_, address := start(nil)
	line := mended(t, host, "template", "somebody else installs it", address, "-es-template=false")
	want(line, "agent: -es-template=true")
	appliedOptions(t, line, "template", address, "-es-template=false")
	want(mended(t, service, "template", "somebody else installs it", address, "-es-template=false"),
		`stack file: {version: "3.8", services: {gauge: {environment: {SWARMGAUGE_ES_TEMPLATE: "true"}}}}`)

	password := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(password, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("geheim")
	secured, address := start(func(e *elastic) { e.security = true })
	user := []string{address, "-es-user=anna", "-es-password-file=" + password}
	url := strings.TrimPrefix(address, "-storage_driver_es_host=")
	line = mended(t, host, "template", "the user may not install it", user...)
	want(line, "on Elasticsearch: agent template | curl -u ADMIN -X PUT -H 'Content-Type: application/json' --data-binary @- "+url+"/_index_template/cadvisor")
	want(mended(t, container, "template", "somebody else installs it", append(user, "-es-template=false", "-storage_driver_es_index=cadvisor-2")...),
		"on Elasticsearch: docker run --rm IMAGE template -storage_driver_es_index=cadvisor-2 | curl -u ADMIN -X PUT -H 'Content-Type: application/json' --data-binary @- "+url+"/_index_template/cadvisor-2")
	// As the line says, with the fake's user for an administrator.
	_, template, _ := invoke(t, nil, "template")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/_index_template/cadvisor", strings.NewReader(template))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("anna", "geheim")
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusOK || secured.Template("cadvisor") == nil {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	if f := delivery(t, host, "template", user...); len(f) != 1 || f[0].Status != shipper.OK {
		t.Errorf("%+v", f)
	}

	// A person's template, and an older one that the agent doesn't touch.
	changed, address := start(func(e *elastic) {
		e.SetTemplate("cadvisor", `{"index_patterns":["cadvisor-*"],"_meta":{"managed_by":"swarmgauge","version":1,"digest":"0123456789abcdef"}}`)
	})
	degraded := func(where *place, text string, args ...string) string {
		t.Helper()
		f := delivery(t, where, "template", args...)
		if len(f) != 1 || f[0].Status != shipper.Degraded || !strings.Contains(f[0].Text, text) || f[0].mend.line(where) == nil {
			t.Fatalf("%+v", f)
		}
		return f[0].mend.line(where).String()
	}
	line = degraded(host, "was changed by a person", address)
	want(line, "on the node: agent setup -force "+address+" -storage_driver_es_index=cadvisor")
	want(degraded(container, "was changed by a person", address), "on the node: docker exec 0a0a0a0a0a0a /agent setup -force")
	if code, stdout, stderr := invoke(t, nil, shellWords(t, strings.TrimPrefix(line, "on the node: agent "))...); code != exitOK {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	if f := delivery(t, host, "template", address); len(f) != 1 || f[0].Status != shipper.OK {
		t.Errorf("%+v", f)
	}
	changed.SetTemplate("cadvisor", `{"index_patterns":["cadvisor-*"],"_meta":{"managed_by":"swarmgauge","version":1}}`)
	line = degraded(host, "is version 1", address, "-es-template=false")
	want(line, "on the node: agent setup -es-template=true "+address+" -storage_driver_es_index=cadvisor")
	if code, stdout, stderr := invoke(t, nil, shellWords(t, strings.TrimPrefix(line, "on the node: agent "))...); code != exitOK {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	if f := delivery(t, host, "template", address); len(f) != 1 || f[0].Status != shipper.OK {
		t.Errorf("%+v", f)
	}

	// What is in the way under the names of indices.
	rolled, address := start(func(e *elastic) {
		e.answers["GET /cadvisor-*"] = scripted{200, `{"roll-000001":{"aliases":{"cadvisor-TODAY":{}}}}`}
	})
	want(mended(t, host, "template", "is an alias", address),
		fmt.Sprintf(`on Elasticsearch: POST _aliases {"actions":[{"remove":{"index":"roll-000001","alias":"cadvisor-%s"}}]}`, today()))
	rolled.answers["GET /cadvisor-*"] = scripted{200, `{".ds-cadvisor-TODAY-000001":{"data_stream":"cadvisor-TODAY"}}`}
	line = mended(t, host, "template", "is a data stream", address)
	want(line, "agent: -storage_driver_es_index=cadvisor-2")
	appliedOptions(t, line, "template", address)
	rolled.answers["GET /cadvisor-*"] = scripted{200, `{}`}
	rolled.answers["POST /_index_template/_simulate_index/cadvisor-TODAY"] = scripted{200, `{"template":{"mappings":{"_data_stream_timestamp":{"enabled":true}}}}`}
	line = mended(t, host, "template", "makes it a data stream", address)
	want(line, "agent: -storage_driver_es_index=cadvisor-2")
	appliedOptions(t, line, "template", address)
	elsewhere, address := start(nil)
	elsewhere.OnTemplate(map[string]int{"GET": 405})
	want(mended(t, host, "template", "HTTP status 405", address), "agent: -storage_driver_es_host=http://ELASTICSEARCH:9200")

	// Credentials.
	write("falsch")
	want(mended(t, service, "elasticsearch", "doesn't accept the credentials", user...),
		`stack file: {version: "3.8", services: {gauge: {environment: {SWARMGAUGE_ES_PASSWORD_FILE: "/run/secrets/password-2"}, secrets: [password-2]}}, secrets: {password-2: {external: true}}} # first, on a manager: printf %s PASSWORD | docker secret create password-2 -`)
	want(mended(t, container, "elasticsearch", "doesn't accept the credentials", user...), "docker run: -v /PATH/OF/A/FILE/WITH/THE/PASSWORD:"+password+":ro")
	line = mended(t, host, "elasticsearch", "doesn't accept the credentials", user...)
	command, _ := strings.CutPrefix(line, "on the node: ")
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(command, "PASSWORD", "geheim", 1)).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v, %s", line, err, out)
	}
	if f := delivery(t, host, "template", user...); len(f) != 1 || f[0].Status != shipper.OK {
		t.Errorf("%+v", f)
	}
	for _, secret := range []string{"geheim", "falsch"} {
		if strings.Contains(fmt.Sprintf("%+v", delivery(t, host, "elasticsearch", user...)), secret) {
			t.Error("a password is shown")
		}
	}
	key := mended(t, service, "elasticsearch", "doesn't accept the credentials", user[0], "-es-api-key-file="+password)
	if !strings.Contains(key, `SWARMGAUGE_ES_API_KEY_FILE: "/run/secrets/password-2"`) || !strings.HasSuffix(key, "printf %s ID:KEY | docker secret create password-2 -") {
		t.Error(key)
	}
}

func TestOtherName(t *testing.T) {
	for name, want := range map[string]string{
		"x": "x-2", "x-2": "x-3", "x-9": "x-10", "x-99": "x-100", "x-100": "x-100-2", "x-0": "x-0-2", "x-07": "x-07-2",
		"x-": "x--2", "x-+3": "x-+3-2", "a-2026": "a-2026-2", "": "-2",
	} {
		if got := otherName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
