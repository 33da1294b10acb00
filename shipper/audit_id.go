package shipper

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

// batchID names a batch among those of all agents.
type batchID struct{ epoch, seq uint64 }

// documentID is what the _id of a document says: see Batch.Action.
type documentID struct {
	unixMilli int64
	batchID
	ordinal int
}

// parseDocumentID takes an _id apart; ok is false for every text that no Batch would have
// made.
func parseDocumentID(s string) (id documentID, ok bool) {
	var b [24]byte
	if len(s) != 28 {
		return id, false
	}
	// The decoder passes over line breaks.
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:21], []byte(s)); err != nil || n != 21 {
		return id, false
	}
	id.unixMilli = int64(binary.BigEndian.Uint64(b[0:]) >> 16)
	id.epoch = binary.BigEndian.Uint64(b[6:])
	id.seq = binary.BigEndian.Uint64(b[14:]) >> 24
	id.ordinal = int(binary.BigEndian.Uint16(b[19:]))
	return id, id.unixMilli <= lastMilli
}

// parseEpoch is the inverse of appendEpoch.
func parseEpoch(s string) (epoch uint64, ok bool) {
	epoch, err := strconv.ParseUint(s, 16, 64)
	return epoch, err == nil && string(appendEpoch(nil, epoch)) == s
}
