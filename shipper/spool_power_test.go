package shipper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/faults"
)

// TestS06PowerCut cuts the power at every call by which a spool changes its disk, over lives
// of all that a spool does, and looks at what a fresh start makes of the disk that is left.
func TestS06PowerCut(t *testing.T) {
	row := faults.Start(t, "S6")
	states, perCall := 10_000, 3
	if row.Full() {
		states, perCall = 1_000_000, 10
	}
	p := &powerCut{T: t, lock: filepath.Join(t.TempDir(), "lock"), perCall: perCall}
	start, lives := time.Now(), 0
	for ; p.states < states && time.Since(start) < 10*time.Minute && !t.Failed(); lives++ {
		p.live(uint64(lives))
	}
	row.Result("%d lives, %d states after a power cut in %v: %d openings failed, %d times something was missing or different of %d published batches, or accounted for and not there; %d batches of those states were acknowledged or dropped ones come again",
		lives, p.states, time.Since(start).Round(time.Second/10), p.unopened, p.wrong, p.published, p.again)
}

// powerCut is a spool whose power is cut, and what it has promised.
type powerCut struct {
	*testing.T
	lock             string
	perCall          int
	filler           filler
	gaps, afterGaps  deflater // of the spool, and of those that are started after a cut
	inflate          inflater
	random           *rand.Rand
	life             uint64
	step             string
	disk             *memoryDisk
	synced           bool // the spool has stored something since its start
	failing          bool // the disk: every third call that changes something
	spool            *spool
	epoch            uint64
	states           int
	published, again int
	unopened, wrong  int

	// durable are the batches, by name, of which the spool has told that they are on
	// disk, and which weren't acknowledged or given up since.
	durable map[string][]byte
	// told are the gap documents that have left the spool, by _id: how many documents
	// each tells of.
	told map[string]int
}

// live runs the life of one spool, in a hundred steps that the number seeds.
func (p *powerCut) live(number uint64) {
	p.life, p.random = number, rand.New(rand.NewPCG(number, 6))
	p.durable, p.told = map[string][]byte{}, map[string]int{}
	p.disk = newMemoryDisk(p.lock)
	p.spool, p.step, p.failing = nil, "first start", false
	p.open()
	for range 100 {
		p.do()
		p.note()
		if p.Failed() {
			return
		}
	}
	p.disk.before = nil
	p.spool.close()
}

// The spool may hold eight batches.
const powerBudget = 8 * 4096

// open starts the spool on the disk.
func (p *powerCut) open() {
	p.disk.before = p.cut
	p.epoch++
	p.spool = testSpoolOn(p, p.disk.calls(), memorySpool, p.epoch, powerBudget)
	p.spool.deadBudget = 3 * 4096
	p.spool.deflate = p.gaps
	p.synced = false
	p.note()
}

// note takes down what the spool says that it has on disk. What a start has found counts
// once something was stored after it: it may be the batch whose storing the end of the run
// before, or a failure, had interrupted when only the sync of the directory was left.
func (p *powerCut) note() {
	for _, e := range p.spool.entries {
		p.synced = p.synced || e.sum != 0 && !e.inMemory
	}
	for _, e := range p.spool.entries {
		name := e.String()
		if e.sum == 0 && !p.synced {
			continue
		}
		if e.inMemory {
			delete(p.durable, name) // a gap with a new content
			continue
		}
		if old, there := p.durable[name]; there && checksum(old) == e.sum {
			continue
		}
		body, err := p.spool.read(&e, nil)
		if err != nil {
			p.Errorf("life %d, %s: %v", p.life, p.step, err)
		}
		p.durable[name] = body
		p.published++
	}
	for name := range p.durable {
		n, _ := parseBatchName(name)
		if _, there := p.spool.find(n.seq); !there {
			delete(p.durable, name) // dropped, after its gap was stored
		}
	}
}

// do does one thing at random.
func (p *powerCut) do() {
	s, any := p.spool, func(*batchName) bool { return true }
	switch choice := p.random.IntN(100); {
	case choice < 45:
		p.step = "publish"
		p.filler.publish(s, 1+p.random.IntN(4))
	case choice < 50:
		p.step = "tick"
		s.tick()
	case choice < 80:
		p.step = "send"
		e, ok := s.take(order(p.random.IntN(2) == 0), any)
		if !ok {
			return
		}
		body, err := s.read(&e, nil)
		if err != nil {
			p.Errorf("life %d: %v", p.life, err)
		}
		switch outcome := p.random.IntN(10); {
		case outcome == 0:
			p.step = "release"
			s.release(&e)
		case outcome == 1 && e.docs > 0:
			p.step = "discard"
			delete(p.durable, e.String())
			s.discard(&e)
		default:
			if outcome == 2 && e.docs > 0 {
				p.step = "bury"
				s.bury(&e, 1, body)
			}
			p.step += " and acknowledge"
			delete(p.durable, e.String())
			for id, docs := range p.gapsOf(e.batchName, body) {
				p.told[id] = docs
			}
			s.acknowledge(&e)
		}
	case choice < 83:
		p.step = "the disk is full"
		p.disk.ballast = p.disk.blocks
	case choice < 86:
		p.step = "the disk fails"
		p.failing = true
	case choice < 92:
		p.step = "the disk is mended"
		p.disk.ballast, p.failing = 0, false
		p.disk.clock = p.disk.clock.Add(time.Minute)
	case choice < 96:
		p.step, p.failing = "restart", false
		s.close()
		p.open()
	default:
		p.step = "power cut"
		p.disk.before, p.failing = nil, false
		after := p.disk.crash(p.random, p.random.IntN(101))
		s.close()
		p.disk = after
		p.open()
	}
}

// cut cuts the power before a call changes something, in some of the ways in which what
// wasn't synced may be left.
func (p *powerCut) cut(call, name string) error {
	for range p.perCall {
		p.check(call+" "+name, p.disk.crash(p.random, [...]int{0, 10, 50, 90, 100}[p.random.IntN(5)]))
	}
	if p.failing && p.random.IntN(3) == 0 {
		return unix.EIO
	}
	return nil
}

// check starts a spool on a disk that is left and holds it against what was promised.
func (p *powerCut) check(call string, disk *memoryDisk) {
	p.states++
	fail := func(format string, args ...any) {
		p.wrong++
		p.Errorf("life %d, %s, power cut before %s: %s", p.life, p.step, call, fmt.Sprintf(format, args...))
	}
	disk.lock = p.lock + ".after" // the other one is still held
	s := testSpoolOn(p, disk.calls(), memorySpool, p.epoch+1<<32, powerBudget)
	s.deflate = p.afterGaps
	defer func() {
		s.close()
		p.afterGaps = s.deflate
	}()
	a, content := s.account()
	if a.fault != "" || a.alien != 0 || s.live == nil {
		p.unopened++
		fail("fault %q, %d alien", a.fault, a.alien)
		return
	}
	docs, told := 0, map[string]int{}
	for id, n := range p.told {
		told[id] = n
	}
	for _, e := range s.entries {
		body, err := s.read(&e, nil)
		if err == nil {
			_, err = p.inflate.verify(body, e.docs+e.gaps)
		}
		if err != nil || !e.attempted {
			fail("%s: %v; attempted: %v", e, err, e.attempted)
			continue
		}
		docs += e.docs
		if promised, there := p.durable[e.String()]; !there {
			p.again++
		} else if e.docs > 0 && !bytes.Equal(body, promised) {
			fail("%s isn't what was published", e)
		}
		for id, n := range p.gapsOf(e.batchName, body) {
			told[id] = max(told[id], n)
		}
	}
	if content.docs != docs || content.docs != a.found {
		fail("accounts of %d and %d documents, %d are there", content.docs, a.found, docs)
	}
	// A batch may be missing if a gap tells of it: one that was stored, or that the
	// full disk had left in memory.
	missing, documents := 0, 0
	for name := range p.durable {
		n, _ := parseBatchName(name)
		if _, there := s.find(n.seq); !there {
			missing += n.docs
			if n.docs == 0 {
				fail("the gap %s is missing", name)
			}
		}
	}
	for _, n := range told {
		documents += n
	}
	if p.spool != nil {
		for seq, body := range p.spool.memory {
			at, _ := p.spool.find(seq)
			for _, n := range p.gapsOf(p.spool.entries[at].batchName, body) {
				documents += n
			}
		}
	}
	if missing > documents {
		fail("%d documents are missing, gaps tell of %d", missing, documents)
	}
	for _, dir := range []string{liveDir, deadDir} {
		left, err := disk.fs.List(path.Join(memorySpool, dir))
		if err != nil {
			fail("%v", err)
		}
		for _, name := range left {
			if name[0] == '.' {
				fail("%s is left", name)
			}
		}
	}
}

// gapsOf returns of each gap document of a batch, by its _id, how many documents it tells of.
func (p *powerCut) gapsOf(n batchName, member []byte) map[string]int {
	if n.gaps == 0 {
		return nil
	}
	body, err := p.inflate.inflate(nil, member)
	if err != nil {
		p.Fatalf("life %d, %s: %v", p.life, p.step, err)
	}
	told := map[string]int{}
	for line := body; len(line) > 0; {
		var action struct {
			Create struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		var gap struct {
			Documents int `json:"gap.documents"`
		}
		end := document(line, 1)
		in := json.NewDecoder(bytes.NewReader(line[:end]))
		if err := errors.Join(in.Decode(&action), in.Decode(&gap)); err != nil {
			p.Fatal(err)
		}
		told[action.Create.ID] = gap.Documents
		line = line[end:]
	}
	return told
}
