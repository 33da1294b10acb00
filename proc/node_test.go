package proc

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/hang"
	"github.com/swarmgauge/swarmgauge/metric"
)

func openNode(t testing.TB, root string) *Node {
	t.Helper()
	n, err := open(t, root).OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func TestNodeFixture(t *testing.T) {
	n := openNode(t, copyMachine(t, v1Machine))
	if missing := n.Missing(); len(missing) != 0 {
		t.Errorf("missing: %v", missing)
	}
	var s metric.Sample
	if err := n.Read(&s, true); err != nil {
		t.Error(err)
	}
	f := func(id metric.ID, want int64) { t.Helper(); check(t, &s, id, 0, want) }
	const ms = 1e6
	f(metric.NodeCPUUser, 833260*ms)
	f(metric.NodeCPUNice, 110*ms)
	f(metric.NodeCPUSystem, 473350*ms)
	f(metric.NodeCPUIdle, 4469450*ms)
	f(metric.NodeCPUIOWait, 34100*ms)
	f(metric.NodeCPUIRQ, 0)
	f(metric.NodeCPUSoftIRQ, 11020*ms)
	f(metric.NodeCPUSteal, 65920*ms)
	f(metric.NodeCPUGuest, 0)
	f(metric.NodeContextSwitches, 8877287)
	f(metric.NodeForks, 119293)
	f(metric.NodeTasksRunning, 3)
	f(metric.NodeTasksBlocked, 0)
	f(metric.NodeLoad1, 501)
	f(metric.NodeLoad5, 336)
	f(metric.NodeLoad15, 197)
	f(metric.NodeTasks, 390)
	f(metric.NodeUptime, 2950250*ms)
	f(metric.NodeMemoryTotal, 24682416<<10)
	f(metric.NodeMemoryFree, 20079832<<10)
	f(metric.NodeMemoryAvailable, 23737096<<10)
	f(metric.NodeMemoryBuffers, 41980<<10)
	f(metric.NodeMemoryCached, 3666508<<10)
	f(metric.NodeMemorySlab, 314572<<10)
	f(metric.NodeMemoryShmem, 12860<<10)
	f(metric.NodeMemoryDirty, 6468<<10)
	f(metric.NodeMemoryWriteback, 0)
	f(metric.NodeSwapTotal, 0)
	f(metric.NodeMajorPageFaults, 7520)
	f(metric.NodeOOMKills, 1)
	f(metric.NodeFileDescriptors, 1815)
	f(metric.PressureCPUSomeAvg10, 6074)
	f(metric.PressureCPUSomeAvg60, 4800)
	f(metric.PressureCPUSomeAvg300, 3588)
	f(metric.PressureCPUSome, 357819125000)
	f(metric.PressureCPUFull, 0)
	f(metric.PressureMemorySome, 2746000)
	f(metric.PressureIOFullAvg300, 26)
	f(metric.PressureIOFull, 25391793000)
	check(t, &s, metric.CPUUsagePerCPU, rowNamed(t, &s, metric.PerCPU, "1"), (43019+11+24850+1007)*10*ms)
	for id := range metric.ID(metric.NumIDs) {
		pressure := id >= metric.PressureCPUSome && id <= metric.PressureIOFullAvg300
		if _, read := s.Get(id); !read && (id.Per() == metric.PerNode || pressure) {
			t.Errorf("%v %v wasn't read", id.Per(), id)
		}
	}

	vda := rowNamed(t, &s, metric.PerDevice, "vda")
	if key := *s.Key(metric.PerDevice, vda); key != (metric.Key{Name: "vda", Major: 254}) || s.Rows(metric.PerDevice) != 1 {
		t.Errorf("%d devices, first %+v", s.Rows(metric.PerDevice), key)
	}
	for id, want := range map[metric.ID]int64{
		metric.DiskReadOperations: 212663, metric.DiskReadsMerged: 16202,
		metric.DiskReadBytes: 12421282 * 512, metric.DiskReadTime: 292729 * ms,
		metric.DiskWriteOperations: 268802, metric.DiskWritesMerged: 136163,
		metric.DiskWriteBytes: 27795336 * 512, metric.DiskWriteTime: 227285 * ms,
		metric.DiskInFlight: 0, metric.DiskIOTime: 77824 * ms, metric.DiskWeightedIOTime: 541904 * ms,
		metric.DiskDiscardOperations: 81957, metric.DiskDiscardBytes: 13084344 * 512,
	} {
		check(t, &s, id, vda, want)
	}
	check(t, &s, metric.NetworkReceiveBytes, rowNamed(t, &s, metric.PerInterface, "eth0"), 1241751684)
}

func TestNodeSlowBeat(t *testing.T) {
	root := copyMachine(t, v1Machine)
	n := openNode(t, root)
	var s metric.Sample
	f := func(slow bool, text string, want int64) {
		t.Helper()
		write(t, root, "sys/fs/file-nr", text)
		if err := n.Read(&s, slow); err != nil {
			t.Error(err)
		}
		check(t, &s, metric.NodeFileDescriptors, 0, want)
	}
	f(false, "100\t0\t9\n", -1)
	f(true, "100\t0\t9\n", 100)
	f(false, "200\t0\t9\n", 100)
	f(true, "200\t0\t9\n", 200)
}

// Each file that is missing, empty, cut off or binary costs its own numbers and no others.
func TestNodeBrokenFiles(t *testing.T) {
	root := copyMachine(t, v1Machine)
	var whole metric.Sample
	n := openNode(t, root)
	// The files here are no procfs's, whose reads are waited for a moment only.
	read := func(s *metric.Sample) (err error) {
		for range 100 {
			if err = n.Read(s, true); !errors.Is(err, hang.ErrHung) {
				return err
			}
			time.Sleep(200 * time.Millisecond) // a quarter of it may be waited then
		}
		return err
	}
	if err := read(&whole); err != nil {
		t.Fatal(err)
	}
	if failed := len(n.files); failed != len(nodeSources) {
		t.Fatalf("%d files are open, want %d", failed, len(nodeSources))
	}
	f := func(file *nodeFile, text string) {
		t.Helper()
		name := filepath.Join(root, file.name)
		intact, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, file.name, text)
		var s metric.Sample
		s.CopyFrom(&whole)
		err = read(&s)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s with %.20q: error %v doesn't name it", file.name, text, err)
		}
		for id := range metric.ID(metric.NumIDs) {
			for row := range whole.Rows(id.Per()) {
				_, was := whole.GetRow(id, row)
				if _, is := s.GetRow(id, row); is != (was && !file.forget.Has(id)) {
					t.Errorf("%s with %.20q: %v %v is read: %v", file.name, text, id.Per(), id, is)
				}
			}
		}
		write(t, root, file.name, string(intact))
	}
	for i := range n.files {
		file := &n.files[i]
		if !file.mayBeEmpty {
			f(file, "")
		}
		f(file, "\x00\xff\x7fELF")
		f(file, strings.Repeat("1", 100_000))
		f(file, strings.Repeat(" ", 100_000))
		f(file, strings.Repeat("x", maxText+pageSize))
	}
}

// A machine without disks has nothing to be warned of, and no numbers of disks that it had.
func TestNodeWithoutDisks(t *testing.T) {
	root := copyMachine(t, v1Machine)
	n := openNode(t, root)
	var s metric.Sample
	if err := n.Read(&s, true); err != nil || !s.Read(metric.PerDevice) {
		t.Fatalf("with disks: %v, devices %v", err, s.Read(metric.PerDevice))
	}
	write(t, root, "diskstats", "")
	if err := n.Read(&s, true); err != nil || s.Read(metric.PerDevice) {
		t.Errorf("without disks: %v, devices %v", err, s.Read(metric.PerDevice))
	}
	check(t, &s, metric.NodeForks, 0, 119293)
}

// A number that was cut off is absent, not smaller.
func TestNodeCutOff(t *testing.T) {
	root := copyMachine(t, v1Machine)
	var whole metric.Sample
	n := openNode(t, root)
	if err := n.Read(&whole, true); err != nil {
		t.Fatal(err)
	}
	for i := range n.files {
		file := &n.files[i]
		text := fixture(t, v1Machine+"/"+file.name)
		for cut := range len(text) {
			var s metric.Sample
			if bad := file.parse(text[:cut], &s); bad == nil && cut > 0 && text[cut-1] != '\n' {
				t.Errorf("%s cut off after %d bytes: nobody noticed", file.name, cut)
			}
			for id := range metric.ID(metric.NumIDs) {
				for row := range s.Rows(id.Per()) {
					v, read := s.GetRow(id, row)
					if want, _ := whole.GetRow(id, row); read && v != want {
						t.Errorf("%s cut off after %d bytes: %v %v is %d, not %d", file.name, cut, id.Per(), id, v, want)
					}
				}
			}
		}
	}
}

func TestNodeMissing(t *testing.T) {
	root := copyMachine(t, v1Machine)
	if err := errors.Join(os.RemoveAll(filepath.Join(root, "pressure")), os.RemoveAll(filepath.Join(root, "1"))); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, root)
	var said []string
	for _, err := range n.Missing() {
		said = append(said, err.Error())
	}
	want := []string{
		root + "/pressure/cpu needs " + sincePSI,
		root + "/pressure/memory needs " + sincePSI,
		root + "/pressure/io needs " + sincePSI,
		root + "/1 can't be seen: is /proc mounted with hidepid, and the agent not root?",
	}
	if !slices.Equal(said, want) {
		t.Errorf("missing:\n%s\nwant:\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
	if n.Namespace() != 0 {
		t.Errorf("namespace %d, want none", n.Namespace())
	}
	var s metric.Sample
	s.Put(metric.PressureIOSome, 7) // as the root cgroup's reader has put it
	if err := n.Read(&s, true); err != nil {
		t.Error(err)
	}
	check(t, &s, metric.PressureIOSome, 0, 7)
	check(t, &s, metric.PressureCPUSome, 0, -1)
	check(t, &s, metric.NodeForks, 0, 119293)
	if s.Read(metric.PerInterface) {
		t.Error("interfaces from nowhere")
	}
}

func TestOpenNotProcfs(t *testing.T) {
	f := func(root, want string) {
		t.Helper()
		if _, err := Open(root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", root, err, want)
		}
	}
	empty := t.TempDir()
	f(empty, "mount the node's /proc there")
	f(empty+"/none", empty+"/none: no such file or directory")
	write(t, empty, "file", "")
	f(empty+"/file", "not a directory")
}

func TestSelf(t *testing.T) {
	if pid, err := open(t, "/proc").Self(); pid != os.Getpid() || err != nil {
		t.Errorf("%d, %v, want %d", pid, err, os.Getpid())
	}
}

// On cgroup v1 the root cgroup has the CPUs' times, finer than /proc/stat.
func TestNodeLeavesCPUsOfCgroup(t *testing.T) {
	const busy = (8091 + 6231) // nothing in the fixture is as small
	f := func(ofCgroup bool) {
		t.Helper()
		n := openNode(t, copyMachine(t, v1Machine))
		var s metric.Sample
		for range 2 {
			if ofCgroup {
				s.PutRow(metric.CPUUsagePerCPU, cpu0(&s), busy)
			}
			if err := n.Read(&s, false); err != nil {
				t.Error(err)
			}
		}
		v, read := s.GetRow(metric.CPUUsagePerCPU, rowNamed(t, &s, metric.PerCPU, "0"))
		if !read || (v == busy) != ofCgroup {
			t.Errorf("cgroup has CPUs: %v; CPU 0 was busy for %d ns (read: %v)", ofCgroup, v, read)
		}
		if want := map[bool]int{true: 1, false: 2}[ofCgroup]; s.Rows(metric.PerCPU) != want {
			t.Errorf("cgroup has CPUs: %v; %d CPUs", ofCgroup, s.Rows(metric.PerCPU))
		}
	}
	f(true)
	f(false)
}

// On cgroup v2 the root cgroup has no memory usage; the machine's stands in its place, and is
// absent again when /proc/meminfo can't be read.
func TestNodeGivesMemoryToRootCgroup(t *testing.T) {
	root := copyMachine(t, v1Machine)
	n := openNode(t, root)
	var s metric.Sample
	if err := n.Read(&s, false); err != nil {
		t.Error(err)
	}
	check(t, &s, metric.MemoryUsage, 0, (24682416-20079832)<<10)
	check(t, &s, metric.MemoryWorkingSet, 0, (24682416-23737096)<<10)
	if err := os.WriteFile(filepath.Join(root, "meminfo"), []byte("MemFree: 1 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.Read(&s, false)
	if v, read := s.Get(metric.MemoryUsage); read {
		t.Errorf("%d bytes used of a total that isn't known", v)
	}

	if err := os.WriteFile(filepath.Join(root, "meminfo"), []byte("SwapTotal: 100 kB\nSwapFree: 58 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.Read(&s, false)
	check(t, &s, metric.MemorySwap, 0, 42<<10)

	n = openNode(t, copyMachine(t, v1Machine))
	const used = 4711
	s.Put(metric.MemoryUsage, used)
	if err := n.Read(&s, false); err != nil {
		t.Error(err)
	}
	check(t, &s, metric.MemoryUsage, 0, used)
}

func cpu0(s *metric.Sample) int {
	if row := s.RowByName(metric.PerCPU, []byte("0")); row >= 0 {
		return row
	}
	return s.AddRow(metric.PerCPU, metric.Key{Name: "0"})
}

// machineReading is what prometheus/procfs reads of the machine.
type machineReading struct {
	stat   procfs.Stat
	memory procfs.Meminfo
	load   *procfs.LoadAvg
	psi    map[string]procfs.PSIStats
	disks  []blockdevice.Diskstats
}

func readMachine(t *testing.T) (m machineReading) {
	t.Helper()
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		t.Fatal(err)
	}
	block, err := blockdevice.NewFS("/proc", "/sys")
	if err != nil {
		t.Fatal(err)
	}
	var errs [4]error
	m.stat, errs[0] = fs.Stat()
	m.memory, errs[1] = fs.Meminfo()
	m.load, errs[2] = fs.LoadAvg()
	m.disks, errs[3] = block.ProcDiskstats()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	m.psi = map[string]procfs.PSIStats{}
	for _, resource := range []string{"cpu", "memory", "io"} {
		if stats, err := fs.PSIStatsForResource(resource); err == nil {
			m.psi[resource] = stats
		}
	}
	return m
}

// Counters on the running kernel lie between two readings of prometheus/procfs, and what
// doesn't change is the same.
func TestNodeAgainstProcfs(t *testing.T) {
	n := openNode(t, "/proc")
	var s metric.Sample
	before := readMachine(t)
	if err := n.Read(&s, true); err != nil {
		t.Fatal(err)
	}
	after := readMachine(t)
	counter := func(id metric.ID, row int, low, high float64) {
		t.Helper()
		v, read := s.GetRow(id, row)
		const rounding = 1e6 // ns: procfs shows floating-point seconds
		if !read || float64(v) < low-rounding || float64(v) > high+rounding {
			t.Errorf("%v %v %d: %d (read: %v) isn't between %.0f and %.0f", id.Per(), id, row, v, read, low, high)
		}
	}
	exact := func(id metric.ID, row int, low, high uint64) {
		t.Helper()
		v, read := s.GetRow(id, row)
		if !read || v < low || v > high {
			t.Errorf("%v %v %d: %d (read: %v) isn't between %d and %d", id.Per(), id, row, v, read, low, high)
		}
	}

	a, b := before.stat.CPUTotal, after.stat.CPUTotal
	counter(metric.NodeCPUUser, 0, (a.User-a.Guest)*1e9, (b.User-b.Guest)*1e9)
	counter(metric.NodeCPUSystem, 0, a.System*1e9, b.System*1e9)
	counter(metric.NodeCPUSoftIRQ, 0, a.SoftIRQ*1e9, b.SoftIRQ*1e9)
	counter(metric.NodeCPUSteal, 0, a.Steal*1e9, b.Steal*1e9)
	exact(metric.NodeForks, 0, before.stat.ProcessCreated, after.stat.ProcessCreated)
	if s.Rows(metric.PerCPU) != len(before.stat.CPU) {
		t.Errorf("%d CPUs, procfs has %d", s.Rows(metric.PerCPU), len(before.stat.CPU))
	}
	for cpu := range before.stat.CPU {
		a, b := before.stat.CPU[cpu], after.stat.CPU[cpu]
		busy := func(c procfs.CPUStat) float64 { return c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ }
		counter(metric.CPUUsagePerCPU, int(cpu), busy(a)*1e9, busy(b)*1e9)
	}
	exact(metric.NodeMemoryTotal, 0, *before.memory.MemTotalBytes, *before.memory.MemTotalBytes)
	exact(metric.NodeSwapTotal, 0, *before.memory.SwapTotalBytes, *before.memory.SwapTotalBytes)
	if before.load.Load1 == after.load.Load1 {
		exact(metric.NodeLoad1, 0, uint64(before.load.Load1*100+0.5), uint64(after.load.Load1*100+0.5))
	}
	for resource, total := range map[string][2]metric.ID{
		"cpu":    {metric.PressureCPUSome, metric.PressureCPUFull},
		"memory": {metric.PressureMemorySome, metric.PressureMemoryFull},
		"io":     {metric.PressureIOSome, metric.PressureIOFull},
	} {
		a, ok := before.psi[resource]
		if !ok {
			check(t, &s, total[0], 0, -1)
			continue
		}
		b := after.psi[resource]
		exact(total[0], 0, a.Some.Total*1000, b.Some.Total*1000)
		if a.Full != nil {
			exact(total[1], 0, a.Full.Total*1000, b.Full.Total*1000)
		}
	}
	whole := 0
	for i, d := range before.disks {
		_, err := os.Stat("/sys/class/block/" + d.DeviceName + "/partition")
		partition := err == nil
		used := after.disks[i].ReadIOs+after.disks[i].WriteIOs > 0
		if partition || !used || strings.HasPrefix(d.DeviceName, "ram") {
			continue
		}
		whole++
		row, a, b := rowNamed(t, &s, metric.PerDevice, d.DeviceName), before.disks[i].IOStats, after.disks[i].IOStats
		exact(metric.DiskReadOperations, row, a.ReadIOs, b.ReadIOs)
		exact(metric.DiskReadsMerged, row, a.ReadMerges, b.ReadMerges)
		exact(metric.DiskReadBytes, row, a.ReadSectors*512, b.ReadSectors*512)
		exact(metric.DiskReadTime, row, a.ReadTicks*1e6, b.ReadTicks*1e6)
		exact(metric.DiskWriteOperations, row, a.WriteIOs, b.WriteIOs)
		exact(metric.DiskWritesMerged, row, a.WriteMerges, b.WriteMerges)
		exact(metric.DiskWriteBytes, row, a.WriteSectors*512, b.WriteSectors*512)
		exact(metric.DiskWriteTime, row, a.WriteTicks*1e6, b.WriteTicks*1e6)
		exact(metric.DiskIOTime, row, a.IOsTotalTicks*1e6, b.IOsTotalTicks*1e6)
		exact(metric.DiskWeightedIOTime, row, a.WeightedIOTicks*1e6, b.WeightedIOTicks*1e6)
		exact(metric.DiskDiscardOperations, row, a.DiscardIOs, b.DiscardIOs)
		exact(metric.DiskDiscardBytes, row, a.DiscardSectors*512, b.DiscardSectors*512)
	}
	if s.Rows(metric.PerDevice) != whole {
		t.Errorf("%d devices, procfs and sysfs have %d whole disks that were used", s.Rows(metric.PerDevice), whole)
	}
	var now unix.Sysinfo_t
	if err := unix.Sysinfo(&now); err != nil {
		t.Fatal(err)
	}
	counter(metric.NodeUptime, 0, float64(now.Uptime-60)*1e9, float64(now.Uptime+2)*1e9)
}

func TestNodeReadAllocs(t *testing.T) {
	n := openNode(t, "/proc")
	s := new(metric.Sample)
	if allocs := testing.AllocsPerRun(100, func() {
		if err := n.Read(s, true); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations a read", allocs)
	}
}

func BenchmarkNodeRead(b *testing.B) {
	n := openNode(b, "/proc")
	s := new(metric.Sample)
	b.ReportAllocs()
	for b.Loop() {
		if err := n.Read(s, true); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNodeParse is the share of it that isn't the kernel's.
func BenchmarkNodeParse(b *testing.B) {
	for _, source := range nodeSources {
		b.Run(strings.ReplaceAll(source.name, "/", "_"), func(b *testing.B) {
			text := fixture(b, v1Machine+"/"+source.name)
			s := new(metric.Sample)
			b.ReportAllocs()
			for b.Loop() {
				if bad := source.parse(text, s); bad != nil {
					b.Fatalf("can't make sense of %q", bad)
				}
			}
		})
	}
}

// fuzzSource fuzzes the parser of one file of the node.
func fuzzSource(f *testing.F, name string, seeds ...string) {
	parse := nodeSources[slices.IndexFunc(nodeSources[:], func(s nodeSource) bool { return s.name == name })].parse
	for _, machine := range []string{v1Machine, v2Machine} {
		if text, err := testdata.ReadFile("testdata/" + machine + "/" + name); err == nil {
			f.Add(text)
		}
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s metric.Sample
		bad := parse(text, &s)
		checkFuzzed(t, text, bad, &s)
	})
}

func FuzzStat(f *testing.F) {
	fuzzSource(f, "stat", "cpu 1 2 3\n", "cpu  9 9 9 9 9 9 9 9 10 0\n", "cpu1844674407370955161 1 1 1 1 1 1 1 1 1 1\n")
}
func FuzzLoad(f *testing.F)   { fuzzSource(f, "loadavg", "0.00 0.00 0.00 1", "0.00 0.00 0.00 /\n") }
func FuzzUptime(f *testing.F) { fuzzSource(f, "uptime", "99999999999999999.99 1\n") }
func FuzzMeminfo(f *testing.F) {
	fuzzSource(f, "meminfo", "MemTotal: 18446744073709551615 kB\n", "MemFree: 1 MB\n")
}
func FuzzVMStat(f *testing.F) { fuzzSource(f, "vmstat", "oom_kill\n", "oom_kill -1\n") }
func FuzzFileNR(f *testing.F) { fuzzSource(f, "sys/fs/file-nr", "1") }
func FuzzPressure(f *testing.F) {
	fuzzSource(f, "pressure/io", "some\n", "some avg10=0.1 total=x\n", "full avg10= total=99999999999999999999\n")
}
func FuzzDiskstats(f *testing.F) {
	fuzzSource(f, "diskstats", string(fixture(f, "linux-6.1-partitions.diskstats")), "8 0 sda 1 2 3\n", "4294967296 0 sda 1 1 1 1 1 1 1 1 1 1 1\n")
}
