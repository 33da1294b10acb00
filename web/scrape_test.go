package web

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// A scrape as Prometheus makes it, of tasks of a Swarm that have each number of the groups that
// are on by default, on a node with two CPUs, an interface and a disk: as text, compressed, and
// in OpenMetrics.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{100, 1000} {
		h := Handler(Options{Metrics: func() []Family { return nil }, Containers: of(b, tasks(n)), Log: zap.NewNop()})
		f := func(name, header, value string) {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				request.Header.Set(header, value)
				b.ReportAllocs()
				var w counter
				for b.Loop() {
					w = counter{header: http.Header{}}
					h.ServeHTTP(&w, request)
				}
				b.ReportMetric(float64(w.bytes), "B/scrape")
			})
		}
		f("text", "Accept", "*/*")
		f("gzip", "Accept-Encoding", "gzip")
		f("openmetrics", "Accept", "application/openmetrics-text")
	}
}

// tasks returns readings of n tasks of a Swarm, ten to a service.
func tasks(n int) collector.Readings {
	r := fleet(n)
	for i := range r.Containers {
		c := *r.Containers[i].Container
		if c.Path != metric.Root {
			sum := sha256.Sum256([]byte(c.ID)) // an id has no order
			c.ID = hex.EncodeToString(sum[:])
			c.Path = "/docker/" + c.ID
			task := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:25]
			c.Name = fmt.Sprintf("shop_service%d.%d.%s", i/10, i%10+1, task)
			c.Image = fmt.Sprintf("registry.example/shop/service%d:1.27@sha256:%064d", i/10, i/10)
			c.Labels = []metric.Label{
				{Key: "com.docker.stack.namespace", Value: "shop"},
				{Key: "com.docker.swarm.node.id", Value: "node000000000000000000001"},
				{Key: "com.docker.swarm.service.id", Value: fmt.Sprintf("service%018d", i/10)},
				{Key: "com.docker.swarm.service.name", Value: fmt.Sprintf("shop_service%d", i/10)},
				{Key: "com.docker.swarm.task", Value: ""},
				{Key: "com.docker.swarm.task.id", Value: task},
				{Key: "com.docker.swarm.task.name", Value: c.Name},
			}
		}
		r.Containers[i].Container = &c
		s := &r.Containers[i].Sample
		s.AddRow(metric.PerCPU, metric.Key{Name: "0"})
		s.AddRow(metric.PerCPU, metric.Key{Name: "1"})
		fill(s)
		for id := range metric.ID(metric.NumIDs) {
			for row := range s.Rows(id.Per()) {
				v := uint64(i+1) * uint64(id+1) * 7919
				if id%2 == 0 {
					v = 0 // as every other number of a real container is
				}
				s.PutRow(id, row, v)
			}
		}
	}
	return r
}

// counter is an answer that is thrown away.
type counter struct {
	header http.Header
	bytes  int
}

func (c *counter) Header() http.Header { return c.header }

func (c *counter) WriteHeader(int) {}

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += len(b)
	return len(b), nil
}
