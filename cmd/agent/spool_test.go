package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// filledSpool returns a shipper into the fake whose spool has delivered some documents and
// buried one, and its directory.
func filledSpool(t *testing.T, es *estest.Server) (s *shipper.Shipper, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "spool")
	s, err := shipper.New(t.Context(), shipper.Options{
		SpoolDir: dir, Addresses: []string{"http://es:9200"}, Transport: es, Log: zap.NewNop(),
		Encoder: shipper.EncoderOptions{Interval: 100 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	es.OnItem(func(_, _ string, source []byte) estest.Refusal {
		if strings.Contains(string(source), `"container_Name":"poison"`) {
			return estest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "no poison"}
		}
		return estest.Refusal{}
	})
	go s.Run(context.Background())
	t.Cleanup(s.Close)
	put(s, 19, "poison")
	await(t, "the documents to be indexed", func() bool { v := s.Stats(); return v.Indexed == 19 && v.GapsIndexed == 1 && v.AckedBatches == 2 })
	return s, dir
}

// put puts one batch of n containers, and one of that name.
func put(s *shipper.Shipper, n int, name string) {
	node := &metric.Node{Name: "node1"}
	now := time.Now().UnixNano()
	for i := range n + 1 {
		c := &metric.Container{Path: "/docker/x", Name: "web"}
		if i == n {
			c.Name = name
		}
		w := &metric.Window{Last: new(metric.Sample), Container: c, Slot: now}
		w.Last.Time = now
		s.Put(node, w)
	}
	s.Flush(now)
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for " + what)
		}
	}
}

// An operator looks at a spool beside the agent that has it, and has things sent again.
func TestSpoolCommands(t *testing.T) {
	es := estest.New()
	s, dir := filledSpool(t, es)
	f := func(args, want string) {
		t.Helper()
		code, stdout, stderr := invoke(t, nil, strings.Fields(args+" --spool-dir="+dir)...)
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit %d, %q, no %q in:\n%s", args, code, stderr, want, stdout)
		}
	}
	f("spool", "an agent has it")
	f("spool", "waiting    nothing")
	f("spool", "refused    1 documents in 1 files")
	f("spool", "1: document_parsing_exception: no poison")
	f("spool", "delivered  20 documents in 2 batches")
	f("spool", "budget     1GiB")
	f("spool --dead=show", " poison: document_parsing_exception: no poison")

	_, stdout, _ := invoke(t, []string{"SWARMGAUGE_SPOOL_DIR=" + dir}, "spool", "-json")
	var c struct {
		InUse  bool `json:"in_use"`
		Acked  struct{ Documents int }
		Budget int64 `json:"budget_bytes"`
	}
	if err := json.Unmarshal([]byte(stdout), &c); err != nil || !c.InUse || c.Acked.Documents != 20 || c.Budget != 1<<30 {
		t.Errorf("%v: %+v from %s", err, c, stdout)
	}

	// The running agent takes requests up with its next batch.
	es.OnItem(nil)
	beside := func(args, want string) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			time.Sleep(300 * time.Millisecond)
			put(s, 0, "web")
			close(done)
		}()
		f(args, want)
		<-done
	}
	beside("spool --dead=retry", "The running agent has taken it up")
	await(t, "the refused document to be indexed", func() bool { v := s.Stats(); return v.Pending == 0 && v.Found == 1 })
	gone := es.Documents()[3]
	es.Forget(gone.Index, gone.ID)
	beside("replay --since=10m", "are sent once more")
	await(t, "the lost document to be there again", func() bool { v := s.Stats(); return v.Pending == 0 && v.Replayed >= 22 && v.Restored == 1 })
	if v := s.Stats(); es.Len() != int(v.Sampled+v.GapsIndexed) {
		t.Errorf("%d documents are there, want %d and a gap", es.Len(), v.Sampled)
	}
	f("spool --dead=retry", "no refused documents")

	// Without one, the next does.
	os.Remove(filepath.Join(dir, "lock")) // stands for the end of the agent
	f("replay", "the next one that starts does it")
	f("spool", "no agent has it")
}

func TestSpoolCommandsRefuse(t *testing.T) {
	f := func(args string, code int, want string) {
		t.Helper()
		got, stdout, stderr := invoke(t, nil, strings.Fields(args)...)
		if got != code || !strings.Contains(stdout+stderr, want) || code != exitOK && strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, %q, %q, want %d and %q", args, got, stdout, stderr, code, want)
		}
	}
	dir := t.TempDir()
	f("spool -spool-dir=/does/not/exist", exitFailure, "no such file or directory")
	f("replay -spool-dir=/does/not/exist", exitFailure, "no such file or directory")
	f("spool -dead=burn", exitUsage, `-dead can't be "burn"`)
	f("spool now", exitUsage, `it can't do "now"`)
	f("spool -dead=show x", exitUsage, `"x" isn't a number`)
	f("spool -dead=retry 3", exitUsage, `it can't do "3"`)
	f("spool -ded=retry", exitUsage, "did you mean -dead?")
	f("replay -since=-1m", exitUsage, "a time back from now")
	f("replay -since=yesterday", exitUsage, "invalid value")
	f("replay everything", exitUsage, `it can't do "everything"`)
	f("replay -spool-dir="+dir, exitOK, "Nothing that was delivered")
	f("spool -dead=retry -spool-dir="+dir, exitOK, "no refused documents")
	f("spool --help", exitOK, "Usage: agent spool")
	f("replay -h", exitOK, "-since")
	f("run -spool-replay=-1s", exitUsage, "-spool-replay is -1s")
}

// An older agent, or one that hangs, takes nothing up: that is said, and the request stays.
func TestRequestThatNobodyTakes(t *testing.T) {
	es := estest.New()
	_, dir := filledSpool(t, es) // puts nothing more, so looks for nothing
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out, errs strings.Builder
	code := program{args: []string{"replay", "-spool-dir=" + dir}, stdout: &out, stderr: &errs}.run(ctx)
	if code != exitFailure || !strings.Contains(errs.String(), "hasn't taken this up") {
		t.Errorf("exit %d, %q", code, errs.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "replay")); err != nil {
		t.Error(err)
	}
}
