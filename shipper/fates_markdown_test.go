package shipper

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// fateMeanings are the fates as the operations guide explains them.
var fateMeanings = [fates]struct{ name, meaning string }{
	delivered: {"delivered", "the document is stored; a batch whose documents have all come to an end moves to `acked/`"},
	exists:    {"exists", "in a batch that was sent before: delivered, and that answer was lost. In one that never was: another document owns the `_id`; ours goes to `dead/`, and an alarm is raised (two agents on one spool, or a copied one)"},
	again:     {"again", "the same bytes again, after up to 30 s (full jitter; a `Retry-After`, in seconds or as a date, is obeyed up to 5 min)"},
	unreached: {"unreached", "nothing was sent; the same bytes again within 4 s"},
	hold:      {"hold", "everything is kept, one attempt every 15 s at most, and `/healthz?details` says what mends it. What a document is answered holds the documents of its index alone"},
	split:     {"split", "both halves for themselves, and so on; a single document that is too large goes to `dead/`"},
	bisect:    {"bisect", "both halves for themselves, until the document to blame is found, which goes to `dead/`; with more than four of them in a batch: hold, until ten other batches are delivered"},
	refused:   {"refused", "the document goes to `dead/` with the reason; if it is more than a tenth of a batch, the fault is taken to be in the configuration: hold, until ten other batches are delivered"},
}

// fatesMarkdown returns the tables of fates for docs/operations.md.
func fatesMarkdown() []byte {
	var b bytes.Buffer
	b.WriteString("| fate | what becomes of it |\n| --- | --- |\n")
	for _, f := range fateMeanings {
		fmt.Fprintf(&b, "| **%s** | %s |\n", f.name, f.meaning)
	}
	rules := func(title string, table []rule) {
		fmt.Fprintf(&b, "\n| %s | fate | what mends it |\n| --- | --- | --- |\n", title)
		for i := range table {
			r := &table[i]
			status := fmt.Sprint(r.status)
			switch {
			case r.status == 0:
				status = "anything else"
			case r.status < 10:
				status += "xx"
			}
			if r.kind != "" {
				status += " `" + r.kind + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", status, fateMeanings[r.fate].name, cell(r.advice))
		}
	}
	rules("a document's status in the answer to `_bulk`", itemFates[:])
	rules("the answer to a request", requestFates[:])
	b.WriteString("\nA 200 is what its documents say. One that doesn't tell of each document, by its place, is *again*.\n")
	b.WriteString("\n| no answer, or not Elasticsearch's | fate | what mends it |\n| --- | --- | --- |\n")
	for i := range transportFates {
		r := &transportFates[i]
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.what, fateMeanings[r.fate].name, cell(r.advice))
	}
	return b.Bytes()
}

// cell makes the text fit into a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "*", "\\*").Replace(text)
}

// TestHoldsHaveAdvice: who has to mend something is told what.
func TestHoldsHaveAdvice(t *testing.T) {
	for _, r := range slices.Concat(itemFates[:], requestFates[:]) {
		if r.fate == hold && r.advice == "" {
			t.Errorf("%d %s is held, and nothing says what mends it", r.status, r.kind)
		}
	}
	for i := range transportFates {
		if r := &transportFates[i]; r.fate == hold && r.advice == "" {
			t.Errorf("%s: it is held, and nothing says what mends it", r.what)
		}
	}
}

// TestFatesInOperations: the tables that decide are those that operators read.
func TestFatesInOperations(t *testing.T) {
	const (
		file  = "../docs/operations.md"
		begin = "<!-- fates: go test ./shipper -run TestFatesInOperations -update -->\n"
		end   = "<!-- end of fates -->\n"
	)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := bytes.Cut(text, []byte(begin))
	is, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		t.Fatalf("%s has lost the marks %q and %q", file, begin, end)
	}
	if *updateDocuments {
		is = fatesMarkdown()
		if err := os.WriteFile(file, bytes.Join([][]byte{before, []byte(begin), is, []byte(end), after}, nil), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(is, fatesMarkdown()) {
		t.Errorf("%s is stale: go test ./shipper -run TestFatesInOperations -update", file)
	}
}
