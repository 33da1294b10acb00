package shipper

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/swarmgauge/swarmgauge/metric"
)

// TestSpoolModel lives random lives of a spool, of the attempts that empty it, and of the
// Elasticsearch that answers these, and checks after each step that every document is where
// the reference below says that it may be. rapid cuts a life that fails down to its shortest
// form.
func TestSpoolModel(t *testing.T) {
	t.Parallel()
	// 100,000 lives together, unless the command says how many.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue && !testing.Short() {
		f.Value.Set("50000")
	}
	for part := range 2 { // for two processors
		lock := filepath.Join(t.TempDir(), "lock")
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			t.Parallel()
			w := newModelWorkshop(t, lock)
			rapid.Check(t, w.live)
		})
	}
}

// modelWorkshop is what lives have in common, because making it takes longer than a life.
type modelWorkshop struct {
	lock    string
	options Options
	node    atomic.Pointer[metric.Node]
	filler  filler
	gaps    deflater
	random  *rand.PCG
	attempt *attempt
	es      *modelServer
}

func newModelWorkshop(t *testing.T, lock string) *modelWorkshop {
	w := &modelWorkshop{lock: lock, random: new(rand.PCG), es: &modelServer{}}
	w.node.Store(testNode())
	var err error
	if w.filler.plain, err = gzip.NewWriterLevel(nil, gzip.NoCompression); err != nil {
		t.Fatal(err)
	}
	w.options = Options{
		SpoolDir: memorySpool, SpoolBytes: 6 * 4096, DeadBytes: 3 * 4096,
		Addresses: []string{"http://es:9200"}, Transport: w.es,
		Encoder: EncoderOptions{Interval: testInterval},
	}
	w.options.setDefaults()
	s, err := newSender(&w.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	w.attempt = &attempt{sender: s, tooLarge: new(sizeLimit)}
	return w
}

// model is the reference. A document that was sampled is from then on in one place: in the
// spool, in Elasticsearch, in the dead-letter directory, or lost with a gap that tells of
// it; unless the power was cut, or the run ended, while it was in memory. What is removed
// may come back with a power cut, and is then sent, or lost, once more.
type model struct {
	*rapid.T
	*modelWorkshop
	disk   *memoryDisk
	spool  *spool
	counts *counts
	memos  map[uint64]*memo
	// gapsRead are the gaps in the spool, by number and checksum.
	gapsRead map[[2]uint64]modelGap
	clock    int64 // of documents, in ms
	fails    int   // so many of the calls to come that change something fail

	batches []*modelBatch
	sampled int  // documents of this run
	synced  bool // this run has stored something
	// lost are the documents that the runs before this one have given up, by reason;
	// untold those whose gap was in memory when a run ended.
	lost, untold [documentLosses]int
	// was is what this run had lost before the step.
	was [documentLosses]int
}

// modelBatch is a batch that was sampled.
type modelBatch struct {
	slot    int64 // its own, in ms
	docs    int
	seq     uint64
	pending bool // in the spool
	onDisk  bool // … on its disk, and synced
	damaged bool
	// ended tells that it was delivered or lost, or in memory when a run ended.
	ended bool
}

// modelSteps makes lives of 15 steps on average, and up to 60. Slices of slices, because
// rapid's single ones are short.
var modelSteps = rapid.SliceOfN(rapid.SliceOfN(rapid.Uint16(), 1, 12), 1, 5)

func (w *modelWorkshop) live(t *rapid.T) {
	m := &model{T: t, modelWorkshop: w, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli()}
	w.es.reset()
	w.random.Seed(1, 2) // so that a life can be lived again, as far as vfs allows that
	w.attempt.tooLarge = new(sizeLimit)
	m.disk = newMemoryDisk(w.lock)
	m.open()
	defer func() {
		m.spool.close()
		m.gaps = m.spool.deflate
	}()
	for _, steps := range modelSteps.Draw(t, "steps") {
		for _, number := range steps {
			m.step(number)
			m.check()
		}
	}
	m.end()
}

// open starts a run on the disk.
func (m *model) open() {
	m.disk.before = m.fail
	m.counts = new(counts)
	m.memos, m.gapsRead = map[uint64]*memo{}, map[[2]uint64]modelGap{}
	m.sampled, m.synced, m.was = 0, false, [documentLosses]int{}
	m.spool = newSpool(&m.options, m.random.Uint64(), &m.node)
	m.spool.sys, m.spool.deflate = m.disk.calls(), m.gaps
	if err := m.spool.start(context.Background(), 0); err != nil {
		m.Fatal(err)
	}
	m.attempt.spool, m.attempt.counts = m.spool, m.counts
}

// fail makes calls fail.
func (m *model) fail(string, string) error {
	if m.fails == 0 {
		return nil
	}
	m.fails--
	return unix.EIO
}

// step does one thing at random. rapid prefers small numbers, so the number is spread out
// first; then its high bits say what, and the others how.
func (m *model) step(number uint16) {
	number *= 40503
	how := int(number % 2048)
	switch number / 2048 {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8, 9:
		m.put(1 + how%3)
	case 10: // the disk is so slow that a batch is given up before
		docs := 1 + how%3
		m.sampled += docs
		m.spool.lose(lostBehind, batchName{seq: m.spool.nextSeq(), slot: m.clock}, docs)
	case 11:
		m.restart(m.disk.crash(rand.New(m.random), how%101)) // power cut
	case 12:
		m.restart(m.disk) // kill -9, or an end in good order
	case 13, 14:
		m.corrupt(how)
	case 15:
		m.disk.ballast = m.disk.blocks // full
	case 16, 17:
		m.disk.ballast = 0
		m.disk.clock = m.disk.clock.Add(time.Minute)
	case 18:
		m.fails = 1 + how%12
	case 19, 20, 21, 22, 23, 24, 25:
		m.send(order(how%2 == 0), modelFault(how/2%int(modelFaults)), how/16%8, how/128%2 == 0)
	case 26, 31:
		m.spool.tick()
	case 27:
		m.send(oldestFirst, modelOK, 0, true)
	case 28: // the clocks step
		m.disk.clock = m.disk.clock.Add(time.Duration(how-1024) * time.Second)
		m.clock += int64(how-1024) * 1000
	case 29: // another day
		m.clock += 86_400_000
	case 30:
		m.fails, m.disk.ballast = 0, 0
	}
}

// put samples a batch.
func (m *model) put(docs int) {
	for m.clock++; slices.ContainsFunc(m.batches, func(b *modelBatch) bool { return b.slot == m.clock }); m.clock++ {
	}
	m.sampled += docs
	m.batches = append(m.batches, &modelBatch{docs: docs, slot: m.clock, pending: true})
	m.filler.slot = m.clock
	m.filler.publish(m.spool, docs)
}

// send makes an attempt at a batch.
func (m *model) send(o order, f modelFault, at int, healthy bool) {
	e, ok := m.spool.take(o, func(*batchName) bool { return true })
	if !ok {
		return
	}
	if m.memos[e.seq] == nil {
		m.memos[e.seq] = new(memo)
	}
	m.es.fault, m.es.at = f, at
	if v := m.attempt.run(context.Background(), &e, m.memos[e.seq], healthy); v.fate != delivered {
		return
	}
	delete(m.memos, e.seq)
	if e.docs == 0 {
		return
	}
	b := m.batch(e.slot)
	b.pending, b.ended = false, true
	stored, refused := m.es.has(b)
	now := m.spool.accounts.lost
	switch {
	case now[lostDamaged] > m.was[lostDamaged]:
		if !b.damaged || now[lostDamaged] != m.was[lostDamaged]+b.docs {
			m.Fatalf("batch %d of %d documents was given up as damaged (%v)", b.slot, b.docs, b.damaged)
		}
	case stored+refused != b.docs || now[lostRefused] != m.was[lostRefused]+refused:
		m.Fatalf("batch %d of %d documents was acknowledged with %d stored and %d refused, %d buried",
			b.slot, b.docs, stored, refused, now[lostRefused]-m.was[lostRefused])
	}
}

func (m *model) batch(slot int64) *modelBatch {
	for _, b := range m.batches {
		if b.slot == slot {
			return b
		}
	}
	m.Fatalf("nobody has sampled batch %d", slot)
	return nil
}

// restart begins another run, with what the disk holds. What was in memory is lost with the
// last one, and what was told of losses there.
func (m *model) restart(disk *memoryDisk) {
	m.fails = 0
	before, inMemory := m.told()
	m.spool.close()
	m.gaps = m.spool.deflate // with its memory
	m.disk = disk
	for i, n := range m.spool.accounts.lost {
		m.lost[i] += n
	}
	m.open()
	after, _ := m.told()
	for i := range documentLosses {
		untold := before[i] - after[i]
		if untold < 0 || untold > inMemory[i] {
			m.Fatalf("%s: gaps told of %d documents, %d of them in memory, and after a restart of %d", i, before[i], inMemory[i], after[i])
		}
		m.untold[i] += untold
	}
	for _, b := range m.batches {
		_, there := m.spool.findSlot(b.slot)
		if b.onDisk && b.pending && !there {
			m.Fatalf("batch %d was on disk and has gone with a restart", b.slot)
		}
		b.ended = b.ended || b.pending
		b.pending, b.onDisk = there, b.onDisk && there
	}
}

// findSlot returns the batch of measurements with that slot.
func (s *spool) findSlot(slot int64) (entry, bool) {
	for _, e := range s.entries {
		if e.slot == slot && e.docs > 0 {
			return e, true
		}
	}
	return entry{}, false
}

// corrupt damages the file of a batch.
func (m *model) corrupt(how int) {
	dir := path.Join(memorySpool, liveDir)
	names, err := m.disk.fs.List(dir)
	if err != nil {
		m.Fatal(err)
	}
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(name string) bool { n, ok := parseBatchName(name); return !ok || n.docs == 0 })
	if len(names) == 0 {
		return
	}
	name := names[how%len(names)]
	n, _ := parseBatchName(name)
	m.batch(n.slot).damaged = true
	file := path.Join(dir, name)
	content, err := m.disk.fs.UnsafeGetFileDataBuffer(file)
	if err != nil {
		m.Fatal(err)
	}
	content = bytes.Clone(content)
	switch at := how * 37 % max(len(content), 1); how / 8 % 4 {
	case 0:
		content = content[:at]
	case 1:
		clear(content)
	case 2:
		content = append(content, 0)
	case 3:
		if len(content) > 0 {
			content[at] ^= 1 << (how % 8)
		}
	}
	if err := m.disk.overwrite(file, content); err != nil {
		m.Fatal(err)
	}
}

// told returns, by reason, of how many documents gaps tell or are about to, and how many of
// these only the memory of this run knows of.
func (m *model) told() (all, inMemory [documentLosses]int) {
	for i := range documentLosses {
		all[i] = int(m.spool.lost[i].Documents)
	}
	inMemory = all
	for _, e := range m.spool.entries {
		if e.gaps == 0 {
			continue
		}
		key := [2]uint64{e.seq, uint64(e.sum)}
		gap, known := m.gapsRead[key]
		if !known {
			member, err := m.spool.read(&e, nil)
			if err != nil {
				m.Fatal(err)
			}
			d := m.es.documents(member)[0]
			gap = d.gap
			gap.id = string(d.id)
			m.gapsRead[key] = gap
		}
		if _, there := m.es.gaps[gap.id]; !there {
			all[gap.reason] += gap.documents
		}
		if e.inMemory {
			inMemory[gap.reason] += gap.documents
		}
	}
	for _, g := range m.es.gaps {
		all[g.reason] += g.documents
	}
	return all, inMemory
}

// check holds the spool against the reference.
func (m *model) check() {
	a, content := m.spool.account()
	pending, oldest, dropped, last := 0, uint64(1<<63), 0, uint64(0)
	for _, e := range m.spool.entries {
		m.synced = m.synced || e.sum != 0 && !e.inMemory
	}
	for _, b := range m.batches {
		e, there := m.spool.findSlot(b.slot)
		switch {
		case there && !b.pending:
			m.Fatalf("batch %d is in the spool again", b.slot)
		case there:
			pending += b.docs
			if b.onDisk {
				oldest = min(oldest, e.seq)
			}
			b.seq, b.onDisk = e.seq, !e.inMemory && (b.onDisk || m.synced)
		case b.pending:
			b.pending, b.ended = false, true
			dropped += b.docs
			last = max(last, b.seq)
		}
	}
	if dropped != a.lost[lostBudget]-m.was[lostBudget] || last > oldest {
		m.Fatalf("%d documents have gone, up to batch %d, while the oldest is %d and %d were dropped",
			dropped, last, oldest, a.lost[lostBudget]-m.was[lostBudget])
	}
	lost := a.lost[lostBudget] + a.lost[lostMemory] + a.lost[lostBehind] + a.lost[lostDamaged]
	if have, want := m.sampled+a.found, int(m.counts.indexed.Load()+m.counts.dead.Load())+content.docs+lost; have != want || content.docs != pending {
		m.Fatalf("%d documents sampled and found, and %d accounted for; %d pending, %d in the accounts", have, want, pending, content.docs)
	}
	told, _ := m.told()
	for i := range documentLosses {
		if told[i]+m.untold[i] != m.lost[i]+a.lost[i] {
			m.Fatalf("%s: %d documents lost, gaps tell of %d and %d were in memory when a run ended", i, m.lost[i]+a.lost[i], told[i], m.untold[i])
		}
	}
	if n := m.counts.duplicatesUnexpected.Load(); n > 0 || a.alien > 0 || m.es.wrong != "" {
		m.Fatalf("%d unexpected duplicates, %d alien entries, %s", n, a.alien, m.es.wrong)
	}
	m.was = a.lost
}

// end mends everything, and sees whether all comes to its place.
func (m *model) end() {
	m.fails, m.disk.ballast = 0, 0
	m.disk.clock = m.disk.clock.Add(time.Minute)
	for rounds := 0; len(m.spool.entries) > 0 || rounds < 2; rounds++ {
		if rounds > 100 {
			m.Fatalf("the spool doesn't come to be empty: %v", m.spool.entries)
		}
		m.send(oldestFirst, modelOK, 0, true)
		m.check()
		m.spool.tick()
		m.check()
	}
	for _, b := range m.batches {
		if !b.ended {
			m.Fatalf("batch %d has gone nowhere", b.slot)
		}
	}
}

// modelFault is how a modelServer answers.
type modelFault uint8

const (
	modelOK         modelFault = iota
	modelAnswerLost            // after all was stored
	modelHalf                  // half is stored, and no answer comes
	modelBusy                  // 503
	modelLater                 // one document: 429
	modelRefuses               // one document: 400, from now on
	modelTooLarge              // 413
	modelFaults
)

// modelServer is an Elasticsearch without a network and JSON, because a life would be spent
// with these for the most part.
type modelServer struct {
	fault modelFault
	at    int // the document that the fault is about

	inflate inflater
	body    []byte
	answer  []byte
	parsed  []modelDocument
	stored  map[modelKey]string // by slot and number, index and _id
	refused map[modelKey]bool
	gaps    map[string]modelGap // by _id
	wrong   string
}

type modelKey struct {
	slot int64
	n    int
}

type modelGap struct {
	id        string // set by told only
	reason    loss
	documents int
}

type modelDocument struct {
	index, id []byte
	gap       modelGap // of a gap
	isGap     bool
	key       modelKey // of another one
}

func (s *modelServer) reset() {
	s.stored, s.refused, s.gaps = map[modelKey]string{}, map[modelKey]bool{}, map[string]modelGap{}
	s.wrong = ""
}

// has returns how many documents of the batch are stored, and how many were refused.
func (s *modelServer) has(b *modelBatch) (stored, refused int) {
	for n := range b.docs {
		if _, there := s.stored[modelKey{b.slot, n}]; there {
			stored++
		} else if s.refused[modelKey{b.slot, n}] {
			refused++
		}
	}
	return stored, refused
}

// documents takes a body apart; what it returns is valid until the next call.
func (s *modelServer) documents(member []byte) []modelDocument {
	var err error
	s.body, err = s.inflate.inflate(s.body[:0], member)
	if err != nil {
		s.wrong = err.Error()
		return nil
	}
	s.parsed = s.parsed[:0]
	for rest := s.body; len(rest) > 0; {
		end := document(rest, 1)
		pair := rest[:end]
		rest = rest[end:]
		d := modelDocument{index: textBetween(pair, `"_index":"`, `"`), id: textBetween(pair, `"_id":"`, `"`)}
		if reason := textBetween(pair, `"gap.reason":"`, `"`); reason != nil {
			d.isGap = true
			d.gap.reason = loss(slices.Index(lossNames[:], string(reason)))
			d.gap.documents, _ = strconv.Atoi(string(textBetween(pair, `"gap.documents":`, ",")))
		} else {
			d.key.slot, _ = strconv.ParseInt(string(textBetween(pair, `"slot":`, ",")), 10, 64)
			d.key.n, _ = strconv.Atoi(string(textBetween(pair, `"n":`, "}")))
		}
		s.parsed = append(s.parsed, d)
	}
	return s.parsed
}

// textBetween returns what stands in line between the words, nil if the first isn't there.
func textBetween(line []byte, from, to string) []byte {
	at := bytes.Index(line, []byte(from))
	if at < 0 {
		return nil
	}
	line = line[at+len(from):]
	return line[:bytes.IndexByte(line, to[0])]
}

// RoundTrip answers _bulk.
func (s *modelServer) RoundTrip(r *http.Request) (*http.Response, error) {
	member, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	docs := s.documents(member)
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Body: io.NopCloser(strings.NewReader(body)),
			Header: http.Header{"X-Elastic-Product": {"Elasticsearch"}},
		}, nil
	}
	switch {
	case s.fault == modelBusy:
		return answer(503, "")
	case s.fault == modelTooLarge && len(docs) > 1:
		return answer(413, "")
	case s.fault == modelHalf:
		docs = docs[:len(docs)/2]
	}
	problems := false
	items := s.answer[:0]
	for i := range docs {
		status := s.store(&docs[i], i == s.at%len(docs))
		switch status {
		case 201:
			items = append(items, `,{"create":{"status":201}}`...)
		case 409:
			items = append(items, `,{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"is there"}}}`...)
		default:
			items = strconv.AppendInt(append(items, `,{"create":{"status":`...), int64(status), 10)
			items = append(items, `,"error":{"type":"some_exception","reason":"no"}}}`...)
		}
		problems = problems || status != 201
	}
	s.answer = items
	if s.fault == modelHalf || s.fault == modelAnswerLost {
		return nil, errors.New("connection reset")
	}
	return answer(200, `{"errors":`+strconv.FormatBool(problems)+`,"items":[`+strings.TrimPrefix(string(items), ",")+"]}")
}

// store stores a document, and returns the status of its item. here tells that the fault is
// about this one.
func (s *modelServer) store(d *modelDocument, here bool) int {
	if d.isGap {
		if _, there := s.gaps[string(d.id)]; there {
			return 409
		}
		if here && s.fault == modelLater {
			return 429
		}
		s.gaps[string(d.id)] = d.gap
		return 201
	}
	place := string(d.index) + "/" + string(d.id)
	if old, there := s.stored[d.key]; there {
		if old != place {
			s.wrong = "document " + old + " is " + place + ", too"
		}
		return 409
	}
	switch {
	case here && s.fault == modelLater:
		return 429
	case s.refused[d.key], here && s.fault == modelRefuses:
		s.refused[d.key] = true
		return 400
	}
	if day := time.UnixMilli(d.key.slot).UTC().Format("2006.01.02"); string(d.index) != "cadvisor-"+day {
		s.wrong = "a document of " + day + " in " + string(d.index)
	}
	s.stored[d.key] = place
	return 201
}
