package shipper

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// counts is what the shipper's goroutines count. All of it may be used at once.
type counts struct {
	sampled, batches                         atomic.Int64
	indexed, gapsIndexed, batchesDelivered   atomic.Int64
	duplicatesExpected, duplicatesUnexpected atomic.Int64
	requests, retried, dead, failureStore    atomic.Int64
	replayed, restored                       atomic.Int64
	indicesDeleted                           atomic.Int64

	slowest atomic.Int64 // of the deliveries since the last document of the agent, in ns
	storing atomic.Int64 // since when the publisher stores a batch, in ns; 0 while it waits for one

	mu          sync.Mutex // guards what follows
	trouble     string
	troubleAt   time.Time
	held        bool
	lastError   string
	lastErrorAt time.Time
	remarks     []string
	retention   string // why no index is deleted
}

// delivered notes how long a delivery took. One goroutine calls it.
func (c *counts) delivered(took time.Duration) {
	if int64(took) > c.slowest.Load() {
		c.slowest.Store(int64(took)) // a document that is made meanwhile has what was there before
	}
}

// setTrouble notes why documents wait, "" when none does.
func (c *counts) setTrouble(sentence string, held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sentence == "" {
		c.trouble, c.troubleAt, c.held = "", time.Time{}, false
		return
	}
	if c.trouble == "" {
		c.troubleAt = time.Now()
	}
	c.trouble, c.held = sentence, held
	c.lastError, c.lastErrorAt = sentence, time.Now()
}

// setRemarks notes what is unwise about the indices, and reports whether it is news.
func (c *counts) setRemarks(remarks []string) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news = !slices.Equal(remarks, c.remarks)
	c.remarks = remarks
	return news
}

// setRetention notes why no index is deleted, "" where that goes well, and reports whether it
// is news.
func (c *counts) setRetention(sentence string) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news = sentence != c.retention
	c.retention = sentence
	return news
}

// fail notes an error that concerns one batch only.
func (c *counts) fail(sentence string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastError, c.lastErrorAt = sentence, time.Now()
}

// Stats is what a Shipper has done since its start, and what it holds. While nothing is
// on its way,
//
//	Sampled + Found = Indexed + Pending + Dead + the sum of Dropped
//
// holds to the document, gap documents not counted.
type Stats struct {
	// Epoch is in the _id of each document of this run.
	Epoch uint64
	// Sampled counts the documents that were put, Batches those that were stored.
	Sampled, Batches int64
	// Found counts the documents that earlier runs had left on disk, and refused ones
	// that somebody put back.
	Found int64
	// Indexed counts documents that Elasticsearch has, GapsIndexed gap documents.
	Indexed, GapsIndexed int64
	// DuplicatesExpected counts documents that turned out to be there from an
	// attempt whose answer was lost; DuplicatesUnexpected those whose _id another
	// document had: each is a fault, and the document is among Dead.
	DuplicatesExpected, DuplicatesUnexpected int64
	// Requests counts _bulk requests, Retried attempts after which a batch was kept.
	Requests, Retried int64
	// Dead counts documents that were refused and moved to the dead-letter directory.
	Dead int64
	// FailureStore counts documents that Elasticsearch took into its failure store
	// instead of the index.
	FailureStore int64
	// Replayed counts documents that were delivered once more because somebody asked for
	// it, and so are in none of the other counts; Restored those of them that
	// Elasticsearch no longer had.
	Replayed, Restored int64
	// Dropped counts documents that will never be indexed, by reason: "budget",
	// "memory", "behind", "damaged".
	Dropped map[string]int64
	// Pending counts the documents on their way: being encoded, waiting for the
	// disk, on disk or in memory.
	Pending int64
	// SpoolBatches and SpoolBytes are on disk, MemoryBytes in memory instead.
	SpoolBatches            int
	SpoolBytes, MemoryBytes int64
	// AckedBatches and AckedBytes are delivered and kept on disk for a replay.
	AckedBatches int
	AckedBytes   int64
	// Oldest is the end of the oldest interval that waits; zero when none does.
	Oldest time.Time
	// Alien counts entries of the spool directory that aren't batches.
	Alien int

	// Degraded tells that something isn't as it should be: the disk fails or hangs, an alarm
	// was raised, or delivery is held.
	Degraded bool
	// Trouble says why documents wait, all or those of one day, "" when none does, and
	// since when; Held tells that they wait for somebody to repair something.
	Trouble      string
	TroubleSince time.Time
	Held         bool
	// DiskFault says why batches are kept in memory, "" when they aren't.
	DiskFault      string
	DiskFaultSince time.Time
	// SlowSince is since when the disk has been taking one batch, if that is longer than
	// the shipping interval; zero otherwise. Those that come meanwhile wait in memory.
	SlowSince time.Time
	// Remarks are sentences about settings in Elasticsearch that put documents at risk.
	Remarks []string
	// IndicesDeleted counts indices of days that this run has deleted for Options.Retention,
	// and RetentionTrouble says why none can be deleted, "" where that goes well.
	IndicesDeleted   int64
	RetentionTrouble string
	// LastError is the newest of all errors, which may be over.
	LastError   string
	LastErrorAt time.Time
}

// Stats returns the counts of this moment. It may be called at any time by any goroutine.
func (s *Shipper) Stats() (v Stats) {
	lost := s.stats(&v)
	v.Dropped = make(map[string]int64, documentLosses)
	for reason := range lostRefused {
		v.Dropped[reason.String()] = lost[reason]
	}
	return v
}

// stats sets everything in v but Dropped, and returns what that is made of.
func (s *Shipper) stats(v *Stats) (lost [documentLosses]int64) {
	c := s.counts
	*v = Stats{
		Epoch:   s.spool.epoch,
		Sampled: c.sampled.Load(), Batches: c.batches.Load(),
		Indexed: c.indexed.Load(), GapsIndexed: c.gapsIndexed.Load(),
		DuplicatesExpected: c.duplicatesExpected.Load(), DuplicatesUnexpected: c.duplicatesUnexpected.Load(),
		Requests: c.requests.Load(), Retried: c.retried.Load(), Dead: c.dead.Load(),
		FailureStore: c.failureStore.Load(), Replayed: c.replayed.Load(), Restored: c.restored.Load(),
		IndicesDeleted: c.indicesDeleted.Load(),
	}
	a, content := s.spool.account()
	v.Found = int64(a.found)
	v.Alien = a.alien
	v.Pending = v.Sampled + v.Found - v.Indexed - v.Dead
	for reason, n := range a.lost {
		lost[reason] = int64(n)
		if loss(reason) != lostRefused { // these are dead
			v.Pending -= int64(n)
		}
	}
	v.SpoolBatches, v.SpoolBytes, v.MemoryBytes = content.batches, content.bytes, int64(content.memoryBytes)
	v.AckedBatches, v.AckedBytes = content.ackedBatches, content.ackedBytes
	if content.oldest != 0 {
		v.Oldest = time.UnixMilli(content.oldest)
	}
	v.DiskFault, v.DiskFaultSince = a.fault, a.faultAt
	if since := time.Unix(0, c.storing.Load()); since.UnixNano() != 0 && time.Since(since) > s.encoder.options.Interval {
		v.SlowSince = since
	}
	c.mu.Lock()
	v.Trouble, v.TroubleSince, v.Held = c.trouble, c.troubleAt, c.held
	v.LastError, v.LastErrorAt = c.lastError, c.lastErrorAt
	v.Remarks, v.RetentionTrouble = c.remarks, c.retention
	c.mu.Unlock()
	v.Degraded = v.DiskFault != "" || !v.SlowSince.IsZero() || v.Held || v.DuplicatesUnexpected > 0 || v.FailureStore > 0
	return lost
}
