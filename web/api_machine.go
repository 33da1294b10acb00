package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// errNoMachine is the answer before the first look at the machine.
var errNoMachine = errors.New("the machine has not been looked at yet")

// machine answers with what the machine is made of.
func machine(a *api, w http.ResponseWriter, r *http.Request, _ string) error {
	m, root, err := a.machineAndRoot(r)
	if err != nil {
		return err
	}
	return respond(w, cadvisor.NewMachineInfo(m, root))
}

// attributes answers with a summary of the machine and of what runs on it.
func attributes(a *api, w http.ResponseWriter, r *http.Request, _ string) error {
	m, root, err := a.machineAndRoot(r)
	if err != nil {
		return err
	}
	return respond(w, cadvisor.NewAttributes(m, root, a.Version))
}

// machineAndRoot returns the machine and the newest sample of the node.
func (a *api) machineAndRoot(r *http.Request) (*metric.Machine, *metric.Sample, error) {
	m := a.Machine()
	if m == nil {
		return nil, nil, errNoMachine
	}
	var h collector.History
	if err := a.History(r.Context(), collector.Query{Path: metric.Root, Count: 1, MaxAge: -1}, &h); err != nil {
		return nil, nil, err
	}
	return m, h.Newest(), nil
}

// storage answers with the node's filesystems: all, those with a label, or the one with an id.
func storage(a *api, w http.ResponseWriter, r *http.Request, _ string) error {
	query := r.URL.Query()
	if _, err := parseRequestOptions(query); err != nil {
		return err
	}
	var h collector.History
	if err := a.History(r.Context(), collector.Query{Path: metric.Root, Count: 1, MaxAge: -1}, &h); err != nil {
		return err
	}
	list := filesystems(h.Newest(), a.DockerRoot)
	if uuid := query.Get("uuid"); uuid != "" {
		device, known := a.DeviceByUUID(uuid)
		for _, f := range list {
			if known && f.Device == device {
				return respond(w, f)
			}
		}
		return errors.New("cadvisor: no such device")
	}
	label := query.Get("label")
	switch label {
	case "":
		return respond(w, list)
	case labelRoot, labelImages, "crio-images", "crio-containers":
	default:
		return fmt.Errorf("non-existent label %q", label)
	}
	labeled := []cadvisor.FsInfo{}
	for _, f := range list {
		for _, l := range f.Labels {
			if l == label {
				labeled = append(labeled, f)
			}
		}
	}
	return respond(w, labeled)
}

// The labels of filesystems: the root, and the one that holds the engine's images.
const (
	labelRoot   = "root"
	labelImages = "docker-images"
)

// filesystems returns those in the sample of the node.
func filesystems(s *metric.Sample, dockerRoot string) []cadvisor.FsInfo {
	images := holder(s, dockerRoot)
	list := []cadvisor.FsInfo{}
	for row := range s.Rows(metric.PerFilesystem) {
		key := s.Key(metric.PerFilesystem, row)
		f := cadvisor.FsInfo{
			Timestamp: time.Unix(0, s.Time).UTC(),
			Device:    key.Name, Mountpoint: key.Mountpoint,
		}
		f.Capacity, _ = s.GetRow(metric.FilesystemCapacity, row)
		f.Available, _ = s.GetRow(metric.FilesystemAvailable, row)
		f.Usage, _ = s.GetRow(metric.FilesystemUsed, row)
		if n, ok := s.GetRow(metric.FilesystemInodes, row); ok {
			f.Inodes = &n
		}
		if n, ok := s.GetRow(metric.FilesystemInodesFree, row); ok {
			f.InodesFree = &n
		}
		if row == images {
			f.Labels = append(f.Labels, labelImages)
		}
		if key.Mountpoint == "/" {
			f.Labels = append(f.Labels, labelRoot)
		}
		list = append(list, f)
	}
	return list
}

// holder returns the row of the filesystem that holds path: the one that is mounted
// nearest above it; -1 if none is.
func holder(s *metric.Sample, path string) int {
	nearest, length := -1, -1
	for row := range s.Rows(metric.PerFilesystem) {
		at := strings.TrimSuffix(s.Key(metric.PerFilesystem, row).Mountpoint, "/")
		if (path == at || strings.HasPrefix(path, at+"/")) && len(at) > length {
			nearest, length = row, len(at)
		}
	}
	return nearest
}
