package shipper

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// idOf returns the _id that a batch gives to its document with that number.
func idOf(t testing.TB, unixMilli int64, batch batchID, ordinal int) string {
	t.Helper()
	b := Batch{prefix: "x", docs: ordinal}
	b.epoch, b.seq = batch.epoch, batch.seq
	line, _, _ := strings.Cut(string(b.Action(unixMilli)), "\n")
	var action struct {
		Create struct {
			ID string `json:"_id"`
		}
	}
	if err := json.Unmarshal([]byte(line), &action); err != nil {
		t.Fatal(err)
	}
	return action.Create.ID
}

func FuzzDocumentID(f *testing.F) {
	f.Add(int64(0), uint64(0), uint64(0), uint16(0), "")
	f.Add(int64(lastMilli), uint64(1<<64-1), uint64(1<<40-1), uint16(1<<16-1), "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Add(int64(1795348190000), uint64(0xfeed), uint64(19), uint16(104), "____________________________")
	f.Fuzz(func(t *testing.T, ms int64, epoch, seq uint64, ordinal uint16, text string) {
		want := documentID{min(max(ms, 0), lastMilli), batchID{epoch, seq & (1<<40 - 1)}, int(ordinal)}
		if got, ok := parseDocumentID(idOf(t, ms, want.batchID, want.ordinal)); !ok || got != want {
			t.Errorf("%+v, %v; want %+v", got, ok, want)
		}
		if id, ok := parseDocumentID(text); ok && idOf(t, id.unixMilli, id.batchID, id.ordinal) != text {
			t.Errorf("%q is taken for %+v", text, id)
		}
		if epoch, ok := parseEpoch(text); ok && string(appendEpoch(nil, epoch)) != text {
			t.Errorf("%q is taken for the epoch %x", text, epoch)
		}
	})
}

func TestDocumentIDRefuses(t *testing.T) {
	for _, text := range [...]string{
		"", "x", strings.Repeat("A", 27), strings.Repeat("A", 29), strings.Repeat("+", 28), strings.Repeat("A", 27) + "\n",
		base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 21))), // the year 10889
	} {
		if id, ok := parseDocumentID(text); ok {
			t.Errorf("%q is taken for %+v", text, id)
		}
	}
}
