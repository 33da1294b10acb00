package shipper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// Role is what a user of Elasticsearch may do: the body of PUT _security/role/NAME, and a
// descriptor of an API key.
type Role struct {
	Cluster []string      `json:"cluster"`
	Indices []RoleIndices `json:"indices"`
}

// RoleIndices are the privileges of a role on indices.
type RoleIndices struct {
	Names      []string `json:"names"`
	Privileges []string `json:"privileges"`
}

// need is a privilege that something makes use of.
type need struct {
	privilege string
	cluster   bool   // on the cluster, else on the indices
	does      string // what is done with it: "writes documents"
	without   string // what is, and what helps, without it
	required  bool
}

// The privileges that are named in more than one place.
const (
	createDoc       = "create_doc"
	autoConfigure   = "auto_configure"
	manageTemplates = "manage_index_templates"
	viewMetadata    = "view_index_metadata"
	deleteIndex     = "delete_index"
)

// listNeeds returns the privileges that matter for what is tested. Sources: what Elasticsearch
// 7.17 and 8.19 were seen to refuse, and the sentence in which they name the privileges that
// grant an action.
func (x *outputTest) listNeeds() []need {
	monitor := need{"monitor", true, "tells the version", "the version isn't told", false}
	switch x.test.For {
	case ForAudit:
		return []need{{"read", false, `searches documents, for "agent audit"`, `"agent audit" can't read what agents have written`, true}}
	case ForSetup:
		return []need{
			{manageTemplates, true, "installs the index template", "the index template can't be installed", !x.NoTemplate},
			{viewMetadata, false, "sees what is in the way under the names of the indices and of their alias", "aliases and data streams that are in the way aren't seen", true},
			{"manage_ilm", true, "makes a lifecycle policy, for -setup-ilm", "-setup-ilm can't be used", false},
			monitor,
		}
	}
	retention := need{deleteIndex, false, "deletes indices older than -retention", "it is for -retention, which isn't set", false}
	if x.test.Retention {
		retention.without, retention.required = "old indices can't be deleted", true
	}
	return []need{
		{createDoc, false, "writes documents", "no document can be written", true},
		{autoConfigure, false, "makes the index of each day", "the index of a day can't be made, nor documents written to it", true},
		{manageTemplates, true, "installs and renews the index template", `the index template has to be there already ("agent setup")`, false},
		{viewMetadata, false, "sees beforehand what is in the way under the name of an index, and which indices are old", "the first answer tells what is in the way", x.test.Retention},
		retention,
		{"read", false, `searches documents, for "agent audit"`, `"agent audit" needs another user`, false},
		monitor,
	}
}

// on says what the privilege is on.
func (x *outputTest) on(n *need) string {
	if n.cluster {
		return n.privilege + " on the cluster"
	}
	return n.privilege + " on " + strings.Join(x.names(), " and ")
}

// names are what privileges on indices are needed on: a setup looks at the alias, too.
func (x *outputTest) names() []string {
	days := x.IndexPrefix + "-*"
	if x.test.For == ForSetup {
		return []string{x.IndexPrefix, days}
	}
	return []string{days}
}

// user finds out as whom Elasticsearch knows the agent. false means that it doesn't.
func (x *outputTest) user(ctx context.Context, s *sender) bool {
	r, took, err := x.look(ctx, s, func(header http.Header) esapi.Request {
		return esapi.SecurityAuthenticateRequest{Header: header}
	})
	if err != nil {
		_, sentence := s.unanswered(err)
		x.add("", "user", Fault, took, "%s", sentence)
		return false
	}
	rule, said, sentence := r.refusal("")
	switch {
	case r.status == http.StatusOK:
		x.add("", "user", OK, took, "%s", describeUser(r.body))
	case r.status == http.StatusUnauthorized && x.anonymous:
		x.add("", "user", Fault, took, "Elasticsearch wants to know who asks: give -es-user and -es-password-file, or -es-api-key-file")
		return false
	case r.status == http.StatusUnauthorized:
		x.add("", "user", Fault, took, "%s", sentence)
		return false
	case r.status/100 != 4 || rule.fate == again || said.Type == "security_exception":
		x.add("", "user", Degraded, took, "Elasticsearch doesn't tell who asks: %s", sentence)
	case !r.product:
		x.open = true
		x.add("", "user", Unused, took, "this server has no _security API of Elasticsearch's: who asks and what he may do isn't checked")
	case x.anonymous:
		x.open = true
		x.add("", "user", Unused, took, "this server has no security: whoever reaches it may do everything, and no privileges are checked")
	default:
		x.open = true
		x.add("", "user", Degraded, took, "this server has no security, and the credentials are of no use: whoever reaches it may do everything, and no privileges are checked")
	}
	return true
}

// describeUser says who asks, by the answer of _security/_authenticate.
func describeUser(body []byte) string {
	var u struct {
		Username string
		Roles    []string
		Realm    struct{ Name, Type string } `json:"authentication_realm"`
		Type     string                      `json:"authentication_type"`
		Key      struct{ ID, Name string }   `json:"api_key"`
	}
	if err := json.Unmarshal(body, &u); err != nil {
		return "the credentials are accepted"
	}
	switch u.Type {
	case "api_key":
		return fmt.Sprintf("known as the API key %q of the user %s", u.Key.Name, u.Username)
	case "anonymous":
		return fmt.Sprintf("known as nobody: whoever comes without credentials is %s (roles %s)", u.Username, strings.Join(u.Roles, ", "))
	}
	return fmt.Sprintf("known as %s (realm %s, roles %s)", u.Username, u.Realm.Name, strings.Join(u.Roles, ", "))
}

// all is the privilege that includes each other one.
const all = "all"

// privileges asks which of the privileges that matter the user has.
func (x *outputTest) privileges(ctx context.Context, s *sender) {
	x.needs = x.listNeeds()
	if x.open {
		return
	}
	names := x.names()
	asked := Role{Cluster: []string{all}, Indices: []RoleIndices{{Names: names}}}
	for i := range x.needs {
		if n := &x.needs[i]; n.cluster {
			asked.Cluster = append(asked.Cluster, n.privilege)
		} else {
			asked.Indices[0].Privileges = append(asked.Indices[0].Privileges, n.privilege)
		}
	}
	body, err := json.Marshal(object{"cluster": asked.Cluster, "index": asked.Indices})
	if err != nil {
		panic(err) // texts can't fail
	}
	r, took, err := x.look(ctx, s, func(header http.Header) esapi.Request {
		return esapi.SecurityHasPrivilegesRequest{Body: bytes.NewReader(body), Header: header}
	})
	var answer struct {
		Cluster map[string]bool
		Index   map[string]map[string]bool
	}
	if err != nil || r.status != http.StatusOK || json.Unmarshal(r.body, &answer) != nil {
		why := "its answer can't be read"
		if err != nil {
			_, why = s.unanswered(err)
		} else if r.status != http.StatusOK {
			_, _, why = r.refusal("")
		}
		x.add("", "privileges", Degraded, took, "Elasticsearch doesn't tell what the user may do: %s", why)
		return
	}
	x.has = make(map[string]bool)
	for i := range x.needs {
		n := &x.needs[i]
		has := answer.Cluster[n.privilege]
		if !n.cluster {
			has = !slices.ContainsFunc(names, func(name string) bool { return !answer.Index[name][n.privilege] })
		}
		x.has[n.privilege] = has
		switch {
		case has:
			x.add("", "privilege", OK, took, "%s: %s", x.on(n), n.does)
		case n.required:
			x.add("", "privilege", Fault, took, "%s is missing: %s", x.on(n), n.without)
		default:
			x.add("", "privilege", Unused, took, "%s isn't granted: %s", x.on(n), n.without)
		}
		took = 0 // it was one question
	}
	x.report.NoRead = x.test.For == ForAgent && x.lacks("read")
	if answer.Cluster[all] && x.test.For == ForAgent {
		x.add("", "privilege", Degraded, 0, "the user may do everything, and the agent is on every node: give it a user or an API key of its own, that may do what is above and no more")
	}
}

// lacks tells that the user is known not to have a privilege.
func (x *outputTest) lacks(privilege string) bool { return x.has != nil && !x.has[privilege] }

// require has a privilege be among those that are needed.
func (x *outputTest) require(privilege string) {
	for i := range x.needs {
		if x.needs[i].privilege == privilege {
			x.needs[i].required = true
		}
	}
}

// role writes down the role that has everything that is needed, if the user lacks any of it.
func (x *outputTest) role() {
	role := Role{Cluster: []string{}, Indices: []RoleIndices{}}
	var privileges []string
	for i := range x.needs {
		n := &x.needs[i]
		if !n.required {
			continue
		}
		if x.lacks(n.privilege) {
			x.report.Missing = append(x.report.Missing, x.on(n))
		}
		if n.cluster {
			role.Cluster = append(role.Cluster, n.privilege)
		} else {
			privileges = append(privileges, n.privilege)
		}
	}
	if len(x.report.Missing) == 0 {
		return
	}
	slices.Sort(role.Cluster)
	slices.Sort(privileges)
	if len(privileges) > 0 {
		role.Indices = []RoleIndices{{Names: x.names(), Privileges: privileges}}
	}
	x.report.Role = &role
}
