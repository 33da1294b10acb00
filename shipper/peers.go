package shipper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// Peer is an agent that has shipped documents about itself.
type Peer struct {
	// Node is the name of its node, and SwarmID that node's id in the Swarm, "" without one.
	Node, SwarmID string
	// Age is how old its newest document is.
	Age time.Duration
}

// maxPeers is how many agents Peers tells of.
const maxPeers = 10000

// Peers returns the agents that have shipped documents to the Elasticsearch of the options
// within that time, by the names of their nodes. An error is a sentence.
func Peers(ctx context.Context, o Options, within time.Duration) (peers []Peer, err error) {
	o.setDefaults()
	s, err := newSender(&o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, usualPatience)
	defer cancel()
	now := time.Now()
	if ahead, slack, ok := ServerClock(ctx, o); ok && ahead.Abs() > slack {
		now = now.Add(ahead)
	}
	r := auditReader{sender: s, index: o.IndexPrefix + "-*"}
	yes := true
	body, err := r.do(ctx, func(header http.Header, body []byte) esapi.Request {
		return esapi.SearchRequest{
			Index: []string{r.index}, AllowNoIndices: &yes, IgnoreUnavailable: &yes, Body: bytes.NewReader(body), Header: header,
			FilterPath: []string{"timed_out", "_shards.failed", "aggregations.nodes.buckets"},
		}
	}, object{
		"size": 0,
		"query": object{"bool": object{"filter": []object{dataset("agent"),
			{"range": object{"@timestamp": object{"gte": now.Add(-within).UnixMilli(), "format": "epoch_millis"}}}}}},
		"aggs": object{"nodes": object{
			"terms": object{"field": "host.name", "size": maxPeers, "order": object{"_key": "asc"}},
			"aggs": object{
				"newest": object{"max": object{"field": "@timestamp"}},
				"swarm":  object{"terms": object{"field": "swarm.node.id", "size": 1}},
			},
		}},
	})
	if err != nil {
		return nil, err
	}
	var answer struct {
		TimedOut     bool                 `json:"timed_out"`
		Shards       struct{ Failed int } `json:"_shards"`
		Aggregations struct {
			Nodes struct {
				Buckets []struct {
					Key    string
					Newest struct{ Value float64 } // in ms since 1970
					Swarm  struct{ Buckets []struct{ Key string } }
				}
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer of Elasticsearch can't be read: %w", err)
	}
	if answer.TimedOut || answer.Shards.Failed > 0 {
		return nil, errors.New("only a part of the indices could be read: see the health of Elasticsearch")
	}
	for _, b := range answer.Aggregations.Nodes.Buckets {
		p := Peer{Node: b.Key, Age: max(0, now.Sub(time.UnixMilli(int64(b.Newest.Value))))}
		if len(b.Swarm.Buckets) > 0 {
			p.SwarmID = b.Swarm.Buckets[0].Key
		}
		peers = append(peers, p)
	}
	return peers, nil
}
