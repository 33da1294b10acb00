package test

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/test/faults"
)

// number is one number of a sample, as it is told apart from others.
type number struct {
	id  metric.ID
	key metric.Key
}

// numbersOf returns all numbers of a sample.
func numbersOf(s *metric.Sample) map[number]uint64 {
	all := map[number]uint64{}
	for id := range metric.ID(metric.NumIDs) {
		for row := range s.Rows(id.Per()) {
			if v, ok := s.GetRow(id, row); ok {
				all[number{id, *s.Key(id.Per(), row)}] = v
			}
		}
	}
	return all
}

// readFixture reads the cgroup at path and the node from a tree, as the agent does at its
// start, and returns the numbers, what was complained about, and how long it took.
func readFixture(t *testing.T, root, path string) (numbers map[number]uint64, complaints int, took time.Duration) {
	t.Helper()
	began := time.Now()
	h, err := cgroup.Open(cgroup.Options{ProcRoot: root + "/proc", CgroupRoot: root + "/cg", SysRoot: root + "/sys"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r, err := h.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var s metric.Sample
	if err := r.Read(&s, true); err != nil {
		t.Fatal(err)
	}
	numbers = numbersOf(&s)
	for _, f := range h.Failures() {
		complaints += int(f.Count)
	}
	fs, err := proc.Open(root + "/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	node, err := fs.OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	var n metric.Sample
	if err := node.Read(&n, true); err != nil {
		complaints++
	}
	complaints += len(node.Missing())
	for number, v := range numbersOf(&n) {
		// The node's numbers have other rows, or are PerNode; what both have is told apart.
		number.key.Mountpoint = "node"
		numbers[number] = v
	}
	return numbers, complaints, time.Since(began)
}

// asLater returns a file as a later kernel may have it: with a line or a column more.
func asLater(name string, text []byte) []byte {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	all := func(suffix string) []byte {
		for i := range lines {
			lines[i] += suffix
		}
		return []byte(strings.Join(lines, "\n") + "\n")
	}
	switch base := filepath.Base(name); {
	case base == "dev":
		return all(" 7 7")
	case base == "diskstats" || base == "loadavg" || base == "uptime" || base == "file-nr":
		return all(" 7")
	case base == "io.stat":
		return all(" future=7")
	case strings.HasPrefix(base, "blkio.") && strings.Contains(string(text), ":"):
		return []byte("8:0 Future 7\n" + string(text))
	case strings.HasSuffix(base, "pressure") || strings.Contains(name, "proc/pressure/"):
		return append(bytes.Clone(text), "future avg10=7.00 avg60=7.00 avg300=7.00 total=7\n"...)
	case base == "meminfo":
		return append(bytes.Clone(text), "Future:   7 kB\n"...)
	case base == "cpuacct.stat" || strings.HasSuffix(base, ".stat") || strings.HasSuffix(base, ".events") || base == "vmstat" || base == "stat" || base == "memory.oom_control":
		return append(bytes.Clone(text), "future 7\n"...)
	}
	return text // a single value has no room for more
}

// Each file of the kernel that is read, one after the other, makes no sense. What it says is
// absent then, or what it was, and never anything else; all others are read.
func TestC07FilesThatMakeNoSense(t *testing.T) {
	row := faults.Start(t, "C7")
	digits := regexp.MustCompile(`([ =])([0-9])`)
	random := make([]byte, 4096)
	chacha := rand.NewChaCha8([32]byte{7})
	chacha.Read(random)
	damages := []struct {
		name   string
		damage func(name string, text []byte) []byte // nil for 64 MiB of nothing
		whole  bool                                  // all numbers stay
	}{
		{"empty", func(string, []byte) []byte { return nil }, false},
		{"one byte", func(_ string, text []byte) []byte { return text[:1] }, false},
		{"cut off", func(_ string, text []byte) []byte {
			half := len(text) / 2
			if half > 0 && text[half-1] == '\n' {
				half++ // not between two lines
			}
			return text[:half]
		}, false},
		{"random", func(string, []byte) []byte { return random }, false},
		{"CRLF", func(_ string, text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }, false},
		{"negative", func(_ string, text []byte) []byte { return digits.ReplaceAll(text, []byte("$1-$2")) }, false},
		{"64 MiB", nil, false},
		{"fields to come", asLater, true},
	}
	path := "/docker/" + containerID(1)
	files, reads, absent, unsaid := 0, 0, 0, 0
	var slowest time.Duration
	var most uint64
	for _, mode := range []string{"v1", "v2"} {
		f := machineFixture(t, mode, path)
		pristine, complaints, _ := readFixture(t, f.root, path)
		if len(pristine) < 50 {
			t.Fatalf("%s: %d numbers", mode, len(pristine))
		}
		if complaints > 4 { // the v2 machine has no pressure, and no network of its first process
			t.Errorf("%s: %d complaints about what is whole", mode, complaints)
		}
		for _, name := range filesOfNumbers(t, f) {
			files++
			text, err := os.ReadFile(f.path(name))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range damages {
				if len(text) == 0 {
					continue
				}
				if d.damage == nil {
					f.write(name, "")
					if err := os.Truncate(f.path(name), 64<<20); err != nil {
						t.Fatal(err)
					}
				} else {
					f.write(name, string(d.damage(name, text)))
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				got, said, took := readFixture(t, f.root, path)
				runtime.ReadMemStats(&after)
				reads++
				slowest, most = max(slowest, took), max(most, after.TotalAlloc-before.TotalAlloc)
				missing := 0
				for number, v := range pristine {
					is, ok := got[number]
					if ok && is != v {
						t.Errorf("%s, %s %s: %v of %q is %d, and was %d", mode, name, d.name, number.id, number.key.Name, is, v)
					}
					if !ok {
						missing++
					}
				}
				for number, v := range got {
					if _, known := pristine[number]; !known && v != 0 {
						t.Errorf("%s, %s %s: %v of %q is %d, and was absent", mode, name, d.name, number.id, number.key.Name, v)
					}
				}
				absent += missing
				if d.whole && missing > 0 {
					t.Errorf("%s, %s with %s: %d numbers are absent", mode, name, d.name, missing)
				}
				if missing > 0 && said <= complaints {
					unsaid++
					// Without a device there is no group of blkio's files to be read.
					if base := filepath.Base(name); !strings.HasPrefix(base, "blkio.") && (d.name != "empty" || base != "io.stat" && base != "diskstats") {
						t.Errorf("%s, %s %s: %d numbers are absent, and nothing is counted", mode, name, d.name, missing)
					}
				}
			}
			f.write(name, string(text))
		}
	}
	if slowest > 5*time.Second || most > 16<<20 {
		t.Errorf("a reading took %v and %d bytes", slowest, most)
	}
	row.Result("%d files, %d readings of the whole: no number was another one, %d were absent; %d times a list of devices was empty; the slowest reading took %d ms, the largest %d KiB",
		files, reads, absent, unsaid, slowest.Milliseconds(), most>>10)
}

// machineFixture returns a tree with one cgroup at path, of cgroup "v1" or "v2".
func machineFixture(t testing.TB, mode, path string) *fixture {
	t.Helper()
	if mode == "v2" {
		f := newFixture(t, "linux-6.1-cgroup-v2")
		f.copy("../cgroup/testdata/v2/root", "cg")
		f.copy("../cgroup/testdata/v2/load", "cg"+path)
		f.mounts(f.root, "cg", "cgroup2 nsdelegate")
		return f
	}
	f := newFixture(t, "linux-6.18-cgroup-v1")
	var mounts []string
	for _, controller := range []string{"cpu", "cpuacct", "memory", "blkio", "pids", "cpuset"} {
		f.copy("../cgroup/testdata/v1/"+controller, "cg/"+controller+path)
		f.write("cg/"+controller+path+"/cgroup.procs", "4711\n")
		f.write("cg/"+controller+"/release_agent", "")
		mounts = append(mounts, "cg/"+controller, "cgroup "+controller)
	}
	f.mounts(f.root, mounts...)
	return f
}

// filesOfNumbers returns the files of the cgroup and of /proc that numbers come from.
func filesOfNumbers(t testing.TB, f *fixture) (names []string) {
	t.Helper()
	err := filepath.WalkDir(f.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(f.root, path)
		isProc := strings.HasPrefix(name, "proc/") && !strings.Contains(name, "/mountinfo") && !strings.HasPrefix(name, "proc/2")
		isCgroup := strings.Contains(name, "/docker/") && filepath.Base(name) != "cgroup.procs"
		if isProc || isCgroup {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}
