package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/docker"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
)

// parts are what reads the node.
type parts struct {
	cgroups     *cgroup.Hierarchy
	networks    int // how many may be kept open
	proc        *proc.FS
	host        *proc.Node
	filesystems *proc.Filesystems
	engine      *docker.Engine
	storage     *storage      // nil where the group "disk" is off
	details     *proc.Details // nil where nothing of it is asked for
	log         *zap.Logger
	// unknown are sentences about what the last look at the machine didn't find.
	unknown     atomic.Pointer[[]string]
	occurrences *collector.Occurrences
	// machine is the newest look at the machine, nil before the first.
	machine atomic.Pointer[metric.Machine]

	// engineDisk is what the engine said of its disk space last, nil for nothing, and
	// diskDue when it is asked again; both belong to who asks for the node.
	engineDisk *metric.EngineDisk
	diskDue    time.Time
}

// slowInterval is the time between readings of limits and peaks: a dozen files that have
// to be opened, about five times the cost of an ordinary reading.
const slowInterval = time.Minute

// refreshInterval is the time between looks at the engine's files and the filesystems.
const refreshInterval = 10 * time.Second

const (
	// diskEvery is the time between two questions to the engine about its disk space,
	// which may keep it busy, and diskTimeout how long it may think.
	diskEvery   = time.Hour
	diskTimeout = time.Minute
)

const (
	// spareDescriptors are kept for everything that isn't a kept-open file of a cgroup:
	// connections, spool files, and one for the network of each container.
	spareDescriptors = 256
	// lastDescriptors are those of them that no container's network gets.
	lastDescriptors = 128
)

func openParts(o *options, log *zap.Logger) (*parts, error) {
	fs, err := proc.Open(o.ProcRoot)
	if err != nil {
		return nil, err
	}
	if o.HostRoot == "" && fs.OwnRoot() {
		o.HostRoot = "/"
	}
	keep, networks := descriptors()
	cgroups, err := o.hierarchy(o.ProcRoot, keep, fs.DeviceName)
	if err != nil {
		return nil, err
	}
	host, err := fs.OpenNode()
	if err != nil {
		return nil, err
	}
	engine, err := o.engine(fs, log)
	if err != nil {
		return nil, usageError{err}
	}
	limits, err := o.eventLimits()
	if err != nil {
		return nil, usageError{err}
	}
	p := &parts{
		occurrences: collector.NewOccurrences(limits), cgroups: cgroups, networks: networks, proc: fs, host: host,
		filesystems: fs.NewFilesystems(o.HostRoot), engine: engine, details: o.details(fs, log), log: log,
	}
	if groups, _ := o.groups(); groups.Has("disk") { // was checked with the options
		p.storage = newStorage(engine)
	}
	for _, note := range p.notes() {
		log.Info(note)
	}
	return p, nil
}

// hierarchy opens the cgroups, of which keep descriptors may be kept.
func (o *options) hierarchy(procRoot string, keep int, deviceName func(major, minor uint32) string) (*cgroup.Hierarchy, error) {
	groups, _ := o.groups() // was checked with the options
	return cgroup.Open(cgroup.Options{
		ProcRoot:       procRoot,
		CgroupRoot:     o.CgroupRoot,
		SysRoot:        o.SysRoot,
		MaxDescriptors: keep,
		HugePages:      groups.Has("hugetlb"),
		NUMA:           groups.Has("memory_numa"),
		MemoryMigrate:  groups.Has("cpuset"),
		DeviceName:     deviceName,
	})
}

// engine returns what knows who containers are. Without fs, which may be nil, layers of
// containerd's image store aren't found.
func (o *options) engine(fs *proc.FS, log *zap.Logger) (*docker.Engine, error) {
	options := docker.Options{
		Root: o.DockerRoot, Host: o.Docker, TLS: o.tls(),
		PodmanRoot: o.PodmanRoot, PodmanHost: o.Podman,
		ContainerdRun: o.ContainerdRun, ContainerdSocket: o.Containerd, ContainerdNamespace: o.ContainerdNamespace,
		Env:           words(cmp.Or(o.EnvPrefixes, o.DockerEnvPrefixes)),
		ContainerdEnv: words(cmp.Or(o.EnvPrefixes, o.ContainerdEnvPrefixes)),
		Log:           log.Named("engine"),
		HostRoot:      o.HostRoot,
	}
	if fs != nil {
		options.UpperDir = fs.UpperDir
	}
	return docker.New(options)
}

// close closes everything but host, which is the collector's.
func (p *parts) close() {
	p.engine.Close()
	p.cgroups.Close()
	p.proc.Close()
}

// tls returns the files to reach the engine with, nil for none.
func (o *options) tls() *docker.TLS {
	if !o.DockerTLS {
		return nil
	}
	return &docker.TLS{CA: o.DockerTLSCA, Cert: o.DockerTLSCert, Key: o.DockerTLSKey}
}

// notes are sentences about what this node can't tell, and why. Any goroutine may ask.
func (p *parts) notes() []string {
	notes := p.cgroups.Notes()
	if unknown := p.unknown.Load(); unknown != nil {
		notes = append(notes, *unknown...)
	}
	for _, err := range p.host.Missing() {
		notes = append(notes, err.Error())
	}
	if p.storage != nil {
		notes = append(notes, p.storage.notes()...)
	}
	if p.details != nil {
		notes = append(notes, p.details.Notes()...)
	}
	return append(notes, p.engine.SwarmNotes()...)
}

// descriptors raises the limit of open files as far as it goes and returns how many of
// them may be kept for cgroups: nine in ten, because a container's network needs one
// beside the ten or so of its cgroup; and how many for networks. It is -1 for none.
func descriptors() (cgroups, networks int) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return -1, -1
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) // what there is
		}
	}
	const plenty = 1 << 20 // "unlimited" is 2^63-1
	all := int(min(limit.Cur, plenty))
	cgroups = max(0, all*9/10-spareDescriptors)
	networks = max(0, all-cgroups-lastDescriptors)
	return cmp.Or(cgroups, -1), cmp.Or(networks, -1)
}

// collector returns the loop over the parts.
func (p *parts) collector(ctx context.Context, o *options, sink collector.Sink, log *zap.Logger) (*collector.Collector, error) {
	var prefixes []string
	if o.RawCgroupPrefixes != "" {
		prefixes = strings.Split(o.RawCgroupPrefixes, ",")
	}
	options := collector.Options{
		Cgroups: p.cgroups, Proc: p.proc, Host: p.host, Runtime: p.engine, Sink: sink, Log: log,
		Node:            func(ctx context.Context) (*metric.Node, error) { return p.node(ctx, o) },
		Filesystems:     p.filesystems.Read,
		Details:         p.details,
		DetailsInterval: max(detailsInterval, o.HousekeepingInterval),
		Interval:        o.HousekeepingInterval,
		Window:          o.ShipInterval,
		SlowInterval:    slowInterval,
		RefreshInterval: refreshInterval,
		NodeInterval:    o.UpdateMachineInfoInterval,
		RescanInterval:  o.GlobalHousekeepingInterval,
		History:         o.StorageDuration,
		Dynamic:         o.AllowDynamicHousekeeping,
		MaxInterval:     o.MaxHousekeepingInterval,
		RuntimeOnly:     o.DockerOnly,
		NoRootStats:     o.DisableRootStats,
		RawPrefixes:     prefixes,
		Occurrences:     p.occurrences,
		MaxNetworks:     p.networks,
	}
	if swarm, ok := sink.(collector.SwarmSink); ok {
		options.Swarm, options.SwarmChanges, options.SwarmSink = p.engine.Swarm, p.engine.SwarmChanges(), swarm
	}
	if p.storage != nil {
		options.Storage = p.storage.count
	}
	return collector.New(ctx, options)
}

// node tells about the machine: what the kernel says, what the options say, and what
// the engine says if its socket is there. What can't be known is a note: an image without
// files has no machine id, and that is no reason not to measure.
func (p *parts) node(ctx context.Context, o *options) (*metric.Node, error) {
	identity := proc.IdentityOptions{MachineIDs: strings.Split(o.MachineIDFile, ","), HostRoot: o.HostRoot}
	if o.BootIDFile != "" {
		identity.BootIDs = strings.Split(o.BootIDFile, ",")
	}
	node, unknown := p.proc.Identity(identity)
	engine, err := p.engine.Node(ctx)
	if err != nil {
		// No socket, which is nothing special: what its files tell is there.
		p.log.Debug("the engine says nothing of the node", zap.Error(err))
	}
	node.EngineVersion = engine.EngineVersion
	node.EngineAPIVersion = engine.APIVersion
	node.ClusterID = engine.ClusterID
	node.SwarmID = cmp.Or(o.NodeID, engine.SwarmID)
	node.Name = cmp.Or(o.NodeName, engine.Name)
	if node.Name == "" {
		if node.Name, err = os.Hostname(); err != nil {
			return nil, err
		}
	}
	node.EngineDisk = p.askDisk(ctx)
	machine, err := p.proc.Machine(&node, o.SysRoot)
	p.machine.Store(&machine)
	p.unknown.Store(sentences(errors.Join(unknown, err)))
	return &node, nil
}

// askDisk returns what the engine has said of its disk space. The agent doesn't wait for that
// at its start.
func (p *parts) askDisk(ctx context.Context) *metric.EngineDisk {
	now := time.Now()
	switch {
	case p.storage == nil: // nobody wants to know
	case p.diskDue.IsZero():
		p.diskDue = now
	case !now.Before(p.diskDue):
		p.diskDue = now.Add(diskEvery)
		ctx, cancel := context.WithTimeout(ctx, diskTimeout)
		defer cancel()
		var err error
		if p.engineDisk, err = p.engine.DiskUsage(ctx); err != nil {
			p.log.Debug("the engine says nothing of its disk space", zap.Error(err))
		}
	}
	return p.engineDisk
}

// sentences returns a joined error as notes, line by line.
func sentences(err error) *[]string {
	var notes []string
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			notes = append(notes, "not known of this machine: "+line)
		}
	}
	return &notes
}
