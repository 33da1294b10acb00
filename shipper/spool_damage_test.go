package shipper

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/faults"
)

// TestS07Damage damages the files of a small spool in every way and place, one at a time,
// and has what is left be delivered.
func TestS07Damage(t *testing.T) {
	row := faults.Start(t, "S7")
	d := newDamagedSpool(t)
	stride, masks := 7, []byte{0x01, 0x80, 0xff}
	if row.Full() {
		stride, masks = 1, []byte{1, 2, 4, 8, 16, 32, 64, 128, 255}
	}
	start := time.Now()
	for file, content := range d.files {
		step := 1
		if len(content) > 4096 {
			step = stride
		}
		for at := 0; at < len(content); at += step {
			for _, mask := range masks {
				flipped := bytes.Clone(content)
				flipped[at] ^= mask
				d.damage(fmt.Sprintf("byte %d ^ %#x", at, mask), file, flipped)
			}
			d.damage(fmt.Sprintf("cut at %d", at), file, content[:at])
		}
		for at := 0; at < len(content); at += 4096 {
			zeroed := bytes.Clone(content)
			clear(zeroed[at:min(at+4096, len(content))])
			d.damage(fmt.Sprintf("zeroed from %d", at), file, zeroed)
		}
		d.damage("grown", file, append(bytes.Clone(content), make([]byte, 4096)...))
		for other, foreign := range d.files {
			if other != file {
				d.damage("content of "+other, file, foreign)
			}
		}
		d.damageNames(file)
	}
	d.damageKept()
	if t.Failed() {
		return
	}
	row.Goal("none takes over a second", d.slowest <= time.Second)
	row.Result("%d damages of %d files, and %d of their names, in %v: each cost its own batch at most (%d times none, the content being whole), each loss was found and counted, with the exact number; the slowest took %v. A damaged gap document of this run was stored again each time (%d); one of an earlier run is lost (%d), and told of by another each time. A batch with a damaged name was delivered all the same (%d), counted as damaged with the number in its name (%d), or left alone as an alien entry (%d). %d damaged names of what is delivered or refused cost nothing that waits",
		d.cases, len(d.files), d.names, time.Since(start).Round(time.Second/10), d.whole, d.slowest.Round(time.Millisecond),
		d.gapsRestored, d.gapsLost, d.namesDelivered, d.namesDamaged, d.namesAlien, d.namesKept)
}

// damagedSpool is a spool that is damaged, copy by copy.
type damagedSpool struct {
	*testing.T
	disk    *memoryDisk       // whole
	files   map[string][]byte // what the spool's files hold, by name
	bodies  map[string]string // whose body that is, by content
	attempt *attempt
	inflate inflater
	deflate deflater
	random  *rand.Rand
	arrived map[string]int // names of batches whose body has come, and how often
	told    int            // documents that gaps of damages have told of
	toldOf  int            // gaps that they have told of
	strange string         // a body that nobody has sent

	cases, names, whole, gapsRestored, gapsLost int
	namesDelivered, namesDamaged, namesAlien    int
	namesKept                                   int // of what is delivered or refused
	slowest                                     time.Duration
}

func newDamagedSpool(t *testing.T) *damagedSpool {
	d := &damagedSpool{
		T: t, disk: newMemoryDisk(filepath.Join(t.TempDir(), "lock")),
		files: map[string][]byte{}, bodies: map[string]string{},
		random: rand.New(rand.NewPCG(7, 7)),
	}
	s := testSpoolOn(t, d.disk.calls(), memorySpool, 1, 1<<30)
	fill(s, 1, 3)
	s.lose(lostBehind, batchName{seq: s.nextSeq(), slot: 1}, 11)
	s.tick()
	// A batch of three pages: random digits don't shrink to less than half.
	b, z := &Batch{prefix: "cadvisor"}, deflater{}
	b.reset(s.epoch, s.nextSeq(), &z)
	for i := range 5 {
		line := fmt.Appendf(b.Action(int64(i)), `{"n":%d,"noise":"`, i)
		for range 150 {
			line = strconv.AppendUint(line, d.random.Uint64(), 36)
		}
		b.Source(append(line, `"}`...))
	}
	b.close()
	s.publish(b)
	fill(s, 1, 2)
	for _, e := range s.entries {
		member, err := s.read(&e, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := d.inflate.inflate(nil, member)
		if err != nil {
			t.Fatal(err)
		}
		d.files[e.String()] = member
		d.bodies[string(body)] = e.String()
	}
	s.close()
	o := Options{Addresses: []string{"http://es:9200"}, Transport: d}
	sender, err := newSender(&o)
	if err != nil {
		t.Fatal(err)
	}
	sender.product = false
	t.Cleanup(sender.close)
	d.attempt = &attempt{sender: sender, tooLarge: new(sizeLimit)}
	return d
}

// RoundTrip takes every body, and notes which it is.
func (d *damagedSpool) RoundTrip(r *http.Request) (*http.Response, error) {
	member, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body, err := d.inflate.inflate(nil, member)
	if err != nil {
		return nil, err
	}
	if name, known := d.bodies[string(body)]; known {
		d.arrived[name]++
	} else if bytes.Contains(body, []byte(`"gap.reason":"damaged"`)) {
		for name, told := range map[string]*int{"documents": &d.told, "gaps": &d.toldOf} {
			n, _ := strconv.Atoi(string(textBetween(body, `"gap.`+name+`":`, ",")))
			*told += n
		}
	} else {
		d.strange = string(body)
	}
	docs := bytes.Count(body, []byte("\n")) / 2
	items := strings.Repeat(`,{"create":{"status":201}}`, docs)
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"errors":false,"items":[` + items[1:] + "]}"))}, nil
}

// damage tries a damage that happens between two runs, and one under the running agent.
func (d *damagedSpool) damage(how, file string, content []byte) {
	n, _ := parseBatchName(file)
	for _, running := range []bool{false, true} {
		d.cases++
		fail := func(format string, args ...any) {
			d.Errorf("%s, %s, under the running agent: %v: %s", file, how, running, fmt.Sprintf(format, args...))
		}
		disk := d.disk.crash(d.random, 100)
		if !running {
			d.write(disk, file, content)
		}
		s := d.open(disk)
		if running {
			for i := range s.entries {
				e := &s.entries[i]
				e.sum, e.attempted = checksum(d.files[e.String()]), false
				if e.gaps > 0 {
					s.keepGap(e.seq, d.files[e.String()])
				}
			}
			d.write(disk, file, content)
		}
		a := d.drain(s)
		for name := range d.files {
			if d.arrived[name] != 1 && (name != file || d.arrived[name] > 1) {
				fail("%s came %d times", name, d.arrived[name])
			}
		}
		lost, lostGaps := n.docs, n.gaps
		if d.arrived[file] == 1 {
			lost, lostGaps = 0, 0
		}
		switch {
		case n.docs == 0 && lost == 0 && d.arrived[file] == 0:
			if running {
				fail("the gap is lost")
			}
			d.gapsLost++
		case n.docs == 0 && running && a.buried == 1:
			d.gapsRestored++
		case lost == 0:
			d.whole++
		}
		if a.lost[lostDamaged] != lost || d.told != lost || d.toldOf != lostGaps || d.strange != "" || a.alien != 0 {
			fail("%d documents and %d gaps lost, %d counted, gaps tell of %d and %d, %d alien entries; arrived: %s", lost, lostGaps, a.lost[lostDamaged], d.told, d.toldOf, a.alien, d.strange)
		}
	}
}

// damageNames changes the name of a file, character by character.
func (d *damagedSpool) damageNames(file string) {
	for at := range len(file) {
		for _, c := range []byte("0f-/\xff") {
			name := file[:at] + string(c) + file[at+1:]
			if c == '/' { // stands for nothing
				name = file[:at] + file[at+1:]
			}
			if _, there := d.files[name]; there {
				continue
			}
			d.names++
			disk := d.disk.crash(d.random, 100)
			dir := path.Join(memorySpool, liveDir)
			if err := disk.fs.Rename(path.Join(dir, file), path.Join(dir, name)); err != nil {
				d.Fatal(err)
			}
			a := d.drain(d.open(disk))
			for other := range d.files {
				if other != file && d.arrived[other] != 1 {
					d.Errorf("%s called %q: %s came %d times", file, name, other, d.arrived[other])
				}
			}
			n, _ := parseBatchName(name)
			switch {
			case d.arrived[file] == 1 && a.lost[lostDamaged] == 0 && a.alien == 0:
				d.namesDelivered++
			case d.arrived[file] == 0 && a.lost[lostDamaged] == n.docs && d.told == n.docs && a.buried == 1 && a.alien == 0:
				d.namesDamaged++
			case d.arrived[file] == 0 && a.lost[lostDamaged] == 0 && a.alien == 1:
				d.namesAlien++
			default:
				d.Errorf("%s called %q: came %d times, %+v", file, name, d.arrived[file], a)
			}
		}
	}
}

// damageKept changes, character by character, the names of a batch that was delivered and of
// refused documents: nothing that waits is lost by it, or comes twice.
func (d *damagedSpool) damageKept() {
	base := d.disk.crash(d.random, 100)
	s := d.open(base)
	s.replay = defaultReplay
	e, ok := s.take(newestFirst, func(*batchName) bool { return true })
	if !ok {
		d.Fatal("nothing to be sent")
	}
	s.acknowledge(&e)
	refused := batchName{seq: s.nextSeq(), slot: e.slot, docs: 1}
	if _, err := s.dead.publish(".1", refused.String(), letter([]byte("x"), "no", nil)); err != nil || len(s.acked) != 1 {
		d.Fatal(s.acked, err)
	}
	acked := s.acked[0].String()
	s.close()
	for dir, name := range map[string]string{ackedDir: acked, deadDir: refused.String()} {
		for at := range len(name) {
			for _, c := range []byte("0f-/\xff") {
				changed := name[:at] + string([]byte{c}) + name[at+1:]
				if c == '/' { // stands for nothing
					changed = name[:at] + name[at+1:]
				}
				if changed == name {
					continue
				}
				d.namesKept++
				disk := base.crash(d.random, 100)
				at := path.Join(memorySpool, dir)
				if err := disk.fs.Rename(path.Join(at, name), path.Join(at, changed)); err != nil {
					d.Fatal(err)
				}
				a := d.drain(d.open(disk))
				for file := range d.files {
					want := 1
					if file == e.String() {
						want = 0
					}
					if d.arrived[file] != want {
						d.Errorf("%s/%s called %q: %s came %d times, want %d", dir, name, changed, file, d.arrived[file], want)
					}
				}
				if a.lost != [documentLosses]int{} || a.alien+a.buried != 0 || d.told+d.toldOf != 0 || d.strange != "" {
					d.Errorf("%s/%s called %q: %+v, gaps tell of %d and %d; arrived: %s", dir, name, changed, a, d.told, d.toldOf, d.strange)
				}
			}
		}
	}
}

func (d *damagedSpool) open(disk *memoryDisk) *spool {
	d.arrived, d.told, d.toldOf, d.strange = map[string]int{}, 0, 0, ""
	s := testSpoolOn(d, disk.calls(), memorySpool, 2, 1<<30)
	s.deflate = d.deflate
	d.attempt.spool, d.attempt.counts = s, new(counts)
	return s
}

// drain sends all that is in the spool, and closes it.
func (d *damagedSpool) drain(s *spool) spoolAccounts {
	start := time.Now()
	for range 20 {
		s.tick()
		e, ok := s.take(oldestFirst, func(*batchName) bool { return true })
		if !ok {
			break
		}
		if v := d.attempt.run(context.Background(), &e, new(memo), true); v.fate != delivered {
			d.Errorf("%s: %v: %s", e, v.fate, v.sentence)
		}
	}
	d.slowest = max(d.slowest, time.Since(start))
	a, content := s.account()
	if content.batches != 0 || a.fault != "" {
		d.Errorf("%+v is left, fault %q", content, a.fault)
	}
	s.close()
	return a
}

// write replaces the content of a file of the spool.
func (d *damagedSpool) write(disk *memoryDisk, name string, content []byte) {
	if err := disk.overwrite(path.Join(memorySpool, liveDir, name), content); err != nil {
		d.Fatal(err)
	}
}
