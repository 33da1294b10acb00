package metric

import (
	"math"
	"math/rand/v2"
	"regexp"
	"testing"
)

func TestTableHasNoHolesAndUniqueNames(t *testing.T) {
	word := regexp.MustCompile(`^[a-z][a-z0-9_.]*[a-z0-9]$`)
	seen := map[Per]map[string]ID{}
	for id := range ID(NumIDs) {
		d := Describe(id)
		if !word.MatchString(d.Field) {
			t.Errorf("ID %d: field %q isn't a lower-case dotted name", id, d.Field)
		}
		if len(d.Help) < 5 || d.Help[len(d.Help)-1] != '.' {
			t.Errorf("%s: help %q isn't a sentence", d.Field, d.Help)
		}
		per := id.Per()
		// The node's document joins the numbers of its cgroup, its own, and the
		// sums over its interfaces and devices: there names must not meet.
		if per == PerNode || per == PerInterface || per == PerDevice {
			per = PerContainer
		}
		if seen[per] == nil {
			seen[per] = map[string]ID{}
		}
		if other, ok := seen[per][d.Field]; ok {
			t.Errorf("IDs %d and %d are both %q", other, id, d.Field)
		}
		seen[per][d.Field] = id
	}
}

func TestPerCoversIDsInOrder(t *testing.T) {
	next := ID(0)
	for p := range Per(NumPer) {
		if p.First() != next || p.Width() <= 0 {
			t.Errorf("%v: first %d, width %d; want first %d", p, p.First(), p.Width(), next)
		}
		for id := p.First(); id < p.First()+ID(p.Width()); id++ {
			if id.Per() != p {
				t.Errorf("ID %d is per %v, want %v", id, id.Per(), p)
			}
		}
		if p.Width() > 128 {
			t.Errorf("%v has %d columns; a mask has 128 bits", p, p.Width())
		}
		next += ID(p.Width())
	}
	if int(next) != NumIDs {
		t.Errorf("%d IDs covered of %d", next, NumIDs)
	}
}

func TestAbsentIsNotZero(t *testing.T) {
	var s Sample
	if _, read := s.Get(CPUUsage); read {
		t.Error("an empty sample has a CPU usage")
	}
	s.Put(CPUUsage, 0)
	if v, read := s.Get(CPUUsage); !read || v != 0 {
		t.Errorf("got %d, %v after Put(0)", v, read)
	}
	var set Set
	set.Add(CPUUsage)
	s.Put(MemoryUsage, 7)
	s.Forget(&set)
	if _, read := s.Get(CPUUsage); read {
		t.Error("a forgotten number is still there")
	}
	if v, read := s.Get(MemoryUsage); !read || v != 7 {
		t.Error("Forget took a number that isn't in the set")
	}
}

func TestIncrease(t *testing.T) {
	f := func(prev, cur func(*Sample), want uint64, wantOK bool) {
		t.Helper()
		var a, b Sample
		prev(&a)
		cur(&b)
		row := b.RowByName(PerInterface, []byte("eth0"))
		if got, ok := b.Increase(&a, NetworkReceiveBytes, max(row, 0)); got != want || ok != wantOK {
			t.Errorf("got %d, %v; want %d, %v", got, ok, want, wantOK)
		}
	}
	row := func(name string, v uint64) func(*Sample) {
		return func(s *Sample) { s.PutRow(NetworkReceiveBytes, s.AddRow(PerInterface, Key{Name: name}), v) }
	}
	both := func(fs ...func(*Sample)) func(*Sample) {
		return func(s *Sample) {
			for _, f := range fs {
				f(s)
			}
		}
	}
	nothing := func(*Sample) {}

	f(row("eth0", 5), row("eth0", 8), 3, true)
	f(row("eth0", 5), row("eth0", 5), 0, true)
	f(row("eth0", 5), row("eth0", 4), 0, false)                          // fell: started anew
	f(nothing, row("eth0", 8), 0, false)                                 // appeared
	f(row("eth0", 5), nothing, 0, false)                                 // vanished
	f(row("eth1", 5), row("eth0", 8), 0, false)                          // another interface
	f(both(row("lo", 1), row("eth0", 5)), row("eth0", 9), 4, true)       // moved up
	f(row("eth0", 5), both(row("eth1", 1), row("eth0", 6)), 1, true)     // moved down
	f(row("eth0", 0), row("eth0", math.MaxUint64), math.MaxUint64, true) // all the way
	f(row("eth0", math.MaxUint64), row("eth0", 1), 0, false)             // wrapped: a reset
}

func TestDropEmptyRows(t *testing.T) {
	var s Sample
	for i, name := range []string{"a", "b", "c", "d"} {
		row := s.AddRow(PerInterface, Key{Name: name})
		if name == "b" || name == "d" {
			s.PutRow(NetworkTransmitBytes, row, uint64(i))
		}
	}
	s.DropEmptyRows()
	if n := s.Rows(PerInterface); n != 2 {
		t.Fatalf("%d rows left, want 2", n)
	}
	for i, want := range []string{"b", "d"} {
		v, read := s.GetRow(NetworkTransmitBytes, i)
		if got := s.Key(PerInterface, i).Name; got != want || !read || v != uint64(2*i+1) {
			t.Errorf("row %d is %s = %d (%v), want %s = %d", i, got, v, read, want, 2*i+1)
		}
	}
}

func TestRowsOfAFailedReadingStay(t *testing.T) {
	var s Sample
	s.PutRow(DiskReadBytes, s.AddRow(PerDevice, Key{Name: "sda"}), 5)
	var all Set
	all.Add(DiskReadBytes)
	s.Forget(&all)
	s.DropEmptyRows()
	if s.Rows(PerDevice) != 1 {
		t.Error("a device is forgotten because its file couldn't be read once")
	}
}

// randomSample fills some numbers of some rows.
func randomSample(r *rand.Rand, s *Sample) {
	for id := range ID(NumIDs) {
		per := id.Per()
		if s.Rows(per) == 0 {
			for i := range 1 + r.IntN(3) {
				s.AddRow(per, Key{Name: string(rune('a' + i)), Major: uint32(i)})
				if per == PerContainer || per == PerNode {
					break
				}
			}
		}
		for row := range s.Rows(per) {
			switch r.IntN(4) {
			case 0:
				s.PutRow(id, row, r.Uint64())
			case 1:
				v, _ := s.GetRow(id, row)
				s.PutRow(id, row, v+uint64(r.IntN(1000)))
			}
		}
	}
	s.Time += r.Int64N(3e9)
}

func equal(a, b *Sample) bool {
	if a.Time != b.Time || a.CPUSet != b.CPUSet {
		return false
	}
	for id := range ID(NumIDs) {
		if a.Rows(id.Per()) != b.Rows(id.Per()) {
			return false
		}
		for row := range a.Rows(id.Per()) {
			av, aread := a.GetRow(id, row)
			bv, bread := b.GetRow(id, row)
			if av != bv || aread != bread {
				return false
			}
		}
	}
	return true
}

func TestDeltaRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var prev, cur, got Sample
		randomSample(r, &prev)
		cur.CopyFrom(&prev)
		randomSample(r, &cur)
		b, ok := cur.AppendDelta([]byte("head"), &prev)
		if !ok {
			t.Fatal("no delta for equal rows")
		}
		got.CopyFrom(&prev)
		rest, err := got.ApplyDelta(append(b[4:], "tail"...))
		if err != nil || string(rest) != "tail" {
			t.Fatalf("rest %q, error %v", rest, err)
		}
		if !equal(&got, &cur) {
			t.Fatal("the sample changed on the way")
		}
		for cut := range len(b) - 4 {
			got.CopyFrom(&prev)
			if _, err := got.ApplyDelta(b[4 : 4+cut]); err == nil {
				t.Fatalf("a delta cut to %d of %d bytes was taken", cut, len(b)-4)
			}
		}
	}
}

func TestWholeSampleRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var got Sample
	randomSample(r, &got) // something that has to go
	for range 200 {
		var s Sample
		randomSample(r, &s)
		keys := KeysOf(&s)
		if !keys.Of(&s) {
			t.Fatal("a sample hasn't got its own rows")
		}
		got.Reset(keys)
		if got.Len() != 0 {
			t.Fatalf("%d numbers are read after Reset", got.Len())
		}
		if rest, err := got.ApplyDelta(s.AppendWhole(nil)); err != nil || len(rest) != 0 {
			t.Fatalf("rest %q, error %v", rest, err)
		}
		if !equal(&got, &s) || !got.SameNumbers(&s) {
			t.Fatal("the sample changed on the way")
		}
	}
}

func TestKeysOf(t *testing.T) {
	sample := func(cpuset string, keys ...Key) *Sample {
		s := &Sample{CPUSet: cpuset}
		for _, key := range keys {
			s.AddRow(PerInterface, key)
		}
		return s
	}
	a, b := Key{Name: "eth0"}, Key{Name: "eth1"}
	one := KeysOf(sample("0", a))
	other := sample("0")
	other.AddRow(PerDevice, a)
	for name, s := range map[string]*Sample{
		"one more": sample("0", a, b), "none": sample("0"), "another": sample("0", b), "other CPUs": sample("1", a), "of another kind": other,
	} {
		if one.Of(s) {
			t.Errorf("%s: taken for the same rows", name)
		}
	}
	if !one.Of(sample("0", a)) {
		t.Error("the same rows are taken for others")
	}
}

func TestDeltaNeedsEqualRows(t *testing.T) {
	var a, b Sample
	a.AddRow(PerInterface, Key{Name: "eth0"})
	if dst, ok := a.AppendDelta([]byte("x"), &b); ok || string(dst) != "x" {
		t.Errorf("got %q, %v for a new interface", dst, ok)
	}
}

func FuzzApplyDelta(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	var prev, cur Sample
	randomSample(r, &prev)
	cur.CopyFrom(&prev)
	randomSample(r, &cur)
	b, _ := cur.AppendDelta(nil, &prev)
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Sample
		s.CopyFrom(&prev)
		if _, err := s.ApplyDelta(b); err == nil && s.Rows(PerContainer) != 1 {
			t.Error("rows changed")
		}
	})
}

func TestWindowKeepsThePeaks(t *testing.T) {
	var w Window
	var prev, cur Sample
	at := func(s *Sample, second int64, cpu, ws uint64) {
		s.Time = second * 1e9
		s.Put(CPUUsage, cpu)
		s.Put(MemoryWorkingSet, ws)
	}
	at(&w.First, 100, 0, 50)
	prev.CopyFrom(&w.First)
	for i, step := range []struct{ cpu, ws uint64 }{{1e8, 60}, {21e8, 900}, {22e8, 70}} {
		at(&cur, 101+int64(i), step.cpu, step.ws)
		w.Observe(&prev, &cur)
		prev.CopyFrom(&cur)
	}
	w.Last = &cur
	if w.Samples != 3 || w.PeakCPU != 2e9 || w.PeakWorkingSet != 900 || w.Seconds() != 3 {
		t.Errorf("got %d samples, peak CPU %d, peak working set %d, %g s", w.Samples, w.PeakCPU, w.PeakWorkingSet, w.Seconds())
	}
	w.Next()
	if w.HasPeakCPU || w.HasPeakMemory || w.First.Time != 103e9 || w.Samples != 0 {
		t.Error("the next window doesn't begin where this one ended")
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var a, b Sample
	randomSample(r, &a)
	b.CopyFrom(&a)
	buf := make([]byte, 0, 1<<16)
	var set Set
	set.Add(CPUUsage)
	if n := testing.AllocsPerRun(100, func() {
		b.CopyFrom(&a)
		b.Forget(&set)
		b.Put(CPUUsage, 1)
		buf, _ = b.AppendDelta(buf[:0], &a)
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkSampleDelta(b *testing.B) {
	var prev, cur Sample
	for id := range ID(endContainer) {
		prev.Put(id, uint64(id)*1000)
	}
	row := prev.AddRow(PerInterface, Key{Name: "eth0"})
	for id := PerInterface.First(); id < PerInterface.First()+ID(PerInterface.Width()); id++ {
		prev.PutRow(id, row, 5)
	}
	cur.CopyFrom(&prev)
	for id := CPUUsage; id < MemoryKernel; id++ {
		cur.Put(id, uint64(id)*1000+12345)
	}
	buf := make([]byte, 0, 1<<12)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = cur.AppendDelta(buf[:0], &prev)
	}
	b.ReportMetric(float64(len(buf)), "B/delta")
}
