package proc

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/swarmgauge/swarmgauge/metric"
)

// filesystem is a local filesystem that is mounted where the agent can see it.
type filesystem struct {
	key metric.Key
	// mounts are where the agent sees it, the one that shows most of it first.
	mounts []mount
}

// mount is a place in the agent's mount namespace, and the kernel's id of what is there.
type mount struct {
	path string
	id   int
}

// localFilesystems lists the filesystems that the agent sees. Each is named by its source,
// as "/dev/sda1", and by the mountpoint that it has on the node: an agent in a container
// sees it by way of bind mounts, such as that of /etc/hosts, whose places say nothing.
// hostRoot is where the node's root is mounted, "" if it isn't.
func (fs *FS) localFilesystems(hostRoot string) ([]filesystem, error) {
	own, err := fs.mounts("self/mountinfo")
	if err != nil {
		return nil, err
	}
	// Without the node's own list mountpoints are shown as the agent sees them.
	node, _ := fs.mounts("1/mountinfo")
	return groupMounts(own, node, hostRoot), nil
}

// mounts reads a mountinfo file (filesystems/proc.rst), but for what isn't local.
func (fs *FS) mounts(name string) ([]*mountinfo.Info, error) {
	text, err := fs.read(name)
	if err != nil {
		return nil, err
	}
	mounts, err := parseMounts(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fs.path(name), err)
	}
	return mounts, nil
}

func parseMounts(text []byte) ([]*mountinfo.Info, error) {
	return mountinfo.GetMountsFromReader(bytes.NewReader(text), func(m *mountinfo.Info) (skip, stop bool) {
		return !isLocal(m.FSType) || m.Major < 0 || m.Minor < 0, false
	})
}

// isLocal tells whether a filesystem of that type is measured: one that keeps files on the
// node's own block devices and can fill up. Being a list of what is measured, it leaves out
// network filesystems, cluster filesystems and FUSE, whose servers may never answer,
// whatever they will be called; memory and overlays, which are no space of their own; and
// images that are full by nature (squashfs, erofs, iso9660, udf).
func isLocal(fstype string) bool {
	switch fstype {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "reiserfs", "nilfs2",
		"ubifs", "jffs2", "vfat", "msdos", "exfat", "ntfs", "ntfs3", "hfs", "hfsplus", "ufs", "minix":
		return true
	}
	return false
}

// groupMounts makes one filesystem of all mounts of a device, in the order in which the
// devices are first met in own.
func groupMounts(own, node []*mountinfo.Info, hostRoot string) []filesystem {
	var all []filesystem
	shown := map[device][]*mountinfo.Info{}
	var order []device
	for _, m := range own {
		d := deviceOf(m)
		if shown[d] == nil {
			order = append(order, d)
		}
		shown[d] = append(shown[d], m)
	}
	for _, d := range order {
		// A part of a filesystem may have a quota of its own, which statfs shows instead.
		slices.SortStableFunc(shown[d], byRoot)
		best := shown[d][0]
		f := filesystem{key: metric.Key{
			Name: best.Source, Major: d.major, Minor: d.minor,
			Mountpoint: nodeMountpoint(best, node, hostRoot), Type: best.FSType,
		}}
		for _, m := range shown[d] {
			f.mounts = append(f.mounts, mount{path: m.Mountpoint, id: m.ID})
		}
		all = append(all, f)
	}
	return all
}

// byRoot orders mounts of a device by how much of it they show.
func byRoot(a, b *mountinfo.Info) int { return cmp.Compare(len(a.Root), len(b.Root)) }

// nodeMountpoint returns where the node has the filesystem of the agent's mount m.
func nodeMountpoint(m *mountinfo.Info, node []*mountinfo.Info, hostRoot string) string {
	var same []*mountinfo.Info
	for _, n := range node {
		if deviceOf(n) == deviceOf(m) {
			same = append(same, n)
		}
	}
	if len(same) > 0 {
		return slices.MinFunc(same, byRoot).Mountpoint
	}
	if below, ok := strings.CutPrefix(m.Mountpoint, strings.TrimSuffix(hostRoot, "/")); ok && (below == "" || below[0] == '/') {
		return cmp.Or(below, "/")
	}
	return m.Mountpoint
}

func deviceOf(m *mountinfo.Info) device { return device{uint32(m.Major), uint32(m.Minor)} }
