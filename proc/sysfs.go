package proc

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sysfs reads attributes of the kernel's device tree, which is mounted at /sys: small files
// with one value each. Its links are the kernel's own.
type sysfs struct {
	files fs.FS
	// unread are the errors of attributes that are there and can't be read.
	unread []error
}

// text returns an attribute without blanks around it; "" if it isn't there.
func (s *sysfs) text(name string) string {
	b, err := fs.ReadFile(s.files, name)
	switch {
	case err == nil:
		return strings.TrimSpace(string(b))
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EOPNOTSUPP):
		// How a driver says that its device has no such value.
	default:
		s.unread = append(s.unread, err)
	}
	return ""
}

// number returns an attribute that is a decimal number.
func (s *sysfs) number(name string) (v int64, ok bool) {
	v, err := strconv.ParseInt(s.text(name), 10, 64)
	return v, err == nil
}

// count returns an attribute that counts something, 0 if it isn't there.
func (s *sysfs) count(name string) uint64 {
	v, _ := s.number(name)
	return uint64(max(v, 0))
}

// list returns the sorted names of what is in a directory and begins with prefix; none if
// it isn't there.
func (s *sysfs) list(dir, prefix string) []string {
	entries, err := fs.ReadDir(s.files, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.unread = append(s.unread, err)
	}
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// numbered returns the numbers of what is in a directory and is called by prefix and a
// number, as "cpu12"; sorted.
func (s *sysfs) numbered(dir, prefix string) []int {
	var numbers []int
	for _, name := range s.list(dir, prefix) {
		if n, err := strconv.ParseUint(name[len(prefix):], 10, 31); err == nil {
			numbers = append(numbers, int(n))
		}
	}
	return sortedSet(numbers)
}

// join returns the name of what is in a numbered directory: devices/system/cpu, cpu, 3 and
// online make devices/system/cpu/cpu3/online.
func join(dir, prefix string, number int, rest string) string {
	return path.Join(dir, prefix+strconv.Itoa(number), rest)
}
