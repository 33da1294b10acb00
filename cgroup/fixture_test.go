package cgroup

import (
	"embed"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// The fixtures are embedded, so that a test binary is all that a virtual machine needs.
//
//go:embed testdata
var testdata embed.FS

// text returns a fixture, such as "v2/load/cpu.stat".
func text(t testing.TB, name string) []byte {
	t.Helper()
	b, err := testdata.ReadFile(path.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// machine is a made-up machine: a directory with a mountinfo and cgroups of plain files.
type machine struct {
	t    testing.TB
	root string
}

// newMachine makes the fixtures of mode into a machine with one cgroup, "/docker/a".
func newMachine(t testing.TB, mode Mode) *machine {
	m := &machine{t, t.TempDir()}
	var mountinfo strings.Builder
	mount := func(point, fstype, options string) {
		mountinfo.WriteString("36 31 0:33 / " + m.path(point) + " rw,relatime - " + fstype + " " + fstype + " rw" + options + "\n")
		m.write(point+"/cgroup.procs", "1\n")
		m.write(point+"/docker/cgroup.procs", "")
		m.write(point+"/docker/a/cgroup.procs", "4711\n")
	}
	if mode == V2 {
		mount("cg", "cgroup2", "")
		m.copy("v2/root", "cg")
		m.copy("v2/load", "cg/docker/a")
	} else {
		for _, c := range []string{"cpu", "cpuacct", "memory", "blkio", "pids", "cpuset"} {
			mount("cg/"+c, "cgroup", ","+c)
			m.write("cg/"+c+"/release_agent", "")
			m.copy("v1/"+c, "cg/"+c+"/docker/a")
		}
	}
	if mode == Hybrid {
		mount("cg/unified", "cgroup2", "")
		m.write("cg/unified/cgroup.controllers", "hugetlb\n")
		m.copy("v1/unified", "cg/unified")
		m.remove("cg/unified/cgroup.events")
		m.copy("v1/unified", "cg/unified/docker/a")
	}
	m.write("proc/self/mountinfo", mountinfo.String())
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) write(name, content string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) []byte {
	m.t.Helper()
	b, err := os.ReadFile(m.path(name))
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

func (m *machine) remove(name string) {
	m.t.Helper()
	if err := os.RemoveAll(m.path(name)); err != nil {
		m.t.Fatal(err)
	}
}

// copy copies the fixtures of a directory.
func (m *machine) copy(from, to string) {
	m.t.Helper()
	dir := path.Join("testdata", from)
	entries, err := fs.ReadDir(testdata, dir)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		m.write(path.Join(to, e.Name()), string(text(m.t, path.Join(from, e.Name()))))
	}
}

// open opens the machine's hierarchy with a budget of descriptors, on the kernel that
// the v1 files are from.
func (m *machine) open(descriptors int) *Hierarchy {
	m.t.Helper()
	h, err := open(Options{ProcRoot: m.path("proc"), CgroupRoot: m.path("cg"), MaxDescriptors: descriptors,
		DeviceName: func(major, minor uint32) string {
			if major == 254 && minor == 0 {
				return "vda"
			}
			return ""
		}}, kernel{major: 6, minor: 18, release: "6.18.44"})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(h.Close)
	h.trust()
	return h
}

// trust makes h take its files for the kernel's.
func (h *Hierarchy) trust() {
	for i := range h.mounts {
		h.mounts[i].foreign = false
	}
}

// openReader opens a Reader that the test closes at its end.
func openReader(t testing.TB, h *Hierarchy, path string) *Reader {
	t.Helper()
	r, err := h.OpenReader(path, 0)
	if err != nil {
		t.Fatalf("OpenReader(%q): %v", path, err)
	}
	t.Cleanup(r.Close)
	return r
}

// read does one slow Read into a new sample.
func read(t testing.TB, r *Reader) *metric.Sample {
	t.Helper()
	var s metric.Sample
	if err := r.Read(&s, true); err != nil {
		t.Fatalf("Read(%s): %v", r.Path(), err)
	}
	return &s
}

// want holds expected numbers.
type want map[metric.ID]uint64

// check compares all numbers of the container in s with w: no more, no fewer.
func (w want) check(t testing.TB, s *metric.Sample) {
	t.Helper()
	for col := range metric.PerContainer.Width() {
		id := metric.PerContainer.First() + metric.ID(col)
		got, ok := s.Get(id)
		expected, wanted := w[id]
		switch {
		case ok && !wanted:
			t.Errorf("%v = %d, want it absent", id, got)
		case !ok && wanted:
			t.Errorf("%v is absent, want %d", id, expected)
		case got != expected:
			t.Errorf("%v = %d, want %d", id, got, expected)
		}
	}
}

// lacks tells whether s lacks a number.
func (w want) lacks(s *metric.Sample) bool {
	for id := range w {
		if _, ok := s.Get(id); !ok {
			return true
		}
	}
	return false
}

// checkRow compares numbers of one row with their expectations.
func checkRow(t testing.TB, s *metric.Sample, per metric.Per, name string, w want) {
	t.Helper()
	row := s.RowByName(per, []byte(name))
	if row < 0 {
		t.Errorf("no %v %q", per, name)
		return
	}
	for id, expected := range w {
		if got, ok := s.GetRow(id, row); !ok || got != expected {
			t.Errorf("%v of %s = %d (%v), want %d", id, name, got, ok, expected)
		}
	}
}
