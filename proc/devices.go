package proc

import (
	"strconv"
	"time"
)

// device numbers a block device.
type device struct{ major, minor uint32 }

// String returns the number as the kernel writes it: "259:0".
func (d device) String() string {
	return strconv.FormatUint(uint64(d.major), 10) + ":" + strconv.FormatUint(uint64(d.minor), 10)
}

// devicesInterval is how often at most a name that isn't known is looked for.
const devicesInterval = 10 * time.Second

// DeviceName returns the kernel's name of a block device, "nvme0n1", or "259:0" while that
// can't be known. It reads /proc/diskstats when it meets a device for the first time, at
// most every ten seconds; a caller that comes meanwhile doesn't wait for it. Any number of
// goroutines may call it.
func (fs *FS) DeviceName(major, minor uint32) string {
	d := device{major, minor}
	if names := fs.devices.Load(); names != nil {
		if name, ok := (*names)[d]; ok {
			return name
		}
	}
	if fs.refreshDevices() {
		if name, ok := (*fs.devices.Load())[d]; ok {
			return name
		}
	}
	return d.String()
}

// refreshDevices reads the names anew, unless that was just done or is being done.
func (fs *FS) refreshDevices() bool {
	if !fs.refreshing.TryLock() {
		return false
	}
	defer fs.refreshing.Unlock()
	if now := time.Now(); fs.refreshed.IsZero() || now.Sub(fs.refreshed) >= devicesInterval {
		fs.refreshed = now
	} else {
		return false
	}
	text, err := fs.read("diskstats")
	if err != nil {
		return false // the number serves as a name; Node.Read tells what is wrong
	}
	names := map[device]string{}
	for len(text) > 0 {
		line, rest, whole := cutLine(text)
		text = rest
		if d, ok := cutDisk(line); ok && whole {
			names[d.device] = string(d.name)
		}
	}
	fs.devices.Store(&names)
	return true
}
