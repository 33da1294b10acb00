package shipper

import (
	"strconv"
	"strings"
)

// batchName is what the name of a batch file says of it, so that the accounts of a spool
// need no file to be read.
type batchName struct {
	seq  uint64
	slot int64 // ms since the Unix epoch: the end of the interval that it measures
	docs int   // documents with measurements
	gaps int   // gap documents
}

const millisPerDay = 24 * 60 * 60 * 1000

// day is the day of the batch, in days since the Unix epoch: that of its documents' index, but
// for the few that were measured just before midnight.
func (n batchName) day() int64 { return n.slot / millisPerDay }

// String returns <seq, 16 hexadecimal digits>-<slot>-<docs>-<gaps>.gz, whose order by
// name is the order of sequence numbers.
func (n batchName) String() string {
	b := appendID(make([]byte, 0, 64), n.seq)
	b = strconv.AppendInt(append(b, '-'), n.slot, 10)
	b = strconv.AppendInt(append(b, '-'), int64(n.docs), 10)
	b = strconv.AppendInt(append(b, '-'), int64(n.gaps), 10)
	return string(append(b, ".gz"...))
}

// parseBatchName is the inverse of String; ok is false for every name that String
// wouldn't have written, so that a file has one name only.
func parseBatchName(s string) (n batchName, ok bool) {
	stem, ok := strings.CutSuffix(s, ".gz")
	if !ok || len(s) > 64 {
		return n, false
	}
	seq, stem, _ := strings.Cut(stem, "-")
	slot, stem, _ := strings.Cut(stem, "-")
	docs, gaps, _ := strings.Cut(stem, "-")
	n.seq, ok = parseDecimalOrHex(seq, 16)
	if !ok || n.seq >= 1<<40 {
		return n, false
	}
	v, ok := parseDecimalOrHex(slot, 10)
	if !ok || v > lastMilli {
		return n, false
	}
	n.slot = int64(v)
	v, ok = parseDecimalOrHex(docs, 10)
	if !ok || v > 1<<16 {
		return n, false
	}
	n.docs = int(v)
	v, ok = parseDecimalOrHex(gaps, 10)
	if !ok || v > 1<<16 {
		return n, false
	}
	n.gaps = int(v)
	return n, n.String() == s
}

func parseDecimalOrHex(s string, base int) (uint64, bool) {
	v, err := strconv.ParseUint(s, base, 64)
	return v, err == nil
}
