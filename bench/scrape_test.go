package bench

import (
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
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// BenchmarkAgentScrape is what a scrape of /metrics costs the agent, as Prometheus makes it:
// compressed, of 100 containers of an engine, and of 1,000 that are bare cgroups, called as
// Docker's are, with records of them where the engine would have them, because an engine takes
// ten minutes to start as many; what those lack is interfaces. All have the labels that tasks
// of a Swarm have.
//
// The CPU time is what the process uses in a length of time with scrapes, less what it uses in
// the same length without, divided by the scrapes. More than mostPerScrape fails.
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
	var c scrapeCost
	for b.Loop() {
		if err := c.measure(b.Context(), agent, length); err != nil {
			b.Fatal(err)
		}
	}
	text, _, err := scrapeOnce(b.Context(), agent.url, "identity")
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
	perScrape := c.cpu / time.Duration(c.scrapes)
	b.Logf("%d scrapes: %.2f ms of CPU time and %.2f ms until the last byte for each, %d bytes of text, %d compressed; PSS %s",
		c.scrapes, milliseconds(perScrape), milliseconds(c.took/time.Duration(c.scrapes)), text, c.bytes/c.scrapes, mebibytes(memory.pss))
	b.ReportMetric(0, "ns/op") // how long the benchmark took says nothing
	b.ReportMetric(milliseconds(perScrape), "CPU-ms/scrape")
	b.ReportMetric(float64(text), "text-B/scrape")
	b.ReportMetric(float64(c.bytes/c.scrapes), "gzip-B/scrape")
	b.ReportMetric(float64(memory.pss)/(1<<20), "PSS-MiB")
	return perScrape
}

// mostPerScrape is what a scrape of 100 containers may cost.
const mostPerScrape = 10 * time.Millisecond

// scrapeCost is what scrapes have cost.
type scrapeCost struct {
	scrapes, bytes int
	cpu, took      time.Duration
}

// measure compares a length of time with scrapes to the two around it without.
func (c *scrapeCost) measure(ctx context.Context, a *agent, length time.Duration) error {
	const between = 200 * time.Millisecond
	quiet := func() (time.Duration, error) {
		return cpuDuring(a.proc, func() error { return sleepUntil(ctx, time.Now().Add(length)) })
	}
	before, err := quiet()
	if err != nil {
		return err
	}
	scraping, err := cpuDuring(a.proc, func() error {
		end := time.Now().Add(length)
		for at := time.Now(); at.Before(end); at = at.Add(between) {
			if err := sleepUntil(ctx, at); err != nil {
				return err
			}
			n, took, err := scrapeOnce(ctx, a.url, "gzip")
			if err != nil {
				return err
			}
			c.scrapes++
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
	c.cpu += scraping - (before+after)/2
	return nil
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

// scrapeOnce gets /metrics and returns the length of the answer's body as it came.
func scrapeOnce(ctx context.Context, url, encoding string) (bytes int, took time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	request.Header.Set("Accept-Encoding", encoding)
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
