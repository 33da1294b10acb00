package cgroup

import (
	"bytes"
	"math/bits"
	"strconv"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A parser takes the whole text of a file and puts its numbers into the sink. It
// returns parsed, or the offset of the first byte that makes no sense; what it had put
// until then is to be forgotten.
//
// The kernel ends every line with a newline. A last line without one was cut off, and
// its number may lack digits, so it makes no sense.
const parsed = -1

// sink is where the parsers put what they read.
type sink struct {
	sample *metric.Sample
	// interim holds the numbers that only serve to make others.
	interim [numInterim]uint64
	read    uint32 // a bit for each of interim
	stat    bool   // memory.stat was parsed for this sample
	// device names a block device; nil or "" where its name can't be known.
	device func(major, minor uint32) string
}

// Interim numbers, numbered after the last ID so that a table can name either.
const (
	rawKernelStack = metric.ID(metric.NumIDs) + iota
	rawPageTables
	rawPerCPU
	rawSock
	rawMemoryAndSwapLimit

	endInterim
)

const numInterim = int(endInterim) - metric.NumIDs

// reset starts a sample.
func (k *sink) reset(s *metric.Sample) { k.sample, k.read, k.stat = s, 0, false }

// put stores a number that there is one of per cgroup.
func (k *sink) put(id metric.ID, v uint64) {
	if i := int(id) - metric.NumIDs; i >= 0 {
		k.interim[i] = v
		k.read |= 1 << i
		return
	}
	k.sample.Put(id, v)
}

// get returns a number that was put, interim or not.
func (k *sink) get(id metric.ID) (v uint64, read bool) {
	if i := int(id) - metric.NumIDs; i >= 0 {
		return k.interim[i], k.read&(1<<i) != 0
	}
	return k.sample.Get(id)
}

// forget takes back what row put, or may have put before it failed.
func (k *sink) forget(r *row) {
	k.sample.Forget(&r.ids)
	for _, key := range r.keys {
		if i := int(key.to) - metric.NumIDs; i >= 0 {
			k.read &^= 1 << i
		}
	}
	if r.shape == shapeList {
		k.sample.CPUSet = ""
	}
}

// numberedRow returns the row of the CPU or NUMA node with that number.
func (k *sink) numberedRow(per metric.Per, n int) int {
	var buf [20]byte
	name := strconv.AppendInt(buf[:0], int64(n), 10)
	s := k.sample
	if n < s.Rows(per) && s.Key(per, n).Name == string(name) {
		return n
	}
	if row := s.RowByName(per, name); row >= 0 {
		return row
	}
	return s.AddRow(per, metric.Key{Name: string(name)})
}

// deviceRow returns the row of the block device with that number.
func (k *sink) deviceRow(major, minor uint32) int {
	if row := k.sample.RowByDevice(metric.PerDevice, major, minor); row >= 0 {
		return row
	}
	name := ""
	if k.device != nil {
		name = k.device(major, minor)
	}
	if name == "" {
		name = strconv.FormatUint(uint64(major), 10) + ":" + strconv.FormatUint(uint64(minor), 10)
	}
	return k.sample.AddRow(metric.PerDevice, metric.Key{Name: name, Major: major, Minor: minor})
}

// parse parses the text b of the file of r. The layout of flat files is learned in l
// and may be nil.
func (k *sink) parse(r *row, b []byte, l *layout) (bad int) {
	switch r.shape {
	case shapeNumber:
		return k.parseNumber(b, r)
	case shapeFlat:
		return k.parseFlat(b, r.keys, l)
	case shapePressure:
		return k.parsePressure(b, r.keys[0].to)
	case shapePerCPU:
		return k.parsePerCPU(b, r.keys[0].to, r.keys[1].to)
	case shapeQuota:
		return k.parseQuota(b, r.keys[0].to, r.keys[1].to)
	case shapeList:
		return k.parseList(b, r.keys[0].to)
	case shapeIOStat:
		return k.parseIOStat(b, r.keys)
	case shapeBlkio:
		return k.parseBlkio(b, r.keys)
	case shapeNUMA:
		return k.parseNUMA(b, r.keys)
	case shapeHugePages:
		return k.parseHugePages(b, r)
	case shapeHugePageEvents:
		return k.parseHugePageEvents(b, r)
	}
	return 0
}

// number parses the decimal number at b[i:]. Without one, or with one that doesn't fit
// 64 bits, next is i.
func number(b []byte, i int) (v uint64, next int) {
	for next = i; next < len(b); next++ {
		d := uint64(b[next] - '0')
		if d > 9 {
			break
		}
		const most = ^uint64(0)
		if v > most/10 || v*10 > most-d {
			return 0, i
		}
		v = v*10 + d
	}
	return v, next
}

// scaled returns v × scale; ok is false when that doesn't fit 64 bits.
func scaled(v, scale uint64) (product uint64, ok bool) {
	over, product := bits.Mul64(v, scale)
	return product, over == 0
}

// at tells whether b[i] is there and is c.
func at(b []byte, i int, c byte) bool { return i < len(b) && b[i] == c }

// hasPrefixAt tells whether b[i:] begins with prefix.
func hasPrefixAt(b []byte, i int, prefix string) bool {
	return len(b)-i >= len(prefix) && string(b[i:i+len(prefix)]) == prefix
}

// nextLine returns the offset after the newline that follows i, or -1.
func nextLine(b []byte, i int) int {
	n := bytes.IndexByte(b[i:], '\n')
	if n < 0 {
		return -1
	}
	return i + n + 1
}

// find returns the index of the key called name, or -1.
func find(keys []key, name []byte) int {
	for i := range keys {
		if keys[i].name == string(name) {
			return i
		}
	}
	return -1
}
