package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/moby/client"
	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
)

// errNoSocket stands for the engine's answer where there is no socket to ask.
var errNoSocket = errors.New("no socket was given")

// retryAfter is how long an answer holds that says what is missing.
const retryAfter = 5 * time.Second

// Options say where the runtimes are. All roots are as the agent sees them, below a
// prefix when the node's directories are mounted there.
type Options struct {
	// Root is the engine's data root, "/var/lib/docker" when empty. Who containers are
	// is in its directory containers, and only that has to be mounted; where their
	// files are, in others (see OpenFiles).
	Root string
	// HostRoot is where the node's root is mounted; "" if it isn't.
	HostRoot string
	// UpperDir returns the directory on the node that the process of a container with
	// that id writes to: proc.FS's method. Nil leaves containerd's layers unknown.
	UpperDir func(pid int, id string) (string, error)
	// PodmanRoot is Podman's, "/var/lib/containers" when empty.
	PodmanRoot string
	// PodmanHost is the address of Podman's API, as Host is of the engine's.
	PodmanHost string
	// ContainerdRun is containerd's state directory, "/run/containerd" when empty.
	ContainerdRun string
	// ContainerdSocket is the path of containerd's socket. Empty for none.
	ContainerdSocket string
	// ContainerdNamespace is the namespace of containers of which the state directory
	// doesn't tell it; "k8s.io" when empty.
	ContainerdNamespace string
	// Host is the engine's API: "unix:///var/run/docker.sock", "tcp://10.0.0.1:2376".
	// Empty for none.
	Host string
	// TLS are the files to reach a tcp Host with; nil for plain HTTP.
	TLS *TLS
	// Env are prefixes of keys: variables of a container's environment that begin with one
	// are taken, under their keys in lower case. ContainerdEnv are those for containerd,
	// which keep their case. Without any, no environment is looked at.
	Env, ContainerdEnv []string
	// Log takes what happens to the connection with the engine; nil for nowhere.
	Log *zap.Logger
}

// TLS names PEM files. They are read at each connection, and so may be renewed.
type TLS struct {
	// CA verifies the engine; empty for the system's authorities.
	CA string
	// Cert and Key are the agent's own; both or neither.
	Cert, Key string
}

// An Engine answers who a cgroup is.
type Engine struct {
	root       string
	hostRoot   string
	upperDir   func(pid int, id string) (string, error)
	disk       disk
	socket     *socket // nil without a Host
	podman     podman
	containerd containerd
	cache      cache
	swarm      swarmReader
	log        *zap.Logger
	// swarmChanges has room for one.
	swarmChanges chan struct{}
	// dataRoot is the engine's own word of where its data is, once Node has asked.
	dataRoot atomic.Pointer[string]
}

// New returns an Engine. Nothing needs to be there yet: neither directories nor socket.
// The error is about a Host that can't be understood.
func New(o Options) (*Engine, error) {
	if o.Root == "" {
		o.Root = "/var/lib/docker"
	}
	if o.PodmanRoot == "" {
		o.PodmanRoot = "/var/lib/containers"
	}
	if o.ContainerdRun == "" {
		o.ContainerdRun = "/run/containerd"
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	root := strings.TrimRight(o.Root, "/")
	e := &Engine{
		root:       root,
		hostRoot:   o.HostRoot,
		upperDir:   o.UpperDir,
		disk:       disk{root + "/containers", o.Env},
		podman:     podman{dir: strings.TrimRight(o.PodmanRoot, "/") + "/storage/overlay-containers"},
		containerd: newContainerd(&o),
		log:        o.Log,

		swarmChanges: make(chan struct{}, 1),
	}
	if o.PodmanHost != "" {
		if _, err := client.ParseHostURL(o.PodmanHost); err != nil {
			return nil, fmt.Errorf("the address of Podman's API %q: %w", o.PodmanHost, err)
		}
		e.podman.socket = newSocket(o.PodmanHost, nil, o.Env)
	}
	if o.Host != "" {
		if _, err := client.ParseHostURL(o.Host); err != nil {
			return nil, fmt.Errorf("the engine's address %q: %w", o.Host, err)
		}
		e.socket = newSocket(o.Host, o.TLS, o.Env)
	}
	return e, nil
}

// Close closes the idle connections to the engine. Watch has to have returned.
func (e *Engine) Close() {
	for _, s := range [...]*socket{e.socket, e.podman.socket} {
		if s != nil {
			s.close()
		}
	}
	e.containerd.close()
}

// Inspect returns what is known of the container with that cgroup path: the same pointer
// as before while nothing changed. Instance is left to the caller, who knows the cgroup.
//
// It costs some system calls while the engine's record is the same. The engine's API is
// asked only for a container that the disk doesn't tell of, and then again only after
// an event or some minutes. A container once known stays known while its record can't
// be read; the error, one sentence that names the missing mount or the file, is for one
// that isn't known, or is gone.
func (e *Engine) Inspect(ctx context.Context, path string) (*metric.Container, error) {
	runtime, id, ok := e.Recognize(path)
	if !ok {
		return nil, fmt.Errorf("no container runtime made the cgroup %s", path)
	}
	switch runtime {
	case runtimePodman:
		return e.inspectPodman(ctx, path, id)
	case runtimeContainerd:
		return e.inspectContainerd(ctx, path, id)
	case runtimeCRIO:
		return nil, errors.New("CRI-O's records are not read: its containers are known by their ids alone")
	}
	if e.cache.runtime(path) == runtimeContainerd {
		return e.inspectContainerd(ctx, path, id)
	}
	c, err := e.inspectDocker(ctx, path, id)
	if err != nil && e.containerd.runs(id) {
		// A bare id below a namespace of containerd that nobody told us.
		return e.inspectContainerd(ctx, path, id)
	}
	return c, err
}

func (e *Engine) inspectDocker(ctx context.Context, path, id string) (*metric.Container, error) {
	now := time.Now()
	last := e.cache.get(path, now)
	next := entry{turn: last.turn}
	if last.fresh(e.disk.stamp(id), now) {
		return last.container, last.err
	}
	one, f, err := e.disk.open(id)
	if err == nil {
		defer one.close()
		defer f.close()
		next.stamp = f.stamp
	}
	if err != nil && last.fresh(stamp{}, now) {
		return last.container, last.err // a record that can be seen and not be opened is none
	}
	if err == nil {
		next.container, next.until, err = e.fromDisk(ctx, path, id, one, f, &last, now)
	}
	if err == nil {
		return e.cache.put(path, next, now), nil
	}
	asked := errNoSocket
	if e.socket != nil {
		next.container, next.until, asked = e.fromSocket(ctx, path, id, now)
	}
	if asked == nil {
		return e.cache.put(path, next, now), nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // says nothing of the container
	}
	next.until = now.Add(retryAfter)
	// Gone it is if the source that knew it says so.
	gone := errors.Is(asked, errNoContainer) ||
		errors.Is(err, errNoContainer) && (e.socket == nil || last.stamp != stamp{})
	if last.container != nil && !gone {
		next.container = last.container
	} else {
		next.err = e.explain(id, err, asked)
	}
	return e.cache.put(path, next, now), next.err
}

// fromDisk makes the container out of its open record, and tells until when that holds.
func (e *Engine) fromDisk(ctx context.Context, path, id string, one dir, f file, last *entry, now time.Time) (*metric.Container, time.Time, error) {
	r, err := e.disk.record(f, id)
	if err != nil {
		return nil, time.Time{}, err
	}
	c := r.container(path)
	var until time.Time
	if last.container != nil && last.container.NetworkMode != "" {
		c.NetworkMode = last.container.NetworkMode
	} else if c.NetworkMode, err = e.disk.networkMode(one); err != nil {
		e.log.Debug("the network mode of a container is not known", zap.String("container", id), zap.Error(err))
		until = now.Add(retryAfter)
	}
	if r.State.Running && r.State.Health != nil {
		var healthUntil time.Time
		c.Health, c.FailingStreak, healthUntil = e.health(ctx, r, last, now)
		if until.IsZero() || !healthUntil.IsZero() && healthUntil.Before(until) {
			until = healthUntil
		}
	}
	return c, until, nil
}

// health returns the health of a running container whose record is r, "" while it isn't
// known, how many of its checks have failed in a row, and until when that holds. The record
// alone is true only right after a probe; see the type health.
func (e *Engine) health(ctx context.Context, r *record, last *entry, now time.Time) (string, int, time.Time) {
	started, probed := parseTime(r.State.StartedAt), r.probed()
	if last.told != "" && last.toldAt.After(probed) && last.toldAt.After(started) {
		if last.told != "unhealthy" {
			return last.told, 0, e.socket.recheck(now, 0)
		}
		// Events don't tell how often.
		failing := 0
		if asked, err := e.socket.inspect(ctx, r.ID); err == nil && asked.record.State.Health != nil {
			failing = max(asked.record.State.Health.FailingStreak, 0)
		}
		return last.told, failing, e.socket.recheck(now, 1)
	}
	if until := probed.Add(r.nextProbe()); now.Before(until) {
		word, failing := r.State.Health.told()
		return word, failing, until
	}
	if e.socket != nil {
		if asked, err := e.socket.inspect(ctx, r.ID); err == nil && asked.record.State.Health != nil {
			word, failing := asked.record.State.Health.told()
			return word, failing, e.socket.recheck(now, failing)
		}
	}
	if until := started.Add(r.nextProbe()); probed.IsZero() && now.Before(until) {
		word, failing := r.State.Health.told()
		return word, failing, until
	}
	if e.socket != nil {
		return "", 0, now.Add(retryAfter)
	}
	return "", 0, time.Time{}
}

// told returns the engine's word if it is one that a health check gives, and how many
// checks have failed in a row.
func (h *health) told() (word string, failing int) {
	word = healthWord(h.Status)
	if word == "" {
		return "", 0
	}
	return word, max(h.FailingStreak, 0)
}

// healthWord returns the engine's word if it is one that a health check gives.
func healthWord(s string) string {
	switch s {
	case "starting", "healthy", "unhealthy":
		return s
	}
	return ""
}

// fromSocket asks the engine's API, and tells until when its answer holds.
func (e *Engine) fromSocket(ctx context.Context, path, id string, now time.Time) (*metric.Container, time.Time, error) {
	asked, err := e.socket.inspect(ctx, id)
	if err != nil {
		return nil, time.Time{}, err
	}
	c := asked.container(path, runtimeDocker)
	return c, e.socket.recheck(now, c.FailingStreak), nil
}

// explain makes one sentence of why the container id isn't known, for the operator: what
// is wrong on disk, and with the socket.
func (e *Engine) explain(id string, disk, socket error) error {
	if errors.Is(socket, errNoContainer) {
		return fmt.Errorf("the engine at %s doesn't know the container %.12s: another engine runs it", e.socket.host, id)
	}
	dataRoot, moved := "/var/lib/docker", false
	if told := e.dataRoot.Load(); told != nil {
		dataRoot, moved = *told, !strings.HasSuffix(e.root, *told)
	}
	var why string
	switch {
	case errors.Is(disk, fs.ErrPermission):
		why = disk.Error() + ": run the agent as uid 0, which needs no capability for it"
	case errors.Is(disk, errNoContainers):
		why = fmt.Sprintf("%s isn't there: mount %s/containers read-only into the agent at that path", e.disk.containers, dataRoot)
	case errors.Is(disk, errNoContainer) && moved:
		why = fmt.Sprintf("%s doesn't have the container %.12s: the engine's data root is %s, so mount %s/containers read-only into the agent", e.disk.containers, id, dataRoot, dataRoot)
	case errors.Is(disk, errNoContainer):
		why = fmt.Sprintf("%s doesn't have the container %.12s: another engine runs it, or this one's data root was moved (docker info tells it as Docker Root Dir)", e.disk.containers, id)
	default:
		why = disk.Error()
	}
	if e.socket != nil {
		why += "; and " + socket.Error()
	}
	return errors.New(why)
}

// A Node is what the engine says of the machine and its place in the Swarm. Empty fields
// are not known.
type Node struct {
	// Name is the host name, as Swarm shows it.
	Name string
	// EngineVersion is the engine's: "28.5.2".
	EngineVersion string
	// APIVersion is the version of its API that it and the agent speak.
	APIVersion string
	// Root is the engine's data root, on the node.
	Root string
	// SwarmID is the Swarm node's id, "" outside a Swarm.
	SwarmID string
	// ClusterID is the Swarm's own id, which only managers know.
	ClusterID string
	// Manager tells that the node is one.
	Manager bool
}

// Node asks the engine's API about the node. Without it, what the containers' labels say
// is returned beside an error of one sentence. It makes the engine count its
// containers: a call for start-up and for every few minutes.
func (e *Engine) Node(ctx context.Context) (Node, error) {
	var n Node
	if task := e.cache.find(func(c *metric.Container) bool { return c.Swarm.NodeID != "" }); task != nil {
		n.SwarmID = task.Swarm.NodeID
	}
	if e.socket == nil {
		return n, errors.New("the engine's version and data root are known from its socket alone, and none was given")
	}
	info, err := e.socket.info(ctx)
	if err != nil {
		return n, err
	}
	n = Node{
		Name:          clean(info.Name, maxText),
		EngineVersion: clean(info.ServerVersion, maxText),
		Root:          clean(info.DockerRootDir, maxText),
		SwarmID:       clean(info.Swarm.NodeID, maxText),
		APIVersion:    e.socket.apiVersion(),
		Manager:       info.Swarm.ControlAvailable,
	}
	if info.Swarm.Cluster != nil {
		n.ClusterID = clean(info.Swarm.Cluster.ID, maxText)
	}
	if n.Root != "" {
		e.dataRoot.Store(&n.Root)
	}
	return n, nil
}
