package shipper

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// FuzzBulk: whatever a container's labels hold, a body is two lines for each document, an
// action and a source: a line end out of a label would be somebody else's action.
func FuzzBulk(f *testing.F) {
	const forged = "\n{\"create\":{\"_index\":\"other\",\"_id\":\"1\"}}\n{}\n"
	f.Add("web", "a", "b", int64(1772366400000000000), uint8(3))
	f.Add("web"+forged, "a"+forged, "\r\n\u2028\u2029\x00", int64(0), uint8(1))
	f.Add("\xff\xfe\n", strings.Repeat("k\n", 5000), strings.Repeat("\\\"\n", 5000), int64(-1), uint8(2))
	f.Add("", "", "</script>{{.}}", int64(1)<<62, uint8(9))
	var z deflater
	var inflate inflater
	f.Fuzz(func(t *testing.T, name, key, value string, at int64, docs uint8) {
		encoder := NewEncoder(EncoderOptions{AgentVersion: name, Interval: testInterval})
		node := &metric.Node{Name: name, Kernel: value}
		w := fullWindow(&metric.Container{
			Path: "/docker/" + name, Name: name, ID: key, Image: value,
			Labels: []metric.Label{{Key: key, Value: value}, {Key: value, Value: key}}, Env: []metric.Label{{Key: key, Value: value}},
		})
		b := &Batch{prefix: "cadvisor"}
		b.reset(1, 2, &z)
		for range docs {
			w.Last.Time = at
			b.Source(encoder.AppendContainer(b.Action(at/1e6), node, w))
			b.Source(encoder.AppendEvent(b.Action(at/1e6), node, &metric.Event{Action: metric.Action(key), ID: value, Container: w.Container}))
		}
		b.gap(encoder.AppendGap(b.Action(at/1e6), node, &Gap{Time: at, Reason: lostBudget.String()}))
		b.close()

		if n, err := inflate.verify(b.member, b.docs+b.gaps); err != nil || n != b.raw || b.docs != 2*int(docs) || n != sizeOf(b.member) {
			t.Fatalf("%d documents, %d bytes of %d: %v", b.docs, n, b.raw, err)
		}
		body, err := inflate.inflate(nil, b.member)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		lines := bytes.SplitAfter(body, []byte("\n"))
		for i, line := range lines[:len(lines)-1] {
			if i%2 == 1 {
				if !json.Valid(line) {
					t.Fatalf("%q", line)
				}
				continue
			}
			var action map[string]map[string]string
			if err := json.Unmarshal(line, &action); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			create := action["create"]
			if len(action) != 1 || len(create) != 2 || !strings.HasPrefix(create["_index"], "cadvisor-") || ids[create["_id"]] {
				t.Fatalf("%q", line)
			}
			ids[create["_id"]] = true
			if from := document(body, i/2); !bytes.HasPrefix(body[from:], line) {
				t.Fatalf("document %d isn't at %d", i/2, from)
			}
		}
	})
}
