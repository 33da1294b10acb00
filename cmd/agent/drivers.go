package main

import (
	"slices"
	"strings"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// otherDrivers are the storage drivers of cAdvisor that send nothing here.
func otherDrivers() []string { return []string{"bigquery", "influxdb", "kafka", "redis", "statsd"} }

// deriveOutput says what comes of a list of storage drivers.
func (o *options) deriveOutput() {
	given := strings.Split(o.StorageDrivers, ",")
	o.StorageDriver, o.PrintToo = "", slices.Contains(given, "stdout")
	switch {
	case slices.Contains(given, "elasticsearch"):
		o.StorageDriver = "elasticsearch"
	case o.PrintToo:
		o.StorageDriver, o.PrintToo = "stdout", false
	}
}

// unmet are sentences about what options ask for that the agent hasn't got: storage drivers,
// and groups of metrics.
func (o *options) unmet() (sentences []string) {
	for driver := range strings.SplitSeq(o.StorageDrivers, ",") {
		if slices.Contains(otherDrivers(), driver) {
			sentences = append(sentences, "the storage driver "+driver+" of cAdvisor has no effect here, and nothing is sent there: documents go to "+
				o.destination()+"; -storage_driver=elasticsearch sends them to Elasticsearch")
		}
	}
	for _, row := range [...]struct{ option, list string }{{"enable_metrics", o.EnableMetrics}, {"disable_metrics", o.DisableMetrics}} {
		for _, group := range cadvisor.Retired(row.list) {
			sentences = append(sentences, "the group "+group+" of -"+row.option+" has no meaning here: cAdvisor itself has given it up")
		}
	}
	return sentences
}

// fullSink is a Sink that takes all that there is.
type fullSink interface {
	collector.Sink
	collector.SwarmSink
}

// twoSinks gives two sinks the same.
type twoSinks [2]fullSink

// Put implements collector.Sink.
func (t twoSinks) Put(node *metric.Node, w *metric.Window) {
	for _, s := range t {
		s.Put(node, w)
	}
}

// PutEvent implements collector.Sink.
func (t twoSinks) PutEvent(node *metric.Node, e *metric.Event) {
	for _, s := range t {
		s.PutEvent(node, e)
	}
}

// PutMissed implements collector.Sink.
func (t twoSinks) PutMissed(node *metric.Node, m *metric.Missed) {
	for _, s := range t {
		s.PutMissed(node, m)
	}
}

// PutSwarm implements collector.SwarmSink.
func (t twoSinks) PutSwarm(node *metric.Node, state *metric.SwarmState, slot int64) {
	for _, s := range t {
		s.PutSwarm(node, state, slot)
	}
}

// Flush implements collector.Sink.
func (t twoSinks) Flush(slot int64) {
	for _, s := range t {
		s.Flush(slot)
	}
}

var _ fullSink = twoSinks{}
