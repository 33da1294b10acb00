package cgroup

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// What testdata/v2/load holds.
func v2Load() want {
	return want{
		metric.CPUUsage: 14961818000, metric.CPUUser: 14445489000, metric.CPUSystem: 516328000,
		metric.CPUPeriods: 740, metric.CPUThrottledPeriods: 734, metric.CPUThrottledTime: 55663916000,
		metric.CPUBursts: 0, metric.CPUBurstTime: 0,
		metric.CPUQuota: 20000, metric.CPUPeriod: 100000, metric.CPUBurstLimit: 0,
		metric.CPUWeight: 100, metric.CPUShares: 1024, metric.CPUSetCPUs: 2,

		metric.MemoryUsage: 10457088, metric.MemoryWorkingSet: 10457088 - 176128,
		metric.MemoryRSS: 61440, metric.MemoryCache: 10096640, metric.MemoryMappedFile: 1544192,
		metric.MemoryShmem: 8388608, metric.MemorySwap: 0, metric.MemoryKernel: 299008,
		metric.MemoryActiveAnon: 4096, metric.MemoryInactiveAnon: 8445952,
		metric.MemoryActiveFile: 1531904, metric.MemoryInactiveFile: 176128,
		metric.MemoryUnevictable: 0, metric.MemoryDirty: 0, metric.MemoryWriteback: 0, metric.MemorySlab: 223768,
		metric.MemoryPeak: 11886592, metric.MemoryFailures: 0,
		metric.MemoryPageFaults: 1000, metric.MemoryMajorPageFaults: 15,
		metric.MemoryRefaultsAnon: 0, metric.MemoryRefaultsFile: 0,
		metric.MemoryPagesScanned: 0, metric.MemoryPagesReclaimed: 0,
		metric.MemoryLowEvents: 0, metric.MemoryHighEvents: 0, metric.MemoryMaxEvents: 0,
		metric.MemoryOOMEvents: 0, metric.MemoryOOMKills: 0,
		metric.MemoryLimit: 67108864, metric.MemoryReservation: 33554432, metric.MemorySwapLimit: 33554432,

		metric.PressureCPUSome: 44659628000, metric.PressureCPUSomeAvg10: 6059, metric.PressureCPUSomeAvg60: 4322, metric.PressureCPUSomeAvg300: 1345,
		metric.PressureCPUFull: 44627027000, metric.PressureCPUFullAvg10: 6059, metric.PressureCPUFullAvg60: 4320, metric.PressureCPUFullAvg300: 1344,
		metric.PressureMemorySome: 0, metric.PressureMemorySomeAvg10: 0, metric.PressureMemorySomeAvg60: 0, metric.PressureMemorySomeAvg300: 0,
		metric.PressureMemoryFull: 0, metric.PressureMemoryFullAvg10: 0, metric.PressureMemoryFullAvg60: 0, metric.PressureMemoryFullAvg300: 0,
		metric.PressureIOSome: 5274000, metric.PressureIOSomeAvg10: 0, metric.PressureIOSomeAvg60: 0, metric.PressureIOSomeAvg300: 0,
		metric.PressureIOFull: 5128000, metric.PressureIOFullAvg10: 0, metric.PressureIOFullAvg60: 0, metric.PressureIOFullAvg300: 0,

		metric.PidsCurrent: 1, metric.PidsLimit: 50, metric.PidsLimitHits: 0,
	}
}

// What testdata/v1 holds, pressure apart.
func v1Load() want {
	return want{
		metric.CPUUsage: 639495293, metric.CPUUser: 480_000_000, metric.CPUSystem: 150_000_000,
		metric.CPUPeriods: 34, metric.CPUThrottledPeriods: 31, metric.CPUThrottledTime: 2249716561,
		metric.CPUBursts: 0, metric.CPUBurstTime: 0,
		metric.CPUQuota: 20000, metric.CPUPeriod: 100000, metric.CPUBurstLimit: 0, metric.CPUShares: 512, metric.CPUSetCPUs: 2,

		metric.MemoryUsage: 6885376, metric.MemoryWorkingSet: 6885376 - 4096,
		metric.MemoryRSS: 6406144, metric.MemoryCache: 4096, metric.MemoryMappedFile: 0, metric.MemoryShmem: 0,
		metric.MemorySwap: 0, metric.MemoryKernel: 184320,
		metric.MemoryActiveAnon: 8192, metric.MemoryInactiveAnon: 6397952, metric.MemoryActiveFile: 0, metric.MemoryInactiveFile: 4096,
		metric.MemoryUnevictable: 0, metric.MemoryDirty: 4096, metric.MemoryWriteback: 0,
		metric.MemoryPeak: 67108864, metric.MemoryFailures: 2233,
		metric.MemoryPageFaults: 20856, metric.MemoryMajorPageFaults: 1, metric.MemoryRefaultsAnon: 0, metric.MemoryRefaultsFile: 22,
		metric.MemoryOOMKills: 1,
		metric.MemoryLimit:    67108864, metric.MemoryReservation: 33554432, metric.MemorySwapLimit: 100663296 - 67108864,

		metric.PidsCurrent: 2, metric.PidsLimit: 50, metric.PidsLimitHits: 0,
	}
}

// What testdata/v1/unified adds.
func hybridPressure() want {
	return want{
		metric.PressureCPUSome: 1516136000, metric.PressureCPUSomeAvg10: 1158, metric.PressureCPUSomeAvg60: 233, metric.PressureCPUSomeAvg300: 49,
		metric.PressureCPUFull: 1505824000, metric.PressureCPUFullAvg10: 1158, metric.PressureCPUFullAvg60: 233, metric.PressureCPUFullAvg300: 49,
		metric.PressureMemorySome: 1273000, metric.PressureMemorySomeAvg10: 0, metric.PressureMemorySomeAvg60: 0, metric.PressureMemorySomeAvg300: 0,
		metric.PressureMemoryFull: 1273000, metric.PressureMemoryFullAvg10: 0, metric.PressureMemoryFullAvg60: 0, metric.PressureMemoryFullAvg300: 0,
		metric.PressureIOSome: 13159000, metric.PressureIOSomeAvg10: 0, metric.PressureIOSomeAvg60: 0, metric.PressureIOSomeAvg300: 0,
		metric.PressureIOFull: 13159000, metric.PressureIOFullAvg10: 0, metric.PressureIOFullAvg60: 0, metric.PressureIOFullAvg300: 0,
	}
}

// with returns w with the numbers of more.
func (w want) with(more want) want {
	for id, v := range more {
		w[id] = v
	}
	return w
}

// without returns w without ids.
func (w want) without(ids ...metric.ID) want {
	for _, id := range ids {
		delete(w, id)
	}
	return w
}

func expected(mode Mode) want {
	switch mode {
	case V2:
		return v2Load()
	case Hybrid:
		return v1Load().with(hybridPressure())
	}
	return v1Load()
}

var modes = []Mode{V1, V2, Hybrid}

// The whole of a cgroup is read, with kept descriptors and without, and no number of a
// hybrid comes from its cgroup2 mount but pressure.
func TestRead(t *testing.T) {
	for _, mode := range modes {
		for _, descriptors := range []int{1000, -1} {
			h := newMachine(t, mode).open(descriptors)
			if h.Mode() != mode {
				t.Fatalf("mode %v, want %v", h.Mode(), mode)
			}
			r := openReader(t, h, "/docker/a")
			s := read(t, r)
			expected(mode).check(t, s)
			if s.CPUSet != "0-1" {
				t.Errorf("%v: CPUs %q", mode, s.CPUSet)
			}
			if mode == V2 {
				checkRow(t, s, metric.PerDevice, "vda", want{metric.DiskReadBytes: 1708032, metric.DiskReadOperations: 21, metric.DiskWriteBytes: 0})
			} else {
				checkRow(t, s, metric.PerDevice, "vda", want{metric.DiskReadBytes: 16867328, metric.DiskReadOperations: 14, metric.DiskWriteBytes: 8388608, metric.DiskWriteOperations: 16})
				checkRow(t, s, metric.PerCPU, "0", want{metric.CPUUsagePerCPU: 249687329})
				checkRow(t, s, metric.PerCPU, "1", want{metric.CPUUsagePerCPU: 389807964})
			}
			if f := h.Failures(); len(f) > 0 {
				t.Errorf("%v: failures %v", mode, f)
			}
			if d := h.Descriptors(); (descriptors < 0) != (d.Kept == 0 && d.Reopening == 1) {
				t.Errorf("%v: %+v", mode, d)
			}
			r.Close()
			r.Close()
			if d := h.Descriptors(); d.Kept != 0 || d.Reopening != 0 {
				t.Errorf("%v: after Close %+v", mode, d)
			}
		}
	}
}

// The root is read without what it hasn't got, and its memory.stat on slow Reads only.
func TestReadRoot(t *testing.T) {
	h := newMachine(t, V2).open(1000)
	r := openReader(t, h, metric.Root)
	var s metric.Sample
	if err := r.Read(&s, false); err != nil {
		t.Fatal(err)
	}
	if v, ok := s.Get(metric.CPUUsage); !ok || v != 251260000000 {
		t.Errorf("CPU usage %d (%v)", v, ok)
	}
	for _, id := range []metric.ID{metric.MemoryRSS, metric.MemoryUsage, metric.MemoryLimit, metric.PidsCurrent, metric.CPUWeight} {
		if v, ok := s.Get(id); ok {
			t.Errorf("%v = %d on a fast Read", id, v)
		}
	}
	if err := r.Read(&s, true); err != nil {
		t.Fatal(err)
	}
	if v, ok := s.Get(metric.MemoryRSS); !ok || v != 166481920 {
		t.Errorf("anonymous memory %d (%v)", v, ok)
	}
	if v, ok := s.Get(metric.MemoryWorkingSet); ok {
		t.Errorf("working set %d without usage", v)
	}
	// What others know of the node is left alone.
	s.Put(metric.MemoryUsage, 42)
	if err := r.Read(&s, true); err != nil {
		t.Fatal(err)
	}
	if v, _ := s.Get(metric.MemoryUsage); v != 42 {
		t.Errorf("usage %d, want it left alone", v)
	}
	if n := s.Rows(metric.PerDevice); n != 1 {
		t.Errorf("%d devices, want the one that did IO", n)
	}
	for _, note := range h.Notes() {
		t.Errorf("note %q", note)
	}
}

// Slow numbers stay between slow Reads; the others are read anew or forgotten.
func TestReadBeats(t *testing.T) {
	m := newMachine(t, V2)
	h := m.open(1000)
	r := openReader(t, h, "/docker/a")
	s := read(t, r)
	m.write("cg/docker/a/memory.max", "1000\n")
	m.write("cg/docker/a/memory.current", "2000\n")
	m.write("cg/docker/a/cpu.stat", "garbage")
	m.write("cg/docker/a/io.stat", "")
	if err := r.Read(s, false); err != nil {
		t.Fatal(err)
	}
	expected(V2).with(want{metric.MemoryUsage: 2000, metric.MemoryWorkingSet: 0}).
		without(metric.CPUUsage, metric.CPUUser, metric.CPUSystem, metric.CPUPeriods, metric.CPUThrottledPeriods, metric.CPUThrottledTime, metric.CPUBursts, metric.CPUBurstTime).
		check(t, s)
	if s.Read(metric.PerDevice) {
		t.Error("devices were not forgotten")
	}
	if err := r.Read(s, true); err != nil {
		t.Fatal(err)
	}
	if v, _ := s.Get(metric.MemoryLimit); v != 1000 {
		t.Errorf("limit %d after a slow Read", v)
	}
	f := h.Failures()
	if len(f) != 1 || f[0].File != "cpu.stat" || f[0].Count != 2 || f[0].First != `/docker/a: no cpu.stat at byte 0: "garbage"` {
		t.Errorf("failures %+v", f)
	}
	m.write("cg/docker/a/cpu.stat", "usage_usec 7\n")
	if err := r.Read(s, false); err != nil {
		t.Fatal(err)
	}
	if v, _ := s.Get(metric.CPUUsage); v != 7000 {
		t.Errorf("usage %d after the file was whole again", v)
	}
}

// One file that is damaged, too long or empty costs its own numbers, whichever it is.
func TestReadDamaged(t *testing.T) {
	for _, mode := range modes {
		m := newMachine(t, mode)
		h := m.open(1000)
		for i := range h.rows {
			row := &h.rows[i]
			name := strings.TrimPrefix(h.mounts[h.mountOf[row.controller]].path+"/docker/a/"+row.name, m.root+"/")
			for _, damage := range []string{"\x00\x01\x02", strings.Repeat("x", scratchSize+1)} {
				d := newMachine(t, mode)
				d.write(name, damage)
				h := d.open(1000)
				s := read(t, openReader(t, h, "/docker/a"))
				for id := range expected(mode) {
					_, ok := s.Get(id)
					if ok && row.ids.Has(id) && id != metric.MemoryKernel {
						t.Errorf("%v: %v was read, although %s is damaged", mode, id, row.name)
					}
					inactive := id == metric.MemoryWorkingSet || id == metric.MemorySwapLimit
					if !ok && !row.ids.Has(id) && !inactive {
						t.Errorf("%v: %v was not read, because %s is damaged", mode, id, row.name)
					}
				}
				if f := h.Failures(); row.group == 0 && (len(f) != 1 || f[0].File != row.name || f[0].Count != 1) {
					t.Errorf("%v: %s: failures %+v", mode, row.name, f)
				}
			}
		}
	}
}

// A file that can't be read is tried again on slow Reads only, and each failure counts.
func TestUnreadable(t *testing.T) {
	for _, descriptors := range []int{1000, -1} {
		m := newMachine(t, V2)
		m.remove("cg/docker/a/memory.current")
		m.write("cg/docker/a/memory.current/f", "") // reading a directory is EISDIR
		h := m.open(descriptors)
		r := openReader(t, h, "/docker/a")
		s := read(t, r)
		for range 3 {
			if err := r.Read(s, false); err != nil {
				t.Fatal(err)
			}
		}
		without := func() want { return expected(V2).without(metric.MemoryUsage, metric.MemoryWorkingSet) }
		without().check(t, s)
		if f := h.Failures(); len(f) != 1 || f[0] != (Failure{"memory.current", 1, "/docker/a: is a directory"}) {
			t.Errorf("failures %+v", f)
		}
		m.remove("cg/docker/a/memory.current")
		m.write("cg/docker/a/memory.current", "10457088\n")
		if err := r.Read(s, false); err != nil {
			t.Fatal(err)
		}
		without().check(t, s)
		for _, slow := range []bool{true, false} {
			if err := r.Read(s, slow); err != nil {
				t.Fatal(err)
			}
			expected(V2).check(t, s)
		}
	}
}

// openDescriptors counts the process's descriptors.
func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// All that was opened is closed, and no more is kept than was set aside.
func TestDescriptors(t *testing.T) {
	for _, mode := range modes {
		m := newMachine(t, mode)
		before := openDescriptors(t)
		h := m.open(1000)
		mounts := openDescriptors(t)
		r := openReader(t, h, "/docker/a")
		s := read(t, r)
		read(t, r)
		w := follow(t, h)
		w.update()
		if kept, d := openDescriptors(t)-mounts, h.Descriptors(); kept > d.Kept || kept < d.Kept-1 {
			t.Errorf("%v: %d descriptors are open, %+v", mode, kept, d)
		}
		m.remove("cg")
		if err := r.Read(s, true); err != ErrGone {
			t.Errorf("%v: %v", mode, err)
		}
		r.Close()
		w.tree.Close()
		h.Close()
		if after := openDescriptors(t); after != before {
			t.Errorf("%v: %d descriptors before, %d after", mode, before, after)
		}
	}
}

// What others may ask while a Read runs.
func TestConcurrentQuestions(t *testing.T) {
	m := newMachine(t, V2)
	m.write("cg/docker/a/cpu.stat", "garbage")
	h := m.open(1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			h.Notes()
			h.Failures()
			h.Descriptors()
			h.Mode()
		}
	}()
	r := openReader(t, h, "/docker/a")
	for range 100 {
		read(t, r)
	}
	<-done
	if f := h.Failures(); len(f) != 1 || f[0].Count != 100 {
		t.Errorf("failures %+v", f)
	}
}

// A file that the kernel hasn't got is looked for once and noted once.
func TestUnsupported(t *testing.T) {
	m := newMachine(t, V2)
	m.remove("cg/docker/a/memory.peak")
	m.remove("cg/docker/a/cpu.max.burst")
	m.remove("cg/docker/a/memory.swap.current")
	h := m.open(1000)
	for range 2 {
		r := openReader(t, h, "/docker/a")
		s := read(t, r)
		expected(V2).without(metric.MemoryPeak, metric.CPUBurstLimit, metric.MemorySwap).check(t, s)
	}
	notes := h.Notes()
	if len(notes) != 3 {
		t.Errorf("notes %q", notes)
	}
	for _, wanted := range []string{"memory.peak does not exist here", "Linux 5.19", "cpu.max.burst", "Linux 5.14", "swapaccount=1"} {
		if !strings.Contains(strings.Join(notes, "\n"), wanted) {
			t.Errorf("no note says %q: %q", wanted, notes)
		}
	}
	if f := h.Failures(); len(f) > 0 {
		t.Errorf("failures %v", f)
	}
}

// A controller that is off for a cgroup is not the kernel's lack, and may come on.
func TestControllerSwitched(t *testing.T) {
	m := newMachine(t, V2)
	for _, name := range []string{"memory.current", "memory.stat", "memory.max", "memory.peak", "memory.events", "memory.swap.current", "memory.swap.max", "memory.high", "memory.low", "memory.min"} {
		m.remove("cg/docker/a/" + name)
	}
	h := m.open(1000)
	r := openReader(t, h, "/docker/a")
	s := read(t, r)
	if _, ok := s.Get(metric.MemoryUsage); ok {
		t.Error("memory was read without the controller")
	}
	if notes := h.Notes(); len(notes) != 0 {
		t.Errorf("notes %q", notes)
	}
	m.copy("v2/load", "cg/docker/a")
	for range youth {
		if err := r.Read(s, true); err != nil {
			t.Fatal(err)
		}
	}
	expected(V2).check(t, s)
}

// A hybrid's cgroup2 mount gives pressure only where it has the processes.
func TestHybridUnpopulated(t *testing.T) {
	m := newMachine(t, Hybrid)
	m.write("cg/unified/docker/a/cgroup.events", "populated 0\nfrozen 0\n")
	h := m.open(1000)
	r := openReader(t, h, "/docker/a")
	s := read(t, r)
	v1Load().check(t, s)
	m.copy("v1/unified", "cg/unified/docker/a")
	if err := r.Read(s, true); err != nil {
		t.Fatal(err)
	}
	expected(Hybrid).check(t, s)
	m.write("cg/unified/docker/a/cgroup.events", "populated 0\nfrozen 0\n")
	if err := r.Read(s, true); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Get(metric.PressureCPUSome); ok {
		t.Error("pressure of an empty cgroup was read")
	}
}

// Which group of v1's block IO files has data is decided when one has.
func TestBlkioGroups(t *testing.T) {
	m := newMachine(t, V1)
	for _, name := range []string{"io_service_bytes_recursive", "io_serviced_recursive", "io_service_bytes", "io_serviced"} {
		m.write("cg/blkio/docker/a/blkio.throttle."+name, "Total 0\n")
	}
	r := openReader(t, m.open(1000), "/docker/a")
	s := read(t, r)
	if s.Rows(metric.PerDevice) != 0 {
		t.Error("a device without data")
	}
	m.write("cg/blkio/docker/a/blkio.bfq.io_service_bytes_recursive", "8:0 Read 5\n8:0 Write 6\nTotal 11\n")
	m.write("cg/blkio/docker/a/blkio.bfq.io_serviced_recursive", "8:0 Read 1\n8:0 Write 2\nTotal 3\n")
	if err := r.Read(s, true); err != nil {
		t.Fatal(err)
	}
	checkRow(t, s, metric.PerDevice, "8:0", want{metric.DiskReadBytes: 5, metric.DiskWriteBytes: 6, metric.DiskReadOperations: 1, metric.DiskWriteOperations: 2})
	m.copy("v1/blkio", "cg/blkio/docker/a")
	m.write("cg/blkio/docker/a/blkio.bfq.io_service_bytes_recursive", "8:0 Read 7\n8:0 Write 6\nTotal 13\n")
	if err := r.Read(s, true); err != nil {
		t.Fatal(err)
	}
	checkRow(t, s, metric.PerDevice, "8:0", want{metric.DiskReadBytes: 7})
	if s.Rows(metric.PerDevice) != 1 {
		t.Error("two groups were mixed")
	}
}

// Before Linux 5.18 kernel memory is the sum of its parts.
func TestKernelMemorySum(t *testing.T) {
	m := newMachine(t, V2)
	stat := strings.Replace(string(text(t, "v2/load/memory.stat")), "kernel 299008\n", "", 1)
	m.write("cg/docker/a/memory.stat", stat)
	s := read(t, openReader(t, m.open(1000), "/docker/a"))
	expected(V2).with(want{metric.MemoryKernel: 16384 + 20480 + 1328 + 223768}).check(t, s)
}

func TestOOM(t *testing.T) {
	m := newMachine(t, V2)
	m.copy("v2/oom", "cg/docker/a")
	s := read(t, openReader(t, m.open(1000), "/docker/a"))
	for id, v := range (want{metric.MemoryOOMKills: 1, metric.MemoryOOMEvents: 1, metric.MemoryMaxEvents: 18, metric.MemoryFailures: 18, metric.MemorySwapLimit: 0}) {
		if got, ok := s.Get(id); !ok || got != v {
			t.Errorf("%v = %d (%v), want %d", id, got, ok, v)
		}
	}
	if v, ok := s.Get(metric.CPUQuota); ok {
		t.Errorf("quota %d without a limit", v)
	}
}

func TestGone(t *testing.T) {
	for _, descriptors := range []int{1000, -1} {
		m := newMachine(t, V2)
		h := m.open(descriptors)
		if _, err := h.OpenReader("/docker/b", 0); err != ErrGone {
			t.Errorf("OpenReader: %v", err)
		}
		if d := h.Descriptors(); d.Kept != 0 || d.Reopening != 0 {
			t.Errorf("after a failed OpenReader %+v", d)
		}
		r := openReader(t, h, "/docker/a")
		m.remove("cg/docker/a")
		var s metric.Sample
		if err := r.Read(&s, true); err != ErrGone {
			t.Errorf("Read: %v", err)
		}
		if _, err := r.AppendPids(nil); err != ErrGone {
			t.Errorf("AppendPids: %v", err)
		}
	}
}

func TestAppendPids(t *testing.T) {
	for _, descriptors := range []int{1000, -1} {
		m := newMachine(t, V2)
		var many strings.Builder
		var expected []int
		for pid := 100000; pid < 130000; pid++ { // longer than the buffer
			many.WriteString("0\n")
			many.WriteString(strconv.Itoa(pid) + "\n")
			expected = append(expected, pid)
		}
		m.write("cg/docker/a/cgroup.procs", many.String())
		pids, err := openReader(t, m.open(descriptors), "/docker/a").AppendPids([]int{7})
		if err != nil || !slices.Equal(pids, append([]int{7}, expected...)) {
			t.Errorf("%d pids, %v", len(pids), err)
		}
	}
}

func TestOpenReaderPaths(t *testing.T) {
	h := newMachine(t, V2).open(10)
	f := func(path string) {
		t.Helper()
		if _, err := h.OpenReader(path, 0); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("%q: %v", path, err)
		}
	}
	f("")
	f("docker/a")
	f("/../etc")
	f("/docker/../docker/a")
	f("/docker/a/")
	f("/docker/a\x00")
}

// A budget that is too small for all gives the same numbers, and is filled again when
// it has room.
func TestBudget(t *testing.T) {
	h := newMachine(t, Hybrid).open(30)
	first := openReader(t, h, "/docker/a")
	second := openReader(t, h, "/docker/a")
	if d := h.Descriptors(); d.Kept == 0 || d.Kept > d.Max || d.Reopening != 1 {
		t.Fatalf("%+v", d)
	}
	if notes := h.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "ulimit") {
		t.Errorf("notes %q", notes)
	}
	expected(Hybrid).check(t, read(t, second))
	first.Close()
	s := read(t, second)
	if d := h.Descriptors(); d.Reopening != 0 || d.Kept == 0 {
		t.Errorf("%+v", d)
	}
	expected(Hybrid).check(t, s)
	if err := second.Read(s, false); err != nil {
		t.Error(err)
	}
	expected(Hybrid).check(t, s)
}

func TestReadAllocs(t *testing.T) {
	for _, mode := range modes {
		for _, descriptors := range []int{1000, -1} {
			r := openReader(t, newMachine(t, mode).open(descriptors), "/docker/a")
			s := read(t, r)
			for _, slow := range []bool{false, true} {
				if n := testing.AllocsPerRun(20, func() { r.Read(s, slow) }); n != 0 {
					t.Errorf("%v, slow %v, %d descriptors: %v allocations", mode, slow, descriptors, n)
				}
			}
		}
	}
}
