package kibana

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// The oldest version of Kibana whose saved objects ours are.
const (
	oldestMajor = 8
	oldestMinor = 9
)

// ready asks Kibana whether it is there, and in the space. version is "" where Kibana doesn't
// tell it to this user.
//
// Source: Kibana's GET /api/status: since 8.0 status.overall.level is available, degraded,
// unavailable or critical, the last two with status 503; 7.x says green, yellow or red in
// status.overall.state. Whoever isn't logged in is told the level alone.
func (c *Client) ready(ctx context.Context, pattern string) (version string, err error) {
	r, err := c.do(ctx, http.MethodGet, "/api/status", "", nil)
	if err != nil {
		return "", err
	}
	if r.status == http.StatusNotFound {
		return "", lasting("there is no Kibana at %s (%s): check host, port and base path (server.basePath) of -kibana-host", c.base, r.said())
	}
	var status struct {
		Version struct{ Number string }
		Status  struct {
			Overall struct{ Level, State string }
		}
	}
	overall := &status.Status.Overall
	if r.status != http.StatusOK || json.Unmarshal(r.body, &status) != nil || overall.Level == "" && overall.State == "" {
		return "", lasting("what answers at %s isn't Kibana (%s): check host, port and base path of -kibana-host", c.base, r.said())
	}
	if overall.Level == "unavailable" || overall.Level == "critical" || overall.State == "red" {
		return "", passing("Kibana at %s is starting, or without its Elasticsearch: it calls itself %s", c.base, overall.Level+overall.State)
	}
	version = status.Version.Number
	if major, minor, ok := parseVersion(version); ok && (major < oldestMajor || major == oldestMajor && minor < oldestMinor) {
		return version, lasting("Kibana %s is older than %d.%d and can't take the dashboards, so nothing was brought there; what works is a data view made by hand: %s, with the pattern %s and the time field @timestamp, for Discover and dashboards of your own",
			version, oldestMajor, oldestMinor, dataViewPlace(major), pattern)
	}
	return version, c.enter(ctx)
}

// dataViewPlace is where a data view is made by hand.
func dataViewPlace(major int) string {
	if major < 8 {
		return "Stack Management → Index Patterns → Create index pattern"
	}
	return "Stack Management → Data Views → Create data view"
}

// parseVersion reads "8.19" from the beginning of a version.
func parseVersion(text string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(text, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, majorErr := strconv.Atoi(first)
	minor, minorErr := strconv.Atoi(second)
	return major, minor, majorErr == nil && minorErr == nil
}

// enter makes sure that there is the space. Kibana itself doesn't: it takes objects into a
// space that isn't there, where nobody sees them.
func (c *Client) enter(ctx context.Context) error {
	if c.space == "" {
		return nil
	}
	r, err := c.do(ctx, http.MethodGet, "/api/spaces/space/"+c.space, "", nil)
	switch {
	case err != nil:
		return err
	case r.status == http.StatusOK:
		return nil
	case r.status == http.StatusNotFound:
		return lasting("Kibana at %s has no space %q: make it under Stack Management → Spaces, or correct -kibana-space", c.base, c.space)
	case r.status == http.StatusForbidden:
		return lasting("the user may not enter the space %q of Kibana at %s (%s): give his role Kibana privileges there", c.space, c.base, r.said())
	}
	return lasting("Kibana at %s doesn't say whether there is a space %q (%s)", c.base, c.space, r.said())
}
