package metric

import (
	"math/bits"
	"slices"
)

// Sample holds every number of one cgroup at one instant: one matrix per Per, with
// a bit for each number that says whether it was read. A number that was not read
// is absent, which is not zero.
//
// Its memory grows with the rows that it has once held and is then reused: CopyFrom,
// Forget and Put don't allocate for rows that are known.
type Sample struct {
	// Time is when the numbers were read, in nanoseconds since the Unix epoch.
	Time int64
	// CPUSet is the list of CPUs in the kernel's list format ("0-3,8"), "" if not read.
	CPUSet string

	rows [NumPer]matrix
}

// Key identifies a row of a Per that has several.
type Key struct {
	// Name is the interface ("eth0"), the device ("nvme0n1", or "259:0" where its
	// name can't be known), the CPU ("3"), or the filesystem's source ("/dev/sda1").
	Name string
	// Major and Minor number a device, or the device below a filesystem.
	Major, Minor uint32
	// Mountpoint and Type belong to a filesystem.
	Mountpoint, Type string
}

// matrix has one row per key and one column per ID of its Per.
type matrix struct {
	keys   []Key
	values []uint64 // len(keys) × width
	read   []mask   // one per key
}

// mask has one bit per column.
type mask [2]uint64

func (m *mask) set(col int)      { m[col>>6] |= 1 << (col & 63) }
func (m *mask) has(col int) bool { return m[col>>6]&(1<<(col&63)) != 0 }
func (m *mask) empty() bool      { return m[0]|m[1] == 0 }

// Set is a set of IDs. The zero Set is empty.
type Set [NumPer]mask

// Add puts id into the set.
func (s *Set) Add(id ID) {
	per := id.Per()
	s[per].set(int(id - per.First()))
}

// AddRead puts the numbers of the container itself that from has read into the set.
func (s *Set) AddRead(from *Sample) {
	if from.Rows(PerContainer) > 0 {
		for word, read := range from.rows[PerContainer].read[0] {
			s[PerContainer][word] |= read
		}
	}
}

// Has tells whether id is in the set.
func (s *Set) Has(id ID) bool {
	per := id.Per()
	return s[per].has(int(id - per.First()))
}

// Rows returns how many rows s has of per, rows with nothing read included.
func (s *Sample) Rows(per Per) int { return len(s.rows[per].keys) }

// Key returns the key of a row.
func (s *Sample) Key(per Per, row int) *Key { return &s.rows[per].keys[row] }

// AddRow appends a row with nothing read and returns its index.
func (s *Sample) AddRow(per Per, key Key) int {
	m := &s.rows[per]
	m.keys = append(m.keys, key)
	m.values = slices.Grow(m.values, per.Width())[:len(m.values)+per.Width()]
	clear(m.values[len(m.values)-per.Width():])
	m.read = append(m.read, mask{})
	return len(m.keys) - 1
}

// RowByName returns the row of per with that name, or -1. It doesn't keep or copy name.
func (s *Sample) RowByName(per Per, name []byte) int {
	for i := range s.rows[per].keys {
		if s.rows[per].keys[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// RowByDevice returns the row of per with that device number, or -1.
func (s *Sample) RowByDevice(per Per, major, minor uint32) int {
	for i := range s.rows[per].keys {
		if k := &s.rows[per].keys[i]; k.Major == major && k.Minor == minor {
			return i
		}
	}
	return -1
}

// Put stores a number of a Per that has one row (PerContainer, PerNode).
func (s *Sample) Put(id ID, v uint64) {
	if s.Rows(id.Per()) == 0 {
		s.AddRow(id.Per(), Key{})
	}
	s.PutRow(id, 0, v)
}

// PutRow stores a number of the given row.
func (s *Sample) PutRow(id ID, row int, v uint64) {
	per := id.Per()
	m, col := &s.rows[per], int(id-per.First())
	m.values[row*per.Width()+col] = v
	m.read[row].set(col)
}

// Get returns a number of a Per that has one row, and whether it was read.
func (s *Sample) Get(id ID) (v uint64, read bool) { return s.GetRow(id, 0) }

// GetRow returns a number of the given row, and whether it was read. A row that
// doesn't exist has nothing read.
func (s *Sample) GetRow(id ID, row int) (v uint64, read bool) {
	per := id.Per()
	m, col := &s.rows[per], int(id-per.First())
	if row >= len(m.keys) || !m.read[row].has(col) {
		return 0, false
	}
	return m.values[row*per.Width()+col], true
}

// Read tells whether anything of per was read.
func (s *Sample) Read(per Per) bool {
	for i := range s.rows[per].read {
		if !s.rows[per].read[i].empty() {
			return true
		}
	}
	return false
}

// Forget marks the numbers of set as not read, in every row.
func (s *Sample) Forget(set *Set) {
	for per := range s.rows {
		m := &s.rows[per]
		for i := range m.read {
			m.read[i][0] &^= set[per][0]
			m.read[i][1] &^= set[per][1]
		}
	}
}

// DropEmptyRows removes the rows of which nothing was read: interfaces and devices
// that are gone. The order of the others stays. Where nothing of a Per was read, the
// reading failed, and its rows stay: one that seemed new at the next reading would be
// taken to begin at zero then.
func (s *Sample) DropEmptyRows() {
	for per := PerCPU; per < PerNode; per++ {
		if !s.Read(per) {
			continue
		}
		m, width := &s.rows[per], per.Width()
		kept := 0
		for i := range m.keys {
			if m.read[i].empty() {
				continue
			}
			if kept != i {
				m.keys[kept], m.read[kept] = m.keys[i], m.read[i]
				copy(m.values[kept*width:(kept+1)*width], m.values[i*width:])
			}
			kept++
		}
		m.keys, m.read, m.values = m.keys[:kept], m.read[:kept], m.values[:kept*width]
	}
}

// CopyFrom makes s equal to from, reusing the memory of s.
func (s *Sample) CopyFrom(from *Sample) {
	s.Time, s.CPUSet = from.Time, from.CPUSet
	for per := range Per(NumPer) {
		s.CopyRows(per, from)
	}
}

// Zero sets every number that was read to 0. Made from the first sample of a container
// that was seen to begin, it is the sample at its beginning.
func (s *Sample) Zero() {
	for per := range s.rows {
		clear(s.rows[per].values)
	}
}

// AddMissingRows gives s a row of zeros for each row of per that other has and s has
// not: what it is at its beginning. The numbers are those that other has read.
func (s *Sample) AddMissingRows(per Per, other *Sample) {
	had := len(s.rows[per].values)
	s.CopyMissingRows(per, other)
	clear(s.rows[per].values[had:])
}

// CopyMissingRows gives s a copy of each row of per that other has and s has not.
func (s *Sample) CopyMissingRows(per Per, other *Sample) {
	of, width := &other.rows[per], per.Width()
	for row := range of.keys {
		if s.RowLike(other, per, row) >= 0 {
			continue
		}
		added := s.AddRow(per, of.keys[row])
		s.rows[per].read[added] = of.read[row]
		copy(s.rows[per].values[added*width:(added+1)*width], of.values[row*width:])
	}
}

// AddNewCounters gives s a zero for each counter of the container that other has read and
// known lacks: what it was at the container's beginning.
func (s *Sample) AddNewCounters(other *Sample, known *Set) {
	if other.Rows(PerContainer) == 0 {
		return
	}
	fresh := other.rows[PerContainer].read[0]
	for word := range fresh {
		fresh[word] &= containerCounters[word] &^ known[PerContainer][word]
		for ; fresh[word] != 0; fresh[word] &= fresh[word] - 1 {
			s.Put(PerContainer.First()+ID(word<<6+bits.TrailingZeros64(fresh[word])), 0)
		}
	}
}

// containerCounters are the counters of a container itself.
var containerCounters = func() (set mask) {
	for id := PerContainer.First(); id < endContainer; id++ {
		if Describe(id).Kind == Counter {
			set.set(int(id - PerContainer.First()))
		}
	}
	return set
}()

// DropRows removes all rows of per.
func (s *Sample) DropRows(per Per) {
	m := &s.rows[per]
	m.keys, m.values, m.read = m.keys[:0], m.values[:0], m.read[:0]
}

// CopyRows makes the rows of per in s equal to those of from.
func (s *Sample) CopyRows(per Per, from *Sample) {
	to, of := &s.rows[per], &from.rows[per]
	to.keys = append(to.keys[:0], of.keys...)
	to.values = append(to.values[:0], of.values...)
	to.read = append(to.read[:0], of.read...)
}

// SameNumbers tells whether s and other have read the same numbers; their times may differ.
func (s *Sample) SameNumbers(other *Sample) bool {
	for per := range s.rows {
		m, o := &s.rows[per], &other.rows[per]
		if !slices.Equal(m.read, o.read) || !slices.Equal(m.values, o.values) || !slices.Equal(m.keys, o.keys) {
			return false
		}
	}
	return true
}

// RowLike returns the row of s that has the key of the given row of other, or -1.
// Rows rarely move, so the same index is tried first.
func (s *Sample) RowLike(other *Sample, per Per, row int) int {
	want := &other.rows[per].keys[row]
	m := &s.rows[per]
	if row < len(m.keys) && m.keys[row] == *want {
		return row
	}
	return slices.Index(m.keys, *want)
}

// Increase returns by how much the counter id grew from prev to s in the given row
// of s. It is absent (false) when either number was not read, or when the counter
// fell, which means that it started anew: a flow is never negative and never a guess.
func (s *Sample) Increase(prev *Sample, id ID, row int) (v uint64, ok bool) {
	now, ok := s.GetRow(id, row)
	if !ok {
		return 0, false
	}
	was := prev.RowLike(s, id.Per(), row)
	if was < 0 {
		return 0, false
	}
	before, ok := prev.GetRow(id, was)
	if !ok || now < before {
		return 0, false
	}
	return now - before, true
}

// count returns how many numbers were read.
func (m *mask) count() int { return bits.OnesCount64(m[0]) + bits.OnesCount64(m[1]) }

// Len returns how many numbers were read, over all rows.
func (s *Sample) Len() int {
	n := 0
	for per := range s.rows {
		for i := range s.rows[per].read {
			n += s.rows[per].read[i].count()
		}
	}
	return n
}
