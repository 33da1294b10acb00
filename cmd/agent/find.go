package main

import (
	"flag"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/swarmgauge/swarmgauge/proc"
)

// found is the origin of an option that nobody has set, and whose default isn't where the
// agent has found the files that it names.
const found = "found"

// nodeRoots are where the node's root is looked for, in this order: where the stack file puts
// what it mounts of it, and where cAdvisor wants all of it.
func nodeRoots() [2]string { return [...]string{"/host", "/rootfs"} }

// sought is an option that names files of the node.
type sought struct {
	option string
	// has are what is there where such files are, one of them or all, below the option's
	// value.
	has []string
	all bool
	// places are other values than the default: those that go before it, and those that
	// it goes before.
	before, after []string
}

// soughtFiles returns what is looked for. A container has a /proc, a cgroup tree and a /sys
// of its own, which are the last that count. What else is at its default place was mounted
// there.
func soughtFiles() []sought {
	roots := nodeRoots()
	below := func(dir string) (list []string) {
		for _, root := range roots {
			list = append(list, root+dir)
		}
		return list
	}
	hierarchies := []string{"cgroup.controllers", "memory", "cpu", "cpuacct", "cpu,cpuacct"}
	return []sought{
		{option: "proc-root", has: []string{"stat"}, before: below("/proc")},
		{option: "cgroup-root", has: hierarchies, before: below("/sys/fs/cgroup")},
		{option: "sys-root", has: []string{"devices/system/cpu"}, before: below("/sys")},
		// Some mount a single file or folder of it there.
		{option: "host-root", has: []string{"etc", "usr", "var"}, all: true, before: below("")},
		{option: "docker_root", has: []string{"containers"}, after: below("/var/lib/docker")},
		{option: "podman-root", has: []string{"storage/overlay-containers"}, after: below("/var/lib/containers")},
		// /var/run is /run on a node, and in an image it may be another folder.
		{option: "containerd-run", has: []string{"io.containerd.runtime.v2.task"}, after: append([]string{"/var/run/containerd"}, below("/run/containerd")...)},
		{option: "containerd", has: []string{""}, after: []string{"/var/run/containerd/containerd.sock"}},
	}
}

// find sets those options that name files of the node, that nobody has set, and whose files are
// elsewhere than the default says. An agent that isn't in a container has the node's files
// where they are. What begins with root is the agent's file system; it is "" but in tests.
func (o *options) find(fs *flag.FlagSet, root string) {
	if own, err := proc.Open(root + "/proc"); err == nil {
		onNode := own.OwnRoot()
		own.Close()
		if onNode {
			return
		}
	}
	for _, s := range soughtFiles() {
		if o.origins[s.option] != "" {
			continue
		}
		usual := fs.Lookup(s.option).DefValue
		for _, place := range slices.Concat(s.before, []string{usual}, s.after) {
			if place == "" || !s.is(root+place) {
				continue
			}
			if place != usual {
				fs.Set(s.option, root+place) // a string takes any
				o.origins[s.option] = found
			}
			break
		}
	}
}

// is tells whether what is looked for is at a place.
func (s *sought) is(place string) bool {
	n := 0
	for _, name := range s.has {
		if _, err := os.Stat(path.Join(place, name)); err == nil {
			n++
		}
	}
	return n > 0 && (n == len(s.has) || !s.all)
}

// named tells whether somebody has set an option.
func (o *options) named(option string) bool {
	origin := o.origins[option]
	return origin != "" && origin != found
}

// elsewhere says where else than at the option's default its files are looked for: "/host/proc
// or /rootfs/proc"; "" where somebody has said where they are.
func (o *options) elsewhere(option string) string {
	if o.named(option) {
		return ""
	}
	for _, s := range soughtFiles() {
		if s.option == option {
			return strings.Join(slices.Concat(s.before, s.after), " or ")
		}
	}
	return ""
}
