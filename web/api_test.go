package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// apiOver is an API over histories by path.
func apiOver(t testing.TB, histories map[string]*collector.History) *API {
	t.Helper()
	on, err := cadvisor.ParseGroups("", cadvisor.DisabledByDefault)
	if err != nil {
		t.Fatal(err)
	}
	limits := map[metric.Action]collector.OccurrenceLimit{metric.Create: {Age: time.Hour, Count: 10}}
	return &API{
		List: func(_ context.Context, list []collector.Listed) ([]collector.Listed, error) {
			for _, h := range histories {
				list = append(list, collector.Listed{Container: h.Container})
			}
			return list, nil
		},
		History: func(_ context.Context, q collector.Query, to *collector.History) error {
			h := histories[q.Path]
			if h == nil {
				return collector.ErrUnknown
			}
			to.Copy(h, q.Count)
			return nil
		},
		Occurrences: collector.NewOccurrences(limits),
		Children:    func(string) []string { return []string{"docker", "other"} },
		Machine:     func() *metric.Machine { return &metric.Machine{Node: &metric.Node{Kernel: "6.1", CPUs: 2}} },
		Processes: func(_ context.Context, cgroups []string) ([]metric.Process, error) {
			return []metric.Process{{PID: 7, Command: "init", Cgroup: "/"}, {PID: 8, Command: "dockerd", Cgroup: cgroups[1]}}, nil
		},
		DeviceByUUID: func(uuid string) (string, bool) { return "/dev/vda1", uuid == "0815" },
		DockerRoot:   "/data/docker",
		Groups:       on, Unlimited: cadvisor.UnlimitedV1, Version: "v1",
	}
}

// second is the time of the sample i of every container.
func second(i int) int64 { return sampledAt*int64(time.Millisecond) + int64(i)*1e9 }

// samplesOf returns n samples, a second apart, of a container that uses half a core.
func samplesOf(n int, change func(*metric.Sample)) (samples []*metric.Sample) {
	for i := range n {
		s := &metric.Sample{Time: second(i)}
		s.Put(metric.CPUUsage, uint64(i)*5e8)
		s.Put(metric.CPUUser, uint64(i)*4e8)
		s.Put(metric.CPUSystem, uint64(i)*1e8)
		s.Put(metric.CPUShares, 1024)
		s.Put(metric.CPUPeriod, 100000)
		s.Put(metric.MemoryUsage, 5<<20)
		s.Put(metric.MemorySwap, 0)
		eth := s.AddRow(metric.PerInterface, metric.Key{Name: "eth0"})
		s.PutRow(metric.NetworkReceiveBytes, eth, uint64(i))
		if change != nil {
			change(s)
		}
		samples = append(samples, s)
	}
	return samples
}

// names are the containers of the house.
var names = map[string]string{strings.Repeat("ab", 32): "web.1.x", strings.Repeat("cd", 32): "web.2.y", strings.Repeat("ce", 32): "db"}

// house is an API over the node, a slice and three containers, with 100 samples each.
func house(t testing.TB) *API {
	node := &metric.Node{MemoryBytes: 8 << 30}
	histories := map[string]*collector.History{
		"/": collector.HistoryOf(node, &metric.Container{Path: "/"}, samplesOf(100, func(s *metric.Sample) {
			for _, key := range []metric.Key{{Name: "/dev/vda1", Mountpoint: "/", Type: "ext4"}, {Name: "/dev/vdb", Mountpoint: "/data", Type: "xfs"}} {
				s.PutRow(metric.FilesystemCapacity, s.AddRow(metric.PerFilesystem, key), 1<<40)
			}
		})...),
		"/docker": collector.HistoryOf(node, &metric.Container{Path: "/docker"}, samplesOf(100, nil)...),
	}
	for id, name := range names {
		c := &metric.Container{
			Path: "/docker/" + id, Runtime: "docker", ID: id, Name: name, Image: "nginx", RestartCount: 2,
			Labels: []metric.Label{{Key: "a.b", Value: "<&>"}}, Env: []metric.Label{{Key: "role", Value: "x"}},
			Created: time.Unix(1794000000, 0).UTC(), Started: time.Unix(1795000000, 5).UTC(),
		}
		histories[c.Path] = collector.HistoryOf(node, c, samplesOf(100, func(s *metric.Sample) { s.Put(metric.MemoryLimit, 64<<20) })...)
	}
	return apiOver(t, histories)
}

func ask(t testing.TB, h http.Handler, method, target, body string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header(), string(text)
}

// info is what the tests look at of a container.
type info struct {
	ID, Name, Namespace string
	Aliases             []string
	Subcontainers       []struct{ Name string }
	Spec                map[string]any
	Stats               []struct {
		Timestamp time.Time
		CPU       struct{ Usage struct{ Total uint64 } }
		Network   *struct{ Name string }
	}
}

func decode[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %.300s", err, text)
	}
	return v
}

func TestAPIErrors(t *testing.T) {
	h := Handler(Options{API: house(t)})
	for _, c := range []struct {
		target, body string
		code         int
		want         string
	}{
		{"/api/", "", 400, "Supported API versions: v1.0,v1.1,v1.2,v1.3,v2.0,v2.1"},
		{"/api/v1.0", "", 400, `Supported request types: "containers,machine"`},
		{"/api/v1.2/", "", 400, `Supported request types: "containers,docker,machine,subcontainers"`},
		{"/api/v2.0/", "", 400, `Supported request types: "appmetrics,attributes,events,machine,ps,spec,stats,storage,summary,version"`},
		{"/api/v9/machine", "", 500, `unsupported API version "v9"`},
		{"/api/v1.0/docker", "", 500, `unknown request type "docker"`},
		{"/api/v2.0/machinestats", "", 500, `unknown request type "machinestats"`},
		{"/api/v1.3/containers/nope", "", 500, `failed to get container "/nope" with error: unknown container "/nope"`},
		{"/api/v1.3/docker/nope", "", 500, `failed to get Docker container "nope" with error: unable to find container "nope" in "docker" namespace`},
		{"/api/v1.3/docker/web", "", 500, `failed to get Docker container "web" with error: unable to find container in "docker" namespace. Container "web" is not unique`},
		{"/api/v1.3/docker/c", "", 500, `failed to get Docker container "c" with error: unable to find container in "docker" namespace. Container "c" is not unique`},
		{"/api/v1.3/docker/a/b", "", 500, "unknown request for Docker container [a b]"},
		{"/api/v1.3/subcontainers/nope", "", 500, `failed to get subcontainers for container "/nope" with error: no containers found`},
		{"/api/v1.3/subcontainers/dock", "", 500, `failed to get subcontainers for container "/dock" with error: no containers found`},
		{"/api/v1.3/containers/", "{bad", 500, "unable to decode the json value: invalid character 'b' looking for beginning of object key string"},
		{"/api/v1.3/containers/", `{"start":"yesterday"}`, 500, `unable to decode the json value: parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"`},
		{"/api/v1.3/containers/", strings.Repeat(" ", maxBody+1), 500, "unable to read the request body: http: request body too large"},
		{"/api/v2.0/stats/nope", "", 500, `unknown container "/nope"`},
		{"/api/v2.0/stats/nope?recursive=true", "", 500, `unknown container: "/nope"`},
		{"/api/v2.0/stats/?type=x", "", 500, `unknown 'type' "x"`},
		{"/api/v2.0/stats/?count=x", "", 500, "failed to parse 'count' option: x"},
		{"/api/v2.0/stats/?count=-2", "", 500, "invalid 'count' option: only -1 and larger values allowed, not -2"},
		{"/api/v2.0/stats/?count=99999999999", "", 500, "failed to parse 'count' option: 99999999999"},
		{"/api/v2.0/stats/?max_age=x", "", 500, `failed to parse 'max_age' option: time: invalid duration "x"`},
		{"/api/v2.0/stats/aa?type=docker&recursive=true", "", 500, `invalid request for docker container "/aa" with subcontainers`},
		{"/api/v2.1/machinestats?type=docker", "", 500, `unable to find container in "docker" namespace. Container "" is not unique`},
		{"/api/v2.1/storage?label=x", "", 500, `non-existent label "x"`},
		{"/api/v2.1/storage?uuid=x", "", 500, "cadvisor: no such device"},
		{"/api/v2.1/ps/nope", "", 500, `process listing failed: unknown container "/nope"`},
		{"/api/v1.3/events/?stream=true&start_time=2020-01-01T00:00:00Z", "", 500, "for a call to watch, request.StartTime and request.EndTime must be uninitialized"},
	} {
		code, header, body := ask(t, h, "POST", c.target, c.body)
		if code != c.code || body != c.want+"\n" {
			t.Errorf("%s: got %d %q, want %d %q", c.target, code, body, c.code, c.want)
		}
		if header.Get("Content-Type") != "text/plain; charset=utf-8" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", c.target, header)
		}
	}
	for _, method := range []string{"DELETE", "PUT", "OPTIONS"} {
		if code, header, _ := ask(t, h, method, "/api/v1.3/machine", ""); code != 405 || header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: %d, allows %q", method, code, header.Get("Allow"))
		}
	}
}

func TestContainersV1(t *testing.T) {
	h := Handler(Options{API: house(t)})
	stats := func(target, body string) []int {
		t.Helper()
		code, header, text := ask(t, h, "POST", target, body)
		if code != 200 || header.Get("Content-Type") != "application/json" || strings.HasSuffix(text, "\n") {
			t.Fatalf("%s: %d %v %q", target, code, header, text)
		}
		var seconds []int
		for _, s := range decode[info](t, text).Stats {
			seconds = append(seconds, int((s.Timestamp.UnixNano()-second(0))/1e9))
		}
		return seconds
	}
	f := func(body string, first, last int) {
		t.Helper()
		got := stats("/api/v1.3/containers/docker", body)
		if len(got) != last-first+1 || got[0] != first || got[len(got)-1] != last {
			t.Errorf("%s: got %v, want %d to %d", body, got, first, last)
		}
	}
	f("", 40, 99) // sixty by default
	f("{}", 40, 99)
	f(`{"num_stats":2}`, 98, 99)
	f(`{"num_stats":1000,"unknown":1}`, 0, 99)
	f(`{"num_stats":-1}`, 0, 99)
	f(`{"num_stats":-5}`, 0, 99)
	at := func(i int) string { return time.Unix(0, second(i)).UTC().Format(time.RFC3339) }
	f(fmt.Sprintf(`{"num_stats":-1,"start":%q,"end":%q}`, at(10), at(20)), 10, 20)
	f(fmt.Sprintf(`{"num_stats":3,"end":%q}`, at(20)), 18, 20)
	f(fmt.Sprintf(`{"num_stats":3,"start":%q}`, at(95)), 97, 99)

	_, _, text := ask(t, h, "GET", "/api/v1.3/containers/docker", `{"num_stats":0}`)
	if strings.Contains(text, `"stats"`) {
		t.Errorf("without samples there still are stats: %.300s", text)
	}
	slice := decode[info](t, text)
	if slice.Name != "/docker" || slice.ID != "" || slice.Aliases != nil || len(slice.Subcontainers) != 2 || slice.Subcontainers[0].Name != "/docker/docker" {
		t.Errorf("a cgroup of no runtime is %+v", slice)
	}
	for _, same := range []string{"/api/v1.0/containers", "/api/v1.3/containers/"} {
		if _, _, text := ask(t, h, "GET", same, ""); decode[info](t, text).Name != "/" {
			t.Errorf("%s is not the root", same)
		}
	}
	if code, header, text := ask(t, h, "HEAD", "/api/v1.3/containers/", ""); code != 200 || header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %d %v %q", code, header, text)
	}
}

func TestSubcontainersV1(t *testing.T) {
	h := Handler(Options{API: house(t)})
	_, _, text := ask(t, h, "POST", "/api/v1.1/subcontainers/docker", `{"num_stats":1}`)
	list := decode[[]info](t, text)
	if len(list) != 4 || list[0].Name != "/docker" || len(list[3].Stats) != 1 {
		t.Errorf("at and below /docker there are %d: %.300s", len(list), text)
	}
	_, _, text = ask(t, h, "POST", "/api/v1.1/subcontainers/", `{"num_stats":1}`)
	if list := decode[[]info](t, text); len(list) != 5 || list[0].Name != "/" {
		t.Errorf("in all there are %d", len(list))
	}
}

func TestDockerV1(t *testing.T) {
	h := Handler(Options{API: house(t)})
	_, _, text := ask(t, h, "GET", "/api/v1.3/docker/", `{"num_stats":2}`)
	all := decode[map[string]info](t, text)
	if len(all) != 3 {
		t.Fatalf("%d containers: %.300s", len(all), text)
	}
	if strings.Contains(text, "<") || !strings.Contains(text, `\u003c\u0026\u003e`) {
		t.Error("< and & are not escaped")
	}
	id := strings.Repeat("ab", 32)
	for _, name := range []string{"web.1.x", "web.1", id, "ab", "ab" + id[2:40]} {
		_, _, text := ask(t, h, "GET", "/api/v1.2/docker/"+name, `{"num_stats":2}`)
		got := decode[map[string]info](t, text)
		c, ok := got["/docker/"+id]
		if !ok || len(got) != 1 {
			t.Errorf("%s: got %.300s", name, text)
			continue
		}
		if c.ID != id || c.Namespace != "docker" || fmt.Sprint(c.Aliases) != "[web.1.x "+id+"]" || c.Subcontainers != nil || len(c.Stats) != 2 {
			t.Errorf("%s: got %+v", name, c)
		}
		want := map[string]any{
			"creation_time": "2026-11-06T21:20:00Z", "start_time": "2026-11-18T11:06:40.000000005Z",
			"labels": map[string]any{"a.b": "<&>", "restartcount": "2"}, "envs": map[string]any{"role": "x"},
			"has_cpu": true, "cpu": map[string]any{"limit": 1024.0, "max_limit": 0.0, "period": 100000.0},
			"has_memory": true, "memory": map[string]any{"limit": 64.0 * (1 << 20), "reservation": 9223372036854771712.0, "swap_limit": 9223372036854771712.0},
			"has_hugetlb": false, "has_network": true, "has_processes": false, "processes": map[string]any{},
			"has_filesystem": true, "has_diskio": true, "has_custom_metrics": false, "image": "nginx",
		}
		if fmt.Sprint(c.Spec) != fmt.Sprint(want) {
			t.Errorf("the specification is\n%v, want\n%v", c.Spec, want)
		}
	}
}

func TestStatsV2(t *testing.T) {
	h := Handler(Options{API: house(t)})
	type sample struct {
		Timestamp time.Time
		HasCPU    *bool `json:"has_cpu"`
		CPUInst   *struct {
			Usage struct{ Total, User, System uint64 }
		} `json:"cpu_inst"`
		Network struct{ Interfaces []struct{ Name string } }
	}
	_, _, text := ask(t, h, "GET", "/api/v2.0/stats/docker?recursive=true&count=3", "")
	if v20 := decode[map[string][]sample](t, text); len(v20) != 4 || len(v20["/docker"]) != 3 || v20["/docker"][0].HasCPU == nil {
		t.Errorf("v2.0: %.300s", text)
	}
	_, _, text = ask(t, h, "GET", "/api/v2.1/stats/?recursive=true&count=3", "")
	v21 := decode[map[string]struct {
		Spec  map[string]any
		Stats []sample
	}](t, text)
	if _, root := v21["/"]; root || len(v21) != 4 {
		t.Errorf("v2.1 has %d containers, the root among them: %v", len(v21), root)
	}
	for path, c := range v21 {
		if len(c.Stats) != 3 || c.Stats[0].CPUInst != nil || c.Stats[1].CPUInst == nil || c.Stats[2].Timestamp.UnixNano() != second(99) {
			t.Fatalf("%s: %+v", path, c.Stats)
		}
		if use := c.Stats[1].CPUInst.Usage; use.Total != 5e8 || use.User != 4e8 || use.System != 1e8 {
			t.Errorf("%s: half a core is %+v nanocores", path, use)
		}
		if c.Stats[0].Network.Interfaces[0].Name != "eth0" || c.Stats[0].HasCPU != nil {
			t.Errorf("%s: %+v", path, c.Stats[0])
		}
	}
	if _, _, text = ask(t, h, "GET", "/api/v2.1/stats/", ""); text != "{}" {
		t.Errorf("the root's stats are %.100s", text)
	}
	_, _, text = ask(t, h, "GET", "/api/v2.1/machinestats", "")
	machine := decode[[]map[string]any](t, text)
	if len(machine) != 64 {
		t.Fatalf("machinestats has %d samples, 64 by default", len(machine))
	}
	if fs := machine[0]["filesystem"].([]any)[1].(map[string]any); fs["device"] != "/dev/vdb" || fs["inline"].(map[string]any)["reads_completed"] != 0.0 {
		t.Errorf("a filesystem is %v", fs)
	}
	_, _, text = ask(t, h, "GET", "/api/v2.1/stats/db?type=docker&count=-1", "")
	if got := decode[map[string]struct{ Stats []sample }](t, text); len(got) != 1 || len(got["/docker/"+strings.Repeat("ce", 32)].Stats) != 100 {
		t.Errorf("all samples of db: %.300s", text)
	}
}

func TestOtherRequestsV2(t *testing.T) {
	h := Handler(Options{API: house(t)})
	f := func(target, want string) {
		t.Helper()
		code, header, text := ask(t, h, "GET", target, "")
		if code != 200 || header.Get("Content-Type") != "application/json" || !strings.Contains(text, want) {
			t.Errorf("%s: %d %.400s", target, code, text)
		}
	}
	f("/api/v2.0/version", `"v1"`)
	f("/api/v2.0/appmetrics/db?type=docker", `{"/db":{}}`)
	f("/api/v2.1/spec/db?type=docker", `"aliases":["db","`+strings.Repeat("ce", 32)+`"],"namespace":"docker","labels":`)
	f("/api/v2.1/summary/docker", `{"/docker":{"timestamp":"`)
	f("/api/v2.1/attributes", `{"kernel_version":"6.1",`)
	f("/api/v1.3/machine", `"num_cores":2,`)
	f("/api/v2.1/machine", `"num_cores":2,`)
	f("/api/v2.1/ps/docker", `[{"user":"","pid":8,`)
	f("/api/v2.1/ps/", `"cgroup_path":"/docker","cmd":"dockerd"`)
	f("/api/v2.1/storage?uuid=0815", `"device":"/dev/vda1"`)

	_, _, text := ask(t, h, "GET", "/api/v2.1/storage", "")
	list := decode[[]cadvisor.FsInfo](t, text)
	if len(list) != 2 || fmt.Sprint(list[0].Labels, list[1].Labels) != "[root] [docker-images]" || list[0].Inodes != nil {
		t.Errorf("storage is %+v", list)
	}
	_, _, text = ask(t, h, "GET", "/api/v2.1/storage?label=docker-images", "")
	if list := decode[[]cadvisor.FsInfo](t, text); len(list) != 1 || list[0].Device != "/dev/vdb" {
		t.Errorf("where the images are: %s", text)
	}
	if _, _, text = ask(t, h, "GET", "/api/v2.1/storage?label=crio-images", ""); text != "[]" {
		t.Errorf("no filesystem has the label, and the answer is %s", text)
	}
}

func TestEvents(t *testing.T) {
	a := house(t)
	h := Handler(Options{API: a})
	add := func(action metric.Action, path string, minute int) {
		a.Occurrences.Add(collector.Occurrence{Action: action, Path: path, Time: time.Date(2099, 1, 1, 0, minute, 0, 0, time.UTC)})
	}
	for i := range 8 {
		add(metric.Create, "/docker/x", i)
	}
	add(metric.Create, "/docker", 8)
	f := func(target string, want int) []cadvisor.Event {
		t.Helper()
		_, _, text := ask(t, h, "GET", target, "")
		got := decode[[]cadvisor.Event](t, text)
		if len(got) != want || want == 0 && text != "[]" {
			t.Errorf("%s: %d events, want %d: %s", target, len(got), want, text)
		}
		return got
	}
	f("/api/v1.3/events/", 0)
	if got := f("/api/v1.3/events/?all_events=true", 9); got[8].ContainerName != "/docker" || got[0].EventType != "containerCreation" {
		t.Errorf("not from the oldest to the newest: %v", got)
	}
	f("/api/v2.1/events/?creation_events=1&max_events=2", 2)
	f("/api/v1.3/events/?oom_events=true&deletion_events=true&oom_kill_events=T", 0)
	f("/api/v1.3/events/docker?all_events=true", 1)
	f("/api/v1.3/events/docker?all_events=true&subcontainers=true", 9)
	f("/api/v1.3/events/?all_events=true&start_time=2099-01-01T00:03:00Z&end_time=2099-01-01T00:05:00Z", 3)
	f("/api/v1.3/events/?all_events=true&start_time=4070908980&max_events=x", 9) // ignored, as cAdvisor does
}

// A stream begins at once, and goes on past the time in which other answers have to be
// written.
func TestEventStream(t *testing.T) {
	a := house(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, Handler(Options{API: a})) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://" + l.Addr().String() + "/api/v1.3/events/docker?stream=true&creation_events=true&subcontainers=true")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "" {
		t.Errorf("the stream begins with %s %v", response.Status, response.Header)
	}
	at := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, path := range []string{"/other", "/docker/x", "/docker/y"} {
		a.Occurrences.Add(collector.Occurrence{Action: metric.Create, Path: path, Time: at})
	}
	lines := bufio.NewReader(response.Body)
	for _, want := range []string{"/docker/x", "/docker/y"} {
		line, err := lines.ReadString('\n')
		if err != nil || line != `{"container_name":"`+want+`","timestamp":"2099-01-01T00:00:00Z","event_type":"containerCreation","event_data":{}}`+"\n" {
			t.Fatalf("the stream has %q, %v", line, err)
		}
	}
}

// What one answer of /api/v1.3/docker costs: two samples and sixty of each container.
func BenchmarkDockerV1(b *testing.B) {
	for _, containers := range []int{100, 1000} {
		histories := map[string]*collector.History{}
		for i := range containers {
			c := &metric.Container{Path: fmt.Sprintf("/docker/%064x", i), Runtime: "docker", ID: fmt.Sprintf("%064x", i), Name: fmt.Sprint("c", i)}
			histories[c.Path] = collector.HistoryOf(&metric.Node{}, c, samplesOf(60, nil)...)
		}
		h := Handler(Options{API: apiOver(b, histories)})
		for _, body := range []string{`{"num_stats":2}`, ""} {
			name := fmt.Sprintf("%d containers %s", containers, strings.Trim(body, "{}"))
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				var bytes int64
				for b.Loop() {
					w := &discard{header: http.Header{}}
					h.ServeHTTP(w, httptest.NewRequest("POST", "/api/v1.3/docker/", strings.NewReader(body)))
					bytes = w.bytes
				}
				b.ReportMetric(float64(bytes), "answer-bytes")
			})
		}
	}
}

// discard counts what is written.
type discard struct {
	header http.Header
	bytes  int64
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(b []byte) (int, error) {
	d.bytes += int64(len(b))
	return len(b), nil
}
