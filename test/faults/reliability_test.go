package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/reliability.md")

// named is one test of a row.
type named struct{ folder, name string }

// command runs the short form of the test.
func (n named) command() string { return fmt.Sprintf("go test ./%s -run '^%s$'", n.folder, n.name) }

// testsOfRows finds the tests of the catalogue's rows below the root of the module, by row.
func testsOfRows(root string) (map[string][]named, error) {
	name := regexp.MustCompile(`^Test([DSC])(\d\d)[A-Z]`)
	found := map[string][]named{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declared := range file.Decls {
			f, ok := declared.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			if m := name.FindStringSubmatch(f.Name.Name); m != nil {
				folder, err := filepath.Rel(root, filepath.Dir(path))
				if err != nil {
					return err
				}
				row := m[1] + strings.TrimLeft(m[2], "0")
				found[row] = append(found[row], named{filepath.ToSlash(folder), f.Name.Name})
			}
		}
		return nil
	})
	for _, tests := range found {
		slices.SortFunc(tests, func(a, b named) int { return strings.Compare(a.folder+a.name, b.folder+b.name) })
	}
	return found, err
}

// recorded returns the last result of a row's full form, nil if there is none.
func recorded(row string) (*Recorded, error) {
	text, err := os.ReadFile(filepath.Join(folder(), row+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := new(Recorded)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil || r.Row != row || r.Result == "" {
		return nil, fmt.Errorf("the result of %s can't be read: %+v, %w", row, r, err)
	}
	return r, nil
}

// reliabilityMarkdown returns the text of docs/reliability.md.
func reliabilityMarkdown(tests map[string][]named) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`# Reliability

Generated from ` + "`test/faults/table.go`" + ` and ` + "`test/faults/results`" + ` (` + "`go test ./test/faults -run TestReliability -update`" + `); don't edit.

What is promised, whatever goes wrong:

> Every sample that was taken is in Elasticsearch exactly once, or inside a gap document whose
> count is exact. The agent never panics, hangs, or needs to be cleaned up after. Sampling keeps
> its schedule.

A sample counts as taken when the batch that it is in has been published in the spool (fsync and
rename), which happens once in a shipping interval; what a kill or a power cut finds in memory was
never promised, and without a spool on disk (a disk that fails) that is up to 16 MiB.
One count is an upper bound: a batch that Elasticsearch has stored, but whose answer was lost, and
that is then dropped for room or damaged before it could be asked again, is in the index and in a
gap. One count may be missing: that of a gap document whose file was damaged between two runs, of
which another one tells (` + "`gap.gaps`" + `). No document is ever missing without being told of.
` + "`agent audit`" + ` proves or refutes the first sentence from what Elasticsearch holds, see
[operations](operations.md#proving-that-nothing-is-lost).

Each line is one fault, with a test that makes it happen. A short form of every test runs with
` + "`make test`" + `. The full form is the one that the line tells of: ` + "`make faults`" + ` runs all of them, one after
the other, which takes most of a day, and records what they found here. *Not run in full form yet*
means just that: the short form passes, and the figures of the goal were not all put to the test.
Results are of the day and the machine that they name. One that falls short of its goal says so in
front: **short of** and the words of the goal that weren't reached. What a test doesn't show of its
goal, and where the agent does something else, stands behind the goal.
The commands run the short form; ` + "`" + fullVariable + "=full`" + ` in front, and ` + "`-timeout 24h`" + ` behind, the full one.
They want root, and tell what else they lack.

Nothing here needs a machine of its own kind. What most machines haven't got has a stand-in, which
is what the column says: a file system in memory that forgets what wasn't synced for a power cut
(no device mapper), strace for calls that fail or take long, small loop mounts for full disks, a
proxy for loss and delay (no netem), virtual machines for other kernels, an accelerated clock of the
documents for hours. No power was ever cut.

` + "`make soak`" + ` lets an agent live with a random fault each minute among two hundred cgroups that come
and go, and has ` + "`agent audit`" + ` judge the end (` + "`SOAK=3h`" + ` for longer); how late sweeps begin while
Elasticsearch is dead, the disk is full or a thousand clients ask is in [bench/README.md](../bench/README.md).
`)
	part := ""
	for _, row := range table {
		if title := map[byte]string{'D': "Delivery and process", 'S': "The spool's disk", 'C': "Collection"}[row.Name[0]]; title != part {
			part = title
			fmt.Fprintf(&b, "\n## %s\n\n| | Fault | How it is made | Goal beside the promise | Last result | Command |\n|---|---|---|---|---|---|\n", title)
		}
		result, err := recorded(row.Name)
		if err != nil {
			return nil, err
		}
		last := "*not run in full form yet*"
		if result != nil {
			last = cell(fmt.Sprintf("%s (%s, %s)", result.Result, result.Day, result.Where))
			if result.Short != nil {
				last = "**short of** “" + cell(strings.Join(result.Short, "”, “")) + "”: " + last
			}
		}
		goal := cell(row.Goal)
		if row.Open != "" {
			goal += ". *" + cell(row.Open) + ".*"
		}
		var commands []string
		for _, test := range tests[row.Name] {
			commands = append(commands, "`"+test.command()+"`")
		}
		if commands == nil {
			commands = []string{"**none**"}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.Name, cell(row.Fault), cell(row.Injection), goal, last, strings.Join(commands, ", "))
	}
	return b.Bytes(), nil
}

// cell makes a text fit into a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s)
}

// docs/reliability.md is generated: run this test with -update after a change of the table,
// of a test's name, or of a result.
func TestReliability(t *testing.T) {
	const root, file = "../..", "../../docs/reliability.md"
	tests, err := testsOfRows(root)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, row := range table {
		names[row.Name] = true
		if tests[row.Name] == nil {
			t.Errorf("%s (%s) has no test", row.Name, row.Fault)
		}
	}
	for row, found := range tests {
		if !names[row] {
			t.Errorf("%v are tests of %s, which the catalogue hasn't got", found, row)
		}
	}
	results, err := os.ReadDir(folder())
	if err != nil {
		t.Fatal(err)
	}
	for i := range table {
		result, err := recorded(table[i].Name)
		if err != nil || result == nil {
			continue // told below, or not run yet
		}
		for _, words := range result.Short {
			if !strings.Contains(table[i].Goal, words) {
				t.Errorf("the result of %s falls short of %q, which its goal hasn't got", table[i].Name, words)
			}
		}
	}
	for _, f := range results {
		if row, ok := strings.CutSuffix(f.Name(), ".json"); ok && !names[row] {
			t.Errorf("%s is a result of no row", f.Name())
		}
	}

	want, err := reliabilityMarkdown(tests)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Error("docs/reliability.md is stale: go test ./test/faults -run TestReliability -update")
	}
}
