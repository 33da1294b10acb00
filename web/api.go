package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// API says what cAdvisor's REST API shows. All functions may be called at once.
type API struct {
	// List, History and Occurrences are of a collector.Collector.
	List        func(context.Context, []collector.Listed) ([]collector.Listed, error)
	History     func(context.Context, collector.Query, *collector.History) error
	Occurrences *collector.Occurrences
	// Children returns the names of the cgroups directly below one, sorted, whether they
	// are measured or not: cgroup.Hierarchy's method.
	Children func(path string) []string
	// Machine returns what is known of the machine, nil for nothing yet.
	Machine func() *metric.Machine
	// Processes returns the processes that the node has now; cgroups are the paths of those
	// that are known.
	Processes func(ctx context.Context, cgroups []string) ([]metric.Process, error)
	// DeviceByUUID returns the device ("/dev/sda1") that has the filesystem with an id.
	DeviceByUUID func(uuid string) (device string, known bool)
	// DockerRoot is the engine's data directory on the node, whose filesystem storage
	// labels docker-images.
	DockerRoot string
	// Groups are the groups of metrics that are on.
	Groups cadvisor.Groups
	// Unlimited is what the node's version of cgroups prints for no limit.
	Unlimited cadvisor.Unlimited
	// Version is the agent's.
	Version string
}

// api answers below /api/. Every error is 500 with a sentence, as in cAdvisor, whose
// clients look for these sentences; only what asks for a list gets 400.
type api struct {
	*API
	// expensive is for all but events, streams for streams of these.
	expensive, streams *gate
}

// versions are the versions of the API, each with the requests that it has.
var versions = [...]struct {
	name     string
	requests map[string]request
}{
	{"v1.0", requestsV1("containers", "machine")},
	{"v1.1", requestsV1("containers", "machine", "subcontainers")},
	{"v1.2", requestsV1("containers", "docker", "machine", "subcontainers")},
	{"v1.3", requestsV1("containers", "docker", "events", "machine", "subcontainers")},
	{"v2.0", requestsV2(statsV20)},
	{"v2.1", requestsV2(statsV21, "machinestats")},
}

// request answers one type of request. name is what stands behind the type: an absolute,
// clean path. An error that isn't told before anything was written is 500.
type request func(a *api, w http.ResponseWriter, r *http.Request, name string) error

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, rest, _ := strings.Cut(r.URL.Path, apiPath)
	version, rest, _ := strings.Cut(rest, "/")
	if version == "" {
		var names []string
		for i := range versions {
			names = append(names, versions[i].name)
		}
		http.Error(w, "Supported API versions: "+strings.Join(names, ","), http.StatusBadRequest)
		return
	}
	for i := range versions {
		if versions[i].name == version {
			a.serveVersion(w, r, versions[i].requests, rest)
			return
		}
	}
	http.Error(w, fmt.Sprintf("unsupported API version %q", version), http.StatusInternalServerError)
}

func (a *api) serveVersion(w http.ResponseWriter, r *http.Request, requests map[string]request, rest string) {
	kind, rest, _ := strings.Cut(rest, "/")
	if kind == "" {
		var names []string
		for name := range requests {
			names = append(names, name)
		}
		slices.Sort(names)
		http.Error(w, fmt.Sprintf("Supported request types: %q", strings.Join(names, ",")), http.StatusBadRequest)
		return
	}
	answer, ok := requests[kind]
	if !ok {
		http.Error(w, fmt.Sprintf("unknown request type %q", kind), http.StatusInternalServerError)
		return
	}
	if kind != "events" {
		if !a.expensive.enter(w, r) {
			return
		}
		defer a.expensive.leave()
	}
	if err := answer(a, w, r, path.Join("/", rest)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// respond answers with v as JSON: compact, and without a newline at the end.
func respond(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text) // the client went away: nobody to tell
	return nil
}

// maxBody bounds the body of a request, which has three numbers.
const maxBody = 64 << 10

// samplesWanted is the body of a request to API v1.
type samplesWanted struct {
	NumStats int       `json:"num_stats"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
}

// readBody reads the body of a request to API v1; an empty one is for the newest sixty.
func readBody(r *http.Request) (wanted samplesWanted, err error) {
	wanted.NumStats = 60
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return wanted, fmt.Errorf("unable to read the request body: %w", err)
	}
	if len(text) == 0 {
		return wanted, nil
	}
	if err := json.NewDecoder(strings.NewReader(string(text))).Decode(&wanted); err != nil {
		return wanted, fmt.Errorf("unable to decode the json value: %w", err)
	}
	return wanted, nil
}

// find returns the container of a runtime that name means: its name or its id, or an
// unambiguous beginning of either.
func find(all []collector.Listed, runtime, name string) (*metric.Container, error) {
	var begins []*metric.Container
	for i := range all {
		c := all[i].Container
		if c.Runtime != runtime {
			continue
		}
		if c.ID == name || c.Name == name && name != "" {
			return c, nil
		}
		if strings.HasPrefix(c.ID, name) || strings.HasPrefix(c.Name, name) {
			begins = append(begins, c)
		}
	}
	switch len(begins) {
	case 0:
		return nil, fmt.Errorf("unable to find container %q in %q namespace", name, runtime)
	case 1:
		return begins[0], nil
	}
	return nil, fmt.Errorf("unable to find container in %q namespace. Container %q is not unique", runtime, name)
}

// below returns the containers at and below the cgroup path, sorted.
func below(all []collector.Listed, name string) (paths []string) {
	for i := range all {
		p := all[i].Container.Path
		if p == name || name == metric.Root || strings.HasPrefix(p, name+"/") {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}

// ofRuntime returns the paths of a runtime's containers, sorted.
func ofRuntime(all []collector.Listed, runtime string) (paths []string) {
	for i := range all {
		if c := all[i].Container; c.Runtime == runtime {
			paths = append(paths, c.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

// answer is what one request works with.
type answer struct {
	a       *api
	history collector.History
	stats   cadvisor.ContainerStats
	inst    cadvisor.CPUInst
	prev    metric.Sample
	text    []byte
}

// load loads the samples of a container. The error of one that isn't there is cAdvisor's.
func (n *answer) load(r *http.Request, q collector.Query) error {
	err := n.a.History(r.Context(), q, &n.history)
	if errors.Is(err, collector.ErrUnknown) {
		return fmt.Errorf("unknown container %q", q.Path)
	}
	return err
}

// observation is of the newest sample that was loaded.
func (n *answer) observation() *cadvisor.Observation {
	h := &n.history
	return &cadvisor.Observation{Node: h.Node, Container: h.Container, Sample: h.Newest(), Now: time.Now()}
}

// spec is the specification of the container that was loaded. One that is in the network of
// another container has none of its own.
func (n *answer) spec() cadvisor.ContainerSpec {
	spec := cadvisor.Spec(n.observation(), n.a.Groups, n.a.Unlimited)
	if of := n.history.NetworkOf; of != "" && of != metric.Root {
		spec.HasNetwork = false
	}
	return spec
}

// fill makes n.stats what the sample says, as far as the groups that are on go.
func (n *answer) fill(s *metric.Sample) {
	n.stats.Fill(n.history.Container, s)
	n.stats.Keep(n.a.Groups)
}
