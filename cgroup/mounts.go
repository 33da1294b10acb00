package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// mounts are the cgroup mounts below one directory.
type mounts struct {
	// v1 are the mount points of v1's controllers, "" where there is none. Several
	// controllers may share one ("cpu,cpuacct").
	v1 [numControllers]string
	// unified is the mount point of cgroup2, "" if there is none.
	unified string
}

// v1Names are the kernel's names of v1's controllers; core is v2's alone.
var v1Names = [numControllers]string{cpu: "cpu", cpuacct: "cpuacct", memory: "memory", blockIO: "blkio", pids: "pids", cpuset: "cpuset", hugetlb: "hugetlb"}

// v2Names are the names in cgroup.controllers; v2 counts CPU time without a controller.
var v2Names = [numControllers]string{cpu: "cpu", memory: "memory", blockIO: "io", pids: "pids", cpuset: "cpuset", hugetlb: "hugetlb"}

// findMounts returns the cgroup mounts at or below root that are to be seen, from a
// file such as /proc/self/mountinfo (proc_pid_mountinfo(5)):
//
//	36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
//	41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
//
// Of several mounts of a controller the first one is taken, as cAdvisor does. Named
// hierarchies without a controller ("name=systemd") have no numbers and are skipped.
func findMounts(file, root string) (m mounts, err error) {
	f, err := os.Open(file)
	if err != nil {
		return mounts{}, fmt.Errorf("finding cgroup mounts: %w", err)
	}
	defer f.Close()
	infos, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		return mounts{}, fmt.Errorf("finding cgroup mounts in %s: %w", file, err)
	}
	var seen []*mountinfo.Info
	for _, info := range infos {
		// A mount hides what was mounted at or below its place before.
		seen = slices.DeleteFunc(seen, func(old *mountinfo.Info) bool { return within(old.Mountpoint, info.Mountpoint) })
		if within(info.Mountpoint, root) && (info.FSType == "cgroup" || info.FSType == "cgroup2") {
			seen = append(seen, info)
		}
	}
	for _, info := range seen {
		if info.FSType == "cgroup2" {
			if m.unified == "" {
				m.unified = info.Mountpoint
			}
			continue
		}
		for _, option := range strings.Split(info.VFSOptions, ",") {
			if c := slices.Index(v1Names[:], option); option != "" && c >= 0 && m.v1[c] == "" {
				m.v1[c] = info.Mountpoint
			}
		}
	}
	return m, nil
}

// within tells whether path is dir or below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// controllers returns which of v2's controllers the unified mount offers.
func (m *mounts) controllers() (offered [numControllers]bool, err error) {
	b, err := os.ReadFile(filepath.Join(m.unified, "cgroup.controllers"))
	if err != nil {
		return offered, err
	}
	for _, name := range strings.Fields(string(b)) {
		if c := slices.Index(v2Names[:], name); c >= 0 {
			offered[c] = true
		}
	}
	return offered, nil
}
