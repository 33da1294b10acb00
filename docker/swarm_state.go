package docker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
)

// statusAPI is the version of the API from which on an engine counts the tasks of services
// itself (Docker 20.10). Without that each answer would be about all tasks.
const statusAPI = "1.41"

// Swarm asks the engine for the state of the Swarm, and tells what has happened to services
// since it was asked last. It returns nil where that isn't for this engine to tell: without
// a socket, outside of a Swarm, on a worker, and on a manager that isn't the leader, so that
// one of all agents tells it; and where the engine doesn't answer within ten seconds, which
// SwarmNotes tells.
//
// It takes some requests whose answers grow with the Swarm: a call for once in some
// seconds, from a goroutine of its own. Of a large Swarm it looks at the tasks of some
// services at a time; see swarmTasks.
func (e *Engine) Swarm(ctx context.Context) (*metric.SwarmState, []metric.Event) {
	if e.socket == nil {
		return nil, nil
	}
	r := &e.swarm
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	state, happened, err := r.read(ctx, e.socket, time.Now())
	if ctx.Err() == context.Canceled {
		return nil, nil
	}
	if state == nil && (err == nil || errors.As(err, new(otherLeader))) {
		r.services, r.tasks = nil, swarmTasks{} // whoever leads meanwhile tells what happens
	}
	e.noteSwarm(err)
	return state, happened
}

// noteSwarm keeps why there is no state of the Swarm for SwarmNotes, and says it once if
// something is wrong.
func (e *Engine) noteSwarm(err error) {
	said, wrong := "", false
	switch {
	case err == nil:
	case errors.As(err, new(*silentError)):
		// Watch says that, too. Without the socket only labels tell of a Swarm.
		if e.cache.find(func(c *metric.Container) bool { return c.Swarm.NodeID != "" }) != nil {
			said = "they are known from the engine's socket on the leader of the managers alone: mount it, if this node may be that (docs/operations.md): " + err.Error()
		}
	case errors.As(err, new(otherLeader)):
		said = err.Error()
	default:
		said, wrong = strings.ReplaceAll(err.Error(), "\n", " "), true
	}
	last := e.swarm.note.Swap(&said)
	if wrong && (last == nil || *last != said) {
		e.log.Warn("the state of the Swarm can't be read; trying again until it can", zap.Error(err))
	}
}

// SwarmChanges returns a channel that says when the state of the Swarm is worth asking for:
// the engine's events, which Watch listens to, told of a service or a node.
func (e *Engine) SwarmChanges() <-chan struct{} { return e.swarmChanges }

// SwarmNotes says in one sentence why this agent doesn't tell the state of the Swarm, where
// one may expect that. Any goroutine may ask.
func (e *Engine) SwarmNotes() []string {
	if said := e.swarm.note.Load(); said != nil && *said != "" {
		return []string{"services, nodes and tasks of the Swarm: " + *said}
	}
	return nil
}

// swarmReader reads the state of the Swarm; all but note under mu.
type swarmReader struct {
	mu sync.Mutex
	// self is this node's id, "" while it isn't known to be a manager.
	self string
	// services are those of the state before by their ids, nil if there was none.
	services map[string]seenService
	tasks    swarmTasks
	note     atomic.Pointer[string]
}

// seenService is a service as it was seen last.
type seenService struct {
	version uint64
	spec    [sha256.Size]byte // of its specification, which has secrets in it
	service metric.Service
}

// otherLeader is the name of the node that leads instead of this one.
type otherLeader string

func (o otherLeader) Error() string {
	return fmt.Sprintf("the agent on %s tells them, the leader of the managers, if it has the engine's socket", string(o))
}

// read asks for everything.
func (r *swarmReader) read(ctx context.Context, s *socket, now time.Time) (*metric.SwarmState, []metric.Event, error) {
	c, err := s.use(ctx)
	if err != nil {
		return nil, nil, err
	}
	if leads, err := r.leads(ctx, s, c); !leads {
		return nil, nil, err
	}
	if v := c.ClientVersion(); versions.LessThan(v, statusAPI) {
		return nil, nil, fmt.Errorf("the engine's API %s is older than %s: it takes Docker 20.10 at least", v, statusAPI)
	}
	nodes, err := c.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, nil, err
	}
	services, err := c.ServiceList(ctx, client.ServiceListOptions{Status: true})
	if err != nil {
		return nil, nil, err
	}
	state := &metric.SwarmState{Time: now}
	for i := range nodes.Items {
		state.Nodes = append(state.Nodes, swarmNode(&nodes.Items[i]))
	}
	for i := range services.Items {
		if services.Items[i].ServiceStatus != nil {
			state.Services = append(state.Services, swarmService(&services.Items[i]))
		}
	}
	if err := r.tasks.read(ctx, c, services.Items, state); err != nil {
		return nil, nil, err
	}
	return state, r.compare(services.Items, state), nil
}

// leads tells whether this node is the leader of the Swarm's managers.
func (r *swarmReader) leads(ctx context.Context, s *socket, c *client.Client) (bool, error) {
	managers, err := c.NodeList(ctx, client.NodeListOptions{Filters: client.Filters{}.Add("role", string(swarm.NodeRoleManager))})
	noManager := errdefs.IsUnavailable(err) && strings.Contains(err.Error(), "not a swarm manager")
	if noManager || errdefs.IsNotFound(err) || errdefs.IsNotImplemented(err) { // or Podman, which has no Swarm
		r.self = ""
		return false, nil
	}
	if client.IsErrConnectionFailed(err) {
		return false, s.failed(ctx, err)
	}
	if err != nil {
		return false, err
	}
	isSelf := func(n *swarm.Node) bool { return n.ID == r.self }
	leader, self := find(managers.Items, isLeader), find(managers.Items, isSelf)
	if self == nil {
		// Asked once, and again when it has left the Swarm and joined again.
		info, err := s.info(ctx)
		if err != nil {
			return false, err
		}
		r.self = info.Swarm.NodeID
		self = find(managers.Items, isSelf)
	}
	switch {
	case leader == nil:
		return false, errors.New("the Swarm has no leader: most of its managers have to reach each other")
	case self == nil || self.ID != leader.ID:
		return false, otherLeader(clean(leader.Description.Hostname, maxText))
	}
	return true, nil
}

func isLeader(n *swarm.Node) bool { return n.ManagerStatus != nil && n.ManagerStatus.Leader }

// find returns the first element that f accepts, nil if there is none.
func find[T any](all []T, f func(*T) bool) *T {
	for i := range all {
		if f(&all[i]) {
			return &all[i]
		}
	}
	return nil
}

func swarmNode(n *swarm.Node) metric.SwarmNode {
	const unit = 1e9 // CPUs are told in billionths
	to := metric.SwarmNode{
		ID:            clean(n.ID, maxText),
		Name:          clean(n.Description.Hostname, maxText),
		Role:          clean(string(n.Spec.Role), maxText),
		Availability:  clean(string(n.Spec.Availability), maxText),
		State:         clean(string(n.Status.State), maxText),
		Message:       clean(n.Status.Message, maxText),
		EngineVersion: clean(n.Description.Engine.EngineVersion, maxText),
		CPUs:          float64(n.Description.Resources.NanoCPUs) / unit,
		MemoryBytes:   uint64(max(n.Description.Resources.MemoryBytes, 0)),
	}
	if n.ManagerStatus != nil {
		to.Leader = n.ManagerStatus.Leader
		to.Reachability = clean(string(n.ManagerStatus.Reachability), maxText)
	}
	return to
}

// swarmService returns a service whose status the engine has told, but for what only its
// tasks tell.
func swarmService(s *swarm.Service) metric.Service {
	to := metric.Service{
		ID:        clean(s.ID, maxText),
		Name:      clean(s.Spec.Name, maxText),
		Stack:     clean(s.Spec.Labels["com.docker.stack.namespace"], maxText),
		Running:   s.ServiceStatus.RunningTasks,
		Desired:   s.ServiceStatus.DesiredTasks,
		Completed: s.ServiceStatus.CompletedTasks,
		Pending:   -1,
		Failed:    -1,
	}
	switch mode := s.Spec.Mode; {
	case mode.Replicated != nil:
		to.Mode = "replicated"
	case mode.Global != nil:
		to.Mode = "global"
	case mode.ReplicatedJob != nil:
		to.Mode = "replicated-job"
		// The engine tells how many may run at once, also when all have run.
		atOnce := value(mode.ReplicatedJob.MaxConcurrent, 1)
		total := value(mode.ReplicatedJob.TotalCompletions, atOnce)
		to.Desired = min(atOnce, total-min(total, to.Completed))
	case mode.GlobalJob != nil:
		to.Mode = "global-job"
	}
	if spec := s.Spec.TaskTemplate.ContainerSpec; spec != nil {
		to.Image = clean(spec.Image, maxText)
	}
	if u := s.UpdateStatus; u != nil {
		to.UpdateState = clean(string(u.State), maxText)
		to.UpdateMessage = clean(u.Message, maxText)
	}
	return to
}

// value returns what p points to, or another number for nil.
func value(p *uint64, otherwise uint64) uint64 {
	if p == nil {
		return otherwise
	}
	return *p
}

// compare tells what happened to services since the state before: none of it, if there was
// no state before.
func (r *swarmReader) compare(services []swarm.Service, state *metric.SwarmState) (happened []metric.Event) {
	before := r.services
	r.services = make(map[string]seenService, len(services))
	tell := func(action metric.Action, at time.Time, s metric.Service) {
		happened = append(happened, metric.Event{
			Time: cmp.Or(at, state.Time).UTC(), Action: action, ID: s.ID, Container: new(metric.Container), Service: &s,
		})
	}
	for i := range services {
		s := &services[i]
		if s.ServiceStatus == nil {
			continue
		}
		seen, known := before[s.ID]
		now := seenService{version: s.Version.Index, spec: seen.spec, service: swarmService(s)}
		if !known || now.version != seen.version {
			now.spec = specHash(&s.Spec)
		}
		r.services[s.ID] = now
		switch {
		case before == nil:
		case !known:
			tell(metric.ServiceCreate, s.CreatedAt, now.service)
		case now.spec != seen.spec:
			tell(metric.ServiceUpdate, s.UpdatedAt, now.service)
		}
	}
	for id, seen := range before {
		if _, is := r.services[id]; !is {
			tell(metric.ServiceRemove, state.Time, seen.service)
		}
	}
	return happened
}

// specHash returns a hash of a specification: it changes when that does, and not with what
// the Swarm notes of a service besides.
func specHash(spec *swarm.ServiceSpec) [sha256.Size]byte {
	text, err := json.Marshal(spec)
	if err != nil {
		panic(err) // it came as JSON
	}
	defer clear(text)
	return sha256.Sum256(text)
}
