package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/web"
)

// validateTimeout bounds what asking the engine may take.
const validateTimeout = 5 * time.Second

// validate reports on this machine, in cAdvisor's sections and one of our own.
func (s *state) validate(ctx context.Context) web.Report {
	ctx, cancel := context.WithTimeout(ctx, validateTimeout)
	defer cancel()
	node, err := s.parts.node(ctx, s.options)
	if err != nil {
		node = new(metric.Node)
	}
	setup := s.parts.cgroups.Setup()
	driver, driverErr := s.parts.engine.StorageDriver(ctx)
	disks, disksErr := proc.Schedulers(s.options.SysRoot)
	return web.Report{
		Version: versionString() + " (swarmgauge)",
		OS:      cmp.Or(node.OS, "not known: mount the node's / read-only at /rootfs, or name its place with -host-root"),
		Sections: []web.Section{
			kernelSection(node.Kernel),
			cgroupSection(s.parts.cgroups.Mode(), setup),
			mountSection(s.options.CgroupRoot, setup, s.parts.cgroups.Lacks()),
			engineSection(node.EngineVersion),
			driverSection(driver, driverErr),
			diskSection(s.parts.cgroups.Mode(), disks, disksErr),
			s.rightsSection(ctx),
		},
	}
}

// parseVersion reads "6.1" from the beginning of a version.
func parseVersion(text string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(text, ".")
	second := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	major, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(second)
	return major, minor, err == nil
}

func kernelSection(release string) web.Section {
	s := web.Section{Title: "Kernel version", Verdict: web.Unknown, Lines: []string{"The kernel's version is not known."}}
	major, minor, ok := parseVersion(release)
	if !ok {
		return s
	}
	s.Lines = []string{
		"Kernel version is " + release + ". Versions >= 2.6 are supported. 3.0+ are recommended.",
		"Pressure (PSI) came with 4.20, OOM kills of cgroup v1 with 4.13.",
	}
	switch {
	case major < 2 || major == 2 && minor < 6:
		s.Verdict = web.Unsupported
	case major < 3:
		s.Verdict = web.NotRecommended
	default:
		s.Verdict = web.Recommended
	}
	return s
}

func cgroupSection(mode cgroup.Mode, setup cgroup.Setup) web.Section {
	required, recommended := []string{"cpu", "cpuacct"}, []string{"memory", "blkio", "cpuset", "pids"}
	if mode == cgroup.V2 {
		required, recommended = []string{"cpu"}, []string{"memory", "io", "cpuset", "pids"}
	}
	available := map[string]int{}
	for _, name := range setup.Controllers {
		available[name] = 1
	}
	missing := func(of []string) bool {
		return slices.ContainsFunc(of, func(name string) bool { return available[name] == 0 })
	}
	s := web.Section{Title: "Cgroup setup", Verdict: web.Recommended, Lines: []string{
		"Cgroups are " + mode.String() + ".",
		fmt.Sprintf("Available cgroups: %v", available),
		fmt.Sprintf("Following cgroups are required: %v", required),
		fmt.Sprintf("Following other cgroups are recommended: %v", recommended),
	}}
	switch {
	case missing(required):
		s.Verdict = web.Unsupported
	case missing(recommended) || !setup.Hierarchical:
		s.Verdict = web.NotRecommended
	}
	if setup.Hierarchical {
		s.Lines = append(s.Lines, "Hierarchical memory accounting enabled. Reported memory usage includes memory used by child containers.")
	} else {
		s.Lines = append(s.Lines, "Hierarchical memory accounting disabled. Memory usage does not include usage from child containers.")
	}
	switch {
	case !setup.KnowsBandwidth:
		s.Lines = append(s.Lines, "Cpu cfs bandwidth status unknown: no cgroup has the cpu controller switched on.")
	case setup.Bandwidth:
		s.Lines = append(s.Lines, "Cpu cfs bandwidth is enabled.")
	default:
		s.Lines = append(s.Lines, "Cpu cfs bandwidth is disabled.")
	}
	return s
}

func mountSection(root string, setup cgroup.Setup, lacks []cgroup.Lack) web.Section {
	s := web.Section{Title: "Cgroup mount setup", Verdict: web.Recommended, Lines: []string{
		"Cgroups are mounted at " + root + ".",
		"Any cgroup mount point that is detectible and accessible is supported. /sys/fs/cgroup is recommended as a standard location.",
		"Cgroup mounts:",
	}}
	s.Lines = append(s.Lines, setup.Mounts...)
	for _, l := range lacks {
		s.Lines = append(s.Lines, l.String())
		if l.Of == cgroup.LackRoot {
			s.Verdict = web.NotRecommended
		}
	}
	return s
}

func engineSection(version string) web.Section {
	s := web.Section{Title: "Docker version", Verdict: web.Unknown, Lines: []string{
		"Docker version is not known without the engine's socket, and not needed: containers are named by the engine's files. Versions >= 1.10 are supported.",
	}}
	if major, minor, ok := parseVersion(version); ok {
		s.Lines = []string{"Docker version is " + version + ". Versions >= 1.10 are supported. 19.03+ are recommended."}
		switch {
		case major == 1 && minor < 10:
			s.Verdict = web.Unsupported
		case major < 19:
			s.Verdict = web.NotRecommended
		default:
			s.Verdict = web.Recommended
		}
	}
	return s
}

func driverSection(driver string, err error) web.Section {
	s := web.Section{Title: "Docker driver setup", Verdict: web.Recommended, Lines: []string{"Storage driver is " + driver + "."}}
	if err != nil {
		s.Verdict, s.Lines = web.Unknown, []string{"Storage driver is not known: " + err.Error() + "."}
	}
	return s
}

func diskSection(mode cgroup.Mode, disks []proc.Scheduler, err error) web.Section {
	s := web.Section{Title: "Block device setup", Verdict: web.Recommended}
	switch {
	case err != nil:
		return web.Section{Title: s.Title, Verdict: web.Unknown, Lines: []string{"Disks are not known: " + err.Error()}}
	case mode == cgroup.V2:
		s.Lines = []string{"Cgroup v2 counts the disk I/O of each container with every I/O scheduler."}
	case slices.ContainsFunc(disks, func(d proc.Scheduler) bool { return d.Name == "bfq" || d.Name == "cfq" }):
		s.Lines = []string{"Some devices have the I/O scheduler 'bfq' or 'cfq', which counts the disk I/O of each container."}
	default:
		s.Verdict = web.NotRecommended
		s.Lines = []string{"None of the devices has the I/O scheduler 'bfq' or 'cfq': cgroup v1 counts what a throttling policy sees, and no disk I/O of other containers. Boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1)."}
	}
	for _, d := range disks {
		s.Lines = append(s.Lines, fmt.Sprintf(" Disk %q Scheduler type %q.", d.Disk, d.Name))
	}
	return s
}

// rightsSection says what the agent itself needs and lacks, and what mends it.
func (s *state) rightsSection(ctx context.Context) web.Section {
	section := web.Section{Title: "Mounts and rights of the agent", Verdict: web.Recommended}
	c := s.checks(ctx)
	for _, f := range slices.Concat(c.ofProc(), []finding{c.ofContainers(ctx), c.ofHostRoot()}, c.rights()) {
		if f.Status == shipper.OK {
			continue
		}
		if f.Status == shipper.Fault {
			section.Verdict = web.NotRecommended
		}
		line := f.Text
		if m := f.mend.line(c.where); m != nil {
			line += " " + m.String()
		}
		section.Lines = append(section.Lines, line)
	}
	ofCgroups := s.parts.cgroups.Notes() // stand with the mounts
	for _, note := range s.parts.notes() {
		if !slices.Contains(ofCgroups, note) {
			section.Lines = append(section.Lines, note)
		}
	}
	if len(section.Lines) == 0 {
		section.Lines = []string{"Everything that is needed is there."}
	}
	return section
}

// checks are those of the running agent.
func (s *state) checks(ctx context.Context) *checks {
	return &checks{
		o: s.options, where: findPlace(ctx, s.options, s.parts.engine),
		proc: s.parts.proc, cgroups: s.parts.cgroups, engine: s.parts.engine,
		descriptors: s.parts.cgroups.Descriptors(), refused: s.loop.Stats().NetworksRefused > 0,
	}
}
