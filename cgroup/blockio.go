package cgroup

import (
	"bytes"

	"github.com/swarmgauge/swarmgauge/metric"
)

// parseIOStat parses v2's io.stat, bytes and operations of each block device since
// the cgroup was made (cgroup-v2.rst, "IO Interface Files"; discards since Linux 4.20):
//
//	254:0 rbytes=1708032 wbytes=0 rios=21 wios=0 dbytes=0 dios=0
//
// A device without a number may stand alone on its line ("7:7 "), and on some kernels
// before the next one on the same line; a controller may add keys, whose values need
// not be whole numbers (cost.vrate=100.00). An empty file is a cgroup without IO.
func (k *sink) parseIOStat(b []byte, keys []key) (bad int) {
	for i := 0; i < len(b); {
		end := nextLine(b, i)
		if end < 0 {
			return i
		}
		if bad := k.parseIOLine(b[:end], i, keys); bad != parsed {
			return bad
		}
		i = end
	}
	return parsed
}

// parseIOLine parses the line of io.stat from b[i:] on; b ends with the line.
func (k *sink) parseIOLine(b []byte, i int, keys []key) (bad int) {
	var major, minor uint32
	named, row, hint := false, -1, 0
	for i < len(b) {
		if b[i] == ' ' || b[i] == '\n' {
			i++
			continue
		}
		if digit(b[i]) {
			var next int
			major, minor, next = deviceNumber(b, i)
			if next == i {
				return i
			}
			named, row, i = true, -1, next
			continue
		}
		end := i + bytes.IndexAny(b[i:], " \n")
		equals := bytes.IndexByte(b[i:end], '=')
		if equals < 0 || !named {
			i = end
			continue
		}
		name, start := b[i:i+equals], i+equals+1
		// The kernel prints the keys in the table's order.
		known := hint
		if known >= len(keys) || keys[known].name != string(name) {
			known = find(keys, name)
		}
		if known >= 0 {
			v, next := number(b, start)
			if next == start || next != end {
				return i
			}
			if row < 0 {
				row = k.deviceRow(major, minor)
			}
			k.sample.PutRow(keys[known].to, row, v)
			hint = known + 1
		}
		i = end
	}
	return parsed
}

// parseBlkio parses a file of v1's blkio controller, bytes or operations of each block
// device and kind since the cgroup was made (cgroup-v1/blkio-controller.rst):
//
//	254:0 Read 4096
//	254:0 Write 0
//	254:0 Sync 4096
//	254:0 Total 4096
//	Total 4096
//
// Sync and Async count the same again, and so do the totals.
func (k *sink) parseBlkio(b []byte, keys []key) (bad int) {
	for i := 0; i < len(b); {
		end := nextLine(b, i)
		if end < 0 {
			return i
		}
		if digit(b[i]) {
			major, minor, next := deviceNumber(b, i)
			if next == i || b[next] != ' ' {
				return i
			}
			next++
			blank := bytes.IndexByte(b[next:end], ' ')
			if blank < 0 {
				return i
			}
			if known := find(keys, b[next:next+blank]); known >= 0 {
				start := next + blank + 1
				v, next := number(b, start)
				if next == start || b[next] != '\n' {
					return i
				}
				k.sample.PutRow(keys[known].to, k.deviceRow(major, minor), v)
			}
		}
		i = end
	}
	return parsed
}

// hasDevice tells whether a file of v1's blkio controller has a line of a device. One
// of a controller that does no accounting has "Total 0" alone.
func hasDevice(b []byte) bool {
	for i := 0; i >= 0 && i < len(b); i = nextLine(b, i) {
		if digit(b[i]) {
			return true
		}
	}
	return false
}

// deviceNumber parses "254:0" at b[i:], which a blank or a newline must follow;
// without it, next is i.
func deviceNumber(b []byte, i int) (major, minor uint32, next int) {
	const most = 1<<32 - 1
	ma, colon := number(b, i)
	if colon == i || !at(b, colon, ':') {
		return 0, 0, i
	}
	mi, next := number(b, colon+1)
	if next == colon+1 || ma > most || mi > most || !at(b, next, ' ') && !at(b, next, '\n') {
		return 0, 0, i
	}
	return uint32(ma), uint32(mi), next
}

func digit(c byte) bool { return c-'0' <= 9 }

// ioKeys are the words of v2's io.stat, in the kernel's order.
func ioKeys() []key {
	return []key{
		{name: "rbytes", to: metric.DiskReadBytes},
		{name: "wbytes", to: metric.DiskWriteBytes},
		{name: "rios", to: metric.DiskReadOperations},
		{name: "wios", to: metric.DiskWriteOperations},
		{name: "dbytes", to: metric.DiskDiscardBytes},
		{name: "dios", to: metric.DiskDiscardOperations},
	}
}

// blkioBytes are the words of v1's io_service_bytes files.
func blkioBytes() []key {
	return []key{
		{name: "Read", to: metric.DiskReadBytes},
		{name: "Write", to: metric.DiskWriteBytes},
		{name: "Discard", to: metric.DiskDiscardBytes},
	}
}

// blkioOperations are the words of v1's io_serviced files.
func blkioOperations() []key {
	return []key{
		{name: "Read", to: metric.DiskReadOperations},
		{name: "Write", to: metric.DiskWriteOperations},
		{name: "Discard", to: metric.DiskDiscardOperations},
	}
}
