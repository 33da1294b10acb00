package shipper

import (
	"context"
	"net/http"
)

// oneOutcome is what has become of a document that was sent alone.
type oneOutcome struct {
	fate fate // never split or bisect
	// sentence says why it isn't delivered, and what repairs it; reason is Elasticsearch's
	// own word for it.
	sentence, reason string
}

// sendOne sends a batch of one document that isn't in the spool, as any other batch is sent,
// and judges the answer by the same tables.
func (s *sender) sendOne(ctx context.Context, b *Batch) oneOutcome {
	r, err := s.sendBulk(ctx, b.member, nil, true)
	if err != nil {
		f, sentence := s.unanswered(err)
		return oneOutcome{fate: f, sentence: sentence}
	}
	if r.status != http.StatusOK {
		rule, said, sentence := r.refusal("")
		f := rule.fate
		if f == split || f == bisect {
			f = refused // there is nothing to divide
		}
		return oneOutcome{f, sentence, said.Reason}
	}
	problems, _, err := decodeBulk(r.body, 0, 1, nil)
	if err != nil {
		return oneOutcome{fate: again, sentence: err.Error()}
	}
	if sentence := strayed(r.body); sentence != "" {
		return oneOutcome{fate: hold, sentence: sentence}
	}
	if len(problems) > 0 {
		p := &problems[0]
		return oneOutcome{p.fate, p.sentence(), p.reason}
	}
	return oneOutcome{fate: delivered}
}
