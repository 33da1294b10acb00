package proc

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"github.com/swarmgauge/swarmgauge/metric"
)

func parsed(t testing.TB, text string) []*mountinfo.Info {
	t.Helper()
	mounts, err := parseMounts([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}

func TestGroupMounts(t *testing.T) {
	f := func(own, node, hostRoot string, want ...filesystem) {
		t.Helper()
		got := groupMounts(parsed(t, own), parsed(t, node), hostRoot)
		if !slices.EqualFunc(got, want, func(a, b filesystem) bool {
			return a.key == b.key && slices.Equal(a.mounts, b.mounts)
		}) {
			t.Errorf("filesystems %+v\nwant %+v", got, want)
		}
	}
	fs := func(source string, major, minor uint32, mountpoint, fstype string, mounts ...mount) filesystem {
		return filesystem{metric.Key{Name: source, Major: major, Minor: minor, Mountpoint: mountpoint, Type: fstype}, mounts}
	}
	node := string(fixture(t, v2Machine+"/1/mountinfo"))
	container := string(fixture(t, v2Machine+"/self/mountinfo"))

	// On the node: of two dozen overlays and pseudo filesystems one disk is left.
	f(node, node, "/", fs("/dev/vda", 254, 0, "/", "ext4", mount{"/", 26}))
	// In a container that disk shows at three files, and is the node's root all the same.
	files := []mount{{"/etc/hosts", 193}, {"/etc/hostname", 192}, {"/etc/resolv.conf", 191}}
	f(container, node, "", fs("/dev/vda", 254, 0, "/", "ext4", files...))
	f(container, "", "", fs("/dev/vda", 254, 0, "/etc/hosts", "ext4", files...))

	// The node's root is mounted, with all below it; its list can't be read.
	rootfs := "50 40 8:1 / /rootfs ro - ext4 /dev/sda1 ro\n" +
		"51 50 8:17 / /rootfs/srv/big\\040disk ro - xfs /dev/sdb1 ro\n" +
		"52 40 8:33 / /rootfsX ro - ext4 /dev/sdc1 ro\n"
	f(rootfs, "", "/rootfs",
		fs("/dev/sda1", 8, 1, "/", "ext4", mount{"/rootfs", 50}),
		fs("/dev/sdb1", 8, 17, "/srv/big disk", "xfs", mount{"/rootfs/srv/big disk", 51}),
		fs("/dev/sdc1", 8, 33, "/rootfsX", "ext4", mount{"/rootfsX", 52}))
	f(rootfs, "", "/",
		fs("/dev/sda1", 8, 1, "/rootfs", "ext4", mount{"/rootfs", 50}),
		fs("/dev/sdb1", 8, 17, "/rootfs/srv/big disk", "xfs", mount{"/rootfs/srv/big disk", 51}),
		fs("/dev/sdc1", 8, 33, "/rootfsX", "ext4", mount{"/rootfsX", 52}))

	// btrfs subvolumes are one filesystem, under the place of the topmost.
	f("30 1 0:25 /@home /home rw - btrfs /dev/nvme0n1p2 rw,subvol=/@home\n"+
		"29 1 0:25 /@ / rw - btrfs /dev/nvme0n1p2 rw,subvol=/@\n", "", "",
		fs("/dev/nvme0n1p2", 0, 25, "/", "btrfs", mount{"/", 29}, mount{"/home", 30}))

	// Nothing that isn't local is ever touched, nor what is full by nature.
	var foreign strings.Builder
	for _, fstype := range []string{
		"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "afs", "ncpfs", "lustre", "beegfs", "gpfs",
		"fuse", "fuse.sshfs", "fuse.glusterfs", "fuseblk", "virtiofs", "ocfs2", "gfs2", "autofs",
		"overlay", "aufs", "tmpfs", "ramfs", "devtmpfs", "proc", "sysfs", "cgroup", "cgroup2", "nsfs", "squashfs", "erofs", "iso9660",
	} {
		foreign.WriteString("9 1 8:1 / /mnt rw - " + fstype + " /dev/sda1 rw\n")
	}
	f(foreign.String(), "", "")
}

func TestMountsError(t *testing.T) {
	root := copyMachine(t, v1Machine)
	write(t, root, "self/mountinfo", "36 35 98:0 /mnt1 /mnt2 rw\n")
	_, err := open(t, root).localFilesystems("")
	if want := root + "/self/mountinfo: parsing '36 35 98:0 /mnt1 /mnt2 rw' failed"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want one that begins with %s", err, want)
	}
}

func FuzzMounts(f *testing.F) {
	for _, name := range []string{v1Machine + "/1/mountinfo", v2Machine + "/1/mountinfo", v2Machine + "/self/mountinfo"} {
		f.Add(fixture(f, name), "/")
	}
	f.Add([]byte("51 50 8:17 / /host/\\040\\1777 ro - xfs /dev/sdb1 ro\n"), "/host")
	f.Add([]byte("1 1 -1:9 / / rw - ext4 a b\n"), "")
	f.Fuzz(func(t *testing.T, text []byte, hostRoot string) {
		mounts, err := parseMounts(text)
		if err != nil {
			return
		}
		places := 0
		for _, fs := range groupMounts(mounts, mounts, hostRoot) {
			if !isLocal(fs.key.Type) || len(fs.mounts) == 0 {
				t.Errorf("%+v of %q", fs, text)
			}
			places += len(fs.mounts)
		}
		if places != len(mounts) {
			t.Errorf("%d mounts became %d of %q", len(mounts), places, text)
		}
	})
}
