package web

import (
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
	// Groups are cAdvisor's groups of families that are on.
	Groups cadvisor.Groups
	// Labels shows all labels of containers, else those whose keys are in AllowedLabels
	// alone: cAdvisor's -store_container_labels and -whitelisted_container_labels.
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

	names   map[string]string // of labels, by key; of all scrapes
	columns map[string]int    // of the labels of this scrape, by name
	union   []string          // the same names, sorted
	values  []string          // of one container, by column
	base    []byte            // the labels that all series of a container have
	ends    []int             // where those of each container end in base
}

func newContainers(o *Containers) *containers {
	return &containers{o: o, families: cadvisor.Families(o.Groups), names: map[string]string{}, columns: map[string]int{}}
}

// maxNames bounds the names that are kept. Keys of labels are few, unless somebody makes
// one up for each container.
const maxNames = 10000

// append appends all families to dst. On an error of Latest nothing is appended.
func (c *containers) append(ctx context.Context, dst []byte) ([]byte, error) {
	if err := c.o.Latest(ctx, &c.readings); err != nil {
		return dst, err
	}
	dst = appendMachine(dst, c.readings.Node, c.o.Version)
	all := c.readings.Containers
	slices.SortFunc(all, func(a, b collector.Reading) int { return strings.Compare(a.Container.Path, b.Container.Path) })
	c.unite(all)
	c.base, c.ends = c.base[:0], c.ends[:0]
	for i := range all {
		c.appendBase(all[i].Container)
		c.ends = append(c.ends, len(c.base))
	}
	o := cadvisor.Observation{Node: c.readings.Node, Now: time.Now()}
	for i := range c.families {
		f := &c.families[i]
		dst = appendHead(dst, f.Name, f.Kind.String(), f.Help)
		start := 0
		for j := range all {
			o.Container, o.Sample = all[j].Container, &all[j].Sample
			dst = c.appendSeries(dst, f, &o, &all[j], c.base[start:c.ends[j]])
			start = c.ends[j]
		}
	}
	return dst, nil
}

// appendMachine appends cAdvisor's families of the machine. They are without a time, by which
// cAdvisor's vanish for minutes.
func appendMachine(dst []byte, node *metric.Node, version string) []byte {
	dst = appendHead(dst, "cadvisor_version_info", "gauge", "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.")
	dst = append(dst, `cadvisor_version_info{cadvisorRevision="",`...)
	dst = appendLabel(dst, "cadvisorVersion", version)
	dst = appendLabel(append(dst, ','), "dockerVersion", node.EngineVersion)
	dst = appendLabel(append(dst, ','), "kernelVersion", node.Kernel)
	dst = appendLabel(append(dst, ','), "osVersion", node.OS)
	dst = append(dst, "} 1\n"...)
	for _, f := range [...]struct {
		name, help string
		value      uint64
	}{
		{"machine_cpu_cores", "Number of logical CPU cores.", uint64(node.CPUs)},
		{"machine_memory_bytes", "Amount of memory installed on the machine.", node.MemoryBytes},
	} {
		if f.value == 0 {
			continue // not known
		}
		dst = append(appendHead(dst, f.name, "gauge", f.help), f.name...)
		dst = appendLabel(append(dst, '{'), "boot_id", node.BootID)
		dst = appendLabel(append(dst, ','), "machine_id", node.MachineID)
		dst = append(dst, `,system_uuid=""} `...)
		dst = append(strconv.AppendUint(dst, f.value, 10), '\n')
	}
	return dst
}

// unite makes the union of the labels of all containers: each series has all of them,
// empty where its container has none, because one family must not have series with
// different labels.
func (c *containers) unite(all []collector.Reading) {
	clear(c.columns)
	c.union = c.union[:0]
	if len(c.names) > maxNames {
		clear(c.names)
	}
	for i := range all {
		for _, label := range all[i].Container.Labels {
			if name := c.name(label.Key); name != "" {
				if _, known := c.columns[name]; !known {
					c.columns[name] = 0
					c.union = append(c.union, name)
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

// name returns the name that a label of a container has in series, "" if it isn't shown.
func (c *containers) name(key string) string {
	name, known := c.names[key]
	if !known {
		if c.o.Labels || slices.Contains(c.o.AllowedLabels, key) {
			name = labelPrefix + strings.Map(labelRune, key)
		}
		c.names[key] = name
	}
	return name
}

const labelPrefix = "container_label_"

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
	clear(c.values)
	for _, label := range of.Labels {
		name := c.name(label.Key)
		if name == "" {
			continue
		}
		if i := c.columns[name]; c.values[i] == "" || label.Key == name[len(labelPrefix):] {
			c.values[i] = label.Value
		}
	}
	for i, name := range c.union {
		c.base = appendLabel(c.base, name, c.values[i])
		c.base = append(c.base, ',')
	}
	c.base = appendLabel(c.base, "id", of.Path)
	c.base = appendLabel(append(c.base, ','), "image", of.Image)
	c.base = appendLabel(append(c.base, ','), "name", of.Name)
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
