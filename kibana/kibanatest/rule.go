package kibanatest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
)

// rule is an alerting rule.
type rule struct {
	space string
	body  ruleBody
}

// ruleBody is the body of POST /api/alerting/rule/{id}; other keys are refused.
//
// Source: Kibana's x-pack/platform/plugins/shared/alerting/common/routes/rule/apis/create.
type ruleBody struct {
	Name       *string  `json:"name"`
	RuleTypeID *string  `json:"rule_type_id"`
	Enabled    *bool    `json:"enabled"`
	Consumer   *string  `json:"consumer"`
	Tags       []string `json:"tags"`
	Schedule   *struct {
		Interval string `json:"interval"`
	} `json:"schedule"`
	Actions    []json.RawMessage `json:"actions"`
	Throttle   *string           `json:"throttle"`
	NotifyWhen *string           `json:"notify_when"`
	Params     *ruleParams       `json:"params"`
}

// ruleParams are the parameters of .es-query with searchType esQuery; other keys are refused.
//
// Source: stack_alerts/server/rule_types/es_query/rule_type_params.ts.
type ruleParams struct {
	Size                       *int      `json:"size"`
	TimeWindowSize             *int      `json:"timeWindowSize"`
	TimeWindowUnit             string    `json:"timeWindowUnit"`
	ExcludeHitsFromPreviousRun *bool     `json:"excludeHitsFromPreviousRun"`
	Threshold                  []float64 `json:"threshold"`
	ThresholdComparator        string    `json:"thresholdComparator"`
	AggType                    string    `json:"aggType"`
	AggField                   string    `json:"aggField"`
	GroupBy                    string    `json:"groupBy"`
	TermField                  *string   `json:"termField"`
	TermSize                   *int      `json:"termSize"`
	SearchType                 string    `json:"searchType"`
	TimeField                  string    `json:"timeField"`
	ESQuery                    string    `json:"esQuery"`
	Index                      []string  `json:"index"`
}

// check returns what is wrong in Kibana's words, "" for nothing.
func (b *ruleBody) check() string {
	duration := regexp.MustCompile(`^[1-9][0-9]*[smhd]$`)
	switch {
	case b.Name == nil:
		return "[request body.name]: expected value of type [string] but got [undefined]"
	case b.RuleTypeID == nil:
		return "[request body.rule_type_id]: expected value of type [string] but got [undefined]"
	case b.Consumer == nil:
		return "[request body.consumer]: expected value of type [string] but got [undefined]"
	case b.Schedule == nil || !duration.MatchString(b.Schedule.Interval):
		return "[request body.schedule.interval]: string is not a valid duration"
	case *b.RuleTypeID != ".es-query":
		return fmt.Sprintf("Rule type %q is not registered.", *b.RuleTypeID)
	case b.Params == nil:
		return "params invalid: [size]: expected value of type [number] but got [undefined]"
	}
	if wrong := b.Params.check(); wrong != "" {
		return "params invalid: " + wrong
	}
	return ""
}

func (p *ruleParams) check() string {
	const maxHits, maxGroups = 10000, 1000
	two := p.ThresholdComparator == "between" || p.ThresholdComparator == "notBetween"
	switch {
	case p.Size == nil || *p.Size < 0 || *p.Size > maxHits:
		return "[size]: a number from 0 to 10000"
	case p.TimeWindowSize == nil || *p.TimeWindowSize < 1:
		return "[timeWindowSize]: Value must be equal to or greater than [1]."
	case !slices.Contains([]string{"s", "m", "h", "d"}, p.TimeWindowUnit):
		return fmt.Sprintf("[timeWindowUnit]: invalid timeWindowUnit: %q", p.TimeWindowUnit)
	case len(p.Threshold) < 1 || len(p.Threshold) > 2 || two && len(p.Threshold) == 1:
		return "[threshold]: one or two numbers"
	case !slices.Contains([]string{">", "<", ">=", "<=", "between", "notBetween"}, p.ThresholdComparator):
		return fmt.Sprintf("[thresholdComparator]: invalid thresholdComparator specified: %s", p.ThresholdComparator)
	case !slices.Contains([]string{"count", "min", "max", "avg", "sum"}, p.AggType):
		return fmt.Sprintf("[aggType]: invalid aggType: %q", p.AggType)
	case p.AggType != "count" && p.AggField == "":
		return fmt.Sprintf(`[aggField]: must have a value when [aggType] is %q`, p.AggType)
	case p.GroupBy != "all" && p.GroupBy != "top":
		return fmt.Sprintf("[groupBy]: invalid groupBy: %q", p.GroupBy)
	case p.GroupBy == "top" && p.TermField == nil:
		return "[termField]: termField required when [groupBy] is top"
	case p.GroupBy == "top" && p.TermSize == nil:
		return "[termSize]: termSize required when [groupBy] is top"
	case p.TermSize != nil && (*p.TermSize < 1 || *p.TermSize > maxGroups):
		return "[termSize]: must be less than or equal to 1000"
	case p.SearchType != "esQuery":
		return fmt.Sprintf("[searchType]: %q isn't known to this fake", p.SearchType)
	case p.TimeField == "" || len(p.Index) == 0:
		return "[timeField], [index]: expected values"
	}
	var query struct{ Query map[string]any }
	if json.Unmarshal([]byte(p.ESQuery), &query) != nil {
		return "[esQuery]: must be valid JSON"
	}
	if query.Query == nil {
		return `[esQuery]: must contain "query"`
	}
	return ""
}

// uuid is what Kibana takes for the id of an object with encrypted attributes: version 1 or 4.
const uuid = `^[0-9a-f]{8}-[0-9a-f]{4}-[14][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`

func (s *Server) getRule(w http.ResponseWriter, r *request, id string) *boom {
	rule := s.rules[id]
	if rule == nil || rule.space != r.space {
		return refuse(404, "Saved object [alert/%s] not found", id)
	}
	if !r.user.Rules {
		return refuse(403, `Unauthorized to get a ".es-query" rule for "stackAlerts"`)
	}
	writeJSON(w, 200, map[string]any{"id": id, "name": *rule.body.Name, "enabled": *rule.body.Enabled})
	return nil
}

func (s *Server) createRule(w http.ResponseWriter, r *request, id string) *boom {
	var body ruleBody
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return refuse(400, "[request body]: %v", err)
	}
	if wrong := body.check(); wrong != "" {
		return refuse(400, "%s", wrong)
	}
	if !r.user.Rules || !r.user.enters(r.space) {
		return refuse(403, "Unauthorized to create a %q rule for %q", *body.RuleTypeID, *body.Consumer)
	}
	if !regexp.MustCompile(uuid).MatchString(id) {
		return refuse(400, "Predefined IDs are not allowed for saved objects with encrypted attributes unless the ID is a UUID.: Bad Request")
	}
	if s.rules[id] != nil {
		return refuse(409, "Saved object [alert/%s] conflict", id)
	}
	if body.Enabled == nil {
		yes := true
		body.Enabled = &yes
	}
	s.writes = append(s.writes, r.Method+" "+r.URL.Path)
	s.rules[id] = &rule{r.space, body}
	writeJSON(w, 200, map[string]any{"id": id, "name": *body.Name, "enabled": *body.Enabled})
	return nil
}

// Rules returns the names of the rules of a space, in order, and whether each is enabled.
func (s *Server) Rules(space string) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]bool)
	for _, r := range s.rules {
		if r.space == space {
			all[*r.body.Name] = *r.body.Enabled
		}
	}
	return all
}
