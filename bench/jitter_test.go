package bench

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

const (
	// goalJitter is how much later than in quiet times one sweep of a hundred may begin.
	goalJitter = 5 * time.Millisecond
	// mostJitter is what fails: the machine has other things to do, too.
	mostJitter = 100 * time.Millisecond

	jitterScrapes     = 1000
	jitterConnections = 1000
	// jitterSlow is less than the connections that get an answer, of which the benchmark needs one.
	jitterSlow = 200
)

// BenchmarkAgentJitter is by how much sweeps begin after their slot while something else
// goes wrong or asks much, beside the same in quiet times: 100 bare cgroups, a sample and
// a document of each per second, a fake Elasticsearch, the spool on a disk of its own.
func BenchmarkAgentJitter(b *testing.B) {
	sweeps := int(windowLength(b) / 2 / interval)
	disk := lab.LoopDiskFor(b, 64)
	groups := newBareCgroups(b)
	if err := groups.grow(containers); err != nil {
		b.Fatal(err)
	}
	server := newFakeServer(b)
	agent := startAgent(b, buildAgent(b), nil, "-raw_cgroup_prefix_whitelist="+parent+"/", "-docker=", "-docker_root="+b.TempDir(),
		"-storage_driver=elasticsearch", "-storage_driver_es_host=http://"+server.address, "-spool-dir="+filepath.Join(disk, "spool"))
	if err := sleepUntil(b.Context(), time.Now().Add(10*time.Second)); err != nil {
		b.Fatal(err)
	}
	var lines []string
	var quiet time.Duration
	for b.Loop() {
		for i, w := range jitterWeathers(agent, server, disk) {
			end, err := w.begin(b.Context(), time.Duration(sweeps)*interval)
			if err != nil {
				b.Fatal(err)
			}
			_, missedBefore, err := jitter(b.Context(), agent.url)
			if err != nil {
				b.Fatal(err)
			}
			times, err := agent.watchSweeps(b.Context(), sweeps)
			if err != nil {
				b.Fatal(err)
			}
			_, missed, err := jitter(b.Context(), agent.url)
			if err != nil {
				b.Fatal(err)
			}
			note, err := end()
			if err != nil {
				b.Fatal(err)
			}
			p99 := quantile(times.late, 0.99)
			if i == 0 {
				quiet = p99
			}
			goal := "met"
			if p99 > quiet+goalJitter {
				goal = "missed"
			}
			lines = append(lines, fmt.Sprintf("%-34s %9.2f ms %9.2f ms %9.2f ms %7.0f %9s  %s", w.name, milliseconds(quantile(times.late, 0.5)),
				milliseconds(p99), milliseconds(slices.Max(times.late)), missed-missedBefore, goal, note))
			b.ReportMetric(milliseconds(p99), strings.ReplaceAll(w.name, " ", "-")+"-p99-ms")
			if p99 > quiet+mostJitter || missed > missedBefore {
				b.Errorf("%s: one sweep of a hundred begins %v late, %v in quiet times; %v slots missed", w.name, p99, quiet, missed-missedBefore)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // how long the benchmark took says nothing
	b.Logf("%s\nby how much sweeps begin after their slot, %d sweeps each; goal: 99 %% within the quiet figure and %v\n%-34s %12s %12s %12s %7s %9s\n%s",
		machine(), sweeps, goalJitter, "", "median", "99 %", "most", "missed", "goal", strings.Join(lines, "\n"))
}

// weather is what happens during some sweeps. begin starts it, and returns what ends it and
// says in a few words what it was.
type weather struct {
	name  string
	begin func(ctx context.Context, length time.Duration) (end func() (string, error), err error)
}

func jitterWeathers(a *agent, server *fakeServer, disk string) []weather {
	calm := func(note string) func() (string, error) { return func() (string, error) { return note, nil } }
	address := strings.TrimPrefix(a.url, "http://")
	crowd := func(come func() *lab.Crowd) func(context.Context, time.Duration) (func() (string, error), error) {
		return func(context.Context, time.Duration) (func() (string, error), error) {
			c := come()
			return func() (string, error) { return c.Leave(), nil }, nil
		}
	}
	return []weather{
		{"quiet", func(context.Context, time.Duration) (func() (string, error), error) { return calm(""), nil }},
		{"Elasticsearch dead", func(context.Context, time.Duration) (func() (string, error), error) {
			server.stop()
			return func() (string, error) { return "connections refused", server.start() }, nil
		}},
		{"Elasticsearch silent", func(context.Context, time.Duration) (func() (string, error), error) {
			server.silent.Store(true)
			return func() (string, error) {
				server.silent.Store(false)
				return "requests never answered", nil
			}, nil
		}},
		{"disk full", func(context.Context, time.Duration) (func() (string, error), error) {
			server.silent.Store(true) // nothing goes out meanwhile
			ballast := filepath.Join(disk, "ballast")
			return func() (string, error) {
				server.silent.Store(false)
				return "and Elasticsearch silent", os.Remove(ballast)
			}, lab.Fill(ballast)
		}},
		{"1,000 scrapes", func(ctx context.Context, length time.Duration) (func() (string, error), error) {
			ctx, cancel := context.WithCancel(ctx)
			var done atomic.Int64
			var failed atomic.Pointer[error]
			var asking sync.WaitGroup
			each := length / jitterScrapes
			began := time.Now()
			const clients = 4
			for i := range clients {
				asking.Go(func() {
					for n := i; n < jitterScrapes; n += clients {
						if sleepUntil(ctx, began.Add(time.Duration(n)*each)) != nil {
							return
						}
						if _, _, err := ask(ctx, a.url, questions[0]); err != nil && ctx.Err() == nil {
							failed.Store(&err)
							return
						}
						done.Add(1)
					}
				})
			}
			return func() (string, error) {
				cancel()
				asking.Wait()
				if err := failed.Load(); err != nil {
					return "", *err
				}
				return fmt.Sprintf("%d scrapes in %v", done.Load(), time.Since(began).Round(time.Second)), nil
			}, nil
		}},
		{"1,000 connections", func(ctx context.Context, _ time.Duration) (func() (string, error), error) {
			var open []net.Conn
			var err error
			for range jitterConnections {
				var c net.Conn
				if c, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address); err != nil {
					break
				}
				open = append(open, c)
			}
			return func() (string, error) {
				for _, c := range open {
					c.Close()
				}
				return fmt.Sprintf("%d opened, with nothing sent", len(open)), nil
			}, err
		}},
		{"1,000 streams", crowd(func() *lab.Crowd { return lab.OpenStreams(address, jitterConnections) })},
		{"slow clients", crowd(func() *lab.Crowd { return lab.SendSlowly(address, jitterSlow) })},
		{"large bodies", crowd(func() *lab.Crowd { return lab.SendMuch(address, 2) })},
	}
}

// fakeServer is a fake Elasticsearch that can go away, or stop answering.
type fakeServer struct {
	tb      testing.TB
	address string
	es      *estest.Server
	silent  atomic.Bool
	running *httptest.Server
}

func newFakeServer(tb testing.TB) *fakeServer {
	s := &fakeServer{tb: tb, es: estest.New()}
	s.es.OnBulk(func(int, int) estest.Fault {
		if s.silent.Load() {
			return estest.Fault{Delay: time.Hour, Reset: true} // until the client gives up
		}
		return estest.Fault{}
	})
	if err := s.start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.stop)
	return s
}

func (s *fakeServer) start() error {
	address := s.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.address = l.Addr().String()
	s.running = httptest.NewUnstartedServer(s.es)
	err = s.running.Listener.Close()
	s.running.Listener = l
	s.running.Start()
	return err
}

func (s *fakeServer) stop() {
	if s.running != nil {
		s.running.CloseClientConnections()
		s.running.Close()
		s.running = nil
	}
}
