package web

import (
	"compress/gzip"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"go.uber.org/zap"
)

// What scrapers ask for, to the letter, and what each of them has to get.
func TestNegotiate(t *testing.T) {
	f := func(accept, want string) {
		t.Helper()
		if got := negotiate(accept); got != want {
			t.Errorf("%s\ngets %s, want %s", accept, got, want)
		}
	}
	const (
		protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
		v1, v0   = openMetricsType + "1.0.0", openMetricsType + "0.0.1"
	)
	// Prometheus 2.5 to 2.48, by default and with native histograms.
	f("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", textType)
	f(protobuf+",application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", textType)
	// 2.49 to 2.55.
	f("application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", textType)
	f(protobuf+";q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", textType)
	// 3.0 and later.
	f("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", textType)
	f(protobuf+";q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", textType)
	f("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.3", textType)
	// With scrape_protocols of one format, Prometheus still takes anything.
	f("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5", textType)
	// curl, a browser, and who doesn't say.
	f("*/*", textType)
	f("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", textType)
	f("", textType)
	// Those who take OpenMetrics and nothing else.
	f("application/openmetrics-text", v1)
	f("application/openmetrics-text; version=1.0.0; charset=utf-8", v1)
	f("application/openmetrics-text;version=0.0.1,application/openmetrics-text;version=1.0.0;q=0.1", v1)
	f("Application/OpenMetrics-Text;Version=0.0.1", v0)
	f("application/openmetrics-text;version=1.0.0, text/plain;q=0, */*;q=0.0", v1)
	// What can't be had, or isn't understood, is text as in cAdvisor.
	f(protobuf, textType)
	f("application/openmetrics-text;version=2.0.0", textType)
	f("application/openmetrics-text;q=0", textType)
	f(";;,=,application/json", textType)
}

// The text format is what Prometheus' own library would choose as well, protobuf apart, which
// cAdvisor has and this agent hasn't.
func TestNegotiateAsTheLibrary(t *testing.T) {
	request := httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")
	if want := string(expfmt.NegotiateAccept(request.Header, expfmt.DefaultAcceptedFormats()...)); want != textType {
		t.Errorf("the library answers %q, this agent %q", want, textType)
	}
}

func TestOpenMetrics(t *testing.T) {
	text := `# HELP a_total All \\ of "it".
# TYPE a_total counter
a_total{x="} 1 2\" {"} 3 1795617752042
a_total 4
# HELP b_failcnt Failures.
# TYPE b_failcnt counter
b_failcnt{x="y"} 1e+09 1795617752000
# HELP c Now.
# TYPE c gauge
c 0.5
`
	want := `# TYPE a counter
# HELP a All \\ of \"it\".
a_total{x="} 1 2\" {"} 3 1795617752.042
a_total 4
# TYPE b_failcnt unknown
# HELP b_failcnt Failures.
b_failcnt{x="y"} 1e+09 1795617752.000
# TYPE c gauge
# HELP c Now.
c 0.5
`
	if got := string(appendOpenMetrics(nil, []byte(text))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Both formats have the same series with the same values, and only one has an end.
func TestOpenMetricsOfContainers(t *testing.T) {
	h := Handler(Options{Metrics: func() []Family { return nil }, Containers: of(t, fleet(3)), Log: zap.NewNop()})
	ask := func(accept string) (contentType, body string) {
		request := httptest.NewRequest("GET", "/metrics", nil)
		request.Header.Add("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		return w.Header().Get("Content-Type"), w.Body.String()
	}
	_, text := ask("*/*")
	contentType, open := ask("application/openmetrics-text;version=1.0.0")
	if contentType != "application/openmetrics-text; charset=utf-8; version=1.0.0" || !strings.HasSuffix(open, "\n# EOF\n") || strings.Contains(text, "# EOF") {
		t.Errorf("%s, ending with %q", contentType, open[len(open)-20:])
	}
	var want, got []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "container_last_seen") {
			want = append(want, strings.Replace(line, " 1795617752000\n", " 1795617752.000\n", 1))
		}
	}
	for line := range strings.Lines(open) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "container_last_seen") {
			got = append(got, line)
		}
	}
	if strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
}

// OpenMetrics is compressed, too.
func TestOpenMetricsGzipped(t *testing.T) {
	h := Handler(Options{Metrics: func() []Family { return nil }, Containers: of(t, tasks(20)), Log: zap.NewNop()})
	request := httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text")
	request.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	r, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil || !strings.HasSuffix(string(text), "\n"+openMetricsEnd) || strings.Count(string(text), "# TYPE container_memory_usage_bytes ") != 1 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// What is asked for is foreign text.
func FuzzNegotiate(f *testing.F) {
	f.Add("application/openmetrics-text;version=1.0.0,*/*;q=0.1")
	f.Add(`text/plain;q="0",application/openmetrics-text;version="0.0.1"`)
	f.Fuzz(func(t *testing.T, accept string) {
		if got := negotiate(accept); got != textType && got != openMetricsType+"1.0.0" && got != openMetricsType+"0.0.1" {
			t.Errorf("%q gets %q", accept, got)
		}
	})
}
