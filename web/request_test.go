package web

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestParseRequestOptions(t *testing.T) {
	f := func(query string, want requestOptions) {
		t.Helper()
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseRequestOptions(values); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", query, got, err, want)
		}
	}
	f("", requestOptions{"name", 64, false, -1})
	f("type=&count=&recursive=&max_age=", requestOptions{"name", 64, false, -1})
	f("type=name", requestOptions{"name", 64, false, -1})
	f("type=docker&count=-1&recursive=true&max_age=0s", requestOptions{"docker", -1, true, 0})
	f("type=podman&count=0&recursive=1&max_age=500ms", requestOptions{"podman", 0, false, 500 * time.Millisecond})
	f("count=2&count=x", requestOptions{"name", 2, false, -1})

	bad := func(query, want string) {
		t.Helper()
		values, _ := url.ParseQuery(query)
		if got, err := parseRequestOptions(values); err == nil || err.Error() != want {
			t.Errorf("%q: got %+v, error %v, want %s", query, got, err, want)
		}
	}
	// cAdvisor's words.
	bad("type=x", `unknown 'type' "x"`)
	bad("count=x", `failed to parse 'count' option: x`)
	bad("count=-2", `invalid 'count' option: only -1 and larger values allowed, not -2`)
	bad("count=2147483648", `failed to parse 'count' option: 2147483648`)
	bad("max_age=x", `failed to parse 'max_age' option: time: invalid duration "x"`)
	bad("type=x&count=x", `unknown 'type' "x"`)
}

// A parameter that isn't understood is told as cAdvisor tells it.
func TestBadQueryOnMetrics(t *testing.T) {
	h := Handler(Options{Metrics: func() []Family { return nil }, Containers: of(t, fleet(1)), Log: zap.NewNop()})
	code, header, body := get(t, h, "GET", "/metrics?count=x")
	if code != 500 || body != "No metrics gathered, last error:\n\nfailed to parse 'count' option: x\n" {
		t.Errorf("%d %q", code, body)
	}
	if header.Get("Content-Type") != "text/plain; charset=utf-8" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", header)
	}
}

// A type leaves out the containers of others and all other cgroups, in this scrape alone.
func TestTypeOnMetrics(t *testing.T) {
	r := fleet(4)
	for i, runtime := range []string{"docker", "podman", "docker", "containerd"} {
		c := *r.Containers[i].Container
		c.Runtime = runtime
		c.Labels = append(slices.Clone(c.Labels), metric.Label{Key: "of." + runtime})
		r.Containers[i].Container = &c
	}
	h := Handler(Options{Metrics: func() []Family { return nil }, Containers: of(t, r), Log: zap.NewNop()})
	f := func(query, want string) {
		t.Helper()
		code, _, body := get(t, h, "GET", "/metrics"+query)
		var names []string
		for line := range strings.Lines(body) {
			if rest, ok := strings.CutPrefix(line, "container_memory_usage_bytes"); ok {
				_, name, _ := strings.Cut(rest, `,name="`)
				name, _, _ = strings.Cut(name, `"`)
				names = append(names, name)
			}
		}
		if got := strings.Join(names, " "); code != 200 || got != want || !strings.Contains(body, "machine_cpu_cores{") {
			t.Errorf("%s: %d, got %q, want %q", query, code, got, want)
		}
		if strings.Contains(body, "container_label_of_podman") != strings.Contains(" "+want, " shop_web.1") {
			t.Errorf("%s: the labels are not those of the containers that are shown", query)
		}
	}
	f("?type=docker", "shop_web.0 shop_web.2")
	f("?type=podman&count=1", "shop_web.1")
	f("", " shop_web.0 shop_web.1 shop_web.2 shop_web.3")
	f("?type=name&recursive=true", " shop_web.0 shop_web.1 shop_web.2 shop_web.3")
}
