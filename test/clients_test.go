package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Clients that want a thousand streams, that send a byte now and then, and that send bodies
// without end are all refused, and sampling doesn't notice. By how much sweeps come later
// meanwhile, the benchmark AgentJitter tells.
func TestSamplingNoticesNoClient(t *testing.T) {
	a := startAgent(t, "-docker=", "-spool-dir="+t.TempDir())
	address := strings.TrimPrefix(a.URL, "http://")
	number := func(name string) (n float64) {
		t.Helper()
		waitFor(t, time.Minute, name, func() error {
			text, err := httpGet(t, a.URL+"/metrics")
			if err != nil {
				return err
			}
			n, err = metricOf(text, name)
			return err
		})
		return n
	}
	const sweeps, missed, latest = "swarmgauge_sweeps_total", "swarmgauge_slots_missed_total", "swarmgauge_sweep_late_most_seconds"
	missedBefore, latestBefore, sweepsBefore := number(missed), number(latest), number(sweeps)

	began := time.Now()
	crowds := map[string]*lab.Crowd{
		"streams":       lab.OpenStreams(address, 1000),
		"slow requests": lab.SendSlowly(address, 100),
		"large bodies":  lab.SendMuch(address, 4),
	}
	for _, c := range crowds {
		t.Cleanup(func() { c.Leave() })
	}
	for name, refusals := range map[string][]string{
		"streams":       {"200 OK", "503 Service Unavailable"},
		"slow requests": {"cut off"},
		"large bodies":  {"413 Request Entity Too Large"},
	} {
		for _, refusal := range refusals {
			waitFor(t, time.Minute, name+": "+refusal, func() error {
				if answers := crowds[name].Answers(); answers[refusal] == 0 {
					return fmt.Errorf("%v", answers)
				}
				return nil
			})
		}
	}
	time.Sleep(5 * time.Second)
	if text, err := httpGet(t, a.URL+"/healthz"); err != nil || text != "ok" {
		t.Errorf("health: %q, %v", text, err)
	}
	for name, c := range crowds {
		t.Logf("%s: %s", name, c.Leave())
	}
	made, due := number(sweeps)-sweepsBefore, time.Since(began).Seconds()
	t.Logf("%.0f sweeps in %.1f s, the latest of them %.1f ms after its slot, %.1f ms before", made, due, number(latest)*1000, latestBefore*1000)
	if n := number(missed) - missedBefore; n != 0 || made < due-2 {
		t.Errorf("%.0f sweeps in %.1f s, %.0f slots missed", made, due, n)
	}
}
