package bench

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// What has to hold, and what is aimed at.
const (
	mostPerSample = 80 * time.Microsecond // CPU time; the line that fails the benchmark
	goalPerSample = 60 * time.Microsecond
	goalRatio     = 1.7 // to the floor
	goalPSS       = 12 << 20
)

// windowLength returns for how long an agent is watched: 60 s, or what BENCH_SECONDS says.
func windowLength(tb testing.TB) time.Duration {
	tb.Helper()
	const shortest, standard = 10, 60
	n, err := strconv.Atoi(cmp.Or(os.Getenv("BENCH_SECONDS"), strconv.Itoa(standard)))
	if err != nil || n < shortest {
		tb.Fatalf("BENCH_SECONDS=%q: want a number of seconds, %d at least", os.Getenv("BENCH_SECONDS"), shortest)
	}
	return time.Duration(n) * time.Second
}

// machine describes where this runs, in one line.
func machine() string {
	model, cpus := "unknown CPU", 0
	if root, err := procfs.NewDefaultFS(); err == nil {
		if info, err := root.CPUInfo(); err == nil && len(info) > 0 {
			model, cpus = info[0].ModelName, len(info)
		}
	}
	kernel := "unknown kernel"
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		kernel = "Linux " + unix.ByteSliceToString(name.Release[:])
	}
	return fmt.Sprintf("%s: %s, %d × %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"), kernel, cpus, model)
}

// micros prints a duration as µs.
func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1e3) }

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// quantile returns the value that a share q of the durations doesn't exceed; it sorts them.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// verdict is one line of the result: what was measured, what was aimed at.
type verdict struct {
	what, value, goal string
	met               bool
}

// table lines the verdicts up.
func table(verdicts []verdict) string {
	var b strings.Builder
	for _, v := range verdicts {
		outcome := "missed"
		if v.met {
			outcome = "met"
		}
		if v.goal == "" {
			outcome = ""
		}
		line := fmt.Sprintf("%-48s %12s   %-14s %s", v.what, v.value, v.goal, outcome)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func TestQuantile(t *testing.T) {
	f := func(q float64, want time.Duration, all ...time.Duration) {
		t.Helper()
		if got := quantile(all, q); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	f(0.5, 0)
	f(0.5, 7, 7)
	f(0.5, 3, 5, 1, 3, 2, 4)
	f(0.99, 5, 5, 1, 3, 2, 4)
	f(0, 1, 5, 1, 3)
}

func TestTable(t *testing.T) {
	got := table([]verdict{{"time", micros(58_340), "60 µs", true}, {"PSS", mebibytes(13 << 20), "12 MiB", false}, {"documents", "100", "", false}})
	want := "time                                                  58.3 µs   60 µs          met\n" +
		"PSS                                                  13.0 MiB   12 MiB         missed\n" +
		"documents                                                 100\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
