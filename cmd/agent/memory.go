package main

import (
	"context"
	"runtime/debug"
	"time"
)

// gcPercent lets the heap grow by half before it is collected, instead of doubling. The
// loop allocates nothing, so collections are rare all the same (one in a minute or so),
// and a heap of four megabytes stays below six.
const gcPercent = 50

// settleTime is when everything that the start has allocated and thrown away can be given
// back to the node: about two megabytes.
const settleTime = 20 * time.Second

// saveMemory keeps the agent small. It returns when ctx ends.
func saveMemory(ctx context.Context) {
	debug.SetGCPercent(gcPercent)
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		debug.FreeOSMemory()
	case <-ctx.Done():
	}
}
