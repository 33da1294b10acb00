package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// A containerd reads the OCI runtime specification that containerd leaves for each
// running task. It has a name only if the client made one an annotation, as nerdctl and
// the CRI do; labels, images and states are in containerd's database, and stay unknown.
type containerd struct {
	tasks string   // <state directory>/io.containerd.runtime.v2.task
	env   []string // prefixes of the variables to take; see environment
}

// ociSpec is what is wanted of the OCI runtime specification: of the process, whose
// environment holds secrets, only the variables that were asked for.
type ociSpec struct {
	Annotations map[string]string `json:"annotations"`
	Process     struct {
		Env environment `json:"env"`
	} `json:"process"`
}

// inspect returns the container id, whichever namespace it is in. Its error is one
// sentence.
func (c *containerd) inspect(path, id string) (*metric.Container, error) {
	tasks, err := openDir(c.tasks)
	if err != nil {
		return nil, fmt.Errorf("mount containerd's %s read-only into the agent: %w", c.tasks, err)
	}
	defer tasks.close()
	namespaces, err := tasks.names()
	if err != nil {
		return nil, err
	}
	for _, namespace := range namespaces {
		spec, err := readSpec(tasks, namespace, id, c.env)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return spec.container(path, id, namespace), nil
	}
	return nil, fmt.Errorf("%s doesn't have the container %.12s in any namespace: another containerd runs it", c.tasks, id)
}

func readSpec(tasks dir, namespace, id string, env []string) (*ociSpec, error) {
	all, err := tasks.sub(namespace)
	if err != nil {
		return nil, err
	}
	defer all.close()
	bundle, err := all.sub(id)
	if err != nil {
		return nil, err
	}
	defer bundle.close()
	f, err := bundle.file("config.json")
	if err != nil {
		return nil, err
	}
	defer f.close()
	b, err := f.read()
	if err != nil {
		return nil, err
	}
	defer clear(b) // the environment was in it
	spec, err := decodeSpec(b, env)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(), err)
	}
	return spec, nil
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

func (s *ociSpec) container(path, id, namespace string) *metric.Container {
	c := &metric.Container{
		Path:    path,
		Runtime: runtimeContainerd,
		ID:      id,
		Image:   clean(s.Annotations["io.kubernetes.cri.image-name"], maxText),
		Env:     s.Process.Env.labels(func(key string) string { return key }),
	}
	for _, key := range []string{"nerdctl/name", "io.kubernetes.cri.container-name"} {
		if name := s.Annotations[key]; name != "" && c.Name == "" {
			c.Name = clean(name, maxText)
		}
	}
	if c.Name == "" {
		c.Unidentified = fmt.Sprintf("containerd gives the container no name, only its namespace %q", clean(namespace, maxText))
	}
	return c
}
