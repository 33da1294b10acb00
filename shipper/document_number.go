package shipper

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/swarmgauge/swarmgauge/metric"
)

// column is one number of the metric table as a document shows it.
type column struct {
	id      metric.ID
	counter bool
	// digits is how many decimal places make the stored unit from the shown one.
	digits int
	// key is `,"name":`.
	key string
}

// columns are the numbers of a scope by what there is one of each for.
type columns [metric.NumPer][]column

var (
	containerColumns  = containerScope.columns()
	hostColumns       = hostScope.columns()
	interfaceColumns  = interfaceScope.columns()
	deviceColumns     = deviceScope.columns()
	filesystemColumns = filesystemScope.columns()
	lastMinuteColumns = lastMinuteScope.columns()
)

func (s *scope) columns() (c columns) {
	for id := range metric.ID(metric.NumIDs) {
		if !s.has(id) {
			continue
		}
		d := metric.Describe(id)
		digits := 0
		for n := d.Unit.PerShown(); n > 1; n /= 10 {
			digits++
		}
		per := id.Per()
		c[per] = append(c[per], column{id, d.Kind == metric.Counter, digits, `,"` + s.prefix + d.Field + `":`})
	}
	return c
}

// value returns what the window says of a number: how much a counter grew, which is
// absent where that isn't known, or the last value of a gauge.
func (c *column) value(w *metric.Window, row int) (v uint64, ok bool) {
	if c.counter {
		return w.Last.Increase(&w.First, c.id, row)
	}
	return w.Last.GetRow(c.id, row)
}

// appendRow appends the numbers of one row.
func appendRow(dst []byte, w *metric.Window, columns []column, row int) []byte {
	for i := range columns {
		if v, ok := columns[i].value(w, row); ok {
			dst = columns[i].append(dst, v)
		}
	}
	return dst
}

// appendSums appends the numbers of a Per, each summed over the rows in which it's known.
func appendSums(dst []byte, w *metric.Window, columns []column) []byte {
	const most = 16 // columns of interfaces and devices; a test compares
	var sums [most]struct {
		v     uint64
		known bool
		carry uint64
	}
	per := columns[0].id.Per()
	whole := per == metric.PerDevice && hasWholeDevice(w.Last)
	for row := range w.Last.Rows(per) {
		if whole && isStacked(w.Last.Key(per, row).Name) {
			continue
		}
		for i := range columns {
			if v, ok := columns[i].value(w, row); ok {
				sum, carry := bits.Add64(sums[i].v, v, 0)
				sums[i].v, sums[i].known, sums[i].carry = sum, true, sums[i].carry|carry
			}
		}
	}
	for i := range columns {
		if sums[i].known && sums[i].carry == 0 {
			dst = columns[i].append(dst, sums[i].v)
		}
	}
	return dst
}

// isStacked tells whether a block device is made of others (device mapper, software RAID)
// or of a file: the kernel accounts an operation on it a second time on what is below.
func isStacked(name string) bool {
	return strings.HasPrefix(name, "dm-") || strings.HasPrefix(name, "md") || strings.HasPrefix(name, "loop")
}

// hasWholeDevice tells whether any device of s is not made of others.
func hasWholeDevice(s *metric.Sample) bool {
	for row := range s.Rows(metric.PerDevice) {
		if !isStacked(s.Key(metric.PerDevice, row).Name) {
			return true
		}
	}
	return false
}

// severalDevices tells whether a container moved something to or from more than one device, so
// that its sums don't say where.
func severalDevices(w *metric.Window) bool {
	if w.Last.Rows(metric.PerDevice) < 2 {
		return false
	}
	moved := 0
	for row := range w.Last.Rows(metric.PerDevice) {
		if hasMoved(w, row) {
			moved++
		}
	}
	return moved > 1
}

// eachRow calls f for each row of the window that has a document of its own: the node's
// interfaces, devices and filesystems, and the devices of a container that has used several.
func eachRow(w *metric.Window, f func(per metric.Per, row int)) {
	if w.Container.Path == metric.Root {
		for _, per := range [...]metric.Per{metric.PerInterface, metric.PerDevice, metric.PerFilesystem} {
			for row := range w.Last.Rows(per) {
				f(per, row)
			}
		}
		return
	}
	if !severalDevices(w) {
		return
	}
	for row := range w.Last.Rows(metric.PerDevice) {
		if hasMoved(w, row) {
			f(metric.PerDevice, row)
		}
	}
}

// hasMoved tells whether a container moved something to or from a device in the window. Those
// that sums leave out are none.
func hasMoved(w *metric.Window, row int) bool {
	for id := metric.PerDevice.First(); id <= metric.DiskDiscardOperations; id++ {
		if v, ok := w.Last.Increase(&w.First, id, row); ok && v > 0 {
			return !isStacked(w.Last.Key(metric.PerDevice, row).Name) || !hasWholeDevice(w.Last)
		}
	}
	return false
}

// append appends the member, in the shown unit. Numbers that Elasticsearch's signed
// long couldn't hold are left out: no kernel means them.
func (c *column) append(dst []byte, v uint64) []byte {
	if v > math.MaxInt64 {
		return dst
	}
	dst = append(dst, c.key...)
	return appendDecimal(dst, v, c.digits)
}

// powers are the powers of ten.
var powers = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// appendDecimal appends v / 10^digits, exactly and without an exponent; digits is 9 at most.
func appendDecimal(dst []byte, v uint64, digits int) []byte {
	unit := powers[digits]
	if v == 0 || unit == 1 {
		return strconv.AppendUint(dst, v, 10)
	}
	dst = strconv.AppendUint(dst, v/unit, 10)
	rest := v % unit
	if rest == 0 {
		return dst
	}
	// The unit in front keeps the zeros after the point; its 1 becomes the point.
	point := len(dst)
	dst = strconv.AppendUint(dst, unit+rest, 10)
	dst[point] = '.'
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
