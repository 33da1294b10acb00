package shipper

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// ServerClock asks the Elasticsearch that the options name for the time. ahead is by how much
// its clock is ahead of this machine's, more or less slack. ok is false where it doesn't say,
// as to a user without the privilege monitor.
func ServerClock(ctx context.Context, o Options) (ahead, slack time.Duration, ok bool) {
	o.setDefaults()
	s, err := newSender(&o)
	if err != nil {
		return 0, 0, false
	}
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	asked := time.Now()
	r, err := s.do(ctx, 0, func(header http.Header) esapi.Request {
		return esapi.CatHealthRequest{Header: header, Format: "json", H: []string{"epoch"}}
	}, nil)
	took := time.Since(asked)
	var rows []struct {
		Epoch int64 `json:"epoch,string"`
	}
	if err != nil || r.status != http.StatusOK || json.Unmarshal(r.body, &rows) != nil || len(rows) != 1 {
		return 0, 0, false
	}
	// It counts in seconds: half a second later or earlier is the same to it.
	there := time.Unix(rows[0].Epoch, 0).Add(time.Second / 2)
	return there.Sub(asked.Add(took / 2)), time.Second/2 + took/2, true
}
