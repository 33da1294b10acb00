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

// The largest file that is taken for a batch, and the largest body that is inflated:
// four times what batches are split at, for a last document that overshoots.
const (
	maxStored = 4 * maxRaw
	maxBody   = 4 * maxRaw
)

// errDamaged means that the bytes of a batch are not what was once published.
var errDamaged = errors.New("damaged batch")

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
