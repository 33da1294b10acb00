package docker

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Whatever a record holds, to decode it takes time and memory by its length.
func TestDecodersAreCheap(t *testing.T) {
	f := func(name string, b []byte, id string) {
		t.Helper()
		best := time.Hour
		limit := time.Duration(float64(20*time.Millisecond) * float64(len(b)) / (64 << 10))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		runs := 0
		// A machine that does other things interrupts some runs, and not all of them.
		for ; runs < 5 || best > limit && runs < 200; runs++ {
			began := time.Now()
			if r, err := decodeRecord(b, id, []string{"S"}); err == nil {
				r.container("/docker/" + id)
			}
			decodeFilesRecord(b, id)
			best = min(best, time.Since(began))
		}
		runtime.ReadMemStats(&after)
		perLength := float64(after.TotalAlloc-before.TotalAlloc) / float64(runs) / float64(len(b))
		for64 := time.Duration(float64(best) * (64 << 10) / float64(len(b)))
		t.Logf("%s: %d bytes in %v (%v for 64 KiB), %.1f times the length allocated", name, len(b), best, for64, perLength)
		// encoding/json needs eleven times the length for a map of small labels, and for its
		// own stack of open brackets.
		if best > limit || perLength > 16 {
			t.Errorf("%s: %v for 64 KiB, %.1f times the length allocated", name, for64, perLength)
		}
	}
	for _, engine := range engines() {
		f(engine, fixture(t, engine, "web", "config.v2.json"), told(t, engine, "web").ID)
	}
	var labels []string
	for i := range 10000 {
		labels = append(labels, fmt.Sprintf(`"label.%d":"value"`, i))
	}
	f("many labels", []byte(`{"ID":"x","Config":{"Labels":{`+strings.Join(labels, ",")+`}}}`), "x")
	f("a long label", []byte(`{"ID":"x","Config":{"Labels":{"a":"`+strings.Repeat("ä", 1<<19)+`"}}}`), "x")
	f("nested", []byte(strings.Repeat("[", 64<<10)), "x")
	f("escapes", []byte(`{"ID":"x","Name":"`+strings.Repeat(`\u00ff`, 16<<10)+`"}`), "x")
}

func FuzzLabels(f *testing.F) {
	f.Add("com.docker.swarm.task.name", "web.1.x", "a.b", "1")
	f.Add("a\x00", "</script>", "a ", "\n")
	f.Add("", "{{.}}", "\xff", strings.Repeat("x", 2000))
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string) {
		m := map[string]string{key1: value1, key2: value2, "com.docker.compose.project": "shop"}
		checkLabels(t, labels(m))
		swarmOf(m)
	})
}

func FuzzFilesRecord(f *testing.F) {
	for _, engine := range engines() {
		f.Add(fixture(f, engine, "web", "config.v2.json"))
	}
	f.Add([]byte(`{"ID":"x","Driver":"overlay2","MountPoints":{"/":{"Name":"../x","Driver":"local"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeFilesRecord(b, "x"); err == nil && r.ID != "x" {
			t.Errorf("a record of %q", r.ID)
		}
	})
}
