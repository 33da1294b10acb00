package shipper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// What operators ask about a spool, and ask of it. All of it works beside the agent that
// has the spool, and without one: files are looked at, none but a request is written.

// SpoolContent is what lies in a spool directory.
type SpoolContent struct {
	Directory string `json:"directory"`
	// InUse tells that an agent has the spool.
	InUse bool `json:"in_use"`
	// Waiting are the batches that are to be delivered. What an agent has in memory,
	// because the disk fails, isn't among them.
	Waiting SpoolPart `json:"waiting"`
	// Acked are those that are delivered and kept for a replay, by the time of that.
	Acked SpoolPart `json:"acked"`
	// Gaps are the losses that Elasticsearch hasn't been told of yet, by reason.
	Gaps []SpoolLoss `json:"gaps"`
	Dead SpoolDead   `json:"dead"`
	// Alien are entries that are none of the agent's.
	Alien int `json:"alien"`
	// FreeBytes are left on the file system, ReserveBytes of which the spool leaves
	// to others.
	FreeBytes    int64 `json:"free_bytes"`
	ReserveBytes int64 `json:"reserve_bytes"`
	// BytesPerSecond is the rate of the last quarter of an hour on record, 0 where it
	// can't be told.
	BytesPerSecond float64 `json:"bytes_per_second"`
	// Problems say in a sentence each what is wrong with the directory.
	Problems []string `json:"problems"`
}

// SpoolPart is a number of batches.
type SpoolPart struct {
	Batches      int        `json:"batches"`
	Documents    int        `json:"documents"`
	GapDocuments int        `json:"gap_documents"`
	Bytes        int64      `json:"bytes"` // on disk
	Oldest       *time.Time `json:"oldest,omitempty"`
	Newest       *time.Time `json:"newest,omitempty"`
}

func (p *SpoolPart) add(n batchName, allocated, at int64) {
	p.Batches++
	p.Documents += n.docs
	p.GapDocuments += n.gaps
	p.Bytes += allocated
	t := time.UnixMilli(at).UTC()
	if p.Oldest == nil || t.Before(*p.Oldest) {
		p.Oldest = &t
	}
	if p.Newest == nil || t.After(*p.Newest) {
		p.Newest = &t
	}
}

// SpoolLoss is what gap documents tell of.
type SpoolLoss struct {
	Reason    string `json:"reason"`
	Documents int    `json:"documents"`
}

// SpoolDead is what lies in the dead-letter directory.
type SpoolDead struct {
	Files     int   `json:"files"`
	Documents int   `json:"documents"`
	Bytes     int64 `json:"bytes"` // on disk
	// Damaged are those of Files whose content can't be read.
	Damaged int          `json:"damaged"`
	Reasons []DeadReason `json:"reasons"`
}

func (d *SpoolDead) add(reason string, docs int) {
	at := slices.IndexFunc(d.Reasons, func(r DeadReason) bool { return r.Reason == reason })
	if at < 0 {
		at = len(d.Reasons)
		d.Reasons = append(d.Reasons, DeadReason{Reason: reason})
	}
	d.Reasons[at].Documents += docs
}

// DeadReason is why documents were refused.
type DeadReason struct {
	Reason    string `json:"reason"`
	Documents int    `json:"documents"`
}

// DeadLetter is one file of documents that were refused together, or a batch that was
// found damaged.
type DeadLetter struct {
	File      string
	Documents int
	// Reason is what Elasticsearch said of the first document, or what is wrong with the
	// file; Reasons, of a file that isn't damaged, is what it said of each.
	Reason  string
	Reasons []string
	// Retry tells that the documents can be sent once more.
	Retry bool
	// Body is the body of a _bulk request with the documents, nil for a damaged file.
	Body []byte

	damaged bool
	bytes   int64 // on disk
}

// rateSpan is the time over which the rate of a spool is taken.
const rateSpan = 15 * time.Minute

// InspectSpool looks at the spool in the directory. The error says that there is none, or
// that it can't be read.
func InspectSpool(path string) (SpoolContent, error) {
	c := SpoolContent{Directory: path}
	root, err := lookAt(path)
	if err != nil {
		return c, err
	}
	defer root.close()
	var site SpoolSite
	if err := site.look(root); err != nil {
		return c, err
	}
	c.InUse, c.FreeBytes, c.ReserveBytes, c.Problems = site.InUse, site.FreeBytes, site.ReserveBytes, site.Doubts

	rate := rateOf{}
	err = listBelow(root, liveDir, func(d *directory, name string) {
		n, ok := parseBatchName(name)
		if !ok && strings.HasPrefix(name, ".") {
			return // is being written
		}
		allocated, own := d.own(name)
		if !ok || !own {
			c.Alien++
			return
		}
		c.Waiting.add(n, allocated, n.slot)
		rate.add(n, allocated)
		if n.gaps > 0 {
			c.gap(d, name)
		}
	})
	if err == nil {
		err = listBelow(root, ackedDir, func(d *directory, name string) {
			if a, ok := parseAckedName(name); ok {
				allocated, _ := d.own(name)
				c.Acked.add(a.batchName, allocated, a.at)
				rate.add(a.batchName, allocated)
			}
		})
	}
	if err != nil {
		return c, err
	}
	c.BytesPerSecond = rate.perSecond()
	err = DeadLetters(path, func(l DeadLetter) {
		c.Dead.Files++
		c.Dead.Documents += l.Documents
		c.Dead.Bytes += l.bytes
		if l.damaged {
			c.Dead.Damaged++
		}
		if l.damaged {
			c.Dead.add(l.Reason, l.Documents)
		}
		for _, reason := range l.Reasons {
			c.Dead.add(reason, 1)
		}
	})
	slices.SortStableFunc(c.Dead.Reasons, func(a, b DeadReason) int { return b.Documents - a.Documents })
	if c.Alien > 0 {
		c.Problems = append(c.Problems, fmt.Sprintf("%d entries of %s/%s aren't batches; they are left alone", c.Alien, path, liveDir))
	}
	return c, err
}

// SpoolSite is a directory as a place for a spool, whatever lies in it.
type SpoolSite struct {
	// InUse tells that an agent has the spool.
	InUse bool
	// FreeBytes are left on the file system, ReserveBytes of which the spool leaves to
	// others.
	FreeBytes, ReserveBytes int64
	// Doubts say in a sentence each what is wrong with it, though it can be used.
	Doubts []string
}

// LookAtSpool looks at the directory as a spool's, and writes nothing. The error says why an
// agent that runs as this process does can't use it.
func LookAtSpool(path string) (s SpoolSite, err error) {
	root, err := lookAt(path)
	if errors.Is(err, os.ErrNotExist) { // a spool is made there
		if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
			return s, fmt.Errorf("it isn't there and can't be made: %s: %w", filepath.Dir(path), err)
		}
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer root.close()
	if err := unix.Faccessat(root.fd, ".", unix.R_OK|unix.W_OK|unix.X_OK, 0); err != nil {
		return s, fmt.Errorf("%s can't be written to: %w", path, err)
	}
	return s, s.look(root)
}

func (s *SpoolSite) look(root *directory) (err error) {
	if s.InUse, err = SpoolInUse(root.path); err != nil {
		s.Doubts = append(s.Doubts, err.Error())
	}
	free, size, err := root.free()
	if err != nil {
		return err
	}
	s.FreeBytes, s.ReserveBytes = free, min(size/reserveShare, reserveLimit)
	if free < s.ReserveBytes {
		s.Doubts = append(s.Doubts, fmt.Sprintf("only %d bytes are free on the file system, and the spool leaves %d to others: it doesn't grow", free, s.ReserveBytes))
	}
	for _, doubt := range root.doubts() {
		s.Doubts = append(s.Doubts, "the directory: "+doubt)
	}
	return nil
}

// gap adds what a gap document that waits tells of.
func (c *SpoolContent) gap(d *directory, name string) {
	member, err := d.read(name, nil)
	if errors.Is(err, unix.ENOENT) {
		return // delivered meanwhile
	}
	var body []byte
	if err == nil {
		body, err = new(inflater).inflate(nil, member)
	}
	if err != nil {
		c.Problems = append(c.Problems, err.Error())
		return
	}
	for line := range bytes.Lines(body) {
		var doc struct {
			Reason    string `json:"gap.reason"`
			Documents int    `json:"gap.documents"`
		}
		if json.Unmarshal(line, &doc) != nil || doc.Reason == "" || doc.Documents == 0 {
			continue // sweeps, or gaps of which nobody knows what they told
		}
		at := slices.IndexFunc(c.Gaps, func(l SpoolLoss) bool { return l.Reason == doc.Reason })
		if at < 0 {
			at = len(c.Gaps)
			c.Gaps = append(c.Gaps, SpoolLoss{Reason: doc.Reason})
		}
		c.Gaps[at].Documents += doc.Documents
	}
}

// rateOf sums up how much comes into a spool, by the ends of the intervals that it measured.
type rateOf struct {
	slots map[int64]int64 // bytes by slot in ms
}

func (r *rateOf) add(n batchName, allocated int64) {
	if n.docs == 0 {
		return // a gap, which is of no interval
	}
	if r.slots == nil {
		r.slots = make(map[int64]int64)
	}
	r.slots[n.slot] += allocated
}

// perSecond returns the rate of the newest rateSpan in bytes per second, 0 where fewer than
// two slots are known.
func (r *rateOf) perSecond() float64 {
	newest, oldest := int64(0), int64(0)
	for slot := range r.slots {
		newest = max(newest, slot)
	}
	bytes := int64(0)
	for slot, n := range r.slots {
		if newest-slot <= rateSpan.Milliseconds() {
			bytes += n
			if oldest == 0 || slot < oldest {
				oldest = slot
			}
		}
	}
	if oldest == newest {
		return 0
	}
	// The oldest one's bytes came in the interval before it.
	return float64(bytes-r.slots[oldest]) * 1000 / float64(newest-oldest)
}

// DeadLetters calls each with every file of the dead-letter directory, the newest first.
func DeadLetters(path string, each func(DeadLetter)) error {
	root, err := lookAt(path)
	if err != nil {
		return err
	}
	defer root.close()
	var files []string
	if err := listBelow(root, deadDir, func(_ *directory, name string) {
		if _, ok := parseBatchName(name); ok {
			files = append(files, name)
		}
	}); err != nil || len(files) == 0 {
		return err
	}
	dead, err := lookAt(filepath.Join(path, deadDir))
	if err != nil {
		return err
	}
	defer dead.close()
	slices.Sort(files)
	var z inflater
	var member []byte
	for _, name := range slices.Backward(files) {
		n, _ := parseBatchName(name)
		l := DeadLetter{File: name, Documents: n.docs}
		l.bytes, _ = dead.own(name)
		member, err = dead.read(name, member[:0])
		if errors.Is(err, unix.ENOENT) {
			continue // put back or removed meanwhile
		}
		if err == nil {
			_, err = z.verify(member, n.docs+n.gaps)
		}
		if err == nil {
			l.Body, err = z.inflate(nil, member)
		}
		switch l.Reason = z.r.Comment; {
		case err != nil:
			l.damaged, l.Body, l.Reason = true, nil, err.Error()
		case l.Reason == "":
			l.damaged, l.Reason = true, "put away as damaged, though it can be read"
		default:
			l.Reasons = reasonsOf(z.r.Extra, l.Reason, n.docs)
			l.Retry = !slices.Contains(l.Reasons, strangerReason)
		}
		each(l)
	}
	return nil
}

// RequestReplay asks the agent that has the spool, or will have it next, to send batches
// once more that were acknowledged since then. It returns what there is of them now; where
// there is nothing, nothing is asked for. Documents that Elasticsearch still has meet
// their own _id there and stay single.
func RequestReplay(path string, since time.Time) (p SpoolPart, err error) {
	root, err := lookAt(path)
	if err != nil {
		return p, err
	}
	defer root.close()
	err = listBelow(root, ackedDir, func(d *directory, name string) {
		if a, ok := parseAckedName(name); ok && a.at >= since.UnixMilli() {
			allocated, _ := d.own(name)
			p.add(a.batchName, allocated, a.at)
		}
	})
	if err != nil || p.Batches == 0 {
		return p, err
	}
	return p, request(root, replayRequest, fmt.Appendf(nil, "%d %d", since.UnixMilli(), root.sys.now().UnixMilli()))
}

// RequestRetry asks, as RequestReplay, to send refused documents once more. It returns how
// many documents that is about, and those that can't be sent.
func RequestRetry(path string) (documents int, not []DeadLetter, err error) {
	var names []byte
	err = DeadLetters(path, func(l DeadLetter) {
		if !l.Retry {
			l.Body = nil
			not = append(not, l)
			return
		}
		documents += l.Documents
		names = append(append(names, l.File...), '\n')
	})
	if err != nil || documents == 0 {
		return documents, not, err
	}
	root, err := lookAt(path)
	if err != nil {
		return documents, not, err
	}
	defer root.close()
	return documents, not, request(root, retryRequest, names)
}

// Requested tells whether a request waits to be taken up.
func Requested(path string) bool {
	for _, name := range [...]string{replayRequest, retryRequest} {
		if _, err := os.Lstat(filepath.Join(path, name)); err == nil {
			return true
		}
	}
	return false
}

// request writes a request in one step.
func request(root *directory, name string, body []byte) error {
	_, err := root.publish("."+name+"-"+strconv.Itoa(os.Getpid()), name, append(body, '\n'))
	return err
}

// lookAt opens a directory of a spool that is there already.
func lookAt(path string) (*directory, error) {
	if _, err := os.Lstat(path); err != nil {
		return nil, err
	}
	return openDirectory(kernel(), path)
}

// listBelow calls f with each entry of a directory below another, if it is there.
func listBelow(root *directory, name string, f func(*directory, string)) error {
	d, err := lookAt(filepath.Join(root.path, name))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.close()
	return d.list(func(entry string) { f(d, entry) })
}

// SpoolInUse tells whether an agent has the spool in the directory: it tries the lock, and
// gives it back.
func SpoolInUse(path string) (bool, error) {
	name := filepath.Join(path, "lock")
	if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(name, flock.SetFlag(os.O_RDONLY|syscall.O_NOFOLLOW))
	free, err := lock.TryLock()
	if cerr := lock.Close(); err == nil {
		err = cerr
	}
	return !free, err
}
