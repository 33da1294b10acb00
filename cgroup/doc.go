// Package cgroup reads the counters and limits of one cgroup, under cgroup v1, v2
// and hybrid, and says which cgroups there are.
//
// A Hierarchy is found once, from the mounts. Its Tree compares what exists with what
// it knew; a Reader keeps the files of one cgroup open and fills a metric.Sample from
// them, without allocating. What a file holds and where its numbers go stands in two
// tables (table_v1.go, table_v2.go); the parsers take bytes and open nothing.
//
// It does not know which cgroup is a container, whose it is, or what the machine as a
// whole does, and it neither writes to a cgroup nor follows a link below a mount.
//
// A Hierarchy, its Tree and its Readers share a buffer and belong to one goroutine.
// Only Mode, Notes, Failures, Hung, Descriptors and Setup may be called from others.
package cgroup
