package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// mountAt returns the mend that mounts a directory of the node where an option says, or at
// another path if the option says where a container has its own.
func mountAt(name, is, own, source string) mend {
	m := mend{onHost: "-" + name + "=" + source}
	target := is
	if is == own {
		target = "/host" + source
		m.settings = []option{{name, target}}
	}
	m.mounts = []bind{{source: source, target: target}}
	return m
}

// mountAt is the same for an option as it is: nothing has to say where the mount is if the
// agent looks there by itself.
func (c *checks) mountAt(name, is, own, source string) mend {
	m := mountAt(name, is, own, source)
	if !c.o.named(name) {
		m.settings = nil
	}
	return m
}

// notMounted begins a sentence about what a container has of its own, where the node's was
// looked for and isn't: "The node's /proc isn't mounted at /host/proc or /rootfs/proc: ".
func (c *checks) notMounted(option, what string) string {
	if places := c.o.elsewhere(option); places != "" {
		return what + " " + places + ": "
	}
	return ""
}

// ofProc looks at the node's /proc.
func (c *checks) ofProc() []finding {
	f := finding{Check: "proc", Status: shipper.OK, Text: c.o.ProcRoot + " is the node's."}
	mount := c.mountAt("proc-root", c.o.ProcRoot, "/proc", "/proc")
	switch {
	case c.procErr != nil:
		f.Status, f.mend = shipper.Fault, mount
		f.Text = fmt.Sprintf("The node's /proc isn't mounted at %s, and nothing runs without it (%s).", c.o.ProcRoot, firstOf(c.procErr))
		return []finding{f}
	case c.proc.Private() && c.where.kind != onHost:
		f.Status, f.mend = shipper.Fault, mount
		f.Text = c.notMounted("proc-root", "The node's /proc isn't mounted at") + c.o.ProcRoot + " is a container's own: what is measured as the node's network and processes is the agent's, and containers have no network numbers."
		return []finding{f}
	}
	if _, err := os.ReadFile(filepath.Join(c.o.ProcRoot, "1", "net", "dev")); err != nil {
		net := finding{Check: "proc", Status: shipper.Fault, Text: fmt.Sprintf("The network of the node can't be read (%s).", firstOf(err)), mend: mount}
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) { // hidden from others by hidepid
			net.mend = mend{user: "0", onHost: "run it as root"}
		}
		return []finding{net}
	}
	return []finding{f}
}

// controllerCost is what is missing without a controller, and whether that is essential.
func controllerCost(name string) (without string, essential bool) {
	switch name {
	case "cpu":
		return "CPU limits and throttling are missing", true
	case "cpuacct":
		return "CPU time is missing", true
	case "memory":
		return "memory and OOM kills are missing", true
	case "io", "blkio":
		return "disk I/O of containers is missing", false
	case "pids":
		return "numbers of tasks and their limits are missing", false
	}
	return "what it counts is missing", false
}

// ofCgroups looks at the hierarchy.
func (c *checks) ofCgroups() (all []finding) {
	mount := c.mountAt("cgroup-root", c.o.CgroupRoot, "/sys/fs/cgroup", "/sys/fs/cgroup")
	if c.cgroupsErr != nil {
		return []finding{{Check: "cgroups", Status: shipper.Fault, mend: mount,
			Text: fmt.Sprintf("The node's cgroups aren't at %s, and nothing runs without them (%s).", c.o.CgroupRoot, firstOf(c.cgroupsErr))}}
	}
	setup, lacks := c.cgroups.Setup(), c.cgroups.Lacks()
	root := finding{Check: "cgroups", Status: shipper.OK,
		Text: fmt.Sprintf("Cgroups are %s, with %s, at %s.", c.cgroups.Mode(), strings.Join(setup.Controllers, ", "), c.o.CgroupRoot)}
	pressure := finding{Check: "pressure", Status: shipper.OK, Text: "Pressure (PSI) is measured."}
	for _, l := range lacks {
		onThis := mend{elsewhere: l.Mend, at: onNode}
		switch l.Of {
		case cgroup.LackRoot:
			root.Status, root.mend = shipper.Fault, mount
			root.Text = fmt.Sprintf("%s%s shows a part of the cgroups only, a container's own: other containers aren't measured.",
				c.notMounted("cgroup-root", "The node's cgroups aren't at"), c.o.CgroupRoot)
		case cgroup.LackController:
			without, essential := controllerCost(l.Name)
			f := finding{Check: "controllers", Status: shipper.Degraded, Text: sentence(l.What) + ": " + without + ".", mend: onThis}
			if essential {
				f.Status = shipper.Fault
			}
			all = append(all, f)
		case cgroup.LackPressure:
			pressure.Status, pressure.Text, pressure.mend = shipper.Degraded, sentence(l.What)+".", onThis
		case cgroup.LackFile, cgroup.LackOther:
			all = append(all, finding{Check: "kernel", Status: shipper.Degraded, Text: sentence(l.String()) + "."})
		case cgroup.LackDescriptors: // stands with the limit
		}
	}
	return append([]finding{root, pressure}, all...)
}

// ofContainers looks at what tells who containers are.
func (c *checks) ofContainers(ctx context.Context) finding {
	dir := filepath.Join(c.o.DockerRoot, "containers")
	f := finding{Check: "containers", Status: shipper.OK, Text: dir + " tells who containers are."}
	dataRoot := c.dataRoot(ctx)
	mount := mend{
		mounts: []bind{{source: dataRoot + "/containers", target: dir}},
		onHost: "-docker_root=" + dataRoot,
	}
	lost := "Docker's containers have ids in place of names, and no network numbers"
	_, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Status, f.mend = shipper.Fault, mend{user: "0", onHost: "run it as root"}
		f.Text = fmt.Sprintf("%s can't be read, and %s: the agent has to be uid 0, which needs no capability for it.", dir, lost)
	case errors.Is(err, fs.ErrNotExist) && c.where.kind == onHost:
		f.Status = shipper.Degraded
		f.Text = dir + " isn't there: Docker's containers, if there are any, have ids in place of names."
		if c.where.dataRoot != "" || dataRoot != defaultDataRoot {
			f.mend = mount
		}
	case errors.Is(err, fs.ErrNotExist):
		f.Status, f.mend = shipper.Fault, mount
		f.Text = fmt.Sprintf("%s isn't there, and %s.", dir, lost)
	case err != nil:
		f.Status, f.Text = shipper.Fault, sentence(firstOf(err))+"."
	case c.where.id != "":
		if _, err := os.Lstat(filepath.Join(dir, c.where.id)); errors.Is(err, fs.ErrNotExist) {
			f.Status, f.mend = shipper.Fault, mount
			f.Text = fmt.Sprintf("%s isn't this engine's: the agent's own container %.12s isn't in it, because the engine's data root is elsewhere (docker info tells it as Docker Root Dir), and %s.", dir, c.where.id, lost)
		}
	}
	if f.Status == shipper.Fault && err != nil && c.socketAnswers(ctx) {
		f.Status = shipper.Degraded
		f.Text += " The engine's socket tells names meanwhile."
	}
	return f
}

// defaultDataRoot is where an engine has its data unless told otherwise.
const defaultDataRoot = "/var/lib/docker"

// dataRoot returns the engine's data root on the node: by its own word, or as the mounts of
// the own container tell.
func (c *checks) dataRoot(ctx context.Context) string {
	if c.socketAnswers(ctx) {
		if node, err := c.engine.Node(ctx); err == nil && node.Root != "" {
			return node.Root
		}
	}
	if c.where.dataRoot != "" {
		return c.where.dataRoot
	}
	return defaultDataRoot
}

func (c *checks) socketAnswers(ctx context.Context) bool {
	if c.engine == nil || c.o.Docker == "" {
		return false
	}
	_, err := c.engine.Node(ctx)
	return err == nil
}
