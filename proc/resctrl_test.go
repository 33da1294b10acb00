package proc

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// resctrlFixture is a copy of the fixture of resctrl, and a procfs beside it.
type resctrlFixture struct {
	root, proc string
	*Details
}

func newResctrl(t testing.TB) *resctrlFixture {
	t.Helper()
	f := &resctrlFixture{root: filepath.Join(t.TempDir(), "resctrl"), proc: copyMachine(t, v1Machine)}
	copyResctrl(t, f.root, ".")
	f.Details = open(t, f.proc).NewDetails(Wanted{Resctrl: f.root})
	return f
}

// copyResctrl copies the fixture, or a group of it.
func copyResctrl(t testing.TB, to, group string) {
	t.Helper()
	sub, err := fs.Sub(testdata, path.Join("testdata/resctrl-two-sockets", group))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, sub); err != nil {
		t.Fatal(err)
	}
}

// task makes a task of a container, or of none.
func (f *resctrlFixture) task(t testing.TB, tid int, id string) {
	t.Helper()
	dir := filepath.Join(f.proc, strconv.Itoa(tid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := "/user.slice"
	if id != "" {
		path = "/docker/" + id
	}
	write(t, dir, "cgroup", "4:memory:"+path+"\n0::"+path+"\n")
}

// group makes a group that is like m11, under another name and with other tasks.
func (f *resctrlFixture) group(t testing.TB, dir string, tasks ...int) {
	t.Helper()
	dir = filepath.Join(f.root, dir)
	copyResctrl(t, dir, "p1/mon_groups/m11")
	f.tasks(t, dir, tasks...)
}

func (f *resctrlFixture) tasks(t testing.TB, dir string, tasks ...int) {
	t.Helper()
	var text []byte
	for _, tid := range tasks {
		text = append(strconv.AppendInt(text, int64(tid), 10), '\n')
	}
	write(t, dir, "tasks", string(text))
}

// of returns a container's numbers at a new look.
func (f *resctrlFixture) of(id string, pids ...int) *metric.Sample {
	s := new(metric.Sample)
	f.FindGroups(true)
	f.ReadGroup(id, pids, s)
	return s
}

// idOf returns the id of a container of the tests.
func idOf(digit string) string { return strings.Repeat(digit, idLength) }

// A group is a container's if it is named so, or has its first process and no other's.
func TestResctrlOwner(t *testing.T) {
	f := newResctrl(t)
	a, b := idOf("a"), idOf("b")
	f.task(t, 5678, a)
	f.task(t, 5679, a)
	occupancy := func(want int64, pids ...int) {
		t.Helper()
		if s := f.of(a, pids...); want < 0 && s.Rows(metric.PerCache) > 0 {
			v, _ := s.GetRow(metric.CacheOccupancy, 0)
			t.Errorf("a group that isn't the container's: %d", v)
		} else if want >= 0 {
			check(t, s, metric.CacheOccupancy, 0, want)
		}
	}
	const p1, m11, m12 = 31234000, 16234000, 16789000
	occupancy(p1, 5678, 5679) // rather than m11, which has a part of it
	f.task(t, 5679, b)
	occupancy(m11, 5678) // p1 is shared
	occupancy(-1, 5677)  // its first process is elsewhere
	occupancy(-1)
	f.task(t, 5679, "")
	occupancy(m11, 5678) // p1 has a process of no container
	if s := f.of(b, 5679); s.Rows(metric.PerCache) > 0 {
		t.Error("m12 has no process of a container")
	}

	// A task that has ended is nobody's; CPUs count what others do.
	f.tasks(t, filepath.Join(f.root, "p1"), 99999, 5678)
	occupancy(p1, 5678)
	write(t, f.root, "p1/cpus_list", "2-3\n")
	occupancy(m11, 5678)
	write(t, f.root, "p1/mon_groups/m11/cpus_list", "2\n")
	occupancy(-1, 5678)

	// A group that is named by the container is its own, whoever is in it.
	f.group(t, "mon_groups/cadvisor-system.slice-docker-"+a+".scope", 1)
	write(t, f.root, "mon_groups/cadvisor-system.slice-docker-"+a+".scope/mon_data/mon_L3_00/llc_occupancy", "17\n")
	occupancy(17, 5678)
	f.group(t, "mon_groups/cadvisor-docker-"+a+"-init.scope", 1) // of a cgroup in it
	occupancy(17)
	f.group(t, a, 1)
	write(t, f.root, a+"/mon_data/mon_L3_00/llc_occupancy", "18\n")
	occupancy(18)
	f.group(t, a+"/mon_groups/"+a) // a part of it
	occupancy(18)
	if f.named(t, "c"+a, a) || f.named(t, a[1:], a) || !f.named(t, "container-"+a, a) {
		t.Error("a longer or a shorter id")
	}

	// In another PID namespace only names are told.
	s := new(metric.Sample)
	f.FindGroups(false)
	f.ReadGroup(a, []int{5678}, s)
	check(t, s, metric.CacheOccupancy, 0, 18)
	if err := os.RemoveAll(filepath.Join(f.root, a)); err != nil {
		t.Fatal(err)
	}
	write(t, f.root, "p1/cpus_list", "\n")
	occupancy(17, 5678)
	s = new(metric.Sample)
	f.FindGroups(false)
	f.ReadGroup(b, []int{5678}, s)
	if s.Rows(metric.PerCache) > 0 {
		t.Error("a group by its tasks, whose numbers are another namespace's")
	}
	f.ReadGroup("", []int{5678}, s)
	if s.Rows(metric.PerCache) > 0 {
		t.Error("a group of what isn't a container")
	}
}

func (f *resctrlFixture) named(t testing.TB, dir, id string) bool {
	t.Helper()
	g := resctrlGroup{dir: "./mon_groups/" + dir}
	return g.named(id)
}

// A word instead of a number is absent, and so is what the CPU can't count.
func TestResctrlNumbers(t *testing.T) {
	f := newResctrl(t)
	b := idOf("b")
	f.task(t, 5679, b)
	f.task(t, 5678, "")
	s := f.of(b, 5679)
	if s.Rows(metric.PerCache) != 2 || s.Key(metric.PerCache, 1).Name != "1" {
		t.Fatalf("%d caches", s.Rows(metric.PerCache))
	}
	check(t, s, metric.CacheOccupancy, 0, 16789000)
	check(t, s, metric.MemoryBandwidth, 0, 512312)
	check(t, s, metric.MemoryBandwidthLocal, 0, 390393)
	check(t, s, metric.CacheOccupancy, 1, -1)
	check(t, s, metric.MemoryBandwidth, 1, -1)
	check(t, s, metric.MemoryBandwidthLocal, 1, 231233)

	// Of two CPUs' clusters, and of other kinds of counters, nothing is taken.
	dir := filepath.Join(f.root, "p1/mon_groups/m12/mon_data")
	for _, name := range []string{"mon_L3_00/mon_sub_L3_00", "mon_L3_02", "mon_L3_x", "mon_PERF_PKG_00", "mon_L3_99999999"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), "llc_occupancy", "1\n")
	}
	if err := os.Remove(filepath.Join(dir, "mon_L3_00/mbm_local_bytes")); err != nil {
		t.Fatal(err)
	}
	s = f.of(b, 5679)
	var names []string
	for row := range s.Rows(metric.PerCache) {
		names = append(names, s.Key(metric.PerCache, row).Name)
	}
	if !slices.Equal(names, []string{"0", "1", "2"}) {
		t.Errorf("caches %q", names)
	}
	check(t, s, metric.CacheOccupancy, 0, 16789000)
	check(t, s, metric.MemoryBandwidthLocal, 0, -1)
	check(t, s, metric.CacheOccupancy, 2, 1)
}

// The node's are of all control groups together, each with what is below it, and of what
// has ended.
func TestResctrlNode(t *testing.T) {
	f := newResctrl(t)
	node := func() *metric.Sample {
		s := new(metric.Sample)
		f.FindGroups(true)
		f.ReadNodeGroups(s)
		return s
	}
	s := node()
	check(t, s, metric.CacheOccupancy, 0, 11234000+31234000)
	check(t, s, metric.CacheOccupancy, 1, 34555+31578000)
	check(t, s, metric.MemoryBandwidth, 0, 9007199254741993+4512312)
	check(t, s, metric.MemoryBandwidthLocal, 1, 2173713+1231233)

	// What one group doesn't tell isn't known, and not counted twice when it is told again.
	write(t, f.root, "p1/mon_data/mon_L3_01/mbm_local_bytes", "Unavailable\n")
	check(t, node(), metric.MemoryBandwidthLocal, 1, -1)
	write(t, f.root, "p1/mon_data/mon_L3_01/mbm_local_bytes", "1231234\n")
	check(t, node(), metric.MemoryBandwidthLocal, 1, 2173713+1231234)

	// A group goes: the counters stay what they were, and count on.
	if err := os.RemoveAll(filepath.Join(f.root, "p1")); err != nil {
		t.Fatal(err)
	}
	s = node()
	check(t, s, metric.CacheOccupancy, 1, 34555)
	check(t, s, metric.MemoryBandwidthLocal, 1, 2173713+1231234)
	write(t, f.root, "mon_data/mon_L3_01/mbm_local_bytes", "2173723\n")
	check(t, node(), metric.MemoryBandwidthLocal, 1, 2173713+1231234+10)
	f.group(t, "p2", 1)
	check(t, node(), metric.MemoryBandwidthLocal, 1, 2173713+1231234+10+1000000)
	if notes := f.Notes(); len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}

	// Where there is none, that is said.
	if err := os.RemoveAll(f.root); err != nil {
		t.Fatal(err)
	}
	if s := node(); s.Rows(metric.PerCache) > 0 {
		t.Error("numbers of a file system that isn't there")
	}
	if notes := strings.Join(f.Notes(), "\n"); !strings.Contains(notes, "mount -t resctrl") {
		t.Errorf("notes %q", notes)
	}
}

// A link isn't a group: the kernel has none there.
func TestResctrlLink(t *testing.T) {
	f := newResctrl(t)
	a := idOf("a")
	if err := os.Symlink("p1", filepath.Join(f.root, a)); err != nil {
		t.Fatal(err)
	}
	if s := f.of(a); s.Rows(metric.PerCache) > 0 {
		t.Error("a link was followed")
	}
}

func FuzzMonitored(f *testing.F) {
	for _, text := range []string{"16234000\n", "Unavailable\n", "Error\n", "Unassigned\n", "1", "1\n2\n", "18446744073709551616\n", "-1\n", "\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, ok := parseMonitored(text)
		want, err := strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 64)
		wellFormed := err == nil && len(text) > 0 && text[len(text)-1] == '\n' && text[0] != '+'
		if ok != wellFormed || ok && v != want {
			t.Errorf("%d (%v) of %q", v, ok, text)
		}
	})
}

func FuzzTasks(f *testing.F) {
	f.Add(fixture(f, "resctrl-two-sockets/tasks"))
	f.Add([]byte("1\n0\n"))
	f.Add([]byte("99999999999\n12"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tasks := parseTasks(text)
		lines := strings.Split(string(text), "\n")
		for i, tid := range tasks {
			if n, err := strconv.Atoi(lines[i]); err != nil || n != tid || tid < 1 || tid > maxPid {
				t.Errorf("task %d of %q", tid, lines[i])
			}
		}
		if len(tasks) > len(lines)-1 {
			t.Errorf("%d tasks of %q", len(tasks), text)
		}
	})
}

// BenchmarkResctrl finds the groups, of a hundred containers with ten tasks each, and reads
// those of one container. The kernel's part, a question to a CPU for each number, isn't in it.
func BenchmarkResctrl(b *testing.B) {
	f := newResctrl(b)
	const groups, tasks = 100, 10
	id := func(i int) string { return fmt.Sprintf("%064x", i) }
	for i := range groups {
		var tids []int
		for n := range tasks {
			tid := 100_000 + i*tasks + n
			f.task(b, tid, id(i))
			tids = append(tids, tid)
		}
		f.group(b, "mon_groups/g"+strconv.Itoa(i), tids...)
	}
	b.Run("Find", func(b *testing.B) {
		for b.Loop() {
			f.FindGroups(true)
		}
	})
	b.Run("Read", func(b *testing.B) {
		for b.Loop() {
			s := new(metric.Sample)
			f.ReadGroup(id(50), []int{100_500}, s)
			if s.Rows(metric.PerCache) != 2 {
				b.Fatal("not found")
			}
		}
	})
	b.Run("Node", func(b *testing.B) {
		for b.Loop() {
			f.ReadNodeGroups(new(metric.Sample))
		}
	})
}
