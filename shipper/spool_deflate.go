package shipper

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/swarmgauge/swarmgauge/deflate"
)

// A deflater compresses bodies, one after the other. It knows what a general compressor looks
// for at each byte: a document is the one before it but for its values, since keys stand in
// one order in all of them. So it compares the two, field by field, and searches in what is
// different only: ids that a document has twice, and documents of a kind that is new.
//
// A document takes half of the time so that klauspost/compress needs at level 3, a seventh of
// the memory, and fewer bytes (measured, go test ./shipper -bench Deflate, -run DeflateSize).
//
// The zero value is ready; it takes 150 KB once it was used, and keeps them.
type deflater struct {
	z deflate.Writer

	// text is the end of the body so far, and begins at base in it. It holds what can be
	// copied from.
	text []byte
	base int
	// last is where in the body the document before begins, lastEnd where that ends.
	last, lastEnd int
	// seen is where in the body four bytes were that were new, by their hash; positions
	// are off by one, so that 0 is nowhere.
	seen *[1 << seenBits]uint32

	docs     int                                  // in the body so far
	distance int                                  // symbol of a document's length in the body before
	codes    [deflate.NumDistances]*deflate.Codes // by that symbol, those that were used
}

const (
	seenBits = 12
	// usualDistance is the symbol of the length of a container's document, 8 to 12 KiB.
	usualDistance = 26
	// keptText is how much text there may be before all but what can be copied from is
	// thrown away.
	keptText = 4 * deflate.MaxDistance
	// leastNew is the length from which new text is searched for what was there before:
	// shorter are numbers, which seldom were.
	leastNew = 12
	// resyncWithin is how far ahead in the document before a key is looked for that isn't
	// the next one there.
	resyncWithin = 1 << 10
	// longestKey is a length that holds a key and the colon behind it, in any case but that
	// of labels: where two documents have so much in common, they have the same key.
	longestKey = 64
)

// newDocumentCodes returns codes by how often symbols are in bodies of containers' documents,
// most matches of which have that symbol for their distance, the length of a document.
// Digits of numbers and of hexadecimal ids are most of what two of them don't have in common.
func newDocumentCodes(distance int) *deflate.Codes {
	var literals [deflate.NumLiterals]int
	for i := range literals {
		literals[i] = 1
	}
	set := func(n int, symbols string) {
		for _, s := range []byte(symbols) {
			literals[s] = n
		}
	}
	set(2, "hijklmnoprstuxyz_Z")
	set(5, "\".}")
	set(8, "abcdef")
	set(36, "0123456789")
	for symbol := 257; symbol < deflate.NumLiterals; symbol++ {
		literals[symbol] = 4
	}
	literals[262], literals[273], literals[285] = 9, 14, 17 // 8, 35 to 42, and 258 bytes
	var distances [deflate.NumDistances]int
	for i := range distances {
		distances[i] = 1
	}
	for i := max(0, distance-1); i < min(distance+2, len(distances)); i++ {
		distances[i] = 6
	}
	distances[distance] = 80
	return deflate.NewCodes(&literals, &distances)
}

// begin starts a gzip member behind what dst has, and takes dst until end gives it back.
// One member for a body, because Elasticsearch's HTTP layer stops at the end of the first
// and silently loses what follows (netty/netty#7566). The comment is kept in the header; it
// must be Latin-1 without NUL.
func (d *deflater) begin(dst []byte, comment string) {
	if d.seen == nil {
		d.seen = new([1 << seenBits]uint32)
		d.text = make([]byte, 0, keptText)
		d.distance = usualDistance
	}
	if d.codes[d.distance] == nil {
		d.codes[d.distance] = newDocumentCodes(d.distance)
	}
	clear(d.seen[:])
	d.text, d.base, d.last, d.lastEnd, d.docs = d.text[:0], 0, 0, 0, 0
	d.z.Reset(dst, d.codes[d.distance], comment)
}

// write appends one document with its action line to the body, or anything else.
func (d *deflater) write(p []byte) {
	d.z.Sum(p)
	if len(d.text)+len(p) > keptText {
		gone := max(0, len(d.text)-deflate.MaxDistance)
		d.text = append(d.text[:0], d.text[gone:]...)
		d.base += gone
	}
	at := len(d.text)
	d.text = append(d.text, p...)
	d.compare(at, max(d.last-d.base, 0), max(d.lastEnd-d.base, 0))
	d.last, d.lastEnd = d.base+at, d.base+len(d.text)
	d.docs++
}

// compare compresses what is in text from at on by the document before, which is there from
// last to end.
func (d *deflater) compare(at, last, end int) {
	text := d.text
	n := deflate.Common(text[at:], text[last:end])
	for {
		d.z.Copy(text[at:at+n], int64(at-last))
		at, last = at+n, last+n
		if at == len(text) || last == end {
			d.fresh(at, len(text))
			return
		}
		// Both have another value here. The next fields stand behind it.
		next := field(text, at, len(text))
		d.fresh(at, next)
		at, last = next, field(text, last, end)
		n = deflate.Common(text[at:], text[last:end])
		if n < longestKey && bytes.IndexByte(text[at:at+n], ':') < 0 {
			at, last = d.align(at, last, end)
			n = deflate.Common(text[at:], text[last:end])
		}
	}
}

// align returns from where on two documents are to be compared, given where the next field
// begins in either: where both have the same key. What has no like before is compressed.
func (d *deflater) align(at, last, end int) (int, int) {
	text := d.text
	for {
		colon := bytes.IndexByte(text[at:], ':')
		if colon < 0 {
			return at, last
		}
		key := text[at : at+colon+1]
		if bytes.HasPrefix(text[last:end], key) {
			return at, last
		}
		if ahead := bytes.Index(text[last:min(end, last+resyncWithin)], key); ahead >= 0 {
			return at, last + ahead
		}
		next := field(text, at+1, len(text))
		d.fresh(at, next)
		at = next
	}
}

// field returns where the next comma is in text from at on, or end.
func field(text []byte, at, end int) int {
	// Values are short: bytes.IndexByte takes longer to begin than this to find it.
	const commas, lows, highs = 0x2c2c2c2c2c2c2c2c, 0x0101010101010101, 0x8080808080808080
	for ; at+8 <= end; at += 8 {
		x := binary.LittleEndian.Uint64(text[at:]) ^ commas
		if zeros := (x - lows) &^ x & highs; zeros != 0 {
			return at + bits.TrailingZeros64(zeros)>>3
		}
	}
	for at < end && text[at] != ',' {
		at++
	}
	return at
}

// fresh compresses what is new in text from at to end.
func (d *deflater) fresh(at, end int) {
	if end-at < leastNew {
		d.z.Literal(d.text[at:end])
		return
	}
	from := at
	for at+4 <= end {
		h := binary.LittleEndian.Uint32(d.text[at:]) * 2654435761 >> (32 - seenBits)
		was := int(d.seen[h]) - 1 - d.base
		d.seen[h] = uint32(d.base + at + 1)
		if was < 0 || at-was > deflate.MaxDistance {
			at++
			continue
		}
		n := deflate.Common(d.text[at:end], d.text[was:])
		if n < deflate.MinMatch {
			at++
			continue
		}
		d.z.Literal(d.text[from:at])
		d.z.Copy(d.text[at:at+n], int64(at-was))
		at += n
		from = at
	}
	d.z.Literal(d.text[from:end])
}

// end ends the member and returns dst, extended by it.
func (d *deflater) end() []byte {
	if d.docs > 1 {
		d.distance, _, _ = deflate.DistanceSymbol(min(max(1, d.lastEnd/d.docs), deflate.MaxDistance))
	}
	if cap(d.text) > 2*keptText {
		d.text = make([]byte, 0, keptText) // give the memory of a monstrous document back
	}
	return d.z.Close()
}

// member appends body, documents with their action lines, to dst as one gzip member.
func (d *deflater) member(dst, body []byte, comment string) []byte {
	d.begin(dst, comment)
	for len(body) > 0 {
		n := document(body, 1)
		if n == 0 {
			n = len(body) // not ended by a newline
		}
		d.write(body[:n])
		body = body[n:]
	}
	return d.end()
}
