package proc

import (
	"os"
	"path/filepath"
	"strings"
)

// DeviceByUUID returns the block device ("/dev/sda1") with the filesystem that has the id, as
// udev has linked it in dir, which is /dev/disk/by-uuid.
func DeviceByUUID(dir, uuid string) (device string, known bool) {
	if strings.ContainsAny(uuid, "/\x00") || uuid == ".." || uuid == "." {
		return "", false
	}
	target, err := os.Readlink(filepath.Join(dir, uuid))
	if err != nil {
		return "", false
	}
	return "/dev/" + filepath.Base(target), true
}
