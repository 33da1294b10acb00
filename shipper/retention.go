package shipper

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"go.uber.org/zap"
)

const (
	// retentionEvery is the time between two looks at the indices, and retentionFirst that
	// before the first; both with jitter, since all agents do it.
	retentionEvery = time.Hour
	retentionFirst = time.Minute
	// clockSlack bounds by how much this node's clock is believed to be ahead of the time at
	// which Elasticsearch made its newest index of a day. There is a new one each day.
	clockSlack = 48 * time.Hour
)

// retention deletes indices of days that are too old: all agents do it, and whoever comes
// first does. It asks the same sender as the lanes, in a goroutine of its own, so that no
// document waits for it.
type retention struct {
	sender *sender
	prefix string
	age    time.Duration
	first  time.Duration // retentionFirst; less in tests
	counts *counts
	log    *zap.Logger
}

// run looks at the indices now and then until ctx ends.
func (r *retention) run(ctx context.Context) {
	wait := rand.N(r.first)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		sentence := r.sweep(ctx, time.Now())
		if ctx.Err() != nil {
			return
		}
		if r.counts.setRetention(sentence) && sentence != "" {
			r.log.Warn(sentence)
		}
		wait = retentionEvery/2 + rand.N(retentionEvery)
	}
}

// dayIndex is the index of a day, as Elasticsearch answers it.
type dayIndex struct {
	Aliases    map[string]json.RawMessage
	DataStream string `json:"data_stream"`
	Mappings   struct {
		Meta templateMeta `json:"_meta"`
	}
	Settings struct {
		Index struct {
			CreationDate string `json:"creation_date"` // in ms since 1970, by the server's clock
		}
	}
}

// sweep deletes what is too old. It returns why nothing can be deleted, or "".
func (r *retention) sweep(ctx context.Context, now time.Time) string {
	answer, err := r.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesGetRequest{Index: []string{r.prefix + "-*"}, ExpandWildcards: "open,closed", Header: header,
			FilterPath: []string{"*.aliases", "*.data_stream", "*.mappings._meta", "*.settings.index.creation_date"}}
	}, nil)
	if err != nil {
		return "" // the lanes say what is the matter with Elasticsearch
	}
	var there map[string]dayIndex
	switch {
	case answer.denied():
		return r.privilege()
	case answer.status != http.StatusOK || json.Unmarshal(answer.body, &there) != nil:
		return ""
	}
	for _, index := range expired(r.prefix, there, r.age, now) {
		answer, err := r.sender.do(ctx, 0, func(header http.Header) esapi.Request {
			// The name of one index: no wildcard, and an alias is refused.
			return esapi.IndicesDeleteRequest{Index: []string{index}, ExpandWildcards: "none", Header: header}
		}, nil)
		switch {
		case err != nil:
			return ""
		case answer.status == http.StatusOK:
			r.counts.indicesDeleted.Add(1)
			r.log.Info("deleted the index of a day that is older than -retention", zap.String("index", index), zap.Duration("retention", r.age))
		case answer.status == http.StatusNotFound: // another agent was faster
		case answer.denied():
			return r.privilege()
		default:
			_, _, sentence := answer.refusal("")
			return fmt.Sprintf("Elasticsearch doesn't delete the index %s, which is older than -retention: %s", index, sentence)
		}
	}
	return ""
}

func (r *retention) privilege() string {
	return fmt.Sprintf("indices that are older than -retention stay, because the user may not see or delete them: give it the privileges view_index_metadata and delete_index on %s-*, or leave -retention out", r.prefix)
}

// expired returns the indices of days all of which is older than age, the oldest first. What
// isn't named as an index of a day, or was made neither by our template nor with our alias, is
// nobody's but its owner's.
//
// A clock that is wrong deletes nothing: now is bounded by the time at which Elasticsearch
// made the newest of the indices.
func expired(prefix string, there map[string]dayIndex, age time.Duration, now time.Time) (names []string) {
	days := make(map[string]time.Time)
	var newest time.Time
	for name, index := range there {
		text, ok := strings.CutPrefix(name, prefix+"-")
		day, err := time.Parse(dayLayout, text)
		if !ok || err != nil || day.Format(dayLayout) != text || index.DataStream != "" {
			continue
		}
		if _, aliased := index.Aliases[prefix]; !aliased && index.Mappings.Meta.ManagedBy != managedBy {
			continue
		}
		ms, err := strconv.ParseInt(index.Settings.Index.CreationDate, 10, 64)
		if err != nil {
			continue
		}
		if made := time.UnixMilli(ms); made.After(newest) {
			newest = made
		}
		days[name] = day
	}
	if latest := newest.Add(clockSlack); now.After(latest) {
		now = latest
	}
	for name, day := range days {
		if !day.AddDate(0, 0, 1).After(now.Add(-age)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
