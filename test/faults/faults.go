// Package faults is the catalogue of what may go wrong, and what the agent promises to
// survive: one Row for each fault, with the way it is injected and the goal. Each row is
// a named test somewhere in the repository (TestD05Outage shows D5), which says through
// this package what it found. docs/reliability.md is generated from both.
//
// A test of a row runs in a short form, so that all of them together fit into every run
// of the tests, and in a full form by make faults:
//
//	row := faults.Start(t, "D5")
//	if row.Full() { … six hours … } else { … six minutes … }
//	row.Goal("drained 20 times as fast as it came", rate >= 20*docs)
//	row.Result("%d documents, %d lost, %d twice", …)
//
// What a test asserts leaves room for a machine that does other things; Goal holds what was
// found against the row's goal itself, and has the result say where it falls short.
//
// Result is called when everything that the row promises has been checked; a test that
// fails before leaves no result.
package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fullVariable asks for the full form of the tests, and that results are recorded.
const fullVariable = "SWARMGAUGE_FAULTS"

// A Run is one test of a row.
type Run struct {
	t     *testing.T
	row   *Row
	full  bool
	short []string // the words of the row's goal that weren't reached
}

// A Recorded result is what a test of a row found when it was last run in its full form.
type Recorded struct {
	Row    string
	Test   string // the test that found it
	Result string
	// Short are the words of the row's goal that the result falls short of.
	Short []string `json:",omitempty"`
	Day   string   // 2006-01-02, UTC
	Where string   // kernel, architecture and processors
}

// Start begins the test of the row with that name, of which there has to be one.
func Start(t *testing.T, name string) *Run {
	t.Helper()
	for i := range table {
		if table[i].Name == name {
			return &Run{t: t, row: &table[i], full: os.Getenv(fullVariable) == "full"}
		}
	}
	t.Fatalf("no row %s in the catalogue of faults", name)
	return nil
}

// Full tells that the row's full form is wanted, however long it takes.
func (r *Run) Full() bool { return r.full }

// Goal notes whether a part of the row's goal was reached, which words of it name. A goal
// that is missed doesn't fail the test: the result says so.
func (r *Run) Goal(words string, reached bool) {
	r.t.Helper()
	if !strings.Contains(r.row.Goal, words) {
		r.t.Fatalf("the goal of %s, %q, has no %q", r.row.Name, r.row.Goal, words)
	}
	if !reached && !slices.Contains(r.short, words) {
		r.short = append(r.short, words)
	}
}

// Result says in one line what was found, with its numbers. In the full form it is
// recorded for docs/reliability.md.
func (r *Run) Result(format string, args ...any) {
	r.t.Helper()
	found := fmt.Sprintf(format, args...)
	r.t.Logf("%s (%s; goal: %s): %s", r.row.Name, r.row.Fault, r.row.Goal, found)
	if r.short != nil {
		r.t.Logf("%s falls short of %q", r.row.Name, r.short)
	}
	if !r.full || r.t.Failed() {
		return
	}
	b, err := json.MarshalIndent(Recorded{
		Row: r.row.Name, Test: r.t.Name(), Result: found, Short: r.short,
		Day: today(), Where: machine(),
	}, "", "\t")
	if err == nil {
		err = os.WriteFile(filepath.Join(folder(), r.row.Name+".json"), append(b, '\n'), 0o644)
	}
	if err != nil {
		r.t.Errorf("recording the result of %s: %v", r.row.Name, err)
	}
}

// folder is where results are recorded: beside this file, whatever package the test is of.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "results")
}

// today is the day as the kernel has it: within a bubble of testing/synctest, package time
// has another one.
func today() string {
	var now syscall.Timeval
	if err := syscall.Gettimeofday(&now); err != nil {
		return "unknown day"
	}
	return time.Unix(now.Unix()).UTC().Format(time.DateOnly)
}

func machine() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("unknown kernel\n")
	}
	return fmt.Sprintf("Linux %s, %s, %d CPUs", release[:len(release)-1], runtime.GOARCH, runtime.NumCPU())
}
