package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
}

// agentSetup runs "agent setup".
func agentSetup(t testing.TB, options ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), buildAgent(t), append([]string{"setup"}, options...)...)
	c.Stdout, c.Stderr, c.Env = &stdout, &stderr, []string{}
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// wants fails the test unless the command ended with that code and printed these texts.
func (r result) wants(t testing.TB, code int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("%q isn't in: %v", text, r)
		}
	}
	if r.code != code {
		t.Errorf("want exit %d: %v", code, r)
	}
}

// fakeKibana is a Kibana for the agent.
func fakeKibana(t testing.TB, version string) (*kibanatest.Server, string) {
	fake := kibanatest.New(version)
	fake.Strict()
	s := httptest.NewServer(fake)
	t.Cleanup(s.Close)
	return fake, s.URL
}

// TestSetup sets real servers up, by the command and by running agents.
func TestSetup(t *testing.T) {
	t.Run(lab.Elasticsearch7, func(t *testing.T) {
		t.Parallel()
		es := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{Version: lab.Elasticsearch7})
		testSetupCommand(t, es, "7.17.29")
		t.Run("names", func(t *testing.T) { testIndexNames(t, es) })
	})
	t.Run(lab.Elasticsearch8, func(t *testing.T) {
		t.Parallel()
		es := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{})
		t.Run("background", func(t *testing.T) { testSetupInBackground(t, es) })
		t.Run("command", func(t *testing.T) { testSetupCommand(t, es, "8.19.21") })
		t.Run("rules", func(t *testing.T) { testRules(t, es) })
		t.Run("names", func(t *testing.T) { testIndexNames(t, es) })
		t.Run("waits", func(t *testing.T) { testSetupWaits(t, es) })
	})
}

// testIndexNames makes sure that the agent refuses those prefixes of indices that
// Elasticsearch does.
func testIndexNames(t *testing.T, es *lab.ElasticsearchServer) {
	for _, prefix := range []string{"a-1_b+c", ".hidden", "größe", "a&b", "a%b", "a=b", strings.Repeat("x", 244),
		"Upper", "a b", "a:b", "a,b", `a\b`, "a*", "a?", `a"b`, "a<", "a>", "a|b", "a#b", "-a", "_a", "+a", strings.Repeat("x", 245)} {
		path := "/" + url.PathEscape(prefix+"-2026.01.01")
		_, err := es.Do(t.Context(), http.MethodPut, path, nil)
		if refused := shipper.CheckIndexPrefix(prefix); (err == nil) != (refused == nil) {
			t.Errorf("%q: Elasticsearch says %v, the agent %v", prefix, err, refused)
		}
		if err == nil {
			mustAsk[any](t, es, http.MethodDelete, path, nil)
		}
	}
}

// testSetupCommand does what "agent setup" can do, and changes what a person has changed on
// request alone.
func testSetupCommand(t *testing.T, es *lab.ElasticsearchServer, version string) {
	const path = "/_index_template/cadvisor"
	template := func() string {
		t.Helper()
		return fmt.Sprint(mustAsk[any](t, es, http.MethodGet, path, nil))
	}
	on := "-storage_driver_es_host=" + es.URL()

	// The template.
	agentSetup(t, on, "-dry-run").wants(t, 0, `would be created: index template "cadvisor"`)
	if _, err := ask[any](t, es, http.MethodGet, path, nil); err == nil {
		t.Error("-dry-run has installed the index template")
	}
	agentSetup(t, on).wants(t, 0, `created: index template "cadvisor"`)
	first := template()
	agentSetup(t, on).wants(t, 0, `is there already: index template "cadvisor"`)
	agentSetup(t, on, "-dry-run").wants(t, 0, `is there already: index template "cadvisor"`)
	if template() != first {
		t.Error("the second setup has changed the index template")
	}
	var changed map[string]any
	found := mustAsk[struct {
		Templates []struct {
			Template map[string]any `json:"index_template"`
		} `json:"index_templates"`
	}](t, es, http.MethodGet, path, nil)
	changed = found.Templates[0].Template
	changed["template"].(map[string]any)["settings"].(map[string]any)["index"].(map[string]any)["number_of_shards"] = 3
	mustAsk[any](t, es, http.MethodPut, path, changed)
	mine := template()
	agentSetup(t, on).wants(t, 0, "left as it is: the index template \"cadvisor\" was changed by a person")
	if template() != mine {
		t.Error("setup has overwritten what a person has changed")
	}
	agentSetup(t, on, "-dry-run", "-force").wants(t, 0, "would be replaced", "- template.settings.index.number_of_shards: 3", "+ template.settings.index.number_of_shards: 1")
	agentSetup(t, on, "-force").wants(t, 0, `replaced: index template "cadvisor"`)
	if template() != first {
		t.Errorf("after -force: %s", template())
	}

	// What is in the way.
	other := "-storage_driver_es_index=other"
	mustAsk[any](t, es, http.MethodPut, "/_index_template/theirs", map[string]any{"index_patterns": []string{"other-*"}, "priority": 501})
	agentSetup(t, on, other).wants(t, 1, "Elasticsearch refuses the index template", "theirs")
	mustAsk[any](t, es, http.MethodPut, "/_index_template/theirs", map[string]any{"index_patterns": []string{"other-*"}, "priority": 900})
	agentSetup(t, on, other).wants(t, 0, "created", "another index template goes before it", "theirs")
	mustAsk[any](t, es, http.MethodDelete, "/_index_template/theirs", nil)
	mustAsk[any](t, es, http.MethodPut, "/plain", nil)
	agentSetup(t, on, "-storage_driver_es_index=plain").wants(t, 1, "an index with the plain name of the prefix is in the way")
	mustAsk[any](t, es, http.MethodPut, "/stranger", map[string]any{"aliases": map[string]any{"shared": map[string]any{}}})
	agentSetup(t, on, "-storage_driver_es_index=shared").wants(t, 0, "has an index of others behind it, stranger")
	mustAsk[any](t, es, http.MethodPut, "/_index_template/foreign", map[string]any{"index_patterns": []string{"foreign-*"}})
	agentSetup(t, on, "-storage_driver_es_index=foreign").wants(t, 0, "isn't swarmgauge's; it is left as it is")
	// This server has no lifecycles.
	agentSetup(t, on, "-setup-ilm", "-retention=30d").wants(t, 1, "has no index lifecycle management")

	// Kibana.
	fake, url := fakeKibana(t, version)
	if strings.HasPrefix(version, "7.") {
		agentSetup(t, on, "-kibana-host="+url).wants(t, 1, `is there already: index template "cadvisor"`,
			"Kibana 7.17.29 is older than 8.9", "Stack Management → Index Patterns → Create index pattern, with the pattern cadvisor-*")
		return
	}
	agentSetup(t, on, "-kibana-host="+url, "-dry-run", "-rules").wants(t, 0, `would be created: data view "cadvisor-*"`, "would be created, disabled: swarmgauge: ")
	if w := fake.Writes(); len(w) != 0 {
		t.Errorf("-dry-run wrote: %q", w)
	}
	agentSetup(t, on, "-kibana-host="+url, "-rules").wants(t, 0, "Kibana 8.19.21 at "+url, `created: data view "cadvisor-*"`, `created: dashboard "`, "created, disabled: swarmgauge: ")
	writes := len(fake.Writes())
	agentSetup(t, on, "-kibana-host="+url, "-rules").wants(t, 0, "objects are there already")
	if w := fake.Writes(); len(w) != writes {
		t.Errorf("the second setup wrote: %q", w[writes:])
	}
}

// testSetupWaits: servers that aren't there yet, that start, and that never come.
func testSetupWaits(t *testing.T, es *lab.ElasticsearchServer) {
	fake, kibana := fakeKibana(t, "9.2.2")
	fake.Boot(true)
	if err := es.Stop(); err != nil {
		t.Fatal(err)
	}
	on := []string{"-storage_driver_es_host=" + es.URL(), "-kibana-host=" + kibana}
	agentSetup(t, append(on, "-timeout=2s")...).wants(t, 1, "waiting for Elasticsearch at "+es.URL(), "gave up after 2s", "connection refused")

	var wg sync.WaitGroup
	var ended result
	wg.Go(func() { ended = agentSetup(t, on...) })
	if err := es.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, time.Minute, "setup to ask Kibana", func() error {
		if fake.Requests() == 0 {
			return errors.New("nothing yet")
		}
		return nil
	})
	fake.Boot(false)
	wg.Wait()
	ended.wants(t, 0, "waiting for Elasticsearch", "waiting for Kibana at "+kibana, "isn't ready", `created: data view "cadvisor-*"`)
	agentSetup(t, "-storage_driver_es_host="+es.URL(), "-kibana-host="+kibana+"/base").wants(t, 1, "check host, port and base path")
}

// TestSetupExport writes the same objects as are committed and the rules that a setup makes, asks
// nobody, and what it writes is what a setup by hand needs.
func TestSetupExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	nowhere := []string{"-storage_driver_es_host=http://127.0.0.1:1", "-kibana-host=http://127.0.0.1:1", "-export=" + dir}
	agentSetup(t, append(nowhere, "-rules", "-setup-ilm", "-retention=30d")...).wants(t, 0, "_index_template/cadvisor", "_import", "/api/alerting/rule/", "_ilm/policy/cadvisor")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 5 {
		t.Fatal(entries, err)
	}
	exported := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	committed, err := os.ReadFile("../deploy/kibana/swarmgauge.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(exported("swarmgauge.ndjson"), committed) {
		t.Error("swarmgauge.ndjson isn't deploy/kibana/swarmgauge.ndjson")
	}
	// Rules aren't committed: each is what a setup would send.
	rules := kibana.Rules("cadvisor", "")
	for _, rule := range rules {
		var compact bytes.Buffer
		if err := json.Compact(&compact, exported("swarmgauge-rule-"+rule.ID+".json")); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(compact.Bytes(), rule.Body) {
			t.Errorf("the rule %s is exported as %s", rule.ID, compact.Bytes())
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "swarmgauge-rule-*.json")); err != nil || len(files) != len(rules) || len(rules) == 0 {
		t.Errorf("%d files of %d rules, %v", len(files), len(rules), err)
	}
	agentSetup(t, nowhere...).wants(t, 0, "swarmgauge-index-template.json")
	written, err := os.ReadFile(filepath.Join(dir, "swarmgauge-index-template.json"))
	if err != nil || !strings.Contains(string(written), `"managed_by": "swarmgauge"`) || strings.Contains(string(written), "lifecycle") {
		t.Errorf("%.200s %v", written, err)
	}
}

// testSetupInBackground: of three agents with a Kibana that hangs, starts and is there at
// last, all ship meanwhile, one does the setup, and the others know.
func testSetupInBackground(t *testing.T, es *lab.ElasticsearchServer) {
	const index = "background"
	fake, kibana := fakeKibana(t, "9.2.2")
	hang := make(chan struct{})
	fake.Override(func(r *http.Request) *kibanatest.Answer {
		select {
		case <-hang:
			return nil
		case <-r.Context().Done():
			return &kibanatest.Answer{Status: 500}
		}
	})
	release := sync.OnceFunc(func() { close(hang) })
	t.Cleanup(release) // before the server waits for its requests
	prefix := cgroupsOfTest(t, "one")
	var agents []*agent
	for i := range 3 {
		g := newTarget(t, es, index)
		agents = append(agents, startAgent(t, append(g.options(prefix, "-kibana-host="+kibana), fmt.Sprintf("-node-name=node%d", i))...))
	}
	for _, a := range agents {
		waitFor(t, time.Minute, "documents to be shipped while Kibana hangs", func() error {
			if d := a.delivery(t); d.Indexed == 0 {
				return fmt.Errorf("%+v", d)
			}
			return nil
		})
		if h := a.health(t); h.Status != "ok" || !strings.Contains(strings.Join(h.Notes, "\n"), "Kibana") {
			t.Errorf("%+v", h)
		}
	}
	waitFor(t, time.Minute, "the agents to ask Kibana", func() error {
		if n := fake.Requests(); n < 3 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	fake.Boot(true)
	release()
	waitFor(t, time.Minute, "an agent to say that it waits", func() error {
		if !strings.Contains(strings.Join(agents[0].health(t).Notes, "\n"), "Kibana isn't set up: Kibana at "+kibana+" isn't ready") {
			return fmt.Errorf("%q", agents[0].health(t).Notes)
		}
		return nil
	})
	fake.Boot(false)
	for _, a := range agents {
		waitFor(t, 3*time.Minute, "the agent to know that Kibana is set up", func() error {
			text, err := httpGet(t, a.URL+"/metrics")
			if err == nil && !strings.Contains(text, "\nswarmgauge_kibana_set_up 1\n") {
				err = fmt.Errorf("%q", a.health(t).Notes)
			}
			return err
		})
	}
	ids := fake.IDs("default")
	if !slices.Contains(ids, "index-pattern/swarmgauge") || !slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, "dashboard/") }) {
		t.Errorf("%q", ids)
	}
	// The tag, everything, the tag: by one of them, unless it took so long that another took
	// over.
	if w := fake.Writes(); len(w) < 3 || len(w) >= 9 {
		t.Errorf("%d requests wrote: %q", len(w), w)
	}
	for _, a := range agents {
		if logs := a.logs(t); strings.Count(logs, "waiting to set Kibana up") > 8 || !strings.Contains(logs, "et Kibana up") && !strings.Contains(logs, "Kibana is set up already") {
			t.Errorf("the log:\n%s", logs)
		}
	}
}
