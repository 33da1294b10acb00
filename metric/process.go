package metric

import "time"

// Process is one process of the node, as its kernel shows it at one instant.
type Process struct {
	// PID and Parent are process ids in the node's PID namespace.
	PID, Parent int
	// User is the name of the effective user on the node, or its number.
	User string
	// Command is the kernel's word for what runs, at most 15 bytes ("nginx").
	Command string
	// Cgroup is the path of its cgroup: the cpu controller's on cgroup v1. It is "" where it
	// isn't known, and begins with "/.." where only its end is.
	Cgroup string
	// State is ps's STAT: the kernel's letter, and what else is to be said ("Ss", "R<l+").
	State string
	// Started is when it began, and Elapsed how long that was ago.
	Started time.Time
	Elapsed time.Duration
	// CPUTime is what it used since then, without its children.
	CPUTime time.Duration
	// RSSBytes are in memory, of VirtualBytes that are mapped.
	RSSBytes, VirtualBytes uint64
	// FDs counts its open files, -1 where they may not be counted.
	FDs int
	// CPU is the one it ran on last.
	CPU int
}
