package cgroup

import (
	"bytes"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// rowCalled returns the row of a file from the tables of all versions.
func rowCalled(t testing.TB, rows []row, name string) *row {
	t.Helper()
	for i := range rows {
		if rows[i].name == name {
			return &rows[i]
		}
	}
	t.Fatalf("no row %s", name)
	return nil
}

var newest = kernel{major: 99}

// pageSizes are those of the machines that the fixtures are from.
var pageSizes = []string{"1GB", "2MB"}

func allV1() []row { return compile(append(v1Rows(newest), hugePageRows(pageSizes, false, newest)...)) }
func allV2() []row {
	return compile(append(append(v2Rows(), hugePageRows(pageSizes, true, newest)...), pressureRows()...))
}

// fixtureOf is a file of a real kernel and its row.
type fixtureOf struct {
	name string
	row  *row
	b    []byte
}

// fixtures returns all files of real kernels that have a row.
func fixtures(t testing.TB) []fixtureOf {
	var all []fixtureOf
	add := func(dir string, rows []row) {
		entries, err := testdata.ReadDir("testdata/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			for i := range rows {
				if name := dir + "/" + e.Name(); rows[i].name == e.Name() {
					all = append(all, fixtureOf{name, &rows[i], text(t, name)})
				}
			}
		}
	}
	v1, v2 := allV1(), allV2()
	for _, c := range []string{"cpu", "cpuacct", "memory", "blkio", "pids", "cpuset", "numa", "hugetlb"} {
		add("v1/"+c, v1)
	}
	for _, c := range []string{"v1/unified", "v2/load", "v2/disk", "v2/oom", "v2/root", "v2/hugetlb"} {
		add(c, v2)
	}
	return all
}

func TestParseNumber(t *testing.T) {
	plain := &row{keys: []key{{to: metric.MemoryUsage, scale: 1}}}
	limit := &row{keys: []key{{to: metric.MemoryUsage, scale: 1}}, limit: true}
	protection := &row{keys: []key{{to: metric.MemoryUsage, scale: 1}}, limit: true, zeroIsNone: true}
	scaled := &row{keys: []key{{to: metric.MemoryUsage, scale: 1000}}}
	f := func(r *row, b string, bad int, v uint64, ok bool) {
		t.Helper()
		var k sink
		k.reset(new(metric.Sample))
		if got := k.parseNumber([]byte(b), r); got != bad {
			t.Errorf("%q: bad at %d, want %d", b, got, bad)
		}
		if got, read := k.get(metric.MemoryUsage); got != v || read != ok {
			t.Errorf("%q: %d (%v), want %d (%v)", b, got, read, v, ok)
		}
	}
	f(plain, "11886592\n", parsed, 11886592, true)
	f(plain, "0\n", parsed, 0, true)
	f(plain, "18446744073709551615\n", parsed, 1<<64-1, true)
	f(plain, "18446744073709551616\n", 0, 0, false)
	f(plain, "99999999999999999999999\n", 0, 0, false)
	f(plain, "9223372036854771712\n", parsed, 9223372036854771712, true)
	f(plain, "", 0, 0, false)
	f(plain, "\n", 0, 0, false)
	f(plain, "12", 0, 0, false)
	f(plain, "12\r\n", 0, 0, false)
	f(plain, "-1\n", 0, 0, false)
	f(plain, "max\n", 0, 0, false)
	f(plain, " 12\n", 0, 0, false)
	f(plain, "12\n13\n", 0, 0, false)
	f(plain, "\x00\xff", 0, 0, false)
	f(limit, "max\n", parsed, 0, false)
	f(limit, "-1\n", parsed, 0, false)
	f(limit, "9223372036854771712\n", parsed, 0, false)
	f(limit, "9223372036854710272\n", parsed, 0, false) // pages of 64 KiB
	f(limit, "0\n", parsed, 0, true)
	f(limit, "67108864\n", parsed, 67108864, true)
	f(limit, "maximum\n", 0, 0, false)
	f(protection, "0\n", parsed, 0, false)
	f(protection, "33554432\n", parsed, 33554432, true)
	f(scaled, "7\n", parsed, 7000, true)
	f(scaled, "18446744073709551615\n", 0, 0, false)
}

func TestParseQuota(t *testing.T) {
	f := func(b string, bad int, quota, period uint64, limited bool) {
		t.Helper()
		var k sink
		k.reset(new(metric.Sample))
		if got := k.parseQuota([]byte(b), metric.CPUQuota, metric.CPUPeriod); got != bad {
			t.Errorf("%q: bad at %d, want %d", b, got, bad)
		}
		q, ok := k.get(metric.CPUQuota)
		p, hasPeriod := k.get(metric.CPUPeriod)
		if q != quota || p != period || ok != limited || hasPeriod != (bad == parsed) {
			t.Errorf("%q: %d (%v) of %d (%v)", b, q, ok, p, hasPeriod)
		}
	}
	f("20000 100000\n", parsed, 20000, 100000, true)
	f("max 100000\n", parsed, 0, 100000, false)
	f("max\n", 0, 0, 0, false)
	f("maxi 100000\n", 0, 0, 0, false)
	f("20000 100000", 6, 0, 0, false)
	f("20000\n", 0, 0, 0, false)
	f("20000 max\n", 6, 0, 0, false)
	f("", 0, 0, 0, false)
}

func TestParseList(t *testing.T) {
	f := func(b string, bad int, cpus uint64, list string) {
		t.Helper()
		var k sink
		k.reset(new(metric.Sample))
		if got := k.parseList([]byte(b), metric.CPUSetCPUs); got != bad {
			t.Errorf("%q: bad at %d, want %d", b, got, bad)
		}
		if n, _ := k.get(metric.CPUSetCPUs); n != cpus || k.sample.CPUSet != list {
			t.Errorf("%q: %d CPUs %q", b, n, k.sample.CPUSet)
		}
	}
	f("0-1\n", parsed, 2, "0-1")
	f("0\n", parsed, 1, "0")
	f("0-3,8,10-11\n", parsed, 7, "0-3,8,10-11")
	f("\n", parsed, 0, "")
	f("", 0, 0, "")
	f("3-1\n", 0, 0, "")
	f("0-3,2\n", 4, 0, "")
	f("0-3", 0, 0, "")
	f("0-3,\n", 4, 0, "")
	f("0-99999999999\n", 0, 0, "")
	f("0-3\n\n", 0, 0, "")
}

func TestParsePerCPU(t *testing.T) {
	f := func(b string, bad int, ns ...uint64) {
		t.Helper()
		var k sink
		k.reset(new(metric.Sample))
		if got := k.parsePerCPU([]byte(b), metric.CPUUsagePerCPU, metric.CPUUsage); got != bad {
			t.Errorf("%q: bad at %d, want %d", b, got, bad)
		}
		if bad != parsed {
			return
		}
		if k.sample.Rows(metric.PerCPU) != len(ns) {
			t.Fatalf("%q: %d CPUs, want %d", b, k.sample.Rows(metric.PerCPU), len(ns))
		}
		sum := uint64(0)
		for i, v := range ns {
			if got, ok := k.sample.GetRow(metric.CPUUsagePerCPU, i); !ok || got != v {
				t.Errorf("%q: CPU %d: %d (%v)", b, i, got, ok)
			}
			sum += v
		}
		if got, ok := k.get(metric.CPUUsage); !ok || got != sum {
			t.Errorf("%q: %d (%v) in all, want %d", b, got, ok, sum)
		}
	}
	f("18446744073709551615 1 \n", 21)
	f("249687329 389807964 \n", parsed, 249687329, 389807964)
	f("5\n", parsed, 5)
	f("5 0 0 7\n", parsed, 5, 0, 0, 7)
	f("", 0)
	f("5 ", 2)
	f("5 6", 2)
	f("5 x\n", 2)
	f("5x\n", 0)
	f("\n", 0)
}

func TestParseFlat(t *testing.T) {
	keys := []key{{"user", metric.CPUUser, 10}, {"system", metric.CPUSystem, 1}}
	f := func(b string, bad int, user, system uint64) {
		t.Helper()
		var l layout
		for range 2 { // the second time by the layout that was learned
			var k sink
			k.reset(new(metric.Sample))
			if got := k.parseFlat([]byte(b), keys, &l); got != bad {
				t.Errorf("%q: bad at %d, want %d", b, got, bad)
			}
			if bad != parsed {
				continue
			}
			u, _ := k.get(metric.CPUUser)
			s, _ := k.get(metric.CPUSystem)
			if u != user || s != system {
				t.Errorf("%q: user %d, system %d", b, u, s)
			}
		}
	}
	f("user 48\nsystem 15\n", parsed, 480, 15)
	f("system 15\nuser 48\n", parsed, 480, 15)
	f("nice -3\nuser 48\nwait max\nsystem 15\n", parsed, 480, 15)
	f("nobody 1\n", parsed, 0, 0)
	f("users 9\nuser 48\n", parsed, 480, 0)
	f("", 0, 0, 0)
	f("user\n", 0, 0, 0)
	f("user 48\nsystem 1", 8, 0, 0)
	f("user 48\nidle 1", 8, 0, 0)
	f("user 48\r\n", 0, 0, 0)
	f("user -48\n", 0, 0, 0)
	f("user 18446744073709551615\n", 0, 0, 0)
	f("user \n", 0, 0, 0)
}

// A file whose lines moved since the layout was learned is read all the same.
func TestParseFlatMoved(t *testing.T) {
	keys := []key{{"user", metric.CPUUser, 1}, {"system", metric.CPUSystem, 1}}
	var l layout
	var k sink
	for _, b := range []string{"nice 1\nuser 2\nsystem 3\n", "user 2\nsystem 3\n", "system 3\nnice 1\nirq 4\nuser 2\n"} {
		k.reset(new(metric.Sample))
		if bad := k.parseFlat([]byte(b), keys, &l); bad != parsed {
			t.Fatalf("%q: bad at %d", b, bad)
		}
		if u, _ := k.get(metric.CPUUser); u != 2 {
			t.Errorf("%q: user %d", b, u)
		}
		if s, _ := k.get(metric.CPUSystem); s != 3 {
			t.Errorf("%q: system %d", b, s)
		}
	}
}

func TestParsePressure(t *testing.T) {
	f := func(b string, bad int, w want) {
		t.Helper()
		var k sink
		k.reset(new(metric.Sample))
		if got := k.parsePressure([]byte(b), metric.PressureCPUSome); got != bad {
			t.Errorf("%q: bad at %d, want %d", b, got, bad)
		}
		if bad == parsed {
			w.check(t, k.sample)
		}
	}
	const some = "some avg10=60.59 avg60=43.22 avg300=100.00 total=44659628\n"
	const full = "full avg10=0.00 avg60=0.07 avg300=13.44 total=44627027\n"
	someWant := want{metric.PressureCPUSome: 44659628000, metric.PressureCPUSomeAvg10: 6059, metric.PressureCPUSomeAvg60: 4322, metric.PressureCPUSomeAvg300: 10000}
	both := want{metric.PressureCPUFull: 44627027000, metric.PressureCPUFullAvg10: 0, metric.PressureCPUFullAvg60: 7, metric.PressureCPUFullAvg300: 1344}
	for id, v := range someWant {
		both[id] = v
	}
	f(some, parsed, someWant) // before Linux 5.13
	f(some+full, parsed, both)
	f("most avg10=1.00\n"+some, parsed, someWant)
	f("", 0, nil)
	f(strings.TrimSuffix(some, "\n"), 0, nil)
	f("some avg10=60.5 avg60=43.22 avg300=1.00 total=4\n", 5, nil)
	f("some avg10=60 avg60=43.22 avg300=1.00 total=4\n", 5, nil)
	f("some avg10=60.590 avg60=43.22 avg300=1.00 total=4\n", 5, nil)
	f("some avg10=1.00 avg60=1.00 avg300=1.00 total=\n", 39, nil)
	f("some avg10=1.00 avg60=1.00 avg300=1.00 total=18446744073709551615\n", 39, nil)
	f("some avg10=1.00 avg60=1.00 avg300=1.00 total=-4\n", 39, nil)
}

func TestParseIOStat(t *testing.T) {
	f := func(b string, bad int, rows int, w want) {
		t.Helper()
		var k sink
		k.reset(new(metric.Sample))
		if got := k.parseIOStat([]byte(b), ioKeys()); got != bad {
			t.Errorf("%q: bad at %d, want %d", b, got, bad)
		}
		if bad != parsed {
			return
		}
		if n := k.sample.Rows(metric.PerDevice); n != rows {
			t.Errorf("%q: %d devices, want %d", b, n, rows)
		}
		if w != nil {
			checkRow(t, k.sample, metric.PerDevice, "254:0", w)
		}
	}
	const line = "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"
	all := want{metric.DiskReadBytes: 1, metric.DiskWriteBytes: 2, metric.DiskReadOperations: 3, metric.DiskWriteOperations: 4, metric.DiskDiscardBytes: 5, metric.DiskDiscardOperations: 6}
	f(line, parsed, 1, all)
	f("", parsed, 0, nil)
	f("7:7 \n7:6 \n"+line, parsed, 1, all)
	f("7:7 7:6 "+line, parsed, 1, all)
	f("8:0 rbytes=9\n"+line, parsed, 2, all)
	f("254:0 wios=4 rbytes=1\n", parsed, 1, want{metric.DiskReadBytes: 1, metric.DiskWriteOperations: 4})
	f("254:0 rbytes=1 cost.vrate=100.00 cost.usage=7 wbytes=2\n", parsed, 1, want{metric.DiskReadBytes: 1, metric.DiskWriteBytes: 2})
	f("(unknown) rbytes=1\n", parsed, 0, nil)
	f(strings.TrimSuffix(line, "\n"), 0, 0, nil)
	f("254: rbytes=1\n", 0, 0, nil)
	f("254 rbytes=1\n", 0, 0, nil)
	f("4294967296:0 rbytes=1\n", 0, 0, nil)
	f("254:0 rbytes=-1\n", 6, 0, nil)
	f("254:0 rbytes=18446744073709551616\n", 6, 0, nil)
	f("254:0 rbytes=\n", 6, 0, nil)
}

func TestParseBlkio(t *testing.T) {
	f := func(b string, bad int, w want) {
		t.Helper()
		var k sink
		k.reset(new(metric.Sample))
		if got := k.parseBlkio([]byte(b), blkioBytes()); got != bad {
			t.Errorf("%q: bad at %d, want %d", b, got, bad)
		}
		if w != nil {
			checkRow(t, k.sample, metric.PerDevice, "254:0", w)
		}
	}
	f(string(text(t, "v1/blkio/blkio.throttle.io_service_bytes_recursive")), parsed, want{metric.DiskReadBytes: 16867328, metric.DiskWriteBytes: 8388608, metric.DiskDiscardBytes: 0})
	f("Total 0\n", parsed, nil)
	f("", parsed, nil)
	f("254:0 Read 1\n254:1 Read 2\nTotal 3\n", parsed, want{metric.DiskReadBytes: 1})
	f("254:0 Read 1", 0, nil)
	f("254:0 Read x\n", 0, nil)
	f("254:0 1\n", 0, nil)
	f("254:0\n", 0, nil)
	f("254:0 Read 1 2\n", 0, nil)
}

func TestHasDevice(t *testing.T) {
	f := func(b string, has bool) {
		t.Helper()
		if hasDevice([]byte(b)) != has {
			t.Errorf("%q: %v", b, !has)
		}
	}
	f("Total 0\n", false)
	f("", false)
	f("Total 1", false)
	f("254:0 Read 1\nTotal 1\n", true)
	f("Total 1\n254:0 Read 1\n", true)
}

// Every real file cut off anywhere, empty or garbled gives the right numbers of whole
// lines or none, and never panics.
func TestDamagedFiles(t *testing.T) {
	for _, fx := range fixtures(t) {
		var whole sink
		whole.reset(new(metric.Sample))
		if bad := whole.parse(fx.row, fx.b, nil); bad != parsed {
			t.Errorf("%s: bad at %d: %q", fx.name, bad, fx.b[bad:])
			continue
		}
		for cut := range fx.b {
			if cut > 0 && cut < len(fx.b)-1 && testing.Short() {
				continue
			}
			var k sink
			k.reset(new(metric.Sample))
			bad := k.parse(fx.row, fx.b[:cut], nil)
			if lineEnd := cut == 0 || fx.b[cut-1] == '\n'; bad == parsed && !lineEnd {
				t.Errorf("%s: cut after %d bytes was not noticed", fx.name, cut)
			}
			if bad != parsed {
				k.forget(fx.row)
			}
			checkSubset(t, fx.name, k.sample, whole.sample)
		}
		for _, junk := range [][]byte{bytes.Repeat([]byte{0}, 64), bytes.Repeat([]byte{0xff}, 64), bytes.ReplaceAll(fx.b, []byte("\n"), []byte("\r\n"))} {
			var k sink
			k.reset(new(metric.Sample))
			if bad := k.parse(fx.row, junk, nil); bad == parsed {
				// Unknown words, of lines or devices, are no damage.
				checkSubset(t, fx.name, k.sample, whole.sample)
			} else if bad < 0 || bad > len(junk) {
				t.Errorf("%s: bad at %d of %d", fx.name, bad, len(junk))
			}
		}
	}
}

// checkSubset checks that every number of s is in whole, with the same value.
func checkSubset(t *testing.T, name string, s, whole *metric.Sample) {
	t.Helper()
	for per := metric.PerContainer; per <= metric.PerDevice; per++ {
		for row := range s.Rows(per) {
			like := whole.RowLike(s, per, row)
			for col := range per.Width() {
				id := per.First() + metric.ID(col)
				v, ok := s.GetRow(id, row)
				if !ok {
					continue
				}
				if w, ok := whole.GetRow(id, max(like, 0)); like < 0 || !ok || v != w {
					t.Errorf("%s: %v = %d, in the whole file %d (%v)", name, id, v, w, ok)
				}
			}
		}
	}
}

func TestParseAllocs(t *testing.T) {
	for _, fx := range fixtures(t) {
		var k sink
		var l layout
		var s metric.Sample
		k.reset(&s)
		parse := func() {
			if bad := k.parse(fx.row, fx.b, &l); bad != parsed {
				t.Fatalf("%s: bad at %d", fx.name, bad)
			}
		}
		parse()
		if n := testing.AllocsPerRun(20, parse); n != 0 {
			t.Errorf("%s: %v allocations", fx.name, n)
		}
	}
}

// fuzzShape fuzzes the parser of one shape with the real files of that shape.
func fuzzShape(f *testing.F, shape shape, more ...string) {
	var rows []*row
	for _, fx := range fixtures(f) {
		if fx.row.shape == shape {
			f.Add(fx.b, uint8(len(rows)))
			rows = append(rows, fx.row)
		}
	}
	for _, b := range more {
		f.Add([]byte(b), uint8(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		r := rows[int(which)%len(rows)]
		var l layout
		var first, second sink
		first.reset(new(metric.Sample))
		second.reset(new(metric.Sample))
		bad := first.parse(r, b, &l)
		if bad != parsed && (bad < 0 || bad > len(b)) {
			t.Fatalf("bad at %d of %d", bad, len(b))
		}
		if again := second.parse(r, b, &l); again != bad {
			t.Fatalf("bad at %d, then at %d by the layout", bad, again)
		}
		checkSubset(t, r.name, second.sample, first.sample)
		checkSubset(t, r.name, first.sample, second.sample)
		if bad == parsed {
			if len(b) > 0 && b[len(b)-1] != '\n' {
				t.Fatal("a torn line was not noticed")
			}
			return
		}
		first.forget(r)
		if first.sample.Len() != 0 {
			t.Fatal("a number was not forgotten")
		}
	})
}

func FuzzNumber(f *testing.F) {
	fuzzShape(f, shapeNumber, "max\n", "-1\n", "9223372036854771712\n", "12\r\n")
}
func FuzzFlat(f *testing.F)     { fuzzShape(f, shapeFlat, "low 0\nhigh 0\nmax 18446744073709551615\n") }
func FuzzPressure(f *testing.F) { fuzzShape(f, shapePressure) }
func FuzzPerCPU(f *testing.F)   { fuzzShape(f, shapePerCPU, "1 2 3 4") }
func FuzzQuota(f *testing.F)    { fuzzShape(f, shapeQuota, "max 100000\n") }
func FuzzList(f *testing.F)     { fuzzShape(f, shapeList, "0-3,8\n", "\n") }
func FuzzIOStat(f *testing.F) {
	fuzzShape(f, shapeIOStat, "7:7 7:6 254:0 rbytes=1 cost.vrate=100.00\n")
}
func FuzzNUMA(f *testing.F) {
	fuzzShape(f, shapeNUMA, "total=1 N0=1\nfile=0\n", "anon N0=4096 N1=1\n", "anon N0=4096 M1=1\n", "file=1 N0=\n", "file\n")
}
func FuzzHugePages(f *testing.F)      { fuzzShape(f, shapeHugePages, "6291456\n") }
func FuzzHugePageEvents(f *testing.F) { fuzzShape(f, shapeHugePageEvents, "max 0\nlow 1\n", "max\n") }
func FuzzBlkio(f *testing.F)          { fuzzShape(f, shapeBlkio, "Total 0\n", "254:0 Read\n") }

func FuzzPids(f *testing.F) {
	f.Add([]byte("4711\n0\n12\n99999999999\n1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pids, used := appendPidLines(nil, b)
		if used > len(b) || used > 0 && b[used-1] != '\n' || bytes.IndexByte(b[used:], '\n') >= 0 {
			t.Fatalf("used %d of %d", used, len(b))
		}
		for _, pid := range pids {
			if pid <= 0 {
				t.Fatalf("pid %d", pid)
			}
		}
	})
}

func BenchmarkParseMemoryStatV1(b *testing.B) {
	benchmarkParse(b, rowCalled(b, allV1(), "memory.stat"), text(b, "v1/memory/memory.stat"))
}

func BenchmarkParseMemoryStatV2(b *testing.B) {
	benchmarkParse(b, rowCalled(b, allV2(), "memory.stat"), text(b, "v2/load/memory.stat"))
}

func benchmarkParse(b *testing.B, r *row, file []byte) {
	var k sink
	var l layout
	var s metric.Sample
	k.reset(&s)
	b.ReportAllocs()
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if bad := k.parse(r, file, &l); bad != parsed {
			b.Fatal(bad)
		}
	}
}
