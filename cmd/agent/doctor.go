package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/proc"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// report is what doctor has found, and its JSON.
type report struct {
	Version string `json:"version"`
	// Place is where the agent runs: "host", "container" or "service".
	Place string `json:"place"`
	// Node is the node's name in documents, "" if it isn't known.
	Node     string    `json:"node"`
	Kernel   string    `json:"kernel"`
	Faults   int       `json:"faults"`
	Degraded int       `json:"degraded"`
	Findings []finding `json:"findings"`
	// Peers are the agents of other nodes, as far as the user of Elasticsearch may see them.
	Peers []peer `json:"peers,omitempty"`
	// Together mends all faults of the agent's container at once, nil if there are fewer
	// than two lines for that.
	Together *mendLine `json:"together,omitempty"`
}

// doctor looks at everything that the agent can and can't see on this node, and says what
// mends it. It changes nothing, and may run beside an agent.
func (p program) doctor(ctx context.Context, args []string) error {
	o := new(options)
	fs := o.flags(io.Discard)
	asJSON := fs.Bool("json", false, "write JSON instead of a list")
	rest, err := o.parse(fs, args, p.environ, p.stdout, commandHelpAnd("doctor", optionsOfRun, "json"))
	if err != nil {
		return helpIsFine(err)
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("doctor takes options only; it can't do %q", rest[0])}
	}
	if err := o.checkStart(); err != nil {
		return usageError{err}
	}
	if p.ownProcess { // it may share an agent's container, and its memory limit
		limitMemory(p.environ, zap.NewNop())
	}
	r := o.diagnose(ctx)
	if *asJSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(r)
	} else {
		r.print(p.stdout, p.colours())
	}
	if err == nil && r.Faults > 0 {
		err = outcome{errors.New("something that is needed is missing"), exitFailure}
	}
	return err
}

// colours tells whether standard output is a terminal that may be coloured (no-color.org).
func (p program) colours() bool {
	for _, kv := range p.environ {
		if name, value, _ := strings.Cut(kv, "="); name == "NO_COLOR" && value != "" || kv == "TERM=dumb" {
			return false
		}
	}
	return isTerminal(p.stdout)
}

// sampling is how long all containers are looked at.
const sampling = 200 * time.Millisecond

// diagnose makes the report.
func (o *options) diagnose(ctx context.Context) *report {
	kernel := runningKernel()
	r := &report{Version: versionString(), Kernel: kernel}
	once := *o // as it is, but for how often
	once.HousekeepingInterval, once.ShipInterval = sampling, sampling
	once.AllowDynamicHousekeeping = false
	c, g, err := once.look(ctx)
	defer c.close()
	o.HostRoot = once.HostRoot // which may follow from what was found
	c.o = o
	r.Place = c.where.kind.String()
	r.add(c.where.finding(), kernelFinding(kernel))
	r.add(c.ofAgent(ctx)...)
	r.add(c.mounted(ctx)...)
	if err != nil {
		r.add(finding{Check: "samples", Status: shipper.Fault, Text: "Containers can't be looked at before what is above is mended."})
	} else {
		r.Node = g.node.Name
		explained := slices.ContainsFunc(r.Findings, func(f finding) bool { return f.Status == shipper.Fault })
		r.add(g.finding(explained), c.ofIdentity(g.node), g.agents(c.where))
	}
	r.add(c.rights()...)
	delivery := c.ofDelivery(ctx)
	if !slices.ContainsFunc(delivery, func(f finding) bool { return f.Check == "clock" }) {
		delivery = append(delivery, c.ofClock(ctx))
	}
	r.add(delivery...)
	if c.answers {
		own := &metric.Node{Name: o.nodeName(), SwarmID: o.NodeID}
		if err == nil {
			own = g.node
		}
		f, peers := c.ofPeers(ctx, own, c.swarmNodes(ctx))
		r.Peers = peers
		r.add(f)
	}
	r.add(c.ofKibana(ctx))
	r.add(c.optional(ctx)...)
	if err == nil {
		r.add(c.ofMachineID(g.node), c.ofStorage(ctx, g.containers))
		r.add(g.notes...)
	}
	r.finish(c.where)
	return r
}

// runningKernel returns the kernel's release, "" if it doesn't tell.
func runningKernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func kernelFinding(release string) finding {
	f := finding{Check: "kernel", Status: shipper.OK, Text: "Linux " + release + " has all that is read."}
	switch major, minor, ok := parseVersion(release); {
	case !ok:
		f.Status, f.Text = shipper.Degraded, "The kernel's version is not known."
	case major < 3:
		f.Status, f.Text = shipper.Fault, "Linux "+release+" is too old: 3.0 or newer is needed."
	case major < 4 || major == 4 && minor < 20:
		f.Status, f.Text = shipper.Degraded, "Linux "+release+" is old: pressure (PSI) came with 4.20, OOM kills of cgroup v1 with 4.13."
	}
	return f
}

// look opens what the agent opens, as far as that goes, and looks at all containers once.
// The error says that something which nothing runs without isn't there.
func (o *options) look(ctx context.Context) (*checks, *glance, error) {
	log := zap.NewNop()
	parts, err := openParts(o, log)
	if err == nil {
		c := &checks{o: o, proc: parts.proc, cgroups: parts.cgroups, engine: parts.engine}
		g := new(glance)
		err = g.look(ctx, o, parts, c)
		c.where = findPlace(ctx, o, parts.engine)
		return c, g, err
	}
	c := &checks{o: o}
	if c.proc, c.procErr = proc.Open(o.ProcRoot); c.procErr == nil {
		c.cgroups, c.cgroupsErr = o.hierarchy(o.ProcRoot, 0, nil)
	} else { // where cgroups are mounted is in any /proc
		c.cgroups, c.cgroupsErr = o.hierarchy("/proc", 0, nil)
	}
	c.engine, _ = o.engine(c.proc, log) // was checked with the options
	c.where = findPlace(ctx, o, c.engine)
	return c, nil, err
}

// close closes what look has opened.
func (c *checks) close() {
	if c.proc != nil {
		c.proc.Close()
	}
	if c.cgroups != nil {
		c.cgroups.Close()
	}
	c.engine.Close()
}

// add takes in findings.
func (r *report) add(all ...finding) { r.Findings = append(r.Findings, all...) }

// finish counts, and writes the mends for the place.
func (r *report) finish(where *place) {
	var together mend
	lines := 0
	for i := range r.Findings {
		f := &r.Findings[i]
		switch f.Status {
		case shipper.Degraded:
			r.Degraded++
		case shipper.Fault:
			r.Faults++
		}
		if f.Status == shipper.OK {
			continue
		}
		if f.Mend = f.mend.line(where); f.Status == shipper.Fault && f.Mend != nil && f.mend.elsewhere == "" && where.kind != onHost {
			together.add(&f.mend)
			lines++
		}
	}
	if lines > 1 {
		r.Together = together.line(where)
	}
}

// print writes the report for people.
func (r *report) print(w io.Writer, colours bool) {
	fmt.Fprintf(w, "swarmgauge %s\n\n", r.Version)
	widest := 0
	for i := range r.Findings {
		widest = max(widest, len(r.Findings[i].Check))
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		sign := mark(f.Status)
		if colours {
			sign = map[shipper.Status]string{shipper.OK: "\x1b[32m", shipper.Degraded: "\x1b[33m", shipper.Fault: "\x1b[31m"}[f.Status] + sign + "\x1b[0m"
		}
		fmt.Fprintf(w, "%s %-*s  %s\n", sign, widest, f.Check, f.Text)
		if f.Mend != nil {
			fmt.Fprintf(w, "  %*s  %s\n", widest, "", f.Mend)
		}
	}
	fmt.Fprintln(w)
	if r.Together != nil {
		fmt.Fprintf(w, "All faults of the container at once, %s\n", r.Together)
	}
	switch {
	case r.Faults > 0:
		fmt.Fprintf(w, "Something that is needed is missing (✗: %d, !: %d).\n", r.Faults, r.Degraded)
	case r.Degraded > 0:
		fmt.Fprintf(w, "Everything that is needed is there (!: %d).\n", r.Degraded)
	default:
		fmt.Fprintln(w, "Everything is there.")
	}
}
