package web

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// Containers says what /metrics shows of containers, and how.
type Containers struct {
	// Latest fills in the newest samples: collector.Collector's method.
	Latest func(context.Context, *collector.Readings) error
	// Machine returns the newest look at the machine, nil before the first.
	Machine func() *metric.Machine
	// Fresh takes a sample of a container at once: collector.Collector's method.
	Fresh func(ctx context.Context, path string, s *metric.Sample) error
	// Groups are cAdvisor's groups of families that are on.
	Groups cadvisor.Groups
	// Labels shows all labels of containers, else those whose keys are in AllowedLabels
	// alone: cAdvisor's -store_container_labels and -whitelisted_container_labels. What
	// containers have of their environment is always shown.
	Labels        bool
	AllowedLabels []string
	// Version is the agent's.
	Version string
}

// containers writes the families of containers. Its memory is reused from scrape to scrape;
// it belongs to one request at a time.
type containers struct {
	o        *Containers
	families []cadvisor.Family
	readings collector.Readings
	killed   []collector.Reading // of readings.Killed

	machine     *metric.Machine // that machineText is of
	machineText []byte

	names   map[source]string // of labels; of all scrapes
	columns map[string]int    // of the labels of this scrape, by name
	union   []string          // the same names, sorted
	shown   []shown           // of one container
	values  []string          // of the same, by column
	base    []byte            // the labels that all series of a container have
	ends    []int             // where those of each container end in base
	cuts    []int             // where each of them ends, in those of its container
	marks   []mark            // whose lines are in the piece that is being written
}

func newContainers(o *Containers) *containers {
	return &containers{o: o, families: cadvisor.Families(o.Groups), names: map[source]string{}, columns: map[string]int{}}
}

// maxNames bounds the names that are kept. Keys of labels are few, unless somebody makes
// one up for each container.
const maxNames = 10000

// append appends all families to dst, of the containers that are asked for. What is more than
// a piece is handed to write, which returns memory to go on with. On an error of Latest nothing
// is appended.
func (c *containers) append(ctx context.Context, dst []byte, asked *requestOptions, write func([]byte) []byte) ([]byte, error) {
	if err := c.o.Latest(ctx, &c.readings); err != nil {
		return dst, err
	}
	if m := c.o.Machine(); m != c.machine || m == nil {
		c.machine, c.machineText = m, appendMachine(c.machineText[:0], m, c.o.Groups, c.o.Version)
	}
	dst = append(dst, c.machineText...)
	all := c.readings.Containers
	if asked.idType != "name" {
		all = c.only(asked)
	}
	if asked.maxAge >= 0 {
		c.refresh(ctx, all, asked.maxAge)
	}
	slices.SortFunc(all, byName)
	c.fillKilled(asked)
	c.unite(all, c.killed)
	c.base, c.ends, c.cuts = c.base[:0], c.ends[:0], c.cuts[:0]
	for _, list := range [...][]collector.Reading{all, c.killed} {
		for i := range list {
			c.appendBase(list[i].Container)
			c.ends = append(c.ends, len(c.base))
		}
	}
	o := cadvisor.Observation{Node: c.readings.Node, Now: time.Now()}
	for i := range c.families {
		f := &c.families[i]
		dst = appendHead(dst, f.Name, f.Kind.String(), f.Help)
		start := 0
		for j := range all {
			o.Container, o.Sample = all[j].Container, &all[j].Sample
			from := len(dst)
			dst = c.appendSeries(dst, f, &o, &all[j], c.base[start:c.ends[j]])
			if len(dst) > from {
				c.marks = append(c.marks, mark{from, len(dst), len(f.Name) + 1, i, j})
			}
			if len(dst) >= pieceSize {
				dst = write(dst)
			}
			start = c.ends[j]
		}
		for j := range c.killed {
			if f.AfterEnd {
				o.Container, o.Sample = c.killed[j].Container, &c.killed[j].Sample
				dst = c.appendSeries(dst, f, &o, &c.killed[j], c.base[start:c.ends[len(all)+j]])
			}
			start = c.ends[len(all)+j]
		}
	}
	return dst, nil
}

// byName is the order of containers in a family. Those of a service stand together, which have
// most labels in common: that is less to compress, and less of it is left.
func byName(a, b collector.Reading) int {
	return cmp.Or(strings.Compare(a.Container.Name, b.Container.Name), strings.Compare(a.Container.Path, b.Container.Path))
}

// fillKilled makes readings of the containers that have ended with OOM kills: of when they
// ended, and with that number alone.
func (c *containers) fillKilled(asked *requestOptions) {
	c.killed = c.killed[:0]
	for _, k := range c.readings.Killed {
		if !asked.wants(k.Container) {
			continue
		}
		r := collector.Reading{Container: k.Container}
		r.Sample.Time = k.Ended.UnixNano()
		r.Sample.Put(metric.MemoryOOMKills, k.Kills)
		c.killed = append(c.killed, r)
	}
}

// refresh takes those samples anew that are older than that, one after the other: sampling
// goes on between them. One that ended meanwhile keeps what it had.
func (c *containers) refresh(ctx context.Context, all []collector.Reading, maxAge time.Duration) {
	oldest := time.Now().Add(-maxAge).UnixNano()
	for i := range all {
		if all[i].Sample.Time >= oldest {
			continue
		}
		if c.o.Fresh(ctx, all[i].Container.Path, &all[i].Sample) == collector.ErrEnded {
			return
		}
	}
}

// only moves the containers that are asked for to the front of the readings, all of which
// stay there for the next scrape, and returns them.
func (c *containers) only(asked *requestOptions) []collector.Reading {
	all, n := c.readings.Containers, 0
	for i := range all {
		if asked.wants(all[i].Container) {
			all[n], all[i] = all[i], all[n]
			n++
		}
	}
	return all[:n]
}

// unite makes the union of the labels of all containers: each series has all of them,
// empty where its container has none, because one family must not have series with
// different labels.
func (c *containers) unite(lists ...[]collector.Reading) {
	clear(c.columns)
	c.union = c.union[:0]
	if len(c.names) > maxNames {
		clear(c.names)
	}
	for _, list := range lists {
		for i := range list {
			for _, label := range c.show(list[i].Container) {
				if _, known := c.columns[label.name]; !known {
					c.columns[label.name] = 0
					c.union = append(c.union, label.name)
				}
			}
		}
	}
	slices.Sort(c.union)
	for i, name := range c.union {
		c.columns[name] = i
	}
	c.values = slices.Grow(c.values[:0], len(c.union))[:len(c.union)]
}

// source is where a label of series comes from: a label of the container, or, with env, a
// variable of its environment.
type source struct {
	env bool
	key string
}

// shown is a label that series have of a container.
type shown struct {
	name, value string
	exact       bool // the name is the key, with nothing replaced
}

// show returns the labels that series have of a container's own. They are valid until the
// next call. A container that its runtime has started again has the label restartcount of
// cAdvisor's, which takes the place of one that it has itself.
func (c *containers) show(of *metric.Container) []shown {
	c.shown = c.shown[:0]
	for _, label := range of.Labels {
		if label.Key != cadvisor.RestartLabel || of.RestartCount == 0 {
			c.add(source{key: label.Key}, label.Value)
		}
	}
	if of.RestartCount > 0 {
		c.add(source{key: cadvisor.RestartLabel}, strconv.Itoa(of.RestartCount))
	}
	for _, variable := range of.Env {
		c.add(source{true, variable.Key}, variable.Value)
	}
	return c.shown
}

// add adds a label to those that are shown, if it is one of those to show.
func (c *containers) add(from source, value string) {
	prefix := labelPrefix
	if from.env {
		prefix = envPrefix
	}
	name, known := c.names[from]
	if !known {
		if from.env || c.o.Labels || slices.Contains(c.o.AllowedLabels, from.key) {
			name = prefix + strings.Map(labelRune, from.key)
		}
		c.names[from] = name
	}
	if name != "" {
		c.shown = append(c.shown, shown{name, value, name[len(prefix):] == from.key})
	}
}

const (
	labelPrefix = "container_label_"
	envPrefix   = "container_env_"
)

// labelRune replaces what a label's name can't have.
func labelRune(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
		return r
	}
	return '_'
}

// appendBase appends the labels that all series of a container have. Of keys that make the
// same name, the one that is the name wins, else the first in order.
func (c *containers) appendBase(of *metric.Container) {
	start := len(c.base)
	cut := func() { c.cuts = append(c.cuts, len(c.base)-start) }
	clear(c.values)
	for _, label := range c.show(of) {
		if i := c.columns[label.name]; c.values[i] == "" || label.exact {
			c.values[i] = label.value
		}
	}
	for i, name := range c.union {
		c.base = append(appendLabel(c.base, name, c.values[i]), ',')
		cut()
	}
	c.base = append(appendLabel(c.base, "id", of.Path), ',')
	cut()
	c.base = append(appendLabel(c.base, "image", of.Image), ',')
	cut()
	c.base = appendLabel(c.base, "name", of.Name)
	cut()
}

// labels returns the labels that all series of a container have.
func (c *containers) labels(container int) []byte {
	start := 0
	if container > 0 {
		start = c.ends[container-1]
	}
	return c.base[start:c.ends[container]]
}

// labelCuts returns where each of these labels ends.
func (c *containers) labelCuts(container int) []int {
	each := len(c.union) + 3 // id, image and name
	return c.cuts[container*each : (container+1)*each]
}

// appendSeries appends the series that a container has of a family.
func (c *containers) appendSeries(dst []byte, f *cadvisor.Family, o *cadvisor.Observation, r *collector.Reading, base []byte) []byte {
	if f.Needs != nil {
		if _, ok := o.Sample.Get(*f.Needs); !ok {
			return dst
		}
	}
	if f.Of != nil {
		if v, ok := f.Of(o); ok {
			dst = append(appendStart(dst, f.Name, base), '}', ' ')
			dst = appendEnd(strconv.AppendFloat(dst, v, 'g', -1, 64), f, o)
		}
		return dst
	}
	any := false
	for i := range f.Numbers {
		n := &f.Numbers[i]
		per := n.ID.Per()
		if n.Else && any || per == metric.PerInterface && r.NetworkOf != "" {
			continue
		}
		divisor := metric.Describe(n.ID).Unit.PerShown() * max(n.Per, 1)
		for row := range o.Sample.Rows(per) {
			v, ok := o.Sample.GetRow(n.ID, row)
			if !ok || v == 0 && per == metric.PerCPU || v > math.MaxInt64 && !n.Signed {
				continue // a CPU that is possible and not there has 0
			}
			if f.Row != "" && f.Row != o.Sample.Key(per, row).Name {
				continue
			}
			any = true
			dst = appendStart(dst, f.Name, base)
			dst = append(appendRowLabels(dst, o.Sample.Key(per, row), f, per), n.Labels...)
			dst = append(dst, '}', ' ')
			if divisor == 1 {
				dst = strconv.AppendInt(dst, int64(v), 10)
			} else {
				dst = strconv.AppendFloat(dst, float64(v)/divisor, 'g', -1, 64)
			}
			dst = appendEnd(dst, f, o)
		}
	}
	return dst
}

func appendStart(dst []byte, name string, base []byte) []byte {
	dst = append(append(dst, name...), '{')
	return append(dst, base...)
}

// appendEnd appends the time, in milliseconds, to a value.
func appendEnd(dst []byte, f *cadvisor.Family, o *cadvisor.Observation) []byte {
	switch f.Time {
	case cadvisor.OfSample:
		dst = strconv.AppendInt(append(dst, ' '), o.Sample.Time/int64(time.Millisecond), 10)
	case cadvisor.OfScrape:
		dst = strconv.AppendInt(append(dst, ' '), o.Now.UnixMilli(), 10)
	}
	return append(dst, '\n')
}

// appendRowLabels appends what tells rows of a container apart.
func appendRowLabels(dst []byte, key *metric.Key, f *cadvisor.Family, per metric.Per) []byte {
	switch per {
	case metric.PerCPU:
		name := "cpu" + key.Name
		if len(key.Name) == 1 {
			name = "cpu0" + key.Name
		}
		return appendLabel(append(dst, ','), "cpu", name)
	case metric.PerInterface:
		return appendLabel(append(dst, ','), "interface", key.Name)
	case metric.PerHugePage:
		return appendLabel(append(dst, ','), "pagesize", key.Name)
	case metric.PerNUMANode:
		return appendLabel(append(dst, ','), "node", key.Name)
	case metric.PerCache:
		return appendLabel(append(dst, ','), "node_id", key.Name)
	case metric.PerFilesystem:
		device := key.Name
		if !strings.HasPrefix(device, "/") {
			device = key.Mountpoint // all are called tmpfs
		}
		return appendLabel(append(dst, ','), "device", device)
	case metric.PerDevice:
		device := "/dev/" + key.Name
		if strings.Contains(key.Name, ":") {
			device = "" // its name isn't known
		}
		dst = appendLabel(append(dst, ','), "device", device)
		if f.NumberedDevices {
			dst = strconv.AppendUint(append(dst, `,major="`...), uint64(key.Major), 10)
			dst = strconv.AppendUint(append(dst, `",minor="`...), uint64(key.Minor), 10)
			dst = append(dst, '"')
		}
	}
	return dst
}

// appendLabel appends name="value".
func appendLabel(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), '=', '"')
	for _, r := range value { // what is no UTF-8 becomes U+FFFD
		switch r {
		case '\\', '"':
			dst = append(dst, '\\', byte(r))
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
