package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/hang"
)

// ErrGone means that the cgroup doesn't exist any more. A cgroup made again at the same
// path is another one: it needs a Reader of its own.
var ErrGone = errors.New("cgroup is gone")

// Options say where to look. The zero value is the machine that the process runs on.
type Options struct {
	// ProcRoot is where procfs is mounted, "/proc" if empty. Its self/mountinfo tells
	// the mounts that this process sees.
	ProcRoot string
	// CgroupRoot is the directory at or below which the cgroup mounts are looked
	// for, "/sys/fs/cgroup" if empty.
	CgroupRoot string
	// MaxDescriptors bounds the descriptors that are kept open. What exceeds it is
	// opened at each read instead, at about four times the cost. 0 is half of
	// RLIMIT_NOFILE; a negative number keeps none.
	MaxDescriptors int
	// SysRoot is where sysfs is mounted, "/sys" if empty. It has the sizes of huge pages.
	SysRoot string
	// HugePages, NUMA and MemoryMigrate read what few ask for, and what costs nothing
	// otherwise: the hugetlb controller, memory.numa_stat, v1's cpuset.memory_migrate.
	HugePages, NUMA, MemoryMigrate bool
	// DeviceName names a block device ("nvme0n1"), or returns "" where it can't.
	// It is asked once for each device of a sample. nil names none.
	DeviceName func(major, minor uint32) string
}

// Mode is which versions of cgroups the machine uses.
type Mode uint8

const (
	// V1 is cgroup v1 alone.
	V1 Mode = iota
	// V2 is cgroup v2 alone.
	V2
	// Hybrid is v1 with its controllers, and a v2 mount beside it that has none of
	// them. Only pressure is read from the latter.
	Hybrid
)

// String returns "v1", "v2" or "hybrid".
func (m Mode) String() string { return [...]string{"v1", "v2", "hybrid"}[m] }

// Hierarchy is the cgroup mounts of a machine, open.
type Hierarchy struct {
	mode   Mode
	kernel kernel
	// rows are the files that are read, and layouts what was learned of each.
	rows    []row
	layouts []layout
	// span are the rows of each controller: rows[span[c].first:span[c].end].
	span [numControllers]struct{ first, end int }
	// mounts are the directories that are mounted, and mountOf the one of each
	// controller, -1 where there is none. primary is the one that the tree walks.
	mounts  []mount
	mountOf [numControllers]int
	primary int
	// notifies tells that the kernel knows of all changes in primary.
	notifies bool
	// numbers are all sets of numbers that Readers have: some, because the same files are
	// there in all cgroups, but for a few kinds of exception.
	numbers []*passNumbers
	// keeps is how many descriptors a Reader keeps at most.
	keeps int

	sink    sink
	scratch []byte
	stat    unix.Stat_t

	maxDescriptors int64
	kept           atomic.Int64
	reopening      atomic.Int64

	// failures has a counter for each of rows.
	failures []failureCounter
	// foreign are the reads of files in mounts that aren't the kernel's.
	foreign *hang.Reads

	lacksMu sync.Mutex
	lacks   []Lack // guarded by lacksMu
}

// mount is one mounted hierarchy.
type mount struct {
	path string
	dir  file
	// foreign tells that it isn't the kernel's, and that a read of its files may hang.
	foreign bool
}

// maxHung is how many reads may hang at once, each with a thread. With those of the node's
// own files there are never more than 32.
const maxHung = 22

// Open finds the cgroup mounts and opens them. The caller closes the Hierarchy, after
// what was made from it.
func Open(o Options) (*Hierarchy, error) {
	k, err := runningKernel()
	if err != nil {
		return nil, fmt.Errorf("asking for the kernel's version: %w", err)
	}
	return open(o, k)
}

// open is Open on a kernel of version k.
func open(o Options, k kernel) (*Hierarchy, error) {
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	if o.SysRoot == "" {
		o.SysRoot = "/sys"
	}
	if o.CgroupRoot == "" {
		o.CgroupRoot = "/sys/fs/cgroup"
	}
	// Mount points are listed by their real paths.
	if real, err := filepath.EvalSymlinks(o.CgroupRoot); err == nil {
		o.CgroupRoot = real
	}
	m, err := findMounts(filepath.Join(o.ProcRoot, "self/mountinfo"), filepath.Clean(o.CgroupRoot))
	if err != nil {
		return nil, err
	}
	h := &Hierarchy{
		kernel:         k,
		scratch:        make([]byte, scratchSize),
		foreign:        hang.New(maxHung),
		sink:           sink{device: o.DeviceName},
		maxDescriptors: int64(max(o.MaxDescriptors, 0)),
	}
	if o.MaxDescriptors == 0 {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return nil, fmt.Errorf("asking for the limit of open files: %w", err)
		}
		h.maxDescriptors = int64(min(limit.Cur/2, 1<<30))
	}
	if err := h.choose(&m, &o); err != nil {
		return nil, fmt.Errorf("%w at or below %s: bind-mount the host's cgroups there (-v /sys/fs/cgroup:%s:ro)", err, o.CgroupRoot, o.CgroupRoot)
	}
	if err := h.openMounts(); err != nil {
		h.Close()
		return nil, err
	}
	h.notifies = !h.mounts[h.primary].foreign
	h.examine(&m, &o)
	h.rows = compile(h.rows)
	h.layouts = make([]layout, len(h.rows))
	h.failures = make([]failureCounter, len(h.rows))
	h.keeps = len(h.mounts)
	for i := range h.rows {
		r := &h.rows[i]
		if i == 0 || h.rows[i-1].controller != r.controller {
			h.span[r.controller].first = i
		}
		h.span[r.controller].end = i + 1
		// Of the groups, one is kept, which has as many files as the first.
		if r.pass != seldom && r.group <= 1 {
			h.keeps++
		}
	}
	return h, nil
}

// choose decides between the versions and sets mode, rows, mounts and mountOf.
func (h *Hierarchy) choose(m *mounts, o *Options) error {
	inV1, inV2 := 0, 0
	for c, path := range m.v1 {
		// cpuacct has no counterpart in v2 to be counted against, and hugetlb says nothing
		// of where the others are.
		if path != "" && controller(c) != cpuacct && controller(c) != hugetlb {
			inV1++
		}
	}
	if m.unified != "" {
		offered, err := m.controllers()
		if err != nil && inV1 == 0 {
			return fmt.Errorf("no readable cgroup2 mount: %w; it was looked for", err)
		}
		for c, is := range offered {
			if is && controller(c) != hugetlb {
				inV2++
			}
		}
	}
	for c := range h.mountOf {
		h.mountOf[c] = -1
	}
	switch {
	case m.unified == "" && inV1 == 0 && m.v1[cpuacct] == "":
		return errors.New("no cgroup hierarchy is mounted")
	case m.unified != "" && inV2 >= inV1:
		h.mode = V2
		for c, name := range v2Names {
			if name != "" || controller(c) == core {
				h.mountOf[c] = h.addMount(m.unified)
			}
		}
		h.rows = append(v2Rows()[:1:1], append(pressureRows(), o.wanted(v2Rows()[1:])...)...)
		if o.HugePages {
			h.rows = append(h.rows, hugePageRows(hugePageSizes(o.SysRoot), true, h.kernel)...)
		}
		h.primary = h.mountOf[core]
		return nil
	case m.unified != "":
		h.mode = Hybrid
		h.mountOf[core] = h.addMount(m.unified)
		h.rows = pressureRows()
	}
	for c, path := range m.v1 {
		if path != "" && (controller(c) != hugetlb || o.HugePages) {
			h.mountOf[c] = h.addMount(path)
		}
	}
	rows := o.wanted(v1Rows(h.kernel))
	if o.HugePages {
		rows = append(rows, hugePageRows(hugePageSizes(o.SysRoot), false, h.kernel)...)
	}
	for _, r := range rows {
		if h.mountOf[r.controller] >= 0 {
			h.rows = append(h.rows, r)
		}
	}
	for _, c := range [...]controller{cpuset, blockIO, pids, cpu, cpuacct, memory} { // the last one wins
		if h.mountOf[c] >= 0 {
			h.primary = h.mountOf[c]
		}
	}
	return nil
}

// addMount returns the index of the mount at path, which it adds if it is new.
func (h *Hierarchy) addMount(path string) int {
	if i := slices.IndexFunc(h.mounts, func(m mount) bool { return m.path == path }); i >= 0 {
		return i
	}
	h.mounts = append(h.mounts, mount{path: path, dir: none})
	return len(h.mounts) - 1
}

func (h *Hierarchy) openMounts() error {
	for i := range h.mounts {
		m := &h.mounts[i]
		fd, err := unix.Open(m.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening the cgroup mount %s: %w", m.path, err)
		}
		m.dir = file(fd)
		m.foreign = hang.May(fd)
	}
	return nil
}

// examine notes what the mounts can't give, and drops the rows that can't be read.
func (h *Hierarchy) examine(m *mounts, o *Options) {
	unasked := func(c int) bool { return controller(c) == hugetlb && !o.HugePages }
	if h.mode == V2 {
		offered, _ := m.controllers() // was readable in choose
		for c, name := range v2Names {
			if name != "" && !offered[c] && !unasked(c) {
				h.lack(Lack{LackController, name, "the controller " + name + " is not offered by the cgroup2 mount " + m.unified, bootFlag(name)})
			}
			if m.v1[c] != "" && !unasked(c) {
				h.lack(Lack{LackOther, name, "the v1 mount " + m.v1[c] + " is ignored, because most controllers are in cgroup2", ""})
			}
		}
	} else {
		var inV2 [numControllers]bool
		if m.unified != "" {
			inV2, _ = m.controllers()
		}
		for c, name := range v1Names {
			if name == "" || h.mountOf[c] >= 0 || unasked(c) {
				continue
			}
			otherwise := bootFlag(name)
			if inV2[c] { // as all that aren't mounted; a boot flag keeps them there
				otherwise = "where that is refused remove " + name + " from the boot flag cgroup_no_v1"
			}
			h.lack(Lack{LackController, name, "the v1 controller " + name + " is not mounted",
				"mount -t cgroup -o " + name + " " + name + " /sys/fs/cgroup/" + name + ", or " + otherwise})
		}
	}
	if h.mountOf[hugetlb] >= 0 && o.HugePages && !slices.ContainsFunc(h.rows, func(r row) bool { return r.controller == hugetlb }) {
		h.lack(Lack{LackOther, "hugetlb", "there are no huge pages", o.SysRoot + "/kernel/mm/hugepages has no sizes; use a kernel with CONFIG_HUGETLBFS"})
	}
	if c := h.mountOf[core]; c < 0 {
		h.lack(Lack{LackPressure, "", "pressure (PSI) needs a cgroup2 mount", "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"})
	} else if why := h.pressure(h.mounts[c].dir); why != "" {
		h.lack(Lack{LackPressure, "", "pressure (PSI) is not available", why})
		h.rows = slices.DeleteFunc(h.rows, func(r row) bool { return r.shape == shapePressure })
	}
	for i := range h.mounts {
		if !h.trueRoot(i) {
			h.lack(Lack{LackRoot, h.mounts[i].path, "the mount " + h.mounts[i].path + " shows a part of the cgroups only", "bind-mount the host's /sys/fs/cgroup instead of a container's own"})
		}
	}
}

// bootFlag says what else than a mount brings a controller.
func bootFlag(controller string) string {
	if controller == "memory" {
		return "boot with cgroup_enable=memory"
	}
	return "remove cgroup_disable=" + controller + " from the boot flags, or use a kernel that has it"
}

// pressure tells why dir has no pressure files; "" when it has.
func (h *Hierarchy) pressure(dir file) string {
	f, errno := dir.openat("cpu.pressure\x00", 0)
	if errno == 0 {
		// A kernel where PSI is compiled in but off makes files that can't be read
		// (before Linux 5.2) or none.
		_, errno = f.read(h.scratch, false)
		f.close()
	}
	switch {
	case errno == 0:
		return ""
	case errno == unix.EACCES || errno == unix.EPERM:
		return "cpu.pressure: " + errno.Error()
	case !h.kernel.atLeast(4, 20):
		return "it came with Linux 4.20, this is " + h.kernel.String()
	}
	return "boot with psi=1, or use a kernel with CONFIG_PSI"
}

// trueRoot tells whether a mount begins at the machine's root cgroup, by a file that
// the kernel makes there only (v1 release_agent) or everywhere else (v2 cgroup.type).
func (h *Hierarchy) trueRoot(i int) bool {
	name, want := cname("release_agent\x00"), true
	if i == h.mountOf[core] {
		name, want = "cgroup.type\x00", false
	}
	f, errno := h.mounts[i].dir.openat(name, unix.O_PATH)
	f.close()
	return errno == 0 == want
}

// Close closes the mounts. Readers and trees are closed by themselves, before.
func (h *Hierarchy) Close() {
	for i := range h.mounts {
		h.mounts[i].dir.close()
	}
}

// Mode returns which versions of cgroups are in use.
func (h *Hierarchy) Mode() Mode { return h.mode }

// Failure is how often a file could not be read or made no sense. What it would have
// told was absent then.
type Failure struct {
	// File is the name of the file, such as "memory.stat".
	File  string
	Count uint64
	// First is the first failure: the cgroup and the reason, with the text that made
	// no sense.
	First string
}

// failureCounter is written by the reading goroutine and read by any.
type failureCounter struct {
	count atomic.Uint64
	first atomic.Pointer[string]
}

// Failures returns the files that failed at least once. The caller owns the slice.
func (h *Hierarchy) Failures() []Failure {
	var all []Failure
	for i := range h.failures {
		c := &h.failures[i]
		n := c.count.Load()
		if n == 0 {
			continue
		}
		f := Failure{File: h.rows[i].name, Count: n}
		if first := c.first.Load(); first != nil {
			f.First = *first
		}
		all = append(all, f)
	}
	return all
}

// fail counts that the file of row i in the cgroup path could not be read.
func (h *Hierarchy) fail(i int, path string, errno unix.Errno) {
	c := &h.failures[i]
	if c.count.Add(1) == 1 {
		first := path + ": " + errno.Error()
		switch errno {
		case unix.EFBIG:
			first = path + ": longer than " + strconv.Itoa(scratchSize) + " bytes"
		case errHung:
			first = path + ": no answer"
		}
		c.first.Store(&first)
	}
}

// failParse counts that the text b of the file of row i made no sense from bad on.
func (h *Hierarchy) failParse(i int, path string, b []byte, bad int) {
	c := &h.failures[i]
	if c.count.Add(1) == 1 {
		const show = 60
		first := path + ": no " + h.rows[i].name + " at byte " + strconv.Itoa(bad) + ": " + strconv.Quote(string(b[bad:min(len(b), bad+show)]))
		c.first.Store(&first)
	}
}

// Hung returns how many reads of files hang now. Those of the kernel don't.
func (h *Hierarchy) Hung() int { return h.foreign.Hung() }

// Descriptors is the state of the descriptor budget.
type Descriptors struct {
	// Kept are set aside for readers and trees, of Max that may be.
	Kept, Max int
	// Reopening are the readers that open their files at each Read, because the
	// budget was used up when they were opened.
	Reopening int
}

// Descriptors returns the state of the descriptor budget.
func (h *Hierarchy) Descriptors() Descriptors {
	return Descriptors{Kept: int(h.kept.Load()), Max: int(h.maxDescriptors), Reopening: int(h.reopening.Load())}
}

// reserve sets n descriptors aside, if the budget has them.
func (h *Hierarchy) reserve(n int) bool {
	if h.kept.Load()+int64(n) > h.maxDescriptors {
		return false
	}
	h.kept.Add(int64(n))
	return true
}

func (h *Hierarchy) release(n int) { h.kept.Add(-int64(n)) }

// relative returns path as openDir wants it. It refuses what isn't a clean absolute path.
func relative(path string) (cname, error) {
	if !strings.HasPrefix(path, "/") || filepath.Clean(path) != path || strings.ContainsRune(path, 0) {
		return "", &os.PathError{Op: "cgroup", Path: path, Err: unix.EINVAL}
	}
	return toCName(path[1:]), nil
}
