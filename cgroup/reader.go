package cgroup

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/hang"
	"github.com/swarmgauge/swarmgauge/metric"
)

// Reader reads one cgroup. It belongs to the goroutine of its Hierarchy.
type Reader struct {
	h    *Hierarchy
	path string
	rel  cname // path below a mount
	root bool

	// kept tells that descriptors are kept between Reads, all of them; otherwise
	// none is.
	kept bool
	dirs []directory // one for each mount of h
	// files has an entry for each row of h.
	files []source
	// off are the controllers that are not switched on for the cgroup.
	off [numControllers]bool
	// group is the group of files that has data, 0 while none has.
	group   uint8
	created time.Time
	// young counts down the first Reads, in which everything is looked for again: a
	// runtime makes the directories of a cgroup one after the other.
	young int

	// numbers are what the files of each pass have: the Hierarchy's, which all Readers with
	// the same files share.
	numbers *passNumbers

	// What the pulses said last, since when they say it, and when all files were read
	// last, in the time of samples.
	cpu, usage      uint64
	since, complete int64
	// stalled is what the totals of pressure added up to, at the last Read that looked.
	stalled uint64

	// careful counts down the Reads after a slow one, in which Go's scheduler is told of
	// each system call.
	careful int
	// foreign is where a file is read that may hang.
	foreign hang.Place
}

// directory is the cgroup's directory in one mount.
type directory struct {
	fd file
	// inode is 0 while the cgroup doesn't exist in this mount.
	inode uint64
}

// source is one file of the cgroup.
type source struct {
	fd    file // none where it is opened at each read
	state state
	pass  pass
}

// state is what is known of a file.
type state uint8

const (
	// absent: the kernel doesn't make it for this cgroup, or not now.
	absent state = iota
	// unreadable: it is there, but reading it failed; it is tried again on slow Reads.
	unreadable
	readable
)

// youth is for how many Reads a Reader counts as new.
const youth = 3

const (
	// slowRead is a Read that took so long that the next ones are careful: the kernel adds
	// up memory.stat of a cgroup with many dead ones below it for seconds (google/cadvisor
	// #1774).
	slowRead = 20 * time.Millisecond
	// carefulReads are the Reads that are careful after a slow one.
	carefulReads = 100
)

// OpenReader opens the files of the cgroup at path, which is below the mount of each
// hierarchy ("/" is the root). It returns ErrGone if there is no such cgroup in the
// hierarchy that Tree walks, or another one has come to the path than the instance that Tree
// has told of; 0 is any.
func (h *Hierarchy) OpenReader(path string, instance uint64) (*Reader, error) {
	rel, err := relative(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{
		h: h, path: path, rel: rel, root: path == metric.Root, young: youth,
		dirs:  make([]directory, len(h.mounts)),
		files: make([]source, len(h.rows)),
	}
	for i := range r.dirs {
		r.dirs[i].fd = none
	}
	r.dirs[h.primary].inode = instance // openDir compares them
	for i := range r.files {
		row := &h.rows[i]
		r.files[i] = source{fd: none, pass: row.pass}
		if r.root && row.seldomInRoot {
			r.files[i].pass = seldom
		}
	}
	r.kept = h.reserve(h.keeps)
	if !r.kept {
		h.reopening.Add(1)
		h.lack(Lack{LackDescriptors, "", fmt.Sprintf("the budget of %d descriptors is used up", h.maxDescriptors), "further cgroups are opened at each read; raise the limit of open files (ulimit -n)"})
	}
	if errno := r.openDir(h.primary); errno != 0 {
		r.Close()
		if errno == unix.ENOENT || errno == unix.ENODEV {
			return nil, ErrGone
		}
		return nil, fmt.Errorf("opening the cgroup %s below %s: %w", path, h.mounts[h.primary].path, errno)
	}
	for c := range r.off {
		r.openController(controller(c))
	}
	if !alive(r.dirs[h.primary].fd) {
		// What was opened meanwhile in other hierarchies may be another cgroup's.
		r.Close()
		return nil, ErrGone
	}
	r.lookUpCreated()
	r.putDown()
	return r, nil
}

// Path returns the cgroup's path.
func (r *Reader) Path() string { return r.path }

// Close closes what is open. It may be called more than once.
func (r *Reader) Close() {
	if r.h == nil {
		return
	}
	for i := range r.files {
		r.files[i].fd.close()
	}
	for i := range r.dirs {
		r.dirs[i].fd.close()
	}
	if r.kept {
		r.h.release(r.h.keeps)
	} else {
		r.h.reopening.Add(-1)
	}
	r.h = nil
}

// Read reads the cgroup into s, which is the sample that the last Read filled or a copy of
// it. The numbers that s holds from before are forgotten as far as this Read reads them,
// so that s holds what was read now, or nothing; with slow, also what rarely changes or is
// costly is read: limits, settings, peaks, and memory.stat of the root. Files that can't
// have changed are not read, and their numbers stay (see quiet). Time, which is now, and
// numbers that no cgroup file has, are left alone.
//
// A file that can't be read, or that makes no sense, costs its own numbers only and is
// counted (Hierarchy.Failures). Read returns ErrGone, and nothing else, when the cgroup
// doesn't exist any more; s is of no use then.
func (r *Reader) Read(s *metric.Sample, slow bool) error {
	h, began := r.h, time.Now()
	h.sink.reset(s)
	if errno := r.pickUp(); errno != 0 {
		return ErrGone
	}
	defer r.putDown()
	complete := slow || r.young > 0
	if complete {
		r.reconsider(slow)
	}
	if !r.readPass(pulses, slow) {
		return ErrGone
	}
	calm := r.calm(s)
	_, limited := s.Get(metric.CPUQuota)
	complete = !r.quiet(s) || complete
	if !r.readPass(moving, slow) ||
		(complete || !calm) && !r.readPass(stalls, slow) ||
		(complete || limited) && !r.readPass(throttling, slow) ||
		complete && !r.readPass(standing, slow) ||
		slow && !r.readPass(seldom, slow) {
		return ErrGone
	}
	if complete {
		r.complete = s.Time
	}
	h.sink.derive()
	r.careful = max(r.careful-1, 0)
	if time.Since(began) > slowRead {
		r.careful = carefulReads
	}
	return nil
}

// readPass reads the files of one pass. It returns false if the cgroup is gone.
func (r *Reader) readPass(p pass, slow bool) bool {
	h := r.h
	h.sink.sample.Forget(&r.numbers[p])
	for i := range r.files {
		f := &r.files[i]
		if f.pass != p || f.state == absent || f.state == unreadable && !slow {
			continue
		}
		n, errno := r.load(i)
		if errno != 0 {
			if !r.lost(i, errno) {
				return false
			}
			continue
		}
		f.state = readable
		row, l := &h.rows[i], &h.layouts[i]
		if r.root {
			// The root cgroup's files differ from those of all others.
			l = nil
		}
		if bad := h.sink.parse(row, h.scratch[:n], l); bad != parsed {
			h.failParse(i, r.path, h.scratch[:n], bad)
			h.sink.forget(row)
			continue
		}
		h.sink.stat = h.sink.stat || row.name == "memory.stat"
	}
	return true
}

const (
	// settleTime is how long the pulses have to be the same before a cgroup is quiet: the
	// kernel sums up memory.stat every two seconds, and between only for much at once.
	settleTime = int64(5 * time.Second)
	// completeTime is how seldom everything is read of a quiet cgroup, too. What the
	// pulses don't show is late by no more: pages that only change lists, or that a
	// process of another cgroup unmaps.
	completeTime = int64(10 * time.Second)
)

// quiet tells whether nothing has happened in the cgroup for a while: no CPU time was used
// and memory usage is the same, and no page waits for the kernel to write it. Most containers
// of a node wait for something most of the time, and without the files that stand still
// then, a Read costs a seventh (13.5 µs against 1.9, BenchmarkLiveRead and
// BenchmarkLiveReadQuiet on cgroup v1).
func (r *Reader) quiet(s *metric.Sample) bool {
	cpu, ok1 := s.Get(metric.CPUUsage)
	usage, ok2 := s.Get(metric.MemoryUsage)
	dirty, _ := s.Get(metric.MemoryDirty)
	writeback, _ := s.Get(metric.MemoryWriteback)
	if !ok1 || !ok2 || cpu != r.cpu || usage != r.usage || dirty > 0 || writeback > 0 || s.Time < r.since {
		r.cpu, r.usage, r.since = cpu, usage, s.Time
		return false
	}
	return s.Time-r.since >= settleTime && s.Time-r.complete < completeTime
}

// calm tells whether the pressure that s holds from the last Read was at rest: the totals
// were those of the Read before, and the shortest averages have come down to nothing. In a
// quiet cgroup it stays so, because a stall begins with something that runs.
func (r *Reader) calm(s *metric.Sample) bool {
	stalled, average := uint64(0), uint64(0)
	for _, some := range [...]metric.ID{metric.PressureCPUSome, metric.PressureMemorySome, metric.PressureIOSome} {
		total, _ := s.Get(some)
		avg10, _ := s.Get(some + 1)
		stalled, average = stalled+total, average+avg10
	}
	same := stalled == r.stalled
	r.stalled = stalled
	return same && average == 0
}

// load reads the file of row i into the scratch buffer.
func (r *Reader) load(i int) (n int, errno unix.Errno) {
	if r.mayHang(i) {
		return r.loadForeign(i)
	}
	f, quick := &r.files[i], r.careful == 0
	if f.fd != none {
		return f.fd.read(r.h.scratch, quick)
	}
	fd, errno := r.dir(i).openat(r.h.rows[i].file, 0)
	if errno != 0 {
		return 0, errno
	}
	if r.keeps(i) {
		f.fd = fd // it was unreadable before
		return f.fd.read(r.h.scratch, quick)
	}
	n, errno = fd.read(r.h.scratch, quick)
	fd.close()
	return n, errno
}

// loadForeign is load for a file that isn't the kernel's, and may hang when it is opened,
// read or closed. One at a time may: while it does, the cgroup has no numbers from that
// mount, and others have theirs.
func (r *Reader) loadForeign(i int) (int, unix.Errno) {
	dir, name := r.dir(i), r.h.rows[i].file
	n, err := r.h.foreign.Read(&r.foreign, r.h.scratch, func(b []byte) (int, error) {
		fd, errno := dir.openat(name, 0)
		if errno != 0 {
			return 0, errno
		}
		defer fd.close()
		n, errno := fd.read(b, false)
		if errno != 0 {
			return 0, errno
		}
		return n, nil
	})
	switch {
	case err == hang.ErrHung:
		return 0, errHung
	case err != nil:
		return 0, toErrno(err)
	}
	return n, 0
}

// errHung is how load says that a file hangs.
const errHung = unix.ETIMEDOUT

// mayHang tells whether the file of row i isn't the kernel's own.
func (r *Reader) mayHang(i int) bool { return r.h.mounts[r.h.mountOf[r.h.rows[i].controller]].foreign }

// dir returns the directory of the file of row i.
func (r *Reader) dir(i int) file { return r.dirs[r.h.mountOf[r.h.rows[i].controller]].fd }

// keeps tells whether the descriptor of row i is kept. Slow files are not: they would
// double the descriptors for a tenth of the time.
func (r *Reader) keeps(i int) bool { return r.kept && r.files[i].pass != seldom && !r.mayHang(i) }

// lost decides what became of the file of row i, which could not be read. It returns
// false if the whole cgroup is gone.
func (r *Reader) lost(i int, errno unix.Errno) bool {
	f, row := &r.files[i], &r.h.rows[i]
	r.h.sink.forget(row)
	f.fd.close()
	switch errno {
	case unix.ENODEV, unix.ENOENT:
		if m := r.h.mountOf[row.controller]; !alive(r.dirs[m].fd) {
			if !alive(r.dirs[r.h.primary].fd) {
				return false
			}
			r.drop(m)
			// What was found in its place is another cgroup's if this one has ended meanwhile.
			return alive(r.dirs[r.h.primary].fd)
		}
		// The cgroup lives without the file: the kernel hasn't got it, or v2's
		// controller was switched off. Slow Reads see to the latter.
		f.state = absent
		if r.h.mode == V2 && !r.root && i == r.h.span[row.controller].first {
			r.off[row.controller] = true
		} else if !r.off[row.controller] && !r.root {
			r.h.lackFile(row)
		}
		r.settle()
	case unix.EOPNOTSUPP:
		f.state = absent
		r.settle()
	case errHung:
		r.h.fail(i, r.path, errno) // it is asked again next time
	default:
		f.state = unreadable
		r.h.fail(i, r.path, errno)
	}
	return true
}

// drop gives up the directory in mount m, which is gone while the cgroup is not. A
// runtime removes the directories of a cgroup one after the other, and may make one anew.
func (r *Reader) drop(m int) {
	r.dirs[m].fd.close()
	r.dirs[m].inode = 0
	for c, of := range r.h.mountOf {
		if of == m {
			r.openController(controller(c))
		}
	}
}

// alive tells whether the directory dir still is that of a cgroup. Nothing can be
// opened below a removed one, also when its path exists again.
func alive(dir file) bool {
	f, errno := dir.openat("cgroup.procs\x00", unix.O_PATH)
	f.close()
	return errno != unix.ENOENT && errno != unix.ENODEV
}

// pickUp opens the directories for one Read, if they are not kept.
func (r *Reader) pickUp() unix.Errno {
	if r.kept {
		return 0
	}
	for m := range r.dirs {
		if r.dirs[m].inode == 0 {
			continue
		}
		errno := r.openDir(m)
		if errno != 0 && m == r.h.primary {
			r.putDown()
			return errno
		}
		if errno != 0 {
			r.drop(m)
		}
	}
	return 0
}

// putDown closes the directories after one Read, if they are not kept.
func (r *Reader) putDown() {
	if r.kept {
		return
	}
	for m := range r.dirs {
		r.dirs[m].fd.close()
	}
}

// openDir opens the cgroup's directory in mount m. Another cgroup that has come to its
// path is ENOENT.
func (r *Reader) openDir(m int) unix.Errno {
	d := &r.dirs[m]
	fd, errno := r.h.mounts[m].dir.openDir(r.rel)
	if errno != 0 {
		return errno
	}
	inode, _, errno := fd.stat(&r.h.stat)
	if errno == 0 && d.inode != 0 && d.inode != inode {
		errno = unix.ENOENT
	}
	if errno != 0 {
		fd.close()
		return errno
	}
	d.fd, d.inode = fd, inode
	return 0
}

// reconsider looks again for what was not there, and for descriptors that have become
// free.
func (r *Reader) reconsider(slow bool) {
	h := r.h
	r.young = max(r.young-1, 0)
	if slow && !r.kept && h.reserve(h.keeps) {
		r.kept = true
		h.reopening.Add(-1)
		for c := range r.off {
			r.openController(controller(c))
		}
		return
	}
	for c, off := range r.off {
		// Pressure of a hybrid may end as well as begin.
		if off || h.mode == Hybrid && controller(c) == core {
			r.openController(controller(c))
		}
	}
	if r.group == 0 && !r.off[blockIO] && h.span[blockIO].end > 0 && h.mode != V2 {
		r.openController(blockIO)
	}
}

// openController finds out which files of c there are, and opens those that are kept.
func (r *Reader) openController(c controller) {
	h := r.h
	span := h.span[c]
	if span.end == 0 {
		return
	}
	defer r.settle()
	m := h.mountOf[c]
	r.off[c] = r.dirs[m].fd == none && r.openDir(m) != 0
	if !r.off[c] && h.mode == Hybrid && c == core && !r.root {
		r.off[c] = !h.populated(r.dirs[m].fd)
	}
	if c == blockIO && h.mode != V2 && !r.off[c] {
		r.group = r.chooseGroup()
	}
	for i := span.first; i < span.end; i++ {
		f, row := &r.files[i], &h.rows[i]
		if r.off[c] || row.group != 0 && row.group != r.group {
			if f.state != absent { // never so in OpenReader, when there is no sample yet
				h.sink.forget(row)
			}
			f.fd.close()
			f.state = absent
			continue
		}
		if f.fd != none {
			continue
		}
		flags := 0
		if r.mayHang(i) {
			flags = unix.O_PATH // is it there?
		}
		fd, errno := r.dir(i).openat(row.file, flags)
		switch {
		case errno == 0:
			f.state = readable
			if r.keeps(i) {
				f.fd = fd
			} else {
				fd.close()
			}
		case errno != unix.ENOENT && errno != unix.ENODEV:
			f.state = unreadable
			h.fail(i, r.path, errno)
		case h.mode == V2 && !r.root && i == span.first:
			r.off[c] = true
		case !r.root:
			h.lackFile(row)
		}
	}
}

// populated tells whether a cgroup of a hybrid's cgroup2 mount, or one below it, has
// processes. The path may exist there without any, when the runtime put them into v1
// only; pressure would be a zero that nobody measured. The file is
//
//	populated 1
//	frozen 0
//
// (cgroup-v2.rst). The root hasn't got it, and has all processes.
func (h *Hierarchy) populated(dir file) bool {
	f, errno := dir.openat("cgroup.events\x00", 0)
	if errno != 0 {
		return false
	}
	defer f.close()
	n, errno := f.read(h.scratch, false)
	return errno == 0 && hasPrefixAt(h.scratch[:n], 0, "populated 1\n")
}

// chooseGroup returns the first group of blkio files that has data, or 0.
func (r *Reader) chooseGroup() uint8 {
	span := r.h.span[blockIO]
	for i := span.first; i < span.end; i++ {
		row := &r.h.rows[i]
		if i > span.first && row.group == r.h.rows[i-1].group {
			continue
		}
		f, errno := r.dir(i).openat(row.file, 0)
		if errno != 0 {
			continue
		}
		n, errno := f.read(r.h.scratch, false)
		f.close()
		if errno == 0 && hasDevice(r.h.scratch[:n]) {
			return row.group
		}
	}
	return 0
}

// settle works out which numbers this Reader reads. Those of files that are not there
// are not among them: others may know them.
func (r *Reader) settle() {
	var numbers passNumbers
	for i := range r.files {
		if f := &r.files[i]; f.state != absent {
			addAll(&numbers[f.pass], &r.h.rows[i].ids)
		}
	}
	for _, known := range r.h.numbers {
		if *known == numbers {
			r.numbers = known
			return
		}
	}
	further := numbers // only this one is allocated
	r.numbers = &further
	r.h.numbers = append(r.h.numbers, r.numbers)
}

// passNumbers are the numbers that the files of each pass have.
type passNumbers [numPasses]metric.Set

// addAll adds the IDs of from to those of to.
func addAll(to, from *metric.Set) {
	for per := range to {
		for word := range to[per] {
			to[per][word] |= from[per][word]
		}
	}
}

// AppendPids appends the processes of the cgroup itself, without those of its
// descendants, in no order, and returns the extended slice. It returns ErrGone if the
// cgroup doesn't exist any more.
//
// Pids are those of the reader's PID namespace. Processes outside of it are left out:
// v2 prints 0 for them, v1 nothing. A threaded cgroup of v2 has none of its own.
func (r *Reader) AppendPids(dst []int) ([]int, error) {
	if !r.kept {
		if errno := r.openDir(r.h.primary); errno != 0 {
			return dst, ErrGone
		}
		defer r.putDown()
	}
	f, errno := r.dirs[r.h.primary].fd.openat("cgroup.procs\x00", 0)
	if errno != 0 {
		return dst, pidsError(r.path, errno)
	}
	defer f.close()
	dst, errno = appendPids(dst, f, r.h.scratch)
	if errno != 0 {
		return dst, pidsError(r.path, errno)
	}
	return dst, nil
}

// appendPids reads the descriptor f to its end; the list may exceed the buffer. A threaded
// cgroup of v2 has no processes of its own.
func appendPids(dst []int, f file, buf []byte) ([]int, unix.Errno) {
	have := 0
	for {
		n, err := unix.Read(int(f), buf[have:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EOPNOTSUPP:
			return dst, 0
		case err != nil:
			return dst, toErrno(err)
		case n == 0:
			return dst, 0
		}
		have += n
		var used int
		dst, used = appendPidLines(dst, buf[:have])
		have = copy(buf, buf[used:have])
	}
}

// appendPidLines appends the numbers of the whole lines in b and returns how many
// bytes these lines have. A line that is no number is left out.
func appendPidLines(dst []int, b []byte) (pids []int, used int) {
	for {
		next := nextLine(b, used)
		if next < 0 {
			return dst, used
		}
		if pid, end := number(b, used); end == next-1 && pid > 0 && pid < 1<<31 {
			dst = append(dst, int(pid))
		}
		used = next
	}
}
