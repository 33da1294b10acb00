package lab

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What a target says can be asked for, and what is wrong with it is heard of.
func TestPrometheus(t *testing.T) {
	var backwards atomic.Bool
	now := time.Now()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ms, value := time.Now().UnixMilli(), 7
		if backwards.Load() {
			ms, value = now.UnixMilli(), 8
		}
		fmt.Fprintf(w, "a{b=\"c\"} %d %d\n", value, ms)
	}))
	defer target.Close()
	s := PrometheusFor(t, PrometheusConfig{Interval: 200 * time.Millisecond, Targets: map[string]string{"job": strings.TrimPrefix(target.URL, "http://")}})
	ctx := t.Context()
	wait := func(what string, ready func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !ready(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("waited in vain for " + what)
			}
		}
	}
	wait("a value", func() bool {
		got, err := s.Query(ctx, `a{job="job"}`)
		return err == nil && len(got) == 1 && got[0].Value == 7 && got[0].Labels["b"] == "c" && time.Since(got[0].Time) < time.Minute
	})
	if got, err := s.Query(ctx, "scalar(a) * 6"); err != nil || len(got) != 1 || got[0].Value != 42 {
		t.Errorf("a scalar: %v, %v", got, err)
	}
	if got, err := s.Query(ctx, "nothing"); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v, %v", got, err)
	}
	for _, bad := range []string{"a[1m]", "a{"} {
		if got, err := s.Query(ctx, bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, %v", bad, got, err)
		}
	}
	if warnings, err := s.Warnings(); err != nil || len(warnings) > 0 {
		t.Errorf("warnings %q, %v", warnings, err)
	}
	backwards.Store(true)
	wait("a warning", func() bool {
		warnings, err := s.Warnings()
		return err == nil && len(warnings) > 0 && strings.Contains(warnings[0], "out-of-order")
	})
	own, err := s.Metrics(ctx)
	if err != nil || strings.Contains(own, "prometheus_target_scrapes_sample_out_of_order_total 0\n") {
		t.Errorf("no sample was out of order: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the data is still there: %v", err)
	}
}
