package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Setup says how cgroups are set up on the machine, for a report that a person reads.
type Setup struct {
	// Controllers are the kernel's names of those that are mounted (v1) or offered (v2),
	// among those that numbers are read of, sorted.
	Controllers []string
	// Mounts are the mount points that are read, each with its version before it.
	Mounts []string
	// Hierarchical tells that the memory of a cgroup is counted in those above it, too.
	Hierarchical bool
	// Bandwidth tells that CPU limits can be set. KnowsBandwidth is false where no
	// cgroup tells: on v2 the root doesn't.
	Bandwidth, KnowsBandwidth bool
}

// Setup looks at the mounts. Any goroutine may call it; it opens files.
func (h *Hierarchy) Setup() Setup {
	var s Setup
	names := v1Names
	if h.mode == V2 {
		names = v2Names
	}
	offered := map[string]bool{}
	if h.mode == V2 {
		text, _ := os.ReadFile(filepath.Join(h.mounts[h.mountOf[core]].path, "cgroup.controllers"))
		for _, name := range strings.Fields(string(text)) {
			offered[name] = true
		}
	}
	for c, name := range names {
		if name != "" && h.mountOf[c] >= 0 && (h.mode != V2 || offered[name]) {
			s.Controllers = append(s.Controllers, name)
		}
	}
	slices.Sort(s.Controllers)
	for i := range h.mounts {
		kind := "cgroup "
		if i == h.mountOf[core] {
			kind = "cgroup2 "
		}
		s.Mounts = append(s.Mounts, kind+h.mounts[i].path)
	}
	s.Hierarchical = h.mode == V2 || h.hierarchicalMemory()
	s.Bandwidth, s.KnowsBandwidth = h.bandwidth()
	return s
}

// hierarchicalMemory asks v1, where it could be chosen until Linux 5.11.
func (h *Hierarchy) hierarchicalMemory() bool {
	i := h.mountOf[memory]
	if i < 0 {
		return false
	}
	text, err := os.ReadFile(filepath.Join(h.mounts[i].path, "memory.use_hierarchy"))
	return err != nil || strings.TrimSpace(string(text)) == "1"
}

func (h *Hierarchy) bandwidth() (has, known bool) {
	i := h.mountOf[cpu]
	if i < 0 {
		return false, false
	}
	if h.mode != V2 {
		_, err := os.Lstat(filepath.Join(h.mounts[i].path, "cpu.cfs_quota_us"))
		return err == nil, true
	}
	// cpu.weight is where the controller is on, cpu.max only if the kernel has limits.
	below, err := filepath.Glob(filepath.Join(globEscape(h.mounts[i].path), "*", "cpu.weight"))
	if err != nil || len(below) == 0 {
		return false, false
	}
	_, err = os.Lstat(filepath.Join(filepath.Dir(below[0]), "cpu.max"))
	return err == nil, true
}

// globEscape returns a path as filepath.Glob takes it literally.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
