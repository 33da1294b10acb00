package proc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// UpperDir returns the directory that the root filesystem of a container's process writes
// to: the upper one of an overlay, as whoever mounted it has named it, which is a path on
// the node. The process has to be in the container with that id, or the agent itself.
//
// A container that may mount can make this name any directory: the caller has to know what
// it is looking for.
func (fs *FS) UpperDir(pid int, id string) (string, error) {
	if !fs.InCgroup(pid, id) {
		if self, err := fs.Self(); err != nil || pid != self {
			return "", ErrGone
		}
	}
	text, err := fs.read(pidDir(pid) + "/mountinfo")
	if gone(err) {
		return "", ErrGone
	}
	if err != nil {
		return "", err
	}
	upper, err := upperDir(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", fs.path(pidDir(pid)+"/mountinfo"), err)
	}
	return upper, nil
}

// errNoUpperDir: the root isn't an overlay that is written to.
var errNoUpperDir = errors.New("the root isn't an overlay with an upper directory")

// upperDir returns the option upperdir of what is mounted at "/" in a mountinfo file
// (filesystems/proc.rst), of the last one if there are several, which covers the others:
//
//	733 684 0:111 / / rw,relatime - overlay overlay rw,lowerdir=/…/2/fs:/…/1/fs,upperdir=/…/7/fs,workdir=/…/7/work
func upperDir(text []byte) (string, error) {
	roots, err := mountinfo.GetMountsFromReader(bytes.NewReader(text), func(m *mountinfo.Info) (skip, stop bool) {
		return m.Mountpoint != "/", false
	})
	if err != nil {
		return "", err
	}
	if len(roots) == 0 || roots[len(roots)-1].FSType != "overlay" {
		return "", errNoUpperDir
	}
	for option := range strings.SplitSeq(roots[len(roots)-1].VFSOptions, ",") {
		if upper, ok := strings.CutPrefix(option, "upperdir="); ok && strings.HasPrefix(upper, "/") {
			return unescapeOctal(upper), nil
		}
	}
	return "", errNoUpperDir
}

// unescapeOctal replaces "\054" by a comma, and so on: the kernel writes blanks, commas,
// backslashes and what else would be misread in the options of a mount so (fs/seq_file.c).
func unescapeOctal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			b = append(b, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func isOctal(c byte) bool { return '0' <= c && c <= '7' }
