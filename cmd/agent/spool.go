package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper"
)

// spool says what the spool holds. It reads names and, of refused documents and gaps,
// contents, and needs no agent; beside one that runs it changes nothing.
func (p program) spool(ctx context.Context, args []string) error {
	o := new(options)
	fs := o.flags(io.Discard)
	asJSON := fs.Bool("json", false, "write JSON instead of a text")
	dead := fs.String("dead", "", "what to do with refused documents: show (the newest, or as many as the number behind it says), or retry (send them once more)")
	rest, err := o.parse(fs, args, p.environ, p.stdout, commandHelp("spool", "json", "dead", "spool-dir", "spool-budget"))
	if err != nil {
		return helpIsFine(err)
	}
	most := 20
	if *dead == "show" && len(rest) == 1 {
		n, err := strconv.Atoi(rest[0])
		if err != nil || n < 1 {
			return usageError{fmt.Errorf("%q isn't a number of documents to show", rest[0])}
		}
		most, rest = n, nil
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("spool says what the spool holds; it can't do %q", rest[0])}
	}
	switch *dead {
	case "show":
		return p.showDead(o.SpoolDir, most)
	case "retry":
		return p.retryDead(ctx, o.SpoolDir)
	case "":
	default:
		valid := []string{"show", "retry"}
		return usageError{fmt.Errorf("-dead can't be %q; did you mean %q? (show, retry)", *dead, nearest(*dead, valid))}
	}
	c, err := shipper.InspectSpool(o.SpoolDir)
	if err != nil {
		return err
	}
	if *asJSON {
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		return out.Encode(struct {
			shipper.SpoolContent
			BudgetBytes    int64    `json:"budget_bytes"`
			HorizonSeconds *float64 `json:"horizon_seconds,omitempty"`
		}{c, int64(o.SpoolBudget), horizon(c, o.SpoolBudget)})
	}
	p.printSpool(c, o.SpoolBudget)
	return nil
}

// horizon returns for how many seconds the rest of the budget lasts if nothing is
// delivered, nil if the rate isn't known. Delivered batches make room.
func horizon(c shipper.SpoolContent, budget byteSize) *float64 {
	if c.BytesPerSecond <= 0 {
		return nil
	}
	room := min(int64(budget)-c.Waiting.Bytes, c.FreeBytes+c.Acked.Bytes-c.ReserveBytes)
	return new(math.Round(float64(max(room, 0)) / c.BytesPerSecond))
}

// printSpool writes it for people.
func (p program) printSpool(c shipper.SpoolContent, budget byteSize) {
	w := p.stdout
	who := "no agent has it"
	if c.InUse {
		who = "an agent has it"
	}
	fmt.Fprintf(w, "Spool %s (%s)\n", c.Directory, who)
	fmt.Fprintf(w, "waiting    %s\n", part(c.Waiting, "of"))
	for _, g := range c.Gaps {
		fmt.Fprintf(w, "dropped    %d documents (%s); a gap document that waits says so\n", g.Documents, g.Reason)
	}
	fmt.Fprintf(w, "refused    %d documents in %d files, %s\n", c.Dead.Documents, c.Dead.Files, size(uint64(c.Dead.Bytes)))
	for _, r := range c.Dead.Reasons {
		fmt.Fprintf(w, "           %d: %s\n", r.Documents, r.Reason)
	}
	fmt.Fprintf(w, "delivered  %s, kept for \"agent replay\"\n", part(c.Acked, "delivered"))
	fmt.Fprintf(w, "budget     %s", budget.String())
	if left := horizon(c, budget); left != nil {
		fmt.Fprintf(w, "; at %s/s it lasts for another %v without Elasticsearch",
			size(uint64(c.BytesPerSecond)), (time.Duration(*left) * time.Second).Round(time.Minute))
	}
	fmt.Fprintf(w, "\ndisk       %s free, %s of it are left to others\n", size(uint64(c.FreeBytes)), size(uint64(c.ReserveBytes)))
	for _, problem := range c.Problems {
		fmt.Fprintf(w, "problem    %s\n", problem)
	}
}

// part writes a number of batches in a line.
func part(s shipper.SpoolPart, of string) string {
	if s.Batches == 0 {
		return "nothing"
	}
	text := fmt.Sprintf("%d documents in %d batches, %s, %s %s to %s",
		s.Documents, s.Batches, size(uint64(s.Bytes)), of, clock(s.Oldest), clock(s.Newest))
	if s.GapDocuments > 0 {
		text += fmt.Sprintf(", and %d gap documents", s.GapDocuments)
	}
	return text
}

// showDead writes the newest refused documents, each in a line with the reason.
func (p program) showDead(dir string, most int) error {
	shown := 0
	return shipper.DeadLetters(dir, func(l shipper.DeadLetter) {
		if shown >= most {
			return
		}
		if l.Body == nil {
			shown++
			fmt.Fprintf(p.stdout, "%s (%d documents): %s\n", l.File, l.Documents, l.Reason)
			return
		}
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
		}
		isAction, n := true, 0
		for line := range bytes.Lines(l.Body) {
			if isAction {
				json.Unmarshal(line, &action)
			} else if n++; shown < most {
				shown++
				var doc struct {
					Time    string `json:"@timestamp"`
					Name    string `json:"container_Name"`
					Dataset string `json:"event.dataset"`
				}
				json.Unmarshal(line, &doc)
				fmt.Fprintf(p.stdout, "%s %s/%s %s: %s\n", doc.Time, action.Create.Index, action.Create.ID, cmp.Or(doc.Name, doc.Dataset), l.Reasons[n-1])
			}
			isAction = !isAction
		}
	})
}

// retryDead has refused documents sent once more.
func (p program) retryDead(ctx context.Context, dir string) error {
	documents, not, err := shipper.RequestRetry(dir)
	if err != nil {
		return err
	}
	for _, l := range not {
		fmt.Fprintf(p.stdout, "%s stays, it can't be sent: %s\n", l.File, l.Reason)
	}
	if documents == 0 {
		fmt.Fprintln(p.stdout, "There are no refused documents to send once more.")
		return nil
	}
	fmt.Fprintf(p.stdout, "%d refused documents are sent once more; what is refused again comes back here.\n", documents)
	return p.awaitTaken(ctx, dir)
}
