package proc

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// The fixtures are embedded so that the test binary runs anywhere, as in a virtual machine
// with another kernel.
//
//go:embed testdata
var testdata embed.FS

const (
	v1Machine = "linux-6.18-cgroup-v1"
	v2Machine = "linux-6.1-cgroup-v2"
)

// fixture returns one file.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// copyMachine writes the files of a machine into a directory of the test's own.
func copyMachine(t testing.TB, machine string) (root string) {
	t.Helper()
	sub, err := fs.Sub(testdata, "testdata/"+machine)
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(t.TempDir(), "proc")
	if err := os.CopyFS(root, sub); err != nil {
		t.Fatal(err)
	}
	return root
}

func open(t testing.TB, root string) *FS {
	t.Helper()
	fs, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	return fs
}

func write(t testing.TB, root, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// check compares one number of a row of a sample; want < 0 means absent.
func check(t *testing.T, s *metric.Sample, id metric.ID, row int, want int64) {
	t.Helper()
	v, read := s.GetRow(id, row)
	if want < 0 && read {
		t.Errorf("%v %v: %d, want none", id.Per(), id, v)
	} else if want >= 0 && (!read || v != uint64(want)) {
		t.Errorf("%v %v: %d (read: %v), want %d", id.Per(), id, v, read, want)
	}
}

// rowNamed returns the row of a sample with that name.
func rowNamed(t *testing.T, s *metric.Sample, per metric.Per, name string) int {
	t.Helper()
	row := s.RowByName(per, []byte(name))
	if row < 0 {
		t.Fatalf("no %v %q", per, name)
	}
	return row
}
