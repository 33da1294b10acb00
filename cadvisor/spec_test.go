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

// A container that a runtime has made has a network, though there may be no interface in it.
func TestSpecNetwork(t *testing.T) {
	f := func(c *metric.Container, groups string, interfaces int, want bool) {
		t.Helper()
		on, err := ParseGroups(groups, "")
		if err != nil {
			t.Fatal(err)
		}
		s := &metric.Sample{}
		for range interfaces {
			s.PutRow(metric.NetworkReceiveBytes, s.AddRow(metric.PerInterface, metric.Key{Name: "eth0"}), 1)
		}
		if got := Spec(&Observation{Node: &metric.Node{}, Container: c, Sample: s}, on, UnlimitedV2).HasNetwork; got != want {
			t.Errorf("%+v with %d interfaces: has_network %v, want %v", c, interfaces, got, want)
		}
	}
	docker, raw := &metric.Container{Path: "/docker/x", Runtime: "docker"}, &metric.Container{Path: "/system.slice"}
	f(docker, "network", 1, true)
	f(docker, "network", 0, true)
	f(docker, "cpu", 1, false)
	f(&metric.Container{Path: "/docker/y", Runtime: "docker", NetworkMode: "container:x"}, "network", 0, false)
	f(raw, "network", 0, false)
	f(&metric.Container{Path: "/"}, "network", 1, true)
}
