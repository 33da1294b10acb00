package cgroup

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Created returns when the cgroup was made, as far as the kernel tells: it keeps no such
// time, but a directory and its files have been changed at the earliest then. It is the
// oldest of what the directory and a file that nobody writes to say in each hierarchy,
// which is cAdvisor's rule, too.
func (r *Reader) Created() time.Time { return r.created }

// lookUpCreated sets r.created while the directories are open.
func (r *Reader) lookUpCreated() {
	still := "cgroup.clone_children"
	if r.h.mode == V2 {
		still = "cgroup.events"
	}
	for i := range r.dirs {
		if r.dirs[i].inode == 0 {
			continue
		}
		for _, name := range [...]string{".", still} {
			var st unix.Stat_t
			if unix.Fstatat(int(r.dirs[i].fd), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue // the root cgroup of v2 has no cgroup.events
			}
			if at := time.Unix(st.Mtim.Unix()).UTC(); r.created.IsZero() || at.Before(r.created) {
				r.created = at
			}
		}
	}
}

// Children returns the names of the cgroups directly below path, sorted; none if there
// is no such cgroup. Any goroutine may call it.
func (h *Hierarchy) Children(path string) []string {
	rel, err := relative(path)
	if err != nil {
		return nil
	}
	dir, errno := h.mounts[h.primary].dir.openDir(rel)
	if errno != 0 {
		return nil
	}
	list := os.NewFile(uintptr(dir), path)
	defer list.Close()
	entries, _ := list.ReadDir(-1) // what there is, if it goes meanwhile
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}
