package test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// shownTime is how long the Swarm runs at least before its dashboards are looked at.
const shownTime = time.Minute

// Every panel of every dashboard is asked for on documents of a Swarm on which much happens,
// by the searches that Kibana sends. Each shows something, and what can be known from
// elsewhere is so.
func TestDashboards(t *testing.T) {
	lab.Need(t, lab.Nodes, lab.Elasticsearch)
	w := startSwarm(t, []string{lab.Elasticsearch8})
	// What ended stays, so that it can be counted.
	docker(t, w.manager(), "swarm", "update", "--task-history-limit", "100")
	w.deployAgents(t, watchful)
	w.deploy(t, "market", nil, market)
	w.await(t, "")

	v := &visit{swarm: w, boards: boards{server: w.targets[0].ElasticsearchServer, from: time.Now(), all: kibana.Dashboards()}}
	v.cpu = w.watchCPU(t)
	w.deploy(t, "trouble", nil, trouble)
	// What no Swarm watches over is restarted by its engine.
	docker(t, w.manager(), "run", "--detach", "--name", "loner", "--restart", "always", lab.BusyboxImage, "sh", "-c", "sleep 5; exit 1")
	v.service(t, "scale", "--detach", fmt.Sprintf("%s=%d", scaled, mostReplicas))
	v.awaitReplicas(t, scaled, mostReplicas)
	v.service(t, "update", "--detach", "--no-resolve-image", "--env-add", "EDITION=evening", "market_news")
	v.signal(t, w.nodes[1], "market_client", "KILL")
	v.signal(t, w.nodes[2], "gauge8_agent", "STOP")
	time.Sleep(paused)
	v.signal(t, w.nodes[2], "gauge8_agent", "CONT")
	v.resumed = time.Now()
	time.Sleep(time.Until(v.from.Add(shownTime / 2)))
	v.service(t, "scale", "--detach", fmt.Sprintf("%s=%d", scaled, lastReplicas))
	v.awaitReplicas(t, scaled, lastReplicas)
	if os.Getenv(recordVariable) != "" {
		v.keepScaling(t)
	}
	time.Sleep(time.Until(v.from.Add(shownTime)))
	v.close(t)

	checkFields(t, v.server, esAlias, documents(t, v.server, esAlias, nil))
	t.Run("Shown", v.checkShown)
	t.Run("CPU", v.checkCPU)
	t.Run("Replicas", v.checkReplicas)
	t.Run("Ends", v.checkEnds)
	t.Run("Troubles", v.checkTroubles)
	t.Run("Memory", v.checkMemory)
	t.Run("Throttling", v.checkThrottling)
	t.Run("Space", v.checkSpace)
	t.Run("Network", v.checkNetwork)
	t.Run("Agents", v.checkAgents)
	if path := os.Getenv(recordVariable); path != "" {
		v.record(t, path)
	}
}

// visit is what a look at the dashboards knows of the Swarm.
type visit struct {
	*swarm
	boards
	cpu *cpuWatch
	// resumed is when the agent that was stopped for a while went on. Its next documents are
	// about more than their interval.
	resumed time.Time
	// kills is how many processes of the service greedy the kernel has killed by the end of
	// the time that is looked at.
	kills float64
}

// paused is for how long an agent's process is stopped, so that it misses sweeps.
const paused = 4 * time.Second

// The service that is scaled: from replicas to more, and to fewer again.
const (
	scaled       = "market_web"
	mostReplicas = 4
	lastReplicas = 3
)

// signal sends a signal to the first process of a service's container on a node.
func (v *visit) signal(t testing.TB, n *lab.Node, service, signal string) {
	t.Helper()
	pid := inspect(t, n, v.containerOf(t, n, service)).State.Pid
	if _, err := n.Exec(t.Context(), "sh", "-c", fmt.Sprintf("kill -%s %d", signal, pid)); err != nil {
		t.Fatal(err)
	}
}

// cgroupOf returns the path of the cgroup of a service's only container, as this machine sees
// it.
func (v *visit) cgroupOf(t testing.TB, service string) string {
	t.Helper()
	n, id := v.anyContainer(t, service)
	return v.nodeCgroups(t)[n.Name()] + "/" + id
}

// close ends the time that is looked at, just after the kernel has killed a process of greedy,
// and waits until each node has delivered everything that is in it.
func (v *visit) close(t testing.TB) {
	t.Helper()
	greedy := v.cgroupOf(t, "trouble_greedy")
	count0, err := cgroupNumber(greedy, "oom_kill", "memory.oom_control", "memory.events")
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, time.Minute, "another kill", func() error {
		if v.kills, err = cgroupNumber(greedy, "oom_kill", "memory.oom_control", "memory.events"); err != nil || v.kills == count0 {
			return errors.Join(errNotYet, err)
		}
		return nil
	})
	time.Sleep(shipInterval + shipInterval/4) // the interval's document comes, and no other kill
	v.to = time.Now()
	for _, n := range v.nodes {
		waitFor(t, 30*time.Second, "documents of "+n.Name(), func() error {
			later := map[string]any{"range": map[string]any{"@timestamp": map[string]any{"gt": v.to.UTC().Format(time.RFC3339Nano)}}}
			if c, err := count(t, v.server, esAlias, both(term("host.name", n.Name()), later)); err != nil || c == 0 {
				return errors.Join(errNotYet, err)
			}
			return nil
		})
	}
	v.cpu.stop()
}

// keepScaling makes the curves of pictures: the number of replicas goes up and down.
func (v *visit) keepScaling(t testing.TB) {
	t.Helper()
	for end := v.from.Add(recordedTime); time.Now().Before(end); {
		for _, replicas := range [...]int{mostReplicas, 2, lastReplicas} {
			v.service(t, "scale", "--detach", fmt.Sprintf("%s=%d", scaled, replicas))
			time.Sleep(40 * time.Second)
		}
	}
}

// roughly fails the test unless two numbers differ by at most a share of the second.
func roughly(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if !(math.Abs(got-want) <= share*math.Abs(want)) {
		t.Errorf("%s is %.6g, want %.6g ± %v %%", what, got, want, share*100)
	}
}

// checkCPU compares what A3 says that containers use with what the kernel has counted above
// them: whole buckets of time, and documents of whole intervals.
func (v *visit) checkCPU(t *testing.T) {
	const bucket = 10 * time.Second // Kibana's for ten minutes
	begin, end := v.resumed.Add(2*shipInterval).Truncate(bucket).Add(bucket), v.to.Truncate(bucket)
	long := boards{server: v.server, all: v.all, from: end.Add(-10 * time.Minute), to: end}
	// A document comes a moment after the interval that it is about, which may be the one
	// before the bucket.
	shift := shipInterval - shipInterval/100
	var used float64
	for _, n := range v.nodes {
		used += v.cpu.coreSeconds(t, n.Name(), begin.Add(-shift), end.Add(-shift))
	}
	a3, nodes := long.table(t, "A3", 0), long.table(t, "A3", 1)
	var shownCPU float64
	buckets := 0
	for _, row := range a3.Rows {
		if start := row[0].(time.Time); !start.Before(begin) && start.Before(end) {
			shownCPU += a3.number(t, row, "Used by containers") * bucket.Seconds()
			buckets++
		}
	}
	if want := int(end.Sub(begin) / bucket); buckets != want {
		t.Fatalf("A3 has %d buckets from %v to %v, want %d: %v", buckets, begin, end, want, a3.Rows)
	}
	roughly(t, "the CPU time in A3", shownCPU, used, 0.05)
	t.Logf("A3 shows %.3f core seconds, the kernel has counted %.3f", shownCPU, used)
	var cpus float64 // with all agents; one was stopped for a while
	for _, row := range nodes.Rows {
		cpus = max(cpus, nodes.number(t, row, "CPUs"))
	}
	if want := float64(runtime.NumCPU() * len(v.nodes)); cpus != want {
		t.Errorf("A3 shows %v CPUs of %d nodes, want %v", cpus, len(v.nodes), want)
	}
}

// checkReplicas looks for the numbers of replicas that there were.
func (v *visit) checkReplicas(t *testing.T) {
	b1 := v.table(t, "B1", 0, kibana.Is("swarm.service.name", scaled))
	seen := map[float64]bool{}
	for _, row := range b1.Rows {
		if desired := b1.number(t, row, "Desired"); desired == b1.number(t, row, "Running") {
			seen[desired] = true
		}
	}
	if newest := b1.Rows[len(b1.Rows)-1]; !seen[mostReplicas] || b1.number(t, newest, "Running") != lastReplicas {
		t.Errorf("B1 wants to show %d replicas, and %d at the end: %v", mostReplicas, lastReplicas, b1.Rows)
	}
	for id, want := range map[string]float64{"A1-nodes": 3, "A1-agents": 3} {
		figure := v.tables(t, v.panel(t, id))[0]
		if got := figure.Rows[0][0]; got != want {
			t.Errorf("%s shows %v, want %v", id, got, want)
		}
	}
}

// checkEnds compares the ends of containers with those that engines remember.
func (v *visit) checkEnds(t *testing.T) {
	want := map[string]float64{}
	for _, n := range v.nodes {
		for id := range strings.FieldsSeq(docker(t, n, "ps", "--all", "--quiet", "--filter", "status=exited", "--filter", "label=com.docker.swarm.service.name")) {
			c := inspect(t, n, id)
			service := c.Config.Labels["com.docker.swarm.service.name"]
			if at := c.State.FinishedAt; at.After(v.from) && at.Before(v.to) && service != scaled {
				want[fmt.Sprint(service, " ", c.State.ExitCode, " ", c.State.OOMKilled)]++
			}
		}
	}
	// An end is told with the time at which it was, some seconds later: when it is known how it
	// was. Of the service that was scaled, Swarm removes what ended.
	var got map[string]float64
	waitFor(t, 20*time.Second, "all ends", func() error {
		got = map[string]float64{}
		a6 := v.table(t, "A6-codes", 0, kibana.Not(kibana.Is("swarm.service.name", scaled)))
		for _, row := range a6.Rows {
			killed := a6.number(t, row, "For want of memory")
			got[fmt.Sprint(row[0], " ", row[1], " true")] += killed
			got[fmt.Sprint(row[0], " ", row[1], " false")] += a6.number(t, row, "Ends") - killed
		}
		maps.DeleteFunc(got, func(_ string, n float64) bool { return n == 0 })
		if !maps.Equal(got, want) {
			return fmt.Errorf("A6 shows the ends %v, the engines %v", got, want)
		}
		return nil
	})
	for _, seen := range []string{"trouble_crash 3 false", "trouble_doomed 137 true", "market_client 137 false", "trouble_sick 137 false"} {
		if got[seen] == 0 {
			t.Errorf("A6 has no end %s among %v", seen, got)
		}
	}
}

// checkTroubles looks for what the stack trouble is there for.
func (v *visit) checkTroubles(t *testing.T) {
	a2 := v.table(t, "A2-services", 0)
	for service, want := range map[string]float64{"trouble_nowhere": 1, "trouble_vanished": 1, "market_cache": 0} {
		if missing := a2.number(t, a2.rowOf(t, service), "Missing now"); missing != want {
			t.Errorf("A2 says that %s lacks %v replicas, want %v", service, missing, want)
		}
	}
	told := fmt.Sprint(v.table(t, "A7-tasks", 0).Rows)
	for _, want := range []string{"trouble_nowhere", "no suitable node", "trouble_vanished", "No such image"} {
		if !strings.Contains(told, want) {
			t.Errorf("A7 doesn't say %q: %s", want, told)
		}
	}
	for _, row := range v.table(t, "A7", 0).Rows {
		if name := fmt.Sprint(row[0]); !strings.HasPrefix(name, "trouble_sick.") && !strings.HasPrefix(name, "gauge8_agent.") {
			t.Errorf("A7 shows that %s isn't healthy: %v", name, row)
		}
	}
}

func (v *visit) checkMemory(t *testing.T) {
	b4 := v.table(t, "B4", 1, kibana.Is("swarm.service.name", "trouble_greedy"))
	if killed := b4.sum(t, "Killed for want of memory"); killed != v.kills {
		t.Errorf("B4 shows %v processes of greedy killed for want of memory, the kernel %v", killed, v.kills)
	}
	e5 := v.table(t, "E5", 0)
	cache := e5.rowOf(t, "market_cache")
	path := v.cgroupOf(t, "market_cache")
	used, err := cgroupNumber(path, "", "memory.usage_in_bytes", "memory.current")
	if err != nil {
		t.Fatal(err)
	}
	const limit = 64 << 20
	if got := e5.number(t, cache, "Memory limit"); got != limit {
		t.Errorf("E5 shows the limit %v, want %v", got, limit)
	}
	// It hasn't read files that could be dropped.
	roughly(t, "what E5 shows of the limit of a full container", e5.number(t, cache, "Memory used of it (p99)"), used/limit, 0.02)
	if got := e5.number(t, e5.rowOf(t, "market_client"), "No memory limit"); got != 1 {
		t.Errorf("E5 shows that %v of a service's documents have no limit of memory, want 1", got)
	}
}

// checkNetwork looks at a container that is in two networks all the time, and at a web server.
func (v *visit) checkNetwork(t *testing.T) {
	always := kibana.Is("container.name", v.chosen(t)["D"]["container.name"])
	all, each := v.table(t, "D5", 0, always), v.table(t, "D5-interfaces", 0, always)
	for _, way := range []string{"received", "sent"} {
		of := strings.ToUpper(way[:1]) + way[1:]
		roughly(t, "what the interfaces have "+way, each.sum(t, "eth0, "+way)+each.sum(t, "eth1, "+way)+each.sum(t, "eth2, "+way)+each.sum(t, "eth3, "+way), all.sum(t, of), 0.01)
	}
	servers := v.table(t, "B5", 0, kibana.Is("swarm.service.name", scaled))
	connections := v.table(t, "D5-connections", 0, kibana.Is("container.name", fmt.Sprint(servers.Rows[0][0])))
	rows := connections.Rows
	if rows[len(rows)-1][1] == nil {
		rows = rows[:len(rows)-1] // of its end, when there is nothing to count any more
	}
	newest := rows[len(rows)-1]
	// Its own, and that of the engine's name server.
	if listening, udp := connections.number(t, newest, "Listening"), connections.number(t, newest, "UDP"); listening != 2 || udp < 1 {
		t.Errorf("D5-connections shows %v TCP sockets that listen and %v UDP sockets, want 2 and the name server's: %v", listening, udp, connections.Rows)
	}
}

func (v *visit) checkThrottling(t *testing.T) {
	e1 := v.table(t, "E1", 0)
	leader := e1.Rows[0]
	if !strings.HasPrefix(fmt.Sprint(leader[0]), "market_burn.") {
		t.Fatalf("E1 is led by %v", leader)
	}
	path := v.cgroupOf(t, "market_burn")
	periods, err1 := cgroupNumber(path, "nr_periods", "cpu.stat")
	held, err2 := cgroupNumber(path, "nr_throttled", "cpu.stat")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	roughly(t, "what E1 shows of throttled periods", e1.number(t, leader, "Throttled"), held/periods, 0.05)
	roughly(t, "the limit in E1", e1.number(t, leader, "Limit"), 0.2, 1e-6) // a float of 32 bits
}

// checkSpace compares with df and du.
func (v *visit) checkSpace(t *testing.T) {
	c7 := v.table(t, "C7", 0)
	looked := 0
	for _, row := range c7.Rows {
		for _, n := range v.nodes {
			if n.Name() != row[0] {
				continue
			}
			out, err := n.Exec(t.Context(), "df", "--block-size=1", "--output=size,avail,pcent", fmt.Sprint(row[1]))
			if err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(out)[3:] // behind the heading
			size, err1 := strconv.ParseFloat(words[0], 64)
			free, err2 := strconv.ParseFloat(words[1], 64)
			percent, err3 := strconv.ParseFloat(strings.TrimSuffix(words[2], "%"), 64)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("what C7 shows of %v on %v: ", row[1], row[0])
			roughly(t, what+"size", c7.number(t, row, "Size"), size, 0)
			roughly(t, what+"free", c7.number(t, row, "Free"), free, 0.05)
			if used := 100 * c7.number(t, row, "Used"); used < percent-3 || used > percent+3 { // df rounds up
				t.Errorf("%sused %.1f %%, df says %v", what, used, percent)
			}
			looked++
		}
	}
	if looked < len(v.nodes) {
		t.Errorf("C7 shows %d filesystems of %d nodes: %v", looked, len(v.nodes), c7.Rows)
	}

	n, id := v.anyContainer(t, "market_writer")
	inNode := func(args ...string) (string, error) { return n.Exec(t.Context(), args...) }
	layer := docker(t, n, "inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", id)
	volume := filepath.Dir(docker(t, n, "inspect", "--format", "{{(index .Mounts 0).Source}}", id))
	for panel, dir := range map[string]string{"F3-layers": layer, "F3-volumes": volume} {
		table := v.table(t, panel, 0)
		if name := fmt.Sprint(table.Rows[0][0]); !strings.HasPrefix(name, "market_writer.") {
			t.Errorf("%s is led by %s", panel, name)
			continue
		}
		roughly(t, "what leads "+panel, table.number(t, table.Rows[0], "Now"), usage(t, inNode, "--block-size=1", dir), 0.15)
	}
}

func (v *visit) checkAgents(t *testing.T) {
	g2, g3 := v.table(t, "G2", 0), v.table(t, "G3", 0)
	for _, n := range v.nodes {
		if memory := g2.number(t, g2.rowOf(t, n.Name()), "Memory"); memory < 1<<20 || memory > 128<<20 {
			t.Errorf("G2 shows an agent with %v bytes of memory", memory)
		}
		if count := g3.number(t, g3.rowOf(t, n.Name()), "Documents of its agent"); count < 10 {
			t.Errorf("G3 shows %v documents of an agent in a minute", count)
		}
	}
	// One was stopped for some seconds.
	if missed := v.tables(t, v.panel(t, "G1-missed"))[0].Rows[0][0].(float64); missed < paused.Seconds()-2 {
		t.Errorf("G1 shows %v missed sweeps", missed)
	}
}
