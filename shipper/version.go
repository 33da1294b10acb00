package shipper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// oldest are major and minor number of the oldest version that is supported, newest is the
// major number of the newest.
const (
	oldestMajor, oldestMinor = 7, 17
	newestMajor              = 9
)

// versionPatience is how long documents wait for the version, which they don't need.
const versionPatience = 5 * time.Second

// greeting is what a server says of itself at its root.
type greeting struct {
	Cluster string `json:"cluster_name"`
	UUID    string `json:"cluster_uuid"`
	Version struct {
		Number       string
		Distribution string // "" from Elasticsearch
	}
}

// decodeGreeting reports whether the body tells a version.
func decodeGreeting(body []byte) (g greeting, ok bool) {
	err := json.Unmarshal(body, &g)
	return g, err == nil && g.Version.Number != ""
}

// judgeVersion says which Elasticsearch it is, and whether this agent is made for it.
func judgeVersion(number, cluster string) (Status, string) {
	var major, minor int
	fmt.Sscanf(number, "%d.%d", &major, &minor) // 0.0 if it isn't a number
	is := fmt.Sprintf("Elasticsearch %s, cluster %q", number, cluster)
	switch {
	case major < oldestMajor || major == oldestMajor && minor < oldestMinor:
		return Fault, fmt.Sprintf("%s is too old: %d.%d or newer is needed, so upgrade it", is, oldestMajor, oldestMinor)
	case major > newestMajor:
		return Degraded, is + " is newer than this agent knows: it may work, and a newer agent may be there"
	}
	return OK, is
}

// unfit returns what is to be said of a server's version by its answer at its root: nothing
// of one that the agent is made for, that isn't Elasticsearch, or that doesn't tell.
func unfit(body []byte) (Status, string) {
	g, ok := decodeGreeting(body)
	if !ok || g.Version.Distribution != "" {
		return OK, ""
	}
	if s, sentence := judgeVersion(g.Version.Number, g.Cluster); s != OK {
		return s, sentence
	}
	return OK, ""
}

// version asks what answers. A user without the privilege monitor isn't told. Before 7.14
// Elasticsearch doesn't send the header that is missed then.
func (t *template) version(ctx context.Context) (Status, string) {
	ctx, cancel := context.WithTimeout(ctx, versionPatience)
	defer cancel()
	r, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.InfoRequest{Header: header}
	}, nil)
	if err != nil && !errors.Is(err, errProduct) || r.status != http.StatusOK {
		return OK, ""
	}
	return unfit(r.body)
}

// withVersion adds to the sentence why nothing is taken that the server is too old, which is
// the reason more often than not.
func (t *template) withVersion(ctx context.Context, sentence string) string {
	s, old := t.version(ctx)
	switch {
	case s != Fault:
		return sentence
	case strings.Contains(sentence, errProduct.Error()):
		return old // which is why the header is missing
	}
	return explain(old, sentence)
}
