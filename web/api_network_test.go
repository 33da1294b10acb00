package web

import (
	"testing"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// A container in another one's network has numbers of it in API v1, and none of its own. One
// in the node's network has those of the node.
func TestNetworkOfAnother(t *testing.T) {
	f := func(of string, has bool) {
		t.Helper()
		c := &metric.Container{Path: "/docker/x", Runtime: "docker", ID: "x", Name: "sharer"}
		h := collector.HistoryOf(&metric.Node{}, c, samplesOf(2, nil)...)
		h.NetworkOf = of
		server := Handler(Options{API: apiOver(t, map[string]*collector.History{c.Path: h})})
		_, _, text := ask(t, server, "GET", "/api/v1.3/docker/sharer", "")
		v1 := decode[map[string]info](t, text)[c.Path]
		if v1.Spec["has_network"] != has || v1.Stats[0].Network.Name != "eth0" {
			t.Errorf("network of %q: v1 has_network is %v: %.500s", of, v1.Spec["has_network"], text)
		}
		_, _, text = ask(t, server, "GET", "/api/v2.1/stats/sharer?type=docker", "")
		v21 := decode[map[string]struct {
			Spec  map[string]any
			Stats []map[string]any
		}](t, text)[c.Path]
		if _, there := v21.Stats[0]["network"]; v21.Spec["has_network"] != has || there != has {
			t.Errorf("network of %q: v2.1 has_network is %v, network is there: %v", of, v21.Spec["has_network"], there)
		}
	}
	f("", true)
	f("/docker/y", false)
	f(metric.Root, true)
}
