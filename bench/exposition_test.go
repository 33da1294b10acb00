package bench

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// exposition is what /metrics says: values by name and labels, as they are written.
type exposition map[string]float64

// scrape gets /metrics of the server at url.
func scrape(url string) (exposition, error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s/metrics: %s: %s", url, response.Status, body)
	}
	return parseExposition(string(body))
}

// parseExposition reads the Prometheus text format without timestamps, which is what
// the agent writes:
//
//	# HELP swarmgauge_sweeps_total Sweeps over all containers.
//	# TYPE swarmgauge_sweeps_total counter
//	swarmgauge_sweeps_total 61
//	swarmgauge_build_info{version="v1.0"} 1
func parseExposition(text string) (exposition, error) {
	e := exposition{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		if space < 0 {
			return nil, fmt.Errorf("no value in %q", line)
		}
		v, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		e[line[:space]] = v
	}
	return e, nil
}

// names of the agent's metrics that are needed.
const (
	metricSweeps       = "swarmgauge_sweeps_total"
	metricSweepSeconds = "swarmgauge_sweep_seconds_total"
	metricLate         = "swarmgauge_sweep_late_seconds"
	metricMissed       = "swarmgauge_slots_missed_total"
	metricSamples      = "swarmgauge_samples_total"
	metricIndexed      = "swarmgauge_documents_indexed_total"
	metricDead         = "swarmgauge_documents_dead_total"
	metricCollections  = "go_gc_cycles_total"
)

// has tells which of the names are missing.
func (e exposition) has(names ...string) error {
	var missing []error
	for _, name := range names {
		if _, ok := e[name]; !ok {
			missing = append(missing, fmt.Errorf("/metrics has no %s", name))
		}
	}
	return errors.Join(missing...)
}

func TestParseExposition(t *testing.T) {
	got, err := parseExposition("# HELP a b c\n# TYPE a counter\na 61\nb{v=\"x y\"} 1e-3\n\nc 0")
	if want := (exposition{"a": 61, `b{v="x y"}`: 0.001, "c": 0}); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if err := got.has("a", "d"); err == nil || !strings.Contains(err.Error(), "no d") {
		t.Errorf("d is missing: %v", err)
	}
	f := func(text string) {
		t.Helper()
		if got, err := parseExposition(text); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	f("a\n")
	f("a b\n")
	f("a 1 x\n")
}
