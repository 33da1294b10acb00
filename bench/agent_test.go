package bench

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// containers is how many containers BenchmarkAgent has.
const containers = 100

// BenchmarkAgent is what the agent costs with everything on: 100 containers, one sample
// and one document of each per second, to a real Elasticsearch.
//
// -benchtime repeats the measuring, not the preparing. CPU time per sample above
// mostPerSample fails.
func BenchmarkAgent(b *testing.B) {
	length := windowLength(b)
	floor := buildFloor(b)
	agent, d := startDelivering(b)
	server, processes := d.server, d.processes
	ours := fleet{func(path string) (string, bool) {
		id := containerID(path)
		return id, processes[id] != 0
	}, processes}
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	check(sleepUntil(b.Context(), time.Now().Add(length/2)))

	var c comparison
	for b.Loop() {
		check(c.alternate(b.Context(), agent, floor, length, ours))
	}
	times, err := agent.watchSweeps(b.Context(), int(length/interval)/2)
	check(err)
	memory, err := measureMemory(agent.proc)
	check(err)
	check(agent.stop())

	for _, w := range c.windows {
		if n, err := documents(b.Context(), server, w); err != nil {
			b.Error(err)
		} else if want := containers * w.sweeps; n != want {
			b.Errorf("Elasticsearch has %d documents of the containers from a window with %d sweeps, want %d", n, w.sweeps, want)
		}
	}
	indexBytes, err := bytesPerDocument(b.Context(), server)
	check(err)
	report(b, &c, times, memory, indexBytes)
}

// delivering is what is around an agent with everything on.
type delivering struct {
	engine    *lab.Engine
	server    *lab.ElasticsearchServer
	processes map[string]int // of the containers, by their ids
}

// startDelivering starts containers, and an agent that delivers their documents to a real
// Elasticsearch.
func startDelivering(b *testing.B) (*agent, delivering) {
	b.Helper()
	lab.Need(b, lab.Docker, lab.Elasticsearch)
	program := buildAgent(b)
	d := delivering{engine: lab.EngineFor(b), server: lab.ElasticsearchFor(b, lab.ElasticsearchConfig{})}
	d.processes = startContainers(b, d.engine, containers)
	wire := startRelay(b, strings.TrimPrefix(d.server.URL(), "http://"))
	return startAgent(b, program, wire,
		"-docker="+d.engine.Host(), "-docker_root="+d.engine.DataRoot(),
		"-storage_driver=elasticsearch", "-storage_driver_es_host=http://"+wire.address()), d
}

// index are the agent's indices.
const index = "cadvisor-*"

// documents counts the documents of the containers' samples in w that arrived.
func documents(ctx context.Context, server *lab.ElasticsearchServer, w window) (int, error) {
	if _, err := server.Do(ctx, http.MethodPost, "/"+index+"/_refresh", nil); err != nil {
		return 0, err
	}
	answer, err := server.Do(ctx, http.MethodPost, "/"+index+"/_count", map[string]any{
		"query": map[string]any{"bool": map[string]any{"filter": []any{
			map[string]any{"term": map[string]any{"event.dataset": "swarmgauge.container"}},
			map[string]any{"term": map[string]any{"swarm.stack": stack}},
			map[string]any{"range": map[string]any{"@timestamp": map[string]any{
				"gte": w.usage.at.UTC().Format(time.RFC3339Nano), "lt": w.usage.at.Add(w.length).UTC().Format(time.RFC3339Nano),
			}}},
		}}},
	})
	if err != nil {
		return 0, err
	}
	n, err := number(answer, "count")
	return int(n), err
}

// bytesPerDocument returns what a document takes on the server's disk, all segments
// merged into one, as they are some hours later.
func bytesPerDocument(ctx context.Context, server *lab.ElasticsearchServer) (float64, error) {
	for _, path := range []string{"/_forcemerge?max_num_segments=1", "/_refresh"} {
		if _, err := server.Do(ctx, http.MethodPost, "/"+index+path, nil); err != nil {
			return 0, err
		}
	}
	stats, err := server.Do(ctx, http.MethodGet, "/"+index+"/_stats/store,docs", nil)
	if err != nil {
		return 0, err
	}
	size, err := number(stats, "_all", "primaries", "store", "size_in_bytes")
	if err != nil {
		return 0, err
	}
	count, err := number(stats, "_all", "primaries", "docs", "count")
	if err != nil {
		return 0, err
	}
	return size / max(1, count), nil
}

// number returns the number at a path in decoded JSON.
func number(value any, path ...string) (float64, error) {
	at := value
	for _, name := range path {
		object, _ := at.(map[string]any)
		at = object[name]
	}
	n, ok := at.(float64)
	if !ok {
		return 0, fmt.Errorf("no number %s in %v", strings.Join(path, "."), value)
	}
	return n, nil
}

// report prints everything, and fails where the line that has to hold is crossed.
func report(b *testing.B, c *comparison, times sweepTimes, memory memory, indexBytes float64) {
	b.Helper()
	t := c.total()
	perSample, ratio := t.perSample(), c.ratio()
	perDocument := float64(t.wire) / float64(max(1, t.indexed))
	plain := func(what, format string, args ...any) verdict {
		return verdict{what: what, value: fmt.Sprintf(format, args...)}
	}
	b.Logf("%s\n%s\n%s", machine(), c.log.String(), table([]verdict{
		{"CPU time per container-sample, all in", micros(perSample), "≤ " + micros(goalPerSample), perSample <= goalPerSample},
		{"  the line that has to hold", micros(perSample), "≤ " + micros(mostPerSample), perSample <= mostPerSample},
		plain("  the floor: the same files in C", "%s", micros(c.floorPerSample())),
		{"  ratio", fmt.Sprintf("%.2f", ratio), fmt.Sprintf("≤ %.1f", goalRatio), ratio <= goalRatio},
		plain("  share of it in the kernel", "%.0f %%", 100*float64(t.usage.system)/float64(max(1, t.usage.user+t.usage.system))),
		plain("share of one core", "%.2f %%", 100*t.usage.cpu.Seconds()/t.length.Seconds()),
		{"memory: PSS", mebibytes(memory.pss), "≤ " + mebibytes(goalPSS), memory.pss <= goalPSS},
		plain("memory: RSS", "%s", mebibytes(memory.rss)),
		plain("memory: anonymous", "%s", mebibytes(memory.anonymous)),
		plain("open descriptors", "%d", memory.descriptors),
		plain("garbage collections per minute", "%.1f", float64(t.collections)/t.length.Minutes()),
		plain("container-samples", "%d", t.samples),
		plain("slots missed", "%d", t.missed),
		plain("documents taken by Elasticsearch", "%d", t.indexed),
		plain("bytes on the wire per document", "%.0f", perDocument),
		plain("bytes in the index per document", "%.0f", indexBytes),
		plain("sweep, median", "%.1f ms", milliseconds(quantile(times.took, 0.5))),
		plain("sweep, 99 %", "%.1f ms", milliseconds(quantile(times.took, 0.99))),
		plain("late, median", "%.2f ms", milliseconds(quantile(times.late, 0.5))),
		plain("late, 99 %", "%.2f ms", milliseconds(quantile(times.late, 0.99))),
	}))
	b.ReportMetric(0, "ns/op") // how long the benchmark took says nothing
	b.ReportMetric(float64(perSample.Nanoseconds())/1e3, "µs/sample")
	b.ReportMetric(float64(c.floorPerSample().Nanoseconds())/1e3, "floor-µs/sample")
	b.ReportMetric(ratio, "×floor")
	b.ReportMetric(float64(memory.pss)/(1<<20), "PSS-MiB")
	b.ReportMetric(perDocument, "wire-B/document")
	b.ReportMetric(indexBytes, "index-B/document")
	b.ReportMetric(milliseconds(quantile(times.took, 0.99)), "p99-ms/sweep")
	if perSample > mostPerSample {
		b.Errorf("%s of CPU time per container-sample, more than %s", micros(perSample), micros(mostPerSample))
	}
}
