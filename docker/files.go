package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Files are the directories in which a container's files lie on the node's disks.
type Files struct {
	// Layer is what the container wrote into its own layer, a single directory.
	Layer Trees
	// Logs is what the runtime keeps of it: its log, its configuration.
	Logs Trees
	// Volumes are the named and anonymous volumes that are mounted into it, each once.
	// Left out are bind mounts, volumes of other drivers than "local", and those that
	// the driver mounts from elsewhere (NFS, a device, a bind): they don't lie among
	// the engine's files.
	Volumes Trees
}

// Trees are directories, open with O_PATH, and good to be opened in.
type Trees struct {
	Dirs []int
	// Err says in one sentence why they aren't known, and what mends it; nil else.
	Err error
}

// Close closes all directories.
func (f *Files) Close() {
	for _, trees := range [...]*Trees{&f.Layer, &f.Logs, &f.Volumes} {
		for _, fd := range trees.Dirs {
			unix.Close(fd)
		}
		trees.Dirs = nil
	}
}

func treesOf(err error, dirs ...dir) Trees {
	if err != nil {
		return Trees{Err: err}
	}
	t := Trees{}
	for _, d := range dirs {
		t.Dirs = append(t.Dirs, d.fd)
	}
	return t
}

// OpenFiles finds the directories of a container. The caller closes them. No link below
// the runtimes' roots is followed.
func (e *Engine) OpenFiles(c *metric.Container) Files {
	switch c.Runtime {
	case runtimeDocker:
		return e.dockerFiles(c)
	case runtimePodman:
		return e.podman.files(c.ID)
	}
	err := fmt.Errorf("where %s keeps a container's files isn't known here", c.Runtime)
	return Files{Trees{Err: err}, Trees{Err: err}, Trees{Err: err}}
}

// filesRecord is what tells in the engine's record of a container, config.v2.json, where
// its files are. Driver is the storage driver or, with the containerd image store, the
// snapshotter.
type filesRecord struct {
	ID, Driver  string
	MountPoints map[string]struct{ Name, Driver string }
}

// decodeFilesRecord reads the contents of config.v2.json of the container id.
func decodeFilesRecord(b []byte, id string) (*filesRecord, error) {
	r := new(filesRecord)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	if r.ID != id {
		return nil, fmt.Errorf("it is the record of container %q", clean(r.ID, maxText))
	}
	return r, nil
}

func (e *Engine) dockerFiles(c *metric.Container) Files {
	one, r, err := e.filesRecord(c.ID)
	if err != nil {
		return Files{Trees{Err: err}, Trees{Err: err}, Trees{Err: err}}
	}
	layer, err := e.openLayer(c, r.Driver)
	files := Files{Layer: treesOf(err, layer), Logs: treesOf(nil, one)}
	volumes, err := e.openVolumes(r)
	files.Volumes = treesOf(err, volumes...)
	return files
}

// filesRecord reads the record of a container, and returns its open directory.
func (e *Engine) filesRecord(id string) (dir, *filesRecord, error) {
	one, f, err := e.disk.open(id)
	if err != nil {
		if errors.Is(err, errNoContainers) {
			err = e.notMounted("containers")
		}
		return dir{}, nil, explainPermission(err)
	}
	defer f.close()
	b, err := f.read()
	if err == nil {
		defer clear(b) // the environment was in it
		var r *filesRecord
		if r, err = decodeFilesRecord(b, id); err == nil {
			return one, r, nil
		}
	}
	one.close()
	return dir{}, nil, fmt.Errorf("%s: %w", f.path(), err)
}

// openLayer opens what a container wrote into its own layer. The storage drivers that keep
// plain directories name them in a file of their own; for the containerd image store the
// kernel knows what it has mounted.
func (e *Engine) openLayer(c *metric.Container, driver string) (dir, error) {
	switch driver {
	case "overlay2", "fuse-overlayfs":
		return e.openNamedLayer(c.ID, driver, driver, "diff")
	case "overlay":
		return e.openNamedLayer(c.ID, driver, driver, "upper")
	case "vfs": // a copy of the image as well, because that is what it takes
		return e.openNamedLayer(c.ID, driver, "vfs/dir", "")
	case "overlayfs":
		return e.openSnapshot(c)
	}
	return dir{}, fmt.Errorf("what layers take with the storage driver %q isn't counted", clean(driver, maxText))
}

// openNamedLayer opens <root>/<parent>/<name>/<last>, the name of a container's layer being
// in <root>/image/<driver>/layerdb/mounts/<id>/mount-id.
func (e *Engine) openNamedLayer(id, driver, parent, last string) (dir, error) {
	names := "image/" + driver + "/layerdb"
	all, err := e.openFolders(names, parent)
	if err != nil {
		return dir{}, err
	}
	defer all[0].close()
	defer all[1].close()
	name, err := layerName(all[0], id)
	if err != nil {
		return dir{}, explainPermission(err)
	}
	layer, err := all[1].below(name + "/" + last)
	return layer, explainPermission(err)
}

// layerName reads the name of a container's layer.
func layerName(names dir, id string) (string, error) {
	one, err := names.below("mounts/" + id)
	if err != nil {
		return "", err
	}
	defer one.close()
	f, err := one.file("mount-id")
	if err != nil {
		return "", err
	}
	defer f.close()
	b, err := f.read()
	if err == nil && !isName(string(b)) {
		err = fmt.Errorf("%s: %q is no name of a layer", f.path(), clean(string(b), maxText))
	}
	return string(b), err
}

// openSnapshot opens the snapshot that a container of the containerd image store writes to,
// as the kernel names it for the container's first process. One that may mount could make
// it name anything: it has to be a snapshot of containerd's, and no link leads to it.
//
//	/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs
func (e *Engine) openSnapshot(c *metric.Container) (dir, error) {
	if e.upperDir == nil || c.PID == 0 {
		return dir{}, errors.New("the process of the container isn't known, whose mounts tell where its layer is")
	}
	upper, err := e.upperDir(c.PID, c.ID)
	if err != nil {
		return dir{}, fmt.Errorf("where the container's layer is: %w", err)
	}
	snapshots, ok := snapshotsOf(upper)
	if !ok {
		return dir{}, fmt.Errorf("the container's layer is %q, no snapshot of containerd's", clean(upper, maxText))
	}
	err = fs.ErrNotExist
	for _, place := range e.places(upper) {
		var base, layer dir
		if base, err = openDir(place.base); err != nil {
			continue
		}
		layer, err = base.below(place.path)
		base.close()
		if err == nil {
			return layer, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return dir{}, &NotMounted{OnNode: []string{snapshots}, At: []string{snapshots}}
	}
	return dir{}, explainPermission(err)
}

// snapshotsOf returns the directory of containerd's that the snapshot lies in; ok is false
// for what isn't a snapshot.
func snapshotsOf(upper string) (snapshots string, ok bool) {
	_, last, ok := strings.Cut(upper, "/io.containerd.snapshotter.v1.overlayfs/snapshots/")
	number, isLast := strings.CutSuffix(last, "/fs")
	if !ok || !isLast || number == "" || strings.Trim(number, "0123456789") != "" || !path.IsAbs(upper) || path.Clean(upper) != upper {
		return "", false
	}
	return strings.TrimSuffix(upper, "/"+last), true
}

// place is a path of the node as the agent may see it: below a base that is the
// operator's.
type place struct{ base, path string }

// places returns where the agent may see a path of the node.
func (e *Engine) places(onNode string) []place {
	var places []place
	if e.hostRoot != "" {
		places = append(places, place{e.hostRoot, onNode})
	}
	if rest, ok := strings.CutPrefix(onNode, e.nodeRoot()+"/"); ok {
		places = append(places, place{e.root, rest})
	}
	return append(places, place{"/", onNode})
}

// openVolumes opens the volumes of a container that lie among the engine's files.
func (e *Engine) openVolumes(r *filesRecord) (open []dir, err error) {
	defer func() {
		if err != nil {
			for _, d := range open {
				d.close()
			}
			open, err = nil, explainPermission(err)
		}
	}()
	done := map[string]bool{}
	for _, m := range r.MountPoints {
		if m.Driver != "local" || done[m.Name] {
			continue // a bind mount has no driver
		}
		if !isName(m.Name) {
			return open, fmt.Errorf("%q is no name of a volume", clean(m.Name, maxText))
		}
		done[m.Name] = true
		volume, err := e.openVolume(m.Name)
		if err != nil {
			return open, err
		}
		if volume.fd >= 0 {
			open = append(open, volume)
		}
	}
	return open, nil
}

// openVolume opens a volume of the driver "local"; the descriptor is -1 for one that lies
// elsewhere.
func (e *Engine) openVolume(name string) (dir, error) {
	all, err := e.openFolders("volumes")
	if err != nil {
		return dir{}, err
	}
	defer all[0].close()
	volume, err := all[0].sub(name)
	if err != nil {
		return dir{}, err
	}
	defer volume.close()
	if mounted, err := volume.isMounted(); err != nil || mounted {
		return dir{fd: -1}, err
	}
	data, err := volume.sub("_data")
	if err != nil {
		return dir{}, err
	}
	if data.device() != volume.device() { // by somebody else
		data.close()
		return dir{fd: -1}, nil
	}
	return data, nil
}

// isMounted tells whether the driver mounts something else as the volume whose directory d
// is, as "docker volume create --opt device=…" makes it. Options may also be no more than
// a quota.
func (d dir) isMounted() (bool, error) {
	f, err := d.file("opts.json")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.close()
	b, err := f.read()
	if err != nil {
		return false, err
	}
	defer clear(b) // options of CIFS hold passwords
	var options struct{ MountType, MountDevice string }
	if err := json.Unmarshal(b, &options); err != nil {
		return false, fmt.Errorf("%s: %w", f.path(), err)
	}
	return options.MountType != "" || options.MountDevice != "", nil
}

// files finds the directories of one of Podman's containers. Which volumes it has is in
// Podman's database.
func (p *podman) files(id string) Files {
	files := Files{Volumes: Trees{Err: errors.New("what volumes Podman's containers have isn't known: its database isn't read")}}
	layer, logs, err := p.openFiles(id)
	files.Layer, files.Logs = treesOf(err, layer), treesOf(err, logs)
	return files
}

func (p *podman) openFiles(id string) (layer, logs dir, err error) {
	c, err := p.find(id)
	if err != nil {
		return dir{}, dir{}, err
	}
	if !isName(c.Layer) {
		return dir{}, dir{}, fmt.Errorf("%q is no name of a layer", clean(c.Layer, maxText))
	}
	store, err := openDir(p.dir)
	if err != nil {
		return dir{}, dir{}, err
	}
	defer store.close()
	if logs, err = store.below(id + "/userdata"); err != nil {
		return dir{}, dir{}, explainPermission(err)
	}
	layers, err := openDir(path.Dir(p.dir) + "/overlay")
	if err == nil {
		defer layers.close()
		layer, err = layers.below(c.Layer + "/diff")
	}
	if err != nil {
		logs.close()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("mount Podman's %s/overlay read-only into the agent, at the same path", path.Dir(p.dir))
		}
		return dir{}, dir{}, explainPermission(err)
	}
	return layer, logs, nil
}

// openFolders opens folders of the data root, which are mounted into the agent together or
// not at all.
func (e *Engine) openFolders(folders ...string) (open []dir, err error) {
	for _, folder := range folders {
		d, err := openDir(e.root + "/" + folder)
		if err == nil {
			open = append(open, d)
			continue
		}
		for _, d := range open {
			d.close()
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = e.notMounted(folders...)
		}
		return nil, explainPermission(err)
	}
	return open, nil
}

// NotMounted says that directories of the node aren't mounted into the agent.
type NotMounted struct {
	// OnNode are the directories, At where each is expected.
	OnNode, At []string
	// Below is the directory that At are in, "" where they are expected at their own paths.
	Below string
}

// Error tells the operator to mount them.
func (e *NotMounted) Error() string {
	where := "at the same path"
	if e.Below != "" {
		where = "below " + e.Below
	}
	return fmt.Sprintf("mount the node's %s read-only into the agent, %s", strings.Join(e.OnNode, " and "), where)
}

// notMounted returns the error for folders of the data root.
func (e *Engine) notMounted(folders ...string) error {
	err := &NotMounted{Below: e.root}
	for _, folder := range folders {
		err.OnNode = append(err.OnNode, e.nodeRoot()+"/"+folder)
		err.At = append(err.At, e.root+"/"+folder)
	}
	return err
}

// explainPermission adds what an operator can do about it.
func explainPermission(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run the agent as uid 0, with the capability DAC_READ_SEARCH", err)
	}
	return err
}

// nodeRoot returns the engine's data root on the node.
func (e *Engine) nodeRoot() string {
	if told := e.dataRoot.Load(); told != nil {
		return *told
	}
	return "/var/lib/docker"
}

// isName tells whether a runtime may have given a directory that name.
func isName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00\n")
}

// below opens the directory at a path in d that has several elements; no link on the way is
// followed.
func (d dir) below(elements string) (dir, error) {
	at, opened := d, false
	for name := range strings.SplitSeq(strings.Trim(elements, "/"), "/") {
		next, err := at.sub(name)
		if opened {
			at.close()
		}
		if err != nil {
			return dir{}, err
		}
		at, opened = next, true
	}
	return at, nil
}

// device returns the device below the filesystem of d, without asking a server for it.
func (d dir) device() uint64 {
	var st unix.Statx_t
	if unix.Statx(d.fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, &st) != nil {
		return 0
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor)
}
