package shipper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

const (
	auditPage   = 10_000          // hits of one answer: Elasticsearch's default limit
	auditScroll = 5 * time.Minute // how long Elasticsearch keeps what wasn't asked for yet
	auditEdge   = time.Hour       // how far from the range a batch's manifest is looked for
	unixForever = lastMilli       // ms
)

// RunAudit reads from the Elasticsearch that the options name what agents with that
// IndexPrefix have delivered, and proves or refutes that each document they made is there
// exactly once or in a gap. It needs the privilege read on the indices. Of the options,
// those about Elasticsearch count.
//
// An error means that Elasticsearch couldn't be read, which says nothing of the documents.
func RunAudit(ctx context.Context, o Options, audited AuditOptions) (*Audit, error) {
	o.setDefaults()
	s, err := newSender(&o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := auditReader{sender: s, index: o.IndexPrefix + "-*", auditor: newAuditor(audited)}
	return r.run(ctx)
}

// auditReader asks Elasticsearch for what an auditor wants to know. Everything is read by
// scrolling, which Elasticsearch of every version and OpenSearch can, without an order,
// because none is needed.
type auditReader struct {
	sender  *sender
	index   string
	auditor *auditor
}

type object = map[string]any

// auditHit is one hit.
type auditHit struct {
	Index  string `json:"_index"`
	ID     string `json:"_id"`
	Source struct {
		Time      time.Time `json:"@timestamp"`
		Node      string    `json:"host.name"`
		Started   time.Time `json:"agent.started"`
		Epoch     string    `json:"agent.epoch"`
		Batch     uint64    `json:"agent.batch.sequence"`
		Documents int       `json:"agent.batch.documents"`
		First     time.Time `json:"agent.batch.first"`
		Last      time.Time `json:"agent.batch.last"`
		Waiting   uint64    `json:"agent.batch.waiting"`
		Final     bool      `json:"agent.batch.final"`
		Sampled   int64     `json:"agent.documents.sampled"`
		Found     int64     `json:"agent.documents.found"`
		Indexed   int64     `json:"agent.documents.indexed"`
		Pending   int64     `json:"agent.documents.pending"`
		Dead      int64     `json:"agent.documents.dead"`
		Budget    int64     `json:"agent.documents.dropped.budget"`
		Memory    int64     `json:"agent.documents.dropped.memory"`
		Behind    int64     `json:"agent.documents.dropped.behind"`
		Damaged   int64     `json:"agent.documents.dropped.damaged"`
		Retries   int64     `json:"agent.bulk.retries"`
		Missed    int64     `json:"agent.sweep.missed"`
		Failed    int64     `json:"agent.documents.failure_store"`
		Fault     string    `json:"agent.spool.fault"`

		GapEpoch     string `json:"gap.epoch"`
		GapFirst     uint64 `json:"gap.first_batch"`
		GapLast      uint64 `json:"gap.last_batch"`
		GapDocuments int64  `json:"gap.documents"`
		GapGaps      int64  `json:"gap.gaps"`
		GapReason    string `json:"gap.reason"`
	} `json:"_source"`
}

// auditPageAnswer is one page of hits.
type auditPageAnswer struct {
	Scroll   string               `json:"_scroll_id"`
	TimedOut bool                 `json:"timed_out"`
	Shards   struct{ Failed int } `json:"_shards"`
	Hits     struct{ Hits []auditHit }
}

func dataset(kind string) object {
	return object{"term": object{"event.dataset": "swarmgauge." + kind}}
}

// between is a query for a time in milliseconds since the Unix epoch, both ends included.
func between(from, to int64) object {
	return object{"range": object{"@timestamp": object{"gte": from, "lte": to, "format": "epoch_millis"}}}
}

func (r *auditReader) run(ctx context.Context) (*Audit, error) {
	a := r.auditor
	from, to := a.options.From.UnixMilli(), a.options.To.UnixMilli()
	first, last := from, to // of the documents of the batches
	manifests := func(from, to int64, outside bool) error {
		return r.each(ctx, []object{dataset("agent"), between(from, to)}, nil, []string{"@timestamp", "host.name", "agent.*"}, func(h *auditHit) error {
			m, err := h.manifest()
			if err == nil {
				a.manifest(m, outside)
				if !outside {
					first, last = min(first, h.Source.First.UnixMilli()), max(last, h.Source.Last.UnixMilli())
				}
			}
			return err
		})
	}
	if err := manifests(from, to, false); err != nil {
		return nil, err
	}
	err := r.each(ctx, []object{dataset("agent"), {"term": object{"agent.batch.final": true}}, between(to+1, unixForever)}, nil, []string{"agent.epoch"}, func(h *auditHit) error {
		if epoch, ok := parseEpoch(h.Source.Epoch); ok {
			a.ended[epoch] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// A gap keeps the time at which it was found first, however much it grows: all of them.
	err = r.each(ctx, []object{dataset("gap")}, nil, []string{"host.name", "gap.*"}, func(h *auditHit) error {
		a.lostGaps[h.Source.Node] += h.Source.GapGaps
		if h.Source.GapDocuments == 0 {
			return nil // it tells of something else than documents
		}
		epoch, ok := parseEpoch(h.Source.GapEpoch)
		if !ok {
			return fmt.Errorf("the gap document %s/%s can't be read", h.Index, h.ID)
		}
		a.gap(h.ID, auditedGap{
			node: h.Source.Node, epoch: epoch, first: h.Source.GapFirst, last: h.Source.GapLast,
			documents: h.Source.GapDocuments, reason: h.Source.GapReason,
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = r.each(ctx, []object{between(first, last)}, []object{dataset("gap"), dataset(testDataset)}, nil, func(h *auditHit) error {
		a.document(h.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(a.runs)), (*auditedRun).strays) {
		// Batches that begin in the range and end after it, and the other way round.
		if err := manifests(from-auditEdge.Milliseconds(), from-1, true); err != nil {
			return nil, err
		}
		if err := manifests(to+1, to+auditEdge.Milliseconds(), true); err != nil {
			return nil, err
		}
	}
	newest := map[string]manifest{}
	for _, run := range a.runs {
		if _, known := newest[run.node]; known || run.node == "" {
			continue
		}
		m, err := r.newest(ctx, run.node)
		if err != nil {
			return nil, err
		}
		newest[run.node] = m
	}
	return a.judge(newest), nil
}

// manifest returns what a document of an agent says.
func (h *auditHit) manifest() (m manifest, err error) {
	s := &h.Source
	epoch, ok := parseEpoch(s.Epoch)
	if !ok || s.Documents <= 0 {
		return m, fmt.Errorf("the document of an agent %s/%s can't be read", h.Index, h.ID)
	}
	return manifest{
		node: s.Node, batch: batchID{epoch, s.Batch}, at: s.Time.UnixMilli(), started: s.Started.UnixMilli(),
		documents: s.Documents, waiting: s.Waiting, final: s.Final,
		sampled: s.Sampled, found: s.Found, indexed: s.Indexed, pending: s.Pending, dead: s.Dead,
		dropped: s.Budget + s.Memory + s.Behind + s.Damaged, retries: s.Retries, missed: s.Missed,
		failureStore: s.Failed, fault: s.Fault,
	}, nil
}

// newest returns the newest document of the agent of a node, whenever that was.
func (r *auditReader) newest(ctx context.Context, node string) (m manifest, err error) {
	answer, err := r.search(ctx, 0, object{
		"size": 1, "query": object{"bool": object{"filter": []object{dataset("agent"), {"term": object{"host.name": node}}}}},
		"sort": []object{{"@timestamp": object{"order": "desc"}}, {"agent.batch.sequence": object{"order": "desc", "unmapped_type": "long"}}},
	})
	if err != nil {
		return m, err
	}
	if len(answer.Hits.Hits) == 0 {
		return m, fmt.Errorf("the documents of the agent of node %s went while they were read", node)
	}
	return answer.Hits.Hits[0].manifest()
}

// each calls f with all documents that fit. source lists the fields that f needs; nil for
// none but _index and _id.
func (r *auditReader) each(ctx context.Context, filter, not []object, source []string, f func(*auditHit) error) (err error) {
	body := object{
		"size": auditPage, "sort": []string{"_doc"},
		"query":   object{"bool": object{"filter": filter, "must_not": not}},
		"_source": source,
	}
	if source == nil {
		body["_source"] = false
	}
	answer, err := r.search(ctx, auditScroll, body)
	scroll := answer.Scroll
	defer func() {
		if scroll == "" {
			return
		}
		// What isn't cleared goes by itself some minutes later.
		r.do(ctx, func(header http.Header, body []byte) esapi.Request {
			return esapi.ClearScrollRequest{Body: bytes.NewReader(body), Header: header}
		}, object{"scroll_id": scroll})
	}()
	for err == nil && len(answer.Hits.Hits) > 0 {
		for i := range answer.Hits.Hits {
			if err := f(&answer.Hits.Hits[i]); err != nil {
				return err
			}
		}
		answer, err = r.page(ctx, func(header http.Header, body []byte) esapi.Request {
			return esapi.ScrollRequest{Body: bytes.NewReader(body), Header: header, FilterPath: auditFilter()}
		}, object{"scroll": fmt.Sprintf("%ds", int(auditScroll.Seconds())), "scroll_id": scroll})
		if answer.Scroll != "" {
			scroll = answer.Scroll
		}
	}
	return err
}

// auditFilter is what an answer has to tell.
func auditFilter() []string {
	return []string{"_scroll_id", "timed_out", "_shards.failed", "hits.hits._index", "hits.hits._id", "hits.hits._source"}
}

// search begins a search; scroll is 0 for one whose first page is all.
func (r *auditReader) search(ctx context.Context, scroll time.Duration, body object) (auditPageAnswer, error) {
	yes := true
	return r.page(ctx, func(header http.Header, body []byte) esapi.Request {
		return esapi.SearchRequest{
			Index: []string{r.index}, AllowNoIndices: &yes, IgnoreUnavailable: &yes, Scroll: scroll,
			Body: bytes.NewReader(body), Header: header, FilterPath: auditFilter(),
		}
	}, body)
}

// page asks for one page of hits, and takes no half answer for one.
func (r *auditReader) page(ctx context.Context, build func(http.Header, []byte) esapi.Request, body object) (p auditPageAnswer, err error) {
	answer, err := r.do(ctx, build, body)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(answer, &p); err != nil {
		return p, fmt.Errorf("the answer of Elasticsearch can't be read: %w", err)
	}
	if p.TimedOut || p.Shards.Failed > 0 {
		return p, errors.New("only a part of the indices could be read: see the health of Elasticsearch, and audit again")
	}
	return p, nil
}

// do makes one request and returns the answer's body; any status but a success is an error.
func (r *auditReader) do(ctx context.Context, build func(http.Header, []byte) esapi.Request, body object) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	answer, err := r.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		header.Set("Content-Type", "application/json")
		return build(header, text)
	}, nil)
	if err != nil {
		_, sentence := r.sender.unanswered(err)
		return nil, errors.New(sentence)
	}
	if answer.status/100 == 2 {
		return answer.body, nil
	}
	rule, said := answer.rule()
	why := fmt.Sprintf("HTTP status %d", answer.status)
	if said.Reason != "" {
		why += ": " + said.root().Reason
	}
	if answer.denied() {
		return nil, fmt.Errorf("the user may not read %s: give him the privilege read on it (%s)", r.index, why)
	}
	return nil, errors.New(explain(rule.advice, why))
}
