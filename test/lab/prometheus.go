package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// PrometheusVersion says which server it is.
type PrometheusVersion string

const (
	// PrometheusOfDebian is that of Debian's package, 2.42 in bookworm.
	PrometheusOfDebian PrometheusVersion = ""
	// Prometheus3 is version 3.16, made from its sources, whose tags are written so.
	Prometheus3 PrometheusVersion = "v0.316.0"
)

// PrometheusConfig says what a server scrapes.
type PrometheusConfig struct {
	Version PrometheusVersion
	// Targets are addresses ("127.0.0.1:8080"), by the name of their job.
	Targets map[string]string
	// Interval is the time between two scrapes; 15 s where zero, as in Prometheus.
	Interval time.Duration
}

// PrometheusServer is a Prometheus server with its data in a folder of its own.
type PrometheusServer struct {
	dir    string // configuration, data and log
	addr   netip.AddrPort
	daemon *daemon
}

const (
	prometheusStart = time.Minute
	prometheusStop  = 20 * time.Second
)

// prometheusBinary is the server of Debian's package, which isn't installed for it: that would
// bring a service and the files of its web pages.
func prometheusBinary() artefact {
	return artefact{
		name:   "prometheus",
		recipe: "the binary of the package prometheus",
		build: func(ctx context.Context, path string) (err error) {
			temp, err := os.MkdirTemp("", "swarmgauge-prometheus-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
			if err := unpackPackage(ctx, "prometheus", temp); err != nil {
				return err
			}
			return run(ctx, "cp", filepath.Join(temp, "usr/bin/prometheus"), path)
		},
	}
}

// prometheusFromSource is a server without its pages, and without the discovery of targets in
// clouds, which is half of the code. Go checks the sources against its database of checksums.
func prometheusFromSource(v PrometheusVersion) artefact {
	const tags, program = "remove_all_sd", "github.com/prometheus/prometheus/cmd/prometheus"
	return artefact{
		name:   "prometheus-" + string(v),
		recipe: "go install -tags " + tags,
		build: func(ctx context.Context, path string) (err error) {
			temp, err := os.MkdirTemp("", "swarmgauge-prometheus-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
			install := command(ctx, "go", "install", "-trimpath", "-tags", tags, "-ldflags", "-s -w", program+"@"+string(v))
			install.Dir = temp // not in a module
			install.Env = append(install.Env, "CGO_ENABLED=0", "GOFLAGS=", "GOBIN="+temp)
			if _, err := output(install); err != nil {
				return err
			}
			return run(ctx, "cp", filepath.Join(temp, "prometheus"), path)
		},
	}
}

func (v PrometheusVersion) binary() artefact {
	if v == PrometheusOfDebian {
		return prometheusBinary()
	}
	return prometheusFromSource(v)
}

// StartPrometheus starts a server on a free port of the loopback and waits until it is ready.
// The end of ctx ends the waiting, not the server.
func StartPrometheus(ctx context.Context, c PrometheusConfig) (s *PrometheusServer, err error) {
	binary, err := c.Version.binary().get(ctx)
	if err != nil {
		return nil, err
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	ports, err := freePorts(loopback, 1)
	if err != nil {
		return nil, err
	}
	s = &PrometheusServer{addr: netip.AddrPortFrom(loopback, uint16(ports[0]))}
	if s.dir, err = os.MkdirTemp("", "swarmgauge-prometheus-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	config := filepath.Join(s.dir, "prometheus.yml")
	if err := os.WriteFile(config, c.yaml(), 0o644); err != nil {
		return nil, err
	}
	// On a small machine it must not take the time of the containers whose use it measures.
	cmd := command(context.Background(), "nice", "-n", "19", binary,
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(s.dir, "data"),
		"--web.listen-address="+s.addr.String())
	if s.daemon, err = startDaemon(cmd, s.log()); err != nil {
		return nil, fmt.Errorf("start prometheus: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, prometheusStart)
	defer cancel()
	return s, s.daemon.waitFor(ctx, func(ctx context.Context) error {
		_, err := s.get(ctx, "/-/ready")
		return err
	})
}

// PrometheusFor is [Need] and [StartPrometheus] for a test, which ends the server with its own
// end.
func PrometheusFor(tb testing.TB, c PrometheusConfig) *PrometheusServer {
	tb.Helper()
	Need(tb, Prometheus)
	s, err := StartPrometheus(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, s)
	return s
}

// yaml returns the configuration. JSON is YAML.
func (c PrometheusConfig) yaml() []byte {
	var jobs []any
	for name, target := range c.Targets {
		jobs = append(jobs, map[string]any{
			"job_name":       name,
			"static_configs": []any{map[string]any{"targets": []string{target}}},
		})
	}
	global := map[string]any{}
	if c.Interval > 0 {
		d := strconv.FormatInt(c.Interval.Milliseconds(), 10) + "ms"
		global["scrape_interval"], global["scrape_timeout"] = d, d
	}
	text, err := json.Marshal(map[string]any{"global": global, "scrape_configs": jobs})
	if err != nil {
		panic(err) // strings and maps can be encoded
	}
	return text
}

// A PrometheusSample is an element of a vector.
type PrometheusSample struct {
	Labels map[string]string
	Value  float64
	Time   time.Time
}

// Query evaluates an expression whose result is a vector or a scalar, now.
func (s *PrometheusServer) Query(ctx context.Context, expression string) ([]PrometheusSample, error) {
	body, err := s.get(ctx, "/api/v1/query?query="+url.QueryEscape(expression))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	var answer struct {
		Data struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	type pair [2]any // seconds, and the value as text
	var vector []struct {
		Metric map[string]string
		Value  pair
	}
	if err = json.Unmarshal(body, &answer); err == nil {
		switch answer.Data.ResultType {
		case "vector":
			err = json.Unmarshal(answer.Data.Result, &vector)
		case "scalar":
			vector = append(vector, struct {
				Metric map[string]string
				Value  pair
			}{})
			err = json.Unmarshal(answer.Data.Result, &vector[0].Value)
		default:
			err = fmt.Errorf("a %s is no vector", answer.Data.ResultType)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	samples := make([]PrometheusSample, len(vector))
	for i, v := range vector {
		seconds, _ := v.Value[0].(float64)
		text, _ := v.Value[1].(string)
		samples[i] = PrometheusSample{Labels: v.Metric, Time: time.UnixMilli(int64(seconds * 1000))}
		if samples[i].Value, err = strconv.ParseFloat(text, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", expression, err)
		}
	}
	return samples, nil
}

// Metrics returns the server's own metrics, in the text format.
func (s *PrometheusServer) Metrics(ctx context.Context) (string, error) {
	body, err := s.get(ctx, "/metrics")
	return string(body), err
}

// Warnings returns the lines of the server's log that are no news.
func (s *PrometheusServer) Warnings() ([]string, error) {
	text, err := os.ReadFile(s.log())
	if err != nil {
		return nil, err
	}
	var warnings []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "level=info") && !strings.Contains(line, "level=INFO") {
			warnings = append(warnings, strings.TrimSpace(line))
		}
	}
	return warnings, nil
}

func (s *PrometheusServer) log() string { return filepath.Join(s.dir, "output.log") }

func (s *PrometheusServer) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr.String()+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, tail(string(body)))
	}
	return body, err
}

// Close ends the server and removes its data.
func (s *PrometheusServer) Close() error {
	var err error
	if s.daemon != nil {
		err = s.daemon.stop(prometheusStop)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
