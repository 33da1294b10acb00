package lab

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Cost is what parsing a text took: the quickest of some runs, and the memory that was
// allocated in each, in times of the text's length.
type Cost struct {
	Time   time.Duration
	Memory float64
}

func (c Cost) String() string {
	return fmt.Sprintf("%v, and %.1f times its length allocated", c.Time, c.Memory)
}

// CheckCheap fails the test if parsing a text of 64 KiB takes more than 10 ms or 8 times its
// length in memory, and returns what it took.
func CheckCheap(t *testing.T, name string, text []byte, parse func([]byte)) Cost {
	t.Helper()
	const mostTime, mostMemory, mostWords = 10 * time.Millisecond, 8, 20
	// An emulated processor on a busy machine is slower than that with everything; there,
	// what splitting the text into words takes says how slow.
	cost, words := Cost{Time: time.Hour}, time.Hour
	slow := func() bool { return cost.Time > mostTime && cost.Time > mostWords*words }
	var allocated uint64
	runs := 0
	// A machine that does other things interrupts some runs, and not all of them.
	for ; runs < 5 || slow() && runs < 200; runs++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		parse(text)
		cost.Time = min(cost.Time, time.Since(began))
		runtime.ReadMemStats(&after)
		allocated += after.TotalAlloc - before.TotalAlloc
		began = time.Now()
		bytes.Fields(text)
		words = min(words, time.Since(began))
	}
	cost.Memory = float64(allocated) / float64(runs) / float64(len(text))
	if slow() || cost.Memory > mostMemory {
		t.Errorf("%s: %v; its words alone take %v", name, cost, words)
	}
	return cost
}
