package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/hang"
	"github.com/swarmgauge/swarmgauge/metric"
)

// nodeSource is a row of the table of files that the node's numbers come from.
type nodeSource struct {
	name  string
	ids   []metric.ID
	parse func(text []byte, s *metric.Sample) (bad []byte)
	// slow marks a file that is read on the slow beat only.
	slow bool
	// mayBeEmpty marks a list that some machines have nothing for: those that boot from
	// the network, or live in memory, have no disks.
	mayBeEmpty bool
	// since says which kernel has the file; "" where all do.
	since string
}

// sincePSI is what pressure files need.
const sincePSI = "Linux 4.20 with CONFIG_PSI, booted with psi=1 where that is off by default"

var nodeSources = [...]nodeSource{
	{name: "stat", ids: statIDs[:], parse: parseStat},
	{name: "loadavg", ids: loadIDs[:], parse: parseLoad},
	{name: "uptime", ids: []metric.ID{metric.NodeUptime}, parse: parseUptime},
	{name: "meminfo", ids: idsOf(meminfoKeys[:]), parse: parseMeminfo},
	{name: "vmstat", ids: idsOf(vmstatKeys[:]), parse: parseVMStat},
	{name: "diskstats", ids: diskIDs(), parse: parseDiskstats, mayBeEmpty: true},
	{name: "pressure/cpu", ids: cpuPressure.ids(), parse: cpuPressure.parse, since: sincePSI},
	{name: "pressure/memory", ids: memoryPressure.ids(), parse: memoryPressure.parse, since: sincePSI},
	{name: "pressure/io", ids: ioPressure.ids(), parse: ioPressure.parse, since: sincePSI},
	// The kernel sums this one over all CPUs at each read.
	{name: "sys/fs/file-nr", ids: []metric.ID{metric.NodeFileDescriptors}, parse: parseFileNR, slow: true},
}

// Node reads the numbers of the node as a whole, from files that stay open.
type Node struct {
	root    string
	files   []nodeFile
	net     *Net // nil where the node's namespace can't be read
	missing []error
	buf     []byte
	begun   bool // Read was called
	// foreign are the reads of files that aren't the kernel's, nil where OpenNode has found
	// none.
	foreign *hang.Reads
}

const (
	// maxHung is how many of the node's files may hang at once.
	maxHung = len(nodeSources)
	// foreignText is what is read at most of a file that isn't the kernel's: more than
	// lxcfs makes of the longest one, stat.
	foreignText = 256 << 10
)

// nodeFile is an open file of the table.
type nodeFile struct {
	nodeSource
	fd     int
	forget metric.Set
	// place is where the file is read if it isn't the kernel's, nil if it is.
	place *hang.Place
}

// OpenNode opens the node's files. Those that this kernel doesn't have, or that can't be
// read, are listed by Missing; the error says that there is none at all.
func (fs *FS) OpenNode() (*Node, error) {
	n := &Node{root: fs.root, buf: make([]byte, 0, pageSize)}
	for _, source := range nodeSources {
		file := nodeFile{nodeSource: source}
		for _, id := range source.ids {
			file.forget.Add(id)
		}
		var err error
		if file.fd, err = fs.open(source.name, unix.O_RDONLY|unix.O_NONBLOCK); err == nil {
			if hang.May(file.fd) {
				file.place = new(hang.Place)
			}
			// Kernels with pressure switched off may have the files and refuse to read them.
			if err = n.load(&file); err == hang.ErrHung {
				err = nil // it may come back
			} else if err != nil {
				unix.Close(file.fd)
				err = &os.PathError{Op: "read", Path: fs.path(source.name), Err: err}
			}
		}
		switch {
		case err == nil:
			n.files = append(n.files, file)
		case source.since != "" && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP)):
			n.missing = append(n.missing, fmt.Errorf("%s needs %s", fs.path(source.name), source.since))
		default:
			n.missing = append(n.missing, err)
		}
	}
	var err error
	if n.net, err = fs.OpenNet(1, "", new(NetBuffer)); errors.Is(err, ErrGone) {
		err = fmt.Errorf("%s can't be seen: is /proc mounted with hidepid, and the agent not root?", fs.path("1"))
	}
	if err != nil {
		n.missing = append(n.missing, err)
	}
	if len(n.files) == 0 {
		n.Close()
		return nil, errors.Join(n.missing...)
	}
	return n, nil
}

// Missing returns what Read will never put, one error a file, each with the reason or
// with the kernel that would have it.
func (n *Node) Missing() []error { return n.missing }

// Namespace is the node's own network namespace, as Net.Namespace; 0 if it isn't known.
func (n *Node) Namespace() uint64 {
	if n.net == nil {
		return 0
	}
	return n.net.Namespace()
}

// Read puts the node's numbers into s: those of PerNode, the disks' (all of PerDevice),
// the interfaces', and pressure. What rarely changes is read if slow is set; otherwise s
// keeps what it has of that. A file that can't be read or understood costs its numbers
// and no others; the error then names it.
//
// For the root cgroup's numbers to add to these, its reader comes first: the disks of
// /proc/diskstats replace those of the cgroup. CPUUsagePerCPU, which cgroup v1 has in a
// finer grain, is put here only if s has none at the first Read. So are MemoryUsage,
// MemoryWorkingSet and MemorySwap, which cgroup v2 has for every cgroup but the root: all
// memory that isn't free, and that isn't available to new work, and all swap that isn't free.
func (n *Node) Read(s *metric.Sample, slow bool) error {
	if !n.begun {
		n.begun = true
		if !s.Read(metric.PerCPU) {
			n.takeCPUs()
		}
		if _, used := s.Get(metric.MemoryUsage); !used {
			n.takeMemory()
		}
	}
	var failed error
	for i := range n.files {
		file := &n.files[i]
		if file.slow && !slow {
			continue
		}
		if err := n.readFile(file, s); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if n.net != nil {
		if err := n.net.Read(s); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (n *Node) readFile(file *nodeFile, s *metric.Sample) (err error) {
	s.Forget(&file.forget)
	err = n.load(file)
	switch {
	case err != nil:
		return &os.PathError{Op: "read", Path: n.root + "/" + file.name, Err: err}
	case len(n.buf) == 0 && !file.mayBeEmpty:
		return fmt.Errorf("%s/%s is empty", n.root, file.name)
	}
	if bad := file.parse(n.buf, s); bad != nil {
		return fmt.Errorf("%s/%s: can't make sense of %q", n.root, file.name, clip(bad))
	}
	return nil
}

// Hung returns how many of the node's files don't answer now. Any goroutine may ask.
func (n *Node) Hung() int {
	if n.foreign == nil {
		return 0
	}
	return n.foreign.Hung()
}

// load reads the text of a file into n.buf. In a system container lxcfs puts files of its own
// over some of the kernel's, and may hang: then these have no numbers, and all others have.
func (n *Node) load(file *nodeFile) (err error) {
	if file.place == nil {
		n.buf, err = readAll(file.fd, n.buf)
		return err
	}
	if n.foreign == nil {
		n.foreign = hang.New(maxHung)
	}
	n.buf = slices.Grow(n.buf[:0], foreignText)
	fd := file.fd
	got, err := n.foreign.Read(file.place, n.buf[:foreignText], func(b []byte) (int, error) {
		text, err := readAll(fd, b[:0:len(b)-1])
		if len(text) >= len(b) {
			return 0, unix.EFBIG
		}
		return len(text), err
	})
	n.buf = n.buf[:got]
	return err
}

// takeCPUs lets Read fill the rows of the CPUs too.
func (n *Node) takeCPUs() {
	for i := range n.files {
		if file := &n.files[i]; file.name == "stat" {
			file.parse = parseStatWithCPUs
			file.forget.Add(metric.CPUUsagePerCPU)
		}
	}
}

// takeMemory lets Read put the memory in use, too.
func (n *Node) takeMemory() {
	for i := range n.files {
		if file := &n.files[i]; file.name == "meminfo" {
			file.parse = parseMeminfoWithUsage
			file.forget.Add(metric.MemoryUsage)
			file.forget.Add(metric.MemoryWorkingSet)
			file.forget.Add(metric.MemorySwap)
		}
	}
}

// Close closes all files of n, which may then not be used.
func (n *Node) Close() error {
	for i := range n.files {
		unix.Close(n.files[i].fd)
	}
	if n.net == nil {
		return nil
	}
	return n.net.Close()
}
