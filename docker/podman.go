package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A podman reads the container store that Podman shares with its sister tools
// (github.com/containers/storage, driver overlay): names and images, all containers in
// one file. Labels and states are in Podman's database, and stay unknown.
type podman struct {
	dir string // <Podman's root>/storage/overlay-containers

	mu     sync.Mutex // guards stores
	stores [2]podmanStore
}

// podmanStores are the files of the store: the containers of "podman run --rm", which a
// reboot may forget, have one of their own.
func podmanStores() [2]string { return [2]string{"containers.json", "volatile-containers.json"} }

// A podmanStore is one file, decoded when it changed.
type podmanStore struct {
	stamp stamp
	byID  map[string]podmanContainer
}

// podmanContainer is an element of the file.
type podmanContainer struct {
	ID       string    `json:"id"`
	Names    []string  `json:"names"`
	ImageID  string    `json:"image"`
	Layer    string    `json:"layer"`
	Metadata string    `json:"metadata"` // JSON, see podmanMetadata
	Created  time.Time `json:"created"`
}

// podmanMetadata is what Podman leaves in the store about its container.
type podmanMetadata struct {
	ImageName string `json:"image-name"`
	Name      string `json:"name"`
}

// inspect returns the container id. Its error is one sentence.
func (p *podman) inspect(path, id string) (*metric.Container, error) {
	c, err := p.find(id)
	if err != nil {
		return nil, err
	}
	return c.container(path), nil
}

// find returns what the store has of the container id. Its error is one sentence.
func (p *podman) find(id string) (podmanContainer, error) {
	store, err := openDir(p.dir)
	if err != nil {
		return podmanContainer{}, fmt.Errorf("mount Podman's %s read-only into the agent: %w", p.dir, err)
	}
	defer store.close()
	for i, name := range podmanStores() {
		byID, err := p.load(i, store, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return podmanContainer{}, err
		}
		if c, ok := byID[id]; ok {
			return c, nil
		}
	}
	return podmanContainer{}, fmt.Errorf("%s doesn't have the container %.12s: it runs without root, or Podman's root is elsewhere", p.dir, id)
}

// load returns the containers in the i-th file. The map is not changed any more.
func (p *podman) load(i int, store dir, name string) (map[string]podmanContainer, error) {
	f, err := store.file(name)
	if err != nil {
		return nil, err
	}
	defer f.close()
	p.mu.Lock()
	s := p.stores[i]
	p.mu.Unlock()
	if s.byID != nil && s.stamp == f.stamp {
		return s.byID, nil
	}
	b, err := f.read()
	if err != nil {
		return nil, err
	}
	s = podmanStore{stamp: f.stamp}
	if s.byID, err = decodePodman(b); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(), err)
	}
	p.mu.Lock()
	p.stores[i] = s
	p.mu.Unlock()
	return s.byID, nil
}

// decodePodman reads the contents of containers.json.
func decodePodman(b []byte) (map[string]podmanContainer, error) {
	var all []podmanContainer
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	byID := make(map[string]podmanContainer, len(all))
	for _, c := range all {
		byID[c.ID] = c
	}
	return byID, nil
}

func (p *podmanContainer) container(path string) *metric.Container {
	c := &metric.Container{
		Path:    path,
		Runtime: runtimePodman,
		ID:      p.ID,
		ImageID: clean(p.ImageID, maxText),
		Created: p.Created.UTC(),
	}
	var meta podmanMetadata
	if err := json.Unmarshal([]byte(p.Metadata), &meta); err == nil {
		c.Name, c.Image = clean(meta.Name, maxText), clean(meta.ImageName, maxText)
	}
	if c.Name == "" && len(p.Names) > 0 {
		c.Name = clean(p.Names[0], maxText)
	}
	if c.Name == "" {
		c.Unidentified = "Podman's container store has no name for it"
	}
	return c
}
