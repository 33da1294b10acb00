package cgroup

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/hang"
	"github.com/swarmgauge/swarmgauge/metric"
)

// foreign opens the machine as what it is: files on a disk, in the kernel's place.
func (m *machine) foreign() *Hierarchy {
	m.t.Helper()
	h, err := open(Options{ProcRoot: m.path("proc"), CgroupRoot: m.path("cg"), MaxDescriptors: 1000}, kernel{major: 6, minor: 18, release: "6.18.44"})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(h.Close)
	return h
}

// Files that aren't the kernel's are read all the same, and none is kept open.
func TestReadForeign(t *testing.T) {
	for _, mode := range modes {
		h := newMachine(t, mode).foreign()
		for i := range h.mounts {
			if !h.mounts[i].foreign {
				t.Errorf("%v: %s is taken for the kernel's", mode, h.mounts[i].path)
			}
		}
		r := openReader(t, h, "/docker/a")
		expected(mode).check(t, read(t, r))
		for i := range r.files {
			if r.files[i].fd != none {
				t.Errorf("%v: %s is kept open", mode, h.rows[i].name)
			}
		}
		if f := h.Failures(); len(f) > 0 {
			t.Errorf("%v: failures %v", mode, f)
		}
	}
}

// A FIFO that nobody writes to is no file to wait for.
func TestReadFIFO(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		m := newMachine(t, V2)
		m.remove("cg/docker/a/memory.stat")
		if err := unix.Mkfifo(m.path("cg/docker/a/memory.stat"), 0o644); err != nil {
			t.Fatal(err)
		}
		h := m.open(1000)
		if foreign {
			h = m.foreign()
		}
		began := time.Now()
		s := read(t, openReader(t, h, "/docker/a"))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		if _, ok := s.Get(metric.MemoryRSS); ok {
			t.Error("a number out of a FIFO")
		}
		if _, ok := s.Get(metric.CPUUsage); !ok {
			t.Error("the other files were not read")
		}
		if f := h.Failures(); len(f) != 1 || f[0].File != "memory.stat" {
			t.Errorf("failures %v", f)
		}
	}
}

// While a file hangs, its cgroup has no numbers from it, and is asked again when it is back;
// another cgroup doesn't notice.
func TestReadHangs(t *testing.T) {
	m := newMachine(t, V2)
	m.copy("v2/load", "cg/docker/b")
	h := m.foreign()
	a, b := openReader(t, h, "/docker/a"), openReader(t, h, "/docker/b")
	release := make(chan struct{})
	never := func([]byte) (int, error) { <-release; return 0, nil }
	if _, err := h.foreign.Read(&a.foreign, make([]byte, 1), never); err != hang.ErrHung || h.Hung() != 1 {
		t.Fatalf("error %v, %d hang", err, h.Hung())
	}
	s := read(t, a)
	if n := s.Len(); n != 0 {
		t.Errorf("%d numbers of a cgroup whose files hang", n)
	}
	others, all := read(t, b), expected(V2)
	for tries := 0; all.lacks(others) && tries < 50; tries++ { // an emulated machine may be slow to answer, too
		time.Sleep(100 * time.Millisecond)
		others = read(t, b)
	}
	all.check(t, others)
	if f := h.Failures(); len(f) == 0 || f[0].First != "/docker/a: no answer" {
		t.Errorf("failures %v", f)
	}
	close(release)
	for h.Hung() > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := a.Read(s, false); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Get(metric.MemoryRSS); !ok {
		t.Error("no numbers after the files have come back")
	}
}
