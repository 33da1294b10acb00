package shipper

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/metric"
)

var updateDocuments = flag.Bool("update", false, "rewrite testdata/documents.ndjson, METRICS.md and the fates in docs/operations.md")

// The slot at which the windows of these tests end: 2026-11-22 11:49:50 UTC.
const slotTime = 1795348190 * int64(time.Second)

var documentOptions = EncoderOptions{
	AgentVersion: "1.0.0",
	EphemeralID:  "5a0f5bc2-f1ad-4a1c-b7a5-4f0b1f0a9d3e",
	Interval:     10 * time.Second,
}

var documentNode = &metric.Node{
	Name: "worker-1", SwarmID: "scx4t3luu2owyslpush0keprn", ClusterID: "kq0v9g3m5v5m1d2c8f7e6a4b3", MachineID: "9f0c1a2b", BootID: "b0b0-1",
	Kernel: "6.1.0-18-amd64", OS: "Debian GNU/Linux 12 (bookworm)", Architecture: "amd64",
	CPUs: 4, MemoryBytes: 8 << 30,
	EngineDisk: &metric.EngineDisk{Images: 14, ImageBytes: 5 << 30, ImageReclaimableBytes: 2 << 30, BuildCacheBytes: 1 << 30, BuildCacheReclaimableBytes: 1 << 29},
}

// documentContainer returns a Swarm task, of which everything is known.
func documentContainer() *metric.Container {
	id := strings.Repeat("5049e30fd9e06bd8", 4)
	return &metric.Container{
		Path: "/docker/" + id, Instance: 4711, Runtime: "docker", ID: id,
		Name:    "shop_web.2.pzgvap14zsnnf9urwzilibxlb",
		Image:   "registry.example.org:5000/shop/web:1.25@sha256:aaaa",
		ImageID: "sha256:bbbb",
		Labels: []metric.Label{
			{Key: "com.docker.stack.namespace", Value: "shop"},
			{Key: "team", Value: "front \"end\""},
		},
		Created: time.Date(2026, 11, 22, 11, 40, 12, 858821657, time.UTC),
		Started: time.Date(2026, 11, 22, 11, 40, 13, 78852869, time.UTC),
		Health:  "healthy", State: "running", PID: 4242, NetworkMode: "ingress",
		Swarm: metric.Swarm{
			ServiceID: "svc1", ServiceName: "shop_web", TaskID: "pzgvap14zsnnf9urwzilibxlb",
			TaskName: "shop_web.2.pzgvap14zsnnf9urwzilibxlb", Slot: 2,
			NodeID: "scx4t3luu2owyslpush0keprn", Stack: "shop",
		},
	}
}

// fullSample returns a sample in which every number is read: all of them zero.
func fullSample(at int64) *metric.Sample {
	s := &metric.Sample{Time: at}
	s.AddRow(metric.PerCPU, metric.Key{Name: "0"})
	s.AddRow(metric.PerInterface, metric.Key{Name: "eth0"})
	s.AddRow(metric.PerInterface, metric.Key{Name: "eth1"})
	s.AddRow(metric.PerDevice, metric.Key{Name: "nvme0n1", Major: 259})
	s.AddRow(metric.PerDevice, metric.Key{Name: "dm-0", Major: 253})
	s.AddRow(metric.PerFilesystem, metric.Key{Name: "/dev/nvme0n1", Major: 259, Mountpoint: "/", Type: "ext4"})
	for id := range metric.ID(metric.NumIDs) {
		for row := range s.Rows(id.Per()) {
			s.PutRow(id, row, 0)
		}
		if s.Rows(id.Per()) == 0 {
			s.Put(id, 0)
		}
	}
	return s
}

// fullWindow returns a window of ten seconds in which every number has a value: number
// id of row r is, or grew by, (id+1)·1,010,000 + r, but for two.
func fullWindow(c *metric.Container) *metric.Window {
	w := &metric.Window{
		Last:      new(metric.Sample),
		Slot:      slotTime,
		Container: c, Samples: 10,
		PeakCPU: 2_500_000_000, HasPeakCPU: true, PeakWorkingSet: 123456789, HasPeakMemory: true,
	}
	w.First.CopyFrom(fullSample(slotTime - 10*int64(time.Second)))
	w.Last.CopyFrom(fullSample(slotTime + 3_142_059))
	w.First.Time += 3_142_059
	for id := range metric.ID(metric.NumIDs) {
		for row := range w.Last.Rows(id.Per()) {
			w.Last.PutRow(id, row, (uint64(id)+1)*1_010_000+uint64(row))
		}
	}
	// What is free is a part of what there is, or no share of it can be told.
	w.Last.PutRow(metric.FilesystemInodesFree, 0, 25_502_500)
	w.Last.Put(metric.NodeMemoryAvailable, 91_657_500)
	return w
}

func nodeWindow() *metric.Window { return fullWindow(&metric.Container{Path: metric.Root}) }

// documentAgent returns what an agent says that has everything to say.
func documentAgent() *Agent {
	return &Agent{
		Time: slotTime + 5e6, Epoch: 0xfeed, Batch: 19, Documents: 105,
		First: slotTime/1e6 - 9_000, Last: slotTime/1e6 + 5, Waiting: 17, Final: true, Sampled: 2000,
		Self: Self{
			Started: time.Unix(0, slotTime-3600e9), Containers: 100, Descriptors: 1200, Goroutines: 17,
			Sweeps: 3600, Missed: 2, Samples: 360_000, Longest: 12_345_678, Latest: 701_000, CPU: 21_300_400_500, RSS: 22 << 20,
		},
		Delivery: &Stats{
			Found: 300, Indexed: 1234, GapsIndexed: 1, DuplicatesExpected: 7, DuplicatesUnexpected: 1, Requests: 40, Retried: 4,
			Dead: 3, FailureStore: 2, Pending: 1049, SpoolBatches: 9, SpoolBytes: 81920, MemoryBytes: 4096,
			Oldest: time.Unix(0, slotTime-170e9), DiskFault: "no space left on device", Degraded: true, Held: true, Trouble: "HTTP status 401",
		},
		Slowest: 87_654_000,
		dropped: [documentLosses]int64{lostBudget: 8, lostMemory: 4, lostBehind: 1, lostDamaged: 1, lostRefused: 3},
	}
}

// documentSwarm returns the state of a Swarm that is not well.
func documentSwarm() *metric.SwarmState {
	s := &metric.SwarmState{
		Time: time.Unix(0, slotTime-2e9),
		Services: []metric.Service{
			{
				ID: "svc1", Name: "shop_web", Stack: "shop", Mode: "replicated", Image: "registry.example.org:5000/shop/web:1.25@sha256:aaaa",
				Desired: 3, Running: 1, Pending: 1, Failed: 4, UpdateState: "paused", UpdateMessage: "update paused due to failure or early termination of task abc",
			},
			{ID: "svc2", Name: "migrate", Mode: "replicated-job", Image: "migrate", Desired: 0, Running: 1, Pending: 0, Failed: -1, Completed: 3},
		},
		Nodes: []metric.SwarmNode{
			{
				ID: "scx4t3luu2owyslpush0keprn", Name: "worker-1", Role: "manager", Availability: "active", State: "ready", Leader: true,
				Reachability: "reachable", EngineVersion: "28.5.2", CPUs: 4, MemoryBytes: 8 << 30,
			},
			{ID: "worker2id", Name: "worker-2", Role: "worker", Availability: "drain", State: "down", Message: "heartbeat failure"},
		},
	}
	s.Tasks = []metric.SwarmTask{
		{
			ID: "task3", Name: "shop_web.3", Slot: 3, Service: &s.Services[0], Image: s.Services[0].Image, State: "pending", DesiredState: "running",
			Message: "pending task scheduling", Error: "no suitable node (scheduling constraints not satisfied on 2 nodes)", Since: time.Unix(0, slotTime-60e9),
			ExitCode: metric.UnknownExit,
		},
		{
			ID: "task2", Name: "shop_web.2", Slot: 2, Service: &s.Services[0], Image: s.Services[0].Image, NodeID: "worker2id", NodeName: "worker-2",
			State: "failed", DesiredState: "shutdown", Message: "started", Error: "task: non-zero exit (3)", Since: time.Unix(0, slotTime-4e9),
			ContainerID: strings.Repeat("5049e30fd9e06bd8", 4), ExitCode: 3,
		},
	}
	return s
}

// attachedWindow is fullWindow of a container with all interfaces that documents tell apart.
func attachedWindow(c *metric.Container) *metric.Window {
	w := fullWindow(c)
	for i, name := range interfaceNames[2:] {
		for _, s := range []*metric.Sample{&w.First, w.Last} {
			row := s.AddRow(metric.PerInterface, metric.Key{Name: name})
			s.PutRow(metric.NetworkReceiveBytes, row, 0)
			s.PutRow(metric.NetworkTransmitBytes, row, 0)
		}
		w.Last.PutRow(metric.NetworkReceiveBytes, 2+i, uint64(1000+i))
		w.Last.PutRow(metric.NetworkTransmitBytes, 2+i, uint64(2000+i))
	}
	return w
}

// documents returns one document of each kind that has all its fields.
func documents(e *Encoder) map[string][]byte {
	node, c := documentNode, documentContainer()
	exited := *c
	exited.Exit = &metric.Exit{Code: 137, OOMKilled: true}
	unnamed := &metric.Container{Path: "/docker/x", Runtime: "docker", ID: "x", Unidentified: "the engine's directory is not mounted"}
	ailing := *c
	ailing.Health, ailing.FailingStreak = "unhealthy", 7
	nw, state := nodeWindow(), documentSwarm()
	return map[string][]byte{
		"container":    e.AppendContainer(nil, node, fullWindow(c)),
		"attached":     e.AppendContainer(nil, node, attachedWindow(c)),
		"two devices":  e.AppendRow(nil, node, fullWindow(c), metric.PerDevice, 0),
		"unhealthy":    e.AppendContainer(nil, node, fullWindow(&ailing)),
		"service":      e.AppendSwarm(nil, node, state, 0, slotTime),
		"job":          e.AppendSwarm(nil, node, state, 1, slotTime),
		"swarm_node":   e.AppendSwarm(nil, node, state, 2, slotTime),
		"worker":       e.AppendSwarm(nil, node, state, 3, slotTime),
		"pending":      e.AppendSwarm(nil, node, state, 4, slotTime),
		"failed":       e.AppendSwarm(nil, node, state, 5, slotTime),
		"update":       e.AppendEvent(nil, node, &metric.Event{Time: time.Unix(0, slotTime-5e8), Action: metric.ServiceUpdate, ID: "svc1", Container: new(metric.Container), Service: &state.Services[0]}),
		"exited":       e.AppendContainer(nil, node, fullWindow(&exited)),
		"unidentified": e.AppendContainer(nil, node, fullWindow(unnamed)),
		"node":         e.AppendNode(nil, node, nw),
		"interface":    e.AppendRow(nil, node, nw, metric.PerInterface, 1),
		"device":       e.AppendRow(nil, node, nw, metric.PerDevice, 0),
		"filesystem":   e.AppendRow(nil, node, nw, metric.PerFilesystem, 0),
		"die":          e.AppendEvent(nil, node, &metric.Event{Time: time.Unix(0, slotTime-5e8), Action: metric.Die, ID: c.ID, Container: &exited, ExitCode: 137, LastMinute: fullWindow(&exited)}),
		"health":       e.AppendEvent(nil, node, &metric.Event{Time: time.Unix(0, slotTime-5e8), Action: metric.Health, ID: c.ID, Container: c, Health: "unhealthy"}),
		"clock": e.AppendEvent(nil, node, &metric.Event{
			Time: time.Unix(0, slotTime), Action: metric.ClockStep, Container: &metric.Container{Path: metric.Root}, Step: -3600*time.Second - 250*time.Millisecond,
		}),
		"gap": e.AppendGap(nil, node, &Gap{
			Time: slotTime, Reason: "budget", Documents: 1234, FirstSlot: slotTime - 20e9, LastSlot: slotTime - 10e9,
			FirstBatch: 17, LastBatch: 18, Epoch: 0xfeed,
		}),
		"lost gap": e.AppendGap(nil, node, &Gap{
			Time: slotTime, Reason: "damaged", Gaps: 1, FirstSlot: slotTime - 20e9, LastSlot: slotTime - 20e9,
			FirstBatch: 16, LastBatch: 16, Epoch: 0xfeed,
		}),
		"agent": e.AppendAgent(nil, node, documentAgent()),
		"missed": e.AppendGap(nil, node, missedGap(slotTime, &metric.Missed{
			Reason: metric.MissedStopped, Sweeps: 600, FirstSlot: slotTime - 600e9, LastSlot: slotTime - 10e9,
		})),
	}
}

// decodeDocument returns the members of a document, and fails for what Elasticsearch would refuse:
// several lines, invalid JSON, and a member that comes twice at any depth.
func decodeDocument(t testing.TB, document []byte) map[string]json.RawMessage {
	t.Helper()
	if bytes.ContainsAny(document, "\n\r") {
		t.Fatalf("several lines: %q", document)
	}
	if !json.Valid(document) {
		t.Fatalf("invalid JSON: %q", document)
	}
	d := json.NewDecoder(bytes.NewReader(document))
	var object func()
	object = func() { // the opening brace has been read
		seen := map[string]bool{}
		for d.More() {
			key, _ := d.Token()
			if seen[key.(string)] {
				t.Fatalf("%s comes twice in %s", key, document)
			}
			seen[key.(string)] = true
			value, _ := d.Token()
			depth := 0
			for {
				switch value {
				case json.Delim('{'):
					object()
				case json.Delim('['):
					depth++
				case json.Delim(']'):
					depth--
				}
				if depth == 0 {
					break
				}
				value, _ = d.Token()
			}
		}
		d.Token() // the closing brace
	}
	d.Token()
	object()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

// wantMembers checks members; a want of "" means that it must be absent.
func wantMembers(t *testing.T, document []byte, members map[string]string) {
	t.Helper()
	got := decodeDocument(t, document)
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if string(got[key]) != members[key] {
			t.Errorf("%s is %s, want %s", key, got[key], members[key])
		}
	}
}

// One document of each kind stands in testdata, container_stats apart: it must be what
// package cadvisor makes of the window's last sample.
func TestDocumentsGolden(t *testing.T) {
	all := documents(NewEncoder(documentOptions))
	var got bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		document := all[name]
		if i := bytes.Index(document, []byte(`,"container_stats":`)); i >= 0 {
			var stats cadvisor.ContainerStats
			c := &metric.Container{Health: "healthy"}
			switch name {
			case "node", "unidentified":
				c.Health = ""
			case "unhealthy":
				c.Health = "unhealthy"
			}
			w := fullWindow(c)
			if name == "attached" {
				w = attachedWindow(c)
			}
			stats.Fill(c, w.Last)
			if want := stats.AppendJSON([]byte(`,"container_stats":`)); string(document[i:]) != string(want)+"}" {
				t.Errorf("%s: got %s\nwant %s}", name, document[i:], want)
			}
			document = append(document[:i:i], '}')
		}
		decodeDocument(t, document)
		got.Write(document)
		got.WriteByte('\n')
	}
	const file = "testdata/documents.ndjson"
	if *updateDocuments {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines, goldenLines := strings.Split(got.String(), "\n"), strings.Split(string(golden), "\n")
	if len(lines) != len(goldenLines) {
		t.Fatalf("%d lines, %s has %d", len(lines), file, len(goldenLines))
	}
	for i := range lines {
		if lines[i] != goldenLines[i] {
			t.Errorf("%s:%d\ngot  %s\nwant %s", file, i+1, lines[i], goldenLines[i])
		}
	}
}

func TestContainerDerived(t *testing.T) {
	w := &metric.Window{Last: new(metric.Sample), Slot: slotTime, Container: documentContainer(), Samples: 10, HasPeakCPU: true, PeakCPU: 1_750_000_000}
	w.First.Time, w.Last.Time = slotTime-10e9, slotTime
	w.First.Put(metric.CPUUsage, 5e9)
	w.Last.Put(metric.CPUUsage, 10e9) // 5 s of 10 s × 4 CPUs
	w.Last.Put(metric.CPUQuota, 150_000)
	w.Last.Put(metric.CPUPeriod, 100_000)
	w.Last.Put(metric.MemoryWorkingSet, 256<<20)
	w.Last.Put(metric.MemoryLimit, 1<<30)
	e := NewEncoder(documentOptions)
	wantMembers(t, e.AppendContainer(nil, documentNode, w), map[string]string{
		"container.cpu.core_seconds":       "5",
		"container.cpu.usage":              "0.125",
		"container.cpu.peak_cores":         "1.75",
		"container.cpu.limit_cores":        "1.5",
		"container.cpu.limit_core_seconds": "15",
		"container.cpu.limit_usage":        "0.333333",
		"container.memory.usage":           "0.25",
		"container.memory.limit_usage":     "0.25",
		"container.memory.oom_kills":       "",
	})

	// Without limits: the memory's share is the node's, what refers to a limit is absent.
	var limits metric.Set
	limits.Add(metric.CPUQuota)
	limits.Add(metric.MemoryLimit)
	w.Last.Forget(&limits)
	w.HasPeakCPU = false
	wantMembers(t, e.AppendContainer(nil, documentNode, w), map[string]string{
		"container.cpu.usage":              "0.125",
		"container.cpu.peak_cores":         "",
		"container.cpu.limit_cores":        "",
		"container.cpu.limit_core_seconds": "",
		"container.cpu.limit_usage":        "",
		"container.memory.usage":           "0.03125",
		"container.memory.limit_usage":     "",
		"container.memory.limit_bytes":     "",
	})

	// Nothing is known of the node: no share can be told.
	wantMembers(t, e.AppendContainer(nil, &metric.Node{Name: "n"}, w), map[string]string{
		"container.cpu.usage":                "",
		"container.memory.usage":             "",
		"container.memory.working_set_bytes": "268435456",
	})
}

func TestNodeDerived(t *testing.T) {
	w := &metric.Window{Last: new(metric.Sample), Slot: slotTime, Container: &metric.Container{Path: metric.Root}, Samples: 10}
	w.First.Time, w.Last.Time = slotTime-10e9, slotTime
	for id := metric.NodeCPUUser; id <= metric.NodeCPUGuest; id++ {
		w.First.Put(id, 100e9)
		w.Last.Put(id, 101e9)
	}
	w.Last.Put(metric.NodeCPUIdle, 107e9)
	w.Last.Put(metric.NodeMemoryTotal, 8<<30)
	w.Last.Put(metric.NodeMemoryAvailable, 6<<30)
	disk := metric.Key{Name: "sda", Major: 8}
	for _, s := range []*metric.Sample{&w.First, w.Last} {
		s.AddRow(metric.PerDevice, disk)
		for id := metric.DiskReadBytes; id <= metric.DiskWeightedIOTime; id++ {
			s.PutRow(id, 0, 0)
		}
	}
	w.Last.PutRow(metric.DiskIOTime, 0, 2_500_000_000)
	w.Last.PutRow(metric.DiskReadOperations, 0, 3)
	w.Last.PutRow(metric.DiskWriteOperations, 0, 1)
	w.Last.PutRow(metric.DiskReadTime, 0, 20_000_000)
	w.Last.PutRow(metric.DiskWriteTime, 0, 8_000_000)
	w.Last.AddRow(metric.PerFilesystem, metric.Key{Name: "/dev/sda1", Mountpoint: "/", Type: "xfs"})
	w.Last.PutRow(metric.FilesystemUsed, 0, 30)
	w.Last.PutRow(metric.FilesystemAvailable, 0, 10)
	e := NewEncoder(documentOptions)
	wantMembers(t, e.AppendNode(nil, documentNode, w), map[string]string{
		"host.cpu.cores":              "4",
		"host.cpu.usage":              "0.466667", // 7 of 15 s
		"host.cpu.mode.idle_seconds":  "7",
		"host.memory.usage":           "0.25",
		"host.disk.busy_seconds":      "2.5",
		"container_Name":              `"/"`,
		"host.memory.available_bytes": "6442450944",
	})
	wantMembers(t, e.AppendRow(nil, documentNode, w, metric.PerDevice, 0), map[string]string{
		"device.name":               `"sda"`,
		"device.disk.usage":         "0.25",
		"device.disk.await_seconds": "0.007",
		"device.disk.read.bytes":    "0",
	})
	wantMembers(t, e.AppendRow(nil, documentNode, w, metric.PerFilesystem, 0), map[string]string{
		"filesystem.usage":        "0.75",
		"filesystem.inodes_usage": "",
		"filesystem.used_bytes":   "30",
	})
}

// Modes of CPU time stand in a row in the table, and nothing else does between them.
func TestNodeCPUModes(t *testing.T) {
	for id := metric.NodeCPUUser; id <= metric.NodeCPUGuest; id++ {
		if !strings.HasPrefix(id.String(), "cpu.mode.") {
			t.Errorf("%s stands among the modes", id)
		}
	}
	if n := metric.NodeCPUGuest - metric.NodeCPUUser + 1; n != 9 {
		t.Errorf("%d modes", n)
	}
}

// A container that was seen to begin: what all its documents say adds up to its final
// counters, disk IO on devices that it comes to use later included.
func TestFlowsAddUp(t *testing.T) {
	e := NewEncoder(documentOptions)
	var current metric.Sample
	current.Time = slotTime
	current.Put(metric.CPUUsage, 1_234_567)
	eth0 := current.AddRow(metric.PerInterface, metric.Key{Name: "eth0"})
	current.PutRow(metric.NetworkReceiveBytes, eth0, 90)

	w := &metric.Window{Last: new(metric.Sample), Slot: slotTime, Container: documentContainer(), Samples: 1}
	w.First.CopyFrom(&current)
	w.First.Zero()
	w.Last.CopyFrom(&current)

	var seconds, received, read float64
	for i := range 20 {
		if i > 0 {
			w.Next()
			current.Time += 10e9
			current.Put(metric.CPUUsage, 1_234_567+uint64(i)*333_333_333)
			current.PutRow(metric.NetworkReceiveBytes, eth0, 90+uint64(i*i*1000))
			if i == 5 || i == 9 {
				current.AddRow(metric.PerDevice, metric.Key{Name: fmt.Sprint("vd", i), Major: 254, Minor: uint32(i)})
			}
			for row := range current.Rows(metric.PerDevice) {
				current.PutRow(metric.DiskReadBytes, row, uint64(4096*i))
			}
			w.Last.CopyFrom(&current)
			w.First.AddMissingRows(metric.PerDevice, w.Last) // as the collector does
			w.Ended = i == 19
		}
		members := decodeDocument(t, e.AppendContainer(nil, documentNode, w))
		for key, sum := range map[string]*float64{
			"container.cpu.core_seconds": &seconds, "container.network.ingress.bytes": &received, "container.disk.read.bytes": &read,
		} {
			if members[key] == nil {
				continue
			}
			var flow float64
			if err := json.Unmarshal(members[key], &flow); err != nil || flow < 0 {
				t.Fatalf("%s is %s (%v)", key, members[key], err)
			}
			*sum += flow
		}
		if got, want := string(members["sample.ended"]), fmt.Sprint(w.Ended); got != want {
			t.Errorf("sample.ended is %s, want %s", got, want)
		}
	}
	if want := 0.001234567 + 19*0.333333333; math.Abs(seconds-want) > 1e-9 {
		t.Errorf("CPU adds up to %v, want %v", seconds, want)
	}
	if want := 90.0 + 19*19*1000; received != want {
		t.Errorf("bytes received add up to %v, want %v", received, want)
	}
	if want := 2.0 * 4096 * 19; read != want {
		t.Errorf("bytes read add up to %v, want %v", read, want)
	}
}

// A container that the agent found running: no flows and no rates, but states.
func TestFoundRunning(t *testing.T) {
	w := fullWindow(documentContainer())
	w.First = metric.Sample{}
	document := NewEncoder(documentOptions).AppendContainer(nil, documentNode, w)
	wantMembers(t, document, map[string]string{
		"container.cpu.usage":                "",
		"container.cpu.limit_core_seconds":   "",
		"container.cpu.limit_usage":          "",
		"sample.interval_seconds":            "",
		"sample.count":                       "10",
		"container.memory.working_set_bytes": "16160000",
	})
	members := decodeDocument(t, document)
	for id := range metric.ID(metric.NumIDs) {
		name := "container." + metric.Describe(id).Field
		if metric.Describe(id).Kind == metric.Counter && members[name] != nil {
			t.Errorf("%s is %s", name, members[name])
		}
	}
}

func TestCounterReset(t *testing.T) {
	w := fullWindow(documentContainer())
	w.First.Put(metric.CPUUsage, 1<<60)
	w.First.PutRow(metric.NetworkReceiveBytes, 0, 1<<60)
	wantMembers(t, NewEncoder(documentOptions).AppendContainer(nil, documentNode, w), map[string]string{
		"container.cpu.core_seconds":        "",
		"container.cpu.usage":               "",
		"container.cpu.limit_usage":         "",
		"container.cpu.user_core_seconds":   "0.00202",
		"container.network.ingress.bytes":   fmt.Sprint((uint64(metric.NetworkReceiveBytes)+1)*1_010_000 + 1), // eth1 alone
		"container.network.ingress.packets": fmt.Sprint((uint64(metric.NetworkReceivePackets)+1)*2_020_000 + 1),
	})
}

func TestInterfacesAreToldApart(t *testing.T) {
	w := &metric.Window{Container: documentContainer(), Last: &metric.Sample{Time: slotTime}, Samples: 10, Slot: slotTime}
	w.First.Time = slotTime - 10e9
	add := func(name string, received uint64) {
		for _, s := range []*metric.Sample{&w.First, w.Last} {
			row := s.AddRow(metric.PerInterface, metric.Key{Name: name})
			s.PutRow(metric.NetworkReceiveBytes, row, 0)
		}
		w.Last.PutRow(metric.NetworkReceiveBytes, w.Last.Rows(metric.PerInterface)-1, received)
	}
	encoder := NewEncoder(documentOptions)
	add("eth1", 7)
	const one, two = "container.interfaces.eth1.network.ingress.bytes", "container.interfaces.eth0.network.ingress.bytes"
	wantMembers(t, encoder.AppendContainer(nil, documentNode, w), map[string]string{"container.network.ingress.bytes": "7", one: ""})
	add("eth0", 5)
	add("tun0", 30) // a name that nobody knows
	document := encoder.AppendContainer(nil, documentNode, w)
	wantMembers(t, document, map[string]string{"container.network.ingress.bytes": "42", one: "7", two: "5"})
	if bytes.Contains(document, []byte("interfaces.tun0")) {
		t.Errorf("a field for whatever an interface is called: %s", document)
	}
}

func TestDevicesAreToldApart(t *testing.T) {
	f := func(want []bool, names ...string) {
		t.Helper()
		w := &metric.Window{Container: documentContainer(), Last: &metric.Sample{Time: slotTime}, Samples: 10, Slot: slotTime}
		for i, name := range append(names, "loop7") {
			for _, s := range []*metric.Sample{&w.First, w.Last} {
				s.AddRow(metric.PerDevice, metric.Key{Name: name, Minor: uint32(i)})
				s.PutRow(metric.DiskWriteBytes, i, 5)
			}
			if name != "loop7" { // which rests
				w.Last.PutRow(metric.DiskWriteBytes, i, 5+4096)
			}
		}
		several := 0
		for i := range names {
			if moved := hasMoved(w, i); moved != want[i] {
				t.Errorf("%s of %q moved: %v", names[i], names, moved)
			} else if moved {
				several++
			}
		}
		if hasMoved(w, len(names)) || severalDevices(w) != (several > 1) {
			t.Errorf("%q: %v", names, severalDevices(w))
		}
	}
	f([]bool{true}, "sda")
	f([]bool{true, true}, "sda", "nvme0n1")
	f([]bool{true, false}, "sda", "dm-0") // the same twice
	f([]bool{true, true}, "dm-0", "dm-1") // nothing below is counted
}

func TestSharedNetwork(t *testing.T) {
	for _, owner := range []string{"/", "/docker/other"} {
		w := fullWindow(documentContainer())
		w.NetworkOf = owner
		document := NewEncoder(documentOptions).AppendContainer(nil, documentNode, w)
		for key := range decodeDocument(t, document) {
			if strings.HasPrefix(key, "container.network.") || strings.HasPrefix(key, "container.interfaces.") || strings.HasPrefix(key, "container.tcp.") {
				t.Errorf("%s, though the network is counted in %s", key, owner)
			}
		}
		if bytes.Contains(document, []byte(`"network":`)) {
			t.Errorf("container_stats has a network, though it is counted in %s", owner)
		}
	}
}

// Devices that are made of others count only where there are no others.
func TestStackedDevices(t *testing.T) {
	f := func(wanted string, names ...string) {
		t.Helper()
		w := &metric.Window{Last: new(metric.Sample), Container: documentContainer()}
		w.First.Time, w.Last.Time = slotTime-10e9, slotTime
		for i, name := range names {
			for _, s := range []*metric.Sample{&w.First, w.Last} {
				s.PutRow(metric.DiskWriteBytes, s.AddRow(metric.PerDevice, metric.Key{Name: name, Minor: uint32(i)}), 0)
			}
			w.Last.PutRow(metric.DiskWriteBytes, i, 1<<i)
		}
		wantMembers(t, NewEncoder(documentOptions).AppendContainer(nil, documentNode, w), map[string]string{"container.disk.write.bytes": wanted})
	}
	f("")
	f("1", "sda")
	f("3", "sda", "nvme0n1")
	f("6", "dm-0", "sda", "259:0", "md127")
	f("3", "dm-0", "dm-1")
}

func TestNumbersTooLarge(t *testing.T) {
	w := fullWindow(documentContainer())
	w.Last.Put(metric.MemorySwap, 1<<63)
	w.Last.Put(metric.MemoryUsage, 1<<63-1)
	w.Last.Put(metric.CPUUsage, math.MaxUint64)
	w.Last.PutRow(metric.NetworkReceiveBytes, 0, 1<<63)
	w.Last.PutRow(metric.NetworkReceiveBytes, 1, 1<<63) // the sum wraps to zero
	w.PeakWorkingSet = math.MaxUint64
	wantMembers(t, NewEncoder(documentOptions).AppendContainer(nil, documentNode, w), map[string]string{
		"container.memory.swap_bytes":             "",
		"container.memory.usage_bytes":            "9223372036854775807",
		"container.cpu.core_seconds":              "",
		"container.network.ingress.bytes":         "",
		"container.memory.peak_working_set_bytes": "",
	})
}

// The slot is the interval's that the window lies in, however late its last sample was and
// however early the window has ended.
func TestSlot(t *testing.T) {
	f := func(offset time.Duration, ended bool) {
		t.Helper()
		w := &metric.Window{Last: new(metric.Sample), Slot: slotTime, Container: documentContainer(), Ended: ended}
		w.Last.Time = slotTime + int64(offset)
		got := decodeDocument(t, NewEncoder(documentOptions).AppendContainer(nil, documentNode, w))["sample.slot"]
		if want := fmt.Sprint(int64(slotTime / 10e9)); string(got) != want {
			t.Errorf("%v ended %v: slot %s, want %s", offset, ended, got, want)
		}
	}
	f(0, false)
	f(3*time.Millisecond, false)
	f(-3*time.Millisecond, false) // a clock that was set back a little
	f(6*time.Second, false)       // a sweep that was late
	f(-7*time.Second, false)      // the agent was asked to end
	f(-9*time.Second, true)
}

func TestSumsHaveRoom(t *testing.T) {
	for _, per := range []metric.Per{metric.PerInterface, metric.PerDevice} {
		if n := per.Width(); n > 16 {
			t.Errorf("%d numbers per %s, appendSums has room for 16", n, per)
		}
	}
}

func TestAppendDecimal(t *testing.T) {
	f := func(v uint64, digits int, want string) {
		t.Helper()
		if got := string(appendDecimal(nil, v, digits)); got != want {
			t.Errorf("%d / 10^%d is %s, want %s", v, digits, got, want)
		}
	}
	f(0, 0, "0")
	f(0, 9, "0")
	f(1, 9, "0.000000001")
	f(1_000_000_000, 9, "1")
	f(1_500_000_000, 9, "1.5")
	f(12_345_678_901, 9, "12.345678901")
	f(105, 2, "1.05")
	f(110, 2, "1.1")
	f(7, 0, "7")
	f(math.MaxUint64, 9, "18446744073.709551615")
}

func TestDerivedNeverNaN(t *testing.T) {
	f := func(a, b float64, want string) {
		t.Helper()
		if got := string(hostCPUShare.append(nil, a, b)); got != want {
			t.Errorf("%v / %v is %q, want %q", a, b, got, want)
		}
	}
	f(1, 2, `,"host.cpu.usage":0.5`)
	f(0, 2, `,"host.cpu.usage":0`)
	f(1, 3, `,"host.cpu.usage":0.333333`)
	f(0, 0, "")
	f(1, 0, "")
	f(-1, 2, "")
	f(math.Inf(1), math.Inf(1), "")
	f(1e300, 1, "")
}

// Identities are encoded once per container, and forgotten when no windows come any more.
func TestIdentityCache(t *testing.T) {
	e := NewEncoder(documentOptions)
	stays, goes := fullWindow(documentContainer()), fullWindow(documentContainer())
	e.AppendContainer(nil, documentNode, goes)
	for range 3 {
		e.AppendContainer(nil, documentNode, stays)
		stays.Last.Time, stays.Slot = stays.Last.Time+10e9, stays.Slot+10e9
	}
	if e.identities[stays.Container] == nil || len(e.identities) != 1 {
		t.Errorf("%d identities are kept", len(e.identities))
	}

	// Another name of the node must show at once.
	renamed := *documentNode
	renamed.Name = "worker-9"
	wantMembers(t, e.AppendContainer(nil, &renamed, stays), map[string]string{
		"host.name": `"worker-9"`, "machine_name": `"worker-9"`, "agent.name": `"worker-9"`, "swarm.node.name": `"worker-9"`,
	})
}

func TestSwarmNodeFromTask(t *testing.T) {
	node := *documentNode
	node.SwarmID = ""
	wantMembers(t, NewEncoder(documentOptions).AppendContainer(nil, &node, fullWindow(documentContainer())), map[string]string{
		"swarm.node.id": `"scx4t3luu2owyslpush0keprn"`, "swarm.node.name": `"worker-1"`,
	})
}

func TestEvents(t *testing.T) {
	e := NewEncoder(documentOptions)
	c := documentContainer()
	at := time.Unix(0, slotTime)
	wantMembers(t, e.AppendEvent(nil, documentNode, &metric.Event{Time: at, Action: metric.Start, ID: c.ID, Container: c}), map[string]string{
		"event.action": `"start"`, "container.health": `"healthy"`, "container.exit_code": "", "swarm.service.name": `"shop_web"`,
		"@timestamp": `"2026-11-22T11:49:50.000Z"`, "container_stats": "",
	})
	// Exit 0 is an exit status, not an absent one; the runtime may tell it first.
	wantMembers(t, e.AppendEvent(nil, documentNode, &metric.Event{Time: at, Action: metric.Die, ID: "abc", Container: &metric.Container{Path: "/x"}}), map[string]string{
		"container.exit_code": "0", "container.oom_killed": "", "container.id": `"abc"`, "container_Name": `"/x"`,
	})
	wantMembers(t, e.AppendEvent(nil, documentNode, &metric.Event{Time: at, Action: metric.Health, Container: c, Health: "unhealthy"}), map[string]string{
		"container.health": `"unhealthy"`,
	})
}

func TestImage(t *testing.T) {
	f := func(image, id string, members map[string]string) {
		t.Helper()
		document := append(appendIdentity([]byte(`{"a":0`), documentNode, &metric.Container{Path: "/x", Image: image, ImageID: id}), '}')
		for _, key := range []string{"name", "tag", "hash.all"} {
			members["container.image."+key] = members[key]
			delete(members, key)
		}
		wantMembers(t, document, members)
	}
	f("", "", map[string]string{})
	f("nginx", "", map[string]string{"name": `"nginx"`})
	f("nginx:1.25", "sha256:b", map[string]string{"name": `"nginx"`, "tag": `"1.25"`, "hash.all": `"sha256:b"`})
	f("reg:5000/a/b", "", map[string]string{"name": `"reg:5000/a/b"`})
	f("reg:5000/a/b:t@sha256:a", "sha256:b", map[string]string{"name": `"reg:5000/a/b"`, "tag": `"t"`, "hash.all": `["sha256:a","sha256:b"]`})
	f("a@sha256:a", "", map[string]string{"name": `"a"`, "hash.all": `"sha256:a"`})
	f("sha256:c", "sha256:c", map[string]string{"hash.all": `"sha256:c"`})
}

func TestLabels(t *testing.T) {
	f := func(labels []metric.Label, wanted string) {
		t.Helper()
		document := append(appendLabels([]byte(`{"a":0`), labels), '}')
		wantMembers(t, document, map[string]string{"labels": wanted})
	}
	f(nil, "")
	f([]metric.Label{{Key: "a", Value: ""}, {Key: "a.b", Value: "x\n"}}, `{"a":"","a.b":"x\n"}`)
	f([]metric.Label{{Key: "", Value: "x"}, {Key: ".", Value: "x"}}, "")
	f([]metric.Label{{Key: "a\x00", Value: "\x00"}, {Key: "a\xff", Value: "second"}}, "{\"a\ufffd\":\"\\u0000\"}")
	f([]metric.Label{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}}, `{"k":"1"}`)
	f([]metric.Label{{Key: strings.Repeat("é", 200), Value: strings.Repeat("v", 2000)}},
		`{"`+strings.Repeat("é", 128)+`":"`+strings.Repeat("v", 1024)+`"}`)

	var many []metric.Label
	for i := range 100 {
		many = append(many, metric.Label{Key: fmt.Sprintf("k%03d", i)})
	}
	var kept map[string]string
	members := decodeDocument(t, append(appendLabels([]byte(`{"a":0`), many), '}'))
	if err := json.Unmarshal(members["labels"], &kept); err != nil || len(kept) != maxLabels {
		t.Errorf("%d labels are kept (%v)", len(kept), err)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add("web", "k", "v", "nginx:1", "eth0", uint64(1), uint64(2), int64(slotTime))
	f.Add("\x00\"\\\n\u2028", "\x00", "\xff\xfe", "a@b:c/d@e", "\r", uint64(math.MaxUint64), uint64(0), int64(0))
	f.Add("", ".", "", "sha256:", "dm-0", uint64(1)<<63, uint64(1)<<63-1, int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, name, key, value, image, row string, last, first uint64, at int64) {
		c := &metric.Container{
			Path: name, Name: value, ID: key, Runtime: row, Image: image, ImageID: value, Health: key, State: value,
			Labels: []metric.Label{{Key: key, Value: value}, {Key: name, Value: image}, {Key: value, Value: key}},
			Swarm:  metric.Swarm{ServiceName: name, NodeID: value}, Unidentified: image, RestartCount: int(first),
			Instance: last, Created: time.Unix(at, 0), Exit: &metric.Exit{Code: int(last)},
		}
		node := &metric.Node{Name: name, Kernel: key, OS: value, CPUs: int(first), MemoryBytes: last}
		w := fullWindow(c)
		w.First.Time, w.Last.Time = w.First.Time^at, at
		w.PeakCPU, w.PeakWorkingSet = last, first
		for id := range metric.ID(metric.NumIDs) {
			for row := range w.Last.Rows(id.Per()) {
				w.Last.PutRow(id, row, last>>(id&7))
				w.First.PutRow(id, row, first>>(id&3))
			}
		}
		w.Last.Key(metric.PerInterface, 0).Name = row
		w.Last.Key(metric.PerDevice, 1).Name = row
		w.Last.Key(metric.PerFilesystem, 0).Mountpoint = row
		state := &metric.SwarmState{
			Time:     time.Unix(0, at),
			Services: []metric.Service{{ID: key, Name: name, Stack: value, Mode: row, Image: image, Desired: last, Running: first, Pending: at, Failed: -at, UpdateMessage: name}},
			Nodes:    []metric.SwarmNode{{ID: value, Name: key, State: row, Message: name, CPUs: float64(last), MemoryBytes: first}},
		}
		state.Tasks = []metric.SwarmTask{{ID: key, Name: name, Slot: int(first), Service: &state.Services[0], Error: image, Since: time.Unix(0, at), ContainerID: value, ExitCode: int(last)}}
		e := NewEncoder(EncoderOptions{AgentVersion: name, EphemeralID: value, Interval: time.Second})
		for _, document := range [][]byte{
			e.AppendContainer(nil, node, w),
			e.AppendNode(nil, node, w),
			e.AppendRow(nil, node, w, metric.PerInterface, 0),
			e.AppendRow(nil, node, w, metric.PerDevice, 1),
			e.AppendRow(nil, node, w, metric.PerFilesystem, 0),
			e.AppendEvent(nil, node, &metric.Event{Time: time.Unix(0, at), Action: metric.Action(key), ID: value, Container: c, Health: name}),
			e.AppendEvent(nil, node, &metric.Event{Time: time.Unix(0, at), Action: metric.ServiceUpdate, ID: value, Container: new(metric.Container), Service: &state.Services[0]}),
			e.AppendSwarm(nil, node, state, 0, at),
			e.AppendSwarm(nil, node, state, 1, at),
			e.AppendSwarm(nil, node, state, 2, at),
			e.AppendGap(nil, node, &Gap{Time: at, Reason: row, Documents: last, FirstSlot: at, LastSlot: at, FirstBatch: first, Epoch: last}),
		} {
			decodeDocument(t, document)
		}
	})
}
