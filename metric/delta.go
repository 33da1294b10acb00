package metric

import (
	"encoding/binary"
	"errors"
	"slices"
)

// AppendDelta appends to dst what changed from prev to s, and returns the extended
// slice. It returns dst as it was, and false, when the two don't have the same rows:
// a delta holds numbers, not keys.
//
// A second of an ordinary container is 40 to 120 bytes this way, where the sample
// itself is about 900: a history of two minutes fits into the caches.
func (s *Sample) AppendDelta(dst []byte, prev *Sample) ([]byte, bool) {
	if s.CPUSet != prev.CPUSet {
		return dst, false
	}
	for per := range s.rows {
		if !slices.Equal(s.rows[per].keys, prev.rows[per].keys) {
			return dst, false
		}
	}
	dst = binary.AppendVarint(dst, s.Time-prev.Time)
	for per := range s.rows {
		m, was, width := &s.rows[per], &prev.rows[per], Per(per).Width()
		for row := range m.keys {
			dst = appendRowDelta(dst, m.read[row], was.read[row],
				m.values[row*width:(row+1)*width], was.values[row*width:(row+1)*width])
		}
	}
	return dst, true
}

// Keys are the rows of a Sample without their numbers: what a delta doesn't hold. A sample
// of an ordinary container takes a third of the memory as Keys and what AppendWhole makes.
// Keys are immutable.
type Keys struct {
	cpuset string
	rows   []keyOf
}

type keyOf struct {
	per Per
	key Key
}

// KeysOf returns the rows of s.
func KeysOf(s *Sample) *Keys {
	rows := 0
	for per := range s.rows {
		rows += len(s.rows[per].keys)
	}
	k := &Keys{cpuset: s.CPUSet, rows: make([]keyOf, 0, rows)}
	for per := range s.rows {
		for _, key := range s.rows[per].keys {
			k.rows = append(k.rows, keyOf{Per(per), key})
		}
	}
	return k
}

// Of tells whether k are the rows of s.
func (k *Keys) Of(s *Sample) bool {
	if k.cpuset != s.CPUSet {
		return false
	}
	rest := k.rows
	for per := range s.rows {
		for i := range s.rows[per].keys {
			if len(rest) == 0 || rest[0].per != Per(per) || rest[0].key != s.rows[per].keys[i] {
				return false
			}
			rest = rest[1:]
		}
	}
	return len(rest) == 0
}

// Reset makes s a sample with the rows of k in which nothing was read, at time 0, reusing
// the memory of s.
func (s *Sample) Reset(k *Keys) {
	s.Time, s.CPUSet = 0, k.cpuset
	for per := range Per(NumPer) {
		s.DropRows(per)
	}
	for i := range k.rows {
		s.AddRow(k.rows[i].per, k.rows[i].key)
	}
}

// AppendWhole appends to dst the delta that makes s out of a sample which was Reset to the
// Keys of s, and returns the extended slice.
func (s *Sample) AppendWhole(dst []byte) []byte {
	dst = binary.AppendVarint(dst, s.Time)
	var zeros [64 * len(mask{})]uint64
	for per := range s.rows {
		m, width := &s.rows[per], Per(per).Width()
		for row := range m.keys {
			dst = appendRowDelta(dst, m.read[row], mask{}, m.values[row*width:(row+1)*width], zeros[:width])
		}
	}
	return dst
}

// A row of a delta: the mask if it changed, then column and difference of each number
// that changed.
//
//	1 byte      number of changed numbers, top bit set if the mask follows
//	16 bytes    the mask, if it changed
//	per number  1 byte column, zigzag varint difference
const maskFollows = 0x80

func appendRowDelta(dst []byte, read, was mask, values, old []uint64) []byte {
	head := len(dst)
	dst = append(dst, 0)
	if read != was {
		dst[head] = maskFollows
		dst = binary.LittleEndian.AppendUint64(dst, read[0])
		dst = binary.LittleEndian.AppendUint64(dst, read[1])
	}
	for col, v := range values {
		if v != old[col] {
			dst = append(dst, byte(col))
			dst = binary.AppendVarint(dst, int64(v-old[col]))
			dst[head]++
		}
	}
	return dst
}

var errDelta = errors.New("metric: delta doesn't fit the sample")

// ApplyDelta turns s, the sample before, into the one that AppendDelta encoded, and
// returns what follows the delta in b.
func (s *Sample) ApplyDelta(b []byte) (rest []byte, err error) {
	elapsed, n := binary.Varint(b)
	if n <= 0 {
		return nil, errDelta
	}
	b = b[n:]
	s.Time += elapsed
	for per := range s.rows {
		m, width := &s.rows[per], Per(per).Width()
		for row := range m.keys {
			if b, err = applyRowDelta(b, &m.read[row], m.values[row*width:(row+1)*width]); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func applyRowDelta(b []byte, read *mask, values []uint64) ([]byte, error) {
	if len(b) == 0 {
		return nil, errDelta
	}
	changed := b[0] &^ maskFollows
	follows := b[0]&maskFollows != 0
	b = b[1:]
	if follows {
		if len(b) < 16 {
			return nil, errDelta
		}
		read[0], read[1] = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		b = b[16:]
	}
	for range changed {
		if len(b) < 2 || int(b[0]) >= len(values) {
			return nil, errDelta
		}
		d, n := binary.Varint(b[1:])
		if n <= 0 {
			return nil, errDelta
		}
		values[b[0]] += uint64(d)
		b = b[1+n:]
	}
	return b, nil
}
