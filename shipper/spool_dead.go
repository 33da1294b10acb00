package shipper

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/klauspost/compress/gzip"
)

// letter returns a dead letter: body as one gzip member, with that comment and extra field in
// its header.
func letter(body []byte, comment string, extra []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Comment, w.Extra = comment, extra
	w.Write(body) // what is under it takes everything
	w.Close()
	return out.Bytes()
}

// reasons are why documents of one batch are buried, each with the places of its documents
// in the batch, from 0. The zero value is none.
type reasons []struct {
	sentence string
	docs     []int
}

// add notes the reason of a document.
func (r *reasons) add(doc int, sentence string) {
	for i := range *r {
		if x := &(*r)[i]; x.sentence == sentence {
			x.docs = append(x.docs, doc)
			return
		}
	}
	*r = append(*r, struct {
		sentence string
		docs     []int
	}{sentence, []int{doc}})
}

// documents returns all of them, in ascending order.
func (r reasons) documents() []int {
	var all []int
	for i := range r {
		all = append(all, r[i].docs...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// first returns one of the reasons. There must be one.
func (r reasons) first() string { return r[0].sentence }

// appendExtra appends what a dead letter says of its documents, for the extra field of its
// gzip header (RFC 1952, 2.3.1.1), the subfield "SG": for each reason a line with the
// numbers of the documents as they are in the letter, from 1, a tab and the reason. buried
// are the documents in the letter, by their places in the batch. What doesn't fit into the
// 64 KiB of such a field is left out; the comment of the header has the first reason.
//
// There it is in one file with the documents, whose body remains that of a _bulk request,
// and zcat passes over it.
func (r reasons) appendExtra(dst []byte, buried []int) []byte {
	const most = 1<<16 - 1
	start := len(dst)
	dst = append(dst, 'S', 'G', 0, 0)
	for i := range r {
		line := len(dst)
		for _, doc := range r[i].docs {
			at, _ := slices.BinarySearch(buried, doc)
			dst = append(strconv.AppendInt(dst, int64(at)+1, 10), ' ')
		}
		dst[len(dst)-1] = '\t'
		dst = append(append(dst, latin1(r[i].sentence)...), '\n')
		if len(dst)-start > most {
			dst = dst[:line]
			break
		}
	}
	binary.LittleEndian.PutUint16(dst[start+2:], uint16(len(dst)-start-4))
	return dst
}

// reasonsOf is the inverse of appendExtra: it returns why each of the documents of a dead
// letter was refused; where the extra field doesn't say, it is the comment.
func reasonsOf(extra []byte, comment string, docs int) []string {
	all := slices.Repeat([]string{comment}, docs)
	for len(extra) >= 4 {
		field := extra[4:]
		if n := int(binary.LittleEndian.Uint16(extra[2:])); n < len(field) {
			field = field[:n]
		}
		if string(extra[:2]) == "SG" {
			for line := range bytes.Lines(field) {
				numbers, reason, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
				for number := range bytes.FieldsSeq(numbers) {
					if n, err := strconv.Atoi(string(number)); err == nil && 1 <= n && n <= docs {
						all[n-1] = string(reason)
					}
				}
			}
		}
		extra = extra[4+len(field):]
	}
	return all
}
