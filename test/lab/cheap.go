package lab

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Cost is what parsing a text took: the time of the quickest of some runs, in times of what
// splitting the text into words takes the same machine, and the memory that was allocated
// in each, in times of the text's length.
type Cost struct{ Time, Memory float64 }

// Max returns the larger of both costs.
func (c Cost) Max(d Cost) Cost { return Cost{max(c.Time, d.Time), max(c.Memory, d.Memory)} }

func (c Cost) String() string {
	return fmt.Sprintf("%.1f times the time of its words, and %.1f times its length allocated", c.Time, c.Memory)
}

// CheckCheap fails the test if parsing a text takes more than 10 times the time of
// [bytes.Fields] or 8 times its length in memory, and returns what it took. 64 KiB of words
// are split in 0.2 ms where a processor isn't emulated.
func CheckCheap(t *testing.T, name string, text []byte, parse func([]byte)) Cost {
	t.Helper()
	const mostTime, mostMemory = 10, 8
	quickest := func(before time.Duration, f func([]byte)) time.Duration {
		began := time.Now()
		f(text)
		return min(before, time.Since(began))
	}
	parsing, words := time.Hour, time.Hour
	var allocated uint64
	runs := 0
	// A machine that does other things interrupts some runs, and not all of them.
	for ; runs < 5 || parsing > mostTime*words && runs < 200; runs++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		parsing = quickest(parsing, parse)
		runtime.ReadMemStats(&after)
		allocated += after.TotalAlloc - before.TotalAlloc
		words = quickest(words, func(b []byte) { bytes.Fields(b) })
	}
	cost := Cost{float64(parsing) / float64(words), float64(allocated) / float64(runs) / float64(len(text))}
	if cost.Time > mostTime || cost.Memory > mostMemory {
		t.Errorf("%s: %v (%v)", name, cost, parsing)
	}
	return cost
}
