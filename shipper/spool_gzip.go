package shipper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"
)

// gzipLevel: a body of documents of one layout shrinks 12 to 30 times at level 3, for
// about a microsecond per kilobyte more than no compression at all; higher levels cost
// multiples for a tenth. Compression is the largest single cost of a document.
const gzipLevel = 3

// The largest file that is taken for a batch, and the largest body that is inflated:
// four times what batches are split at, for a last document that overshoots.
const (
	maxStored = 4 * maxRaw
	maxBody   = 4 * maxRaw
)

// errDamaged means that the bytes of a batch are not what was once published.
var errDamaged = errors.New("damaged batch")

// deflater compresses bodies, one after the other. The zero value is ready; it takes a
// megabyte once it was used, and keeps that.
type deflater struct {
	w   *gzip.Writer
	out []byte
}

// begin starts a gzip member behind what dst has, and takes dst until end gives it back.
// One member for a body, because Elasticsearch's HTTP layer stops at the end of the first
// and silently loses what follows (netty/netty#7566). The comment is kept in the header; it
// must be Latin-1 without NUL.
func (d *deflater) begin(dst []byte, comment string) {
	if d.w == nil {
		d.w, _ = gzip.NewWriterLevel(nil, gzipLevel) // fails for an unknown level only
	}
	d.out = dst
	d.w.Reset((*deflated)(d))
	d.w.Comment = comment
}

// write appends p to the body.
func (d *deflater) write(p []byte) { d.w.Write(p) } // what is under it takes everything

// end ends the member and returns dst, extended by it.
func (d *deflater) end() []byte {
	d.w.Close()
	out := d.out
	d.out = nil
	return out
}

// member appends body to dst as one gzip member.
func (d *deflater) member(dst, body []byte, comment string) []byte {
	d.begin(dst, comment)
	d.write(body)
	return d.end()
}

// deflated is a deflater as what its gzip.Writer writes to.
type deflated deflater

func (d *deflated) Write(p []byte) (int, error) {
	d.out = append(d.out, p...)
	return len(p), nil
}

// checksum returns the CRC-32C of a stored body, which processors compute at the speed of
// memory: telling that a body is what this run has stored costs a hundredth of inflating it.
func checksum(member []byte) uint32 {
	return crc32.Checksum(member, crc32.MakeTable(crc32.Castagnoli))
}

// sizeOf returns the length of the body, in bytes, that a whole member holds: its last
// four bytes (RFC 1952, ISIZE).
func sizeOf(member []byte) int {
	return int(binary.LittleEndian.Uint32(member[len(member)-4:]))
}

// inflater reads what a deflater wrote, or what has become of it. The zero value is
// ready; its memory is reused.
type inflater struct {
	src   bytes.Reader
	r     gzip.Reader
	chunk []byte
}

// verify inflates the body once, without keeping it, and checks that it is one member,
// whole, with the checksum in its trailer, and holds docs documents: pairs of lines, the
// last one ended. It returns the length of the body in bytes.
func (f *inflater) verify(member []byte, docs int) (size int, err error) {
	lines, last := 0, byte('\n')
	err = f.each(member, func(p []byte) {
		lines += bytes.Count(p, []byte{'\n'})
		last = p[len(p)-1]
		size += len(p)
	})
	if err != nil {
		return 0, err
	}
	if last != '\n' || lines != 2*docs {
		return 0, fmt.Errorf("%w: %d lines where its name tells of %d documents", errDamaged, lines, docs)
	}
	return size, nil
}

// inflate appends the body to dst.
func (f *inflater) inflate(dst, member []byte) ([]byte, error) {
	err := f.each(member, func(p []byte) { dst = append(dst, p...) })
	return dst, err
}

// each calls add with the body, piece by piece; a piece is never empty and is reused.
func (f *inflater) each(member []byte, add func(p []byte)) error {
	if f.chunk == nil {
		f.chunk = make([]byte, 32<<10)
	}
	f.src.Reset(member)
	if err := f.r.Reset(&f.src); err != nil {
		return fmt.Errorf("%w: %v", errDamaged, err)
	}
	f.r.Multistream(false)
	for total := 0; ; {
		n, err := f.r.Read(f.chunk)
		if n > 0 {
			add(f.chunk[:n])
		}
		if total += n; total > maxBody {
			return fmt.Errorf("%w: more than %d bytes when inflated", errDamaged, maxBody)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %v", errDamaged, err)
		}
	}
	if f.src.Len() != 0 {
		return fmt.Errorf("%w: %d bytes after its end", errDamaged, f.src.Len())
	}
	return nil
}
