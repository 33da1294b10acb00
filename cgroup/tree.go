package cgroup

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// MaxDepth is how deep below the root cgroups are followed. Docker in Docker takes two or
// three levels each time, so that what ends here is somebody's mistake, who makes cgroups in
// cgroups in a loop.
const MaxDepth = 64

// Tree knows which cgroups there are, and tells what has changed. It belongs to the
// goroutine of its Hierarchy.
//
// It walks one mount: v2's, else the first of memory, cpuacct, cpu, pids, blkio and
// cpuset. The kernel tells in which directories something has happened, and the others are
// left alone: that they are the same cost a twenty-fifth of the agent's CPU time, with 100
// cgroups at 1 s. Everything is looked at all the same now and then, and always where the
// kernel doesn't tell; if that shows what should have been told, it isn't believed any more.
//
// A descriptor is kept of every directory; its number of links, which the
// kernel keeps exact on v1 and v2, is two more than its child cgroups, so a leaf, which
// most cgroups are, costs one fstat. A directory with children is read: children may
// have changed while their number has not. A removed cgroup shows nowhere but in its
// parent's directory: fstat of the kept descriptor answers as before.
type Tree struct {
	h    *Hierarchy
	root *node
	buf  []byte
	// notify is nil where the kernel isn't asked to tell.
	notify *notifier
	// sweep numbers the Updates, to tell who was seen in this one.
	sweep uint64
	// whole is set in an Update that looks at everything.
	whole bool
	// news counts the cgroups that came and went.
	news uint64
	cut  int
	// failed is the first directory of this Update that could not be read.
	failed error
}

// node is a known cgroup.
type node struct {
	path  cname
	inode uint64
	dir   file // none when the budget was used up
	depth int
	// children are by name; nil for a leaf.
	children map[string]*node
	seen     uint64 // the sweep in which its parent showed it last
	// watch is the kernel's number, or unwatched. dirty is set while there may be news.
	watch int32
	dirty bool
	cut   int // children that are too deep
}

// unwatched is the number of no watch: the kernel's begin at 1.
const unwatched = 0

// wholeEvery is how often an Update looks at everything.
const wholeEvery = 10

// direntsSize holds about 500 entries: one call for most directories.
const direntsSize = 32 << 10

// NewTree returns a Tree that knows of nothing yet. The caller closes it.
func (h *Hierarchy) NewTree() *Tree {
	t := &Tree{h: h, buf: make([]byte, direntsSize)}
	if h.notifies {
		t.notify = newNotifier()
	}
	return t
}

// Update compares the cgroups that exist with those known and calls found for each
// that is new, parents before children, the root among them at the first time, and gone
// for each that is no more, children before parents. A cgroup that was removed and made
// again is gone and then found. instance is the inode number, which differs between
// cgroups that had the same path. Without differences Update doesn't allocate.
//
// Systemd's mount units are left out, as cAdvisor does: they have no processes and
// there are many.
//
// An error means that a directory could not be read. What was known below it is taken
// to exist still, and everything else was compared.
func (t *Tree) Update(found func(path string, instance uint64), gone func(path string)) error {
	t.sweep++
	t.cut = 0
	t.failed = nil
	lost := t.notify != nil && !t.notify.collect()
	t.whole = t.notify == nil || lost || t.sweep%wholeEvery == 0
	if t.root == nil {
		root := t.h.mounts[t.h.primary].dir
		inode, _, errno := root.stat(&t.h.stat)
		if errno != 0 {
			return fmt.Errorf("reading the cgroup mount %s: %w", t.h.mounts[t.h.primary].path, errno)
		}
		t.root = &node{path: "/\x00", inode: inode, dir: root}
		t.watch(t.root)
		found(metric.Root, inode)
	}
	t.compare(t.root, found, gone)
	if lost {
		t.notify.lost = false // everything was looked at
	}
	return t.failed
}

// Cut returns how many cgroups the last Update left out because they lie deeper than
// MaxDepth, without those below them.
func (t *Tree) Cut() int { return t.cut }

// Forget makes the Tree know of nothing, so that it can't be wrong about anything: the next
// Update finds everything anew.
func (t *Tree) Forget() {
	if t.root != nil {
		t.forget(t.root, nil)
		t.root = nil
	}
}

// Close closes what is kept open.
func (t *Tree) Close() {
	t.Forget()
	if t.notify != nil {
		t.notify.close()
		t.notify = nil
	}
}

// watch has the kernel tell of n, whose directory has to be looked at afterwards.
func (t *Tree) watch(n *node) {
	n.dirty = true
	if t.notify != nil {
		t.notify.watch(n, t.h.mounts[t.h.primary].path+n.path.text())
	}
}

// doubt gives the notifier up if it hasn't told of n, in whose directory there are news.
func (t *Tree) doubt(n *node) {
	if t.notify == nil || n.watch == unwatched || t.notify.lost || !t.notify.collect() || n.dirty {
		return
	}
	t.notify.close()
	t.notify = nil
}

// compare compares the children of n with what is known, and then theirs.
func (t *Tree) compare(n *node, found func(string, uint64), gone func(string)) {
	if t.whole || n.dirty || n.watch == unwatched || t.notify == nil {
		told, before := n.dirty, t.news
		n.dirty = false
		if !t.look(n, found, gone) {
			n.dirty = true // until it can be seen
		} else if t.news != before && !told {
			t.doubt(n)
		}
	}
	t.cut += n.cut
	for _, child := range n.children {
		t.compare(child, found, gone)
	}
}

// look compares the children of n with what is known. It reports whether it could.
func (t *Tree) look(n *node, found func(string, uint64), gone func(string)) bool {
	dir := n.dir
	if dir == none {
		var errno unix.Errno
		if dir, errno = t.mount().openDir(n.path[1:]); errno != 0 {
			t.fail(n, errno)
			return false
		}
		defer dir.close()
	}
	inode, links, errno := dir.stat(&t.h.stat)
	if errno != 0 {
		t.fail(n, errno)
		return false
	}
	if inode != n.inode {
		return false // replaced since its parent was read: the next Update tells
	}
	if links == 2 && len(n.children) == 0 {
		n.cut = 0
		return true
	}
	if n.depth == MaxDepth {
		n.cut = int(links) - 2
		return true
	}
	if errno := t.list(n, dir, found, gone); errno != 0 {
		t.fail(n, errno)
		return false
	}
	for name, child := range n.children {
		if child.seen != t.sweep {
			t.forget(child, gone)
			delete(n.children, name)
		}
	}
	return true
}

// list reads the directory dir of n, takes in new children and marks those seen.
func (t *Tree) list(n *node, dir file, found func(string, uint64), gone func(string)) unix.Errno {
	if _, err := unix.Seek(int(dir), 0, unix.SEEK_SET); err != nil {
		return toErrno(err)
	}
	for {
		b, errno := readDirents(dir, t.buf)
		if errno != 0 || len(b) == 0 {
			return errno
		}
		for {
			e, rest, ok := nextDirent(b)
			if !ok {
				break
			}
			b = rest
			if !e.isDir() || bytes.HasSuffix(e.name, []byte(".mount")) {
				continue
			}
			child := n.children[string(e.name)]
			if child != nil && child.inode != e.inode {
				t.forget(child, gone)
				delete(n.children, string(e.name))
				child = nil
			}
			if child == nil {
				child = t.add(n, dir, string(e.name), found)
			}
			if child != nil {
				child.seen = t.sweep
			}
		}
	}
}

// add takes in the child of n called name. It returns nil if it is gone already.
func (t *Tree) add(n *node, dir file, name string, found func(string, uint64)) *node {
	fd, errno := dir.openDir(toCName(name))
	if errno != 0 {
		if errno != unix.ENOENT && errno != unix.ENODEV {
			t.fail(n, errno)
		}
		return nil
	}
	inode, _, errno := fd.stat(&t.h.stat)
	if errno != 0 {
		fd.close()
		t.fail(n, errno)
		return nil
	}
	parent := n.path.text()
	if n == t.root {
		parent = ""
	}
	child := &node{path: toCName(parent + "/" + name), inode: inode, dir: fd, depth: n.depth + 1}
	if !t.h.reserve(1) {
		child.dir.close()
	}
	if n.children == nil {
		n.children = make(map[string]*node)
	}
	n.children[name] = child
	t.watch(child)
	t.news++
	found(child.path.text(), inode)
	return child
}

// forget closes n and all below it and tells that they are gone, unless gone is nil.
func (t *Tree) forget(n *node, gone func(string)) {
	for _, child := range n.children {
		t.forget(child, gone)
	}
	t.news++
	if t.notify != nil {
		t.notify.forget(n)
	}
	if n.dir != none && n != t.root { // whose descriptor is the mount's
		n.dir.close()
		t.h.release(1)
	}
	if gone != nil {
		gone(n.path.text())
	}
}

// fail keeps the first error of an Update. A cgroup that has gone since its parent was
// read is none.
func (t *Tree) fail(n *node, errno unix.Errno) {
	if t.failed == nil && errno != unix.ENOENT && errno != unix.ENODEV {
		t.failed = fmt.Errorf("reading the cgroup %s: %w", n.path.text(), errno)
	}
}

// mount returns the directory that is walked.
func (t *Tree) mount() file { return t.h.mounts[t.h.primary].dir }
