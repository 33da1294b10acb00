package cgroup

import (
	"math"

	"github.com/swarmgauge/swarmgauge/metric"
)

// derive makes the numbers that no file has. It runs after the files were read.
func (k *sink) derive() {
	if k.stat {
		k.workingSet()
		k.kernelMemory()
	}
	if v, ok := k.get(metric.MemoryMaxEvents); ok {
		k.put(metric.MemoryFailures, v)
	}
	if all, ok := k.get(rawMemoryAndSwapLimit); ok {
		// v1 limits memory and swap together. A limit of both implies one of memory.
		if mem, ok := k.get(metric.MemoryLimit); ok && all >= mem {
			k.put(metric.MemorySwapLimit, all-mem)
		}
	}
	if weight, ok := k.get(metric.CPUWeight); ok && weight > 0 {
		k.put(metric.CPUShares, sharesOf(weight))
	}
}

// workingSet is what cAdvisor and docker stats show as memory in use: usage without
// the page cache that would be reclaimed first.
func (k *sink) workingSet() {
	usage, ok1 := k.get(metric.MemoryUsage)
	inactive, ok2 := k.get(metric.MemoryInactiveFile)
	if ok1 && ok2 {
		// Two files are read at two instants, so inactive may be the larger.
		k.put(metric.MemoryWorkingSet, usage-min(usage, inactive))
	}
}

// kernelMemory adds up v2's kernel memory where memory.stat doesn't (before Linux 5.18).
func (k *sink) kernelMemory() {
	if _, ok := k.get(metric.MemoryKernel); ok {
		return
	}
	stack, ok1 := k.get(rawKernelStack)
	slab, ok2 := k.get(metric.MemorySlab)
	if !ok1 || !ok2 {
		return
	}
	sum := stack + slab
	for _, id := range [...]metric.ID{rawPageTables, rawPerCPU, rawSock} {
		if v, ok := k.get(id); ok {
			sum += v
		}
	}
	k.put(metric.MemoryKernel, sum)
}

// sharesOf converts a v2 weight (1 … 10000, 100 is normal) into v1 shares (2 … 262144,
// 1024 is normal). Runtimes turn the user's shares into a weight; since runc 1.3.2
// (2025) by
//
//	weight = ⌈10^((l² + 125 l)/612 − 7/34)⌉ with l = log2(shares)
//
// of which this is the inverse, so that the smallest, the normal and the largest meet.
// Before, they did by a straight line that made 39 of the normal 1024; a container
// started so and with shares set shows fewer than were asked for. cAdvisor inverts the
// straight line, by which every container without shares has 2597.
func sharesOf(weight uint64) uint64 {
	c := 612 * (math.Log10(float64(weight)) + 7.0/34)
	l := (math.Sqrt(125*125+4*c) - 125) / 2
	return uint64(math.Round(math.Exp2(l)))
}
