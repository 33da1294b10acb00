package web

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// requestOptions are the query parameters that cAdvisor reads for /metrics and for version 2
// of its API, with its defaults and its words for what is wrong with them. Of a parameter
// that is repeated the first value counts, and an empty one is none.
type requestOptions struct {
	// idType says what a container's name is: "name" for its cgroup path, or the runtime
	// that gave it, "docker" or "podman".
	idType string
	// count is how many samples are asked for, -1 for all.
	count int
	// recursive asks for the containers below as well.
	recursive bool
	// maxAge is how old a sample may be, -1 where that isn't said.
	maxAge time.Duration
}

func parseRequestOptions(query url.Values) (requestOptions, error) {
	o := requestOptions{idType: "name", count: 64, maxAge: -1}
	switch t := query.Get("type"); t {
	case "":
	case "name", "docker", "podman":
		o.idType = t
	default:
		return o, fmt.Errorf("unknown 'type' %q", t)
	}
	if count := query.Get("count"); count != "" {
		n, err := strconv.ParseInt(count, 10, 32)
		if err != nil {
			return o, fmt.Errorf("failed to parse 'count' option: %v", count)
		}
		if n < -1 {
			return o, fmt.Errorf("invalid 'count' option: only -1 and larger values allowed, not %d", n)
		}
		o.count = int(n)
	}
	o.recursive = query.Get("recursive") == "true"
	if age := query.Get("max_age"); age != "" {
		var err error
		if o.maxAge, err = time.ParseDuration(age); err != nil {
			return o, fmt.Errorf("failed to parse 'max_age' option: %w", err)
		}
	}
	return o, nil
}

// wants tells whether a container is of the type that is asked for.
func (o *requestOptions) wants(c *metric.Container) bool {
	return o.idType == "name" || o.idType == c.Runtime
}
