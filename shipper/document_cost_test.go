package shipper

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/swarmgauge/swarmgauge/metric"
)

// fleet returns windows of n containers of several services, as busy as those of a
// usual node: one in ten works hard, one in three a little, the others hardly.
func fleet(n int) []*metric.Window {
	r := rand.New(rand.NewPCG(3, 4))
	grown := func(most float64) uint64 { return uint64(r.Float64() * most) }
	var windows []*metric.Window
	for i := range n {
		c := documentContainer()
		c.ID = fmt.Sprintf("%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
		c.Path = "/docker/" + c.ID
		c.Instance = uint64(10000 + i)
		c.Swarm.ServiceName = []string{"shop_web", "shop_api", "shop_db", "mail_smtp", "mon_push"}[i%5]
		c.Swarm.TaskID = fmt.Sprintf("%012x%012x", r.Uint64()>>16, r.Uint64()>>16)
		c.Swarm.TaskName = fmt.Sprintf("%s.%d.%s", c.Swarm.ServiceName, i, c.Swarm.TaskID)
		c.Swarm.Slot = i
		c.Name = c.Swarm.TaskName
		w := &metric.Window{Last: new(metric.Sample), Slot: slotTime, Container: c, Samples: 10, HasPeakCPU: true, HasPeakMemory: true}
		busy := []float64{1, .05, .05, .05, .001, .001, .001, .001, .001, .001}[i%10]
		w.First.CopyFrom(fullSample(slotTime - 10e9))
		w.Last.CopyFrom(fullSample(slotTime + int64(grown(5e6))))
		var unread metric.Set // what a container of cgroup v2 on a plain disk hasn't
		for id := range metric.ID(metric.NumIDs) {
			switch id.Per() {
			case metric.PerCPU, metric.PerFilesystem, metric.PerNode,
				metric.PerHugePage, metric.PerNUMANode, metric.PerSocket, metric.PerTCP, metric.PerCache:
				unread.Add(id)
			case metric.PerContainer:
				if isSlow(id) { // by default
					unread.Add(id)
				}
			case metric.PerDevice:
				if id > metric.DiskDiscardOperations {
					unread.Add(id)
				}
			}
		}
		for _, id := range []metric.ID{
			metric.CPUQuota, metric.MemoryReservation, metric.MemoryMin, metric.MemoryHigh, metric.MemorySwapLimit,
		} {
			unread.Add(id)
		}
		for _, s := range []*metric.Sample{&w.First, w.Last} {
			for row, key := range []metric.Key{{Name: "eth0"}, {Name: "eth1"}} {
				*s.Key(metric.PerInterface, row) = key
			}
			s.Forget(&unread)
			s.DropEmptyRows()
			*s.Key(metric.PerDevice, 1) = metric.Key{Name: "nvme1n1", Major: 259, Minor: 1}
		}
		gauge := func(id metric.ID, v uint64) { w.First.Put(id, v); w.Last.Put(id, v) }
		counter := func(id metric.ID, row int, total, flow float64) {
			before := grown(total)
			w.First.PutRow(id, row, before)
			w.Last.PutRow(id, row, before+grown(flow))
		}
		us := func(id metric.ID, total, flow float64) { // the kernel counts microseconds
			before := grown(total) / 1000 * 1000
			w.First.Put(id, before)
			w.Last.Put(id, before+grown(flow)/1000*1000)
		}
		us(metric.CPUUsage, 1e13*busy, 1e10*busy)
		us(metric.CPUUser, 8e12*busy, 8e9*busy)
		us(metric.CPUSystem, 2e12*busy, 2e9*busy)
		us(metric.PressureCPUSome, 1e11*busy, 1e9*busy)
		gauge(metric.CPUPeriod, 100000)
		gauge(metric.CPUShares, 1024)
		gauge(metric.CPUWeight, 100)
		gauge(metric.CPUSetCPUs, 4)
		pages := func(most float64) uint64 { return grown(most) / 4096 * 4096 }
		anon, file := pages(2e8), pages(1e8)
		gauge(metric.MemoryUsage, anon+file+pages(1e7))
		gauge(metric.MemoryWorkingSet, anon+pages(5e7))
		gauge(metric.MemoryRSS, anon)
		gauge(metric.MemoryCache, file)
		gauge(metric.MemoryMappedFile, file/3/4096*4096)
		gauge(metric.MemoryKernel, pages(1e7))
		gauge(metric.MemoryInactiveAnon, anon)
		gauge(metric.MemoryActiveFile, file/2/4096*4096)
		gauge(metric.MemoryInactiveFile, file/2/4096*4096)
		gauge(metric.MemorySlab, pages(5e6))
		gauge(metric.MemoryPeak, anon+file+pages(2e7))
		gauge(metric.MemoryLimit, 1<<30)
		counter(metric.MemoryPageFaults, 0, 1e7*busy, 1e4*busy)
		gauge(metric.PidsCurrent, 5+grown(20))
		gauge(metric.PidsLimit, 1000)
		counter(metric.NetworkReceiveBytes, 0, 1e10*busy, 1e7*busy)
		counter(metric.NetworkReceivePackets, 0, 1e7*busy, 1e4*busy)
		counter(metric.NetworkTransmitBytes, 0, 1e10*busy, 1e7*busy)
		counter(metric.NetworkTransmitPackets, 0, 1e7*busy, 1e4*busy)
		counter(metric.NetworkReceiveBytes, 1, 1e3, 0)
		counter(metric.NetworkReceivePackets, 1, 1e1, 0)
		sectors := func(id metric.ID, total, flow float64) {
			before := grown(total) / 4096 * 4096
			w.First.PutRow(id, 0, before)
			w.Last.PutRow(id, 0, before+grown(flow)/4096*4096)
		}
		sectors(metric.DiskReadBytes, 1e8, 0)
		counter(metric.DiskReadOperations, 0, 1e3, 0)
		sectors(metric.DiskWriteBytes, 1e9*busy, 1e6*busy)
		counter(metric.DiskWriteOperations, 0, 1e5*busy, 1e2*busy)
		w.PeakCPU = grown(2e9 * busy)
		w.PeakWorkingSet, _ = w.Last.Get(metric.MemoryWorkingSet)
		windows = append(windows, w)
	}
	return windows
}

func TestDocumentAllocs(t *testing.T) {
	e := NewEncoder(documentOptions)
	windows, nw := fleet(20), nodeWindow()
	var dst []byte
	if n := testing.AllocsPerRun(50, func() {
		for _, w := range windows {
			dst = e.AppendContainer(dst[:0], documentNode, w)
			w.Last.Time, w.Slot = w.Last.Time+10e9, w.Slot+10e9
		}
		dst = e.AppendNode(dst[:0], documentNode, nw)
		for per := metric.PerInterface; per <= metric.PerFilesystem; per++ {
			if per == metric.PerCPU {
				continue
			}
			for row := range nw.Last.Rows(per) {
				dst = e.AppendRow(dst[:0], documentNode, nw, per, row)
			}
		}
		nw.Last.Time, nw.Slot = nw.Last.Time+10e9, nw.Slot+10e9
	}); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}

// The action line before each document is the shipper's, and alike in all.
const bulkAction = `{"create":{"_index":"cadvisor-2026.11.22","_id":"AZrHkq2Qm0QAAAAAAAAAAQ%06d"}}` + "\n"

func bulkBody(e *Encoder, dst []byte, windows []*metric.Window) []byte {
	for i, w := range windows {
		dst = fmt.Appendf(dst, bulkAction, i)
		dst = e.AppendContainer(dst, documentNode, w)
		dst = append(dst, '\n')
	}
	return dst
}

func gzippedLen(t testing.TB, text []byte) int {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, 3)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(text)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}

func TestDocumentSize(t *testing.T) {
	const most = 700 // bytes per document, gzipped: a bound against regressions
	e := NewEncoder(documentOptions)
	windows := fleet(100)
	text := bulkBody(e, nil, windows)
	size := gzippedLen(t, text) / len(windows)
	t.Logf("%d bytes per document, %d gzipped", len(text)/len(windows), size)
	if size > most {
		t.Errorf("a document has %d bytes gzipped, more than %d", size, most)
	}
	if !strings.Contains(string(text), `"container.memory.limit_usage":`) {
		t.Error("the fleet's documents are not whole")
	}
}

func BenchmarkAppendContainer(b *testing.B) {
	e := NewEncoder(documentOptions)
	windows := fleet(100)
	var dst []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst = e.AppendContainer(dst[:0], documentNode, windows[i%len(windows)])
	}
	b.SetBytes(int64(len(dst)))
}

func BenchmarkAppendNode(b *testing.B) {
	e := NewEncoder(documentOptions)
	w := nodeWindow()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = e.AppendNode(dst[:0], documentNode, w)
	}
}
