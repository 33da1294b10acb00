package proc

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// The node's filesystems that lie on a disk are what statfs says of their mountpoints.
func TestFilesystemsAgainstStatfs(t *testing.T) {
	f := open(t, "/proc").NewFilesystems("/")
	var s metric.Sample
	if err := f.Read(&s); err != nil {
		t.Error(err)
	}
	if s.Rows(metric.PerFilesystem) == 0 {
		t.Skip("no filesystem of a disk can be seen here; run where / or another mount is on one")
	}
	for row := range s.Rows(metric.PerFilesystem) {
		key := s.Key(metric.PerFilesystem, row)
		var st unix.Statfs_t
		if err := unix.Statfs(key.Mountpoint, &st); err != nil {
			t.Fatal(err)
		}
		check(t, &s, metric.FilesystemCapacity, row, int64(st.Blocks)*st.Frsize)
		check(t, &s, metric.FilesystemInodes, row, int64(st.Files))
		const change = 1 << 30 // others write too
		used, _ := s.GetRow(metric.FilesystemUsed, row)
		between(t, key.Mountpoint, max(change, (st.Blocks-st.Bfree)*uint64(st.Frsize))-change, used, (st.Blocks-st.Bfree)*uint64(st.Frsize)+change)
		available, _ := s.GetRow(metric.FilesystemAvailable, row)
		between(t, key.Mountpoint, max(change, st.Bavail*uint64(st.Frsize))-change, available, st.Bavail*uint64(st.Frsize)+change)
		check(t, &s, metric.FilesystemFullIn, row, -1)
	}
}

func TestMeasureCovered(t *testing.T) {
	own := mountOf(t, "/")
	if _, err := measure([]mount{own}); err != nil {
		t.Error(err)
	}
	other := mount{own.path, own.id + 1}
	if _, err := measure([]mount{other}); !errors.Is(err, errCovered) {
		t.Errorf("error %v, want %v", err, errCovered)
	}
	if _, err := measure([]mount{other, {"/none", 1}, own}); err != nil {
		t.Errorf("of three mounts the last is good, but: %v", err)
	}
	if _, err := measure([]mount{{"/none", 1}}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("error %v, want ENOENT", err)
	}
	if _, err := measure([]mount{mountOf(t, "/proc")}); err == nil || !strings.Contains(err.Error(), "0 of 0 blocks") {
		t.Errorf("error %v for what has no size", err)
	}
}

// mountOf returns what is mounted at path, as a kernel since Linux 5.8 tells.
func mountOf(t *testing.T, path string) mount {
	t.Helper()
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		t.Skipf("the kernel doesn't tell mounts apart (statx: %v); run on Linux 5.8 or newer", err)
	}
	return mount{path, int(st.Mnt_id)}
}

// fakeFilesystems reads two filesystems whose answers the test gives.
func fakeFilesystems(t *testing.T, measure func(path string) (usage, error)) (f *Filesystems, setMounts func(string)) {
	root := copyMachine(t, v1Machine)
	setMounts = func(text string) {
		write(t, root, "self/mountinfo", text)
		write(t, root, "1/mountinfo", text)
	}
	setMounts(twoDisks)
	f = open(t, root).NewFilesystems("")
	f.measure = func(mounts []mount) (usage, error) { return measure(mounts[0].path) }
	return f, setMounts
}

const (
	diskA    = "50 40 8:1 / /a rw - ext4 /dev/sda1 rw\n"
	diskB    = "51 40 8:17 / /b rw - btrfs /dev/sdb1 rw\n"
	twoDisks = diskA + diskB
)

// places returns the mountpoints in s that something was read of.
func places(s *metric.Sample) string {
	var all []string
	for row := range s.Rows(metric.PerFilesystem) {
		if _, read := s.GetRow(metric.FilesystemCapacity, row); read {
			all = append(all, s.Key(metric.PerFilesystem, row).Mountpoint)
		}
	}
	return strings.Join(all, " ")
}

func TestFilesystemsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		var asked atomic.Int64
		f, _ := fakeFilesystems(t, func(path string) (usage, error) {
			if path == "/b" {
				asked.Add(1)
				<-hang
			}
			return usage{capacity: 100, used: 40, available: 50}, nil
		})
		var s metric.Sample
		read := func(want, wantErr string, wantAsked int64, took time.Duration) {
			t.Helper()
			begin := time.Now()
			err := f.Read(&s)
			if err == nil && wantErr != "" || err != nil && (wantErr == "" || err.Error() != wantErr) {
				t.Errorf("error %v, want %q", err, wantErr)
			}
			if got := places(&s); got != want {
				t.Errorf("filesystems %q, want %q", got, want)
			}
			if asked.Load() != wantAsked {
				t.Errorf("asked %d times, want %d", asked.Load(), wantAsked)
			}
			if time.Since(begin) != took {
				t.Errorf("took %v, want %v", time.Since(begin), took)
			}
		}
		read("/a", "/dev/sdb1 on /b: no answer within 2s; left alone for 5m0s", 1, statfsDeadline)
		read("/a", "", 1, 0)
		// It is never asked twice at once, however long it takes.
		time.Sleep(3 * quarantine)
		read("/a", "", 1, 0)
		if f.Timeouts() != 1 {
			t.Errorf("%d timeouts, want 1", f.Timeouts())
		}
		close(hang)
		synctest.Wait()
		read("/a /b", "", 2, 0)
		check(t, &s, metric.FilesystemAvailable, 1, 50)
	})
}

// An answer that comes late doesn't end the quarantine.
func TestFilesystemsLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := fakeFilesystems(t, func(path string) (usage, error) {
			if path == "/b" {
				time.Sleep(time.Minute)
			}
			return usage{capacity: 1}, nil
		})
		var s metric.Sample
		for range 100 {
			f.Read(&s)
			time.Sleep(10 * time.Second)
		}
		if got := f.Timeouts(); got != 4 {
			t.Errorf("%d timeouts in 17 minutes, want 4", got)
		}
		time.Sleep(time.Minute)
	})
}

func TestFilesystemsRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := uint64(40)
		f, setMounts := fakeFilesystems(t, func(path string) (usage, error) {
			if path == "/a" {
				return usage{capacity: 1000, used: used, available: 1000 - used, inodes: 7, inodesFree: 3}, nil
			}
			return usage{capacity: 100, used: 40, available: 50}, nil
		})
		var s metric.Sample
		read := func(want string) {
			t.Helper()
			if err := f.Read(&s); err != nil {
				t.Error(err)
			}
			if got := places(&s); got != want {
				t.Errorf("filesystems %q, want %q", got, want)
			}
		}
		read("/a /b")
		if key := *s.Key(metric.PerFilesystem, 0); key != (metric.Key{Name: "/dev/sda1", Major: 8, Minor: 1, Mountpoint: "/a", Type: "ext4"}) {
			t.Errorf("%+v", key)
		}
		check(t, &s, metric.FilesystemInodes, 0, 7)
		check(t, &s, metric.FilesystemInodesFree, 0, 3)
		check(t, &s, metric.FilesystemInodes, 1, -1)
		check(t, &s, metric.FilesystemInodesFree, 1, -1)

		// 10 bytes a minute, for an hour.
		for range 60 {
			time.Sleep(time.Minute)
			used += 10
			read("/a /b")
		}
		check(t, &s, metric.FilesystemFullIn, 0, int64(36*time.Minute))
		check(t, &s, metric.FilesystemFullIn, 1, -1)

		// One that was unmounted is forgotten, its past too.
		setMounts(diskB)
		read("/b")
		setMounts(twoDisks)
		read("/a /b")
		check(t, &s, metric.FilesystemFullIn, 0, -1)
		if s.Rows(metric.PerFilesystem) != 2 {
			t.Errorf("%d rows, want the old ones again", s.Rows(metric.PerFilesystem))
		}
	})
}

func TestFilesystemsError(t *testing.T) {
	f, _ := fakeFilesystems(t, func(path string) (usage, error) {
		if path == "/a" {
			return usage{}, unix.EIO
		}
		return usage{capacity: 1}, nil
	})
	var s metric.Sample
	err := f.Read(&s)
	if want := "/dev/sda1 on /a: input/output error"; err == nil || err.Error() != want || !errors.Is(err, unix.EIO) {
		t.Errorf("error %v, want %s", err, want)
	}
	if got := places(&s); got != "/b" {
		t.Errorf("filesystems %q, want /b", got)
	}
}

func BenchmarkFilesystemsRead(b *testing.B) {
	f := open(b, "/proc").NewFilesystems("/")
	s := new(metric.Sample)
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Read(s); err != nil {
			b.Fatal(err)
		}
	}
}
