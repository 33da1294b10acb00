package hang

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// text is a read that answers at once.
func text(s string, err error) func([]byte) (int, error) {
	return func(b []byte) (int, error) { return copy(b, s), err }
}

func TestReadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := New(2), make([]byte, 8)
		var p Place
		for _, want := range []string{"one", "", "longer than b"} {
			n, err := r.Read(&p, b, text(want, nil))
			if err != nil || string(b[:n]) != want[:min(len(want), len(b))] {
				t.Errorf("%q, %v; want %q", b[:n], err, want)
			}
		}
		if _, err := r.Read(&p, b, text("", unix.EIO)); err != unix.EIO {
			t.Errorf("error %v", err)
		}
		if r.Hung() != 0 {
			t.Errorf("%d hang", r.Hung())
		}
	})
}

// A read that hangs is waited for once, its place is left alone until it comes back, and the
// first read after that has news.
func TestReadHangsAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := New(2), make([]byte, 8)
		var stuck, well Place
		release := make(chan struct{})
		hang := func(b []byte) (int, error) { <-release; return copy(b, "old"), nil }
		began := time.Now()
		if _, err := r.Read(&stuck, b, hang); !errors.Is(err, ErrHung) {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(began); waited != patience {
			t.Errorf("waited %v", waited)
		}
		began = time.Now()
		for range 3 {
			if _, err := r.Read(&stuck, b, hang); !errors.Is(err, ErrHung) {
				t.Errorf("error %v", err)
			}
			if n, err := r.Read(&well, b, text("well", nil)); err != nil || string(b[:n]) != "well" {
				t.Errorf("another one: %q, %v", b[:n], err)
			}
		}
		if waited := time.Since(began); waited != 0 || r.Hung() != 1 {
			t.Errorf("waited %v, %d hang", waited, r.Hung())
		}
		close(release)
		synctest.Wait()
		if n, err := r.Read(&stuck, b, text("new", nil)); err != nil || string(b[:n]) != "new" || r.Hung() != 0 {
			t.Errorf("after the release: %q, %v, %d hang", b[:n], err, r.Hung())
		}
	})
}

// However many hang, they get a quarter of the time together, and no more threads than they
// may.
func TestReadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 8
		r, b := New(most), make([]byte, 8)
		places := make([]Place, 2*most)
		release := make(chan struct{})
		hang := func([]byte) (int, error) { <-release; return 0, nil }
		began := time.Now()
		for i := range places {
			if _, err := r.Read(&places[i], b, hang); !errors.Is(err, ErrHung) {
				t.Errorf("error %v", err)
			}
		}
		if waited := time.Since(began); waited != patience+(most-1)*impatience {
			t.Errorf("waited %v", waited)
		}
		if r.Hung() != most {
			t.Errorf("%d hang, want %d", r.Hung(), most)
		}
		close(release)
		synctest.Wait()
		if r.Hung() != 0 {
			t.Errorf("%d hang after the release", r.Hung())
		}
	})
}

func TestMay(t *testing.T) {
	f := func(path string, want bool) {
		t.Helper()
		file, err := os.Open(path)
		if err != nil {
			lab.Lack(t, err.Error()+": run it where procfs and cgroups are mounted")
		}
		defer file.Close()
		if got := May(int(file.Fd())); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	f("/proc", false)
	f("/proc/self/stat", false)
	f(t.TempDir(), true)
	if !May(-1) {
		t.Error("no file at all")
	}
}
