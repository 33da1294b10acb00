package shipper

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Batches that were delivered are kept for a while, where the budget has room for them: a
// server that loses what it had acknowledged (a translog that wasn't synced, a replica
// that was behind, a snapshot that was restored) gets them once more, and where it has
// them, answers 409.
//
// acknowledge moves a file to ackedDir instead of unlinking it, which costs as much. They
// are the first to go when room is wanted, and go by themselves after the replay window.

const (
	ackedDir = "acked"
	// The requests of an operator, as files in the spool's directory: who has the spool,
	// or has it next, does what they say and removes them. A request is no more than a
	// file so that it needs neither the lock nor a running agent. Of two of a kind the
	// later one counts.
	replayRequest = "replay" // two decimals: batches acknowledged from … to …, ms since the Unix epoch
	retryRequest  = "retry"  // names of files in deadDir, one a line
	// defaultReplay is how long delivered batches are kept if nothing else is said.
	defaultReplay = 30 * time.Minute
	// expireAtOnce bounds the files that are removed between two batches.
	expireAtOnce = 1024
)

// ackedBatch is one batch that was delivered.
type ackedBatch struct {
	at int64 // ms since the Unix epoch: when it was acknowledged
	batchName
	allocated int32 // bytes on disk, in blocks of 512
}

// String returns the name of its file: <at>-<name of the batch>.
func (a ackedBatch) String() string {
	return strconv.FormatInt(a.at, 10) + "-" + a.batchName.String()
}

// parseAckedName is the inverse of String.
func parseAckedName(s string) (a ackedBatch, ok bool) {
	at, name, _ := strings.Cut(s, "-")
	if a.batchName, ok = parseBatchName(name); !ok {
		return a, false
	}
	v, ok := parseDecimalOrHex(at, 10)
	if !ok || v > lastMilli {
		return a, false
	}
	a.at = int64(v)
	return a, a.String() == s
}

// owed returns how many documents of the batch the accounts take for not yet delivered.
func (e *entry) owed() int {
	if e.replayed {
		return 0
	}
	return e.docs
}

// openAcked opens the directory of delivered batches and lists them, the oldest first. It
// returns nil where it can't: nothing depends on it. Without a replay window it isn't
// made, and what is in it expires.
func (s *spool) openAcked(root *directory) (*directory, []ackedBatch) {
	if s.replay == 0 {
		var st unix.Stat_t
		if s.sys.fstatat(root.fd, ackedDir, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			return nil, nil
		}
	}
	d, err := openDirectory(s.sys, root.path+"/"+ackedDir)
	if err == nil {
		var found []ackedBatch
		err = d.list(func(name string) {
			a, ok := parseAckedName(name)
			if !ok {
				return
			}
			if allocated, ok := d.own(name); ok {
				a.allocated = int32(allocated / 512)
				found = append(found, a)
			}
		})
		if err == nil {
			slices.SortFunc(found, func(a, b ackedBatch) int { return cmp.Compare(a.at, b.at) })
			return d, found
		}
		d.close()
	}
	s.log.Warn("spool: delivered batches aren't kept for a replay", zap.Error(err))
	return nil, nil
}

// adoptAcked begins to use the directory of delivered batches; the next batch has the
// number next at least, and one above all of theirs.
func (s *spool) adoptAcked(h *held, next uint64) {
	var found []ackedBatch
	h.acked, found = s.openAcked(h.root)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked, s.ackedUsed = found, 0
	for _, a := range found {
		s.ackedUsed += int64(a.allocated) * 512
		next = max(next, a.seq+1)
	}
	s.seq = max(s.seq, next)
}

// keep moves the file of a delivered batch to those that can be sent once more. It
// reports false if that can't be done.
func (s *spool) keep(h held, e *entry) bool {
	if h.acked == nil || s.replay == 0 {
		return false
	}
	a := ackedBatch{at: s.sys.now().UnixMilli(), batchName: e.batchName, allocated: e.allocated}
	if err := h.live.move(e.String(), h.acked, a.String()); err != nil {
		return false // it was in memory only, or the directory is gone
	}
	s.mu.Lock()
	if s.held.acked == h.acked {
		s.acked = append(s.acked, a)
		s.ackedUsed += int64(a.allocated) * 512
	}
	s.mu.Unlock()
	return true
}

// dropAcked deletes delivered batches, the oldest first, until it has freed that many
// bytes or has none any more. It returns how many it has freed.
func (s *spool) dropAcked(bytes int64) (freed int64) {
	return s.removeAcked(func(a ackedBatch) bool {
		if freed >= bytes {
			return false
		}
		freed += int64(a.allocated) * 512
		return true
	})
}

// removeAcked deletes delivered batches from the oldest on for as long as goes says so. It
// returns the bytes that they had.
func (s *spool) removeAcked(goes func(ackedBatch) bool) (freed int64) {
	s.mu.Lock()
	n := 0
	for n < len(s.acked) && goes(s.acked[n]) {
		freed += int64(s.acked[n].allocated) * 512
		n++
	}
	gone := slices.Clone(s.acked[:n])
	s.acked = s.acked[n:]
	s.ackedUsed -= freed
	dir := s.held.acked
	s.mu.Unlock()
	for _, a := range gone {
		if err := dir.remove(a.String()); err != nil {
			s.log.Warn("spool: a delivered batch stays on disk", zap.Error(err))
		}
	}
	s.freeBytes += freed
	return freed
}

// expire deletes the batches that were delivered before the replay window began, and some
// that a clock which was ahead has dated. It reports whether there are more of them.
func (s *spool) expire() (more bool) {
	now, window := s.sys.now().UnixMilli(), s.replay.Milliseconds()
	n := 0
	s.removeAcked(func(a ackedBatch) bool {
		if age := now - a.at; age < window && age > -window {
			return false
		}
		n++
		return n <= expireAtOnce
	})
	return n > expireAtOnce
}

// serve does what an operator asked for by a file, then lets expire what is too old.
func (s *spool) serve() (more bool) {
	s.mu.Lock()
	h := s.held
	s.mu.Unlock()
	if h.live == nil {
		return false
	}
	h = s.remake(h)
	s.answer(h, replayRequest, s.replayAcked)
	s.answer(h, retryRequest, s.retryDead)
	return s.expire()
}

// remake makes the directories beside that of the batches anew after somebody has deleted
// them. That is no reason to give up the batches, which may still be there: while all is
// being deleted, these come first or last.
func (s *spool) remake(h held) held {
	var gone held // a lane may be about to use them
	if h.acked != nil && !h.acked.inPlace() {
		gone.acked = h.acked
		s.adoptAcked(&h, 0)
	}
	if !h.dead.inPlace() {
		if dead, err := openDirectory(s.sys, h.dead.path); err == nil {
			gone.dead, h.dead = h.dead, dead
		}
	}
	if gone == (held{}) {
		return h
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandoned = append(s.abandoned, gone)
	s.held = h
	return h
}

// answer has f do what the request says, if there is one. It is removed afterwards: if it
// can't be, or after a crash in between, it is done once more, which finds nothing left to
// do.
func (s *spool) answer(h held, name string, f func(held, string) (batches, docs int)) {
	request, err := h.root.read(name, nil)
	if errors.Is(err, unix.ENOENT) {
		return
	}
	if err == nil {
		batches, docs := f(h, string(request))
		s.log.Info("spool: sending once more, as requested",
			zap.String("request", name), zap.Int("batches", batches), zap.Int("documents", docs))
		err = h.root.remove(name)
	}
	if err != nil {
		s.log.Warn("spool: a request can't be read or removed", zap.Error(err))
	}
}

// replayAcked puts batches back that were acknowledged in the time that the request names.
func (s *spool) replayAcked(h held, request string) (batches, docs int) {
	var from, to int64
	if n, _ := fmt.Sscanf(request, "%d %d", &from, &to); n != 2 || h.acked == nil {
		return 0, 0
	}
	taken := make(map[uint64]bool) // numbers that agents before this one gave out twice
	var chosen []ackedBatch
	s.mu.Lock()
	s.acked = slices.DeleteFunc(s.acked, func(a ackedBatch) bool {
		if _, there := s.find(a.seq); there || taken[a.seq] || a.at < from || a.at > to {
			return false
		}
		taken[a.seq] = true
		chosen = append(chosen, a)
		s.ackedUsed -= int64(a.allocated) * 512
		return true
	})
	s.mu.Unlock()
	var back []entry
	for _, a := range chosen {
		if err := h.acked.move(a.String(), h.live, a.batchName.String()); err != nil {
			s.log.Warn("spool: a delivered batch can't be sent once more", zap.Error(err))
			continue
		}
		back = append(back, entry{batchName: a.batchName, allocated: a.allocated, attempted: true, replayed: true})
		docs += a.docs
	}
	s.enter(back)
	return len(back), docs
}

// retryDead puts refused documents back whose files the request names. For the accounts
// they are found, as documents of an earlier run are: whoever refused them has counted
// them already.
func (s *spool) retryDead(h held, request string) (batches, docs int) {
	taken := make(map[uint64]bool) // the batch that they are a part of may be replayed just now
	var chosen []entry
	for name := range strings.FieldsSeq(request) {
		n, ok := parseBatchName(name)
		if !ok || taken[n.seq] || s.has(n.seq) {
			continue
		}
		if allocated, ok := h.dead.own(name); ok {
			taken[n.seq] = true
			chosen = append(chosen, entry{batchName: n, allocated: int32(allocated / 512), attempted: true, refused: true})
		}
	}
	var back []entry
	for _, e := range chosen {
		if err := h.dead.move(e.String(), h.live, e.String()); err != nil {
			s.log.Warn("spool: refused documents can't be sent once more", zap.Error(err))
			continue
		}
		back = append(back, e)
		docs += e.docs
	}
	s.mu.Lock()
	s.accounts.found += docs
	s.mu.Unlock()
	s.enter(back)
	return len(back), docs
}

// enter lists batches whose files are in the directory of those that wait.
func (s *spool) enter(back []entry) {
	s.mu.Lock()
	s.entries = append(slices.Clip(s.entries), back...)
	slices.SortFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.seq, b.seq) })
	s.sumLocked()
	s.mu.Unlock()
	notify(s.fresh)
}
