package main

import (
	"io"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// What comes of each of cAdvisor's storage drivers, and of lists of them. Who wants one that
// isn't here is told so, and his agent runs as one without any.
func TestStorageDrivers(t *testing.T) {
	f := func(list, driver string, printToo bool, destination, remark string) {
		t.Helper()
		o, _, err := parseOptions([]string{"-storage_driver=" + list}, nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if o.StorageDriver != driver || o.PrintToo != printToo || !strings.HasPrefix(o.destination(), destination) {
			t.Errorf("%s: %q, %v, %s", list, o.StorageDriver, o.PrintToo, o.destination())
		}
		if remarks := strings.Join(o.remarks(), "\n"); (remark == "") != (remarks == "") || !strings.Contains(remarks, remark) {
			t.Errorf("%s: %q, want %q", list, remarks, remark)
		}
	}
	f("", "", false, "the spool in", "")
	f("elasticsearch", "elasticsearch", false, "Elasticsearch at http://localhost:9200", "")
	f("stdout", "stdout", false, "standard output", "")
	f("elasticsearch,stdout", "elasticsearch", true, "Elasticsearch at http://localhost:9200, and to standard output", "")
	for _, other := range otherDrivers() {
		f(other, "", false, "the spool in", "the storage driver "+other+" of cAdvisor has no effect here, and nothing is sent there: documents go to the spool in")
	}
	f("kafka,stdout", "stdout", false, "standard output", "documents go to standard output")
	f("elasticsearch,redis", "elasticsearch", false, "Elasticsearch", "documents go to Elasticsearch at")
}

// Groups of metrics that older cAdvisors had are no error.
func TestRetiredGroups(t *testing.T) {
	o, _, err := parseOptions([]string{"-disable_metrics=accelerator,tcp,udp"}, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if groups, err := o.groups(); err != nil || groups.Has("tcp") || !groups.Has("process") {
		t.Errorf("%v, %v", groups, err)
	}
	want := "the group accelerator of -disable_metrics has no meaning here: cAdvisor itself has given it up"
	if remarks := o.remarks(); len(remarks) != 1 || remarks[0] != want {
		t.Errorf("%q, want %q", remarks, want)
	}
}

// The prefixes count without -docker_only, too.
func TestPrefixesHaveAnEffect(t *testing.T) {
	o, _, err := parseOptions([]string{"-raw_cgroup_prefix_whitelist=/system.slice"}, nil, io.Discard)
	if err != nil || len(o.remarks()) > 0 {
		t.Errorf("%q, %v", o.remarks(), err)
	}
}

// countingSink counts what it is given.
type countingSink map[string]int

func (s countingSink) Put(*metric.Node, *metric.Window)                 { s["window"]++ }
func (s countingSink) PutEvent(*metric.Node, *metric.Event)             { s["event"]++ }
func (s countingSink) PutMissed(*metric.Node, *metric.Missed)           { s["missed"]++ }
func (s countingSink) PutSwarm(*metric.Node, *metric.SwarmState, int64) { s["swarm"]++ }
func (s countingSink) Flush(int64)                                      { s["flush"]++ }

func TestTwoSinks(t *testing.T) {
	a, b := countingSink{}, countingSink{}
	both := twoSinks{a, b}
	both.Put(nil, nil)
	both.PutEvent(nil, nil)
	both.PutMissed(nil, nil)
	both.PutSwarm(nil, nil, 0)
	both.Flush(0)
	for _, s := range both {
		got := s.(countingSink)
		for _, what := range []string{"window", "event", "missed", "swarm", "flush"} {
			if got[what] != 1 {
				t.Errorf("%s: %d times, want once", what, got[what])
			}
		}
	}
}
