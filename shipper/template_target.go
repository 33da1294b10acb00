package shipper

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// Exactly once holds within one index: Elasticsearch keeps an _id unique there and nowhere
// else (elastic/elasticsearch#44794). So the name of a day's index has to be an index, and
// not a data stream or an alias, whose index behind it can change between two attempts at
// one batch. And it holds for what stays: an index that doesn't sync its translog at each
// request forgets what it acknowledged when its server dies. Both are looked at before
// anything is sent, as far as the user may; where documents really went, the answer to the
// first batch tells.

const dayLayout = "2006.01.02"

// inspect looks at what the documents of today will meet. delivered means that they may be
// sent; what the user may not see is taken for granted.
func (t *template) inspect(ctx context.Context) (fate, string) {
	t.obstacle = Remedy{}
	now := time.Now().UTC()
	index := t.prefix + "-" + now.Format(dayLayout)
	var remarks []string
	if t.outdated != "" {
		remarks = append(remarks, t.outdated)
	}

	r, err := t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesGetRequest{Index: []string{t.prefix + "-*"}, ExpandWildcards: "all", Header: header,
			FilterPath: []string{"*.settings.index.translog.durability", "*.aliases", "*.data_stream"}}
	}, nil)
	if err != nil {
		return t.sender.unanswered(err)
	}
	var there map[string]struct {
		Settings   indexSettings
		Aliases    map[string]json.RawMessage
		DataStream string `json:"data_stream"`
	}
	if r.status == http.StatusOK && json.Unmarshal(r.body, &there) == nil {
		days := []string{index, t.prefix + "-" + now.AddDate(0, 0, -1).Format(dayLayout)}
		async := 0
		for name, i := range there {
			if slices.Contains(days, i.DataStream) {
				t.obstacle.Kind = OtherIndex
				return hold, ambiguous(fmt.Sprintf("%s is a data stream (its index now is %s)", i.DataStream, name), "delete it")
			}
			for alias := range i.Aliases {
				if slices.Contains(days, alias) {
					t.obstacle = Remedy{Kind: RemoveAlias, Names: []string{alias, name}}
					return hold, ambiguous(fmt.Sprintf("%s is an alias (of %s)", alias, name), "remove the alias")
				}
			}
			if i.Settings.async() {
				async++
			}
		}
		if async > 0 {
			remarks = append(remarks, fmt.Sprintf("%d of the indices %s-* have index.translog.durability set to async: %s", async, t.prefix, asyncRemark))
		}
	}

	r, err = t.sender.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.IndicesSimulateIndexTemplateRequest{Name: index, Header: header,
			FilterPath: []string{"template.settings.index.translog.durability", "template.mappings._data_stream_timestamp"}}
	}, nil)
	if err != nil {
		return t.sender.unanswered(err)
	}
	var made struct {
		Template struct {
			Settings indexSettings
			Mappings struct {
				Timestamp struct{ Enabled bool } `json:"_data_stream_timestamp"`
			}
		}
	}
	if r.status == http.StatusOK && json.Unmarshal(r.body, &made) == nil {
		if made.Template.Mappings.Timestamp.Enabled {
			t.obstacle.Kind = OtherIndex
			return hold, ambiguous(fmt.Sprintf("the index template that applies to %s makes it a data stream", index),
				"remove data_stream from that template, or give swarmgauge's a higher priority")
		}
		if made.Template.Settings.async() {
			remarks = append(remarks, fmt.Sprintf("The index template that applies to %s sets index.translog.durability to async: %s", index, asyncRemark))
		}
	}
	if _, sentence := t.version(ctx); sentence != "" {
		remarks = append(remarks, sentence)
	}
	if t.counts.setRemarks(remarks) {
		for _, remark := range remarks {
			t.log.Warn(remark)
		}
	}
	return delivered, ""
}

const asyncRemark = `what Elasticsearch acknowledges in the seconds before its server dies is lost there; set it to request, or send it again with "agent replay" afterwards`

// ambiguous says why documents aren't sent to something that isn't an index, and what mends
// that.
func ambiguous(what, mend string) string {
	return fmt.Sprintf("%s, and not an index: after a rollover, a batch that is sent a second time would be there twice, because Elasticsearch keeps an _id unique within one index only; %s (another -storage_driver_es_index helps documents that are still to be made)", what, mend)
}

// indexSettings are the settings of an index that matter here.
type indexSettings struct {
	Index struct{ Translog struct{ Durability string } }
}

func (s *indexSettings) async() bool { return strings.EqualFold(s.Index.Translog.Durability, "async") }

// strayed returns a sentence if the answer to a _bulk request tells that documents went
// into something else than the index of a day, whose name would end in the day; "" if they
// didn't, or if it doesn't tell. What is behind an alias that is rolled over, or a data
// stream, has a name that ends in a number.
func strayed(answer []byte) string {
	var a struct {
		Items []struct {
			Create struct {
				Index string `json:"_index"`
			} `json:"create"`
		} `json:"items"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return "" // whoever decodes it says so
	}
	for i := range a.Items {
		index := a.Items[i].Create.Index
		day := index[strings.LastIndexByte(index, '-')+1:]
		if _, err := time.Parse(dayLayout, day); index != "" && err != nil {
			return ambiguous(fmt.Sprintf("what is sent to the index of a day goes to %s: the name of the day is an alias or a data stream", index), "remove it")
		}
	}
	return ""
}
