package proc

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDeviceName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := copyMachine(t, v1Machine)
		write(t, root, "diskstats", string(fixture(t, "linux-6.1-partitions.diskstats")))
		fs := open(t, root)
		f := func(major, minor uint32, want string) {
			t.Helper()
			if got := fs.DeviceName(major, minor); got != want {
				t.Errorf("%d:%d is %q, want %q", major, minor, got, want)
			}
		}
		f(259, 0, "nvme0n1")
		f(259, 1, "nvme0n1p1")
		f(7, 3, "loop3")
		f(8, 16, "8:16")

		// A disk is plugged in. It isn't looked for at once, then it is.
		write(t, root, "diskstats", "8 16 sdb 0 0 0 0 0 0 0 0 0 0 0\ntorn off 8 32 sd")
		f(8, 16, "8:16")
		time.Sleep(devicesInterval)
		f(259, 0, "nvme0n1")
		f(8, 16, "sdb")
		f(8, 32, "8:32")
	})
}

func TestDeviceNameUnreadable(t *testing.T) {
	root := copyMachine(t, v2Machine)
	write(t, root, "diskstats", "\x00\xff")
	if got := open(t, root).DeviceName(8, 0); got != "8:0" {
		t.Errorf("%q, want 8:0", got)
	}
}

func TestDeviceNameAllocs(t *testing.T) {
	fs := open(t, copyMachine(t, v1Machine))
	if allocs := testing.AllocsPerRun(100, func() { fs.DeviceName(254, 0) }); allocs != 0 {
		t.Errorf("%v allocations for a known device", allocs)
	}
}
