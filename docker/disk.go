package docker

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Why the disk doesn't tell who a container is, as far as the caller goes on from it.
var (
	// errNoContainers: there is no directory of containers.
	errNoContainers = errors.New("the engine's containers directory isn't there")
	// errNoContainer: the directory is there, and the container isn't in it.
	errNoContainer = errors.New("the container isn't there")
)

// A disk reads the engine's records below its data root. The data root may appear late
// or be mounted over: each reading starts from its path.
type disk struct {
	containers string   // <data root>/containers
	env        []string // prefixes of the variables to take; see environment
}

// recordName is the engine's name of the record of a container, in the container's directory.
const recordName = "config.v2.json"

// open returns the open record of the container id.
//
// The directory of a container is made by the engine and is 0710, the record 0600, both
// root's: uid 0 reads them without any capability.
func (d disk) open(id string) (dir, file, error) {
	all, err := openDir(d.containers)
	if errors.Is(err, fs.ErrNotExist) {
		return dir{}, file{}, errNoContainers
	}
	if err != nil {
		return dir{}, file{}, err
	}
	defer all.close()
	one, err := all.sub(id)
	if errors.Is(err, fs.ErrNotExist) {
		return dir{}, file{}, errNoContainer
	}
	if err != nil {
		return dir{}, file{}, err
	}
	f, err := one.file(recordName)
	if err != nil {
		one.close()
		if errors.Is(err, fs.ErrNotExist) { // being created, or being removed
			err = errNoContainer
		}
		return dir{}, file{}, err
	}
	return one, f, nil
}

// stamp returns the version of the record of the container id with one system call, zero
// where there is none. A record that is the same as before needn't be opened: to open one
// without following a link takes eight (1.5 % of the agent's CPU time, by perf).
func (d disk) stamp(id string) stamp {
	var st unix.Stat_t
	if unix.Fstatat(unix.AT_FDCWD, d.containers+"/"+id+"/"+recordName, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return stamp{}
	}
	return stampOf(&st)
}

// record reads the open record f of the container id.
func (d disk) record(f file, id string) (*record, error) {
	b, err := f.read()
	if err != nil {
		return nil, err
	}
	defer clear(b) // the environment was in it
	r, err := decodeRecord(b, id, d.env)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(), err)
	}
	return r, nil
}

// networkMode reads the network mode out of a container's directory; it never changes.
func (d disk) networkMode(one dir) (string, error) {
	f, err := one.file("hostconfig.json")
	if err != nil {
		return "", err
	}
	defer f.close()
	b, err := f.read()
	if err != nil {
		return "", err
	}
	mode, err := decodeNetworkMode(b)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.path(), err)
	}
	return mode, nil
}
