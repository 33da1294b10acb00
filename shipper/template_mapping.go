package shipper

import (
	"context"
	"strings"
	"time"
)

// mappingTest is what a document has shown of the mapping of today's index.
type mappingTest struct {
	index string
	// fate is delivered if the mapping is known: ours tells that our template made it. With
	// any other fate the sentence says why it isn't, and what repairs that.
	fate     fate
	ours     bool
	sentence string
}

// mappingAnswer is in Elasticsearch's reason for refusing a value that isn't an object for
// a field that is flattened. "labels" is that in our mapping, and isn't in one that came of
// documents.
const mappingAnswer = "of type [flattened]"

// testMapping finds out how the index of today is mapped, for which a user needs no right
// but those to write: it sends a document that our mapping refuses. What is refused leaves
// nothing behind. An index that was made without the template takes it, once, or refuses it
// for another reason. The index is made if it isn't there, as the next batch would make it.
func (s *sender) testMapping(ctx context.Context, prefix string, now time.Time) mappingTest {
	day := now.UTC().Truncate(24 * time.Hour)
	b := Batch{prefix: prefix}
	b.reset(0, 0, new(deflater)) // the same _id all day
	line := appendTestHead(b.Action(day.UnixMilli()), day)
	b.Source(append(line, `,"labels":"Is this index mapped by the index template?"}`...))
	b.close()

	m := mappingTest{index: string(b.index), fate: delivered}
	switch o := s.sendOne(ctx, &b); {
	case o.fate == refused && strings.Contains(o.reason, mappingAnswer):
		m.ours = true
	case o.fate != delivered && o.fate != exists && o.fate != refused:
		m.fate, m.sentence = o.fate, o.sentence
	}
	return m
}

// appendTestHead opens a document that is about nothing but the delivery of documents.
func appendTestHead(dst []byte, at time.Time) []byte {
	dst = append(dst, `{"@timestamp":"`...)
	dst = appendTime(dst, at)
	return append(dst, `","event.module":"swarmgauge","event.kind":"event","event.dataset":"swarmgauge.`+testDataset+`","ecs.version":"`+ecsVersion+`","agent.type":"swarmgauge"`...)
}

// testDataset is the kind of these documents. An audit passes over them.
const testDataset = "test"
