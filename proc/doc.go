// Package proc reads what is not in a cgroup: the interfaces of a network namespace, the
// node's CPUs, memory, disks, pressure and filesystems, the machine and its identity, its
// processes, which of them is in which container, and what the kernel's resctrl counts for
// them.
//
// Everything comes from one procfs whose root is given: "/proc", or the node's own where
// it is mounted into the agent's container ("/host/proc"). What belongs to a namespace is
// read for the node below <root>/1, because the agent's own namespaces are not the node's.
// Below a process's directory only plain files of the kernel are opened (net/dev, cgroup,
// mountinfo, stat, status), never one that leads to where a container wants it to (root,
// cwd, those in fd), and no symbolic link is followed but ns/net, which leads into the
// kernel. No capability is needed, save for some of what Details reads, which says so. The
// machine's hardware comes from the kernel's sysfs beside it.
//
// It doesn't read cgroups, doesn't know containers and runs nothing on its own, save one
// goroutine for each filesystem that is being asked for its size.
//
// An FS may be used by any number of goroutines at once; a Net, Node, Filesystems
// or Details belongs to one goroutine at a time.
package proc
