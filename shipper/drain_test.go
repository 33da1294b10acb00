package shipper

import (
	"syscall"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// BenchmarkDrain fills the spool while the server is away and measures how it empties
// afterwards, with all lanes: documents a second, and the agent's own CPU time. The documents
// are whole ones, of a fleet of containers, or small ones of two numbers; the fake server is a
// process of its own, the real one the lab's.
func BenchmarkDrain(b *testing.B) {
	b.Run("fake/small", func(b *testing.B) { drain(b, fakeAddress(b), 100, 400, false) })
	b.Run("fake/whole", func(b *testing.B) { drain(b, fakeAddress(b), 100, 400, true) })
	b.Run("elasticsearch/small", func(b *testing.B) {
		drain(b, lab.ElasticsearchFor(b, lab.ElasticsearchConfig{}).URL(), 500, 100, false)
	})
	b.Run("elasticsearch/whole", func(b *testing.B) {
		drain(b, lab.ElasticsearchFor(b, lab.ElasticsearchConfig{}).URL(), 500, 100, true)
	})
}

// fakeAddress starts the fake in a process of its own, until the benchmark ends.
func fakeAddress(b *testing.B) string {
	address, stop, _ := startServer(b)
	b.Cleanup(stop)
	return address
}

func drain(b *testing.B, address string, docs, batches int, whole bool) {
	o := testOptions(b, nil)
	gone := &away{next: newTransport(nil, defaultTimeouts(), nil)}
	o.Addresses, o.Transport = []string{address}, gone
	s, _ := start(b, o)
	windows, load := fleet(docs), newLoad(docs)
	used := func() time.Duration {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var stored, total int64
	var took, cpu time.Duration
	round := func() {
		gone.is.Store(true)
		for range batches {
			if whole {
				for _, w := range windows {
					w.Last.Time, w.Slot = w.Last.Time+int64(testInterval), w.Slot+int64(testInterval)
					s.Put(documentNode, w)
				}
				s.Flush(windows[0].Slot)
			} else {
				load.tick(s)
			}
			for v := s.Stats(); v.Batches < stored+1; v = s.Stats() {
				time.Sleep(100 * time.Microsecond)
			}
			stored++
		}
		disk := s.Stats().SpoolBytes
		b.ReportMetric(float64(disk)/float64(docs*batches), "disk-B/doc")
		begin, before := time.Now(), used()
		gone.is.Store(false)
		for s.Stats().Pending > 0 {
			time.Sleep(time.Millisecond)
		}
		took, cpu = took+time.Since(begin), cpu+used()-before
		total += int64(docs * batches)
	}
	round() // a server that has just started is slow
	total, took, cpu = 0, 0, 0
	for b.Loop() {
		round()
	}
	if v := s.Stats(); v.Indexed != v.Sampled || v.Dead+v.DuplicatesUnexpected != 0 {
		b.Errorf("%+v", v)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(total)/took.Seconds(), "docs/s")
	b.ReportMetric(cpu.Seconds()*1e6/float64(total), "agent-CPU-µs/doc")
}
