package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/swarmgauge/swarmgauge/docker"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// ofSocket looks at the engine's API.
func (c *checks) ofSocket(ctx context.Context) finding {
	const adds = "it would tell OOM events, containers that live shorter than a second, and in a Swarm its services"
	f := finding{Check: "engine socket", Status: shipper.Degraded}
	if c.o.Docker == "" {
		f.Status, f.Text = shipper.OK, "The engine's socket isn't asked (-docker is empty)."
		return f
	}
	node, err := c.engine.Node(ctx)
	if err == nil {
		f.Status, f.Text = shipper.OK, fmt.Sprintf("The engine answers at %s: Docker %s, API %s.", c.o.Docker, node.EngineVersion, node.APIVersion)
		return f
	}
	path, isUnix := strings.CutPrefix(c.o.Docker, "unix://")
	mount := mend{mounts: []bind{{source: "/var/run/docker.sock", target: path}}}
	_, missing := os.Lstat(path)
	switch {
	case isUnix && missing != nil:
		f.Text = fmt.Sprintf("There is no engine's socket at %s, which is optional: %s.", path, adds)
		if c.where.kind != onHost {
			f.mend = mount
		}
	case errors.Is(err, fs.ErrPermission):
		f.Text = fmt.Sprintf("The engine's socket %s is closed to this user, which is optional: %s.", path, adds)
		f.mend = mend{user: "0", onHost: "run it as root"}
	default:
		f.Text = fmt.Sprintf("%s, which is optional: %s.", sentence(firstOf(err)), adds)
	}
	return f
}

// ofHostRoot looks at the node's root.
func (c *checks) ofHostRoot() finding {
	f := finding{Check: "host root", Status: shipper.OK, Text: "All filesystems of the node are measured, by its root at " + c.o.HostRoot + "."}
	if c.o.HostRoot == "" {
		f.Status = shipper.Degraded
		f.Text = "The node's / isn't mounted, which is optional: only filesystems that are mounted into the agent are measured, and the distribution's name is missing."
		f.mend = mend{
			mounts: []bind{{source: "/", target: "/rootfs", slave: true}},
		}
		if c.o.named("host-root") {
			f.mend.settings = []option{{"host-root", "/rootfs"}}
		}
	} else if _, err := os.ReadDir(filepath.Join(c.o.HostRoot, "etc")); err != nil {
		f.Status = shipper.Degraded
		f.Text = fmt.Sprintf("%s, which -host-root names, isn't the node's / (%s): filesystems are missing.", c.o.HostRoot, firstOf(err))
		f.mend = mend{mounts: []bind{{source: "/", target: c.o.HostRoot, slave: true}}, onHost: "-host-root=/"}
	}
	return f
}

// ofSysRoot looks at the node's /sys.
func (c *checks) ofSysRoot() finding {
	f := finding{Check: "sys", Status: shipper.OK, Text: c.o.SysRoot + " describes the machine."}
	if _, err := os.ReadDir(filepath.Join(c.o.SysRoot, "devices/system/cpu")); err != nil {
		f.Status = shipper.Degraded
		f.Text = fmt.Sprintf("%s isn't a /sys (%s): the machine's CPUs, disks and network interfaces aren't described.", c.o.SysRoot, firstOf(err))
		f.mend = c.mountAt("sys-root", c.o.SysRoot, "/sys", "/sys")
	} else if c.o.SysRoot == "/sys" && c.where.kind != onHost {
		f.Status = shipper.Degraded
		f.Text = "The node's /sys isn't mounted, which is optional: the description of the machine lacks the node's network interfaces."
		f.mend = c.mountAt("sys-root", c.o.SysRoot, "/sys", "/sys")
	}
	return f
}

// ofStorage looks at the directories in which the files of containers lie.
func (c *checks) ofStorage(ctx context.Context, containers []*metric.Container) finding {
	f := finding{Check: "storage", Status: shipper.OK, Text: "What files of containers take on disk is counted."}
	if groups, _ := c.o.groups(); !groups.Has("disk") { // was checked with the options
		f.Text = "What files of containers take on disk isn't asked for (the group disk is off)."
		return f
	}
	var others []string
	dataRoot := c.dataRoot(ctx)
	for _, container := range containers {
		if container.Runtime == "" || container.Unidentified != "" {
			continue
		}
		files := c.engine.OpenFiles(container)
		for _, trees := range [...]docker.Trees{files.Layer, files.Volumes} {
			var unmounted *docker.NotMounted
			if errors.As(trees.Err, &unmounted) {
				for i := range unmounted.OnNode {
					source := unmounted.OnNode[i]
					if folder, ok := strings.CutPrefix(source, defaultDataRoot+"/"); ok { // taken for granted
						source = dataRoot + "/" + folder
					}
					f.mend.add(&mend{mounts: []bind{{source: source, target: unmounted.At[i]}}})
				}
			} else if trees.Err != nil && !slices.Contains(others, trees.Err.Error()) {
				others = append(others, trees.Err.Error())
			}
		}
		files.Close()
	}
	switch {
	case len(f.mend.mounts) > 0:
		f.Status = shipper.Degraded
		f.Text = "What layers and volumes of containers take on disk isn't known, which is optional, since it takes all of their files to be mounted; what their logs take is."
	case len(others) > 0:
		f.Status = shipper.Degraded
		f.Text = sentence(firstOf(errors.New(others[0]))) + "."
	}
	return f
}
