package shipper

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

func TestAckedName(t *testing.T) {
	a := ackedBatch{at: 1772366400123, batchName: batchName{seq: 7, slot: 1772366400000, docs: 2}}
	f := func(name string, ok bool) {
		t.Helper()
		got, parsed := parseAckedName(name)
		if parsed != ok || ok && got != a {
			t.Errorf("%q: %v %v", name, got, parsed)
		}
	}
	f("1772366400123-0000000000000007-1772366400000-2-0.gz", true)
	f(a.batchName.String(), false)
	f("01772366400123-0000000000000007-1772366400000-2-0.gz", false)
	f("-1-0000000000000007-1772366400000-2-0.gz", false)
	f("99999999999999999-0000000000000007-1772366400000-2-0.gz", false)
	f("", false)
	if _, ok := parseBatchName(a.String()); ok {
		t.Error("the name of a delivered batch passes for one that waits")
	}
}

// deliver takes and acknowledges everything that waits.
func deliver(s *spool) (docs int) {
	for {
		e, ok := s.take(oldestFirst, func(*batchName) bool { return true })
		if !ok {
			return docs
		}
		docs += e.docs
		s.acknowledge(&e)
	}
}

// TestAckedIsSpare: what is delivered is kept, and is the first to go when room is wanted.
func TestAckedIsSpare(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 64<<10)
	fill(s, 10, 7) // 4 KiB each
	deliver(s)
	a, c := s.account()
	if c.batches != 0 || c.bytes != 0 || c.ackedBatches != 10 || c.ackedBytes != 40<<10 {
		t.Fatalf("%+v", c)
	}
	fill(s, 10, 7)
	a, c = s.account()
	if a.lost != [documentLosses]int{} || c.docs != 70 || c.ackedBatches != 6 || c.bytes+c.ackedBytes > 64<<10 {
		t.Errorf("lost %v, %+v", a.lost, c)
	}
	if got := names(t, filepath.Join(dir, ackedDir)); len(got) != 6 || !strings.HasSuffix(got[0], fill7(5)) {
		t.Errorf("kept are %v", got)
	}
	fill(s, 10, 7)
	a, c = s.account()
	if a.lost[lostBudget] == 0 || a.lost[lostBudget]+c.docs != 140 || c.ackedBatches != 0 {
		t.Errorf("lost %v, %+v", a.lost, c)
	}
}

// fill7 is the name of the batch that fill makes with this number of seven documents.
func fill7(seq uint64) string {
	return batchName{seq: seq, slot: int64(seq) * testInterval.Milliseconds(), docs: 7}.String()
}

// TestAckedExpires: within the window what is delivered stays, over a restart, too;
// afterwards it goes.
func TestAckedExpires(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<30)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	s.sys.now = clock
	fill(s, 3, 7)
	deliver(s)
	now = now.Add(20 * time.Minute)
	fill(s, 2, 7)
	deliver(s)
	s.close()

	s = testSpool(t, dir, 1<<30)
	s.sys.now = clock
	if _, c := s.account(); c.ackedBatches != 5 || s.seq != 6 {
		t.Errorf("after a restart %+v, next number %d", c, s.seq)
	}
	s.tick()
	now = now.Add(11 * time.Minute)
	s.tick()
	if _, c := s.account(); c.ackedBatches != 2 || c.ackedBytes != 8<<10 {
		t.Errorf("after 31 minutes %+v", c)
	}
	// A clock that was ahead has dated the rest.
	now = now.Add(-24 * time.Hour)
	s.tick()
	if got := names(t, filepath.Join(dir, ackedDir)); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	s.close()

	// Without a window nothing is kept, and what another run has kept goes.
	s = testSpool(t, dir, 1<<30)
	fill(s, 3, 7)
	deliver(s)
	s.close()
	s = testSpool(t, dir, 1<<30)
	s.replay = 0
	s.tick()
	fill(s, 3, 7)
	deliver(s)
	if got := names(t, filepath.Join(dir, ackedDir)); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

// TestAckedCannotBeKept: nothing depends on the directory of delivered batches.
func TestAckedCannotBeKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/tmp", filepath.Join(dir, ackedDir)); err != nil {
		t.Fatal(err)
	}
	s := testSpool(t, dir, 1<<30)
	fill(s, 3, 7)
	deliver(s)
	a, c := s.account()
	if a.fault != "" || c.batches != 0 || c.ackedBatches != 0 {
		t.Errorf("fault %q, %+v", a.fault, c)
	}
	if got := names(t, filepath.Join(dir, liveDir)); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

// asked waits until the request has been taken up.
func asked(t *testing.T, s *Shipper, dir string) {
	t.Helper()
	notify(s.spool.wake)
	eventually(t, "the request is taken up", func() bool { return !Requested(dir) })
}

// TestReplay: what the server has lost is restored, what it has stays single, and the
// accounts are what they were.
func TestReplay(t *testing.T) {
	es := estest.New()
	o := testOptions(t, es)
	s, stop := start(t, o)
	l := newLoad(20)
	for range 5 {
		l.tick(s)
	}
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 100 })
	balance(t, s)
	before := s.Stats()

	again := func(lost int, replayed, restored int64) {
		t.Helper()
		all := es.Documents()
		for _, d := range all[len(all)-lost:] {
			es.Forget(d.Index, d.ID)
		}
		p, err := RequestReplay(o.SpoolDir, time.Now().Add(-time.Minute))
		if err != nil || p.Batches != 5 || p.Documents != 100 {
			t.Fatalf("%+v, %v", p, err)
		}
		asked(t, s, o.SpoolDir)
		eventually(t, "it is delivered", func() bool { return s.Stats().Replayed == replayed })
		balance(t, s)
		v := s.Stats()
		if v.Restored != restored || v.Indexed != 100 || v.Sampled != 100 || v.Found != 0 || v.Pending != 0 || v.Dead != 0 ||
			v.DuplicatesExpected != before.DuplicatesExpected || v.DuplicatesUnexpected != 0 || v.Degraded {
			t.Errorf("%+v", v)
		}
		audit(t, es, 100)
	}
	again(33, 100, 33)
	again(0, 200, 33)
	eventually(t, "all is kept again", func() bool { return s.Stats().AckedBatches == 5 })

	// A later moment leaves out what was delivered before it.
	if p, err := RequestReplay(o.SpoolDir, time.Now().Add(time.Minute)); err != nil || p.Batches != 0 || Requested(o.SpoolDir) {
		t.Errorf("%+v, %v", p, err)
	}

	// Without an agent the next one does it, and its accounts are its own.
	stop()
	for _, d := range es.Documents()[:7] {
		es.Forget(d.Index, d.ID)
	}
	if _, err := RequestReplay(o.SpoolDir, time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, o)
	eventually(t, "it is delivered", func() bool { return s.Stats().Replayed == 100 })
	balance(t, s)
	if v := s.Stats(); v.Restored != 7 || v.Found != 0 || v.Indexed != 0 || v.Pending != 0 || Requested(o.SpoolDir) {
		t.Errorf("%+v", v)
	}
	audit(t, es, 100)
}

// TestReplayAgain: a request that stays, because it can't be removed or after a crash, has
// everything sent once.
func TestReplayAgain(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<30)
	fill(s, 3, 7)
	deliver(s)
	if _, err := RequestReplay(dir, time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
	request, err := os.ReadFile(filepath.Join(dir, replayRequest))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // the next acknowledgement has a later time
	s.tick()
	if docs := deliver(s); docs != 21 {
		t.Errorf("%d documents are sent once more", docs)
	}
	if err := os.WriteFile(filepath.Join(dir, replayRequest), request, 0o600); err != nil {
		t.Fatal(err)
	}
	s.tick()
	if docs := deliver(s); docs != 0 {
		t.Errorf("%d documents are sent a third time", docs)
	}
}

// TestAckedDeleted: the directory of delivered batches is made anew.
func TestAckedDeleted(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<30)
	fill(s, 3, 7)
	deliver(s)
	if err := os.RemoveAll(filepath.Join(dir, ackedDir)); err != nil {
		t.Fatal(err)
	}
	fill(s, 3, 7)
	deliver(s)
	if got := names(t, filepath.Join(dir, liveDir)); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	s.tick()
	fill(s, 3, 7)
	deliver(s)
	a, c := s.account()
	if got := names(t, filepath.Join(dir, ackedDir)); len(got) != 3 || c.ackedBatches != 3 || a.lost != [documentLosses]int{} || a.fault != "" {
		t.Errorf("kept: %v, %+v, lost %v, fault %q", got, c, a.lost, a.fault)
	}
}

// TestReplayIsNoLoss: a batch that is sent once more and dropped for the budget, damaged,
// or refused, is not lost: it was delivered before.
func TestReplayIsNoLoss(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 64<<10)
	fill(s, 4, 7)
	deliver(s)
	if _, err := RequestReplay(dir, time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
	s.tick()
	if a, c := s.account(); c.batches != 4 || c.docs != 0 || a.found != 0 {
		t.Fatalf("%+v, found %d", c, a.found)
	}
	e, _ := s.take(oldestFirst, func(*batchName) bool { return true })
	s.discard(&e)
	e, _ = s.take(oldestFirst, func(*batchName) bool { return true })
	s.bury(&e, 2, []byte("member"))
	s.acknowledge(&e)
	fill(s, 16, 7)
	if a, c := s.account(); a.lost != [documentLosses]int{} || c.docs != 112 || c.gaps != 0 {
		t.Errorf("lost %v, %+v", a.lost, c)
	}
}

// TestRetryDead: refused documents are sent once more, what is refused again comes back
// without a hold, and what can't be sent is told.
func TestRetryDead(t *testing.T) {
	es := estest.New()
	refuse := func(names ...string) {
		es.OnItem(func(_, _ string, source []byte) estest.Refusal {
			for _, name := range names {
				if strings.Contains(string(source), `"container_Name":"`+name+`"`) {
					return estest.Refusal{Status: 400, Type: "document_parsing_exception", Reason: "no " + name}
				}
			}
			return estest.Refusal{}
		})
	}
	refuse("web.1", "web.2")
	o := testOptions(t, es)
	s, _ := start(t, o)
	l := newLoad(50)
	for range 3 {
		l.tick(s)
	}
	// An answer is counted before its batch's file is moved.
	eventually(t, "the rest is indexed", func() bool {
		c, err := InspectSpool(o.SpoolDir)
		return s.Stats().Indexed == 144 && s.Stats().Dead == 6 && err == nil && c.Waiting.Batches == 0
	})
	balance(t, s)
	dead := filepath.Join(o.SpoolDir, deadDir)
	if err := os.WriteFile(filepath.Join(dead, "0000000000000fff-1772366400000-2-0.gz"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := letter([]byte("{\"create\":{}}\n{}\n"), strangerReason, nil)
	if err := os.WriteFile(filepath.Join(dead, "0000000000000ffe-1772366400000-1-0.gz"), stranger, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := InspectSpool(o.SpoolDir)
	if err != nil || !c.InUse || c.Dead.Files != 5 || c.Dead.Documents != 9 || c.Dead.Damaged != 1 || c.Acked.Documents != 150 ||
		len(c.Dead.Reasons) != 4 || c.Dead.Reasons[0].Documents != 3 || c.Dead.Reasons[1].Documents != 3 || !strings.Contains(c.Dead.Reasons[0].Reason, "no web.") {
		t.Errorf("%+v, %v", c, err)
	}

	refuse("web.2")
	documents, not, err := RequestRetry(o.SpoolDir)
	if err != nil || documents != 6 || len(not) != 2 {
		t.Fatalf("%d documents, not %v, %v", documents, not, err)
	}
	asked(t, s, o.SpoolDir)
	eventually(t, "half of them are indexed", func() bool { return s.Stats().Indexed == 147 })
	balance(t, s)
	if v := s.Stats(); v.Found != 6 || v.Dead != 9 || v.Pending != 0 || v.Held || v.DuplicatesUnexpected != 0 {
		t.Errorf("%+v", v)
	}
	if got := names(t, dead); len(got) != 5 {
		t.Errorf("dead letters: %v", got)
	}
	refuse()
	if documents, _, err = RequestRetry(o.SpoolDir); err != nil || documents != 3 {
		t.Fatalf("%d documents, %v", documents, err)
	}
	asked(t, s, o.SpoolDir)
	eventually(t, "all are indexed", func() bool { return s.Stats().Indexed == 150 })
	balance(t, s)
	audit(t, es, 150)
}

// TestInspectSpool: what is told of a spool is what lies there.
func TestInspectSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if _, err := InspectSpool(dir); !os.IsNotExist(err) {
		t.Errorf("no spool: %v", err)
	}
	s := testSpool(t, dir, 64<<10)
	fill(s, 30, 7)
	os.WriteFile(filepath.Join(dir, liveDir, "stranger"), nil, 0o600)
	a, content := s.account()
	c, err := InspectSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !c.InUse || c.Waiting.Batches != content.batches || c.Waiting.Documents != content.docs || c.Waiting.Bytes != content.bytes ||
		c.Alien != 1 || len(c.Problems) != 1 || !slices.Equal(c.Gaps, []SpoolLoss{{"budget", a.lost[lostBudget]}}) {
		t.Errorf("%+v", c)
	}
	if want := 4096 / testInterval.Seconds(); c.BytesPerSecond < want*0.9 || c.BytesPerSecond > want*1.4 {
		t.Errorf("%v bytes a second, want about %v", c.BytesPerSecond, want)
	}
	deliver(s)
	s.close()
	if c, err = InspectSpool(dir); err != nil || c.InUse || c.Waiting.Batches != 0 || c.Acked.Batches != content.batches || len(c.Gaps) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestRequestThatIsNone: what makes no sense is removed, and stops nothing.
func TestRequestThatIsNone(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<30)
	fill(s, 3, 7)
	deliver(s)
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s.tick()
		if a, c := s.account(); c.batches != 0 || c.ackedBatches != 3 || a.found != 0 || Requested(dir) {
			t.Errorf("%s %q: %+v, found %d, requested %v", name, content, c, a.found, Requested(dir))
		}
	}
	write(replayRequest, "yesterday")
	write(replayRequest, "")
	write(replayRequest, "1")
	write(replayRequest, fmt.Sprint(time.Now().Add(time.Hour).UnixMilli(), time.Now().Add(2*time.Hour).UnixMilli()))
	write(replayRequest, "0 1")
	write(retryRequest, "../lock\n0000000000000fff-1772366400000-2-0.gz\n")
}

// BenchmarkAcknowledge keeps delivered batches, or unlinks them.
func BenchmarkAcknowledge(b *testing.B) {
	for name, replay := range map[string]time.Duration{"keep": defaultReplay, "unlink": 0} {
		b.Run(name, func(b *testing.B) {
			s := testSpool(b, b.TempDir(), 1<<30)
			s.replay = replay
			for b.Loop() {
				b.StopTimer()
				fill(s, 1, 100)
				e, _ := s.take(oldestFirst, func(*batchName) bool { return true })
				b.StartTimer()
				s.acknowledge(&e)
			}
		})
	}
}

func FuzzAckedName(f *testing.F) {
	f.Add("1772366400000-0000000000000abc-1772366400000-20-0.gz")
	f.Add("0-0000000000000000-0-0-1.gz")
	f.Add("01-0000000000000abc-1-1-0.gz")
	f.Add("--0000000000000abc-1-1-0.gz")
	f.Add("9223372036854775808-0000000000000abc-1-1-0.gz")
	f.Fuzz(func(t *testing.T, s string) {
		if a, ok := parseAckedName(s); ok && (a.String() != s || a.at < 0 || a.at > lastMilli) {
			t.Errorf("%q became %q", s, a)
		}
	})
}

// Whatever a request says, it moves batches that are there, each once, and nothing else.
func FuzzRequests(f *testing.F) {
	const refused = "0000000000000005-1772366400000-3-0.gz"
	f.Add("0 9999999999999")
	f.Add("1772366400000 1772366400000\n")
	f.Add("9999999999999 0")
	f.Add("-9223372036854775808 9223372036854775807")
	f.Add("99999999999999999999 1")
	f.Add("")
	f.Add(refused)
	f.Add(refused + "\n" + refused + "\n")
	f.Add("../" + liveDir + "/" + refused + "\n/etc/passwd\n.\n..\n\x00\n")
	f.Fuzz(func(t *testing.T, request string) {
		disk := newMemoryDisk(filepath.Join(t.TempDir(), "lock"))
		s := testSpoolOn(t, disk.calls(), memorySpool, 1, 1<<30)
		defer s.close()
		s.replay = defaultReplay
		fill(s, 3, 2)
		for range 2 {
			e, ok := s.take(oldestFirst, func(*batchName) bool { return true })
			if !ok {
				t.Fatal("nothing to be sent")
			}
			s.acknowledge(&e)
		}
		if _, err := s.dead.publish(".1", refused, letter([]byte("x"), "no", nil)); err != nil {
			t.Fatal(err)
		}
		_, before := s.account()
		again, acked := s.replayAcked(s.held, request)
		tried, dead := s.retryDead(s.held, request)
		_, after := s.account()
		if again > before.ackedBatches || acked != 2*again || tried > 1 || dead != 3*tried {
			t.Errorf("%d batches of %d documents, %d dead letters of %d", again, acked, tried, dead)
		}
		if after.batches != before.batches+again+tried || after.ackedBatches != before.ackedBatches-again || after.docs != before.docs+dead {
			t.Errorf("%+v, then %+v", before, after)
		}
		for i, e := range s.entries {
			if i > 0 && s.entries[i-1].seq >= e.seq {
				t.Errorf("%s comes after %s", e, s.entries[i-1])
			}
			if _, err := s.read(&e, nil); err != nil {
				t.Error(err)
			}
		}
		// What a request has done is done.
		if n, _ := s.replayAcked(s.held, request); n > 0 {
			t.Errorf("%d batches are replayed once more", n)
		}
		if n, _ := s.retryDead(s.held, request); n > 0 {
			t.Errorf("%d dead letters are tried once more", n)
		}
	})
}

func FuzzReasonsOf(f *testing.F) {
	var r reasons
	r.add(3, "a reason")
	r.add(7, "another one")
	r.add(4, "a reason")
	f.Add(r.appendExtra(nil, r.documents()), "a reason", 3)
	f.Add([]byte("SG\xff\xff1\ttorn"), "", 1)
	f.Add([]byte("XX\x01\x00.SG\x04\x001\tx\n"), "", 2)
	f.Add([]byte("SG\x04\x000 9\tx\n"), "comment", 2)
	f.Fuzz(func(t *testing.T, extra []byte, comment string, docs int) {
		if docs < 0 || docs > 1<<10 {
			return
		}
		all := reasonsOf(extra, comment, docs)
		if len(all) != docs {
			t.Fatalf("%d reasons of %d documents", len(all), docs)
		}
		for _, reason := range all {
			if reason != comment && !bytes.Contains(extra, []byte(reason)) {
				t.Errorf("the reason %q isn't in %q", reason, extra)
			}
		}
	})
}

// TestRestoredSpool: an agent finds its spool as it was once, from a backup or a snapshot of
// the machine, after what was in it has been delivered, or while another one delivers it.
// Nothing is lost, nothing there twice, and no new document has the _id of another.
func TestRestoredSpool(t *testing.T) {
	const batches, docs = 20, 5
	for _, when := range []string{"after", "while"} {
		t.Run(when, func(t *testing.T) {
			es := estest.New()
			o := testOptions(t, es)
			plain := o
			plain.Addresses = nil
			s, stop := start(t, plain)
			load := newLoad(docs)
			for range batches {
				load.tick(s)
			}
			eventually(t, "all is stored", func() bool { return s.Stats().Batches == batches })
			stop()
			first := s.Stats()
			restored := o
			restored.SpoolDir = filepath.Join(t.TempDir(), "restored")
			if err := os.CopyFS(restored.SpoolDir, os.DirFS(o.SpoolDir)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(restored.SpoolDir, 0o700); err != nil {
				t.Fatal(err)
			}

			all := []Stats{{}, {}}
			var stops []func()
			slot := load.slot
			run := func(i int, o Options) *Shipper {
				s, stop := start(t, o)
				load.slot = slot // the clock is where it was, too
				for range batches {
					load.tick(s)
				}
				stops = append(stops, func() {
					eventually(t, "everything is settled", func() bool {
						v := s.Stats()
						return v.Batches == batches && v.Pending == 0
					})
					stop()
					all[i] = s.Stats()
				})
				return s
			}
			one := run(0, o)
			if when == "after" {
				stops[0]()
			}
			two := run(1, restored)
			stops[1]()
			if when == "while" {
				stops[0]()
			}
			if one.spool.epoch == two.spool.epoch {
				t.Errorf("both runs have the epoch %x", one.spool.epoch)
			}
			want := first.Sampled
			again := int64(0)
			for i, v := range all {
				want += v.Sampled
				again += v.DuplicatesExpected
				if v.Found != first.Sampled || v.Indexed != v.Found+v.Sampled || v.DuplicatesUnexpected+v.Dead != 0 {
					t.Errorf("run %d: %+v", i+1, v)
				}
			}
			if again != first.Sampled {
				t.Errorf("%d conflicts, want one for each of the %d documents of the backlog", again, first.Sampled)
			}
			complain(t, es)
			if int64(es.Len()) != want {
				t.Errorf("%d documents are there, want %d", es.Len(), want)
			}
		})
	}
}
