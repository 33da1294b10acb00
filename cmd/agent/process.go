package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/web"
)

// runtimeNumber is a number of the Go runtime under the name that Prometheus' client library
// gives it: the sum of some of the runtime's own.
type runtimeNumber struct {
	name, help string
	counter    bool
	of         []string
}

// runtimeNumbers are those that cAdvisor shows of itself, but for the times of single
// collections, which are a summary; go_gc_cycles_total counts these here.
func runtimeNumbers() []runtimeNumber {
	const (
		objects  = "/memory/classes/heap/objects:bytes"
		unused   = "/memory/classes/heap/unused:bytes"
		free     = "/memory/classes/heap/free:bytes"
		released = "/memory/classes/heap/released:bytes"
		stacks   = "/memory/classes/heap/stacks:bytes"
		mcache   = "/memory/classes/metadata/mcache/inuse:bytes"
		mspan    = "/memory/classes/metadata/mspan/inuse:bytes"
		tiny     = "/gc/heap/tiny/allocs:objects"
	)
	return []runtimeNumber{
		{"go_gc_cycles_total", "Garbage collections.", true, []string{"/gc/cycles/total:gc-cycles"}},
		{"go_gc_gogc_percent", "By how much the heap may grow before it is collected.", false, []string{"/gc/gogc:percent"}},
		{"go_gc_gomemlimit_bytes", "Limit of the runtime's memory, 2^63-1 for none.", false, []string{"/gc/gomemlimit:bytes"}},
		{"go_goroutines", "Goroutines.", false, []string{"/sched/goroutines:goroutines"}},
		{"go_memstats_alloc_bytes", "Bytes of live objects and of those not swept yet.", false, []string{objects}},
		{"go_memstats_alloc_bytes_total", "Bytes of all objects that were ever made.", true, []string{"/gc/heap/allocs:bytes"}},
		{"go_memstats_buck_hash_sys_bytes", "Bytes that profiling takes.", false, []string{"/memory/classes/profiling/buckets:bytes"}},
		{"go_memstats_frees_total", "Objects that were freed.", true, []string{"/gc/heap/frees:objects", tiny}},
		{"go_memstats_gc_sys_bytes", "Bytes that the garbage collector takes.", false, []string{"/memory/classes/metadata/other:bytes"}},
		{"go_memstats_heap_alloc_bytes", "Bytes of live objects and of those not swept yet.", false, []string{objects}},
		{"go_memstats_heap_idle_bytes", "Bytes of the heap that hold nothing.", false, []string{released, free}},
		{"go_memstats_heap_inuse_bytes", "Bytes of the parts of the heap that hold something.", false, []string{objects, unused}},
		{"go_memstats_heap_objects", "Objects in the heap.", false, []string{"/gc/heap/objects:objects"}},
		{"go_memstats_heap_released_bytes", "Bytes of the heap that were given back to the kernel.", false, []string{released}},
		{"go_memstats_heap_sys_bytes", "Bytes of the heap.", false, []string{objects, unused, released, free}},
		{"go_memstats_mallocs_total", "Objects that were ever made.", true, []string{"/gc/heap/allocs:objects", tiny}},
		{"go_memstats_mcache_inuse_bytes", "Bytes that caches of threads take.", false, []string{mcache}},
		{"go_memstats_mcache_sys_bytes", "Bytes for caches of threads.", false, []string{mcache, "/memory/classes/metadata/mcache/free:bytes"}},
		{"go_memstats_mspan_inuse_bytes", "Bytes that descriptions of the heap take.", false, []string{mspan}},
		{"go_memstats_mspan_sys_bytes", "Bytes for descriptions of the heap.", false, []string{mspan, "/memory/classes/metadata/mspan/free:bytes"}},
		{"go_memstats_next_gc_bytes", "Size of the heap at which the next collection ends.", false, []string{"/gc/heap/goal:bytes"}},
		{"go_memstats_other_sys_bytes", "Bytes that the runtime takes for other things.", false, []string{"/memory/classes/other:bytes"}},
		{"go_memstats_stack_inuse_bytes", "Bytes of stacks.", false, []string{stacks}},
		{"go_memstats_stack_sys_bytes", "Bytes for stacks, the operating system's included.", false, []string{stacks, "/memory/classes/os-stacks:bytes"}},
		{"go_memstats_sys_bytes", "Bytes that the Go runtime has mapped.", false, []string{"/memory/classes/total:bytes"}},
		{"go_sched_gomaxprocs_threads", "Threads that may run Go code at once.", false, []string{"/sched/gomaxprocs:threads"}},
		{"go_threads", "Threads.", false, []string{"/sched/threads/total:threads"}},
	}
}

// runtimeFamilies are what the Go runtime says of the process.
func runtimeFamilies() []web.Family {
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	last := 0.0
	if !gc.LastGC.IsZero() {
		last = float64(gc.LastGC.UnixNano()) / 1e9
	}
	families := []web.Family{
		{Name: "go_info", Type: "gauge", Help: "1, with the version of Go.", Samples: []web.Point{{Label: "version", LabelValue: runtime.Version(), Value: 1}}},
		gauge("go_memstats_last_gc_time_seconds", "When the last collection ended, 0 before the first.", last),
	}
	var samples []metrics.Sample
	numbers := runtimeNumbers()
	for _, n := range numbers {
		for _, name := range n.of {
			samples = append(samples, metrics.Sample{Name: name})
		}
	}
	metrics.Read(samples)
	for _, n := range numbers {
		var sum uint64
		for range n.of {
			sum += samples[0].Value.Uint64()
			samples = samples[1:]
		}
		kind := gauge
		if n.counter {
			kind = counter
		}
		families = append(families, kind(n.name, n.help, float64(sum)))
	}
	return families
}

// processFamilies are what the kernel says of the process, under the names that Prometheus'
// client library gives it. What can't be read is left out.
func processFamilies() []web.Family {
	var families []web.Family
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err == nil {
		families = append(families, counter("process_cpu_seconds_total", "CPU time of the process.", float64(used.Utime.Nano()+used.Stime.Nano())/1e9))
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		families = append(families, gauge("process_max_fds", "Most descriptors that may be open.", float64(limit.Cur)))
	}
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err == nil {
		families = append(families, gauge("process_virtual_memory_max_bytes", "Most address space, 2^64-1 for any.", float64(limit.Cur)))
	}
	self, err := procfs.Self()
	if err != nil {
		return families
	}
	if n, err := self.FileDescriptorsLen(); err == nil {
		families = append(families, gauge("process_open_fds", "Open descriptors.", float64(n)))
	}
	if stat, err := self.Stat(); err == nil {
		families = append(families,
			gauge("process_resident_memory_bytes", "Memory of the process.", float64(stat.ResidentMemory())),
			gauge("process_virtual_memory_bytes", "Address space of the process.", float64(stat.VirtualMemory())))
		if began, err := stat.StartTime(); err == nil {
			families = append(families, gauge("process_start_time_seconds", "When the process began, in seconds since 1970.", began))
		}
	}
	if interfaces, err := self.NetDev(); err == nil {
		total := interfaces.Total()
		families = append(families,
			counter("process_network_receive_bytes_total", "Bytes that the process's network has received.", float64(total.RxBytes)),
			counter("process_network_transmit_bytes_total", "Bytes that the process's network has sent.", float64(total.TxBytes)))
	}
	return families
}
