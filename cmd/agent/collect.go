package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// collect measures everything once and prints it: what a person runs first. The table is
// for people; with "json" as argument or option it prints the documents that would be shipped.
func (p program) collect(ctx context.Context, args []string) error {
	format := "table"
	if len(args) > 0 && (args[0] == "json" || args[0] == "table") {
		format, args = args[0], args[1:]
	}
	var asJSON bool
	o, rest, err := parseOptionsAnd(args, p.environ, p.stdout, func(_ *options, fs *flag.FlagSet) {
		fs.BoolVar(&asJSON, "json", format == "json", "print the documents that would be shipped instead of a table, as \"agent collect json\" does")
	}, commandHelpAnd("collect", optionsOfRun, "json", "docker_only", "docker", "docker_root", "proc-root", "cgroup-root"))
	if err != nil {
		return helpIsFine(err)
	}
	if asJSON {
		format = "json"
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("collect prints a table, or documents with \"agent collect json\"; it can't do %q", rest[0])}
	}
	log := newLog("warn", o.LogFormat, p.stderr)

	parts, err := openParts(o, log)
	if err != nil {
		return err
	}
	defer parts.close()
	self := newSelf(parts.cgroups)
	defer self.close()
	table := &table{}
	var sink collector.Sink = table
	if format == "json" {
		sink = shipper.NewLines(p.stdout, o.encoder(o.HousekeepingInterval), self.tell, log)
	}
	loop, err := parts.collector(ctx, o, sink, log)
	if err != nil {
		return err
	}
	self.loop = loop
	if err := loop.Once(ctx); err != nil {
		return err
	}
	if format == "table" {
		table.print(p.stdout)
		for _, note := range parts.notes() {
			fmt.Fprintln(p.stderr, "note: "+note)
		}
	}
	return nil
}

// table is a Sink that keeps one line per container.
type table struct{ rows []tableRow }

type tableRow struct {
	name    string
	cores   float64
	memory  uint64
	columns []string
}

// Put implements collector.Sink.
func (t *table) Put(_ *metric.Node, w *metric.Window) {
	c, s := w.Container, w.Last
	row := tableRow{name: c.DisplayName()}
	seconds := w.Seconds()
	flow := func(id metric.ID) (sum float64, ok bool) {
		for i := range s.Rows(id.Per()) {
			if v, read := s.Increase(&w.First, id, i); read {
				sum, ok = sum+float64(v), true
			}
		}
		return sum / seconds, ok && seconds > 0
	}
	rate := func(id metric.ID) string {
		if v, ok := flow(id); ok {
			return size(uint64(v)) + "/s"
		}
		return "-"
	}
	gauge := func(id metric.ID, format func(uint64) string) string {
		if v, ok := s.Get(id); ok {
			return format(v)
		}
		return "-"
	}
	cores := "-"
	if v, ok := flow(metric.CPUUsage); ok {
		row.cores = v / 1e9
		cores = fmt.Sprintf("%.3f", row.cores)
	}
	throttled := "-"
	if periods, ok := flow(metric.CPUPeriods); ok && periods > 0 {
		held, _ := flow(metric.CPUThrottledPeriods)
		throttled = fmt.Sprintf("%.0f%%", 100*held/periods)
	}
	working := gauge(metric.MemoryWorkingSet, size)
	row.memory, _ = s.Get(metric.MemoryWorkingSet)
	if total, ok := s.Get(metric.NodeMemoryTotal); ok { // the node has no working set
		available, _ := s.Get(metric.NodeMemoryAvailable)
		row.memory = total - min(available, total)
		working = size(row.memory)
	}
	received, sent := rate(metric.NetworkReceiveBytes), rate(metric.NetworkTransmitBytes)
	if w.NetworkOf != "" {
		received, sent = "shared", "shared"
	}
	row.columns = []string{
		row.name, c.Swarm.ServiceName, cores, throttled, working, gauge(metric.MemoryLimit, size),
		received, sent, rate(metric.DiskReadBytes), rate(metric.DiskWriteBytes),
		gauge(metric.PidsCurrent, func(v uint64) string { return fmt.Sprint(v) }),
	}
	t.rows = append(t.rows, row)
}

// PutEvent implements collector.Sink; a table has no events.
func (t *table) PutEvent(*metric.Node, *metric.Event) {}

// PutMissed implements collector.Sink; a table has two sweeps.
func (t *table) PutMissed(*metric.Node, *metric.Missed) {}

// Flush implements collector.Sink.
func (t *table) Flush(int64) {}

// print writes the rows, the busiest first.
func (t *table) print(w io.Writer) {
	slices.SortStableFunc(t.rows, func(a, b tableRow) int {
		return cmp.Or(cmp.Compare(b.cores, a.cores), cmp.Compare(b.memory, a.memory), cmp.Compare(a.name, b.name))
	})
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "CONTAINER\tSERVICE\tCORES\tTHROTTLED\tMEMORY\tLIMIT\tNET IN\tNET OUT\tDISK READ\tDISK WRITE\tTASKS")
	for _, row := range t.rows {
		for i, column := range row.columns {
			if i > 0 {
				fmt.Fprint(out, "\t")
			}
			fmt.Fprint(out, cmp.Or(column, "-"))
		}
		fmt.Fprintln(out)
	}
	out.Flush()
}

// size writes a number of bytes as people read it.
func size(v uint64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(v), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", v)
	}
	return fmt.Sprintf("%.3g %s", f, units[i])
}
