package shipper

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

var (
	_ collector.Sink = (*Shipper)(nil)
	_ collector.Sink = (*Lines)(nil)
)

// killedAgent makes the test binary an agent that is to be killed: see TestKill.
const killedAgent = "SHIPPER_TEST_SPOOL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedAgent); dir != "" {
		runUntilKilled(dir, os.Getenv("SHIPPER_TEST_ADDRESS"))
		return
	}
	if dir := os.Getenv(outageAgent); dir != "" {
		runOutage(dir)
		return
	}
	if os.Getenv(fakeServer) != "" {
		runServer()
		return
	}
	if dir := os.Getenv(blackhole); dir != "" {
		runBlackhole(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// testNode and the windows are what a small node puts.
func testNode() *metric.Node {
	return &metric.Node{Name: "node1", SwarmID: "abc", CPUs: 4, MemoryBytes: 8 << 30}
}

const testInterval = 10 * time.Second

// load is a loop that puts n containers in each slot.
type load struct {
	node    *metric.Node
	windows []metric.Window
	slot    int64
}

func newLoad(n int) *load {
	l := &load{node: testNode(), slot: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano()}
	for i := range n {
		id := fmt.Sprintf("%064x", i+1)
		w := metric.Window{Last: new(metric.Sample), Container: &metric.Container{
			Path: "/docker/" + id, ID: id, Runtime: "docker", Name: fmt.Sprintf("web.%d", i+1), Image: "nginx:1.27",
		}}
		l.windows = append(l.windows, w)
	}
	return l
}

// tick puts one interval into the sink.
func (l *load) tick(s collector.Sink) {
	l.slot += int64(testInterval)
	for i := range l.windows {
		w := &l.windows[i]
		w.Next()
		w.Samples = 10
		w.Last.Time, w.Slot = l.slot, l.slot
		w.Last.Put(metric.CPUUsage, uint64(l.slot%1e15)+uint64(i*1e6))
		w.Last.Put(metric.MemoryWorkingSet, uint64(64<<20+i<<12))
		s.Put(l.node, w)
	}
	s.Flush(l.slot)
}

// testOptions are options for a spool of its own and the fake es, which may be nil.
func testOptions(t testing.TB, es *estest.Server) Options {
	o := Options{
		SpoolDir: filepath.Join(t.TempDir(), "spool"),
		Encoder:  EncoderOptions{AgentVersion: "test", Interval: testInterval},
		LockWait: 100 * time.Millisecond,
		Version:  "test",
		Log:      zap.NewNop(),
	}
	if es != nil {
		o.Addresses = []string{"http://es:9200"}
		o.Transport = es
	}
	return o
}

// start runs a Shipper until the test ends, or until stop is called.
func start(t testing.TB, o Options) (s *Shipper, stop func()) {
	t.Helper()
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s.lanes != nil {
		s.lanes.phase = 0
		s.lanes.wait = backoff{base: time.Millisecond, limit: 20 * time.Millisecond}
		s.lanes.unreached, s.lanes.holding, s.lanes.parking = s.lanes.wait, s.lanes.wait, s.lanes.wait
	}
	go s.Run(context.Background())
	for !s.started.Load() {
		time.Sleep(time.Millisecond)
	}
	done := false
	stop = func() {
		if !done {
			done = true
			s.Close()
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// eventually waits for the condition.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	within(t, 20*time.Second, what, f)
}

// within is eventually for what may take longer.
func within(t testing.TB, limit time.Duration, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// balance fails unless the accounts come to agree to the document: what is counted as
// delivered is gone from the spool a moment later.
func balance(t testing.TB, s *Shipper) {
	t.Helper()
	eventually(t, "the accounts agree with the spool", func() bool {
		_, content := s.spool.account()
		return s.Stats().Pending == int64(content.docs)
	})
}

// audit fails unless es holds each of the documents once, and nothing that broke the rules.
func audit(t testing.TB, es *estest.Server, docs int) {
	t.Helper()
	if n := indexedOnce(t, es); n != docs {
		t.Errorf("%d documents indexed, want %d", n, docs)
	}
}

// indexedOnce returns how many documents es holds, gap documents left out. It fails unless each
// is there once, and nothing broke the rules.
func indexedOnce(t testing.TB, es *estest.Server) (n int) {
	t.Helper()
	for _, v := range es.Violations() {
		t.Error(v)
	}
	seen := make(map[string]string)
	for _, d := range es.Documents() {
		var source struct {
			Time      string `json:"@timestamp"`
			Name      string `json:"container_Name"`
			Dataset   string `json:"event.dataset"`
			Documents int    `json:"gap.documents"`
		}
		if err := json.Unmarshal(d.Source, &source); err != nil {
			t.Fatal(err)
		}
		if source.Dataset == "swarmgauge.gap" {
			continue
		}
		n++
		if want := "cadvisor-" + strings.ReplaceAll(source.Time[:10], "-", "."); d.Index != want {
			t.Errorf("%s is in %s", source.Time, d.Index)
		}
		key := source.Time + source.Name
		if other, there := seen[key]; there {
			t.Errorf("%s is there twice: %s and %s", key, other, d.ID)
		}
		seen[key] = d.ID
	}
	return n
}

// gapDocuments sums up what the gap documents in es tell of, by reason.
func gapDocuments(es *estest.Server) map[string]int {
	sum := make(map[string]int)
	for _, d := range es.Documents() {
		var source struct {
			Reason    string `json:"gap.reason"`
			Documents int    `json:"gap.documents"`
		}
		if json.Unmarshal(d.Source, &source) == nil && source.Reason != "" {
			sum[source.Reason] += source.Documents
		}
	}
	return sum
}

// TestMissed: sweeps that were not made are told in gap documents, which count as no
// document.
func TestMissed(t *testing.T) {
	es := estest.New()
	s, stop := start(t, testOptions(t, es))
	l := newLoad(3)
	l.tick(s)
	first, last := l.slot+int64(testInterval), l.slot+60*int64(testInterval)
	s.PutMissed(l.node, &metric.Missed{Reason: metric.MissedStopped, Sweeps: 600, FirstSlot: first, LastSlot: last})
	s.PutMissed(l.node, &metric.Missed{Reason: metric.MissedOverrun, Sweeps: 2, FirstSlot: last, LastSlot: last})
	eventually(t, "all is indexed", func() bool { v := s.Stats(); return v.GapsIndexed == 2 && v.Pending == 0 })
	stop()
	audit(t, es, 3)
	first, last = first/int64(testInterval), last/int64(testInterval)
	for _, want := range []string{
		fmt.Sprintf(`"gap.reason":"stopped","gap.sweeps":600,"gap.first_slot":%d,"gap.last_slot":%d}`, first, last),
		fmt.Sprintf(`"gap.reason":"overrun","gap.sweeps":2,"gap.first_slot":%d,"gap.last_slot":%d}`, last, last),
	} {
		n := 0
		for _, d := range es.Documents() {
			n += strings.Count(string(d.Source), want)
		}
		if n != 1 {
			t.Errorf("%d documents with %s", n, want)
		}
	}
	if v := s.Stats(); v.Sampled != 3 || v.Indexed != 3 || len(v.Dropped) != 4 {
		t.Errorf("%+v", v)
	}
}

func TestDelivery(t *testing.T) {
	es := estest.New()
	o := testOptions(t, es)
	s, stop := start(t, o)
	l := newLoad(20)
	for range 5 {
		l.tick(s)
	}
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 100 })
	balance(t, s)
	audit(t, es, 100)
	stop()
	if v := s.Stats(); v.Sampled != 100 || v.Pending != 0 || v.Degraded || v.DuplicatesExpected != 0 || v.Requests != 5 || v.SpoolBatches != 0 {
		t.Errorf("%+v", v)
	}
	if es.Template("cadvisor") == nil {
		t.Error("the template isn't installed")
	}
	files, _ := os.ReadDir(filepath.Join(o.SpoolDir, liveDir))
	if len(files) != 0 {
		t.Errorf("left in the spool: %v", files)
	}
}

// TestNode: the root's window becomes a document for the node and one for each row.
func TestNode(t *testing.T) {
	es := estest.New()
	s, _ := start(t, testOptions(t, es))
	w := metric.Window{Last: new(metric.Sample), Container: &metric.Container{Path: metric.Root}}
	w.Last.Time = time.Date(2026, 3, 1, 23, 59, 59, 999e6, time.UTC).UnixNano()
	w.Last.AddRow(metric.PerInterface, metric.Key{Name: "eth0"})
	w.Last.AddRow(metric.PerFilesystem, metric.Key{Name: "/dev/sda1", Mountpoint: "/", Type: "ext4"})
	s.Put(testNode(), &w)
	c := &metric.Container{Path: "/docker/x", ID: "x"}
	s.PutEvent(testNode(), &metric.Event{Time: time.Unix(0, w.Last.Time), Action: metric.Start, ID: "x", Container: c})
	s.Flush(w.Last.Time)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 4 })
	var datasets []string
	for _, d := range es.Documents() {
		var source struct {
			Dataset string `json:"event.dataset"`
		}
		json.Unmarshal(d.Source, &source)
		datasets = append(datasets, strings.TrimPrefix(source.Dataset, "swarmgauge."))
		if d.Index != "cadvisor-2026.03.01" {
			t.Errorf("index %s", d.Index)
		}
	}
	if got := strings.Join(datasets, " "); got != "node interface filesystem event" {
		t.Errorf("documents: %s", got)
	}
}

// TestC08NamesByAnyClock is the shipper's part of C8: wherever the clock jumps, the index is
// of a sane day, the timestamp what the clock said, and no _id comes twice, be it in another
// index or in a run that begins where the clock has been before.
func TestC08NamesByAnyClock(t *testing.T) {
	es := estest.New()
	o := testOptions(t, es)
	s, stop := start(t, o)
	earlier := int64(0) // documents of the runs before
	f := func(at time.Time, index string) {
		t.Helper()
		before := int64(len(es.Documents()))
		w := metric.Window{Last: new(metric.Sample), Container: &metric.Container{Path: "/docker/x", ID: "x"}, Samples: 1}
		w.Last.Time = at.UnixNano()
		s.Put(testNode(), &w)
		s.Flush(w.Last.Time)
		eventually(t, "the document is indexed", func() bool { return earlier+s.Stats().Indexed == before+1 })
		d := es.Documents()[before]
		if want := fmt.Sprintf(`"timestamp":%d,`, at.UnixMicro()); d.Index != index || !strings.Contains(string(d.Source), want) {
			t.Errorf("%v: index %s, document %s", at, d.Index, d.Source)
		}
	}
	day := func(year int) time.Time { return time.Date(year, 6, 30, 23, 59, 59, 0, time.UTC) }
	for range 3 {
		f(day(2026), "cadvisor-2026.06.30")
		f(day(2026).Add(time.Hour), "cadvisor-2026.07.01")
		f(day(2026), "cadvisor-2026.06.30")
		f(day(1970), "cadvisor-2025.01.01")
		f(day(1969), "cadvisor-2025.01.01")
		f(day(2024), "cadvisor-2025.01.01")
		f(day(2025), "cadvisor-2025.06.30")
		f(day(2025).Add(-time.Second), "cadvisor-2025.06.30") // a leap second
		f(day(2027), "cadvisor-2027.06.30")
		f(day(2200), "cadvisor-2099.12.31")
		if v := s.Stats(); v.DuplicatesUnexpected != 0 || v.Dead != 0 {
			t.Errorf("%+v", v)
		}
		stop()
		earlier = int64(len(es.Documents()))
		s, stop = start(t, o)
	}
	ids := map[string]bool{}
	for _, d := range es.Documents() {
		if ids[d.ID] {
			t.Errorf("the _id %s comes twice", d.ID)
		}
		ids[d.ID] = true
	}
}

// TestSplit: a batch ends at 5000 documents or 5 MiB.
func TestSplit(t *testing.T) {
	s, _ := start(t, testOptions(t, nil))
	l := newLoad(maxDocs + 1)
	l.tick(s)
	eventually(t, "all is stored", func() bool {
		_, content := s.spool.account()
		return content.docs == maxDocs+1
	})
	balance(t, s)
	a := attempt{}
	for _, e := range s.spool.entries {
		stored, err := s.spool.read(&e, nil)
		if err != nil {
			t.Fatal(err)
		}
		size, err := a.inflate.verify(stored, e.docs)
		if err != nil || e.docs > maxDocs || size > maxRaw+8<<10 {
			t.Errorf("a batch of %d documents, %d bytes: %v", e.docs, size, err)
		}
	}
}

// TestLater: without an Elasticsearch the documents stay; a later run with one ships them.
func TestLater(t *testing.T) {
	o := testOptions(t, nil)
	s, stop := start(t, o)
	l := newLoad(3)
	for range 4 {
		l.tick(s)
	}
	l.windows[0].Last.Time = l.slot + 1e9
	s.Put(l.node, &l.windows[0]) // not flushed: Close does
	stop()
	if v := s.Stats(); v.Batches != 5 || v.Pending != 13 {
		t.Fatalf("%+v", v)
	}
	es := estest.New()
	o.Addresses, o.Transport = []string{"es:9200"}, es
	s, _ = start(t, o)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 13 })
	balance(t, s)
	audit(t, es, 13)
	if v := s.Stats(); v.Found != 13 || v.Pending != 0 {
		t.Errorf("%+v", v)
	}
}

// TestCloseWithoutRun: nothing put is lost when the agent ends before it began.
func TestCloseWithoutRun(t *testing.T) {
	o := testOptions(t, nil)
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	newLoad(2).tick(s)
	s.Close()
	if files, _ := os.ReadDir(filepath.Join(o.SpoolDir, liveDir)); len(files) != 1 {
		t.Errorf("%v in the spool", files)
	}
}

func TestAddresses(t *testing.T) {
	f := func(address, complaint string) {
		t.Helper()
		o := testOptions(t, nil)
		o.Addresses = []string{address}
		s, err := New(t.Context(), o)
		if err == nil {
			s.Close()
		}
		if complaint == "" && err != nil || complaint != "" && (err == nil || !strings.Contains(err.Error(), complaint)) {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("the password is in %q", err)
		}
	}
	f("localhost:9200", "")
	f("https://user:geheim@es:9200/prefix/", "")
	f("ftp://es", `"ftp://es" isn't an http`)
	f("http://", "isn't an http")
	f("http://user:geheim@es :9200", "isn't an http")
	f("gopher://user:geheim@es", "isn't an http")
}

// TestPath: an address may have a path, as behind a proxy, and credentials.
func TestPath(t *testing.T) {
	es := estest.New()
	es.Require("Basic dTpw") // u:p
	srv := httptest.NewServer(http.StripPrefix("/es", es))
	defer srv.Close()
	o := testOptions(t, nil)
	o.Addresses = []string{strings.Replace(srv.URL, "http://", "http://u:p@", 1) + "/es/"}
	s, _ := start(t, o)
	newLoad(3).tick(s)
	eventually(t, "everything is indexed", func() bool { return s.Stats().Indexed == 3 })
	audit(t, es, 3)
}

// TestPutAllocs: in steady state the loop's part allocates nothing.
func TestPutAllocs(t *testing.T) {
	s, err := New(t.Context(), testOptions(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := newLoad(50)
	round := func() {
		l.tick(s)
		s.handover.recycle(s.handover.take())
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations for 50 documents", n)
	}
}

func BenchmarkPut(b *testing.B) {
	s, err := New(b.Context(), testOptions(b, nil))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l := newLoad(100)
	b.ReportAllocs()
	for b.Loop() {
		l.tick(s)
		s.handover.recycle(s.handover.take())
	}
}

// BenchmarkPublish stores batches of a hundred documents, fsyncs included.
func BenchmarkPublish(b *testing.B) {
	s, err := New(b.Context(), testOptions(b, nil))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l := newLoad(100)
	b.ReportAllocs()
	for b.Loop() {
		l.tick(s)
		s.store()
	}
}

// BenchmarkDelivery sends one stored batch after the other, each of a hundred documents, to a
// server that does nothing with them, and acknowledges them.
func BenchmarkDelivery(b *testing.B) {
	answer := []byte(`{"errors":false,"items":[` + strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, 100), ",") + `]}`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Write(answer)
	}))
	defer srv.Close()
	o := testOptions(b, nil)
	o.Addresses, o.NoTemplate = []string{srv.URL}, true
	s, err := New(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l := newLoad(100)
	a := s.lanes.idle[0]
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		l.tick(s)
		s.store()
		e, ok := s.spool.take(newestFirst, func(*batchName) bool { return true })
		b.StartTimer()
		if v := a.run(b.Context(), &e, new(memo), false); !ok || v.fate != delivered {
			b.Fatal(v)
		}
	}
}

// TestBehind: a disk that hangs never stops the loop; what doesn't fit is counted and is in
// a gap once the disk goes on.
func TestBehind(t *testing.T) {
	s, err := New(t.Context(), testOptions(t, nil)) // nobody takes the batches
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.handover.limit = 1 << 20
	l := newLoad(1000)
	for range 30 {
		l.tick(s)
	}
	if s.handover.bytes > s.handover.limit {
		t.Errorf("%d bytes wait", s.handover.bytes)
	}
	s.store()
	s.spool.tick()
	v := s.Stats()
	_, content := s.spool.account()
	if v.Sampled != 30000 || v.Dropped["behind"] == 0 || int(v.Pending) != content.docs || content.gaps != 1 {
		t.Errorf("%d gaps: %+v", content.gaps, v)
	}
}

// TestLines: -storage_driver=stdout writes one document per line.
func TestLines(t *testing.T) {
	var out strings.Builder
	lines := NewLines(&out, EncoderOptions{Interval: testInterval}, nil, zap.NewNop())
	newLoad(3).tick(lines)
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(got) != 3 {
		t.Fatalf("%q", got)
	}
	for _, line := range got {
		if !json.Valid([]byte(line)) {
			t.Errorf("%s", line)
		}
	}
}
