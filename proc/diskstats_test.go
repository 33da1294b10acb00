package proc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestParseDiskstats(t *testing.T) {
	const used = " 9 8 7 6 5 4 3 2 1 10 11\n"
	f := func(text, want, wantBad string) {
		t.Helper()
		var s metric.Sample
		bad := parseDiskstats([]byte(text), &s)
		if string(bad) != wantBad || (bad != nil) != (wantBad != "") {
			t.Errorf("bad line %q, want %q", bad, wantBad)
		}
		var names []string
		for row := range s.Rows(metric.PerDevice) {
			names = append(names, s.Key(metric.PerDevice, row).Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("devices %q, want %q, of\n%s", got, want, text)
		}
	}
	f(string(fixture(t, "linux-6.1-partitions.diskstats")), "nvme0n1 vda sda", "")
	f(string(fixture(t, v2Machine+"/diskstats")), "vda", "")
	f("", "", "")

	// In the names and order of the kernel's drivers.
	lines := func(names ...string) (text string) {
		for minor, name := range names {
			text += fmt.Sprintf("%4d %7d %s%s", 8, minor, name, used)
		}
		return text
	}
	f(lines("sda", "sda1", "sda15", "sdaa", "sdaa2", "sdb"), "sda sdaa sdb", "")
	f(lines("nvme0n1", "nvme0n1p1", "nvme0n1p12", "nvme1n1", "nvme0n12"), "nvme0n1 nvme1n1 nvme0n12", "")
	f(lines("mmcblk0", "mmcblk0p1", "mmcblk0boot0", "mmcblk0boot1"), "mmcblk0 mmcblk0boot0 mmcblk0boot1", "")
	f(lines("md1", "md12", "md127", "md127p1", "dm-1", "dm-11", "dm-1p"), "md1 md12 md127 dm-1 dm-11 dm-1p", "")
	f(lines("loop0", "loop0p1", "nbd0", "nbd0p2", "zram0", "xvda", "xvda1", "sr0", "cciss!c0d0", "cciss!c0d0p1"), "loop0 nbd0 zram0 xvda sr0 cciss!c0d0", "")
	// Some Xen machines have what looks like a partition, and no disk to it.
	f(lines("xvda1", "xvda2"), "xvda1 xvda2", "")
	f(lines("ram0", "ram15", "sda"), "sda", "")

	f("8 0 sda 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", "", "")
	f("8 0 sda 1 2 3\n8 16 sdb"+used, "sdb", "8 0 sda 1 2 3")
	f("8 0 sda 1 2 3 4 5 6 7 8 9 10 -1\n", "", "8 0 sda 1 2 3 4 5 6 7 8 9 10 -1")
	f("8 0 sda 1 2 36028797018963968 4 5 6 7 8 9 10 11\n", "", "8 0 sda 1 2 36028797018963968 4 5 6 7 8 9 10 11")
	f("4294967296 0 sda"+used, "", "4294967296 0 sda"+strings.TrimSuffix(used, "\n"))
	f("8 0\n", "", "8 0")
	f("8 0 sda"+used+"8 16 sdb 1 2 3 4 5 6 7 8 9 10 1", "sda", "8 16 sdb 1 2 3 4 5 6 7 8 9 10 1")
}

// Kernels before Linux 4.18 know no discards: those are absent, the rest isn't.
func TestDiskstatsWithoutDiscards(t *testing.T) {
	var s metric.Sample
	if bad := parseDiskstats([]byte("8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n"), &s); bad != nil {
		t.Errorf("bad line %q", bad)
	}
	check(t, &s, metric.DiskReadOperations, 0, 1)
	check(t, &s, metric.DiskWeightedIOTime, 0, 11e6)
	check(t, &s, metric.DiskDiscardOperations, 0, -1)
	check(t, &s, metric.DiskDiscardBytes, 0, -1)
}

// A row that the cgroup's reader has made, or another device has left, is taken over.
func TestDiskstatsTakesRow(t *testing.T) {
	var s metric.Sample
	s.AddRow(metric.PerDevice, metric.Key{Name: "259:0", Major: 259})
	if bad := parseDiskstats([]byte("259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11\n"), &s); bad != nil {
		t.Errorf("bad line %q", bad)
	}
	if key := s.Key(metric.PerDevice, 0); key.Name != "nvme0n1" || s.Rows(metric.PerDevice) != 1 {
		t.Errorf("%d rows, first %+v", s.Rows(metric.PerDevice), *key)
	}
}
