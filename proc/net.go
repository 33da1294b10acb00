package proc

import (
	"bytes"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/hang"
	"github.com/swarmgauge/swarmgauge/metric"
)

// Net reads the interfaces of a network namespace, that of the process it was opened for.
//
// It keeps net/dev open, which costs a third of opening it at each Read (5 µs against 15,
// BenchmarkNetRead and BenchmarkNetReadReopened). The price is that the descriptor belongs
// to the namespace, not to the process: it keeps the namespace alive and goes on answering
// after the process has ended or gone over to another namespace. So whoever keeps a Net
// has to know by other means that a container lives, close it at once when it doesn't,
// and open it anew now and then.
type Net struct {
	fd        int
	quick     bool   // it is the kernel's
	path      string // of net/dev, for errors
	namespace uint64
	buf       *NetBuffer
}

// NetBuffer is what the text of net/dev is read into. One does for all Nets of a goroutine,
// and stays in the processor's cache then. The zero value is ready.
type NetBuffer struct{ text []byte }

// interfaceIDs are the columns of net/dev that are read, and where they stand.
var interfaceIDs = [...]struct {
	column int
	id     metric.ID
}{
	{0, metric.NetworkReceiveBytes},
	{1, metric.NetworkReceivePackets},
	{2, metric.NetworkReceiveErrors},
	{3, metric.NetworkReceiveDropped},
	{8, metric.NetworkTransmitBytes},
	{9, metric.NetworkTransmitPackets},
	{10, metric.NetworkTransmitErrors},
	{11, metric.NetworkTransmitDropped},
}

// interfaceSet are the numbers of interfaceIDs.
var interfaceSet = func() (set metric.Set) {
	for _, column := range interfaceIDs {
		set.Add(column.id)
	}
	return set
}()

// netColumns is how many columns of net/dev have to be there.
const netColumns = 12

// OpenNet opens the network namespace of the process pid of the container with that id; ""
// is any process. It keeps buf, which belongs to the goroutine that reads. The error is ErrGone
// if there is no such process, as when the number is another one's by now.
func (fs *FS) OpenNet(pid int, id string, buf *NetBuffer) (*Net, error) {
	dir, err := fs.openProcess(pid, id)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	path := fs.path(pidDir(pid) + "/net/dev")
	fd, err := openat(dir, "net/dev", unix.O_RDONLY)
	if err != nil {
		return nil, goneOr(&os.PathError{Op: "open", Path: path, Err: err})
	}
	n := &Net{fd: fd, quick: !hang.May(fd), path: path, buf: buf}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, goneOr(&os.PathError{Op: "stat", Path: n.path, Err: err})
	}
	n.namespace = st.Ino
	return n, nil
}

// Namespace tells network namespaces apart: it is the inode number of net/dev, which each
// namespace has one of, as long as it lives. The number of ns/net would say the same but
// asks for the right to trace the process.
func (n *Net) Namespace() uint64 { return n.namespace }

// Read puts the interfaces' counters into the rows of s that have their names, and forgets
// those of other rows: the interface is gone. Like cAdvisor it leaves out interfaces that
// are not the container's own traffic (see ignoredInterface).
func (n *Net) Read(s *metric.Sample) error {
	s.Forget(&interfaceSet)
	if err := n.load(); err != nil {
		return &os.PathError{Op: "read", Path: n.path, Err: err}
	}
	if len(n.buf.text) == 0 {
		return fmt.Errorf("%s is empty", n.path)
	}
	if bad := parseNetDev(n.buf.text, s); bad != nil {
		return fmt.Errorf("%s: can't make sense of %q", n.path, clip(bad))
	}
	return nil
}

// maxLine is more than a line of net/dev can have: a name and sixteen numbers.
const maxLine = 512

// load reads the text. The kernel fills a page with lines: if there was room for one more,
// in the page and in the buffer, the first read has brought all of them. Of that one Go's
// scheduler isn't told, for the reason that package cgroup gives.
func (n *Net) load() (err error) {
	if n.quick {
		if cap(n.buf.text) < pageSize {
			n.buf.text = make([]byte, 0, pageSize)
		}
		buf := n.buf.text[:cap(n.buf.text)]
		got, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(n.fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0, 0)
		if errno == 0 && int(got)+maxLine <= min(len(buf), pageSize) {
			n.buf.text = buf[:got]
			return nil
		}
	}
	n.buf.text, err = readAll(n.fd, n.buf.text)
	return err
}

// Close closes n, which may then not be used.
func (n *Net) Close() error { return unix.Close(n.fd) }

// goneOr returns ErrGone when err says that a process ended, and otherwise err.
func goneOr(err error) error {
	if gone(err) {
		return ErrGone
	}
	return err
}

// parseNetDev parses net/dev (net/core/net-procfs.c): two lines of heading, then a line
// per interface with the same columns since Linux 2.2.
//
//	Inter-|   Receive                                                |  Transmit
//	 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
//	  eth0: 1322      15    0    0    0     0          0         0     0        0    0    0    0     0       0          0
//
// Received drops include those that the kernel calls missed. A name has no colon.
func parseNetDev(b []byte, s *metric.Sample) (bad []byte) {
	const headings = 2
	for i := 0; len(b) > 0; i++ {
		line, rest, whole := cutLine(b)
		b = rest
		if i < headings && whole {
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if !whole || colon < 0 {
			bad = firstOf(bad, line)
			continue
		}
		name := bytes.TrimLeft(line[:colon], " ")
		if ignoredInterface(name) {
			continue
		}
		var columns [netColumns]uint64
		if len(name) == 0 || numbers(line[colon+1:], columns[:]) < netColumns {
			bad = firstOf(bad, line)
			continue
		}
		row := s.RowByName(metric.PerInterface, name)
		if row < 0 {
			row = s.AddRow(metric.PerInterface, metric.Key{Name: string(name)})
		}
		for _, column := range interfaceIDs {
			s.PutRow(column.id, row, columns[column.column])
		}
	}
	return bad
}

// firstOf returns the line that made no sense first.
func firstOf(bad, line []byte) []byte {
	if bad == nil {
		return line
	}
	return bad
}

// ignoredInterface tells whether an interface isn't listed: the loopback, and the node's
// ends of what containers already show. The prefixes are cAdvisor's, case aside.
func ignoredInterface(name []byte) bool {
	return hasPrefixFold(name, "lo") || hasPrefixFold(name, "veth") ||
		hasPrefixFold(name, "docker") || hasPrefixFold(name, "nerdctl")
}

// hasPrefixFold tells whether name begins with prefix, which is in lower case.
func hasPrefixFold(name []byte, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
