package cgroup

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// OwnMemoryLimit returns the memory limit of the cgroup that this process is in, in bytes:
// the smallest of its own and of those above it, as far as they can be seen. ok is false
// where there is none. procRoot is where the process's own procfs is mounted, "/proc".
func OwnMemoryLimit(procRoot string) (limit uint64, ok bool, err error) {
	groups, err := os.ReadFile(filepath.Join(procRoot, "self/cgroup"))
	if err != nil {
		return 0, false, fmt.Errorf("finding the own cgroup: %w", err)
	}
	f, err := os.Open(filepath.Join(procRoot, "self/mountinfo"))
	if err != nil {
		return 0, false, fmt.Errorf("finding the own cgroup: %w", err)
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return 0, false, fmt.Errorf("finding the own cgroup: %w", err)
	}
	limit = unlimited
	for line := range strings.Lines(string(groups)) {
		// 4:memory:/docker/0123…   on v1
		// 0::/system.slice/…       on v2
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(line, ":")
		kind, file := "cgroup", "memory.limit_in_bytes"
		if controllers == "" {
			kind, file = "cgroup2", "memory.max"
		} else if !slices.Contains(strings.Split(controllers, ","), v1Names[memory]) {
			continue
		}
		for _, m := range mounts {
			if m.FSType != kind || kind == "cgroup" && !slices.Contains(strings.Split(m.VFSOptions, ","), v1Names[memory]) {
				continue
			}
			// A mount from outside of the process's cgroup namespace begins with "/..".
			below, err := filepath.Rel(m.Root, path)
			if err != nil || strings.HasPrefix(m.Root, "/..") || !within(path, m.Root) {
				continue
			}
			top := filepath.Clean(m.Mountpoint)
			for dir := filepath.Join(top, below); within(dir, top); dir = filepath.Dir(dir) {
				// The root has none.
				if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
					if v, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64); err == nil {
						limit = min(limit, v)
					}
				}
				if dir == top {
					break // "/" has no parent
				}
			}
			break
		}
	}
	return limit, limit < unlimited, nil
}
