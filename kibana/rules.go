package kibana

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
)

// Rule is an alerting rule of Kibana, made disabled: whoever wants it gives it an action and
// switches it on.
type Rule struct {
	ID   string // a UUID, another one in each space
	Name string
	// Condition says in a sentence when it fires, and what it needs for that.
	Condition string
	Body      []byte // of POST /api/alerting/rule/<id>
}

// threshold is the row of one rule: over all documents of a dataset within a window, or those
// of each group, an aggregate is compared with a number.
type threshold struct {
	key, name string // the key never changes: the rule's id is made of it
	dataset   string
	beside    string           // a second dataset; "" for none
	filter    []map[string]any // beside the dataset
	aggregate string           // count, min, max, avg, sum
	field     string           // "" for count
	group     string           // field; "" for all together
	minutes   int              // the window
	operator  string
	than      float64
	note      string // what else a person has to know of the condition; "" for nothing
}

// silence is a field that documents don't have: how old they are, in seconds. Elasticsearch
// computes it for a rule, because no group of a rule is one without documents: a node that is
// silent has to be found among those that weren't.
const silence = "silent_seconds"

// silenceField is what Elasticsearch is told of it.
func silenceField() map[string]any {
	return map[string]any{silence: map[string]any{
		"type":   "double",
		"script": map[string]any{"source": "emit((System.currentTimeMillis() - doc['@timestamp'].value.toInstant().toEpochMilli()) / 1000.0)"},
	}}
}

const needsSocket = "Needs an agent with the engine's socket on the leader."

func term(field string, value any) map[string]any {
	return map[string]any{"term": map[string]any{field: value}}
}

func above(field string, number float64) map[string]any {
	return map[string]any{"range": map[string]any{field: map[string]any{"gt": number}}}
}

func not(clause map[string]any) map[string]any {
	return map[string]any{"bool": map[string]any{"must_not": []any{clause}}}
}

// thresholds are the rules. Flows are sums of deltas, so a share of time is the seconds in
// the window.
func thresholds() []threshold {
	return []threshold{
		{key: "agents-silent", name: "No agent has reported for 2 minutes", dataset: "agent", aggregate: "count", minutes: 2, operator: "<", than: 1},
		{key: "node-silent", name: "A node's agent has been silent for 2 minutes", dataset: "agent", aggregate: "min", field: silence, group: "host.name", minutes: 60, operator: ">", than: 120, note: "Of nodes that reported within the last hour: it ends when the hour is over, or the next document is there."},
		{key: "node-without-agent", name: "A node of the Swarm has no agent that reports", dataset: "swarm_node", beside: "agent", aggregate: "sum", field: "agent.batch.documents", group: "swarm.node.name", minutes: 5, operator: "<", than: 1, note: needsSocket},
		{key: "node-not-ready", name: "A node of the Swarm isn't ready", dataset: "swarm_node", filter: []map[string]any{not(term("swarm.node.state", "ready"))}, aggregate: "count", group: "swarm.node.name", minutes: 2, operator: ">", than: 0, note: "Of documents in which `swarm.node.state` isn't ready. " + needsSocket},
		{key: "service-under-replicated", name: "A service lacks replicas for 5 minutes", dataset: "service", aggregate: "min", field: "swarm.service.missing", group: "swarm.service.name", minutes: 5, operator: ">", than: 0, note: needsSocket},
		{key: "crash-loop", name: "A service's containers failed three times in 10 minutes", dataset: "event", filter: []map[string]any{term("event.action", "die"), above("container.exit_code", 0)}, aggregate: "count", group: "swarm.service.name", minutes: 10, operator: ">=", than: 3, note: "Of ends (`event.action: die`) with a `container.exit_code` above 0: one that nobody tells is no failure."},
		{key: "oom-kill", name: "The OOM killer ended a process of a container", dataset: "container", aggregate: "sum", field: "container.memory.oom_kills", group: "container.name", minutes: 5, operator: ">", than: 0},
		{key: "memory-near-limit", name: "A container is above 90 % of its memory limit for 10 minutes", dataset: "container", aggregate: "min", field: "container.memory.limit_usage", group: "container.name", minutes: 10, operator: ">", than: 0.9},
		{key: "cpu-throttled", name: "A container is throttled in more than 25 % of periods over 15 minutes", dataset: "container", aggregate: "avg", field: "container.cpu.throttled_ratio", group: "container.name", minutes: 15, operator: ">", than: 0.25},
		{key: "memory-pressure", name: "A container stalls for memory more than 10 % of 5 minutes", dataset: "container", aggregate: "sum", field: "container.pressure.memory.full_seconds", group: "container.name", minutes: 5, operator: ">", than: 30},
		{key: "filesystem-full", name: "A filesystem of a node will be full within a day", dataset: "filesystem", aggregate: "min", field: "filesystem.full_in_seconds", group: "host.name", minutes: 15, operator: "<", than: 24 * 3600},
		{key: "log-large", name: "The log of a container is larger than 5 GB", dataset: "container", aggregate: "max", field: "container.storage.log_bytes", group: "container.name", minutes: 15, operator: ">", than: 5e9},
		{key: "documents-wait", name: "Documents have waited on a node for more than 10 minutes", dataset: "agent", aggregate: "min", field: "agent.spool.oldest_seconds", group: "host.name", minutes: 2, operator: ">", than: 600},
	}
}

// datasets is the query for the documents of the rule's datasets.
func (t *threshold) datasets() map[string]any {
	names := []string{"swarmgauge." + t.dataset}
	if t.beside != "" {
		return map[string]any{"terms": map[string]any{"event.dataset": append(names, "swarmgauge."+t.beside)}}
	}
	return term("event.dataset", names[0])
}

// condition says when the rule fires.
func (t *threshold) condition() string {
	text := t.aggregate + " of "
	if t.field != "" {
		text += "`" + t.field + "` of "
	}
	text += "`" + t.dataset + "`"
	if t.beside != "" {
		text += " and `" + t.beside + "`"
	}
	text += " documents"
	if t.group != "" {
		text += " for each `" + t.group + "`"
	}
	text += fmt.Sprintf(", %d min: %s %s.", t.minutes, t.operator, formatNumber(t.than))
	if t.note != "" {
		text += " " + t.note
	}
	return text
}

const (
	ruleType = ".es-query"
	// ruleGroups is the most groups that a rule looks at. Kibana allows 1000.
	ruleGroups = 500
)

// Rules returns the alerting rules for the indices <prefix>-* and a space, "" for the default
// one.
//
// Source of the bodies: Kibana's schemas of POST /api/alerting/rule/{id} and of the
// parameters of .es-query, as they are since 8.9. Its query may bring fields of its own
// (runtime_mappings) since 8.5, and groups since 8.8.
func Rules(prefix, space string) []Rule {
	if space == "" {
		space = defaultSpace
	}
	var rules []Rule
	for _, t := range thresholds() {
		query := map[string]any{"query": map[string]any{"bool": map[string]any{
			"filter": append([]map[string]any{t.datasets()}, t.filter...),
		}}}
		if t.field == silence {
			query["runtime_mappings"] = silenceField()
		}
		params := map[string]any{
			"searchType": "esQuery", "index": []string{prefix + "-*"}, "timeField": "@timestamp", "esQuery": embed(query), "size": 0,
			"timeWindowSize": t.minutes, "timeWindowUnit": "m", "excludeHitsFromPreviousRun": false,
			"aggType": t.aggregate, "groupBy": "all", "thresholdComparator": t.operator, "threshold": []float64{t.than},
		}
		if t.field != "" {
			params["aggField"] = t.field
		}
		if t.group != "" {
			params["groupBy"], params["termField"], params["termSize"] = "top", t.group, ruleGroups
		}
		name := "swarmgauge: " + t.name
		rules = append(rules, Rule{ID: ruleID(space, t.key), Name: name, Condition: t.condition(), Body: []byte(embed(map[string]any{
			"name": name, "tags": []string{"swarmgauge"}, "rule_type_id": ruleType, "consumer": "stackAlerts",
			"schedule": map[string]any{"interval": "1m"}, "params": params, "actions": []any{}, "enabled": false,
		}))})
	}
	return rules
}

// ruleID returns the id of a rule. Kibana wants a UUID of version 1 or 4, and each id once in
// all spaces.
func ruleID(space, key string) string {
	h := sha256.Sum256([]byte("swarmgauge rule\x00" + space + "\x00" + key))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// AddRules makes those of the rules that aren't there, and returns their names; none with
// plan, which writes nothing, and returns those that would be made. A rule that is there is
// never changed: it may have got actions. As with Run, an error may be ErrNotYet.
func (c *Client) AddRules(ctx context.Context, rules []Rule, plan bool) (made []string, err error) {
	for _, rule := range rules {
		path := c.inSpace("/api/alerting/rule/" + rule.ID)
		r, err := c.do(ctx, http.MethodGet, path, "", nil)
		switch {
		case err != nil:
			return made, err
		case r.status == http.StatusOK:
			continue
		case r.status == http.StatusForbidden:
			return made, c.ruleForbidden(r)
		case r.status != http.StatusNotFound:
			return made, lasting("Kibana at %s doesn't say whether there is the rule %q (%s)", c, rule.Name, r.said())
		}
		if plan {
			made = append(made, rule.Name)
			continue
		}
		r, err = c.do(ctx, http.MethodPost, path, "", rule.Body)
		switch {
		case err != nil:
			return made, err
		case r.status == http.StatusOK:
			made = append(made, rule.Name)
		case r.status == http.StatusConflict: // made meanwhile
		case r.status == http.StatusForbidden:
			return made, c.ruleForbidden(r)
		default:
			return made, lasting("Kibana at %s refuses the rule %q (%s)", c, rule.Name, r.said())
		}
	}
	return made, nil
}

func (c *Client) ruleForbidden(r reply) error {
	return lasting("the user may not make alerting rules in Kibana at %s (%s): give his role the Kibana privilege All of Stack Rules in that space", c, r.said())
}
