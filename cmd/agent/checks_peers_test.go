package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// Agents of other nodes that ship, that have ceased to, and that never did.
func TestPeers(t *testing.T) {
	e := newElastic()
	srv := httptest.NewServer(e)
	defer srv.Close()
	agents := map[string]time.Duration{} // by how long ago they shipped
	answer := func() {
		var buckets []string
		for _, node := range []string{"node1", "node2", "node3", "renamed"} {
			if ago, ok := agents[node]; ok {
				buckets = append(buckets, fmt.Sprintf(`{"key":%q,"doc_count":1,"newest":{"value":%d},"swarm":{"buckets":[{"key":"id-%s"}]}}`, node, time.Now().Add(-ago).UnixMilli(), node))
			}
		}
		e.answers["POST /cadvisor-*/_search"] = scripted{200, `{"timed_out":false,"_shards":{"failed":0},"aggregations":{"nodes":{"buckets":[` + strings.Join(buckets, ",") + `]}}}`}
	}
	service, container, host := &place{kind: inService, service: "agent", fullName: "gauge_agent"}, &place{kind: inContainer}, &place{}
	own := &metric.Node{Name: "node1", SwarmID: "id-node1"}
	var peers []peer
	f := func(where *place, nodes []metric.SwarmNode, want shipper.Status, text, mend string, args ...string) {
		t.Helper()
		answer()
		o, _, err := parseOptions(append([]string{"-storage_driver=elasticsearch", "-storage_driver_es_host=" + srv.URL}, args...), nil, new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		c := &checks{o: o, where: where}
		c.ofDelivery(t.Context())
		if !c.answers {
			t.Fatal("it doesn't answer")
		}
		var found finding
		found, peers = c.ofPeers(t.Context(), own, nodes)
		got := ""
		if line := found.mend.line(where); line != nil {
			got = line.String()
		}
		told := regexp.MustCompile(`\d+s ago`).ReplaceAllString(found.Text, "0s ago") // a busy machine takes some
		if found.Check != "peers" || found.Status != want || told != text || got != mend {
			t.Errorf("%+v\n%s\nwant %s\n%s\n%s", found, got, want, text, mend)
		}
	}
	f(host, nil, shipper.OK, "No other agent has shipped within 5 minutes.", "")
	agents["node1"] = 20 * time.Minute
	f(host, nil, shipper.OK, "No other agent has shipped within 5 minutes.", "")
	agents["node2"] = 4 * time.Second
	f(host, nil, shipper.OK, "Other agents that have shipped within 5 minutes: node2 (0s ago).", "")
	if len(peers) != 1 || peers[0].Node != "node2" || *peers[0].Seconds < 3.9 || *peers[0].Seconds > 30 {
		t.Errorf("%+v", peers)
	}
	agents["node3"] = 2 * time.Hour
	silent := "Other agents that have shipped within 5 minutes: node2 (0s ago). Within the last day and not since: node3 (2h0m0s ago)."
	f(service, nil, shipper.Degraded, silent, "on a manager: docker service ps --no-trunc gauge_agent --filter node=node3")
	f(&place{kind: inService, service: "agent"}, nil, shipper.Degraded, silent, "on a manager: docker service ps --no-trunc STACK_agent --filter node=node3")
	f(container, nil, shipper.Degraded, silent, "on those nodes: docker exec CONTAINER /agent doctor")
	f(host, nil, shipper.Degraded, silent, "on those nodes: agent doctor")

	// What a manager knows of the Swarm.
	node := func(name, state, availability string) metric.SwarmNode {
		return metric.SwarmNode{ID: "id-" + name, Name: name, State: state, Availability: availability}
	}
	nodes := []metric.SwarmNode{node("node1", "ready", "active"), node("node2", "ready", "active"), node("node4", "ready", "active"),
		node("node5", "down", "active"), node("node6", "ready", "drain"), {ID: "id-renamed", Name: "node7", State: "ready", Availability: "active"}}
	agents["renamed"] = 4 * time.Second // its -node-name is another one than the Swarm's
	f(service, nodes, shipper.Degraded, "Other agents that have shipped within 5 minutes: node2 (0s ago), renamed (0s ago). Within the last day and not since: node3 (2h0m0s ago). Nodes of the Swarm that have shipped nothing within a day: node4.",
		"on a manager: docker service ps --no-trunc gauge_agent --filter node=node3 --filter node=node4")
	if text, err := json.Marshal(peers[len(peers)-1]); err != nil || string(text) != `{"node":"node4","seconds":null}` {
		t.Errorf("%s, %v", text, err)
	}

	// Who may not read isn't at fault.
	e.security = true
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("geheim"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(service, nodes, shipper.Unknown, "Which other agents ship isn't known: the privilege read on cadvisor-* would show it.", "", "-es-user=anna", "-es-password-file="+password)
	e.security = false
	said := func(status int, body, text string) {
		t.Helper()
		o, _, err := parseOptions([]string{"-storage_driver=elasticsearch", "-storage_driver_es_host=" + srv.URL}, nil, new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		e.answers["POST /cadvisor-*/_search"] = scripted{status, body}
		found, peers := (&checks{o: o, where: host}).ofPeers(t.Context(), own, nodes)
		if found.Status != shipper.Unknown || !strings.Contains(found.Text, text) || !found.mend.empty() || peers != nil {
			t.Errorf("%+v, want %q", found, text)
		}
	}
	said(403, `{"error":{"type":"security_exception","reason":"unauthorized"}}`, "the privilege read")
	said(503, `{}`, "HTTP status 503")
	said(200, `{"timed_out":true}`, "only a part")
	said(200, `{"aggregations":[]}`, "can't be read")
}

// All of it as doctor prints it, with what the fake knows of another node.
func TestDoctorTellsPeers(t *testing.T) {
	e := newElastic()
	e.answers["POST /cadvisor-*/_search"] = scripted{200, fmt.Sprintf(`{"aggregations":{"nodes":{"buckets":[{"key":"another","newest":{"value":%d},"swarm":{"buckets":[]}}]}}}`, time.Now().Add(-time.Hour).UnixMilli())}
	srv := httptest.NewServer(e)
	defer srv.Close()
	args := []string{"doctor", "-port=1", "-docker=", "-podman=", "-containerd=", "-storage_driver=elasticsearch",
		"-storage_driver_es_host=" + srv.URL, "-spool-dir=" + t.TempDir(), "-docker_root=" + t.TempDir()}
	_, stdout, stderr := invoke(t, nil, append(args, "-json")...)
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v, %q", err, stderr)
	}
	if len(r.Peers) != 1 || r.Peers[0].Node != "another" || r.Peers[0].Seconds == nil || *r.Peers[0].Seconds < 3600 {
		t.Errorf("%+v", r.Peers)
	}
	if _, stdout, _ = invoke(t, nil, args...); !strings.Contains(stdout, "! peers ") || !strings.Contains(stdout, "another (1h0m") {
		t.Errorf("%s", stdout)
	}
	e.answers["POST /cadvisor-*/_search"] = scripted{403, `{}`}
	if _, stdout, _ = invoke(t, nil, args...); !strings.Contains(stdout, "? peers ") {
		t.Errorf("%s", stdout)
	}
}
