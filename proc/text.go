package proc

import (
	"bytes"
	"slices"

	"golang.org/x/sys/unix"
)

// The parsers of this package take the whole text of a file and a sample, put every
// number that they understand, and return the first line that makes no sense, or nil.
// That line is part of the text. The kernel ends every line with a newline: a last line
// without one was cut off, so its numbers may lack digits, and it makes no sense.

const (
	// pageSize is a first buffer that most files of procfs fit.
	pageSize = 4096
	// maxText bounds what is read of one file; net/dev takes a tenth of it on a node
	// with a thousand interfaces.
	maxText = 2 << 20
)

// readAll reads the file fd from its beginning to its end into the memory of buf, and into
// more where that doesn't suffice, and returns the text; it is valid until buf is used
// again. A file of many records comes in pieces of at most a page, so only an empty read
// tells the end; it costs 0.3 µs.
func readAll(fd int, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= maxText {
				return buf, unix.EFBIG
			}
			buf = slices.Grow(buf, max(pageSize, len(buf)))
		}
		n, err := unix.Pread(fd, buf[len(buf):cap(buf)], int64(len(buf)))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return buf, err
		case n == 0:
			return buf, nil
		default:
			buf = buf[:len(buf)+n]
		}
	}
}

// cutLine returns the first line of b without its newline, and the rest. A line that was
// cut off isn't whole.
func cutLine(b []byte) (line, rest []byte, whole bool) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}

// cutField returns the first field of b, which blanks end, and the rest.
func cutField(b []byte) (field, rest []byte) {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for i, c := range b {
		if isBlank(c) {
			return b[:i], b[i:]
		}
	}
	return b, nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// cutNumber returns the number that is the first field of b, and the rest.
func cutNumber(b []byte) (v uint64, rest []byte, ok bool) {
	field, rest := cutField(b)
	v, ok = number(field)
	return v, rest, ok
}

// numbers fills row with the first numbers of b and returns how many there were: fewer
// when b has fewer fields, or where one isn't a number.
func numbers(b []byte, row []uint64) int {
	for i := range row {
		var ok bool
		if row[i], b, ok = cutNumber(b); !ok {
			return i
		}
	}
	return len(row)
}

// number parses a decimal number of at most 64 bits, which has to be all of b.
func number(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		d := uint64(c - '0')
		const most = ^uint64(0)
		if d > 9 || v > most/10 || v*10 > most-d {
			return 0, false
		}
		v = v*10 + d
	}
	return v, len(b) > 0
}

// hundredths parses a number with two decimals ("0.61"), the form of load averages, of
// pressure and of the uptime, as a count of hundredths.
func hundredths(b []byte) (v uint64, ok bool) {
	point := len(b) - 3
	if point < 1 || b[point] != '.' {
		return 0, false
	}
	whole, ok1 := number(b[:point])
	parts, ok2 := number(b[point+1:])
	v, ok3 := scaled(whole, 100)
	return v + parts, ok1 && ok2 && ok3 && v+parts >= v
}

// scaled returns v × scale, and whether that fits 64 bits.
func scaled(v, scale uint64) (product uint64, ok bool) {
	return v * scale, v <= ^uint64(0)/scale
}

// clip shortens a line for an error.
func clip(line []byte) []byte { return line[:min(len(line), 200)] }
