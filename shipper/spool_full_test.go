package shipper

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/faults"
)

// TestS10FullSpoolStart starts beside a full spool, ships a first batch, and drains the spool.
func TestS10FullSpoolStart(t *testing.T) {
	row := faults.Start(t, "S10")
	files, bytes := 18_000, 1
	if row.Full() {
		bytes = 60_000 // each: 1 GiB
	}
	sink := new(countingSink)
	o := testOptions(t, nil)
	o.SpoolBytes = 4 << 30
	o.Addresses, o.Transport, o.NoTemplate = []string{"http://es:9200"}, sink, true
	docs, size := fullSpool(t, filepath.Join(o.SpoolDir, liveDir), files, bytes)

	debug.FreeOSMemory()
	before := resident(t)
	begin := time.Now()
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ready := time.Since(begin)
	debug.FreeOSMemory()
	memory := resident(t) - before
	if v := s.Stats(); v.SpoolBatches != files || v.Found != int64(docs) || v.DiskFault != "" {
		t.Fatalf("%+v", v)
	}
	l := newLoad(1)
	l.tick(s)
	s.lanes.phase = 0
	go s.Run(t.Context())
	eventually(t, "the first batch is accepted", func() bool { return s.Stats().Batches == 1 })
	first := time.Since(begin)
	// The spool is drained while a sweep comes in now and then. What a batch costs must
	// not depend on how many others there are: the first half may take as long as the
	// second.
	drain := time.Now()
	var half time.Duration
	for s.Stats().Pending > 0 {
		time.Sleep(time.Millisecond)
		if half == 0 && s.Stats().SpoolBatches < files/2 {
			half = time.Since(drain)
		}
		if time.Since(drain) > 5*time.Minute {
			t.Fatalf("still there: %+v", s.Stats())
		}
	}
	whole := time.Since(drain)
	v := s.Stats()
	s.Close()
	if want := int64(docs) + v.Sampled; v.Indexed != want || int64(sink.docs) != want {
		t.Errorf("%d documents indexed, %d arrived of %d", v.Indexed, sink.docs, want)
	}
	if left := names(t, filepath.Join(o.SpoolDir, liveDir)); len(left) != 0 {
		t.Errorf("%d files are left", len(left))
	}
	if ready > 5*time.Second || first > 10*time.Second || memory > 5*5<<20 {
		t.Errorf("ready after %v, a first batch after %v, %d bytes more memory", ready, first, memory)
	}
	if half > 4*(whole-half) {
		t.Errorf("the first half took %v of %v", half, whole)
	}
	// The calls of the accounts and of the lanes at a spool of a full gigabyte of the
	// smallest files.
	account, turn := indexCost(250_000)
	if account > 100*time.Microsecond || turn > 500*time.Microsecond {
		t.Errorf("of 250,000 batches the accounts take %v, taking and acknowledging one %v", account, turn)
	}
	row.Goal("ready after 1 s", ready <= time.Second)
	row.Goal("5 MiB more memory at most", memory <= 5<<20)
	row.Result("%d files, %d MiB: ready after %v, first batch stored after %v, %.1f MiB more memory; drained at %.0f batches a second (first half %v, second %v) into a server that does nothing. Of 250,000 batches in the index, the accounts take %v, to take and acknowledge one %v",
		files, size>>20, ready.Round(time.Millisecond), first.Round(time.Millisecond), float64(memory)/(1<<20),
		float64(files)/whole.Seconds(), half.Round(time.Millisecond), (whole - half).Round(time.Millisecond), account, turn)
}

// fullSpool writes that many batches of two documents, each of that many bytes at least, and
// returns how many documents and bytes on disk that makes.
func fullSpool(t *testing.T, dir string, files, bytes int) (docs int, size int64) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 10))
	noise := make([]byte, 0, 2*bytes)
	b, z := &Batch{prefix: "cadvisor"}, new(deflater)
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	for i := range files {
		b.reset(99, uint64(i+1), z)
		b.slot = start + int64(i)*int64(time.Second)
		for n := range 2 {
			noise = noise[:0]
			for len(noise) < bytes/2 {
				noise = strconv.AppendUint(noise, random.Uint64(), 36)
			}
			b.Source(fmt.Appendf(b.Action(b.slot/1e6), `{"n":%d,"noise":"%s"}`, n, noise))
		}
		b.close()
		if err := os.WriteFile(filepath.Join(dir, b.name().String()), b.member, 0o600); err != nil {
			t.Fatal(err)
		}
		docs += 2
		size += int64(len(b.member)+4095) &^ 4095
	}
	return docs, size
}

// resident returns the memory of this process, in bytes.
func resident(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// indexCost returns what the accounts, and a lane's turn, cost with that many batches in
// the index, four of which are on their way.
func indexCost(batches int) (account, turn time.Duration) {
	s := &spool{memory: map[uint64][]byte{}, gapBodies: map[uint64][]byte{}}
	for i := range batches {
		s.insertLocked(i, entry{batchName: batchName{seq: uint64(i + 1), slot: int64(i), docs: 1}, allocated: 8})
	}
	runtime.GC()
	const rounds = 1000
	begin := time.Now()
	for range rounds {
		s.account()
	}
	account = time.Since(begin) / rounds
	all := func(*batchName) bool { return true }
	var busy []entry
	begin = time.Now()
	for i := range rounds {
		e, _ := s.take(order(i%4 == 0), all)
		if busy = append(busy, e); len(busy) > maxLanes {
			at := i % len(busy)
			s.acknowledge(&busy[at])
			busy = append(busy[:at], busy[at+1:]...)
		}
	}
	return account, time.Since(begin) / rounds
}

// countingSink is an Elasticsearch that takes everything and keeps nothing but its count.
type countingSink struct {
	mu      sync.Mutex
	inflate inflater
	docs    int
}

// RoundTrip answers _bulk, and tells nothing of indices and templates.
func (s *countingSink) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/_bulk" {
		return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody}, nil
	}
	member, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := s.inflate.inflate(nil, member)
	if err != nil {
		return nil, err
	}
	docs := bytes.Count(body, []byte("\n")) / 2
	s.docs += docs
	return &http.Response{
		StatusCode: 200, Header: http.Header{"X-Elastic-Product": {"Elasticsearch"}},
		Body: io.NopCloser(strings.NewReader(`{"errors":false,"items":[` + strings.Repeat(`,{"create":{"status":201}}`, docs)[1:] + "]}")),
	}, nil
}
