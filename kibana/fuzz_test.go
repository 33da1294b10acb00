package kibana

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// FuzzRecord: whatever stands in the description of a tag, a record that is read is the one
// that is written.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"", "Made by swarmgauge.", "swarmgauge assets 3: aabbbb cc", "swarmgauge assets 3 begun WK7Q: dd", "swarmgauge assets 99999999999999999999:", "swarmgauge assets 1: x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, description string) {
		r, ok := parseRecord(description)
		if !ok {
			return
		}
		again, ok := parseRecord(r.String())
		if !ok || again.String() != r.String() || again.version != r.version || again.begun != r.begun || len(again.stamps) != len(r.stamps) {
			t.Errorf("%q is read as %+v, then as %+v", description, r, again)
		}
	})
}

// FuzzAnswers: whatever Kibana answers, it is taken for what it says, or for an error.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"success":true,"successCount":1,"successResults":[{"type":"tag","id":"t"}]}`,
		`{"success":false,"errors":[{"type":"tag","id":"t","error":{"type":"conflict"}}]}`,
		`{"success":false,"errors":[{"type":"tag","id":"t","error":{"type":"ambiguous_conflict","destinations":[{"id":"x"}]}}]}`,
		`{"statusCode":400,"attributes":{"objects":[{"type":"tag","id":"t","error":{"statusCode":404}}]}}`,
		`[]`, `null`, `"`, "<html>",
	} {
		f.Add([]byte(seed))
	}
	c, err := NewClient(Options{URL: "http://127.0.0.1:1"})
	if err != nil {
		f.Fatal(err)
	}
	wanted := []asset{{objectKey{"tag", "t"}, "T", []byte(`{}`)}}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, status := range []int{200, 400} {
			r := reply{status, answer}
			r.said()
			if keys, err := c.missing(r); (len(keys) == 0) == (err == nil) {
				t.Errorf("missing: %v, %v", keys, err)
			}
			var a struct {
				Success        bool
				SuccessResults []objectKey
			}
			err := c.imported(t.Context(), r, wanted)
			if json.Unmarshal(answer, &a); err == nil && (!a.Success || !slices.Contains(a.SuccessResults, wanted[0].objectKey)) {
				t.Errorf("a success: %s", answer)
			}
		}
	})
}

// FuzzInSpace: ids are renamed in any objects, and nothing is lost.
func FuzzInSpace(f *testing.F) {
	f.Add(testObjects("cadvisor-*", "nodes", "services"))
	f.Add([]byte(`{"type":"a","id":"b","attributes":{"x":"[b](#/view/b)","y":"{\"id\":\"b\"} z","z":[1e400,0.1]}}`))
	f.Fuzz(func(t *testing.T, ndjson []byte) {
		before, err := parseAssets(ndjson)
		if err != nil {
			return
		}
		out, err := InSpace(ndjson, "ops")
		if err != nil {
			return
		}
		after, err := parseAssets(out)
		if err != nil || len(after) != len(before) {
			t.Fatalf("%d objects, %d before, %v", len(after), len(before), err)
		}
		same, err := InSpace(ndjson, defaultSpace)
		if err != nil || !bytes.Equal(same, ndjson) {
			t.Errorf("in the default space they are changed: %v", err)
		}
		for i := range after {
			if after[i].ID != before[i].ID+"-ops" || after[i].Type != before[i].Type {
				t.Errorf("%v became %v", before[i].objectKey, after[i].objectKey)
			}
		}
	})
}
