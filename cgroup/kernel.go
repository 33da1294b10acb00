package cgroup

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// kernel is the version of the running kernel.
type kernel struct {
	major, minor uint64
	release      string // "6.1.0-18-amd64"
}

func runningKernel() (kernel, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return kernel{}, err
	}
	return parseKernel(unix.ByteSliceToString(u.Release[:])), nil
}

// parseKernel takes the version from a release; one without is older than every other.
func parseKernel(release string) kernel {
	b := []byte(release)
	major, dot := number(b, 0)
	if !at(b, dot, '.') {
		return kernel{release: release}
	}
	minor, _ := number(b, dot+1)
	return kernel{major, minor, release}
}

// atLeast tells whether k is major.minor or newer.
func (k kernel) atLeast(major, minor uint64) bool {
	return k.major > major || k.major == major && k.minor >= minor
}

// String returns the version without the distribution's additions.
func (k kernel) String() string {
	return "Linux " + strconv.FormatUint(k.major, 10) + "." + strconv.FormatUint(k.minor, 10)
}
