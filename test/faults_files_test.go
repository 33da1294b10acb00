package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
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
	dockerfiles "github.com/swarmgauge/swarmgauge/docker" // there is a function docker here
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/shipper"
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
	r, err := h.OpenReader(path, 0)
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

var updateTrees = flag.Bool("update", false, "rewrite testdata/trees")

// A treeShape is how a distribution mounts cgroups, and where an engine puts its containers.
// The files in it are captured; where the mounts are made after documentation it says so.
type treeShape struct {
	name     string
	captured bool
	golden   string   // whose document comes out
	mounts   []string // pairs of a directory and a filesystem, as fixture.mounts takes them
	path     string   // of the container, with ID for its id
}

var treeShapes = []treeShape{
	{"v1, one mount a controller (Linux 6.18)", true, "v1", []string{
		"cg/cpu", "cgroup cpu", "cg/cpuacct", "cgroup cpuacct", "cg/memory", "cgroup memory", "cg/blkio", "cgroup blkio", "cg/pids", "cgroup pids", "cg/cpuset", "cgroup cpuset"},
		"/docker/ID"},
	{"hybrid (the same with cgroup2)", true, "hybrid", []string{
		"cg/cpu", "cgroup cpu", "cg/cpuacct", "cgroup cpuacct", "cg/memory", "cgroup memory", "cg/blkio", "cgroup blkio", "cg/pids", "cgroup pids", "cg/cpuset", "cgroup cpuset",
		"cg/systemd", "cgroup name=systemd", "cg/unified", "cgroup2 nsdelegate"},
		"/docker/ID"},
	{"hybrid of systemd: Debian 10, Ubuntu 18.04 and 20.04", false, "hybrid", []string{
		"cg/unified", "cgroup2 nsdelegate", "cg/systemd", "cgroup xattr,name=systemd", "cg/cpu,cpuacct", "cgroup cpu,cpuacct", "cg/net_cls,net_prio", "cgroup net_cls,net_prio",
		"cg/cpuset", "cgroup cpuset", "cg/memory", "cgroup memory", "cg/pids", "cgroup pids", "cg/blkio", "cgroup blkio", "cg/perf_event", "cgroup perf_event"},
		"/docker/ID"},
	{"v1 of systemd, systemd driver: CentOS 7, RHEL 7", false, "v1", []string{
		"cg/systemd", "cgroup xattr,release_agent=/usr/lib/systemd/systemd-cgroups-agent,name=systemd", "cg/cpu,cpuacct", "cgroup cpuacct,cpu", "cg/blkio", "cgroup blkio",
		"cg/memory", "cgroup memory", "cg/pids", "cgroup pids", "cg/cpuset", "cgroup cpuset", "cg/net_cls,net_prio", "cgroup net_prio,net_cls"},
		"/system.slice/docker-ID.scope"},
	{"v1 of systemd, cgroupfs driver: Amazon Linux 2, RHEL 8", false, "v1", []string{
		"cg/systemd", "cgroup xattr,name=systemd", "cg/blkio", "cgroup blkio", "cg/cpu,cpuacct", "cgroup cpu,cpuacct", "cg/memory", "cgroup memory", "cg/pids", "cgroup pids", "cg/cpuset", "cgroup cpuset"},
		"/docker/ID"},
	{"hybrid of OpenRC: Alpine to 3.18, Gentoo", false, "hybrid", []string{
		"cg/openrc", "cgroup release_agent=/lib/rc/sh/cgroup-release-agent.sh,name=openrc", "cg/unified", "cgroup2 nsdelegate", "cg/cpuset", "cgroup cpuset", "cg/cpu", "cgroup cpu",
		"cg/cpuacct", "cgroup cpuacct", "cg/blkio", "cgroup blkio", "cg/memory", "cgroup memory", "cg/pids", "cgroup pids"},
		"/docker/ID"},
	{"v2, systemd driver: Debian 12 (and 11, Ubuntu from 22.04, Fedora from 31, RHEL 9)", true, "v2", []string{"cg", "cgroup2 nsdelegate,memory_recursiveprot"},
		"/system.slice/docker-ID.scope"},
	{"v2, cgroupfs driver: Alpine from 3.19", false, "v2", []string{"cg", "cgroup2 nsdelegate"}, "/docker/ID"},
	{"v2, a parent of the operator's", false, "v2", []string{"cg", "cgroup2 nsdelegate"}, "/swarm.slice/swarm-shop.slice/docker-ID.scope"},
	{"v2, Docker in Docker", false, "v2", []string{"cg", "cgroup2 nsdelegate"}, "/docker/" + strings.Repeat("0123456789abcdef", 4) + "/docker/ID"},
	{"v2, rootless", false, "v2", []string{"cg", "cgroup2 nsdelegate"}, "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope"},
	{"v2, Podman", false, "v2", []string{"cg", "cgroup2 nsdelegate"}, "/machine.slice/libpod-ID.scope"},
} // immutable

// make makes the tree, with the container at path.
func (s *treeShape) make(t testing.TB, path string) *fixture {
	t.Helper()
	machine := "linux-6.18-cgroup-v1"
	if s.golden == "v2" {
		machine = "linux-6.1-cgroup-v2"
	}
	f := newFixture(t, machine)
	f.mounts(f.root, s.mounts...)
	for i := 0; i < len(s.mounts); i += 2 {
		dir := s.mounts[i]
		_, options, _ := strings.Cut(s.mounts[i+1], " ")
		switch {
		case s.golden == "v2":
			f.copy("../cgroup/testdata/v2/root", dir)
			f.copy("../cgroup/testdata/v2/load", dir+path)
		case strings.HasPrefix(s.mounts[i+1], "cgroup2"):
			f.copy("../cgroup/testdata/v1/unified", dir+path)
			f.copy("../cgroup/testdata/v1/unified", dir)
			f.write(dir+"/cgroup.controllers", "hugetlb\n")
			if err := os.Remove(f.path(dir + "/cgroup.events")); err != nil {
				t.Fatal(err)
			}
		default:
			f.write(dir+"/release_agent", "")
			f.write(dir+"/cgroup.procs", "1\n")
			for controller := range strings.SplitSeq(options, ",") {
				from := "../cgroup/testdata/v1/" + controller
				if _, err := os.Stat(from); err == nil { // others than ours have no numbers
					f.copy(from, dir+path)
				}
			}
			f.write(dir+path+"/cgroup.procs", "4711\n")
		}
	}
	return f
}

// The same cgroup makes the same document, whatever the distribution and the engine's driver
// make of the tree. Kernels that really have these trees are in virtual machines: see
// TestUnifiedKernelPackages, TestUnifiedKernelBare and TestUnifiedKernelSystemdDocker.
func TestC06TreesOfAllKinds(t *testing.T) {
	row := faults.Start(t, "C6")
	engine, err := dockerfiles.New(dockerfiles.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	captured, numbers := 0, 0
	for i := range treeShapes {
		s := &treeShapes[i]
		id := containerID(1)
		path := strings.ReplaceAll(s.path, "ID", id)
		f := s.make(t, path)
		h, err := cgroup.Open(cgroup.Options{ProcRoot: f.path("proc"), CgroupRoot: f.path("cg")})
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		defer h.Close()
		if h.Mode().String() != s.golden {
			t.Errorf("%s is taken for %v", s.name, h.Mode())
		}
		tree := h.NewTree()
		defer tree.Close()
		found := 0
		err = tree.Update(func(at string, _ uint64) {
			if _, got, ok := engine.Recognize(at); ok && got == id {
				found++
				if at != path {
					t.Errorf("%s: the container is at %s, want %s", s.name, at, path)
				}
			}
		}, func(string) {})
		if err != nil || found != 1 {
			t.Errorf("%s: %d containers found, %v", s.name, found, err)
			continue
		}
		document := documentOf(t, h, path, id)
		file := filepath.Join("testdata", "trees", s.golden+".json")
		if *updateTrees {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, document, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(document, want) {
			t.Errorf("%s: the document differs from %s (go test ./test -run C06 -update shows where): %s", s.name, file, document)
		}
		if s.captured {
			captured++
		}
		numbers += bytes.Count(document, []byte("\n"))
	}
	row.Result("%d trees, %d with captured mounts and %d with mounts made after documentation, captured files in all: the same document from each of a kind; %d lines compared",
		len(treeShapes), captured, len(treeShapes)-captured, numbers)
}

// documentOf returns the document of one sample of a cgroup, with its members in order.
func documentOf(t *testing.T, h *cgroup.Hierarchy, path, id string) []byte {
	t.Helper()
	r, err := h.OpenReader(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	w := metric.Window{Last: new(metric.Sample), Container: &metric.Container{Path: path, Instance: 1, ID: id, Name: "golden", Runtime: "docker"}, Slot: at.UnixNano(), Samples: 1}
	w.Last.Time = at.UnixNano()
	if err := r.Read(w.Last, true); err != nil {
		t.Fatal(err)
	}
	w.First.CopyFrom(w.Last)
	w.First.Zero()
	w.First.Time -= int64(10 * time.Second)
	line := shipper.NewEncoder(shipper.EncoderOptions{Interval: 10 * time.Second}).AppendContainer(nil, &metric.Node{Name: "node", CPUs: 2}, &w)
	var d document
	if err := json.Unmarshal(line, &d); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}
