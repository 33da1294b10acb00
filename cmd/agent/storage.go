package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/swarmgauge/swarmgauge/docker"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/web"
)

// storage counts what containers' files take on disk: docker knows where they are, proc how
// to count them.
type storage struct {
	engine *docker.Engine
	walker *proc.Walker

	mu      sync.Mutex                // guards missing
	missing [3]map[string]missingWord // by kind of files and container
}

// The kinds of files that a container has.
const (
	layerFiles = iota
	logFiles
	volumeFiles
)

// missingWord is why a container has no number.
type missingWord struct {
	why string
	at  time.Time
}

// stillMissing is how long what was missing is told of: a container is counted again after
// a minute where nothing could be counted, and one that is gone isn't.
const stillMissing = 3 * time.Minute

func newStorage(engine *docker.Engine) *storage {
	s := &storage{engine: engine, walker: proc.NewWalker()}
	for kind := range s.missing {
		s.missing[kind] = map[string]missingWord{}
	}
	return s
}

// count is the collector's Storage.
func (s *storage) count(ctx context.Context, c *metric.Container, to *metric.Sample) {
	began := time.Now()
	files := s.engine.OpenFiles(c)
	defer files.Close()
	if layer, ok := s.walk(ctx, c, layerFiles, files.Layer); ok {
		to.Put(metric.StorageLayer, layer.Bytes)
		to.Put(metric.StorageLayerInodes, layer.Inodes)
		to.AddRow(metric.PerFilesystem, metric.Key{Major: layer.Major, Minor: layer.Minor})
	}
	if logs, ok := s.walk(ctx, c, logFiles, files.Logs); ok {
		to.Put(metric.StorageLogs, logs.Bytes)
	}
	if volumes, ok := s.walk(ctx, c, volumeFiles, files.Volumes); ok {
		to.Put(metric.StorageVolumes, volumes.Bytes)
	}
	if to.Read(metric.PerContainer) {
		to.Put(metric.StorageAsOf, uint64(began.UnixNano()))
	}
}

// walk counts all trees of a kind; ok is false if one of them can't be counted, and then
// the notes say why.
func (s *storage) walk(ctx context.Context, c *metric.Container, kind int, trees docker.Trees) (sum proc.Space, ok bool) {
	err := trees.Err
	for _, dir := range trees.Dirs {
		var one proc.Space
		if one, err = s.walker.Walk(ctx, dir); err != nil {
			break
		}
		one.Bytes += sum.Bytes
		one.Inodes += sum.Inodes
		sum = one
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.missing[kind], c.ID)
		return sum, true
	}
	why := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		return sum, false // the agent ends
	case errors.Is(err, context.DeadlineExceeded):
		why = "there are more files than can be counted in an hour at a twentieth of a core"
	case trees.Err == nil && errors.Is(err, fs.ErrPermission):
		why = "a directory is another user's: give the agent the capability DAC_READ_SEARCH"
	}
	s.missing[kind][c.ID] = missingWord{why, time.Now()}
	return sum, false
}

// notes are sentences about what isn't counted: one for each kind of files and reason.
func (s *storage) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notes []string
	for kind, missing := range s.missing {
		containers := map[string]int{}
		for id, word := range missing {
			if time.Since(word.at) > stillMissing {
				delete(missing, id)
				continue
			}
			containers[word.why]++
		}
		name := [...]string{"layers", "logs", "volumes"}[kind]
		for why, n := range containers {
			notes = append(notes, fmt.Sprintf("what the %s of %d containers take on disk isn't known: %s", name, n, why))
		}
	}
	slices.Sort(notes)
	return notes
}

// families are what counting costs.
func (s *storage) families() []web.Family {
	work, files := s.walker.Work()
	return []web.Family{
		counter("swarmgauge_storage_files_total", "Files and directories of containers that were counted.", float64(files)),
		counter("swarmgauge_storage_seconds_total", "Time spent counting them, waiting for the disk included.", work.Seconds()),
	}
}
