package shipper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

func TestBatchName(t *testing.T) {
	n := batchName{seq: 0xabc, slot: 1772366400000, docs: 20, gaps: 0}
	if got := n.String(); got != "0000000000000abc-1772366400000-20-0.gz" {
		t.Errorf("%q", got)
	}
	f := func(name string, ok bool) {
		t.Helper()
		n, got := parseBatchName(name)
		if got != ok || ok && n.String() != name {
			t.Errorf("%q: %v %v", name, n, got)
		}
	}
	f("0000000000000abc-1772366400000-20-0.gz", true)
	f("000000ffffffffff-253402300799999-5000-65536.gz", true)
	f("0000000000000000-0-0-0.gz", true)
	f("", false)
	f(".gz", false)
	f("0000000000000abc-1772366400000-20.gz", false)     // an older form
	f("0000000000000abc-1772366400000-20-0-7.gz", false) // a newer form
	f("0000000000000ABC-1772366400000-20-0.gz", false)
	f("abc-1772366400000-20-0.gz", false)
	f("0000010000000000-1-1-0.gz", false) // beyond 40 bits
	f("0000000000000abc-01-20-0.gz", false)
	f("0000000000000abc-+1-20-0.gz", false)
	f("0000000000000abc--1-20-0.gz", false)
	f("0000000000000abc-1772366400000-20-0.gz ", false)
	f("0000000000000abc-1772366400000-20-0", false)
	f("0000000000000abc-99999999999999999999-20-0.gz", false)
}

func FuzzBatchName(f *testing.F) {
	f.Add("0000000000000abc-1772366400000-20-0.gz")
	f.Add("----.gz")
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := parseBatchName(s); ok && n.String() != s {
			t.Errorf("%q became %q", s, n)
		}
	})
}

// testSpool opens a spool in the directory.
func testSpool(t testing.TB, dir string, budget int64) *spool {
	t.Helper()
	s := testSpoolOn(t, kernel(), dir, 0x1122334455667788, budget)
	t.Cleanup(s.close)
	return s
}

// testSpoolOn opens a spool on another system, for the caller to close.
func testSpoolOn(t testing.TB, sys *calls, dir string, epoch uint64, budget int64) *spool {
	t.Helper()
	o := Options{SpoolDir: dir, SpoolBytes: budget, Log: zap.NewNop(), Encoder: EncoderOptions{Interval: testInterval}}
	o.setDefaults()
	node := new(atomic.Pointer[metric.Node])
	node.Store(testNode())
	s := newSpool(&o, epoch, node)
	s.sys = sys
	if err := s.start(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	return s
}

// filler makes batches, one after the other.
type filler struct {
	batch   Batch
	deflate deflater
	slot    int64 // of the next batch, in ms; 0 to go by its number
	// plain, if set, makes the members instead of deflate. One that doesn't compress is
	// several times as fast, to read above all.
	plain *gzip.Writer
	body  []byte
}

// publish publishes a batch of docs documents.
func (f *filler) publish(s *spool, docs int) {
	b := &f.batch
	b.prefix = "cadvisor"
	seq := s.nextSeq()
	b.reset(s.epoch, seq, &f.deflate)
	b.slot = int64(seq) * int64(testInterval)
	if f.slot != 0 {
		b.slot = f.slot * int64(time.Millisecond)
	}
	f.body = f.body[:0]
	for i := range docs {
		line := fmt.Appendf(b.Action(b.slot/1e6), `{"slot":%d,"n":%d}`, b.slot/1e6, i)
		f.body = append(append(f.body, line...), '\n')
		b.Source(line)
	}
	b.close()
	if f.plain != nil {
		out := bytes.NewBuffer(b.member[:0])
		f.plain.Reset(out)
		f.plain.Write(f.body)
		f.plain.Close()
		b.member = out.Bytes()
	}
	s.publish(b)
}

// fill publishes batches of docs documents.
func fill(s *spool, batches, docs int) {
	var f filler
	for range batches {
		f.publish(s, docs)
	}
}

// names lists a directory.
func names(t testing.TB, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestSpoolStart names every state in which a spool can be found.
func TestSpoolStart(t *testing.T) {
	const good = "0000000000000007-1772366400000-2-0.gz"
	f := func(prepare func(dir string), batches, alien int, next uint64, left ...string) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "spool")
		q := filepath.Join(dir, liveDir)
		if err := os.MkdirAll(q, 0o700); err != nil {
			t.Fatal(err)
		}
		prepare(q)
		done := make(chan *spool)
		go func() { done <- testSpool(t, dir, 1<<30) }()
		var s *spool
		select {
		case s = <-done:
		case <-time.After(5 * time.Second):
			t.Fatal("the start waits for something")
		}
		a, content := s.account()
		if content.batches != batches || a.alien != alien || s.seq != next || a.fault != "" {
			t.Errorf("%d batches, %d alien, next %d, fault %q", content.batches, a.alien, s.seq, a.fault)
		}
		if got, want := strings.Join(names(t, q), " "), strings.Join(left, " "); got != want {
			t.Errorf("left: %s, want %s", got, want)
		}
	}
	write := func(dir, name string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f(func(dir string) {}, 0, 0, 1)
	f(func(dir string) { os.Remove(dir) }, 0, 0, 1)
	f(func(dir string) { write(dir, good) }, 1, 0, 8, good)
	// An interrupted write.
	f(func(dir string) { write(dir, ".12"); write(dir, good) }, 1, 0, 8, good)
	// Junk, an older form, a newer form, and what only looks like a batch.
	f(func(dir string) { write(dir, "junk") }, 0, 1, 1, "junk")
	f(func(dir string) { write(dir, "7-1-2.gz") }, 0, 1, 1, "7-1-2.gz")
	f(func(dir string) { write(dir, good+".zst") }, 0, 1, 1, good+".zst")
	f(func(dir string) { os.Mkdir(filepath.Join(dir, good), 0o700) }, 0, 1, 1, good)
	f(func(dir string) { os.Symlink("/etc/passwd", filepath.Join(dir, good)) }, 0, 1, 1, good)
	f(func(dir string) { unix.Mkfifo(filepath.Join(dir, good), 0o600) }, 0, 1, 1, good)
	f(func(dir string) { os.Symlink("/etc/passwd", filepath.Join(dir, ".1")) }, 0, 1, 1, ".1")
	f(func(dir string) {
		for i := range 3000 {
			write(dir, batchName{seq: uint64(i), slot: 1, docs: 1}.String()+"?")
		}
		for i := range 3000 {
			os.Remove(filepath.Join(dir, batchName{seq: uint64(i), slot: 1, docs: 1}.String()+"?"))
		}
		write(dir, good)
	}, 1, 0, 8, good)
}

// TestSpoolLock: a second agent gets ErrLocked, and the spool when the first has gone.
func TestSpoolLock(t *testing.T) {
	o := testOptions(t, nil)
	first, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), o); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	o.LockWait = 20 * time.Second
	time.AfterFunc(50*time.Millisecond, first.Close)
	second, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// TestSpoolBudget: what exceeds the budget drops the oldest, and exactly that is accounted
// for, in one gap.
func TestSpoolBudget(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 64<<10)
	fill(s, 100, 7) // 4 KiB each
	a, content := s.account()
	if a.lost[lostBudget] == 0 || a.lost[lostBudget]+content.docs != 700 {
		t.Errorf("%d dropped, %d kept of 700", a.lost[lostBudget], content.docs)
	}
	if content.gaps != 1 || content.bytes > 64<<10+4096 || content.bytes < 60<<10 {
		t.Errorf("%+v", content)
	}
	e, ok := s.take(newestFirst, func(*batchName) bool { return true })
	if newest := s.entries[len(s.entries)-1]; !ok || newest.gaps == 0 && e.seq != newest.seq {
		t.Errorf("the newest of %v is %v", s.entries, e)
	}
	first := uint64(0)
	gap := ""
	for _, e := range s.entries {
		if e.docs > 0 {
			first = min(max(first, e.seq), e.seq)
			continue
		}
		member, err := s.read(&e, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := new(inflater).inflate(nil, member)
		if err != nil {
			t.Fatal(err)
		}
		gap = string(body)
	}
	want := fmt.Sprintf(`"gap.reason":"budget","gap.documents":%d,`, a.lost[lostBudget])
	if !strings.Contains(gap, want) || !strings.Contains(gap, `"gap.first_batch":1,`) || !strings.Contains(gap, `"gap.epoch":"1122334455667788"`) {
		t.Errorf("%s\nhas no %s", gap, want)
	}
	if n := len(names(t, filepath.Join(dir, liveDir))); n != content.batches {
		t.Errorf("%d files for %d batches", n, content.batches)
	}

	// A gap that may have been sent isn't changed any more: the next loss begins another.
	for i := range s.entries {
		if s.entries[i].gaps > 0 {
			s.entries[i].attempted = true
		}
	}
	fill(s, 1, 7)
	if _, content := s.account(); content.gaps != 2 {
		t.Errorf("%d gaps", content.gaps)
	}
}

// TestSpoolReopened: the accounts of a spool don't need its contents.
func TestSpoolReopened(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<30)
	fill(s, 5, 3)
	_, before := s.account()
	s.close()
	s = testSpool(t, dir, 1<<30)
	a, after := s.account()
	if before != after || a.found != 15 {
		t.Errorf("%+v became %+v, found %d", before, after, a.found)
	}
	if !s.entries[0].attempted {
		t.Error("what is found may have been sent")
	}
}

// TestSpoolDamage flips every byte of a stored batch, and cuts it everywhere: either it is
// noticed, or the documents are what they were.
func TestSpoolDamage(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<30)
	fill(s, 1, 3)
	e := s.entries[0]
	member, err := s.read(&e, nil)
	if err != nil {
		t.Fatal(err)
	}
	var f inflater
	body, err := f.inflate(nil, member)
	if err != nil {
		t.Fatal(err)
	}
	check := func(damaged []byte) {
		t.Helper()
		if _, err := f.verify(damaged, e.docs); err != nil {
			if !errors.Is(err, errDamaged) {
				t.Error(err)
			}
			return
		}
		if got, err := f.inflate(nil, damaged); err != nil || !bytes.Equal(got, body) {
			t.Errorf("not noticed: %q, %v", got, err)
		}
	}
	for i := range member {
		for _, bit := range []byte{0x01, 0x80, 0xff} {
			damaged := bytes.Clone(member)
			damaged[i] ^= bit
			check(damaged)
		}
		if _, err := f.verify(member[:i], e.docs); err == nil {
			t.Errorf("cut at %d: not noticed", i)
		}
	}
	for _, extra := range [][]byte{{0}, member} {
		if _, err := f.verify(append(bytes.Clone(member), extra...), e.docs); err == nil {
			t.Error("what follows the member isn't noticed")
		}
	}
	if _, err := f.verify(member, e.docs+1); err == nil {
		t.Error("another count in the name isn't noticed")
	}
	if _, err := f.verify(member, e.docs); err != nil {
		t.Error(err)
	}
}

func FuzzInflate(f *testing.F) {
	var d deflater
	whole := d.member(nil, []byte("{\"create\":{}}\n{}\n"), "why")
	f.Add(whole, 1)
	f.Add(whole[:len(whole)-3], 1)
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}, 0)
	f.Fuzz(func(t *testing.T, member []byte, docs int) {
		var z inflater
		size, err := z.verify(member, docs)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Error(err)
			}
			return
		}
		body, err := z.inflate(nil, member)
		if err != nil || len(body) != size || bytes.Count(body, []byte("\n")) != 2*docs {
			t.Errorf("%d documents in %q: %v", docs, body, err)
		}
	})
}

// mounted mounts a small tmpfs for the test.
func mounted(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		lab.Lack(t, "a file system of its own can't be mounted: "+err.Error()+": run as root: sudo go test ./shipper -run "+t.Name())
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestSpoolDiskFull: others fill the disk; batches go to memory, nothing is lost, and all of
// it is on disk when there is room again.
func TestSpoolDiskFull(t *testing.T) {
	disk := mounted(t, "size=512k")
	f := func(name string, block, unblock func()) {
		t.Helper()
		dir := filepath.Join(disk, name)
		s := testSpool(t, dir, 1<<30)
		block()
		fill(s, 3, 5)
		a, content := s.account()
		if content.docs != 15 || content.memoryBytes == 0 || a.fault == "" {
			t.Errorf("full: %+v, fault %q", content, a.fault)
		}
		unblock()
		s.retryAt = time.Time{}
		fill(s, 1, 5)
		a, content = s.account()
		if content.docs != 20 || content.memoryBytes != 0 || a.fault != "" || a.lost != [documentLosses]int{} {
			t.Errorf("room again: %+v, fault %q, lost %v", content, a.fault, a.lost)
		}
		if got := names(t, filepath.Join(dir, liveDir)); len(got) != 4 {
			t.Errorf("on disk: %v", got)
		}
		s.close()
	}
	ballast := filepath.Join(disk, "ballast")
	f("space",
		func() {
			out, err := os.Create(ballast)
			if err != nil {
				t.Fatal(err)
			}
			for {
				if _, err := out.Write(make([]byte, 4096)); err != nil {
					break
				}
			}
			out.Close()
		},
		func() { os.Remove(ballast) })
	f("read-only",
		func() {
			if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
		},
		func() {
			if err := unix.Mount("", disk, "", unix.MS_REMOUNT, ""); err != nil {
				t.Fatal(err)
			}
		})
	f("deleted",
		func() {
			os.RemoveAll(filepath.Join(disk, "deleted"))
			os.WriteFile(filepath.Join(disk, "deleted"), nil, 0o600)
		},
		func() { os.Remove(filepath.Join(disk, "deleted")) })
}

// TestSpoolNoInodes: a disk without inodes is a full disk; what memory has room for is kept
// there.
func TestSpoolNoInodes(t *testing.T) {
	s := testSpool(t, filepath.Join(mounted(t, "size=8m,nr_inodes=12"), "spool"), 1<<30)
	fill(s, 30, 4)
	a, content := s.account()
	if content.docs != 120 || content.bytes == 0 || content.memoryBytes == 0 || a.fault == "" {
		t.Errorf("%+v, lost %v, fault %q", content, a.lost, a.fault)
	}
	s.close()
}

// TestSpoolUnload: what memory has room for drops nothing from a disk that others have filled,
// and is written once there is room.
func TestSpoolUnload(t *testing.T) {
	disk := mounted(t, "size=8m,nr_inodes=16")
	dir := filepath.Join(disk, "spool")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := testSpool(t, dir, 1<<30)
	fill(s, 30, 4) // in memory
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.retryAt = time.Time{}
		s.tick()
		fill(s, 1, 4)
	}
	a, content := s.account()
	if a.lost[lostBudget] != 0 || content.docs != 4*33 || content.bytes == 0 || content.memoryBytes == 0 || a.fault == "" {
		t.Errorf("%+v, lost %v, fault %q", content, a.lost, a.fault)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=8m,nr_inodes=100"); err != nil {
		t.Fatal(err)
	}
	s.retryAt = time.Time{}
	s.tick()
	if a, content := s.account(); content.docs != 4*33 || content.memoryBytes != 0 || a.fault != "" {
		t.Errorf("%+v, lost %v, fault %q", content, a.lost, a.fault)
	}
	s.close()
}

// TestSpoolReserve: near the end of the file system the spool stops growing; it neither
// fills it nor gives up what it has.
func TestSpoolReserve(t *testing.T) {
	s := testSpool(t, filepath.Join(mounted(t, "size=1m"), "spool"), 1<<30)
	fill(s, 400, 4)
	a, content := s.account()
	free, size, err := s.live.free()
	if err != nil || free < size/reserveShare-8192 {
		t.Errorf("%d of %d bytes free: %v", free, size, err)
	}
	if content.docs != 1600 || content.bytes == 0 || content.memoryBytes == 0 {
		t.Errorf("%+v, lost %v, fault %q", content, a.lost, a.fault)
	}
	// More than memory could hold as well: the oldest go, one for each that comes.
	s.used += memoryLimit
	before := content.docs
	s.retryAt = time.Time{}
	s.unload()
	fill(s, 10, 4)
	if a, content := s.account(); a.lost[lostBudget] == 0 || content.docs+a.lost[lostBudget] != before+40 || content.memoryBytes != 0 {
		t.Errorf("%+v, lost %v, fault %q", content, a.lost, a.fault)
	}
	s.close()
}

// TestSpoolDeleted: the directory vanishes under the running agent. What was in it is lost
// and counted; a new one is made.
func TestSpoolDeleted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := testSpool(t, dir, 1<<30)
	fill(s, 3, 5)
	os.RemoveAll(dir)
	fill(s, 1, 5)
	s.retryAt = time.Time{}
	fill(s, 1, 5)
	s.tick()
	a, content := s.account()
	if a.lost[lostDamaged] != 15 || content.docs != 10 || content.gaps != 1 || a.fault != "" || content.memoryBytes != 0 {
		t.Errorf("%+v, lost %v, fault %q", content, a.lost, a.fault)
	}
}

// TestSpoolMemory: memory is bounded, and what it can't hold is in a gap.
func TestSpoolMemory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	os.WriteFile(dir, nil, 0o600)
	s := testSpool(t, dir, 1<<30)
	noise := make([]byte, 1<<20)
	for seq := uint64(1); seq <= 20; seq++ {
		s.remember(batchName{seq: seq, slot: int64(seq), docs: 3}, noise)
	}
	s.writeGaps()
	a, content := s.account()
	if content.memoryBytes > memoryLimit+1<<10 || a.lost[lostMemory] != 3*4+3 || content.docs != 3*15 || content.gaps != 1 {
		t.Errorf("%+v, lost %v", content, a.lost)
	}
	// They can be sent from there.
	e, ok := s.take(newestFirst, func(*batchName) bool { return true })
	if body, err := s.read(&e, nil); !ok || err != nil || e.seq != 20 || len(body) != len(noise) {
		t.Errorf("%v %d %v", e, len(body), err)
	}
	s.acknowledge(&e)
	if _, content := s.account(); content.docs != 3*14 {
		t.Errorf("%+v", content)
	}
}

// TestSpoolMissedFirst: what tells of a missed sweep is there before what was measured after it,
// whenever the agent is killed.
func TestSpoolMissedFirst(t *testing.T) {
	sys := kernel()
	var published []string
	sys.renameat = func(fromDir int, from string, toDir int, to string) error {
		published = append(published, to)
		return unix.Renameat(fromDir, from, toDir, to)
	}
	s := testSpoolOn(t, sys, filepath.Join(t.TempDir(), "spool"), 1, 1<<30)
	defer s.close()
	s.miss(&metric.Missed{Reason: metric.MissedOverrun, Sweeps: 1, FirstSlot: 1, LastSlot: 1})
	fill(s, 1, 3)
	var docs []int
	for _, name := range published {
		n, ok := parseBatchName(name)
		if !ok {
			t.Fatal(name)
		}
		docs = append(docs, n.docs)
	}
	if !slices.Equal(docs, []int{0, 3}) {
		t.Errorf("%v documents were published in %v, want the gap first", docs, published)
	}
}

// TestSpoolFsync: when fsync fails, no batch counts as stored; once it works, all are.
func TestSpoolFsync(t *testing.T) {
	if dir := os.Getenv("SHIPPER_TEST_FSYNC"); dir != "" {
		runtime.LockOSThread() // strace counts the calls of each thread
		s := testSpool(t, dir, 1<<30)
		for range 4 {
			fill(s, 1, 3)
			a, content := s.account()
			fmt.Printf("%d documents, %d in memory, fault: %s\n", content.docs, content.memoryBytes, a.fault)
			s.retryAt = time.Time{}
		}
		return
	}
	strace := lab.Tool(t, "strace", "strace")
	dir := t.TempDir()
	// The first batch fails three times, the second too; then the disk works.
	cmd := exec.Command(strace, "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1..6",
		os.Args[0], "-test.run=^TestSpoolFsync$", "-test.v")
	cmd.Env = append(os.Environ(), "SHIPPER_TEST_FSYNC="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		if bytes.Contains(out, []byte("ptrace")) || bytes.Contains(out, []byte("invalid")) {
			lab.Lack(t, fmt.Sprintf("strace can't inject here (%v: %s): run as root with strace 5 or newer: sudo go test ./shipper -run TestSpoolFsync", err, out))
		}
		t.Fatalf("%v: %s", err, out)
	}
	text := string(out)
	if !strings.Contains(text, "3 documents, ") || strings.Contains(text, "3 documents, 0 in memory") ||
		!strings.Contains(text, "input/output error") || !strings.Contains(text, "12 documents, 0 in memory, fault: \n") {
		t.Errorf("%s", text)
	}
	if got := names(t, filepath.Join(dir, liveDir)); len(got) != 4 {
		t.Errorf("on disk: %v", got)
	}
}

// TestSpoolSameNumber: two files with one number are two batches.
func TestSpoolSameNumber(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, 1<<30)
	fill(s, 2, 3)
	s.close()
	q := filepath.Join(dir, liveDir)
	names := names(t, q)
	first, _ := parseBatchName(names[0])
	first.slot++
	content, err := os.ReadFile(filepath.Join(q, names[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(q, first.String()), content, 0o600); err != nil {
		t.Fatal(err)
	}
	s = testSpool(t, dir, 1<<30)
	a, held := s.account()
	if held.batches != 3 || held.docs != 9 || a.found != 9 || a.alien != 0 || s.seq != 4 {
		t.Errorf("%+v, %+v, next %d", held, a, s.seq)
	}
	for range 3 {
		e, ok := s.take(oldestFirst, func(*batchName) bool { return true })
		if !ok {
			t.Fatal("not all of them can be taken")
		}
		if body, err := s.read(&e, nil); err != nil || len(body) == 0 {
			t.Error(err)
		}
	}
}

// TestSpoolGapLost: what a gap of this run tells of outlives its file.
func TestSpoolGapLost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := testSpool(t, dir, 1<<30)
	s.lose(lostBehind, batchName{seq: s.nextSeq(), slot: 1}, 7)
	s.tick()
	gap := s.entries[0]
	before, err := s.read(&gap, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := func(complaint string) {
		t.Helper()
		s.tick()
		s.retryAt = time.Time{}
		s.tick()
		if got := names(t, filepath.Join(dir, liveDir)); len(got) != 1 || got[0] != gap.String() {
			t.Errorf("%s: %v", complaint, got)
		}
		after, err := s.read(&gap, nil)
		if a, c := s.account(); err != nil || !bytes.Equal(after, before) || c.memoryBytes != 0 || c.gaps != 1 || a.lost[lostBehind] != 7 {
			t.Errorf("%s: %v, %+v, %+v", complaint, err, a, c)
		}
	}
	os.RemoveAll(dir)
	f("deleted")
	if err := os.WriteFile(filepath.Join(dir, liveDir, gap.String()), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, ok := s.take(oldestFirst, func(*batchName) bool { return true })
	if !ok {
		t.Fatal("nothing to be sent")
	}
	s.discard(&e)
	f("damaged")
}

// TestSpoolStatFails: that the directory can't be looked at doesn't mean that it is gone.
func TestSpoolStatFails(t *testing.T) {
	s := testSpool(t, t.TempDir(), 1<<30)
	fill(s, 2, 3)
	s.sys.fstatat = func(int, string, *unix.Stat_t, int) error { return unix.EIO }
	fill(s, 1, 3)
	if a, c := s.account(); c.docs != 9 || a.lost != [documentLosses]int{} || c.memoryBytes != 0 {
		t.Errorf("%+v, %+v", a, c)
	}
}

// TestSpoolComesBack: a directory that was moved away and back brings its batches, but none
// that this run has still.
func TestSpoolComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := testSpool(t, dir, 1<<30)
	fill(s, 2, 3)
	s.lose(lostBehind, batchName{seq: s.nextSeq(), slot: 1}, 7)
	s.tick()
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	fill(s, 1, 3)
	if a, c := s.account(); c.batches != 3 || c.docs != 3 || c.gaps != 2 || a.lost[lostDamaged] != 6 || c.memoryBytes != 0 {
		t.Errorf("away: %+v, %+v", a, c)
	}
	if err := errors.Join(os.Rename(dir, dir+".new"), os.Rename(dir+".old", dir)); err != nil {
		t.Fatal(err)
	}
	s.tick()
	a, c := s.account()
	if c.batches != 4 || c.docs != 6 || c.gaps != 2 || a.found != 6 || a.lost[lostDamaged] != 9 || c.memoryBytes != 0 || a.fault != "" {
		t.Errorf("back: %+v, %+v", a, c)
	}
	for _, e := range s.entries {
		const gapThatCameBack = 4
		if e.attempted != (e.docs > 0 || e.seq == gapThatCameBack) {
			t.Errorf("%v, attempted: %v", e, e.attempted)
		}
		if _, err := s.read(&e, nil); err != nil {
			t.Error(err)
		}
	}
	for range 10 { // descriptors don't pile up
		os.RemoveAll(dir)
		s.tick()
	}
	if n := len(s.abandoned); n > maxAbandoned {
		t.Errorf("%d directories are kept open", n)
	}
}
