package shipper

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// TestPhases: fifty nodes that end their intervals at the same instant don't send in the same
// one, and each keeps its phase.
func TestPhases(t *testing.T) {
	const nodes, intervals = 50, 6
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		sent := make([][]time.Duration, nodes) // each node's, since the end of the interval
		var mu sync.Mutex
		var all []*Shipper
		for n := range nodes {
			es := estest.New()
			es.OnBulk(func(int, int) estest.Fault {
				mu.Lock()
				defer mu.Unlock()
				sent[n] = append(sent[n], time.Since(begin)%testInterval)
				return estest.Fault{}
			})
			o := testOptions(t, es)
			o.SpoolDir = filepath.Join(dir, fmt.Sprint(n))
			s, err := New(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			go s.Run(context.Background())
			all = append(all, s)
		}
		load := newLoad(1)
		for range intervals {
			for _, s := range all {
				load.tick(s)
			}
			time.Sleep(testInterval)
		}
		for _, s := range all {
			s.Close()
		}
		seconds := make(map[int]int)
		for n, at := range sent {
			if len(at) != intervals {
				t.Fatalf("node %d sent %d times: %v", n, len(at), at)
			}
			for _, d := range at {
				if off := d - at[0]; off < -50*time.Millisecond || off > 50*time.Millisecond {
					t.Errorf("node %d has the phases %v", n, at)
					break
				}
			}
			seconds[int(at[0]/time.Second)]++
		}
		for second := range 5 {
			// 10 are to be expected; fewer than 1 or more than 26 never happen.
			if n := seconds[second]; n < 1 || n > 26 {
				t.Errorf("%d of %d nodes send in second %d of their interval: %v", n, nodes, second, seconds)
			}
		}
	})
}

// TestBlockedDay: an index of the past that takes nothing holds its documents, and none of
// another day, at the price of few requests; what mends it lets all of them through.
func TestBlockedDay(t *testing.T) {
	es := estest.New()
	o := testOptions(t, es)
	plain := o
	plain.Addresses = nil
	s, stop := start(t, plain)
	load := newLoad(2)
	load.slot -= 12 * 3600e9 // the day begins
	for range 300 {
		load.tick(s)
	}
	load.slot += 24 * 3600e9
	for range 300 {
		load.tick(s)
	}
	eventually(t, "all is stored", func() bool { return s.Stats().Batches == 600 })
	stop()

	var asked atomic.Int64
	es.OnItem(func(index, _ string, _ []byte) estest.Refusal {
		if index != "cadvisor-2026.03.01" {
			return estest.Refusal{}
		}
		asked.Add(1)
		return estest.Refusal{Status: 403, Type: "cluster_block_exception", Reason: "index [" + index + "] blocked by: [FORBIDDEN/8/index write (api)];"}
	})
	begin := time.Now()
	s, _ = start(t, o)
	eventually(t, "the other day is there", func() bool { return s.Stats().Indexed == 600 })
	v := s.Stats()
	if !v.Held || !v.Degraded || !strings.HasPrefix(v.Trouble, "the documents of 2026-03-01 wait: Elasticsearch is blocked for writing") || v.Dead != 0 || v.Pending != 600 {
		t.Errorf("%+v", v)
	}
	// The waits of tests are 10 ms, when all is done at once.
	if took := time.Since(begin); asked.Load()/2 > 50+int64(took/(5*time.Millisecond)) {
		t.Errorf("%d batches were tried in %v while the index took none", asked.Load()/2, took)
	}
	load.tick(s)
	eventually(t, "a new one is there", func() bool { return s.Stats().Indexed == 602 })
	if v := s.Stats(); !v.Held {
		t.Errorf("%+v", v)
	}
	es.OnItem(nil)
	eventually(t, "everything is there", func() bool { return s.Stats().Pending == 0 })
	eventually(t, "the trouble is over", func() bool { v := s.Stats(); return !v.Held && v.Trouble == "" })
	audit(t, es, 1202)
}

// TestBlockedDayDropped: a day whose last batch the budget dropped is no trouble any more.
func TestBlockedDayDropped(t *testing.T) {
	es := estest.New()
	es.OnItem(func(index, _ string, _ []byte) estest.Refusal {
		if index == "cadvisor-2026.03.01" {
			return estest.Refusal{Status: 400, Type: "index_closed_exception", Reason: "closed"}
		}
		return estest.Refusal{}
	})
	s, _ := start(t, testOptions(t, es))
	load := newLoad(1)
	load.tick(s)
	eventually(t, "it is held", func() bool { return s.Stats().Held })
	for !s.spool.dropOldest(1) { // it is under way at this moment
	}
	load.slot += 24 * 3600e9
	load.tick(s)
	eventually(t, "the trouble is over", func() bool { v := s.Stats(); return v.Pending == 0 && !v.Held && v.Trouble == "" })
}

// TestPoisonBatch: one batch at which a proxy breaks the connection each time, whatever else
// it lets through, isn't lost, and doesn't stop the others.
func TestPoisonBatch(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		es := estest.New()
		w := newWatch(es)
		o := testOptions(t, nil)
		o.SpoolDir, o.Addresses = dir, []string{"es"}
		var over atomic.Bool
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/_bulk" {
				return w.RoundTrip(r)
			}
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			res, err := w.RoundTrip(r)
			w.mu.Lock()
			defer w.mu.Unlock()
			if !over.Load() && string(body) == w.sequence[0] { // the first batch is the bad one
				return nil, syscall.ECONNRESET
			}
			return res, err
		})
		o.Encoder.Interval = time.Second
		s, err := New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		s.lanes.phase = 0
		go s.Run(context.Background())
		load := newLoad(5)
		load.tick(s)
		time.Sleep(time.Second)
		begin := time.Now()
		var late time.Duration
		for range 600 {
			load.tick(s)
			put := time.Now()
			want := s.Stats().Sampled - 5
			for s.Stats().Indexed < want && time.Since(put) < time.Minute {
				time.Sleep(10 * time.Millisecond)
			}
			late = max(late, time.Since(put))
			time.Sleep(time.Until(put.Add(time.Second)))
		}
		v := s.Stats()
		if v.Pending != 5 || v.Dead != 0 || late > 5*time.Second {
			t.Errorf("others came after up to %v: %+v", late, v)
		}
		tried := 0
		w.mu.Lock()
		for _, body := range w.sequence {
			if body == w.sequence[0] {
				tried++
			}
		}
		w.mu.Unlock()
		if most := int(time.Since(begin)/time.Minute)*4 + 20; tried > most || tried < 5 {
			t.Errorf("it was tried %d times in %v", tried, time.Since(begin))
		}
		over.Store(true)
		time.Sleep(2 * time.Minute)
		v = s.Stats()
		s.Close()
		exact(t, es, v)
	})
}

// roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// weather is a server that is well, or ill in one of many ways, at random times.
type weather struct {
	next http.RoundTripper

	mu        sync.Mutex // guards what follows
	state     string
	since     time.Time // it is so
	delivered time.Time // the last success
	under     int
	most      int
}

func (w *weather) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	state := w.state
	w.under++
	w.most = max(w.most, w.under)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.under--
		w.mu.Unlock()
	}()
	switch state {
	case "refused":
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	case "unreachable":
		select {
		case <-time.After(5 * time.Second):
			return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	case "silent":
		select {
		case <-time.After(33 * time.Second):
			return nil, context.DeadlineExceeded
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	case "slow":
		time.Sleep(time.Duration(rand.N(8000)) * time.Millisecond)
	}
	res, err := w.next.RoundTrip(r)
	if err == nil && res.StatusCode == 200 && r.URL.Path == "/_bulk" {
		w.mu.Lock()
		w.delivered = time.Now()
		w.mu.Unlock()
	}
	return res, err
}

// TestLanesNeverRest: whatever the server goes through, once it is well again the lanes find
// out in bounded time, and never rest while there is something to send; no batch is in two
// requests at once, and in the end each document is there once.
func TestLanesNeverRest(t *testing.T) {
	const seeds = 5
	dir := t.TempDir()
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			es := estest.New()
			es.KeepIDs()
			sky := &weather{next: es, state: "well", since: time.Now()}
			es.OnBulk(func(int, int) estest.Fault {
				sky.mu.Lock()
				state := sky.state
				sky.mu.Unlock()
				switch state {
				case "busy":
					return estest.Fault{Status: 429}
				case "forbidden":
					return estest.Fault{Status: 403}
				case "lossy":
					if rand.IntN(2) == 0 {
						return estest.Fault{Apply: estest.All, Reset: true}
					}
				}
				return estest.Fault{}
			})
			es.OnItem(func(index, _ string, _ []byte) estest.Refusal {
				sky.mu.Lock()
				state := sky.state
				sky.mu.Unlock()
				switch {
				case state == "read-only":
					return estest.Refusal{Status: 403, Type: "cluster_block_exception"}
				case state == "one day read-only" && strings.HasSuffix(index, "02"):
					return estest.Refusal{Status: 403, Type: "cluster_block_exception"}
				case state == "mapped wrongly":
					return estest.Refusal{Status: 400, Type: "document_parsing_exception"}
				case state == "rejecting" && rand.IntN(10) == 0:
					return estest.Refusal{Status: 429, Type: "es_rejected_execution_exception"}
				}
				return estest.Refusal{}
			})
			w := newWatch(sky)
			o := testOptions(t, nil)
			o.SpoolDir, o.Addresses, o.Transport = filepath.Join(dir, fmt.Sprint(seed)), []string{"es"}, w
			s, err := New(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			go s.Run(context.Background())
			states := []string{"refused", "unreachable", "silent", "slow", "busy", "forbidden", "lossy", "read-only", "one day read-only", "mapped wrongly", "rejecting"}
			set := func(state string) {
				sky.mu.Lock()
				defer sky.mu.Unlock()
				sky.state, sky.since = state, time.Now()
			}
			var before string
			load := newLoad(3)
			load.slot += 11 * 3600e9 // the day will end
			for range 40 {
				before = states[r.IntN(len(states))]
				set(before)
				for range r.IntN(20) {
					load.tick(s)
					time.Sleep(time.Duration(r.Int64N(int64(2 * testInterval))))
				}
				set("well")
				well := time.Now()
				// The longest time that may pass until a batch is delivered: what a
				// request into nowhere takes, or the longest wait.
				bound := 36 * time.Second
				if before == "refused" {
					bound = 5 * time.Second
				}
				for end := r.IntN(200); time.Since(well) < time.Duration(end)*time.Second; time.Sleep(time.Second) {
					v := s.Stats()
					sky.mu.Lock()
					last := sky.delivered
					sky.mu.Unlock()
					if v.SpoolBatches > 0 && time.Since(well) > bound && time.Since(last) > bound+30*time.Second ||
						v.SpoolBatches > 0 && time.Since(well) > bound && last.Before(well) {
						t.Fatalf("seed %d: after %q it is well since %v, and nothing was delivered for %v: %+v", seed, before, time.Since(well), time.Since(last), v)
					}
				}
			}
			time.Sleep(5 * time.Minute)
			v := s.Stats()
			s.Close()
			exact(t, es, v)
			if w.twice || sky.most > maxLanes+1 {
				t.Errorf("seed %d: %d requests at once, a batch twice: %v", seed, sky.most, w.twice)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// crowded is a server that takes its time, and notes how many requests it has at once.
type crowded struct {
	next http.RoundTripper

	mu    sync.Mutex // guards what follows
	takes time.Duration
	busy  bool // answers 429
	under int
	seen  []int // how many it had when one came
}

func (c *crowded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/_bulk" {
		return c.next.RoundTrip(r)
	}
	c.mu.Lock()
	c.under++
	c.seen = append(c.seen, c.under)
	takes, busy := c.takes, c.busy
	c.mu.Unlock()
	time.Sleep(takes)
	c.mu.Lock()
	c.under--
	c.mu.Unlock()
	if busy {
		io.Copy(io.Discard, r.Body)
		return &http.Response{
			StatusCode: 429, Request: r, Body: io.NopCloser(strings.NewReader("{}")),
			Header: http.Header{"X-Elastic-Product": {"Elasticsearch"}},
		}, nil
	}
	return c.next.RoundTrip(r)
}

// during has the server be so for a while, and returns what it saw in that time.
func (c *crowded) during(takes time.Duration, busy bool, long time.Duration) []int {
	c.mu.Lock()
	c.takes, c.busy, c.seen = takes, busy, nil
	c.mu.Unlock()
	time.Sleep(long)
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

// TestLanesAdapt: the lanes that take the backlog become more, one by one, while answers are
// prompt, up to four; fewer when they take much longer than they used to, or when the server
// has too much to do; and more again afterwards. One more lane has the newest batches.
func TestLanesAdapt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		es := estest.New()
		c := &crowded{next: es}
		o := testOptions(t, nil)
		o.SpoolDir = dir
		s, err := New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		load := newLoad(1)
		for range 600 {
			load.tick(s)
			s.store()
		}
		s.Close()
		o.Addresses, o.Transport = []string{"es"}, c
		if s, err = New(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		s.lanes.phase = 0
		c.takes = 500 * time.Millisecond
		go s.Run(context.Background())

		const all = maxLanes + 1
		grows := func(when string, seen []int) {
			t.Helper()
			most := 2 // one oldest first, one newest first
			for i, n := range seen {
				if n > most+1 {
					t.Errorf("%s: from %d requests at once to %d: %v", when, most, n, seen[:i+1])
				}
				most = max(most, n)
			}
			if most != all {
				t.Errorf("%s: %d requests at once at most, want %d: %v", when, most, all, seen)
			}
		}
		grows("prompt", c.during(500*time.Millisecond, false, 4*time.Second))
		c.during(8*time.Second, false, 9*time.Second) // what was under way
		if seen := c.during(8*time.Second, false, 15*time.Second); len(seen) == 0 || slices.Max(seen) > 2 {
			t.Errorf("sixteen times slower than before: %v requests at once, want 2 at most", seen)
		}
		grows("prompt again", c.during(500*time.Millisecond, false, 13*time.Second))
		c.during(500*time.Millisecond, true, time.Second)
		if seen := c.during(500*time.Millisecond, true, time.Minute); len(seen) == 0 || slices.Max(seen) > 1 {
			t.Errorf("too much to do: %v requests at once, want 1", seen)
		}
		grows("well again", c.during(500*time.Millisecond, false, 90*time.Second))
		v := s.Stats()
		s.Close()
		v.Sampled += v.Found // of the run before
		exact(t, es, v)
	})
}
