package bench

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// BenchmarkAgentScrape is what a scrape of /metrics costs the agent, as Prometheus makes it,
// compressed, and what two samples, and sixty, of each container by the REST API cost it: of 100 containers of an engine, and of 1,000 that are bare cgroups, called as
// Docker's are, with records of them where the engine would have them, because an engine takes
// ten minutes to start as many; what those lack is interfaces. All have the labels that tasks
// of a Swarm have.
//
// The CPU time is what the process uses in a length of time with scrapes, less what it uses in
// the same length without, divided by the scrapes. More than mostPerScrape fails. Beside it is
// by how much a sweep began late at most while all this was asked for, and how many slots
// were missed.
func BenchmarkAgentScrape(b *testing.B) {
	length := windowLength(b) / 2
	lab.Need(b, lab.Docker)
	program := buildAgent(b)
	b.Log(machine())
	b.Run(fmt.Sprintf("containers=%d", containers), func(b *testing.B) {
		engine := lab.EngineFor(b)
		startContainers(b, engine, containers)
		perScrape := benchmarkScrape(b, program, length, containers, "-docker="+engine.Host(), "-docker_root="+engine.DataRoot())
		if perScrape > mostPerScrape {
			b.Errorf("%.2f ms of CPU time for a scrape of %d containers, more than %v", milliseconds(perScrape), containers, mostPerScrape)
		}
	})
	b.Run("cgroups=1000", func(b *testing.B) {
		const n = 1000
		groups := newBareCgroups(b)
		groups.name = taskID
		if err := groups.grow(n); err != nil {
			b.Fatal(err)
		}
		root := b.TempDir()
		for i := range n {
			if err := writeRecord(root, i, groups.procs[i].Process.Pid); err != nil {
				b.Fatal(err)
			}
		}
		benchmarkScrape(b, program, length, n, "-docker=", "-docker_root="+root)
	})
}

// benchmarkScrape measures scrapes of an agent with these options, which has n containers, and
// returns the CPU time of one.
func benchmarkScrape(b *testing.B, program string, length time.Duration, n int, options ...string) time.Duration {
	b.Helper()
	agent := startAgent(b, program, nil, options...)
	// Names are known some seconds after the first sample.
	if err := sleepUntil(b.Context(), time.Now().Add(10*time.Second)); err != nil {
		b.Fatal(err)
	}
	costs := make([]scrapeCost, len(questions))
	for b.Loop() {
		for i, q := range questions {
			if err := costs[i].measure(b.Context(), agent, length, q); err != nil {
				b.Fatal(err)
			}
		}
	}
	text, _, err := ask(b.Context(), agent.url, question{path: "/metrics", encoding: "identity"})
	if err != nil {
		b.Fatal(err)
	}
	const least = 20 << 10 // of a container whose labels are known
	if text < n*least {
		b.Errorf("%d bytes of %d containers: some have no labels", text, n)
	}
	memory, err := measureMemory(agent.proc)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op") // how long the benchmark took says nothing
	for i, q := range questions {
		c := &costs[i]
		b.Logf("%s: %d answers: %.2f ms of CPU time and %.2f ms until the last byte for each, %d bytes as they came",
			q.name, c.answers, milliseconds(c.each()), milliseconds(c.took/time.Duration(c.answers)), c.bytes/c.answers)
		b.ReportMetric(milliseconds(c.each()), "CPU-ms/"+q.name)
		b.ReportMetric(float64(c.bytes/c.answers), "B/"+q.name)
	}
	late, missed, err := jitter(b.Context(), agent.url)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d bytes of text before compression; a sweep began %.1f ms late at most, %v slots were missed; PSS %s",
		text, late*1e3, missed, mebibytes(memory.pss))
	b.ReportMetric(float64(text), "text-B/scrape")
	b.ReportMetric(late*1e3, "late-ms-most")
	b.ReportMetric(missed, "missed")
	b.ReportMetric(float64(memory.pss)/(1<<20), "PSS-MiB")
	return costs[0].each()
}

// mostPerScrape is what a scrape of 100 containers may cost.
const mostPerScrape = 10 * time.Millisecond

// question is one request of a client.
type question struct {
	name, path, body, encoding string
}

// questions are what the agent is asked.
var questions = []question{
	{name: "scrape", path: "/metrics", encoding: "gzip"},
	{name: "two-samples", path: "/api/v1.3/docker/", body: `{"num_stats":2}`},
	{name: "sixty-samples", path: "/api/v1.3/docker/"},
}

// scrapeCost is what the answers to one question have cost.
type scrapeCost struct {
	answers, bytes int
	cpu, took      time.Duration
}

// each is the CPU time of one answer.
func (c *scrapeCost) each() time.Duration { return c.cpu / time.Duration(c.answers) }

// measure compares a length of time with questions to the two around it without.
func (c *scrapeCost) measure(ctx context.Context, a *agent, length time.Duration, q question) error {
	const between = 200 * time.Millisecond
	quiet := func() (time.Duration, error) {
		return cpuDuring(a.proc, func() error { return sleepUntil(ctx, time.Now().Add(length)) })
	}
	before, err := quiet()
	if err != nil {
		return err
	}
	asking, err := cpuDuring(a.proc, func() error {
		end := time.Now().Add(length)
		for at := time.Now(); at.Before(end); at = later(at.Add(between), time.Now()) {
			if err := sleepUntil(ctx, at); err != nil {
				return err
			}
			n, took, err := ask(ctx, a.url, q)
			if err != nil {
				return err
			}
			c.answers++
			c.bytes += n
			c.took += took
		}
		return sleepUntil(ctx, end)
	})
	if err != nil {
		return err
	}
	after, err := quiet()
	if err != nil {
		return err
	}
	c.cpu += asking - (before+after)/2
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// jitter returns what the agent says of its sweeps: by how many seconds one began late at
// most, and how many slots were missed.
func jitter(ctx context.Context, url string) (late, missed float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	found := 0
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		for name, v := range map[string]*float64{"swarmgauge_sweep_late_most_seconds ": &late, "swarmgauge_slots_missed_total ": &missed} {
			if text, ok := strings.CutPrefix(lines.Text(), name); ok {
				found++
				if *v, err = strconv.ParseFloat(text, 64); err != nil {
					return 0, 0, err
				}
			}
		}
	}
	if found != 2 {
		return 0, 0, fmt.Errorf("%s/metrics has %d of the two numbers of sweeps", url, found)
	}
	return late, missed, nil
}

// cpuDuring returns the CPU time that a process uses while f runs.
func cpuDuring(p procfs.Proc, f func() error) (time.Duration, error) {
	before, err := measure(p)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := measure(p)
	if err != nil {
		return 0, err
	}
	return after.sub(before).cpu, nil
}

// ask puts a question and returns the length of the answer's body as it came.
func ask(ctx context.Context, url string, q question) (bytes int, took time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+q.path, strings.NewReader(q.body))
	if err != nil {
		return 0, 0, err
	}
	request.Header.Set("Accept-Encoding", cmp.Or(q.encoding, "identity"))
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return int(n), time.Since(began), err
}

// taskID is the id of the i-th container: without an order, as ids are.
func taskID(i int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	return hex.EncodeToString(sum[:])
}

// writeRecord writes what the engine has on disk of the i-th container.
func writeRecord(root string, i, pid int) error {
	const replicas = 10
	service, task := fmt.Sprintf("%s_service%d", stack, i/replicas), taskID(-i)[:25]
	name := fmt.Sprintf("%s.%d.%s", service, i%replicas+1, task)
	record, err := json.Marshal(map[string]any{
		"ID": taskID(i), "Name": "/" + name, "Created": "2026-11-25T12:00:00Z",
		"State": map[string]any{"Running": true, "Pid": pid, "StartedAt": "2026-11-25T12:00:01Z"},
		"Config": map[string]any{
			"Image": "registry.example/shop/" + service + ":1.27@sha256:" + taskID(i/replicas),
			"Labels": map[string]string{
				"com.docker.stack.namespace":    stack,
				"com.docker.swarm.node.id":      "node000000000000000000001",
				"com.docker.swarm.service.id":   fmt.Sprintf("service%018d", i/replicas),
				"com.docker.swarm.service.name": service,
				"com.docker.swarm.task":         "",
				"com.docker.swarm.task.id":      task,
				"com.docker.swarm.task.name":    name,
			},
		},
	})
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "containers", taskID(i))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.v2.json"), record, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "hostconfig.json"), []byte(`{"NetworkMode":"none"}`), 0o600)
}
