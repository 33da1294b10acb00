package collector

import (
	"context"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// What a container's files take on disk is known only by looking at each of them. That is
// done in a goroutine of its own, one container after the other, seldom; the loop copies
// the last answer into each sample, which says as of when it is.

const (
	// storageEvery is the time between two counts of a container at the least.
	storageEvery = time.Minute
	// storageRest is how much longer than it took a container isn't counted again: a
	// twentieth of the time at most goes to one of many files.
	storageRest = 19
	// storageSeldom is the time between two counts of a container in which nothing ran
	// since the first of them: its files can have been changed from outside alone, by
	// another container in a volume of both, or by docker cp.
	storageSeldom = 10 * time.Minute
	// storageTimeout ends the count of a container that is never done.
	storageTimeout = time.Hour
)

// storageNumbers is how many numbers of the metric table there are of files; they stand in
// a row.
const storageNumbers = int(metric.StorageAsOf-metric.StorageLayer) + 1

// storage is what is known of a container's files.
type storage struct {
	due    time.Time // when they are counted again
	seldom time.Time // … though nothing ran in the container
	asked  bool      // under way
	values [storageNumbers]uint64
	known  [storageNumbers]bool
	// device numbers the one that holds the layer; placed tells that it is known.
	device struct{ major, minor uint32 }
	placed bool
}

// counted is what the background has counted.
type counted struct {
	container *metric.Container
	storage   storage
}

// storageOf takes the numbers out of a sample.
func storageOf(s *metric.Sample) (of storage) {
	for i := range of.values {
		of.values[i], of.known[i] = s.Get(metric.StorageLayer + metric.ID(i))
	}
	if of.placed = s.Rows(metric.PerFilesystem) > 0; of.placed {
		key := s.Key(metric.PerFilesystem, 0)
		of.device.major, of.device.minor = key.Major, key.Minor
	}
	return of
}

// askStorage asks for the files of the containers whose turn it is.
func (c *Collector) askStorage() {
	if c.o.Storage == nil {
		return
	}
	now := time.Now()
	for _, t := range c.targets {
		if !t.identity.settled || t.storage.asked || t.storage.due.After(now) {
			continue
		}
		ran, _ := t.cur.Get(metric.CPUUsage)
		if ran == t.ranAtCount && t.storage.seldom.After(now) {
			continue
		}
		select {
		case c.background.uncounted <- t.container:
			t.storage.asked, t.ranAtCount = true, ran
		default:
			return // at the next sweep
		}
	}
}

// countStorage counts the files of one container after the other.
func (b *background) countStorage(ctx context.Context) {
	for {
		select {
		case container := <-b.uncounted:
			began := time.Now()
			var s metric.Sample
			limited, cancel := context.WithTimeout(ctx, storageTimeout)
			b.o.Storage(limited, container, &s)
			cancel()
			answer := counted{container, storageOf(&s)}
			ended := time.Now()
			rest := storageRest * ended.Sub(began)
			answer.storage.due, answer.storage.seldom = ended.Add(max(storageEvery, rest)), ended.Add(max(storageSeldom, rest))
			select {
			case b.counted <- answer:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// storageCounted takes an answer, unless its container is gone.
func (c *Collector) storageCounted(a counted) {
	if t := c.byPath[a.container.Path]; t != nil && t.container.Instance == a.container.Instance {
		t.storage = a.storage
	}
}

// putStorage puts what is known of the files of t into its newest sample.
//
// The one filesystem of a container is the one that its layer lies on, as the node has
// measured it; used is what the container's layer and logs take there, as in cAdvisor.
func (c *Collector) putStorage(t *target) {
	if c.o.Storage == nil || t.container.ID == "" {
		return
	}
	s, of := t.cur, &t.storage
	s.Forget(&c.storageSet)
	for i, known := range of.known {
		if known {
			s.Put(metric.StorageLayer+metric.ID(i), of.values[i])
		}
	}
	s.DropRows(metric.PerFilesystem)
	const layer, logs = 0, metric.StorageLogs - metric.StorageLayer
	if !of.placed || !of.known[layer] || !of.known[logs] {
		return
	}
	key := metric.Key{Major: of.device.major, Minor: of.device.minor}
	on := c.filesystem.RowByDevice(metric.PerFilesystem, key.Major, key.Minor)
	if on >= 0 {
		key = *c.filesystem.Key(metric.PerFilesystem, on)
	}
	row := s.AddRow(metric.PerFilesystem, key)
	s.PutRow(metric.FilesystemUsed, row, of.values[layer]+of.values[logs])
	if on < 0 {
		return
	}
	for _, id := range [...]metric.ID{
		metric.FilesystemCapacity, metric.FilesystemAvailable, metric.FilesystemInodes, metric.FilesystemInodesFree,
	} {
		if v, ok := c.filesystem.GetRow(id, on); ok {
			s.PutRow(id, row, v)
		}
	}
}

// storageSet returns the numbers that putStorage puts.
func storageSet() (set metric.Set) {
	for i := range storageNumbers {
		set.Add(metric.StorageLayer + metric.ID(i))
	}
	return set
}
