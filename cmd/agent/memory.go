package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// gcPercent lets the heap grow by half before it is collected, instead of doubling. The
// loop allocates nothing, so collections are rare all the same (one in a minute or so),
// and a heap of four megabytes stays below six.
const gcPercent = 50

// moderateHeap is the heap from which on it may grow by less, down to largePercent: a node with
// ten thousand cgroups has 160 MiB in use, nearly all of it for good.
const (
	moderateHeap = 16 << 20
	largePercent = 15
)

// growth returns by how much a heap with so many bytes in use may grow, in percent.
func growth(used uint64) int {
	return int(max(largePercent, min(gcPercent, gcPercent*moderateHeap/max(1, used))))
}

// settleTime is when everything that the start has allocated and thrown away can be given
// back to the node: about two megabytes. settleEvery is when the same is done again with
// what bursts have left: many containers that came, a backlog that was sent.
const (
	settleTime  = 20 * time.Second
	settleEvery = 10 * time.Minute
)

// saveMemory keeps the agent small. It returns when ctx ends.
func saveMemory(ctx context.Context) {
	debug.SetGCPercent(gcPercent)
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			debug.FreeOSMemory()
			used := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
			metrics.Read(used)
			debug.SetGCPercent(growth(used[0].Value.Uint64()))
			unmapProgram()
			timer.Reset(settleEvery)
		case <-ctx.Done():
			return
		}
	}
}

// unmapProgram gives the pages of the program's file back to the kernel, which still has them
// in its cache and maps again what is run, with some pages around it. What only the start
// needs stays away: two of ten megabytes.
func unmapProgram() {
	self, err := procfs.Self()
	if err != nil {
		return // it runs as well with more
	}
	maps, err := self.ProcMaps()
	if err != nil {
		return
	}
	for _, m := range maps {
		if m.Inode != 0 && m.Perms.Read && !m.Perms.Write {
			unix.Syscall(unix.SYS_MADVISE, m.StartAddr, m.EndAddr-m.StartAddr, unix.MADV_DONTNEED)
		}
	}
}
