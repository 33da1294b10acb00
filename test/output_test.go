package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// outputReport is what "agent test-output -json" prints.
type outputReport struct {
	Status shipper.Status
	shipper.OutputReport
}

// told tells whether there is a finding with that status, that check and that text.
func (r *outputReport) told(s shipper.Status, check, text string) bool {
	return slices.ContainsFunc(r.Findings, func(f shipper.Finding) bool {
		return f.Status == s && f.Check == check && strings.Contains(f.Text, text)
	})
}

// String is what a failed test says of it.
func (r *outputReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, missing %q", r.Status, r.Missing)
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n  %s %s %s: %s", f.Address, f.Status, f.Check, f.Text)
	}
	return b.String()
}

// testOutput runs "agent test-output" with these options.
func testOutput(t testing.TB, options ...string) (r outputReport) {
	t.Helper()
	c := exec.Command(buildAgent(t), append([]string{"test-output", "-json", "-storage_driver=elasticsearch"}, options...)...)
	c.Env = []string{}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s%s", err, out, stderr.String())
	}
	codes := map[shipper.Status]int{shipper.OK: 0, shipper.Degraded: 0, shipper.Fault: 1}
	if code := c.ProcessState.ExitCode(); code != codes[r.Status] {
		t.Errorf("exit code %d of %v", code, &r)
	}
	for _, secret := range []string{adminPassword, agentPassword} {
		if strings.Contains(string(out)+stderr.String(), secret) {
			t.Errorf("a password is shown: %s%s", out, stderr.String())
		}
	}
	return r
}

// roleCase is a user with a role on the indices of its own prefix, which is its name, too.
type roleCase struct {
	name     string
	cluster  []string
	indices  []string
	options  []string
	template bool // is installed beforehand
	// missing are the privileges that test-output has to name, "PRIVILEGE on WHAT"; none if
	// the role is enough.
	missing []string
}

func (c *roleCase) role() shipper.Role {
	// null isn't an empty list in a role, nor is a list of privileges ever empty.
	r := shipper.Role{Cluster: append([]string{}, c.cluster...), Indices: []shipper.RoleIndices{}}
	if len(c.indices) > 0 {
		r.Indices = []shipper.RoleIndices{{Names: []string{c.name + "-*"}, Privileges: c.indices}}
		if slices.Contains(c.options, "-for=setup") {
			r.Indices[0].Names = []string{c.name, c.name + "-*"}
		}
	}
	return r
}

// rolesFile writes roles in the form of roles.yml, of which JSON is a part.
func rolesFile(t testing.TB, roles map[string]shipper.Role) string {
	t.Helper()
	var b strings.Builder
	for name, role := range roles {
		text, err := json.Marshal(role)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %s\n", name, text)
	}
	return b.String()
}

// documentedRole returns the role in the row of docs/operations.md that begins with this,
// with its prefix of indices for cadvisor's.
func documentedRole(t testing.TB, begin, prefix string) shipper.Role {
	t.Helper()
	guide, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(guide), "\n| "+begin)
	row, _, _ = strings.Cut(row, "\n")
	_, text, _ := strings.Cut(row, " | `")
	text, _, _ = strings.Cut(text, "`")
	role := shipper.Role{Cluster: []string{}}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "cadvisor", prefix)), &role); err != nil {
		t.Fatalf("the row %q of docs/operations.md: %v", begin, err)
	}
	return role
}

// The documented roles are enough, and each privilege less is named by test-output, with the
// role that mends it: given to the user, it does. A user who may do no more than the least
// ships, and an audit proves it.
func TestLeastPrivilege(t *testing.T) {
	lab.Need(t, lab.Elasticsearch)
	for _, version := range lab.ElasticsearchVersions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			testLeastPrivilege(t, version)
		})
	}
}

func testLeastPrivilege(t *testing.T, version string) {
	least := []string{"create_doc", "auto_configure"}
	setup, audit, retention := "-for=setup", "-for=audit", "-retention=30d"
	cases := []roleCase{
		// An agent, where the template is there.
		{name: "agent", indices: least, template: true},
		{name: "given", indices: least, template: true, options: []string{"-es-template=false"}},
		{name: "sees", cluster: []string{"monitor"}, indices: append([]string{"read", "view_index_metadata"}, least...), template: true},
		{name: "makes", indices: least[1:], template: true, missing: []string{"create_doc on makes-*"}},
		{name: "writes", indices: least[:1], template: true, missing: []string{"auto_configure on writes-*"}},
		{name: "reads", cluster: []string{"monitor"}, indices: []string{"read"}, template: true, missing: []string{"create_doc on reads-*", "auto_configure on reads-*"}},
		{name: "keeps", indices: least, template: true, options: []string{retention}, missing: []string{"view_index_metadata on keeps-*", "delete_index on keeps-*"}},
		{name: "lists", indices: append([]string{"view_index_metadata"}, least...), template: true, options: []string{retention}, missing: []string{"delete_index on lists-*"}},
		{name: "deletes", indices: append([]string{"delete_index"}, least...), template: true, options: []string{retention}, missing: []string{"view_index_metadata on deletes-*"}},
		{name: "retains", indices: append([]string{"delete_index", "view_index_metadata"}, least...), template: true, options: []string{retention}},
		// An agent that installs it.
		{name: "installs", cluster: []string{"manage_index_templates"}, indices: least},
		{name: "bare", indices: least, missing: []string{"manage_index_templates on the cluster"}},
		{name: "looks", cluster: []string{"monitor"}, indices: least, missing: []string{"manage_index_templates on the cluster"}},
		// A setup, and an audit.
		{name: "setup", cluster: []string{"manage_index_templates"}, indices: []string{"view_index_metadata"}, options: []string{setup}},
		{name: "untemplated", indices: []string{"view_index_metadata"}, options: []string{setup}, missing: []string{"manage_index_templates on the cluster"}},
		{name: "blind", cluster: []string{"manage_index_templates"}, options: []string{setup}, missing: []string{"view_index_metadata on blind and blind-*"}},
		{name: "closed", options: []string{setup}, missing: []string{"manage_index_templates on the cluster", "view_index_metadata on closed and closed-*"}},
		{name: "audit", indices: []string{"read"}, options: []string{audit}},
		{name: "unread", indices: least, options: []string{audit}, missing: []string{"read on unread-*"}},
	}
	users := []lab.ElasticsearchUser{{Name: "admin", Password: adminPassword}}
	roles := map[string]shipper.Role{"auditor": {Indices: []shipper.RoleIndices{{Names: []string{"agent-*"}, Privileges: []string{"read"}}}}}
	for i := range cases {
		name := cases[i].name
		users = append(users, lab.ElasticsearchUser{Name: name, Password: agentPassword, Roles: []string{name}})
		roles[name] = cases[i].role()
	}
	users = append(users, lab.ElasticsearchUser{Name: "auditor", Password: agentPassword, Roles: []string{"auditor"}})
	s := lab.ElasticsearchFor(t, lab.ElasticsearchConfig{
		Version: version, Users: users, Roles: rolesFile(t, roles), Settings: map[string]string{"resource.reload.interval.high": "1s"},
	})
	began := time.Now().Add(-time.Second)
	for begin, name := range map[string]string{"an agent, where": "agent", "`agent setup`": "setup", "`agent audit`": "audit"} {
		i := slices.IndexFunc(cases, func(c roleCase) bool { return c.name == name })
		if want, got := cases[i].role(), documentedRole(t, begin, name); !reflect.DeepEqual(got, want) {
			t.Errorf("the documented role of %s is %+v, and %+v is tested", begin, got, want)
		}
	}

	options := func(c *roleCase, g *target) []string {
		return append([]string{
			"-storage_driver_es_host=" + s.URL(), "-storage_driver_es_index=" + c.name,
			"-es-user=" + c.name, "-es-password-file=" + g.file(t, "password", agentPassword),
		}, c.options...)
	}
	g := newTarget(t, s, "agent")
	for i := range cases {
		c := &cases[i]
		if c.template {
			mustAsk[any](t, s, http.MethodPut, "/_index_template/"+c.name, string(shipper.IndexTemplate(c.name)))
		}
		r := testOutput(t, options(c, g)...)
		if !slices.Equal(r.Missing, c.missing) || (len(c.missing) == 0) != (r.Status == shipper.OK) || (r.Role == nil) != (len(c.missing) == 0) {
			t.Errorf("%s: missing %q, want %q: %v", c.name, r.Missing, c.missing, &r)
		}
		if r.Role != nil {
			roles[c.name] = *r.Role
		}
	}
	if t.Failed() {
		return
	}
	if err := s.SetRoles(rolesFile(t, roles)); err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		c := &cases[i]
		if slices.Contains(c.missing, "manage_index_templates on the cluster") && !slices.Contains(c.options, setup) {
			// What the document made that asked for the template.
			for name := range mustAsk[map[string]any](t, s, http.MethodGet, "/"+c.name+"-*", nil) {
				mustAsk[any](t, s, http.MethodDelete, "/"+name, nil)
			}
		}
		waitFor(t, 60*time.Second, "the role that was printed to be enough for "+c.name, func() error {
			if r := testOutput(t, options(c, g)...); r.Status != shipper.OK {
				return errors.New(r.String())
			}
			return nil
		})
	}

	// "agent setup" by its documented role.
	for i := range cases {
		if c := &cases[i]; slices.Contains(c.options, setup) {
			command := exec.Command(buildAgent(t), append([]string{"setup", "-timeout=1m"}, options(c, g)[:4]...)...)
			command.Env = []string{}
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("agent setup as %s: %v: %s", c.name, err, out)
			}
			if r := testOutput(t, options(c, g)...); !r.told(shipper.OK, "template", "is there, in version") {
				t.Errorf("%s after agent setup: %v", c.name, &r)
			}
		}
	}

	// Real agents, by the documented least.
	var agents []*agent
	targets := []*target{g, newTarget(t, s, "given")}
	for i, g := range targets {
		mustAsk[any](t, s, http.MethodDelete, "/"+g.today(t), nil) // with its documents of test-output
		agents = append(agents, startAgent(t, g.options("/none/", options(&cases[i], g)...)...))
	}
	for i, g := range targets {
		a := agents[i]
		g.awaitDelivery(t, a, 60*time.Second)
		a.awaitHealth(t)
		if log := a.logs(t); cases[i].name == "agent" && !strings.Contains(log, "may not see index templates") {
			t.Errorf("nothing says that the template isn't seen:\n%s", log)
		}
		docs := documents(t, s, g.index, nil)
		checkOnce(t, docs)
		checkFields(t, s, g.index, docs)
	}
	// Documents of test-output are beside those of an agent, and in nobody's way.
	if r := testOutput(t, options(&cases[0], g)...); r.Status != shipper.OK {
		t.Error(&r)
	}
	agents[0].stopInTime(t)
	time.Sleep(time.Second) // what is audited ends with a whole second
	checkAudit(t, g, began, shipper.Proven, "", "-es-user=auditor", "-es-password-file="+g.file(t, "password", agentPassword))
	if n, err := count(t, s, "agent", term("event.dataset", "swarmgauge.test")); n != 1 || err != nil {
		t.Errorf("%d documents of test-output, %v", n, err)
	}
}

// What a real Elasticsearch has in the way of documents is one sentence of test-output, that
// says what mends it.
func TestObstacles(t *testing.T) {
	s, authority := sharedRowServer.get(t)
	do := func(method, path string, body any) {
		t.Helper()
		mustAsk[any](t, s, method, path, body)
	}
	template := func(prefix string) string { return string(shipper.IndexTemplate(prefix)) }
	f := func(name, user string, prepare func(g *target, today string), status shipper.Status, check, text string, more ...string) {
		t.Helper()
		g, _ := rowTarget(t, name, user)
		today := g.today(t)
		if prepare != nil {
			prepare(g, today)
		}
		r := testOutput(t, append([]string{
			"-storage_driver_es_host=" + s.URL(), "-storage_driver_es_index=" + name,
			"-es-user=" + user, "-es-password-file=" + g.file(t, "password", agentPassword),
			"-es-ca-file=" + g.file(t, "ca.pem", certificatePEM(authority.der)),
		}, more...)...)
		faults := 0
		for _, finding := range r.Findings {
			if finding.Status == shipper.Fault {
				faults++
			}
		}
		if !r.told(status, check, text) || status == shipper.Fault && faults != 1 {
			t.Errorf("%s: want %s of %s with %q: %v", name, status, check, text, &r)
		}
	}
	// The certificate is valid for an hour more, of thirteen.
	f("nothing", "agent", nil, shipper.Degraded, "TLS", "expires on")
	f("nothing", "writer", nil, shipper.OK, "mapping", "by swarmgauge's template")
	f("absent", "writer", nil, shipper.Fault, "mapping", "was made without it")

	block := func(setting string) func(*target, string) {
		return func(g *target, today string) {
			do(http.MethodPut, "/_index_template/"+g.index, template(g.index))
			do(http.MethodPut, "/"+today, nil)
			do(http.MethodPut, "/"+today+"/_settings", map[string]any{setting: true})
		}
	}
	// A block comes before the mapping is asked.
	f("blocked", "agent", block("index.blocks.write"), shipper.Fault, "mapping", "lift the block")
	f("flooded", "agent", block("index.blocks.read_only_allow_delete"), shipper.Fault, "mapping", "disk")
	f("closed", "agent", func(g *target, today string) {
		do(http.MethodPut, "/_index_template/"+g.index, template(g.index))
		do(http.MethodPut, "/"+today, nil)
		do(http.MethodPost, "/"+today+"/_close", nil)
	}, shipper.Fault, "mapping", "the day's index is closed")

	foreign := func(name string, priority int) func(*target, string) {
		return func(g *target, _ string) {
			do(http.MethodPut, "/_index_template/"+g.index+name, map[string]any{"index_patterns": []string{g.index + "-*"}, "priority": priority})
		}
	}
	f("foreign", "agent", foreign("", 501), shipper.Degraded, "template", "isn't swarmgauge's")
	f("outdone", "agent", foreign("-other", 900), shipper.Degraded, "mapping", "another one with a higher priority")
	f("rivalled", "agent", foreign("-other", 501), shipper.Fault, "template", "Elasticsearch refuses the index template")

	f("plain", "agent", func(g *target, _ string) { do(http.MethodPut, "/"+g.index, nil) }, shipper.Fault, "template", "in the way of the alias")
	alias := func(g *target, today string) {
		do(http.MethodPut, "/_index_template/"+g.index, template(g.index))
		do(http.MethodPut, "/roll-"+g.index+"-000001", map[string]any{"aliases": map[string]any{today: map[string]any{"is_write_index": true}}})
	}
	f("aliased", "agent", alias, shipper.Fault, "target", "is an alias (of roll-aliased-000001)")
	f("hidden", "writer", alias, shipper.Fault, "mapping", "is an alias or a data stream")

	f("password", "agent", nil, shipper.Fault, "user", "doesn't accept the credentials", "-es-user=nobody")
	f("nobody", "agent", nil, shipper.Fault, "user", "give -es-user and -es-password-file", "-es-user=", "-es-password-file=")
	other, _ := rowTarget(t, "authority", "agent")
	f("authority", "agent", nil, shipper.Fault, "TLS", "isn't trusted here: give its CA file", "-es-ca-file="+other.file(t, "other.pem", certificatePEM(otherAuthority(t))))
	f("name", "agent", nil, shipper.Fault, "TLS", "is for another host name", "-storage_driver_es_host="+strings.Replace(s.URL(), "127.0.0.1", "localhost", 1))
	f("unencrypted", "agent", nil, shipper.Fault, "TLS", "use https://", "-storage_driver_es_host="+strings.Replace(s.URL(), "https", "http", 1))
}

// No panel of a dashboard counts a document of test-output.
func TestOutputInNoPanel(t *testing.T) {
	s, authority := sharedRowServer.get(t)
	g, _ := rowTarget(t, "panels", "agent")
	r := testOutput(t, "-storage_driver_es_host="+s.URL(), "-storage_driver_es_index="+g.index, "-es-user=agent",
		"-es-password-file="+g.file(t, "password", agentPassword), "-es-ca-file="+g.file(t, "ca.pem", certificatePEM(authority.der)))
	if !r.told(shipper.OK, "document", g.today(t)) {
		t.Fatal(&r)
	}
	if n, err := count(t, s, g.index, nil); n != 1 || err != nil {
		t.Fatalf("%d documents, %v", n, err)
	}
	type answer struct {
		Hits struct{ Total *struct{ Value int } }
	}
	panels := 0
	for _, d := range kibana.Dashboards() {
		for _, p := range d.Panels {
			for _, search := range p.Searches(time.Now().Add(-time.Hour), time.Now().Add(time.Hour)) {
				panels++
				path := "/" + g.index + "-*/_search?track_total_hits=true"
				if a := mustAsk[answer](t, s, http.MethodPost, path, json.RawMessage(search.Body)); a.Hits.Total == nil || a.Hits.Total.Value != 0 {
					t.Errorf("%s of %q counts it: %s", p.ID, d.Title, search.Body)
				}
			}
		}
	}
	if panels < 20 {
		t.Errorf("%d searches", panels)
	}
}
