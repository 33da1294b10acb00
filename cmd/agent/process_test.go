package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What cAdvisor shows of itself is there, one summary apart, and says what is known of this
// process.
func TestProcessFamilies(t *testing.T) {
	kinds, values := map[string]string{}, map[string]float64{}
	for _, f := range append(runtimeFamilies(), processFamilies()...) {
		if kinds[f.Name] != "" || len(f.Samples) != 1 {
			t.Errorf("%s is there twice, or has %d values", f.Name, len(f.Samples))
		}
		kinds[f.Name], values[f.Name] = f.Type, f.Samples[0].Value
	}
	text, err := os.ReadFile("testdata/cadvisor-process-families.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kinds[name] != kind && name != "go_gc_duration_seconds" {
			t.Errorf("%s is a %s in cAdvisor, here %q", name, kind, kinds[name])
		}
	}
	between := func(name string, least, most float64) {
		t.Helper()
		if v := values[name]; v < least || v > most {
			t.Errorf("%s is %v, want %v … %v", name, v, least, most)
		}
	}
	const mib, gib = 1 << 20, 1 << 30
	now := float64(time.Now().Unix())
	between("process_start_time_seconds", now-600, now+1)
	between("process_resident_memory_bytes", mib, gib)
	between("process_virtual_memory_bytes", values["process_resident_memory_bytes"], 1<<47)
	between("process_open_fds", 3, values["process_max_fds"])
	between("process_cpu_seconds_total", 0.001, 600)
	between("go_sched_gomaxprocs_threads", float64(runtime.GOMAXPROCS(0)), float64(runtime.GOMAXPROCS(0)))
	between("go_memstats_heap_sys_bytes", values["go_memstats_heap_inuse_bytes"], values["go_memstats_sys_bytes"])
	between("go_memstats_frees_total", 0, values["go_memstats_mallocs_total"])
	between("go_threads", 1, 1000)
}
