package proc

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// descriptors counts the open files of several processes, and how many of them are sockets.
type descriptors struct {
	files, sockets             uint64
	filesHidden, socketsHidden bool // some process's can't be counted
}

// count adds the descriptors of the process whose folder dir is. It lists them and asks
// for the kind of each, and opens none: what is behind them is the container's.
//
// The folder fd belongs to the process's user; to read its links asks for the right to
// trace the process. Since Linux 6.2 the folder's size, which everybody may ask for, is
// the number of descriptors.
func (c *descriptors) count(d *Details, dir int) {
	var files, sockets uint64
	hidden := false
	err := d.list(dir, "fd", func(folder int, name string) bool {
		files++
		if hidden {
			return true
		}
		var link [8]byte
		n, err := unix.Readlinkat(folder, name, link[:])
		switch {
		case err == unix.EACCES || err == unix.EPERM:
			hidden = true
		case err == nil && bytes.HasPrefix(link[:n], []byte("socket:")):
			sockets++
		}
		return true
	})
	switch {
	case gone(err):
		return
	case err != nil:
		hidden, files = true, 0
		var st unix.Stat_t
		if !d.sizedFD || unix.Fstatat(dir, "fd", &st, 0) != nil {
			c.filesHidden = true
		} else {
			files = uint64(st.Size)
		}
	}
	c.files += files
	c.sockets += sockets
	c.socketsHidden = c.socketsHidden || hidden
}

func (c *descriptors) put(d *Details, s *metric.Sample) {
	if c.filesHidden {
		d.note("open files of processes can't be counted: give the agent the capabilities SYS_PTRACE and DAC_READ_SEARCH, or use Linux 6.2")
	} else {
		s.Put(metric.FileDescriptors, c.files)
	}
	if c.socketsHidden {
		d.note("open sockets of processes can't be counted: give the agent the capabilities SYS_PTRACE and DAC_READ_SEARCH")
	} else {
		s.Put(metric.Sockets, c.sockets)
	}
}

// putLimits puts the limit of open files of the process whose folder dir is.
func (d *Details) putLimits(dir int, s *metric.Sample) {
	if text, err := d.text(dir, "limits"); err == nil {
		parseLimits(text, s)
	}
}

// parseLimits parses /proc/<pid>/limits (fs/proc/base.c): a heading, and a line for each
// limit with its name, the soft and the hard limit, and a unit. prlimit(2) would tell the
// same only to who has the process in its own PID namespace.
//
//	Limit                     Soft Limit           Hard Limit           Units
//	Max open files            20000                unlimited            files
func parseLimits(b []byte, s *metric.Sample) (bad []byte) {
	for len(b) > 0 {
		line, rest, whole := cutLine(b)
		b = rest
		values, ok := bytes.CutPrefix(line, []byte("Max open files "))
		if !ok {
			if !whole {
				bad = firstOf(bad, line)
			}
			continue
		}
		soft, values := cutField(values)
		hard, _ := cutField(values)
		if !whole || !putLimit(metric.OpenFilesLimit, soft, s) || !putLimit(metric.OpenFilesHardLimit, hard, s) {
			bad = firstOf(bad, line)
		}
	}
	return bad
}

// putLimit puts a limit; none at all is absent.
func putLimit(id metric.ID, field []byte, s *metric.Sample) bool {
	if string(field) == "unlimited" {
		return true
	}
	v, ok := number(field)
	if ok {
		s.Put(id, v)
	}
	return ok
}

// referencedMemory sums up the referenced memory of several processes.
type referencedMemory struct {
	bytes  uint64
	read   bool // of some process
	hidden bool // some process's can't be read
}

// add adds the memory of the process whose folder dir is. A task of the kernel has none.
func (r *referencedMemory) add(d *Details, dir int) {
	text, err := d.text(dir, "smaps_rollup")
	switch {
	case err == unix.EACCES || err == unix.EPERM:
		r.hidden = true
		return
	case err != nil:
		return
	}
	if v, ok := parseReferenced(text); ok {
		r.bytes += v
		r.read = true
	}
}

func (r *referencedMemory) put(d *Details, s *metric.Sample) {
	switch {
	case r.hidden:
		d.note("referenced memory can't be read: give the agent the capability SYS_PTRACE")
	case r.read:
		s.Put(metric.MemoryReferenced, r.bytes)
	}
}

// parseReferenced returns the bytes in the line Referenced of /proc/<pid>/smaps_rollup
// (fs/proc/task_mmu.c, Linux 4.14), which is the sum of those of smaps.
//
//	55d0a1c00000-7ffc8a3f2000 ---p 00000000 00:00 0                          [rollup]
//	Rss:                1504 kB
//	Referenced:         1504 kB
func parseReferenced(b []byte) (v uint64, ok bool) {
	for len(b) > 0 {
		line, rest, whole := cutLine(b)
		b = rest
		if values, is := bytes.CutPrefix(line, []byte("Referenced:")); is && whole {
			v, unit, isNumber := cutNumber(values)
			if string(bytes.TrimLeft(unit, " ")) != "kB" || !isNumber {
				return 0, false
			}
			return scaled(v, kib)
		}
	}
	return 0, false
}
