package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/swarm"

	"github.com/swarmgauge/swarmgauge/metric"
)

// selfID is the Swarm node that the engine of testdata says it is.
const selfID = "0ogsb6melpfb8bfvswezve790"

// swarmTime is when the states of these tests are asked.
var swarmTime = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// startManager starts an engine that is the leader of a Swarm of two nodes.
func startManager(tb testing.TB) (*fakeEngine, *node) {
	tb.Helper()
	fake := startFake(tb, "28.5")
	fake.setSwarm(func(s *fakeSwarm) {
		s.manager = true
		leader := swarm.Node{ID: selfID}
		leader.Spec.Role, leader.Spec.Availability = swarm.NodeRoleManager, swarm.NodeAvailabilityActive
		leader.Description.Hostname, leader.Description.Engine.EngineVersion = "node1", "28.5.2"
		leader.Description.Resources.NanoCPUs, leader.Description.Resources.MemoryBytes = 2_500_000_000, 8<<30
		leader.Status.State = swarm.NodeStateReady
		leader.ManagerStatus = &swarm.ManagerStatus{Leader: true, Reachability: swarm.ReachabilityReachable}
		worker := swarm.Node{ID: "worker"}
		worker.Spec.Role, worker.Spec.Availability = swarm.NodeRoleWorker, swarm.NodeAvailabilityDrain
		worker.Description.Hostname = "node2"
		worker.Status.State, worker.Status.Message = swarm.NodeStateDown, "heartbeat failure"
		s.nodes = []swarm.Node{leader, worker}
	})
	return fake, newNode(tb, Options{Host: fake.host()})
}

// replicated returns a service of which that many tasks run.
func replicated(id string, desired, running uint64) swarm.Service {
	s := swarm.Service{ID: id, ServiceStatus: &swarm.ServiceStatus{DesiredTasks: desired, RunningTasks: running}}
	s.Spec.Name = "shop_" + id
	s.Spec.Labels = map[string]string{"com.docker.stack.namespace": "shop"}
	s.Spec.Mode.Replicated = &swarm.ReplicatedService{Replicas: &desired}
	s.Spec.TaskTemplate.ContainerSpec = &swarm.ContainerSpec{Image: "shop/" + id + ":1@sha256:aa", Env: []string{"PASSWORD=hunter2"}}
	s.Version.Index = 1
	s.CreatedAt = swarmTime.Add(-time.Hour)
	return s
}

// task returns a task that came into its state some time ago.
func task(id, service string, slot int, state, desired swarm.TaskState, ago time.Duration) swarm.Task {
	t := swarm.Task{ID: id, ServiceID: service, Slot: slot, NodeID: "worker", DesiredState: desired}
	t.CreatedAt = swarmTime.Add(-ago - time.Second)
	t.Status.State, t.Status.Timestamp = state, swarmTime.Add(-ago)
	return t
}

// readSwarm asks for the state at swarmTime and a while after.
func (n *node) readSwarm(after time.Duration) (*metric.SwarmState, []metric.Event) {
	n.tb.Helper()
	state, happened, err := n.swarm.read(n.tb.Context(), n.socket, swarmTime.Add(after))
	if err != nil || state == nil {
		n.tb.Fatalf("no state: %v", err)
	}
	return state, happened
}

// serviceOf returns a service of a state by its id.
func serviceOf(tb testing.TB, state *metric.SwarmState, id string) *metric.Service {
	tb.Helper()
	s := find(state.Services, func(s *metric.Service) bool { return s.ID == id })
	if s == nil {
		tb.Fatalf("no service %s", id)
	}
	return s
}

func TestSwarmState(t *testing.T) {
	fake, n := startManager(t)
	one, two := uint64(1), uint64(2)
	fake.setSwarm(func(s *fakeSwarm) {
		web := replicated("web", 3, 1)
		web.UpdateStatus = &swarm.UpdateStatus{State: swarm.UpdateStatePaused, Message: "update paused"}
		each := replicated("each", 1, 1)
		each.Spec.Mode = swarm.ServiceMode{Global: &swarm.GlobalService{}}
		job := replicated("job", 1, 0)
		job.Spec.Mode = swarm.ServiceMode{ReplicatedJob: &swarm.ReplicatedJob{MaxConcurrent: &one, TotalCompletions: &two}}
		job.ServiceStatus.CompletedTasks = 2
		job.JobStatus = &swarm.JobStatus{JobIteration: swarm.Version{Index: 9}}
		due := job
		due.ID, due.ServiceStatus = "due", &swarm.ServiceStatus{DesiredTasks: 1, CompletedTasks: 1}
		unanswered := replicated("unanswered", 1, 1)
		unanswered.ServiceStatus = nil
		s.services = []swarm.Service{web, each, job, due, unanswered}

		failed := task("web1", "web", 1, swarm.TaskStateFailed, swarm.TaskStateShutdown, 5*time.Second)
		failed.Status.Err, failed.Status.Message = "task: non-zero exit (3)", "started"
		failed.Status.ContainerStatus = &swarm.ContainerStatus{ContainerID: id1, ExitCode: 3}
		failed.Spec.ContainerSpec = &swarm.ContainerSpec{Image: "shop/web:0"}
		waits := task("web1b", "web", 1, swarm.TaskStateReady, swarm.TaskStateReady, time.Second)
		pending := task("web2", "web", 2, swarm.TaskStatePending, swarm.TaskStateRunning, time.Second)
		pending.NodeID, pending.Status.Err = "", "no suitable node"
		older := task("web2old", "web", 2, swarm.TaskStateRejected, swarm.TaskStateShutdown, time.Hour)
		since := task("web2ran", "web", 2, swarm.TaskStateShutdown, swarm.TaskStateShutdown, time.Minute)
		runs := task("web3", "web", 3, swarm.TaskStateRunning, swarm.TaskStateRunning, time.Minute)
		crashed := task("web3old", "web", 3, swarm.TaskStateFailed, swarm.TaskStateShutdown, 2*time.Minute)
		restarts := task("each1", "each", 0, swarm.TaskStatePreparing, swarm.TaskStateRunning, time.Minute)
		here := task("each2", "each", 0, swarm.TaskStateRunning, swarm.TaskStateRunning, time.Minute)
		here.NodeID = selfID
		done := task("job1", "job", 0, swarm.TaskStateComplete, swarm.TaskStateComplete, time.Minute)
		before := task("job0", "due", 1, swarm.TaskStateFailed, swarm.TaskStateComplete, time.Minute)
		done.JobIteration, before.JobIteration = &swarm.Version{Index: 9}, &swarm.Version{Index: 8}
		attached := task("net", "", 0, swarm.TaskStateRunning, swarm.TaskStateRunning, time.Minute)
		s.tasks = []swarm.Task{pending, failed, waits, older, since, runs, crashed, restarts, here, done, before, attached}
	})

	state, happened := n.readSwarm(0)
	if len(happened) > 0 {
		t.Errorf("the first state tells of %d events", len(happened))
	}
	wantServices := []metric.Service{
		{ID: "web", Name: "shop_web", Stack: "shop", Mode: "replicated", Image: "shop/web:1@sha256:aa", Desired: 3, Running: 1, Pending: 2, Failed: 2, UpdateState: "paused", UpdateMessage: "update paused"},
		{ID: "each", Name: "shop_each", Stack: "shop", Mode: "global", Image: "shop/each:1@sha256:aa", Desired: 2, Running: 1, Pending: 1},
		{ID: "job", Name: "shop_job", Stack: "shop", Mode: "replicated-job", Image: "shop/job:1@sha256:aa", Completed: 2},
		{ID: "due", Name: "shop_job", Stack: "shop", Mode: "replicated-job", Image: "shop/job:1@sha256:aa", Desired: 1, Completed: 1},
	}
	if !slices.Equal(state.Services, wantServices) {
		t.Errorf("services\n%+v, want\n%+v", state.Services, wantServices)
	}
	wantNodes := []metric.SwarmNode{
		{ID: selfID, Name: "node1", Role: "manager", Availability: "active", State: "ready", Leader: true, Reachability: "reachable", EngineVersion: "28.5.2", CPUs: 2.5, MemoryBytes: 8 << 30},
		{ID: "worker", Name: "node2", Role: "worker", Availability: "drain", State: "down", Message: "heartbeat failure"},
	}
	if !slices.Equal(state.Nodes, wantNodes) {
		t.Errorf("nodes\n%+v, want\n%+v", state.Nodes, wantNodes)
	}
	web, each := serviceOf(t, state, "web"), serviceOf(t, state, "each")
	wantTasks := []metric.SwarmTask{
		{ID: "each1", Name: "shop_each.worker.each1", Service: each, NodeID: "worker", NodeName: "node2", State: "preparing", DesiredState: "running", Since: swarmTime.Add(-time.Minute), ExitCode: metric.UnknownExit},
		{
			ID: "web1", Name: "shop_web.1.web1", Slot: 1, Service: web, Image: "shop/web:0", NodeID: "worker", NodeName: "node2", State: "failed", DesiredState: "shutdown",
			Since: swarmTime.Add(-5 * time.Second), Message: "started", Error: "task: non-zero exit (3)", ContainerID: id1, ExitCode: 3,
		},
		{ID: "web2", Name: "shop_web.2.web2", Slot: 2, Service: web, State: "pending", DesiredState: "running", Since: swarmTime.Add(-time.Second), Error: "no suitable node", ExitCode: metric.UnknownExit},
	}
	if !slices.Equal(state.Tasks, wantTasks) {
		t.Errorf("tasks\n%+v, want\n%+v", state.Tasks, wantTasks)
	}
	if got := n.SwarmNotes(); got != nil {
		t.Errorf("notes %q of a leader", got)
	}
}

func TestSwarmEvents(t *testing.T) {
	fake, n := startManager(t)
	set := func(services ...swarm.Service) {
		fake.setSwarm(func(s *fakeSwarm) { s.services = services })
	}
	web, api := replicated("web", 1, 1), replicated("api", 1, 1)
	want := func(wanted ...string) []metric.Event {
		t.Helper()
		_, happened := n.readSwarm(0)
		var told []string
		for _, e := range happened {
			told = append(told, fmt.Sprint(e.Action, " ", e.Service.Name, " ", e.Service.Desired, " ", e.Time.Sub(swarmTime)))
			if e.ID != e.Service.ID || e.Container == nil {
				t.Errorf("%+v", e)
			}
		}
		if slices.Sort(told); !slices.Equal(told, wanted) {
			t.Errorf("told %q, want %q", told, wanted)
		}
		return happened
	}
	set(web)
	want()
	set(web, api)
	want("service_create shop_api 1 -1h0m0s")
	want()
	// What the Swarm notes of an update is none.
	web.Version.Index, web.UpdatedAt = 2, swarmTime.Add(-2*time.Second)
	web.UpdateStatus = &swarm.UpdateStatus{State: swarm.UpdateStateCompleted}
	set(web, api)
	want()
	web.Version.Index, web.ServiceStatus = 3, &swarm.ServiceStatus{DesiredTasks: 4}
	template := *web.Spec.TaskTemplate.ContainerSpec
	template.Env = []string{"PASSWORD=hunter3"}
	web.Spec.TaskTemplate.ContainerSpec = &template
	set(web, api)
	want("service_update shop_web 4 -2s")
	set(api)
	want("service_remove shop_web 4 0s")
	set(web)
	want("service_create shop_web 4 -1h0m0s", "service_remove shop_api 1 0s")

	// What happens while the managers don't answer is told later.
	fake.setSwarm(func(s *fakeSwarm) { s.refuse = "no leader" })
	if state, happened := n.Swarm(t.Context()); state != nil || happened != nil {
		t.Errorf("no answer, and told %+v, %+v", state, happened)
	}
	fake.setSwarm(func(s *fakeSwarm) { s.refuse = "" })
	set(web, api)
	want("service_create shop_api 1 -1h0m0s")
	set(web)
	want("service_remove shop_api 1 0s")

	// Who wasn't the leader meanwhile doesn't know what was told.
	lead := func(is bool) {
		fake.setSwarm(func(s *fakeSwarm) {
			other := s.nodes[0]
			other.ID, other.Description.Hostname = "other", "node3"
			other.ManagerStatus = &swarm.ManagerStatus{Leader: !is}
			s.nodes[0].ManagerStatus = &swarm.ManagerStatus{Leader: is}
			s.nodes = append(s.nodes[:2:2], other)
		})
	}
	lead(false)
	set()
	if state, happened := n.Swarm(t.Context()); state != nil || happened != nil {
		t.Errorf("not the leader, and tells %+v, %+v", state, happened)
	}
	if got := n.SwarmNotes(); len(got) != 1 || !strings.Contains(got[0], "the agent on node3 tells them") {
		t.Errorf("notes %q", got)
	}
	lead(true)
	set(web, api)
	if state, happened := n.Swarm(t.Context()); state == nil || happened != nil {
		t.Errorf("the leader again: %+v, %+v", state, happened)
	}
}

// TestSwarmSilent holds that nothing is told, and nothing complained of, where the Swarm is
// none of this engine's business.
func TestSwarmSilent(t *testing.T) {
	silent := func(n *node, note string) {
		t.Helper()
		if state, happened := n.Swarm(t.Context()); state != nil || happened != nil {
			t.Errorf("told %+v, %+v", state, happened)
		}
		notes := n.SwarmNotes()
		if note == "" && notes != nil || note != "" && (len(notes) != 1 || !strings.Contains(notes[0], note)) {
			t.Errorf("notes %q, want %q", notes, note)
		}
	}
	silent(newNode(t, Options{}), "")
	worker := startFake(t, "28.5")
	silent(newNode(t, Options{Host: worker.host()}), "")
	if n := worker.count("info"); n > 0 {
		t.Errorf("%d questions to a worker that it has to think about", n)
	}
	podman := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			http.NotFound(w, r)
		}
	}))
	defer podman.Close()
	silent(newNode(t, Options{Host: "tcp://" + podman.Listener.Addr().String()}), "")
	missing := "unix://" + filepath.Join(t.TempDir(), "docker.sock")
	n := newNode(t, Options{Host: missing})
	silent(n, "")
	if _, err := n.Inspect(t.Context(), n.add("28.5", "shop_api.1")); err != nil {
		t.Fatal(err)
	}
	silent(n, "mount it, if this node may be that (docs/operations.md): the engine doesn't answer at "+missing)

	fake, n := startManager(t)
	fake.setSwarm(func(s *fakeSwarm) { s.refuse = "rpc error: code = Unknown desc = The swarm does not have a leader." })
	silent(n, "The swarm does not have a leader")
	fake.setSwarm(func(s *fakeSwarm) { s.refuse, s.nodes[0].ManagerStatus.Leader = "", false })
	silent(n, "the Swarm has no leader")
	fake.setSwarm(func(s *fakeSwarm) { s.nodes[0].ManagerStatus.Leader = true })
	fake.version = "1.40"
	n = newNode(t, Options{Host: fake.host()})
	silent(n, "the engine's API 1.40 is older than 1.41")
	fake.version = "1.41"
	n = newNode(t, Options{Host: fake.host()})
	if state, _ := n.Swarm(t.Context()); state == nil {
		t.Errorf("no state with API 1.41: %q", n.SwarmNotes())
	}

	// A node that has left the Swarm and joined another one is another node.
	if got := fake.count("info"); got != 1+1+1 {
		t.Errorf("asked for itself %d times", got)
	}
	n.swarm.self = "as it was before"
	if state, _ := n.Swarm(t.Context()); state == nil || n.swarm.self != selfID {
		t.Errorf("no state of the new Swarm: %q", n.SwarmNotes())
	}
}

func TestSwarmHangingEngine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := newNode(t, Options{Host: "unix://" + path})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if state, _ := n.Swarm(ctx); state != nil {
		t.Errorf("told %+v", state)
	}
}

// TestSwarmFailures holds that failures are counted for ten minutes, also those that the
// Swarm has forgotten.
func TestSwarmFailures(t *testing.T) {
	fake, n := startManager(t)
	failed := func(after time.Duration) int64 {
		t.Helper()
		state, _ := n.readSwarm(after)
		return serviceOf(t, state, "web").Failed
	}
	set := func(tasks ...swarm.Task) {
		fake.setSwarm(func(s *fakeSwarm) { s.services, s.tasks = []swarm.Service{replicated("web", 1, 1)}, tasks })
	}
	at := func(id string, ago time.Duration) swarm.Task {
		return task(id, "web", 1, swarm.TaskStateFailed, swarm.TaskStateShutdown, ago)
	}
	set(at("a", 2*time.Minute), at("b", time.Minute), at("ancient", time.Hour))
	if got := failed(0); got != 2 {
		t.Errorf("%d failed, want 2", got)
	}
	set(at("b", time.Minute), at("c", 0))
	if got := failed(0); got != 3 {
		t.Errorf("%d failed, want 3", got)
	}
	set()
	if got := failed(8*time.Minute + 30*time.Second); got != 2 {
		t.Errorf("%d failed, want 2", got)
	}
	if got := failed(11 * time.Minute); got != 0 || len(n.swarm.tasks.failures) > 0 {
		t.Errorf("%d failed, want 0", got)
	}
}

// TestSwarmManyTasks holds that a large Swarm isn't looked at all at once, that what is
// amiss comes first, and that everything has its turn.
func TestSwarmManyTasks(t *testing.T) {
	fake, n := startManager(t)
	fake.setSwarm(func(s *fakeSwarm) {
		for i := range 300 {
			id := fmt.Sprint("s", i)
			s.services = append(s.services, replicated(id, 10, 10))
			for slot := 1; slot <= 10; slot++ {
				s.tasks = append(s.tasks, task(fmt.Sprint(id, "-", slot), id, slot, swarm.TaskStateRunning, swarm.TaskStateRunning, time.Hour))
			}
			s.tasks = append(s.tasks, task(id+"-old", id, 1, swarm.TaskStateFailed, swarm.TaskStateShutdown, time.Second))
		}
		s.services = append(s.services, replicated("big", 1500, 0))
		for slot := 1; slot <= 1500; slot++ {
			pending := task(fmt.Sprint("big-", slot), "big", slot, swarm.TaskStatePending, swarm.TaskStateRunning, time.Minute)
			pending.Status.Err = "no suitable node"
			s.tasks = append(s.tasks, pending)
		}
	})
	looked := map[string]int{}
	for turn := range 14 {
		state, _ := n.readSwarm(0)
		big := serviceOf(t, state, "big")
		if big.Pending != 1500 || big.Failed != 0 || len(state.Tasks) != maxToldOfService {
			t.Fatalf("turn %d: %d pending, %d failed, %d tasks are told of", turn, big.Pending, big.Failed, len(state.Tasks))
		}
		now := 0
		for id, last := range n.swarm.tasks.looked {
			if last == uint64(turn+1) {
				looked[id]++
				now++
			}
		}
		if most := 1 + (maxLooked+maxLookedAmiss)/10; now > most {
			t.Errorf("turn %d: %d services are looked at, more than %d", turn, now, most)
		}
		for i := range state.Services {
			s := &state.Services[i]
			if s.ID == "big" {
				continue
			}
			if want := int64(min(looked[s.ID], 1)) - int64(1-min(looked[s.ID], 1)); s.Failed != want || s.Pending != 0 {
				t.Fatalf("turn %d: %d of %s have failed, want %d; %d wait", turn, s.Failed, s.ID, want, s.Pending)
			}
		}
	}
	if len(looked) != 301 {
		t.Errorf("%d of 301 services were looked at", len(looked))
	}
	if least := slices.Min(slices.Collect(maps.Values(looked))); least < 1 {
		t.Errorf("looked at %d times", least)
	}
}

// TestSwarmChanges holds that the engine's events tell when to ask, and are none themselves.
func TestSwarmChanges(t *testing.T) {
	fake, n := startManager(t)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		n.Watch(ctx, func(e metric.Event) { t.Errorf("told %+v", e) })
	}()
	defer func() { cancel(); <-watched }()
	eventually(t, "somebody listens", func() bool { return fake.listening() == 1 })
	for i, typ := range []events.Type{events.ServiceEventType, events.NodeEventType, events.ServiceEventType} {
		fake.tell(events.Message{
			Type: typ, Action: []events.Action{events.ActionUpdate, events.ActionUpdate, events.ActionRemove}[i],
			Actor: events.Actor{ID: "web"}, TimeNano: time.Now().UnixNano(), Scope: "swarm",
		})
		select {
		case <-n.SwarmChanges():
		case <-time.After(10 * time.Second):
			t.Fatalf("a %s event isn't passed on", typ)
		}
	}
	for range 3 { // nobody takes these
		fake.tell(events.Message{Type: events.ServiceEventType, Action: events.ActionCreate, Actor: events.Actor{ID: "api"}, TimeNano: time.Now().UnixNano()})
	}
}

func TestDiskUsage(t *testing.T) {
	fake := startFake(t, "28.5")
	fake.df = `{"LayersSize":5000,"Images":[{"Containers":1,"Size":4000,"SharedSize":1000},{"Containers":0,"Size":2000,"SharedSize":500}],
		"BuildCache":[{"Size":700,"InUse":true},{"Size":300}]}`
	n := newNode(t, Options{Host: fake.host()})
	got, err := n.DiskUsage(t.Context())
	if want := (metric.EngineDisk{Images: 2, ImageBytes: 5000, ImageReclaimableBytes: 1500, BuildCacheBytes: 1000, BuildCacheReclaimableBytes: 300}); err != nil || *got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got := fake.asked; got != "build-cache,image" {
		t.Errorf("asked for %q", got)
	}
	// Older engines can't be asked for a part, and would go through all files of volumes.
	fake.version = "1.41"
	n = newNode(t, Options{Host: fake.host()})
	if got, err := n.DiskUsage(t.Context()); err == nil || !strings.Contains(err.Error(), "older than 1.42") || fake.count("df") != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := newNode(t, Options{}).DiskUsage(t.Context()); err == nil {
		t.Error("no socket, and no error")
	}
}

// BenchmarkSwarm is one turn in a Swarm of 5,000 tasks, all well, and of one where a service
// of 3,000 waits for a node; the fake engine's share included.
func BenchmarkSwarm(b *testing.B) {
	f := func(name string, services, replicas int, running bool) {
		fake, n := startManager(b)
		fake.setSwarm(func(s *fakeSwarm) {
			for i := range services {
				id := fmt.Sprintf("%025d", i)
				service := replicated(id, uint64(replicas), 0)
				state := swarm.TaskStatePending
				if running {
					service.ServiceStatus.RunningTasks, state = uint64(replicas), swarm.TaskStateRunning
				}
				s.services = append(s.services, service)
				for slot := range replicas {
					t := task(fmt.Sprintf("%025d", slot), id, slot+1, state, swarm.TaskStateRunning, time.Hour)
					t.Spec = service.Spec.TaskTemplate
					s.tasks = append(s.tasks, t)
				}
			}
		})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if state, _ := n.Swarm(b.Context()); state == nil {
					b.Fatal(n.SwarmNotes())
				}
			}
		})
	}
	f("well", 500, 10, true)
	f("waiting", 1, 3000, false)
}

// FuzzSwarm holds that whatever an engine answers makes a state that has nothing in it but
// clean texts, and no task without a service.
func FuzzSwarm(f *testing.F) {
	f.Add([]byte(`{"Services":[{"ID":"a","Spec":{"Name":"x","Mode":{"Global":{}}},"ServiceStatus":{"DesiredTasks":2}},{"ID":"a","ServiceStatus":{}},{"ID":"b","ServiceStatus":null}],
		"Tasks":[{"ID":"t","ServiceID":"a","Status":{"State":"failed","Timestamp":"2026-11-26T11:59:00Z"},"DesiredState":"ready"},{"ServiceID":"a","Slot":-1,"Status":{"State":"new"},"DesiredState":"running"}]}`))
	f.Add([]byte(`{"Services":[{"ID":"j","JobStatus":{"JobIteration":{"Index":3}},"Spec":{"Mode":{"ReplicatedJob":{"TotalCompletions":18446744073709551615}}},"ServiceStatus":{"CompletedTasks":9,"DesiredTasks":18446744073709551615}}],
		"Tasks":[{"ServiceID":"j","JobIteration":{"Index":3},"Status":{"State":"complete","ContainerStatus":{"ContainerID":"c","ExitCode":-5}}}],"Nodes":[{"Description":{"Resources":{"NanoCPUs":-1,"MemoryBytes":-1}}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var answer struct {
			Services []swarm.Service
			Tasks    []swarm.Task
			Nodes    []swarm.Node
		}
		if json.Unmarshal(b, &answer) != nil {
			return
		}
		r := new(swarmReader)
		for range 2 {
			state := &metric.SwarmState{Time: swarmTime}
			for i := range answer.Nodes {
				state.Nodes = append(state.Nodes, swarmNode(&answer.Nodes[i]))
			}
			for i := range answer.Services {
				if answer.Services[i].ServiceStatus != nil {
					state.Services = append(state.Services, swarmService(&answer.Services[i]))
				}
			}
			r.compare(answer.Services, state)
			r.tasks.begin(state)
			chosen, _ := r.tasks.choose(state.Services)
			r.tasks.look(answer.Tasks, answer.Services, chosen, state)
			r.tasks.count(state)
			for i := range state.Services {
				s := &state.Services[i]
				for _, text := range []string{s.ID, s.Name, s.Stack, s.Image, s.UpdateState, s.UpdateMessage} {
					if clean(text, maxText) != text {
						t.Errorf("%q isn't clean", text)
					}
				}
			}
			for i := range state.Tasks {
				task := &state.Tasks[i]
				if task.Service == nil {
					t.Fatalf("a task of no service: %+v", task)
				}
				for _, text := range []string{task.ID, task.Name, task.State, task.DesiredState, task.Message, task.Error, task.ContainerID, task.Image} {
					if clean(text, maxText) != text {
						t.Errorf("%q isn't clean", text)
					}
				}
			}
		}
	})
}
