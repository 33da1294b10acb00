// Package deflate writes gzip members (RFC 1951, 1952) for callers that know what of their
// text was there before, and so don't have to look for it, which is what a compressor spends
// its time on. The caller says of each piece of text whether it is new or how far back the
// same stands; this package makes bits of it.
//
// All of a member is one block with one set of codes, which the caller makes beforehand, for
// text of the kind that it has. The standard library inflates what is written in all tests.
package deflate

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"
)

const (
	// MinMatch is the length from which text that was there before is written as a
	// match: three is the format's, but a match of three costs as much as they do.
	MinMatch = 4
	// MaxDistance is how far back text can be copied from.
	MaxDistance = 32 << 10

	maxMatch   = 258
	endOfBlock = 256

	// NumLiterals and NumDistances are how many symbols of either kind there are: bytes,
	// the end, and lengths; distances. RFC 1951, 3.2.5.
	NumLiterals  = 286
	NumDistances = 30
)

// Codes are the Huffman codes of a member. They aren't changed by use, so that any number of
// Writers may have the same.
type Codes struct {
	header   []code // lengths of codes
	literals [endOfBlock + 1]code
	lengths  [maxMatch + 1]code // of a match, with their extra bits
	distance [NumDistances]code
}

// code is a Huffman code, its first bit lowest, with extra bits behind it.
type code struct {
	bits uint32
	len  uint8
}

// NewCodes returns the codes that are shortest where symbols are as frequent as their weights
// say, which are 1 at least and together some thousands at most: so no code is longer than
// the fifteen bits that the format has for it.
func NewCodes(literals *[NumLiterals]int, distances *[NumDistances]int) *Codes {
	c := new(Codes)
	all := codes(literals[:])
	copy(c.literals[:], all)
	copy(c.distance[:], codes(distances[:]))
	c.header = append(all, c.distance[:]...)
	for n := 3; n <= maxMatch; n++ {
		symbol, extra, value := lengthSymbol(n)
		s := all[symbol]
		c.lengths[n] = code{s.bits | uint32(value)<<s.len, s.len + extra}
	}
	return c
}

// codes returns the codes that are shortest for symbols of these weights.
func codes(weights []int) []code {
	// Huffman's tree: leaves in order, then what joins two; parents stand behind.
	n := len(weights)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return weights[a] - weights[b] })
	weight, parent, depth := make([]int, 2*n-1), make([]int, 2*n-1), make([]int, 2*n-1)
	for i, symbol := range order {
		weight[i] = weights[symbol]
	}
	leaf, joint := 0, n
	for next := n; next < len(weight); next++ {
		for range 2 {
			least := &leaf
			if leaf == n || joint < next && weight[joint] < weight[leaf] {
				least = &joint
			}
			weight[next] += weight[*least]
			parent[*least] = next
			*least++
		}
	}
	for i := len(weight) - 2; i >= 0; i-- {
		depth[i] = depth[parent[i]] + 1
	}
	// RFC 1951, 3.2.2: codes of a length are numbers in the order of symbols.
	all := make([]code, n)
	for i, symbol := range order {
		all[symbol].len = uint8(depth[i])
	}
	next := uint32(0)
	for length := uint8(1); length <= 15; length++ {
		for symbol := range all {
			if all[symbol].len == length {
				all[symbol].bits = bits.Reverse32(next) >> (32 - length)
				next++
			}
		}
		next <<= 1
	}
	return all
}

// lengthSymbol returns the symbol of a match's length, and its extra bits (RFC 1951, 3.2.5).
func lengthSymbol(n int) (symbol int, extra uint8, value int) {
	l := n - 3
	switch {
	case n == maxMatch:
		return 285, 0, 0
	case l < 8:
		return 257 + l, 0, 0
	}
	b := bits.Len(uint(l)) - 1
	return 257 + 4*(b-1) + l>>(b-2)&3, uint8(b - 2), l & (1<<(b-2) - 1)
}

// DistanceSymbol returns the symbol of how far back a match is, and its extra bits.
func DistanceSymbol(back int) (symbol int, extra uint8, value int) {
	d := back - 1
	if d < 4 {
		return d, 0, 0
	}
	b := bits.Len(uint(d)) - 1
	return 2*b + d>>(b-1)&1, uint8(b - 1), d & (1<<(b-1) - 1)
}

// A Writer writes one member after the other. It allocates nothing but what it writes into.
type Writer struct {
	codes *Codes
	out   []byte // compressed, not yet taken
	bits  uint64 // not yet in out, the first in the lowest place
	n     uint   // how many these are, below 8 between calls
	crc   uint32
	size  int64 // of the text so far

	match, back int // the match that may yet grow, and how far back it is; 0 for none
}

// Reset begins a member with these codes behind what dst has, and takes dst until Take or
// Close gives it back. The comment stands in its header; it must be Latin-1 without NUL, and
// "" is none.
func (z *Writer) Reset(dst []byte, c *Codes, comment string) {
	const hasComment = 16
	z.codes, z.crc, z.size, z.match, z.bits, z.n = c, 0, 0, 0, 0, 0
	flags := byte(0)
	if comment != "" {
		flags = hasComment
	}
	z.out = append(dst, 0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 4, 255) // gzip, fastest, of no system
	if comment != "" {
		for _, r := range comment {
			z.out = append(z.out, byte(r))
		}
		z.out = append(z.out, 0)
	}
	z.put(1, 1)               // the last block
	z.put(2, 2)               // with codes of its own:
	z.put(NumLiterals-257, 5) // literals and lengths,
	z.put(NumDistances-1, 5)  // distances,
	z.put(19-4, 4)            // and of lengths of codes
	z.put(0, 3*3)             // no repetitions, but
	for range 16 {
		z.put(4, 3) // lengths from 0 to 15, which are four bits each
	}
	for _, s := range c.header {
		z.put(uint64(bits.Reverse8(s.len)>>4), 4)
	}
}

// put writes bits, 56 at most.
func (z *Writer) put(b uint64, n uint) {
	z.out, z.bits, z.n = appendBits(z.out, z.bits|b<<z.n, z.n+n)
}

// appendBits appends n bits, 63 at most, as far as they make whole bytes, and returns those
// that remain. It writes eight bytes whatever they are, which is quicker than to ask.
func appendBits(out []byte, bits uint64, n uint) ([]byte, uint64, uint) {
	whole := n >> 3
	out = binary.LittleEndian.AppendUint64(out, bits)[:len(out)+int(whole)]
	return out, bits >> (whole << 3), n & 7
}

// Size returns how much text was summed up so far, in bytes: where in it that begins which
// comes next.
func (z *Writer) Size() int64 { return z.size }

// Sum takes text into the checksum and the size. All that Literal and Copy are given has to
// pass it once, in order, sooner or later.
func (z *Writer) Sum(text []byte) {
	z.crc = crc32.Update(z.crc, crc32.IEEETable, text)
	z.size += int64(len(text))
}

// Literal writes text as it is.
func (z *Writer) Literal(text []byte) {
	if len(text) == 0 {
		return
	}
	z.endMatch()
	out, bits, n, codes := z.out, z.bits, z.n, &z.codes.literals
	for ; len(text) >= 3; text = text[3:] {
		a, b, c := codes[text[0]], codes[text[1]], codes[text[2]] // of fifteen bits at most
		bits |= uint64(a.bits)<<n | uint64(b.bits)<<(n+uint(a.len)) | uint64(c.bits)<<(n+uint(a.len)+uint(b.len))
		out, bits, n = appendBits(out, bits, n+uint(a.len)+uint(b.len)+uint(c.len))
	}
	for _, b := range text {
		bits |= uint64(codes[b].bits) << n
		n += uint(codes[b].len)
	}
	z.out, z.bits, z.n = appendBits(out, bits, n)
}

// Copy writes text, which was written before, so many bytes back. Where that doesn't pay, or
// is too far, it is written as it is.
func (z *Writer) Copy(text []byte, back int64) {
	switch {
	case z.match > 0 && int64(z.back) == back:
		z.match += len(text)
	case len(text) < MinMatch || back > MaxDistance:
		z.Literal(text)
	default:
		z.endMatch()
		z.match, z.back = len(text), int(back)
	}
}

// endMatch writes the match that doesn't grow any more.
func (z *Writer) endMatch() {
	for z.match > 0 {
		n := min(z.match, maxMatch)
		if left := z.match - n; left > 0 && left < MinMatch {
			n -= MinMatch
		}
		z.match -= n
		length := z.codes.lengths[n] // 15 bits and 5 extra ones at most
		symbol, extra, value := DistanceSymbol(z.back)
		c := z.codes.distance[symbol] // 15 and 13
		distance := uint64(c.bits) | uint64(value)<<c.len
		z.put(uint64(length.bits)|distance<<length.len, uint(length.len+c.len+extra))
	}
}

// Take returns what is compressed so far and not yet taken, beginning with Reset's dst. It is
// valid until the next call.
func (z *Writer) Take() []byte {
	out := z.out
	z.out = out[:0]
	return out
}

// Close ends the member and returns, and gives away, what is not yet taken.
func (z *Writer) Close() []byte {
	z.endMatch()
	c := z.codes.literals[endOfBlock]
	z.put(uint64(c.bits), uint(c.len))
	for z.n > 0 {
		z.out = append(z.out, byte(z.bits))
		z.bits >>= 8
		z.n -= min(z.n, 8)
	}
	z.out = binary.LittleEndian.AppendUint32(z.out, z.crc)
	z.out = binary.LittleEndian.AppendUint32(z.out, uint32(z.size))
	out := z.out
	z.out = nil
	return out
}

// Common returns how many bytes a and b have in common at their beginnings.
func Common(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	at := 0
	for ; at+32 <= n; at += 32 { // a twentieth quicker than eight at a time from the beginning
		p, q := (*[32]byte)(a[at:]), (*[32]byte)(b[at:])
		if *p != *q {
			break
		}
	}
	for ; at+8 <= n; at += 8 {
		if x := binary.LittleEndian.Uint64(a[at:]) ^ binary.LittleEndian.Uint64(b[at:]); x != 0 {
			return at + bits.TrailingZeros64(x)>>3
		}
	}
	for at < n && a[at] == b[at] {
		at++
	}
	return at
}
