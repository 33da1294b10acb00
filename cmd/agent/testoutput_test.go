package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// An Elasticsearch whose user may do all, or lacks a privilege, or isn't there: the exit code
// and the lines say so, and nothing shows the password.
func TestTestOutput(t *testing.T) {
	es := estest.New()
	es.SetTemplate("cadvisor", string(shipper.IndexTemplate("cadvisor")))
	may := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		switch r.URL.Path {
		case "/":
			io.WriteString(w, `{"cluster_name":"fake","version":{"number":"8.19.21"}}`)
		case "/_security/_authenticate":
			io.WriteString(w, `{"username":"anna","roles":["agent"],"authentication_realm":{"name":"files"}}`)
		case "/_security/user/_has_privileges":
			io.WriteString(w, `{"index":{"cadvisor-*":{"create_doc":true`+may+`}}}`)
		default:
			es.ServeHTTP(w, r)
		}
	}))
	defer server.Close()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("geheim"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(code int, says string, args ...string) (out string) {
		t.Helper()
		got, stdout, stderr := invoke(t, nil, append([]string{"test-output", "-storage_driver_es_host=" + server.URL, "-es-user=anna", "-es-password-file=" + password, "-node-name=node1"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%q: exit code %d, want %d and %q:\n%s%s", args, got, code, says, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "geheim") {
			t.Errorf("the password is shown:\n%s%s", stdout, stderr)
		}
		return stdout
	}
	elasticsearch := "-storage_driver=elasticsearch"
	may = `,"auto_configure":true`
	f(exitOK, "  ✓ document: ", elasticsearch)
	f(exitOK, server.URL+"\n  ✓ connection: ", elasticsearch)
	f(exitOK, "Elasticsearch\n  ✓ user: known as anna", elasticsearch)
	f(exitOK, "  · privilege: read on cadvisor-* isn't granted", elasticsearch)
	f(exitOK, `  ! storage_driver: -storage_driver is "": `)
	if out := f(exitOK, "✓ template", elasticsearch, "-write=false"); strings.Contains(out, "document:") {
		t.Errorf("a document was written:\n%s", out)
	}
	f(exitFailure, "Missing: read on cadvisor-*.", "-for=audit")
	f(exitFailure, "http://127.0.0.1:1\n  ✗ connection", elasticsearch, "-storage_driver_es_host=http://u:geheim@127.0.0.1:1")

	may = ""
	f(exitFailure, "  ✗ privilege: auto_configure on cadvisor-* is missing", elasticsearch)
	f(exitFailure, "PUT _security/role/swarmgauge-agent\n"+`{"cluster":[],"indices":[{"names":["cadvisor-*"],"privileges":["auto_configure","create_doc"]}]}`, elasticsearch)
	var report struct {
		Status   shipper.Status
		Findings []shipper.Finding
		Missing  []string
		Role     shipper.Role
		APIKey   apiKey `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(f(exitFailure, `"status": "fault"`, elasticsearch, "-json")), &report); err != nil {
		t.Fatal(err)
	}
	role := report.APIKey.Roles["swarmgauge-agent"]
	if report.Status != shipper.Fault || len(report.Findings) < 5 || len(report.Missing) != 1 || role == nil || len(role.Indices) != 1 ||
		strings.Join(role.Indices[0].Privileges, " ") != strings.Join(report.Role.Indices[0].Privileges, " ") {
		t.Errorf("%+v", report)
	}

	may = `,"auto_configure":true`
	fake := kibanatest.New("8.19.21")
	kibana := httptest.NewServer(fake)
	defer kibana.Close()
	f(exitOK, kibana.URL+"\n  ✓ kibana: Kibana 8.19.21 answers", elasticsearch, "-kibana-host="+kibana.URL)
	if writes := fake.Writes(); len(writes) > 0 {
		t.Errorf("written: %q", writes)
	}
	fake.Secure("Basic YW5uYTpnZWhlaW0=", kibanatest.User{}) // anna:geheim
	f(exitFailure, "✗ kibana: the user may not read or write", elasticsearch, "-kibana-host="+kibana.URL)
	fake.Boot(true)
	f(exitOK, "! kibana: Kibana at "+kibana.URL+" isn't ready", elasticsearch, "-kibana-host="+kibana.URL)
	f(exitOK, "! kibana: ", elasticsearch, "-kibana-host=http://127.0.0.1:1")

	f(exitUsage, `did you mean "setup"?`, "-for=set-up")
	f(exitUsage, "takes options only", "now")
}
