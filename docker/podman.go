package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A podman says who Podman's containers are. Its API (podman system service), which
// speaks Docker's, is asked if a socket was given. Without it there is the container store
// that Podman shares with its sister tools (github.com/containers/storage, driver
// overlay): names and images, all containers in one file, and a folder for each. Labels
// and states are in Podman's database, which only the API tells of.
type podman struct {
	dir    string  // <Podman's root>/storage/overlay-containers
	socket *socket // nil without an address

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

// askAgain is how long an answer of Podman holds while it may be behind what happens.
const askAgain = time.Second

// inspectPodman asks Podman about a container. What the API told holds until the
// container ends, is started again or renamed, which the store shows; a service that
// systemd starts for each question is asked seldom.
func (e *Engine) inspectPodman(ctx context.Context, path, id string) (*metric.Container, error) {
	p := &e.podman
	now := time.Now()
	last := e.cache.get(path, now)
	life, found, err := p.inspect(path, id)
	if last.fresh(life, now) && (err != nil || last.container != nil && last.container.Name == found.Name) {
		return last.container, last.err
	}
	next := entry{turn: last.turn, stamp: life, until: now.Add(retryAfter), container: found, err: err}
	if p.socket != nil {
		asked, askErr := p.socket.inspect(ctx, id)
		switch {
		case askErr == nil:
			next.container, next.err = asked.container(path, runtimePodman), nil
			next.until = now.Add(recheckWatched)
			switch {
			case now.Sub(life.time()) < retryAfter: // it may tell of an end that Podman is about to see
				next.until = now.Add(askAgain)
			case err != nil || next.container.Health != "": // what the store doesn't show
				next.until = now.Add(recheckUnwatched)
			}
		case ctx.Err() != nil:
			return nil, ctx.Err() // says nothing of the container
		case err != nil:
			next.err = fmt.Errorf("%w; and %w", err, askErr)
		case last.toldByAPI() && last.stamp == life && last.container.Name == found.Name:
			next.container = last.container // the labels go on
		}
	}
	return e.cache.put(path, next, now), next.err
}

// toldByAPI reports whether a runtime's API, which knows states, gave the answer.
func (n *entry) toldByAPI() bool { return n.container != nil && n.container.State != "" }

// inspect returns the container id from the store, and the version of its folder; see life.
// The error is one sentence.
func (p *podman) inspect(path, id string) (stamp, *metric.Container, error) {
	found, err := p.find(id)
	life, started := p.life(id)
	if err != nil {
		return life, nil, err
	}
	c := found.container(path)
	c.Started = started
	return life, c, nil
}

// life returns the version of the folder that a container has for its life, and when it
// was started: Podman writes the runtime specification a moment before. Files come into
// the folder with each start, and go with each end; both zero while it can't be read.
func (p *podman) life(id string) (folder stamp, started time.Time) {
	store, err := openDir(p.dir)
	if err != nil {
		return stamp{}, time.Time{}
	}
	defer store.close()
	one, err := store.sub(id)
	if err != nil {
		return stamp{}, time.Time{}
	}
	defer one.close()
	data, err := one.sub("userdata")
	if err != nil {
		return stamp{}, time.Time{}
	}
	defer data.close()
	if f, err := data.file("config.json"); err == nil {
		started = f.stamp.time()
		f.close()
	}
	return data.stamp(), started
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
		Created: p.Created.UTC(),
	}
	if p.ImageID != "" {
		c.ImageID = clean("sha256:"+p.ImageID, maxText) // as Podman's API has it
	}
	if len(p.Names) > 0 {
		c.Name = clean(p.Names[0], maxText)
	}
	var meta podmanMetadata
	if err := json.Unmarshal([]byte(p.Metadata), &meta); err == nil {
		c.Image = clean(meta.ImageName, maxText)
		if c.Name == "" {
			c.Name = clean(meta.Name, maxText) // as it was created: a rename doesn't reach it
		}
	}
	if c.Name == "" {
		c.Unidentified = "Podman's container store has no name for it"
	}
	return c
}
