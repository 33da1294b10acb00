package main

import (
	"cmp"
	"context"
	"os"
	"regexp"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/swarmgauge/swarmgauge/docker"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// place is where the agent runs, as far as it can be told from inside.
type place struct {
	kind placeKind
	// service is the key of the agent's service in the stack or compose file.
	service string
	// fullName is that of the service in the Swarm, "" where it isn't known.
	fullName string
	// id is that of the agent's own container, "" if there is none or it isn't known.
	id string
	// dataRoot is the data root of the engine that runs the container, as the mounts tell;
	// "" if they don't.
	dataRoot string
	// sources are where mounts come from on the node, by their places.
	sources map[string]string
}

type placeKind uint8

const (
	onHost placeKind = iota
	inContainer
	// inService is a service of a stack, or of a compose file.
	inService
)

// String says where the agent is.
func (p *place) String() string {
	switch p.kind {
	case inService:
		return "in a service of a stack (" + p.service + ")"
	case inContainer:
		return "in a container"
	}
	return "on the host"
}

// engineMount is where the engine keeps what it mounts into a container as its files in
// /etc, below the root of a filesystem.
//
//	/var/lib/docker/containers/<id>/hostname
//	/var/lib/containers/storage/overlay-containers/<id>/userdata/hostname
var engineMount = regexp.MustCompile(`^(.*)/(?:containers|overlay-containers)/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)$`)

// volumeMount is where the driver "local" has its volumes.
var volumeMount = regexp.MustCompile(`^(.*)/volumes/[^/]+/_data(?:/|$)`)

// secretMount is a Swarm secret, by its id, in the memory where the engine has them.
var secretMount = regexp.MustCompile(`^/[0-9a-z]{25}$`)

// placeHere is findPlace without the engine's word: a service is a container to it.
func placeHere() *place {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		mounts = nil // a host that is closed up tells nothing, and is one
	}
	p := placeOf(mounts)
	if p.kind == onHost {
		p.kind = withoutMounts()
	}
	return p
}

// findPlace finds out where the agent runs. Its own /proc tells, whatever is mounted
// elsewhere.
func findPlace(ctx context.Context, o *options, engine *docker.Engine) *place {
	p := placeHere()
	if p.id != "" && engine != nil {
		p.know(ctx, o, engine)
	}
	if p.kind == inContainer && o.NodeID != "" {
		p.kind = inService // nothing but Swarm's templates tells it
	}
	return p
}

// placeOf returns what mounts tell.
func placeOf(mounts []*mountinfo.Info) *place {
	p := &place{service: "agent", sources: map[string]string{}}
	for _, m := range mounts {
		if (m.FSType == "tmpfs" || m.FSType == "ramfs") && secretMount.MatchString(m.Root) {
			continue // a Swarm secret, which is no file of the node's
		}
		p.sources[m.Mountpoint] = m.Root
		found := engineMount.FindStringSubmatch(m.Root)
		if found == nil || !strings.HasPrefix(m.Mountpoint, "/etc/") {
			continue
		}
		p.kind = inContainer
		if strings.Contains(m.Root, "/overlay-containers/") {
			continue // Podman's
		}
		p.id = found[2]
		// What lies in a volume is the data root of a node that is itself a container,
		// and has another path there.
		if root := found[1]; root != "" && !volumeMount.MatchString(root) {
			p.dataRoot = root
		}
	}
	return p
}

// know asks who the own container is.
func (p *place) know(ctx context.Context, o *options, engine *docker.Engine) {
	c, err := engine.Inspect(ctx, "/docker/"+p.id)
	if err != nil {
		return // which the checks of its files tell
	}
	key := cmp.Or(c.Label("com.docker.compose.service"), strings.TrimPrefix(c.Swarm.ServiceName, c.Swarm.Stack+"_"))
	if key != "" {
		p.kind, p.service, p.fullName = inService, key, c.Swarm.ServiceName
	}
}

// withoutMounts tells a host from a container whose engine's mounts aren't seen.
func withoutMounts() placeKind {
	own, err := proc.Open("/proc")
	if err != nil {
		return inContainer // nothing else lacks it
	}
	defer own.Close()
	if own.OwnRoot() {
		return onHost // also where its files were those of an image once
	}
	for _, name := range [...]string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Lstat(name); err == nil {
			return inContainer
		}
	}
	// A system container (LXC) has an init of its own, and is a machine to its agent.
	if own.Private() && os.Getpid() == 1 {
		return inContainer
	}
	return onHost
}

// source returns the path on the node of what is mounted at, or above, a path of the
// agent's, as far as it can be told.
func (p *place) source(path string) (string, bool) {
	root, ok := p.sources[path]
	if !ok || root == "/" {
		return "", false
	}
	if volumeMount.MatchString(root) && strings.HasPrefix(root, "/volumes/") { // a data root that is a filesystem of its own
		root = cmp.Or(p.dataRoot, "/var/lib/docker") + root
	}
	return root, true
}

// String is the place's word in JSON.
func (k placeKind) String() string { return [...]string{"host", "container", "service"}[k] }

// finding says where the agent runs, and so what the lines that mend something are for.
func (p *place) finding() finding {
	f := finding{Check: "place", Status: shipper.OK, Text: "This is " + p.String() + "."}
	switch p.kind {
	case inService:
		f.Text += " Lines for the stack file are files of their own: docker stack deploy -c STACK.yml -c LINE.yml"
	case inContainer:
		f.Text += " Lines for docker run stand before the image's name, in place of what is there for the same."
	}
	return f
}
