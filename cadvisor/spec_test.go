package cadvisor

import (
	"math"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

// Where no limit of processes is set, cAdvisor has the same number on both versions.
func TestSpecProcesses(t *testing.T) {
	groups, err := ParseGroups("process", "")
	if err != nil {
		t.Fatal(err)
	}
	f := func(none Unlimited, limit, want uint64) {
		t.Helper()
		s := &metric.Sample{}
		s.Put(metric.PidsCurrent, 3)
		if limit > 0 {
			s.Put(metric.PidsLimit, limit)
		}
		spec := Spec(&Observation{Node: &metric.Node{}, Container: &metric.Container{Path: "/docker/x"}, Sample: s}, groups, none)
		if !spec.HasProcesses || spec.Processes.Limit != want {
			t.Errorf("has_processes %v, limit %d, want %d", spec.HasProcesses, spec.Processes.Limit, want)
		}
	}
	f(UnlimitedV1, 50, 50)
	f(UnlimitedV1, 0, math.MaxUint64)
	f(UnlimitedV2, 0, math.MaxUint64)
}
