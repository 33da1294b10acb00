package test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

// crowd is some cgroups, an Elasticsearch of estest that is reached over TCP, and a spool:
// what the real agent meets while things go wrong.
type crowd struct {
	es     *estest.Server
	server *httptest.Server
	// size is the number of cgroups, below prefix.
	size   int
	prefix string
	// interval is the sampling and the shipping interval: each slot is a sweep.
	interval time.Duration
	// spool is the directory; it isn't there before the first agent.
	spool string

	published map[string]bool // _ids that were seen in the spool
	seen      map[string]bool // files of the spool that were read for that
}

// newCrowd makes size cgroups without processes, which are removed with the test.
func newCrowd(t testing.TB, size int, interval time.Duration) *crowd {
	t.Helper()
	c := &crowd{
		es: estest.New(), size: size, interval: interval, spool: filepath.Join(t.TempDir(), "spool"),
		published: map[string]bool{}, seen: map[string]bool{},
	}
	parent := fmt.Sprintf("swarmgauge-faults-%d-%d", os.Getpid(), time.Now().UnixNano())
	c.prefix = "/" + parent + "/"
	t.Cleanup(func() { removeCgroups(t, parent) })
	for i := range size {
		path := fmt.Sprintf("%s/%03d", parent, i)
		makeCgroups(t, path)
		t.Cleanup(func() { removeCgroups(t, path) })
	}
	c.server = httptest.NewServer(c.es)
	t.Cleanup(c.server.Close)
	return c
}

// options are those of an agent that measures the crowd and nothing of the node but its
// presence.
func (c *crowd) options(more ...string) []string {
	return append([]string{
		"-docker_only", "-raw_cgroup_prefix_whitelist=" + c.prefix, "-docker=", "-docker_root=" + filepath.Join(c.spool, "none"),
		"-podman=", "-containerd=", "-disable_root_cgroup_stats", "-node-name=faults",
		"-housekeeping_interval=" + c.interval.String(), "-ship-interval=" + c.interval.String(),
		"-spool-dir=" + c.spool, "-storage_driver=elasticsearch", "-storage_driver_es_host=" + c.server.URL,
	}, more...)
}

// launch starts an agent without waiting for it: see launchAgent.
func (c *crowd) launch(t testing.TB, under []string, more ...string) *agent {
	t.Helper()
	return launchAgent(t, under, c.options(more...)...)
}

// start starts an agent and waits until it answers.
func (c *crowd) start(t testing.TB, under []string, more ...string) *agent {
	t.Helper()
	a := c.launch(t, under, more...)
	a.awaitAnswer(t)
	return a
}

// flap has half of the requests fail: refused, carried out or half carried out before the
// answer is lost.
func (c *crowd) flap() {
	c.es.OnBulk(func(_, docs int) estest.Fault {
		switch rand.IntN(6) {
		case 0:
			return estest.Fault{Status: http.StatusServiceUnavailable}
		case 1:
			return estest.Fault{Apply: estest.All, Reset: true}
		case 2:
			return estest.Fault{Apply: docs / 2, Reset: true}
		}
		return estest.Fault{}
	})
}

// away has all requests refused until back is called.
func (c *crowd) away() {
	c.es.OnBulk(func(int, int) estest.Fault { return estest.Fault{Status: http.StatusServiceUnavailable} })
}

func (c *crowd) back() { c.es.OnBulk(nil) }

// notePublished remembers what the spool holds: that is published, and has to arrive. What
// a running agent acknowledges meanwhile has arrived.
func (c *crowd) notePublished(t testing.TB) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.spool, "q", "*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if c.seen[file] {
			continue
		}
		c.seen[file] = true
		for _, id := range idsOf(t, file) {
			c.published[id] = true
		}
	}
}

// idsOf returns the _ids of the documents in a batch file, none if it has gone.
func idsOf(t testing.TB, file string) (ids []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var action struct {
			Create struct {
				ID string `json:"_id"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &action); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		ids = append(ids, action.Create.ID)
		lines.Scan() // the document
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return ids
}

// drain has an agent without any fault deliver what others left, and ends it.
func (c *crowd) drain(t testing.TB) {
	t.Helper()
	c.back()
	a := c.start(t, nil)
	c.awaitDrained(t, a)
	a.stopInTime(t)
}

// awaitDrained waits until nothing is left in the spool that is older than the agent's own
// newest batches.
func (c *crowd) awaitDrained(t testing.TB, a *agent) {
	t.Helper()
	from := time.Now()
	waitFor(t, 60*time.Second, "the spool to be drained", func() error {
		d := a.delivery(t)
		if d.Indexed == 0 || !d.Oldest.IsZero() && d.Oldest.Before(from) {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
}

// documents returns what Elasticsearch has of the crowd, in the order in which it came.
// What broke the contract of _bulk fails the test.
func (c *crowd) documents(t testing.TB) (docs []document) {
	t.Helper()
	for _, v := range c.es.Violations() {
		t.Error(v)
	}
	for _, stored := range c.es.Documents() {
		var d document
		if err := json.Unmarshal(stored.Source, &d); err != nil {
			t.Fatal(err)
		}
		d[indexField], d[idField] = stored.Index, stored.ID
		if d.dataset() == "gap" || strings.HasPrefix(d.text("container_Name"), c.prefix) {
			docs = append(docs, d)
		}
	}
	return docs
}

// whenAndWhose returns what lives looks at of a document, a fiftieth of it: a loop of an hour
// has millions of them.
func whenAndWhose(t testing.TB, source []byte) []byte {
	var d struct {
		At       float64 `json:"timestamp"`
		Dataset  string  `json:"event.dataset"`
		Name     string  `json:"container_Name,omitempty"`
		Run      string  `json:"agent.ephemeral_id"`
		Slot     int64   `json:"sample.slot,omitempty"`
		Interval float64 `json:"sample.interval_seconds,omitempty"`
		First    int64   `json:"gap.first_slot,omitempty"`
		Last     int64   `json:"gap.last_slot,omitempty"`
	}
	if err := json.Unmarshal(source, &d); err != nil {
		t.Errorf("%v: %s", err, source)
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Error(err)
	}
	return b
}

// life is what one run of the agent has left in Elasticsearch.
type life struct {
	run         string // agent.ephemeral_id
	first, last int64  // slots
	firstSample time.Time
	documents   int
}

// lives checks the invariant on what Elasticsearch has, and returns the runs of the agent in
// their order:
//
//   - each _id that was seen in the spool is there;
//   - no cgroup has two documents of one slot, and none of one instant;
//   - a batch is there as a whole: each slot of a run has every cgroup;
//   - the slots of a run are without a hole but for those of which a gap document tells.
//
// So all that was sampled and isn't there is what a run sampled after its last slot: the
// batch that wasn't published when it was killed.
func (c *crowd) lives(t testing.TB, docs []document) (all []life) {
	t.Helper()
	ids, instants := map[string]bool{}, map[string]bool{}
	for _, d := range c.es.Documents() {
		ids[d.ID] = true
	}
	slots := map[string]map[int64][]string{} // cgroups by run and slot
	begin := map[string]time.Time{}
	missed := map[string][][2]int64{} // ranges by run
	for _, d := range docs {
		run := d.text("agent.ephemeral_id")
		if d.dataset() == "gap" {
			first, _ := d.number("gap.first_slot")
			last, _ := d.number("gap.last_slot")
			missed[run] = append(missed[run], [2]int64{int64(first), int64(last)})
			continue
		}
		if instant := d.text("container_Name") + " " + d.time().String(); instants[instant] {
			t.Errorf("twice: %s", d)
		} else {
			instants[instant] = true
		}
		if slots[run] == nil {
			slots[run] = map[int64][]string{}
		}
		slots[run][d.slot()] = append(slots[run][d.slot()], d.text("container_Name"))
		covers, _ := d.number("sample.interval_seconds")
		if at := d.time().Add(-time.Duration(covers * float64(time.Second))); begin[run].IsZero() || at.Before(begin[run]) {
			begin[run] = at
		}
	}
	lost := map[string]int{} // by batch
	for id := range c.published {
		if !ids[id] {
			epoch, seq := batchOf(t, id)
			lost[fmt.Sprintf("%016x-%d", epoch, seq)]++
		}
	}
	if len(lost) > 0 {
		t.Errorf("of %d documents that were published these are not there, by batch: %v", len(c.published), lost)
	}
	for run, of := range slots {
		l := life{run: run, firstSample: begin[run]}
		for slot, names := range of {
			l.documents += len(names)
			if l.first == 0 || slot < l.first {
				l.first = slot
			}
			l.last = max(l.last, slot)
			slices.Sort(names)
			if n := len(slices.Compact(slices.Clone(names))); n != len(names) || n != c.size {
				t.Errorf("slot %d of run %s has %d documents of %d cgroups, want each of the %d once", slot, run, len(names), n, c.size)
			}
		}
		for slot := l.first; slot <= l.last; slot++ {
			told := slices.ContainsFunc(missed[run], func(m [2]int64) bool { return m[0] <= slot && slot <= m[1] })
			if len(of[slot]) == 0 && !told {
				t.Errorf("run %s has nothing of slot %d between %d and %d, and no gap tells of it", run, slot, l.first, l.last)
			}
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b life) int { return a.firstSample.Compare(b.firstSample) })
	return all
}

// end returns the end of a slot.
func (c *crowd) end(slot int64) time.Time { return time.Unix(0, slot*int64(c.interval)) }

// batchOf returns the epoch and the sequence number of the batch that a document came in.
func batchOf(t testing.TB, id string) (epoch, seq uint64) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(b) != 21 {
		t.Fatalf("%q is no _id of ours: %v", id, err)
	}
	return binary.BigEndian.Uint64(b[6:14]), binary.BigEndian.Uint64(b[11:19]) & (1<<40 - 1)
}

// median returns the middle one, and the largest.
func median(of []time.Duration) (middle, most time.Duration) {
	if len(of) == 0 {
		return 0, 0
	}
	slices.Sort(of)
	return of[len(of)/2].Round(time.Millisecond), of[len(of)-1].Round(time.Millisecond)
}
