package proc

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNumber(t *testing.T) {
	f := func(text string, want uint64, ok bool) {
		t.Helper()
		if v, got := number([]byte(text)); got != ok || ok && v != want {
			t.Errorf("%q: %d, %v", text, v, got)
		}
	}
	f("0", 0, true)
	f("007", 7, true)
	f("18446744073709551615", math.MaxUint64, true)
	f("18446744073709551616", 0, false)
	f("99999999999999999999", 0, false)
	f("", 0, false)
	f("-1", 0, false)
	f("+1", 0, false)
	f("1 ", 0, false)
	f("max", 0, false)
	f("\x00", 0, false)
}

func TestHundredths(t *testing.T) {
	f := func(text string, want uint64, ok bool) {
		t.Helper()
		if v, got := hundredths([]byte(text)); got != ok || ok && v != want {
			t.Errorf("%q: %d, %v", text, v, got)
		}
	}
	f("0.00", 0, true)
	f("0.61", 61, true)
	f("1186.87", 118687, true)
	f("184467440737095516.15", math.MaxUint64, true)
	f("184467440737095516.16", 0, false)
	f("184467440737095517.00", 0, false)
	f("1.5", 0, false)
	f("1.234", 0, false)
	f(".61", 0, false)
	f("61", 0, false)
	f("", 0, false)
	f("-0.61", 0, false)
	f("1.-1", 0, false)
}

func TestReadAll(t *testing.T) {
	f := func(size int, want error) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte(strings.Repeat("x", size)), 0o644); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		text, err := readAll(fd, make([]byte, 0, 10))
		if err != want || err == nil && len(text) != size {
			t.Errorf("%d bytes: read %d, %v, want %v", size, len(text), err, want)
		}
	}
	f(0, nil)
	f(9, nil)
	f(10, nil)
	f(11, nil)
	f(100_000, nil)
	f(3*maxText, unix.EFBIG)
}
