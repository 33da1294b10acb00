package shipper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// ErrLocked is returned by New when another process holds the spool.
var ErrLocked = errors.New("the spool is in use by another agent")

// errNoRoom means that the spool may not grow and holds nothing that it could drop.
var errNoRoom = errors.New("no room")

const (
	memoryLimit  = 16 << 20         // bytes that are kept in memory while the disk fails
	reserveLimit = 1 << 30          // bytes of the file system that stay free, at most
	reserveShare = 20               // … and at least a 20th of it, if that is less
	statfsEvery  = 5 * time.Second  // how long an answer about free space is believed
	writeTries   = 3                // new files for one batch before the disk counts as failed
	diskBackoff  = 10 * time.Second // the longest wait before a failed disk is tried again
	maxAbandoned = 4                // directories that were given up and are still open
	deadDir      = "dead"
	liveDir      = "q"
)

// state says who has a batch at the moment.
type state uint8

const (
	ready  state = iota // nobody
	busy                // a lane that sends it
	moving              // the publisher, which deletes or replaces it
)

// entry is one batch in the spool. 48 bytes: a full gigabyte of the smallest files is a
// quarter of a million of them.
type entry struct {
	batchName
	allocated int32 // bytes on disk, in blocks of 512
	// sum is the checksum of the bytes that were stored, 0 when an earlier run stored
	// them.
	sum      uint32
	state    state
	inMemory bool
	// attempted tells that Elasticsearch may have it already: it was sent before, or
	// was found on disk at start.
	attempted bool
	// replayed tells that it was delivered once, and is sent once more because somebody
	// asked for that: the accounts have it as delivered.
	replayed bool
	// refused tells that its documents were refused once, and that somebody asked for
	// another attempt.
	refused bool
}

// spool keeps batches until they are acknowledged: a directory with one file for each,
// whose content is the exact gzipped body of a _bulk request. There is no other record:
// no ledger, no cursor, nothing that could disagree with the files after a crash.
// Publishing is a rename, acknowledging another one, or an unlink.
//
// It has a budget; what exceeds it drops the oldest batches, counts them, and says so in
// a gap document. While the disk fails, batches are kept in memory instead.
//
// It knows nothing of HTTP. The publisher's methods (publish, tick, open) belong to one
// goroutine; take, read, acknowledge, release, bury, discard and the accounts may be
// called at once by others. No lock is held across a disk.
type spool struct {
	sys        *calls
	path       string
	budget     int64 // bytes on disk
	deadBudget int64
	replay     time.Duration // how long delivered batches are kept; 0 for not at all
	epoch      uint64
	encoder    *Encoder                     // of gaps; owned by the publisher
	node       *atomic.Pointer[metric.Node] // nil until the first document
	log        *zap.Logger

	// wake has a token when there is a loss to be written down, fresh when there is a
	// batch to be sent.
	wake, fresh chan struct{}

	// Owned by the publisher.
	deflate   deflater // of gaps
	gapBatch  Batch
	gaps      [losses]storedGap
	temp      int
	freeBytes int64
	reserve   int64
	statfsAt  time.Time
	retry     backoff
	retryAt   time.Time

	mu                 sync.Mutex // guards what follows
	held                          // nil while the directory can't be used
	abandoned          []held
	entries            []entry // by seq
	docsHeld, gapsHeld int     // by entries, without what is sent once more
	memory             map[uint64][]byte
	memoryUsed         int
	gapBodies          map[uint64][]byte // of the gaps that this run has on disk, some hundred bytes each
	used               int64             // bytes on disk
	acked              []ackedBatch      // delivered, by the time of that
	ackedUsed          int64             // their bytes on disk
	seq                uint64
	lost               [losses]Gap
	accounts           spoolAccounts
}

// spoolAccounts is what a spool has counted since its start.
type spoolAccounts struct {
	found   int                 // documents found on disk at start
	lost    [documentLosses]int // documents
	alien   int                 // entries of the directory that aren't ours
	buried  int                 // files moved or written to the dead-letter directory
	fault   string              // why batches are in memory instead of on disk, or ""
	faultAt time.Time
}

func newSpool(o *Options, epoch uint64, node *atomic.Pointer[metric.Node]) *spool {
	return &spool{
		sys:        kernel(),
		path:       o.SpoolDir,
		budget:     o.SpoolBytes,
		deadBudget: o.DeadBytes,
		replay:     max(o.Replay, 0),
		epoch:      epoch,
		encoder:    NewEncoder(o.Encoder),
		node:       node,
		log:        o.Log,
		wake:       make(chan struct{}, 1),
		fresh:      make(chan struct{}, 1),
		gapBatch:   Batch{prefix: o.IndexPrefix},
		retry:      backoff{base: time.Second, limit: diskBackoff},
		memory:     make(map[uint64][]byte),
		gapBodies:  make(map[uint64][]byte),
	}
}

// start opens the spool for the first time. An error other than ErrLocked isn't returned:
// the spool then works from memory, and opens the directory as soon as that can be done.
func (s *spool) start(ctx context.Context, wait time.Duration) error {
	err := s.open(ctx, wait)
	if errors.Is(err, ErrLocked) {
		return err
	}
	if err != nil {
		// Without a directory to look at, numbers above all that earlier runs can
		// have used: 256 for every second up to now.
		s.seq = uint64(s.sys.now().Unix()) << 8
		s.degrade(err)
	}
	return nil
}

// open takes possession of the directory: it makes it, locks it, waits for a lock that
// another agent holds, removes what an interrupted write left, and lists the batches of
// earlier runs by their names.
func (s *spool) open(ctx context.Context, wait time.Duration) error {
	h, err := s.hold(ctx, wait)
	if err != nil {
		return err
	}
	var found []entry
	alien := 0
	next := uint64(1) // above all numbers in use: a batch keeps its own wherever it is moved
	err = h.dead.list(func(name string) {
		if h.dead.removeUnfinished(name, s.log) {
			return
		}
		if n, ok := parseBatchName(name); ok && n.seq >= next {
			if _, own := h.dead.own(name); own {
				next = n.seq + 1
			}
		}
	})
	if err == nil {
		err = h.live.list(func(name string) {
			if h.live.removeUnfinished(name, s.log) {
				return
			}
			n, ok := parseBatchName(name)
			if !ok {
				alien++
				return
			}
			allocated, ok := h.live.own(name)
			if !ok {
				alien++
				return
			}
			found = append(found, entry{batchName: n, allocated: int32(allocated / 512), attempted: true})
		})
	}
	if err != nil {
		h.close()
		return err
	}

	s.adoptAcked(&h, next)
	batches, docs, twice := s.adopt(found, h)
	for _, e := range twice {
		old := e.String()
		e.seq = s.nextSeq()
		if err := h.live.move(old, h.live, e.String()); err != nil {
			s.log.Warn("spool: a batch waits for the next start", zap.Error(err))
			alien++
			continue
		}
		s.mu.Lock()
		s.accounts.found += e.docs
		s.mu.Unlock()
		s.add(e, false)
		batches++
		docs += e.docs
	}
	s.mu.Lock()
	s.accounts.alien = alien
	s.mu.Unlock()
	s.statfsAt = time.Time{}
	if batches > 0 {
		s.log.Info("spool: found what earlier runs left", zap.Int("batches", batches), zap.Int("documents", docs))
	}
	if alien > 0 {
		s.log.Warn("spool: left alone what isn't a batch of ours", zap.String("directory", h.live.path), zap.Int("entries", alien))
	}
	for _, doubt := range h.root.doubts() {
		s.log.Warn("spool: "+doubt, zap.String("directory", s.path))
	}
	notify(s.fresh)
	return nil
}

// adopt begins to use an open directory, enters what was found there into the index, and
// returns how many batches and documents that is. Some it returns instead, because another
// batch has their number: one that was acknowledged comes back with a power cut after a
// restart has given its number to another, or there was no directory to look at when the
// numbers of this run began.
func (s *spool) adopt(found []entry, h held) (batches, docs int, twice []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = h
	batches, docs = len(s.entries), s.docsHeld
	s.entries = append(s.entries, found...)
	slices.SortStableFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.seq, b.seq) })
	kept := s.entries[:0]
	for _, e := range s.entries {
		n := len(kept)
		switch {
		case n == 0 || kept[n-1].seq != e.seq:
			kept = append(kept, e)
		case kept[n-1].batchName == e.batchName:
			// This run has it in memory or sends it, and its directory has come back.
			kept[n-1].attempted = true
		default:
			twice = append(twice, e)
		}
	}
	s.entries = kept
	s.sumLocked()
	batches, docs = len(kept)-batches, s.docsHeld-docs
	s.accounts.found += docs
	if n := len(s.entries); n > 0 {
		s.seq = max(s.seq, s.entries[n-1].seq+1)
	}
	return batches, docs, twice
}

// close gives the directory back. The publisher and all lanes have ended.
func (s *spool) close() {
	s.mu.Lock()
	all := append(s.abandoned, s.held)
	s.held, s.abandoned = held{}, nil
	s.mu.Unlock()
	for _, h := range all {
		h.close()
	}
}

// held is what the spool has open of one directory.
type held struct {
	root, live, dead *directory
	acked            *directory // nil when delivered batches aren't kept
	lock             *flock.Flock
}

// hold opens the directory and what is in it, and locks it.
func (s *spool) hold(ctx context.Context, wait time.Duration) (h held, err error) {
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if h.root, err = openDirectory(s.sys, s.path); err != nil {
		return h, err
	}
	h.lock = s.sys.lock(filepath.Join(s.path, "lock"),
		flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NOFOLLOW), flock.SetPermissions(0o600))
	locked, err := h.lock.TryLock()
	if err == nil && !locked && wait > 0 {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		s.log.Info("spool: waiting for the agent that has it", zap.String("lock", h.lock.Path()))
		locked, err = h.lock.TryLockContext(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			err = nil
		}
	}
	if err != nil {
		return h, fmt.Errorf("spool: %w", err)
	}
	if !locked {
		return h, fmt.Errorf("%w: %s", ErrLocked, h.lock.Path())
	}
	if h.live, err = openDirectory(s.sys, filepath.Join(s.path, liveDir)); err != nil {
		return h, err
	}
	h.dead, err = openDirectory(s.sys, filepath.Join(s.path, deadDir))
	return h, err
}

// inPlace tells that the directory of the batches is still that which its path leads to.
func (h *held) inPlace() bool { return h.root.inPlace() && h.live.inPlace() }

// close closes what is open.
func (h *held) close() {
	for _, d := range [...]*directory{h.root, h.live, h.dead, h.acked} {
		if d != nil {
			d.close()
		}
	}
	if h.lock != nil {
		h.lock.Close()
	}
}

// nextSeq returns a number that no batch has.
func (s *spool) nextSeq() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	return s.seq - 1
}

// publish stores the batch, which is closed: on disk, or else in memory. Sweeps that were
// missed are told before what was measured after them: a run that is killed in between leaves
// no hole that nothing tells of.
func (s *spool) publish(b *Batch) {
	if s.usable() {
		s.unload()
	}
	s.writeGaps()
	s.store(b.name(), b.member, false)
	s.writeGaps()
}

// tick does what is due without a new batch: losses are written down, and what is in
// memory goes to a disk that works again. It reports whether anything is left to do
// later.
func (s *spool) tick() (pending bool) {
	more := false
	if s.usable() {
		s.unload()
		more = s.serve()
	}
	s.writeGaps()
	s.mu.Lock()
	defer s.mu.Unlock()
	return more || len(s.memory) > 0 || s.live == nil
}

// store puts a new batch, or a new content of a gap that is stored, where it can be kept.
// It copies body if it has to.
func (s *spool) store(n batchName, body []byte, stored bool) {
	if s.healthy() {
		err := s.write(n, body, stored)
		if err == nil {
			notify(s.fresh)
			return
		}
		s.degrade(err)
	}
	s.remember(n, slices.Clone(body))
	notify(s.fresh)
}

// usable tells whether the disk should be tried, and tries to open the directory if it
// isn't. A failed disk is tried again after a wait.
func (s *spool) usable() bool {
	s.mu.Lock()
	h, failed := s.held, s.accounts.fault != ""
	s.mu.Unlock()
	if failed && s.sys.now().Before(s.retryAt) {
		return false
	}
	if h.live != nil {
		if h.inPlace() {
			return true
		}
		s.log.Error("spool: the directory was deleted or replaced; what was in it counts as lost", zap.String("directory", s.path))
		s.abandon()
	}
	if err := s.open(context.Background(), 0); err != nil {
		s.degrade(err)
		return false
	}
	return true
}

// healthy tells that the last thing done to the disk worked.
func (s *spool) healthy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live != nil && (s.accounts.fault == "" || !s.sys.now().Before(s.retryAt))
}

// degrade notes that batches are kept in memory, and why.
func (s *spool) degrade(err error) {
	wait := time.Second // a full disk says so at once, and is looked at again as soon
	if !fullDisk(err) && !errors.Is(err, errNoRoom) {
		wait = s.retry.next(time.Second)
	}
	s.retryAt = s.sys.now().Add(wait)
	s.statfsAt = time.Time{}
	remedy := spoolRemedy(err)
	s.mu.Lock()
	first := s.accounts.fault == ""
	s.accounts.fault = err.Error() + ": " + remedy
	if first {
		s.accounts.faultAt = s.sys.now()
	}
	s.mu.Unlock()
	if first {
		s.log.Error("spool: the disk doesn't take batches; they are kept in memory", zap.Error(err), zap.String("remedy", remedy))
	}
	if errors.Is(err, unix.ENOENT) {
		s.abandon()
	}
}

// recover notes that the disk takes batches.
func (s *spool) recover() {
	s.retry.reset()
	s.mu.Lock()
	failed, since := s.accounts.fault != "", s.accounts.faultAt
	s.accounts.fault, s.accounts.faultAt = "", time.Time{}
	s.mu.Unlock()
	if failed {
		s.log.Info("spool: the disk takes batches again", zap.Duration("after", s.sys.now().Sub(since).Round(time.Second)))
	}
}

// abandon gives up a directory that was deleted or replaced under the running agent: what
// was in it is lost and counted, and the next attempt makes a new one. Its descriptors stay
// open for a while, because a lane may be about to read from it.
func (s *spool) abandon() {
	s.mu.Lock()
	kept := s.entries[:0]
	for _, e := range s.entries {
		// A lane's reports for itself, and the publisher's is counted already.
		if e.inMemory || e.state != ready || s.restoreLocked(&e) {
			e.allocated = 0
			kept = append(kept, e)
			continue
		}
		s.loseFileLocked(&e)
	}
	s.acked, s.ackedUsed = nil, 0
	s.entries = kept
	s.sumLocked()
	h, oldest := s.held, held{}
	s.held = held{}
	if h.live != nil {
		s.abandoned = append(s.abandoned, h)
	}
	if len(s.abandoned) > maxAbandoned {
		oldest = s.abandoned[0]
		s.abandoned = slices.Delete(s.abandoned, 0, 1)
	}
	s.mu.Unlock()
	if h.lock != nil {
		h.lock.Close() // it may come back, and has to be locked anew then
	}
	oldest.close()
}

// directory returns the directory of the batches, nil while it can't be used.
func (s *spool) directory() *directory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// write publishes the batch on disk, and drops older ones as far as it must. stored tells
// that the spool has the batch already: in memory, or with an older content.
func (s *spool) write(n batchName, body []byte, stored bool) error {
	need := (int64(len(body)) + 4095) &^ 4095
	isGap := n.docs == 0
	for try := 1; ; try++ {
		if !isGap {
			if err := s.makeRoom(need); err != nil {
				return err
			}
		}
		live := s.directory()
		if live == nil {
			return fmt.Errorf("spool %s: %w", s.path, os.ErrClosed)
		}
		s.temp++
		allocated, err := live.publish("."+strconv.Itoa(s.temp), n.String(), body)
		if err == nil {
			s.freeBytes -= allocated
			s.recover()
			if !s.add(entry{batchName: n, allocated: int32(allocated / 512), sum: checksum(body)}, stored) {
				return live.remove(n.String()) // delivered from memory meanwhile
			}
			if isGap {
				s.keepGap(n.seq, body)
			}
			return nil
		}
		s.statfsAt = time.Time{}
		if try == writeTries || errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOENT) || isGap {
			return err
		}
		if fullDisk(err) && (s.fitsMemory(need) || !s.dropOldest(need)) {
			return err
		}
	}
}

// keepGap keeps the body of a gap beside its file: with the file, all that it tells of would
// be gone.
func (s *spool) keepGap(seq uint64, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.find(seq); there {
		s.gapBodies[seq] = slices.Clone(body)
	}
}

// restoreLocked puts a gap of this run whose file is gone, or damaged, into memory, from
// where it comes to disk again, with the same _id. It reports whether that could be done.
func (s *spool) restoreLocked(e *entry) bool {
	body, kept := s.gapBodies[e.seq]
	if !kept {
		return false
	}
	delete(s.gapBodies, e.seq)
	s.used -= int64(e.allocated) * 512
	s.memory[e.seq] = body
	s.memoryUsed += len(body)
	e.allocated, e.inMemory, e.sum = 0, true, checksum(body)
	return true
}

// add enters the batch into the index, or that one which is stored is on disk now. It
// reports false if a stored one has gone.
func (s *spool) add(e entry, stored bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, there := s.find(e.seq)
	if !there {
		if stored {
			return false
		}
		s.insertLocked(at, e)
		return true
	}
	old := &s.entries[at]
	s.used += int64(e.allocated-old.allocated) * 512
	s.forgetLocked(e.seq)
	e.attempted = old.attempted
	if old.state == busy {
		e.state = busy // a lane sends it from memory just now
	}
	*old = e
	return true
}

// forgetLocked frees the memory of a batch that was kept there.
func (s *spool) forgetLocked(seq uint64) {
	s.memoryUsed -= len(s.memory[seq])
	delete(s.memory, seq)
}

// remember keeps the batch in memory, and drops the oldest there as far as it must.
func (s *spool) remember(n batchName, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, there := s.find(n.seq)
	if there { // a gap with a new content
		old := &s.entries[at]
		old.state, old.sum = ready, checksum(body)
		if !old.inMemory {
			// The old content is still on disk under the same name; the new one
			// replaces it when the disk works again.
			s.used -= int64(old.allocated) * 512
			old.allocated, old.inMemory = 0, true
		}
		s.forgetLocked(n.seq)
	} else {
		s.insertLocked(at, entry{batchName: n, sum: checksum(body), inMemory: true})
	}
	s.memory[n.seq] = body
	s.memoryUsed += len(body)
	for i := 0; s.memoryUsed > memoryLimit && i < len(s.entries); {
		e := s.entries[i]
		if !e.inMemory || e.state != ready || e.docs == 0 || e.seq == n.seq {
			i++
			continue
		}
		s.loseLocked(lostMemory, e.batchName, e.docs)
		s.removeLocked(i)
	}
}

// unload writes to disk what was kept in memory.
func (s *spool) unload() {
	s.mu.Lock()
	var waiting []batchName
	if len(s.memory) > 0 {
		for i := range s.entries {
			if s.entries[i].inMemory {
				waiting = append(waiting, s.entries[i].batchName)
			}
		}
	}
	s.mu.Unlock()
	for _, n := range waiting {
		s.mu.Lock()
		body, there := s.memory[n.seq]
		s.mu.Unlock()
		if !there {
			continue // delivered meanwhile
		}
		if err := s.write(n, body, true); err != nil {
			s.degrade(err)
			return
		}
	}
}

// fitsMemory tells that memory would have room for all that the spool holds and need bytes
// more. Then a disk that is full is no reason to drop anything.
func (s *spool) fitsMemory(need int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used+int64(s.memoryUsed)+need <= memoryLimit
}

// makeRoom drops the oldest batches until need bytes fit into the budget, and into what
// the file system can spare. If others have used up that, the spool doesn't grow any
// more: a batch comes, as much of the oldest goes, unless memory has room for it all.
func (s *spool) makeRoom(need int64) error {
	for {
		s.mu.Lock()
		over := s.used + s.ackedUsed + need - s.budget
		s.mu.Unlock()
		if over <= 0 {
			break
		}
		if !s.dropOldest(over) {
			return fmt.Errorf("spool %s: %w: the budget of %d bytes is used up", s.path, errNoRoom, s.budget)
		}
	}
	if s.sys.now().Sub(s.statfsAt) > statfsEvery {
		live := s.directory()
		if live == nil {
			return fmt.Errorf("spool %s: %w", s.path, os.ErrClosed)
		}
		free, size, err := live.free()
		if err != nil {
			return err
		}
		s.freeBytes, s.reserve, s.statfsAt = free, min(size/reserveShare, reserveLimit), s.sys.now()
	}
	if short := s.reserve + need - s.freeBytes; short > 0 {
		s.dropAcked(short)
	}
	if s.freeBytes-need < s.reserve && (s.fitsMemory(need) || !s.dropOldest(need)) {
		return fmt.Errorf("spool %s: %w: %d bytes are free and %d have to stay free", s.path, errNoRoom, s.freeBytes, s.reserve)
	}
	return nil
}

// dropOldest deletes the oldest batches of measurements until it has freed that many
// bytes, and reports whether it freed any: first those that are delivered. The gap that
// tells of the others is stored before.
func (s *spool) dropOldest(bytes int64) bool {
	spared := s.dropAcked(bytes)
	if spared >= bytes {
		return true
	}
	bytes -= spared
	var victims []batchName
	freed := int64(0)
	s.mu.Lock()
	live := s.live
	for i := range s.entries {
		e := &s.entries[i]
		if freed >= bytes {
			break
		}
		if e.state != ready || e.inMemory || e.docs == 0 {
			continue
		}
		e.state = moving
		freed += int64(e.allocated) * 512
		victims = append(victims, e.batchName)
		s.loseLocked(lostBudget, e.batchName, e.owed())
	}
	s.mu.Unlock()
	if len(victims) == 0 {
		return spared > 0
	}
	s.writeGaps()
	for _, n := range victims {
		if err := live.remove(n.String()); err != nil {
			s.log.Warn("spool: a dropped batch stays on disk", zap.Error(err))
		}
		s.mu.Lock()
		s.dropLocked(n.seq)
		s.mu.Unlock()
	}
	s.freeBytes += freed
	return true
}

// dropLocked takes the batch out of the index and the accounts of space, and returns what
// it had of it.
func (s *spool) dropLocked(seq uint64) (e entry) {
	if at, there := s.find(seq); there {
		e = s.entries[at]
		s.removeLocked(at)
	}
	return e
}

// insertLocked enters a batch into the index, at the place that find has told.
func (s *spool) insertLocked(at int, e entry) {
	s.entries = slices.Insert(s.entries, at, e)
	s.used += int64(e.allocated) * 512
	s.docsHeld += e.owed()
	s.gapsHeld += e.gaps
}

// removeLocked takes the batch at that place out of the index. What has to move up is the
// shorter side: lanes empty a full spool from both of its ends.
func (s *spool) removeLocked(at int) {
	e := s.entries[at]
	s.used -= int64(e.allocated) * 512
	s.docsHeld -= e.owed()
	s.gapsHeld -= e.gaps
	s.forgetLocked(e.seq)
	delete(s.gapBodies, e.seq)
	if at < len(s.entries)/2 {
		copy(s.entries[1:], s.entries[:at])
		s.entries = s.entries[1:]
		return
	}
	s.entries = slices.Delete(s.entries, at, at+1)
}

// sumLocked sums up what the index tells of.
func (s *spool) sumLocked() {
	s.used, s.docsHeld, s.gapsHeld = 0, 0, 0
	for i := range s.entries {
		e := &s.entries[i]
		s.used += int64(e.allocated) * 512
		s.docsHeld += e.owed()
		s.gapsHeld += e.gaps
	}
}

// has tells whether the spool still has the batch.
func (s *spool) has(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.find(seq)
	return there
}

// oldest returns the oldest batch that is in the spool, or seq if that is older.
func (s *spool) oldest(seq uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.entries) > 0 {
		return min(seq, s.entries[0].seq)
	}
	return seq
}

// find returns where the batch is in entries, or would be. The caller holds mu.
func (s *spool) find(seq uint64) (int, bool) {
	at := sort.Search(len(s.entries), func(i int) bool { return s.entries[i].seq >= seq })
	return at, at < len(s.entries) && s.entries[at].seq == seq
}

// lose counts docs documents of the batch as never to be indexed, and has it written
// down in a gap.
func (s *spool) lose(why loss, n batchName, docs int) {
	s.mu.Lock()
	s.loseLocked(why, n, docs)
	s.mu.Unlock()
	notify(s.wake)
}

func (s *spool) loseLocked(why loss, n batchName, docs int) {
	if docs == 0 {
		return
	}
	s.accounts.lost[why] += docs
	s.lost[why].add(n, docs)
}

// loseFileLocked counts what a file held that is damaged or gone. What a gap of an earlier run
// told of nobody knows any more, so a gap tells of the gap.
func (s *spool) loseFileLocked(e *entry) {
	s.loseLocked(lostDamaged, e.batchName, e.owed())
	if e.gaps > 0 && !e.replayed {
		s.lost[lostDamaged].addGaps(e.batchName)
	}
}

// order is which end of the spool a lane takes batches from.
type order bool

const (
	oldestFirst order = false
	newestFirst order = true
)

// take hands the first batch in that order that nobody has and for which due agrees to a
// lane, which gives it back by acknowledge, release or discard. Gaps aren't taken by
// newestFirst: while a server is down it is the order that tries, and a gap that was
// never sent can still grow. due is called under the spool's lock.
func (s *spool) take(o order, due func(*batchName) bool) (entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.entries {
		if o == newestFirst {
			i = len(s.entries) - 1 - i
		}
		e := &s.entries[i]
		if e.state != ready || o == newestFirst && e.docs == 0 || !due(&e.batchName) {
			continue
		}
		taken := *e
		e.state = busy
		return taken, true
	}
	return entry{}, false
}

// read appends the stored bytes of a batch that the caller has taken to dst.
func (s *spool) read(e *entry, dst []byte) ([]byte, error) {
	s.mu.Lock()
	body, inMemory := s.memory[e.seq]
	live := s.live
	s.mu.Unlock()
	if inMemory {
		return append(dst, body...), nil
	}
	if live == nil {
		return dst, fmt.Errorf("%w: the spool directory is gone", errDamaged)
	}
	return live.read(e.String(), dst)
}

// acknowledge removes a batch that has been delivered from those that wait.
func (s *spool) acknowledge(e *entry) {
	s.mu.Lock()
	e.allocated = s.dropLocked(e.seq).allocated
	h := s.held
	s.mu.Unlock()
	if h.live == nil || s.keep(h, e) {
		return
	}
	if err := h.live.remove(e.String()); err != nil {
		// It will be sent again after the next start, and answered 409.
		s.log.Warn("spool: a delivered batch stays on disk", zap.Error(err))
	}
}

// release gives back a batch that has to be sent again.
func (s *spool) release(e *entry) {
	s.mu.Lock()
	if at, there := s.find(e.seq); there {
		s.entries[at].state = ready
		s.entries[at].attempted = true
	}
	s.mu.Unlock()
}

// putBack gives back a batch of which nothing was sent.
func (s *spool) putBack(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, there := s.find(e.seq); there {
		s.entries[at].state = ready
	}
}

// discard gives up a batch whose bytes are damaged: the file goes to the dead-letter
// directory as it is, its documents into a gap. A gap is stored once more.
func (s *spool) discard(e *entry) {
	s.mu.Lock()
	live, dead := s.live, s.dead
	s.mu.Unlock()
	if live != nil {
		if err := live.move(e.String(), dead, e.String()); err == nil {
			s.trimDead(dead)
		} else if !errors.Is(err, unix.ENOENT) {
			s.log.Warn("spool: a damaged batch stays on disk", zap.Error(err))
		}
	}
	s.mu.Lock()
	if at, there := s.find(e.seq); there && s.restoreLocked(&s.entries[at]) {
		s.entries[at].state, s.entries[at].attempted = ready, true
	} else {
		s.dropLocked(e.seq)
		s.loseFileLocked(e)
	}
	s.accounts.buried++
	s.mu.Unlock()
	notify(s.wake)
}

// bury keeps documents of the batch that will never be accepted in the dead-letter
// directory: member is a gzipped body of them, with the reason as its comment.
func (s *spool) bury(e *entry, docs int, member []byte) {
	s.lose(lostRefused, e.batchName, min(docs, e.owed()))
	n := e.batchName
	n.docs, n.gaps = docs, 0
	s.mu.Lock()
	dead := s.dead
	s.accounts.buried++
	s.mu.Unlock()
	if dead == nil {
		return
	}
	if _, err := dead.publish("."+n.String(), n.String(), member); err != nil {
		s.log.Warn("spool: refused documents could not be kept", zap.Int("documents", docs), zap.Error(err))
		return
	}
	s.trimDead(dead)
}

// trimDead keeps the dead-letter directory within its budget: the oldest go first.
func (s *spool) trimDead(dead *directory) {
	type file struct {
		name      string
		allocated int64
	}
	var files []file
	total := int64(0)
	if err := dead.list(func(name string) {
		if _, ok := parseBatchName(name); !ok {
			return
		}
		if allocated, ok := dead.own(name); ok {
			files = append(files, file{name, allocated})
			total += allocated
		}
	}); err != nil {
		s.log.Warn("spool: the dead-letter directory can't be listed", zap.Error(err))
		return
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	for _, f := range files {
		if total <= s.deadBudget {
			return
		}
		if err := dead.remove(f.name); err != nil {
			s.log.Warn("spool: a dead letter stays on disk", zap.Error(err))
			return
		}
		total -= f.allocated
	}
}

// account returns what is in the spool and what it has counted.
func (s *spool) account() (a spoolAccounts, c spoolContent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.bytes, c.memoryBytes, c.batches = s.used, s.memoryUsed, len(s.entries)
	c.docs, c.gaps = s.docsHeld, s.gapsHeld
	c.ackedBatches, c.ackedBytes = len(s.acked), s.ackedUsed
	if c.batches > 0 {
		c.oldest = s.entries[0].slot
	}
	return s.accounts, c
}

// spoolContent is what a spool holds at one moment.
type spoolContent struct {
	bytes       int64 // on disk
	memoryBytes int
	batches     int
	docs, gaps  int   // without those that are sent once more
	oldest      int64 // the slot of the first batch: ms since the Unix epoch, 0 when empty
	// What is delivered and kept.
	ackedBatches int
	ackedBytes   int64
}

// notify puts a token into the channel if there is none.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
