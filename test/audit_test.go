package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// audit runs "agent audit" over the time from then on, and returns what it found and its
// exit code.
func audit(t testing.TB, g *target, from time.Time, more ...string) (found shipper.Audit, code int) {
	t.Helper()
	to := time.Now().UTC()
	mustAsk[any](t, g.ElasticsearchServer, http.MethodPost, "/"+g.index+"-*/_refresh", nil)
	c := exec.Command(buildAgent(t), append([]string{
		"audit", "-storage_driver_es_host=" + g.URL(), "-index=" + g.index, "-json",
		"-from=" + from.UTC().Format(time.RFC3339), "-to=" + to.Format(time.RFC3339),
	}, more...)...)
	c.Env = []string{}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v: %s%s", err, out, stderr.String())
	}
	return found, c.ProcessState.ExitCode()
}

// sentencesOf are all reasons of an audit, line by line.
func sentencesOf(a shipper.Audit) string {
	all := slices.Clone(a.Reasons)
	for _, n := range a.Nodes {
		all = append(all, n.Reasons...)
	}
	return strings.Join(all, "\n")
}

// checkAudit fails the test unless the audit comes to the verdict, for a reason that says so.
func checkAudit(t testing.TB, g *target, from time.Time, want shipper.Verdict, says string, more ...string) shipper.AuditedNode {
	t.Helper()
	found, code := audit(t, g, from, more...)
	codes := map[shipper.Verdict]int{shipper.Proven: 0, shipper.Refuted: 1, shipper.Undecided: 2}
	if found.Verdict != want || code != codes[want] || !strings.Contains(sentencesOf(found), says) || len(found.Nodes) != 1 {
		t.Fatalf("%s, exit code %d; want %s because of %q: %+v\n%s", found.Verdict, code, want, says, found.Nodes, sentencesOf(found))
	}
	return found.Nodes[0]
}

// An agent delivers, is without its server, loses a file of its spool, and is killed: that is
// proven from Elasticsearch alone. Whatever is then changed there refutes it.
func TestAudit(t *testing.T) {
	lab.Need(t, lab.Elasticsearch)
	t.Parallel() // waits most of its time
	prefix := cgroupsOfTest(t, "one", "two")
	for _, version := range lab.ElasticsearchVersions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			testAudit(t, version, prefix)
		})
	}
}

func testAudit(t *testing.T, version, prefix string) {
	s := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{
		Version: version,
		Users: []lab.ElasticsearchUser{
			{Name: "admin", Password: adminPassword},
			{Name: "auditor", Password: agentPassword, Roles: []string{"auditor"}},
		},
		Roles: "auditor:\n  indices:\n  - names: ['audited-*']\n    privileges: [read]\n",
	})
	g := newTarget(t, s, "audited")
	password := g.file(t, "password", agentPassword)
	auditor := []string{"-es-user=auditor", "-es-password-file=" + password}
	server := proxyLater(t, s)
	began := time.Now().Add(-time.Second)
	options := g.options(prefix, "-storage_driver_es_host=http://"+server.address,
		"-es-user=admin", "-es-password-file="+g.file(t, "admin", adminPassword))

	// Four batches while there is no server, one of which is damaged on the disk.
	a := startAgent(t, options...)
	spool := filepath.Join(g.dir, "spool", "q")
	waitFor(t, 20*time.Second, "batches in the spool", func() error {
		files, err := filepath.Glob(filepath.Join(spool, "0*.gz"))
		if len(files) < 4 {
			return fmt.Errorf("%q, %v", files, err)
		}
		content, err := os.ReadFile(files[1])
		if err != nil {
			return err
		}
		content[len(content)/2] ^= 1
		return os.WriteFile(files[1], content, 0o600)
	})
	server.start(t)
	awaitEmpty := func(a *agent) {
		t.Helper()
		waitFor(t, 60*time.Second, "everything to be delivered", func() error {
			if d := a.delivery(t); d.Pending > 0 || d.Indexed == 0 {
				return fmt.Errorf("%+v", d)
			}
			return nil
		})
	}
	awaitEmpty(a)
	checkAudit(t, g, began, shipper.Proven, "", auditor...)

	// Killed while it waits for a server that went, and started again.
	server.Close()
	waitFor(t, 20*time.Second, "batches in the spool", func() error {
		if d := a.delivery(t); d.Pending < 3*5 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
	checkAudit(t, g, began, shipper.Proven, "", append(auditor, "-agents="+a.URL)...)
	a.kill()
	server.again(t)
	a = startAgent(t, options...)
	settled := 0.0 // batches made when nothing waited first; the next one says so
	waitFor(t, 60*time.Second, "documents of the second run", func() error {
		made := a.metric(t, "swarmgauge_batches_total")
		if d := a.delivery(t); d.Pending > 0 || d.Indexed <= d.Found {
			return fmt.Errorf("%+v", d)
		}
		if settled == 0 {
			settled = made
		}
		if made <= settled {
			return fmt.Errorf("%v batches", made)
		}
		return nil
	})
	a.stopInTime(t)
	time.Sleep(time.Second) // what is audited ends with a whole second
	n := checkAudit(t, g, began, shipper.Proven, "was killed", auditor...)
	if n.Runs != 2 || n.Killed != 1 || n.InGaps == 0 || n.Made != n.Present+n.InGaps || n.OnTheirWay+n.Lost+n.Twice != 0 {
		t.Errorf("%+v", n)
	}
	t.Logf("%+v", n)

	docs := documents(t, s, g.index, nil)
	find := func(what string, keep func(document) bool) document {
		t.Helper()
		at := slices.IndexFunc(docs, keep)
		if at < 0 {
			t.Fatalf("no %s among %d documents", what, len(docs))
		}
		return docs[at]
	}
	name := func(d document) string { return "/" + d.text(indexField) + "/_doc/" + d.text(idField) }
	put := func(path string, d document) {
		t.Helper()
		source := document{}
		for key, value := range d {
			if key != indexField && key != idField {
				source[key] = value
			}
		}
		mustAsk[any](t, s, http.MethodPut, path, source)
	}
	measured := find("container", func(d document) bool { return d.dataset() == "container" })
	for _, change := range [...]struct {
		what string
		d    document
		says string
	}{
		{"a document", measured, "1 documents are lost"},
		{"a gap", find("gap", func(d document) bool { return d.dataset() == "gap" }), "documents are lost"},
		{"a manifest", find("manifest", func(d document) bool { return d.dataset() == "agent" }), "1 documents are lost"},
	} {
		mustAsk[any](t, s, http.MethodDelete, name(change.d), nil)
		t.Log(change.what, "deleted")
		checkAudit(t, g, began, shipper.Refuted, change.says, auditor...)
		put(name(change.d), change.d)
	}
	copied := "/" + g.index + "-2020.01.01/_doc/" + measured.text(idField)
	put(copied, measured)
	t.Log("a document copied to another index")
	checkAudit(t, g, began, shipper.Refuted, "are there twice", auditor...)
	mustAsk[any](t, s, http.MethodDelete, copied, nil)
	checkAudit(t, g, began, shipper.Proven, "was killed", auditor...)
}
