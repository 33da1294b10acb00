package proc

import (
	"bytes"

	"github.com/swarmgauge/swarmgauge/metric"
)

// sectorBytes is the unit of diskstats, whatever the device's own sectors are.
const sectorBytes = 512

// diskColumns are the columns after a device's name, in the order of the file.
var diskColumns = [...]struct {
	id    metric.ID
	scale uint64
}{
	{metric.DiskReadOperations, 1},
	{metric.DiskReadsMerged, 1},
	{metric.DiskReadBytes, sectorBytes},
	{metric.DiskReadTime, 1e6}, // from ms
	{metric.DiskWriteOperations, 1},
	{metric.DiskWritesMerged, 1},
	{metric.DiskWriteBytes, sectorBytes},
	{metric.DiskWriteTime, 1e6},
	{metric.DiskInFlight, 1},
	{metric.DiskIOTime, 1e6},
	{metric.DiskWeightedIOTime, 1e6},
	{metric.DiskDiscardOperations, 1}, // from here on Linux 4.18
	{unread, 1},                       // discards merged
	{metric.DiskDiscardBytes, sectorBytes},
}

const (
	// oldDiskColumns are those that every kernel has.
	oldDiskColumns = 11
	// unread marks a column that goes nowhere.
	unread = metric.ID(metric.NumIDs)
)

func diskIDs() (ids []metric.ID) {
	for _, column := range diskColumns {
		if column.id != unread {
			ids = append(ids, column.id)
		}
	}
	return ids
}

// diskLine is one line of diskstats; name and columns are part of the text.
type diskLine struct {
	device  device
	name    []byte
	columns []byte
}

// cutDisk parses the beginning of a line of diskstats.
func cutDisk(line []byte) (d diskLine, ok bool) {
	major, rest, ok1 := cutNumber(line)
	minor, rest, ok2 := cutNumber(rest)
	d.name, d.columns = cutField(rest)
	d.device = device{uint32(major), uint32(minor)}
	return d, ok1 && ok2 && len(d.name) > 0 && major>>32 == 0 && minor>>32 == 0
}

// parseDiskstats parses /proc/diskstats (admin-guide/iostats.rst): device number, name and
// counters, in sectors and milliseconds. Linux 4.18 added discards, 5.5 flushes.
//
//	254       0 vda 78170 9628 3225586 49727 75681 31532 7859000 25848 0 32732 79974 19404 48 3345760 3302 16119 1095
//
// It lists whole disks, of any driver. Partitions would count everything twice; RAM disks
// and devices that nobody has ever used (loop, nbd, zram come by the dozen) say nothing.
func parseDiskstats(b []byte, s *metric.Sample) (bad []byte) {
	var disk []byte // the whole disk last seen
	for len(b) > 0 {
		line, rest, whole := cutLine(b)
		b = rest
		d, ok := cutDisk(line)
		if !whole || !ok {
			bad = firstOf(bad, line)
			continue
		}
		if isPartition(disk, d.name) {
			continue
		}
		disk = d.name
		if !bytes.HasPrefix(d.name, []byte("ram")) && !putDisk(d, s) {
			bad = firstOf(bad, line)
		}
	}
	return bad
}

// isPartition tells whether name is a partition of disk. A disk's partitions follow it in
// diskstats, and the kernel names them after it (block/genhd.c, disk_name): the number is
// appended, with a p between where the disk's name ends with a digit itself. So nvme0n1p1
// and sda1 are partitions, but md12 after md1 is none, nor is a xvda1 without a xvda.
func isPartition(disk, name []byte) bool {
	if len(disk) == 0 || !bytes.HasPrefix(name, disk) {
		return false
	}
	suffix := name[len(disk):]
	if last := disk[len(disk)-1]; '0' <= last && last <= '9' {
		var separated bool
		if suffix, separated = bytes.CutPrefix(suffix, []byte("p")); !separated {
			return false
		}
	}
	_, ok := number(suffix)
	return ok
}

// putDisk puts a device that was used.
func putDisk(d diskLine, s *metric.Sample) bool {
	var values [len(diskColumns)]uint64
	n := numbers(d.columns, values[:])
	if n < oldDiskColumns {
		return false
	}
	used := uint64(0)
	for i := range n {
		used |= values[i]
		var ok bool
		if values[i], ok = scaled(values[i], diskColumns[i].scale); !ok {
			return false
		}
	}
	if used == 0 {
		return true
	}
	row := diskRow(d, s)
	for i := range n {
		if id := diskColumns[i].id; id != unread {
			s.PutRow(id, row, values[i])
		}
	}
	return true
}

// diskRow returns the row of the device. A row that another device has left, whose number
// this one has got, or that had no name yet, is given its name.
func diskRow(d diskLine, s *metric.Sample) int {
	row := s.RowByDevice(metric.PerDevice, d.device.major, d.device.minor)
	if row < 0 {
		return s.AddRow(metric.PerDevice, metric.Key{Name: string(d.name), Major: d.device.major, Minor: d.device.minor})
	}
	if key := s.Key(metric.PerDevice, row); key.Name != string(d.name) {
		key.Name = string(d.name)
	}
	return row
}
