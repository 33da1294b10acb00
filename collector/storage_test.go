package collector

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// The newest count is in each sample, with the filesystem that the layer lies on; counting
// takes its time in the background, one container after the other, and seldom.
func TestStorageIsCountedInTheBackground(t *testing.T) {
	var counts, atOnce atomic.Int64
	release := make(chan struct{})
	b := newBench(t, func(o *Options) {
		o.Filesystems = func(s *metric.Sample) error {
			for minor, name := range []string{"/dev/a", "/dev/b"} {
				row := s.AddRow(metric.PerFilesystem, metric.Key{Name: name, Major: 8, Minor: uint32(minor), Mountpoint: "/" + name, Type: "ext4"})
				s.PutRow(metric.FilesystemCapacity, row, 1000+uint64(minor))
				s.PutRow(metric.FilesystemUsed, row, 700)
				s.PutRow(metric.FilesystemAvailable, row, 300)
				s.PutRow(metric.FilesystemFullIn, row, 5)
			}
			return nil
		}
		o.Storage = func(ctx context.Context, c *metric.Container, s *metric.Sample) {
			if atOnce.Add(1) > 1 {
				t.Error("two containers are counted at once")
			}
			defer atOnce.Add(-1)
			select {
			case <-release:
			case <-ctx.Done():
				return
			}
			counts.Add(1)
			if c.Name == "name-b" { // of which nothing can be counted
				return
			}
			s.Put(metric.StorageLayer, 40)
			s.Put(metric.StorageLayerInodes, 3)
			s.Put(metric.StorageLogs, 2)
			s.Put(metric.StorageAsOf, 1e18)
			s.AddRow(metric.PerFilesystem, metric.Key{Major: 8, Minor: 1})
		}
	})
	for _, digit := range []string{"a", "b"} {
		b.start(t, id(digit), "sleep", "1000")
		b.name(id(digit))
	}
	b.tickUntil(t, "both containers are asked about", func() bool {
		a := b.byID[id("a")]
		return a != nil && a.storage.asked && b.byID[id("b")] != nil && b.byID[id("b")].storage.asked
	})
	b.tick(t) // the loop goes on
	if s := b.byID[id("a")].cur; s.Rows(metric.PerFilesystem) != 0 {
		t.Error("a filesystem before anything was counted")
	}
	close(release)
	b.tickUntil(t, "the numbers are there", func() bool {
		_, ok := b.byID[id("a")].cur.Get(metric.StorageLayer)
		return ok && counts.Load() == 2
	})
	b.tick(t)
	b.tick(t)

	s := b.byID[id("a")].cur
	for number, want := range map[metric.ID]uint64{
		metric.StorageLayer: 40, metric.StorageLayerInodes: 3, metric.StorageLogs: 2, metric.StorageAsOf: 1e18,
	} {
		if got, ok := s.Get(number); !ok || got != want {
			t.Errorf("%v is %d (%v), want %d", number, got, ok, want)
		}
	}
	if v, ok := s.Get(metric.StorageVolumes); ok {
		t.Errorf("volumes take %d, which nobody counted", v)
	}
	if n := s.Rows(metric.PerFilesystem); n != 1 {
		t.Fatalf("%d filesystems", n)
	}
	if key := s.Key(metric.PerFilesystem, 0); key.Name != "/dev/b" || key.Type != "ext4" {
		t.Errorf("filesystem %+v", key)
	}
	for number, want := range map[metric.ID]uint64{
		metric.FilesystemUsed: 42, metric.FilesystemCapacity: 1001, metric.FilesystemAvailable: 300,
	} {
		if got, ok := s.GetRow(number, 0); !ok || got != want {
			t.Errorf("%v is %d (%v), want %d", number, got, ok, want)
		}
	}
	for _, number := range []metric.ID{metric.FilesystemInodes, metric.FilesystemFullIn} {
		if v, ok := s.GetRow(number, 0); ok {
			t.Errorf("%v is %d, which the filesystem hasn't got or is the node's", number, v)
		}
	}
	if s := b.byID[id("b")].cur; s.Rows(metric.PerFilesystem) != 0 || b.byID[id("b")].storage.asked {
		t.Error("numbers of a container that can't be counted, or it is being counted for ever")
	}
	if root := b.byPath[metric.Root].cur; root.Rows(metric.PerFilesystem) != 2 {
		t.Errorf("the node has %d filesystems", root.Rows(metric.PerFilesystem))
	}

	// Not again within a minute, and then again.
	if n := counts.Load(); n != 2 {
		t.Errorf("%d counts", n)
	}
	due := b.byID[id("a")].storage.due
	if wait := time.Until(due); wait < storageEvery-10*time.Second || wait > storageEvery {
		t.Errorf("counted again in %v", wait)
	}
	b.byID[id("a")].storage.due, b.byID[id("a")].storage.seldom = time.Time{}, time.Time{}
	b.tickUntil(t, "counted again", func() bool { return counts.Load() == 3 })
}

// A container that stands still may wait, whatever becomes of the node's filesystems and
// of what its files take.
func TestStorageKeepsNobodyAwake(t *testing.T) {
	c := &Collector{o: Options{
		Storage:  func(context.Context, *metric.Container, *metric.Sample) {},
		Interval: 1, Dynamic: true, MaxInterval: 1000,
	}, storageSet: storageSet()}
	c.filesystem.PutRow(metric.FilesystemCapacity, c.filesystem.AddRow(metric.PerFilesystem, metric.Key{Name: "/dev/a", Major: 8}), 1000)
	tg := &target{container: &metric.Container{ID: id("a")}, cur: new(metric.Sample), prev: new(metric.Sample)}
	var counted metric.Sample
	counted.Put(metric.StorageLayer, 1)
	counted.Put(metric.StorageLogs, 1)
	counted.AddRow(metric.PerFilesystem, metric.Key{Major: 8})
	tg.storage = storageOf(&counted)
	read := func() {
		tg.cur, tg.prev = tg.prev, tg.cur
		tg.cur.CopyFrom(tg.prev)
		tg.cur.Time++
		c.keep(tg)
	}
	read()
	read()
	waited := tg.wait
	c.filesystem.PutRow(metric.FilesystemCapacity, 0, 2000)
	tg.storage.values[0] = 7
	read()
	if used, _ := tg.cur.GetRow(metric.FilesystemUsed, 0); used != 8 || tg.wait <= waited {
		t.Errorf("used %d; waits for %d sweeps, waited for %d before", used, tg.wait, waited)
	}
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations a sample", n)
	}

	// A filesystem that the node doesn't measure has what is known of it.
	c.filesystem.DropRows(metric.PerFilesystem)
	read()
	if key := tg.cur.Key(metric.PerFilesystem, 0); *key != (metric.Key{Major: 8}) {
		t.Errorf("%+v", key)
	}
	if used, ok := tg.cur.GetRow(metric.FilesystemUsed, 0); !ok || used != 8 {
		t.Errorf("used %d (%v)", used, ok)
	}
	// Without the logs what is used there isn't known.
	tg.storage.known[metric.StorageLogs-metric.StorageLayer] = false
	read()
	if n := tg.cur.Rows(metric.PerFilesystem); n != 0 {
		t.Errorf("%d filesystems", n)
	}
}

// A container in which nothing ran is counted again after ten minutes only.
func TestStorageOfIdleContainers(t *testing.T) {
	asked := make(chan *metric.Container, 1)
	c := &Collector{
		o:          Options{Storage: func(context.Context, *metric.Container, *metric.Sample) {}},
		background: &background{uncounted: asked},
	}
	tg := &target{container: &metric.Container{ID: id("a")}, cur: new(metric.Sample), identity: identity{settled: true}}
	c.targets = []*target{tg}
	f := func(why string, ran uint64, due, seldom time.Duration, want bool) {
		t.Helper()
		now := time.Now()
		tg.cur.Put(metric.CPUUsage, ran)
		tg.storage = storage{due: now.Add(due), seldom: now.Add(seldom)}
		c.askStorage()
		if got := len(asked) == 1; got != want {
			t.Errorf("%s: asked %v", why, got)
		}
		for len(asked) > 0 {
			<-asked
		}
	}
	f("it was counted a moment ago", 5, time.Minute, time.Hour, false)
	f("it ran", 5, -time.Second, time.Hour, true)
	f("it didn't run since", 5, -time.Second, time.Hour, false)
	f("it ran again", 6, -time.Second, time.Hour, true)
	f("that was long ago", 6, -time.Hour, -time.Second, true)
}

func BenchmarkPutStorage(b *testing.B) {
	c := &Collector{o: Options{Storage: func(context.Context, *metric.Container, *metric.Sample) {}}, storageSet: storageSet()}
	c.filesystem.PutRow(metric.FilesystemCapacity, c.filesystem.AddRow(metric.PerFilesystem, metric.Key{Name: "/dev/a", Major: 8}), 1000)
	tg := &target{container: &metric.Container{ID: id("a")}, cur: new(metric.Sample)}
	var s metric.Sample
	s.Put(metric.StorageLayer, 1)
	s.Put(metric.StorageLogs, 1)
	s.AddRow(metric.PerFilesystem, metric.Key{Major: 8})
	tg.storage = storageOf(&s)
	b.ReportAllocs()
	for b.Loop() {
		c.putStorage(tg)
	}
}
