package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A containerd says who containerd's containers are: by the bundle that it leaves for each
// running task, which has the OCI runtime specification and the process, and by its API
// if a socket was given. Labels, images and the time of creation are in containerd's
// database, of which the API alone tells; nerdctl and the CRI leave annotations in the
// specification, too.
//
// containerd itself knows containers by their ids alone, so that a container to which
// nobody gave a name has its id for one, as in cAdvisor.
type containerd struct {
	tasks     string   // <state directory>/io.containerd.runtime.v2.task
	namespace string   // of containers that have no bundle in tasks
	env       []string // prefixes of the variables to take; see environment
	api       *containerdAPI
}

func newContainerd(o *Options) containerd {
	c := containerd{
		tasks:     strings.TrimRight(o.ContainerdRun, "/") + "/io.containerd.runtime.v2.task",
		namespace: o.ContainerdNamespace,
		env:       o.ContainerdEnv,
	}
	if c.namespace == "" {
		c.namespace = "k8s.io"
	}
	if o.ContainerdSocket != "" {
		c.api = newContainerdAPI(strings.TrimPrefix(o.ContainerdSocket, "unix://"))
	}
	return c
}

func (c *containerd) close() {
	if c.api != nil {
		c.api.close()
	}
}

// mobyNamespace is the namespace in which Docker runs its containers, whose records it
// keeps itself.
const mobyNamespace = "moby"

// inspectContainerd asks containerd about a container.
func (e *Engine) inspectContainerd(ctx context.Context, path, id string) (*metric.Container, error) {
	c := &e.containerd
	now := time.Now()
	last := e.cache.get(path, now)
	b, err := c.open(id)
	if err == nil {
		defer b.close()
	}
	if last.fresh(b.started, now) {
		return last.container, last.err
	}
	next := entry{turn: last.turn, stamp: b.started, until: now.Add(retryAfter)}
	if err == nil {
		next.container, err = b.container(path, id, c.env)
		next.until = now.Add(recheckWatched) // nothing of it changes
	}
	next.err = err
	if c.api != nil {
		namespace := b.namespace
		if namespace == "" {
			namespace = c.namespace
		}
		asked, askErr := c.api.get(ctx, namespace, id)
		switch {
		case askErr == nil:
			next.container, next.err = asked.container(next.container, path, id), nil
			if err != nil { // another start can't be seen
				next.until = now.Add(recheckUnwatched)
			}
		case ctx.Err() != nil:
			return nil, ctx.Err() // says nothing of the container
		case err != nil:
			next.err = fmt.Errorf("%w; and %w", err, askErr)
		default:
			next.until = now.Add(retryAfter)
			if last.container != nil && last.stamp == b.started {
				next.container = last.container // the labels go on
			}
		}
	}
	return e.cache.put(path, next, now), next.err
}

// runs reports whether a task id has a bundle that isn't Docker's.
func (c *containerd) runs(id string) bool {
	b, err := c.open(id)
	if err != nil {
		return false
	}
	defer b.close()
	return b.namespace != mobyNamespace
}

// A bundle is what containerd leaves of a running task.
type bundle struct {
	dir       dir
	namespace string
	started   stamp // of the file with the process, written at the start
}

func (b *bundle) close() { b.dir.close() }

// open finds the bundle of a task, whichever namespace it is in. Its error is one sentence.
func (c *containerd) open(id string) (bundle, error) {
	tasks, err := openDir(c.tasks)
	if err != nil {
		return bundle{}, fmt.Errorf("mount containerd's %s read-only into the agent: %w", c.tasks, err)
	}
	defer tasks.close()
	namespaces, err := tasks.names()
	if err != nil {
		return bundle{}, err
	}
	for _, namespace := range namespaces {
		one, err := openBundle(tasks, namespace, id)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return bundle{}, err
		}
		b := bundle{dir: one, namespace: namespace}
		// Not there for a moment: between the bundle and its process.
		if f, err := one.file(pidFile); err == nil {
			b.started = f.stamp
			f.close()
		}
		return b, nil
	}
	return bundle{}, fmt.Errorf("%s doesn't have the container %.12s in any namespace: another containerd runs it", c.tasks, id)
}

func openBundle(tasks dir, namespace, id string) (dir, error) {
	all, err := tasks.sub(namespace)
	if err != nil {
		return dir{}, err
	}
	defer all.close()
	return all.sub(id)
}

// pidFile has the number of a task's first process, in the node's own PID namespace.
const pidFile = "init.pid"

// container reads the bundle.
func (b *bundle) container(path, id string, env []string) (*metric.Container, error) {
	spec, err := b.spec(env)
	if err != nil {
		return nil, err
	}
	c := spec.container(path, id)
	c.Started = b.started.time()
	if f, err := b.dir.file(pidFile); err == nil {
		defer f.close()
		if text, err := f.read(); err == nil {
			c.PID, _ = strconv.Atoi(string(text)) // 0 is not known
		}
	}
	return c, nil
}

func (b *bundle) spec(env []string) (*ociSpec, error) {
	f, err := b.dir.file("config.json")
	if err != nil {
		return nil, err
	}
	defer f.close()
	text, err := f.read()
	if err != nil {
		return nil, err
	}
	defer clear(text) // the environment was in it
	spec, err := decodeSpec(text, env)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(), err)
	}
	return spec, nil
}

// ociSpec is what is wanted of the OCI runtime specification: of the process, whose
// environment holds secrets, only the variables that were asked for.
type ociSpec struct {
	Annotations map[string]string `json:"annotations"`
	Process     struct {
		Env environment `json:"env"`
	} `json:"process"`
}

// decodeSpec reads the contents of config.json.
func decodeSpec(b []byte, env []string) (*ociSpec, error) {
	spec := new(ociSpec)
	spec.Process.Env.prefixes = env
	if err := json.Unmarshal(b, spec); err != nil {
		return nil, err
	}
	return spec, nil
}

func (s *ociSpec) container(path, id string) *metric.Container {
	return &metric.Container{
		Path:    path,
		Runtime: runtimeContainerd,
		ID:      id,
		Name:    nameOf(s.Annotations, id),
		Image:   clean(s.Annotations["io.kubernetes.cri.image-name"], maxText),
		Env:     s.Process.Env.labels(func(key string) string { return key }),
	}
}

// nameOf returns the name that a client of containerd gave to its container in the
// annotations or the labels, or else the id.
func nameOf(told map[string]string, id string) string {
	for _, key := range [...]string{"nerdctl/name", "io.kubernetes.cri.container-name", "io.kubernetes.container.name"} {
		if name := clean(told[key], maxText); name != "" {
			return name
		}
	}
	return id
}
