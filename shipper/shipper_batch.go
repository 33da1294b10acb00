package shipper

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// The bounds of a batch: far below Elasticsearch's http.max_content_length (100 MiB),
// and below the body limits that proxies in front of it usually have.
const (
	maxDocs = 5000
	maxRaw  = 5 << 20 // bytes, uncompressed
)

// lastMilli is the last millisecond of the year 9999, the last one with a name in an
// index YYYY.MM.DD; it also fits the 48 bits that an _id has for the time.
const lastMilli = 253402300799999

// Documents from before the first or after the last of these days, by a clock that was never
// set or was set wrong, are in that day's index: one that nobody expects would be looked for
// by nobody, and never be deleted.
var (
	firstIndex = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMilli()   // immutable; before the first version
	lastIndex  = time.Date(2099, time.December, 31, 0, 0, 0, 0, time.UTC).UnixMilli() // immutable
)

// Batch is the body of one _bulk request while it is being written: action lines and
// documents in turn. The names it gives to documents, _index and _id, are part of the
// body and never change: that is what makes a second delivery harmless.
//
// Each document is compressed as it comes, while it is in the processor's cache: a batch of
// a hundred takes 60 KB so, and 900 otherwise.
//
// It belongs to one goroutine at a time.
type Batch struct {
	prefix string
	epoch  uint64
	seq    uint64
	slot   int64 // ns since the Unix epoch
	docs   int   // documents that are no gap documents
	gaps   int   // gap documents
	raw    int   // length of the body, in bytes
	// first and last are the earliest and the latest time of a document, in ms since
	// the Unix epoch; first is above last while there is none.
	first, last int64

	deflate *deflater // lent by reset until close
	line    []byte    // of the document that is being written
	member  []byte    // the gzipped body, once close was called

	day   int64 // days since the Unix epoch that index is for
	index []byte
}

// reset empties the batch, gives it its number, and borrows the deflater until close.
func (b *Batch) reset(epoch, seq uint64, d *deflater) {
	b.epoch, b.seq = epoch, seq
	b.docs, b.gaps, b.slot, b.raw = 0, 0, 0, 0
	b.first, b.last = math.MaxInt64, math.MinInt64
	b.deflate = d
	d.begin(b.member[:0], "")
}

// Action returns the action line of one more document whose timestamp is unixMilli, in
// milliseconds since the Unix epoch, for the caller to append the document to: one line of
// JSON, without the newline. Source takes it back.
//
// The index is <prefix>-YYYY.MM.DD in UTC by the document's own time, from 2025 to 2099, so
// that the same document always meets the same index: Elasticsearch keeps _ids unique within
// an index only (elastic/elasticsearch#44794). The _id is the base64url of 21 bytes, big endian:
// 48 bits of milliseconds, 64 of the spool's epoch, 40 of the batch's sequence number,
// 16 of the document's place in the batch. The time leads, because Lucene skips the
// segments whose range of ids excludes the new one.
func (b *Batch) Action(unixMilli int64) []byte {
	ms := min(max(unixMilli, 0), lastMilli)
	b.first, b.last = min(b.first, ms), max(b.last, ms)
	if day := min(max(ms, firstIndex), lastIndex) / 86400e3; b.index == nil || day != b.day {
		b.day = day
		b.index = append(append(b.index[:0], b.prefix...), '-')
		b.index = time.UnixMilli(day*86400e3).UTC().AppendFormat(b.index, dayLayout)
	}
	var id [24]byte
	binary.BigEndian.PutUint64(id[0:], uint64(ms)<<16)
	binary.BigEndian.PutUint64(id[6:], b.epoch)
	binary.BigEndian.PutUint64(id[14:], b.seq<<24)
	binary.BigEndian.PutUint16(id[19:], uint16(b.docs+b.gaps))

	dst := append(b.line[:0], `{"create":{"_index":"`...)
	dst = append(dst, b.index...)
	dst = append(dst, `","_id":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, id[:21])
	return append(dst, "\"}}\n"...)
}

// Source takes back what Action gave out, with the document appended.
func (b *Batch) Source(line []byte) {
	b.append(line)
	b.docs++
}

// gap is Source for a gap document.
func (b *Batch) gap(line []byte) {
	b.append(line)
	b.gaps++
}

func (b *Batch) append(line []byte) {
	b.line = append(line, '\n')
	b.raw += len(b.line)
	b.deflate.write(b.line)
}

// full tells that the batch has to be closed before the next document of the loop. The
// agent's own document always has a place.
func (b *Batch) full() bool { return b.docs+b.gaps >= maxDocs || b.raw >= maxRaw }

// close ends the body, which is in member then.
func (b *Batch) close() {
	b.member = b.deflate.end()
	b.deflate = nil
}

// name returns the name under which the spool keeps the batch.
func (b *Batch) name() batchName {
	return batchName{seq: b.seq, slot: b.slot / int64(time.Millisecond), docs: b.docs, gaps: b.gaps}
}

// appendID is for messages: the batch's sequence number as its file name has it.
func appendID(dst []byte, seq uint64) []byte {
	const width = 16
	start := len(dst)
	dst = append(dst, "0000000000000000"...)
	hex := strconv.AppendUint(make([]byte, 0, width), seq, 16)
	copy(dst[start+width-len(hex):], hex)
	return dst
}
