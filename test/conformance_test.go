package test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// The tests in the files conformance*_test.go hold the agent's answers against those that
// cAdvisor gave to the same questions about the same containers. These are kept in
// testdata/cadvisor, whose README says how they came about. What may differ is a table of
// lines with reasons (allowedOnV1, allowedOnV2, allowedInTexts); a
// line that nothing needs fails the test.

// goldenDir has cAdvisor's answers, and those about a unified hierarchy in v2.
const goldenDir = "testdata/cadvisor"

// question is a request and the file with cAdvisor's answer.
type question struct {
	golden  string
	request string
	// as is the key under which other answers have what this one has at its top, "spec" for
	// specifications; "" if there is none.
	as string
}

func get(target string) string { return request("GET", target, "") }

func newest(target, count string) string {
	return request("POST", target, `{"num_stats":`+count+`}`, "Content-Type: application/json")
}

// questionsV1 are the requests for the golden answers about a v1 hierarchy.
func questionsV1() []question {
	const shared = "../../../cadvisor/testdata/"
	return []question{
		{"v1.3-machine.json", get("/api/v1.3/machine"), ""},
		{"v2.1-machine.json", get("/api/v2.1/machine"), ""},
		{"v2.1-attributes.json", get("/api/v2.1/attributes"), ""},
		{"v2.1-version.json", get("/api/v2.1/version"), ""},
		{shared + "v1-hierarchy-containers-root.json", newest("/api/v1.3/containers/", "2"), ""},
		{shared + "v1-hierarchy-containers-docker.json", newest("/api/v1.3/containers/docker", "1"), ""},
		{"v1.3-docker-all-2stats.json", newest("/api/v1.3/docker/", "2"), ""},
		{"v1.3-docker-cg-load-3stats.json", newest("/api/v1.3/docker/cg-load", "3"), ""},
		{"v1.3-docker-cg-srv-2stats.json", newest("/api/v1.3/docker/cg-srv", "2"), ""},
		{"v1.3-docker-swarm-task-2stats.json", newest("/api/v1.3/docker/g.", "2"), ""},
		{"v1.3-subcontainers-root-1stat.json", newest("/api/v1.3/subcontainers/", "1"), ""},
		{"v2.1-stats-cg-load.json", get("/api/v2.1/stats/cg-load?type=docker&count=2"), ""},
		{"v2.0-stats-cg-load.json", get("/api/v2.0/stats/cg-load?type=docker&count=1"), "stats"},
		{"v2.1-stats-docker-recursive-count2.json", get("/api/v2.1/stats/?type=docker&recursive=true&count=2"), ""},
		{"v2.1-stats-root.json", get("/api/v2.1/stats/"), ""},
		{"v2.1-machinestats.json", get("/api/v2.1/machinestats?count=2"), "stats"},
		{"v2.1-spec-all.json", get("/api/v2.1/spec/?recursive=true"), "spec"},
		{"v2.1-spec-cg-load.json", get("/api/v2.1/spec/cg-load?type=docker"), "spec"},
		{"v2.1-spec-docker-recursive.json", get("/api/v2.1/spec/?type=docker&recursive=true"), "spec"},
		{"v2.1-summary-cg-load.json", get("/api/v2.1/summary/cg-load?type=docker"), ""},
		{"v2.1-storage.json", get("/api/v2.1/storage"), "filesystems"},
		{"v2.1-storage-label-root.json", get("/api/v2.1/storage?label=root"), "filesystems"},
		{"v2.1-ps-cg-load.json", get("/api/v2.1/ps/cg-load?type=docker"), ""},
		{"v2.0-appmetrics-cg-load.json", get("/api/v2.0/appmetrics/cg-load?type=docker"), ""},
	}
}

// questionsAllV1 are those to an agent with all groups of metrics on.
func questionsAllV1() []question {
	return []question{
		{"v1.3-docker-cg-load-all-metrics-on.json", newest("/api/v1.3/docker/cg-load", "1"), ""},
		{"v1.3-docker-cg-cli-all-metrics-on.json", newest("/api/v1.3/docker/cg-cli", "1"), ""},
	}
}

// questionsV2 are the requests for the golden answers about a unified hierarchy.
func questionsV2() []question {
	const shared = "../../../../cadvisor/testdata/"
	return []question{
		{"v1.3-machine.json", get("/api/v1.3/machine"), ""},
		{shared + "v2-hierarchy-containers-root.json", newest("/api/v1.3/containers/", "2"), ""},
		{"v1.3-docker-all-2stats.json", newest("/api/v1.3/docker/", "2"), ""},
		{"v1.3-docker-cg-load-3stats.json", newest("/api/v1.3/docker/cg-load", "3"), ""},
		{shared + "v2-hierarchy-docker-cg-disk.json", newest("/api/v1.3/docker/cg-disk", "3"), ""},
		{"v1.3-subcontainers-system-slice-1stat.json", newest("/api/v1.3/subcontainers/system.slice", "1"), ""},
		{"v1.3-events.json", get("/api/v1.3/events/?creation_events=true&max_events=1"), ""},
		{"v2.1-machinestats.json", get("/api/v2.1/machinestats?count=1"), "stats"},
		{"v2.1-spec-cg-load.json", get("/api/v2.1/spec/cg-load?type=docker"), "spec"},
		{"v2.1-stats-cg-load.json", get("/api/v2.1/stats/cg-load?type=docker&count=2"), ""},
		{"v2.1-storage.json", get("/api/v2.1/storage"), "filesystems"},
		{"v2.1-summary-cg-load.json", get("/api/v2.1/summary/cg-load?type=docker"), ""},
	}
}

// questionsAllV2 are those to an agent with all groups of metrics on.
func questionsAllV2() []question {
	return []question{{"v1.3-docker-cg-load-all-metrics-on.json", newest("/api/v1.3/docker/cg-load", "2"), ""}}
}

// readGolden returns a golden file, unpacked.
func readGolden(t testing.TB, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil && strings.HasSuffix(name, ".gz") {
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(text)); err == nil {
			text, err = io.ReadAll(r)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// conformance holds answers against those of one directory.
type conformance struct {
	dir    string
	ledger *ledger
	// names are those of the containers by id, which are there in both.
	names map[string]string
	// golden are the names of all golden containers by id.
	golden map[string]string
}

func newConformance(t testing.TB, dir string, names map[string]string, allowed []allowance) *conformance {
	c := &conformance{dir: dir, ledger: newLedger(allowed), names: map[string]string{}, golden: map[string]string{}}
	present := map[string]bool{}
	for _, name := range names {
		present[taskName(name)] = true
	}
	files, err := filepath.Glob(dir + "/*docker*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden answers in %s (%v)", dir, err)
	}
	for _, file := range files {
		for id, name := range namesIn(readGolden(t, "", file)) {
			if name = taskName(name); present[name] {
				c.golden[id] = name
			}
		}
	}
	for id, name := range names {
		c.names[id] = taskName(name)
	}
	return c
}

// check compares the answer to a question with cAdvisor's.
func (c *conformance) check(t testing.TB, q question, got answer) {
	t.Helper()
	name := filepath.Base(q.golden)
	differ := func(where, what string) {
		if d := name + " " + where + ": " + what; !c.ledger.allows(d) {
			t.Error(d)
		}
	}
	if got.Status != "HTTP/1.1 200 OK" || got.Header.Get("Content-Type") != "application/json" {
		differ("answer", fmt.Sprintf("%s, %q: %.200q", got.Status, got.Header.Get("Content-Type"), got.Body))
		return
	}
	if headers := q.golden + ".headers.txt"; exists(filepath.Join(c.dir, headers)) {
		c.checkHead(t, headers, got)
	}
	if bytes.HasSuffix(got.Body, []byte("\n")) {
		differ("answer", "a newline at the end")
	}
	want := readGolden(t, c.dir, q.golden)
	w, err := parseJSON(identified(bytes.TrimRight(want, "\n"), c.golden))
	if err != nil {
		t.Fatalf("%s: %v", q.golden, err)
	}
	g, err := parseJSON(identified(got.Body, c.names))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	path := ""
	if q.as != "" {
		path = "." + q.as
	}
	(&comparer{differ}).compare(path, onlyKnown(w, nil), onlyKnown(g, w))
}

// onlyKnown takes out of an answer about many containers those that aren't there in both.
// golden is cAdvisor's answer, nil if v is that itself.
func onlyKnown(v, golden any) any {
	unknown := func(name string) bool { return strings.HasPrefix(name, "/<?") }
	switch v := v.(type) {
	case *object:
		out := &object{of: map[string]any{}}
		other, _ := golden.(*object)
		for _, key := range v.keys {
			if unknown(key) || other != nil && strings.HasPrefix(key, "/") && other.of[key] == nil {
				continue
			}
			out.keys = append(out.keys, key)
			out.of[key] = v.of[key]
		}
		// Objects whose keys are paths are sorted by ids.
		if len(out.keys) > 0 && strings.HasPrefix(out.keys[0], "/") {
			slices.Sort(out.keys)
		}
		return out
	case []any:
		named := map[string]bool{}
		others, _ := golden.([]any)
		for _, o := range others {
			named[nameOf(o)] = true
		}
		var out []any
		for _, element := range v {
			name := nameOf(element)
			if unknown(name) || others != nil && strings.HasPrefix(name, "/") && !named[name] && isContainer(element) {
				continue
			}
			out = append(out, element)
		}
		return out
	}
	return v
}

// awaitMetrics is checkMetrics of what an agent answers once it has looked at the processes
// of all containers, for which it takes its time.
func (c *conformance) awaitMetrics(t testing.TB, golden string, a *agent, sameContainers bool) {
	t.Helper()
	const patience = 20 * time.Second
	for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		got := send(t, a.addr(), get("/metrics"))
		differs := slices.ContainsFunc(c.metricsDifferences(t, golden, got, sameContainers), func(d string) bool {
			return !newLedger(c.ledger.allowed).allows(d)
		})
		if !differs || time.Since(began) > patience {
			c.checkMetrics(t, golden, got, sameContainers)
			return
		}
	}
}

// checkMetrics compares an answer of /metrics with cAdvisor's.
func (c *conformance) checkMetrics(t testing.TB, golden string, got answer, sameContainers bool) {
	t.Helper()
	for _, d := range c.metricsDifferences(t, golden, got, sameContainers) {
		if !c.ledger.allows(d) {
			t.Error(d)
		}
	}
	theirs := readGolden(t, c.dir, golden)
	t.Logf("%s: %d bytes, %d compressed; cAdvisor's %d and %d", golden, len(got.Body), gzipped(t, got.Body), len(theirs), gzipped(t, theirs))
}

// gzipped returns the length of b as cAdvisor and the agent compress answers.
func gzipped(t testing.TB, b []byte) int {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Len()
}

func (c *conformance) metricsDifferences(t testing.TB, golden string, got answer, sameContainers bool) (all []string) {
	t.Helper()
	differ := func(where, what string) {
		all = append(all, strings.TrimSuffix(golden, ".gz")+" "+where+": "+what)
	}
	want, err := parseMetrics(readGolden(t, c.dir, golden))
	if err != nil {
		t.Fatal(err)
	}
	found, err := parseMetrics(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	wantNames, gotNames := namesOf(want), namesOf(found)
	maps.DeleteFunc(wantNames, func(_, name string) bool { return !slices.Contains(slices.Collect(maps.Values(gotNames)), name) })
	maps.DeleteFunc(gotNames, func(_, name string) bool { return !slices.Contains(slices.Collect(maps.Values(wantNames)), name) })
	if len(wantNames) < 3 {
		t.Errorf("%s: only %q can be compared", golden, wantNames)
	}
	compareMetrics(want, found, wantNames, gotNames, differ)
	if w, g := unionOf(want), unionOf(found); sameContainers && !slices.Equal(w, g) {
		differ("labels", fmt.Sprintf("%q, in cAdvisor %q", g, w))
	}
	return all
}

// namesOf returns the names of containers by id that a scrape has.
func namesOf(s scrape) map[string]string {
	names := map[string]string{}
	for _, m := range s["container_last_seen"].GetMetric() {
		var id, name string
		for _, l := range m.Label {
			switch l.GetName() {
			case "id":
				id = hexID.FindString(l.GetValue())
			case "name":
				name = taskName(l.GetValue())
			}
		}
		if id != "" && name != "" {
			names[id] = name
		}
	}
	return names
}

// unionOf returns the names of the labels that all series of containers have, sorted.
func unionOf(s scrape) (union []string) {
	for _, m := range s["container_last_seen"].GetMetric() {
		for _, l := range m.Label {
			if !slices.Contains(union, l.GetName()) {
				union = append(union, l.GetName())
			}
		}
	}
	slices.Sort(union)
	return union
}

// goldenContainers are the containers that cAdvisor's answers are about, as arguments of
// docker run, but for those that are like another one (cg-late, cg-r1 to 5, bench2) and
// tasks on an overlay network.
func goldenContainers() map[string][]string {
	sleep := []string{goldenImage, "sleep", "10000"}
	return map[string][]string{
		"cg-load": {"--memory", "64m", "--memory-reservation", "32m", "--memory-swap", "96m", "--cpus", "0.2", "--pids-limit", "50",
			"--label", "app.tier=web", "--label", "app_tier=dup", "--label", "com.docker.compose.project=demo", "--label", "com.docker.compose.service=load",
			"--env", "CG_ROLE=load", "--env", "SECRET=x", "--ulimit", "nofile=20000:20000",
			goldenImage, "sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1M count=4 2>/dev/null; while :; do i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; sleep 0.3; done"},
		"cg-srv": {"--memory", "32m", "--health-cmd", "wget -q -O /dev/null http://127.0.0.1/", "--health-interval", "1s",
			goldenImage, "sh", "-c", "mkdir /tmp/www; echo ok > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"},
		"cg-cli":     {goldenImage, "sh", "-c", "while :; do sleep 1; done"},
		"cg-host":    append([]string{"--network", "host"}, sleep...),
		"cg-oom":     {"--memory", "8m", "--memory-swap", "8m", goldenImage, "sh", "-c", "until [ -e /tmp/go ]; do sleep 0.2; done; tail /dev/zero; exec sleep 10000"},
		"cg-restart": {"--restart", "on-failure", goldenImage, "sh", "-c", "[ -e /tmp/again ] || { touch /tmp/again; exit 1; }; exec sleep 10000"},
		"aa":         append([]string{"--memory", "64m", "--cpus", "0.5"}, sleep...),
		"bench1":     append([]string{"--label", "bench.kind=idle", "--label", "com.docker.stack.namespace=bench", "--label", "com.example.team=t1"}, sleep...),
	}
}

// goldenImage is the image of all golden containers, which has no labels.
const goldenImage = "bb"

// startGolden starts the golden containers and a task of a Swarm, and returns their names
// by id.
func startGolden(t *testing.T, h *host) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bb.tar")
	docker(t, h, "container", "create", "--name", "box", lab.BusyboxImage)
	docker(t, h, "container", "export", "--output", file, "box")
	docker(t, h, "container", "rm", "box")
	docker(t, h, "import", file, goldenImage+":latest")

	names := map[string]string{}
	var mu sync.Mutex // guards names
	var starting sync.WaitGroup
	run := func(name string, args []string) {
		starting.Go(func() {
			id, err := h.Docker(t.Context(), append([]string{"run", "--detach", "--name", name}, args...)...)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			names[id] = name
		})
	}
	for name, args := range goldenContainers() {
		run(name, args)
	}
	starting.Go(func() {
		_, err := h.Docker(t.Context(), "swarm", "init", "--advertise-addr", h.Addr().String())
		if err == nil {
			_, err = h.Docker(t.Context(), "service", "create", "--detach", "--no-resolve-image", "--mode", "global", "--name", "g", goldenImage+":latest", "sleep", "10000")
		}
		if err != nil {
			t.Error(err)
		}
	})
	starting.Wait()
	run("cg-share", []string{"--network", "container:cg-srv", goldenImage, "sleep", "10000"})
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { // the Swarm and the containers go with the engine
		if _, err := h.Docker(context.Background(), "service", "rm", "g"); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, 20*time.Second, "the task of the Swarm", func() error {
		id, err := h.Docker(t.Context(), "ps", "--quiet", "--no-trunc", "--filter", "name=^g[.]")
		if err == nil && id == "" {
			err = errNotYet
		}
		if err == nil {
			names[id] = strings.TrimPrefix(inspect(t, h, id).Name, "/")
		}
		return err
	})
	waitFor(t, 20*time.Second, "the restarted container and a first check of health", func() error {
		if n := inspect(t, h, "cg-restart").RestartCount; n != 1 {
			return fmt.Errorf("restarted %v times", n)
		}
		if s := inspect(t, h, "cg-srv").State.Health; s == nil || s.Status != "healthy" {
			return errors.New("not healthy yet")
		}
		return nil
	})
	return names
}

// What cAdvisor answered about these containers on a v1 hierarchy, the agent answers.
func TestConformance(t *testing.T) {
	h := &host{Engine: lab.EngineFor(t)}
	began := time.Now()
	names := startGolden(t, h)
	id := idOf(names, "cg-load")
	start := func(options ...string) *agent {
		// The machine of the test may be a container itself, as far as the agent can see.
		return startAgent(t, append([]string{"-docker=" + h.Host(), "-docker_root=" + h.DataRoot(), "-host-root=/", "-spool-dir=" + t.TempDir()}, options...)...)
	}
	// Flags as command lines have them: with one dash or two, with = or a space.
	byDefault := start("--env_metadata_whitelist", "CG_", "-logtostderr", "--v=2", "-profiling")
	all := start("-disable_metrics=", "-enable_load_reader", "--docker_only=true")
	lean := start("-docker_only", "-disable_metrics", cadvisorDefaultOff+",percpu,disk,diskIO",
		"--store_container_labels=false", "-whitelisted_container_labels=com.docker.swarm.service.name, app.tier")
	prefixed := start("-url_base_prefix=/cad", "-http_auth_file="+filepath.Join(goldenDir, "htpasswd"), "-http-auth-pages-only", "-prometheus_endpoint=/m",
		"-storage_driver=stdout", "-ship-interval=1s")
	addr := byDefault.addr()

	for _, a := range []*agent{byDefault, all, lean} {
		waitFor(t, 20*time.Second, "three samples of each container", func() error { return a.has(t, names, 3) })
	}
	events := openStream(t, addr, "/api/v1.3/events/?stream=true&all_events=true")
	seven := h.run(t, "--name", "cg-exit", goldenImage, "sh", "-c", "sleep 2; exit 7")
	docker(t, h, "exec", "cg-oom", "touch", "/tmp/go")
	docker(t, h, "wait", seven)
	names[seven] = "cg-exit"

	t.Run("Texts", func(t *testing.T) {
		l := newLedger(allowedInTexts())
		replay(t, l, addr, readAnswers(t, goldenDir+"/http-status-and-errors.txt"), requestOf)
		checkValidate(t, l, goldenDir, send(t, addr, get("/validate/")))
		l.finish(t)
	})
	t.Run("Prefix", func(t *testing.T) {
		l := newLedger(nil)
		replay(t, l, prefixed.addr(), readAnswers(t, goldenDir+"/prefix-auth-behaviour.txt"), get)
		l.finish(t)
	})
	t.Run("OldClients", func(t *testing.T) { testOldClients(t, addr, id) })
	t.Run("Events", func(t *testing.T) { events.check(t, names) })
	if cgroups.IsCgroup2UnifiedMode() {
		t.Log("the numbers of a unified hierarchy are compared in the virtual machine")
		return
	}
	t.Run("Answers", func(t *testing.T) {
		c := newConformance(t, goldenDir, names, allowedOnV1())
		c.awaitMetrics(t, "metrics-default.prom.gz", byDefault, true)
		c.awaitMetrics(t, "metrics-all-groups.prom.gz", all, false)
		c.awaitMetrics(t, "metrics-lean-whitelist.prom.gz", lean, true)
		for _, q := range questionsV1() {
			c.check(t, q, send(t, addr, q.request))
		}
		for _, q := range questionsAllV1() {
			c.check(t, q, send(t, all.addr(), q.request))
		}
		c.checkHead(t, "v1.3-containers-root.headers.txt", send(t, addr, newest("/api/v1.3/containers/", "2")))
		for golden, header := range map[string]string{
			"metrics-default.headers.txt":     "Accept: */*",
			"metrics-gzip.headers.txt":        "Accept-Encoding: gzip",
			"metrics-openmetrics.headers.txt": "Accept: application/openmetrics-text; version=1.0.0",
		} {
			c.checkHead(t, golden, send(t, addr, request("GET", "/metrics", "", header)))
		}
		c.checkDocuments(t, "../../../cadvisor/testdata/es-documents-one-per-container.json", prefixed.logs(t))
		c.ledger.finish(t)
	})
	t.Logf("all of it took %.1f s", time.Since(began).Seconds())
}

// cadvisorDefaultOff is the value that cAdvisor's -disable_metrics has if it isn't given.
const cadvisorDefaultOff = "advtcp,cpu_topology,cpuset,hugetlb,memory_numa,process,referenced_memory,resctrl,sched,tcp,udp"

func (a *agent) addr() string {
	addr, _, _ := strings.Cut(strings.TrimPrefix(a.URL, "http://"), "/")
	return addr
}

// has tells what is missing to so many samples of each container.
func (a *agent) has(t testing.TB, names map[string]string, samples int) error {
	t.Helper()
	v, err := parseJSON(identified(send(t, a.addr(), newest("/api/v1.3/docker/", strconv.Itoa(samples))).Body, names))
	all, ok := v.(*object)
	if err != nil || !ok {
		return fmt.Errorf("no containers (%v)", err)
	}
	for _, name := range names {
		c, ok := all.of["/<"+name+">"].(*object)
		if !ok {
			return fmt.Errorf("%s isn't there", name)
		}
		if stats, _ := c.of["stats"].([]any); len(stats) < samples {
			return fmt.Errorf("%s: %d samples", name, len(stats))
		}
	}
	return nil
}

func idOf(names map[string]string, name string) string {
	for id, n := range names {
		if n == name {
			return id
		}
	}
	return ""
}

// checkHead compares status and header of an answer with those in a golden file.
func (c *conformance) checkHead(t testing.TB, golden string, got answer) {
	t.Helper()
	want := readAnswers(t, filepath.Join(c.dir, golden))[0].answer
	compareHeads(want, got, func(where, what string) {
		if d := golden + " " + where + ": " + what; !c.ledger.allows(d) {
			t.Error(d)
		}
	})
}

// checkDocuments compares the documents that an agent printed with those that cAdvisor sent to
// Elasticsearch, as far as these go.
func (c *conformance) checkDocuments(t testing.TB, golden, printed string) {
	t.Helper()
	v, err := parseJSON(readGolden(t, c.dir, golden))
	list, ok := v.([]any)
	if err != nil || !ok {
		t.Fatalf("%s: %v", golden, err)
	}
	own := map[string]*object{} // by container
	for line := range strings.Lines(printed) {
		if v, err := parseJSON([]byte(line)); err == nil {
			if o, ok := v.(*object); ok && o.of["container_Name"] != nil {
				own[taskName(fmt.Sprint(o.of["container_Name"]))] = o
			}
		}
	}
	compared := 0
	for _, v := range list {
		want := v.(*object)
		name := taskName(fmt.Sprint(want.of["container_Name"]))
		got := own[name]
		if got == nil {
			continue // one of a benchmark
		}
		compared++
		differ := func(where, what string) {
			if d := filepath.Base(golden) + " <" + name + ">" + where + ": " + what; !c.ledger.allows(d) {
				t.Error(d)
			}
		}
		for _, key := range want.keys {
			if w, g := fmt.Sprint(want.of[key]), fmt.Sprint(got.of[key]); kindOf(want.of[key]) != kindOf(got.of[key]) || key == "timestamp" && len(w) != len(g) {
				differ("."+key, fmt.Sprintf("%.50s, cAdvisor has %.50s", g, w))
			}
		}
		(&comparer{differ}).compare(".stats[]", want.of["container_stats"], got.of["container_stats"])
	}
	if compared < 4 {
		t.Errorf("%s: %d documents compared, of containers %q", golden, compared, slices.Sorted(maps.Keys(own)))
	}
}

// checkValidate compares the headings of the report on the machine.
func checkValidate(t testing.TB, l *ledger, dir string, got answer) {
	t.Helper()
	if d := "GET /validate/: status: " + got.Status; got.Status != "HTTP/1.1 200 OK" && !l.allows(d) {
		t.Error(d)
	}
	for line := range strings.Lines(string(readGolden(t, dir, "validate.txt"))) {
		heading, _, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "\t") {
			continue
		}
		if d := "GET /validate/: body: without " + heading; !strings.Contains(string(got.Body), heading+":") && !l.allows(d) {
			t.Error(d)
		}
	}
}

// stream is an answer that goes on until the reader leaves.
type stream struct {
	addr, request string
	conn          net.Conn
	mu            sync.Mutex // guards text
	text          []byte
	ended         chan struct{}
}

// openStream asks for a stream and collects what comes.
func openStream(t *testing.T, addr, target string) *stream {
	t.Helper()
	s := &stream{addr: addr, request: get(target), ended: make(chan struct{})}
	var err error
	if s.conn, err = net.Dial("tcp", addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	if _, err := io.WriteString(s.conn, s.request); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		part := make([]byte, 4096)
		for {
			n, err := s.conn.Read(part)
			s.mu.Lock()
			s.text = append(s.text, part[:n]...)
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	waitFor(t, 5*time.Second, "the head of a stream before its first event", func() error {
		if _, err := s.answer(); err != nil {
			return err
		}
		return nil
	})
	return s
}

// answer returns what has come so far.
func (s *stream) answer() (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := parseAnswer(s.request, s.text)
	if errors.Is(err, io.ErrUnexpectedEOF) && a.Status != "" {
		err = nil // it goes on
	}
	return a, err
}

func (s *stream) close() {
	s.conn.Close()
	<-s.ended
}

// check compares the events that have come, and those that can be asked for, with
// cAdvisor's: one container that exited with 7, one in which a child was killed.
func (s *stream) check(t *testing.T, names map[string]string) {
	c := newConformance(t, goldenDir, names, allowedInEvents())
	golden := map[string]any{} // by type
	list, err := parseJSON(readGolden(t, goldenDir, "v1.3-events.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list.([]any) {
		golden[nameOf(v)] = v
	}
	for line := range bytes.Lines(readGolden(t, goldenDir, "events-stream.ndjson")) {
		v, err := parseJSON(line)
		if err != nil {
			t.Fatal(err)
		}
		golden[nameOf(v)] = v
	}
	compare := func(where string, v any) {
		t.Helper()
		(&comparer{func(path, what string) {
			if d := where + " " + nameOf(v) + path + ": " + what; !c.ledger.allows(d) {
				t.Error(d)
			}
		}}).compare("", golden[nameOf(v)], v)
	}
	inOrder := func(where, container string, found []any, want ...string) {
		t.Helper()
		var types []string
		for _, v := range found {
			if v.(*object).of["container_name"] == "/<"+container+">" {
				types = append(types, nameOf(v))
				compare(where, v)
			}
		}
		if !slices.Equal(types, want) {
			t.Errorf("%s: of %s %q, want %q", where, container, types, want)
		}
	}

	var found []any
	var a answer
	waitFor(t, 10*time.Second, "the end of cg-exit in the stream", func() (err error) {
		if a, err = s.answer(); err != nil {
			return err
		}
		found = nil
		for line := range bytes.Lines(identified(a.Body, names)) {
			v, err := parseJSON(line)
			if err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
			found = append(found, v)
		}
		for _, v := range found {
			if v.(*object).of["container_name"] == "/<cg-exit>" && nameOf(v) == "containerDeletion" {
				return nil
			}
		}
		return errNotYet
	})
	s.close()
	c.checkHead(t, "events-stream.headers.txt", a)
	inOrder("stream", "cg-exit", found, "containerCreation", "containerDeletion")
	inOrder("stream", "cg-oom", found, "oom", "oomKill")

	a = send(t, s.addr, get("/api/v1.3/events/?all_events=true&max_events=100000"))
	v, err := parseJSON(identified(a.Body, names))
	kept, ok := v.([]any)
	if err != nil || !ok {
		t.Fatalf("%v: %.300q", err, a.Body)
	}
	inOrder("events", "cg-exit", kept, "containerCreation", "containerDeletion")
	inOrder("events", "cg-oom", kept, "containerCreation", "oom", "oomKill")
	// The newest, from the oldest on.
	newest := func(query string, want int) {
		t.Helper()
		a := send(t, s.addr, get("/api/v1.3/events/?"+query))
		v, err := parseJSON(a.Body)
		list, ok := v.([]any)
		if err != nil || !ok || len(list) != want {
			t.Fatalf("%s: %d events, want %d (%v): %.300q", query, len(list), want, err, a.Body)
		}
		(&comparer{func(path, what string) { t.Errorf("%s: %s: %s", query, path, what) }}).inOrder("", list)
	}
	newest("all_events=true", 10)
	newest("creation_events=true&max_events=3", 3)
	newest("deletion_events=true&max_events=1", 1)
	c.ledger.finish(t)
}

// No answer lies there for nothing.
func TestGoldenAnswersAreUsed(t *testing.T) {
	used := map[string]bool{}
	for dir, questions := range map[string][]question{"": slices.Concat(questionsV1(), questionsAllV1()), "v2": slices.Concat(questionsV2(), questionsAllV2())} {
		for _, q := range questions {
			used[filepath.Join(dir, q.golden)] = true
		}
	}
	others := []string{ // named where they are compared
		"README.md", "htpasswd", "http-status-and-errors.txt", "prefix-auth-behaviour.txt", "validate.txt", "v2/validate.txt",
		"metrics-default.prom.gz", "metrics-all-groups.prom.gz", "metrics-lean-whitelist.prom.gz", "v2/metrics-default.prom.gz", "v2/metrics-all-groups.prom.gz",
		"v1.3-events.json", "events-stream.ndjson", "es-unreachable-startup.txt",
	}
	for _, name := range others {
		used[name] = true
	}
	err := filepath.WalkDir(goldenDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(goldenDir, path)
		if !used[name] && !strings.HasSuffix(name, ".headers.txt") { // these lie beside others
			t.Errorf("nothing is compared with %s", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
