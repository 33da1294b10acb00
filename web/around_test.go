package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// wholeServer is what a whole server shows, of one node and two containers.
func wholeServer(t testing.TB) Options {
	return Options{
		Health:     func() Health { return Health{Alive: true, Status: "ok"} },
		Metrics:    func() []Family { return nil },
		Containers: of(t, fleet(2)),
		Log:        zap.NewNop(),
		Profiling:  true,
		Validate: func(context.Context) Report {
			return Report{"v1", "Debian", []Section{{"Kernel version", Recommended, []string{"one", "two"}}}}
		},
	}
}

// answers reads recorded answers of cAdvisor: "=== <path>", the status line, headers, an
// empty line, and the body.
func answers(t *testing.T, file string) map[string]*http.Response {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*http.Response{}
	for part := range strings.SplitSeq("\n"+string(content), "\n=== ") {
		path, text, ok := strings.Cut(part, "\n")
		if !ok {
			continue
		}
		// The file has lost the line ends of HTTP, and of bodies.
		head, body, _ := strings.Cut(text, "\n\n")
		r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body+"\n\n")), nil)
		if err != nil {
			t.Fatalf("%s, %s: %v", file, path, err)
		}
		all[path] = r
	}
	return all
}

// sameAnswers holds what h answers against cAdvisor's answers, to the last byte of their
// bodies and headers.
func sameAnswers(t *testing.T, h http.Handler, recorded map[string]*http.Response) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range recorded {
		got, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(want.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode != want.StatusCode || string(body) != string(text) {
			t.Errorf("%s: got %s %q, want %s %q", path, got.Status, body, want.Status, text)
		}
		got.Header.Del("Date")
		for _, name := range append(headerNames(got.Header), headerNames(want.Header)...) {
			if got.Header.Get(name) != want.Header.Get(name) {
				t.Errorf("%s: %s is %q, want %q", path, name, got.Header.Get(name), want.Header.Get(name))
			}
		}
	}
}

func headerNames(h http.Header) (names []string) {
	for name := range h {
		names = append(names, name)
	}
	return names
}

func TestAnswersOfCAdvisor(t *testing.T) {
	recorded := answers(t, "testdata/answers.txt")
	if len(recorded) != 12 {
		t.Fatalf("%d answers", len(recorded))
	}
	sameAnswers(t, Handler(wholeServer(t)), recorded)
}

// With cAdvisor's hole, that only pages ask for a password.
func TestAnswersOfCAdvisorWithPrefixAndPassword(t *testing.T) {
	recorded := answers(t, "testdata/answers-prefix-auth.txt")
	if len(recorded) != 9 {
		t.Fatalf("%d answers", len(recorded))
	}
	o := wholeServer(t)
	var err error
	if o.Auth, err = NewBasicAuth(writeFile(t, "ann:"+bcryptHash), "localhost", zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	o.AuthPagesOnly, o.Prefix, o.MetricsPath = true, "/cad", "/m"
	sameAnswers(t, Handler(o), recorded)
	if code, _, _ := get(t, Handler(o), "GET", "/cad/m"); code != 200 {
		t.Errorf("metrics: %d", code)
	}
}

// A password covers everything but the bare health check.
func TestWhatAPasswordCovers(t *testing.T) {
	o := wholeServer(t)
	var err error
	if o.Auth, err = NewBasicAuth(writeFile(t, "ann:"+bcryptHash), "localhost", zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	f := func(path string, whole, pagesOnly int) {
		t.Helper()
		for _, only := range []bool{false, true} {
			o.AuthPagesOnly = only
			want := whole
			if only {
				want = pagesOnly
			}
			if code, _, _ := get(t, Handler(o), "GET", path); code != want {
				t.Errorf("%s, pages only %v: got %d, want %d", path, only, code, want)
			}
			if code, _, _ := get(t, Handler(o), "HEAD", path); code != want {
				t.Errorf("HEAD %s, pages only %v: got %d, want %d", path, only, code, want)
			}
		}
		o.AuthPagesOnly = false
		if code := loginTo(Handler(o), path); code == 401 {
			t.Errorf("%s: ann isn't let in", path)
		}
	}
	f("/healthz", 200, 200)
	f("/healthz?details", 401, 200)
	f("/metrics", 401, 200)
	f("/", 401, 307)
	f("/nothing", 401, 307)
	f("/validate/", 401, 200)
	f("/debug/pprof/cmdline", 401, 200)
	f("/containers", 401, 301)
	f("/containers/", 401, 401)
	f("/containers/docker/x", 401, 401)
	f("/docker/", 401, 401)
	f("/podman/", 401, 401)
	f("/static/page.css", 401, 401)
	f("//containers/", 401, 307) // to the clean path, which asks
	f("/x/../containers/", 401, 307)
}

func loginTo(h http.Handler, path string) int {
	r := httptest.NewRequest("GET", path, nil)
	r.SetBasicAuth("ann", "open sesame")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestMethods(t *testing.T) {
	o := wholeServer(t)
	o.Prefix = "/cad"
	h := Handler(o)
	f := func(method, path string, want int, allow string) {
		t.Helper()
		code, header, _ := get(t, h, method, path)
		if code != want || header.Get("Allow") != allow {
			t.Errorf("%s %s: got %d, Allow %q; want %d, %q", method, path, code, header.Get("Allow"), want, allow)
		}
		for name := range header {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("%s %s: %s", method, path, name)
			}
		}
	}
	for _, path := range []string{"/cad/healthz", "/cad/metrics", "/cad/containers/", "/cad/validate/", "/cad/x", "/"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "X"} {
			f(method, path, 405, "GET, HEAD")
		}
	}
	f("HEAD", "/cad/healthz", 200, "")
	f("HEAD", "/cad/containers/", 200, "")
	f("PUT", "/cad/api/v1.3/machine", 405, "GET, HEAD, POST")
	if code, _, _ := get(t, h, "POST", "/cad/api/v1.3/machine"); code == 405 {
		t.Error("POST to the API is refused")
	}
}

func TestHosts(t *testing.T) {
	o := wholeServer(t)
	o.Hosts = []string{"gauge.example", "10.0.0.1:8080", "::1"}
	h := Handler(o)
	f := func(host, path string, want int) {
		t.Helper()
		r := httptest.NewRequest("GET", path, nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q %s: got %d, want %d", host, path, w.Code, want)
		}
	}
	f("gauge.example", "/metrics", 200)
	f("Gauge.Example:8080", "/metrics", 200)
	f("gauge.example.", "/metrics", 200)
	f("10.0.0.1:8080", "/metrics", 200)
	f("10.0.0.1:8081", "/metrics", 421)
	f("10.0.0.1", "/metrics", 421)
	f("[::1]:8080", "/metrics", 200)
	f("evil.example", "/metrics", 421)
	f("evil.example", "/nothing", 421)
	f("evil.example", "/healthz?details", 421)
	f("evil.example", "/healthz", 200)
	f("", "/metrics", 421) // HTTP/1.0 without a host
	f("gauge.example.evil.example", "/metrics", 421)

	o.Hosts = nil
	h = Handler(o)
	f("anything", "/metrics", 200)
}

func TestProfilesOnlyWhenAskedFor(t *testing.T) {
	o := wholeServer(t)
	for _, prefix := range []string{"", "/cad"} {
		o.Prefix = prefix
		if code, _, body := get(t, Handler(o), "GET", prefix+"/debug/pprof/"); code != 200 || !strings.Contains(body, "Types of profiles available:") {
			t.Errorf("%s: %d %q", prefix, code, body)
		}
		if code, _, body := get(t, Handler(o), "GET", prefix+"/debug/pprof/goroutine?debug=1"); code != 200 || !strings.Contains(body, "goroutine profile") {
			t.Errorf("%s: %d", prefix, code)
		}
	}
	o.Prefix, o.Profiling = "", false
	if code, _, _ := get(t, Handler(o), "GET", "/debug/pprof/"); code != 307 {
		t.Errorf("got %d", code)
	}
}

func TestReserved(t *testing.T) {
	for path, want := range map[string]bool{
		"/healthz": true, "/docker": true, "/containers": true, "/api": true, "/api/v1.3": true, "/debug/pprof/x": true,
		"/metrics": false, "/m": false, "/dockers": false, "/debug": false,
	} {
		if Reserved(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func TestValidate(t *testing.T) {
	o := wholeServer(t)
	r := fleet(1)
	nameless := *r.Containers[0].Container
	nameless.Path, nameless.Name, nameless.ID, nameless.Unidentified = "/docker/\nKernel version: [Unsupported]", "", "ff", "the record isn't there"
	r.Containers = append(r.Containers, collector.Reading{Container: &nameless})
	o.Containers = of(t, r)
	id := strings.Repeat("0", 64)
	_, header, body := get(t, Handler(o), "GET", "/validate/")
	want := "cAdvisor version: v1\n\nOS version: Debian\n\n" +
		"Kernel version: [Supported and recommended]\n\tone\n\ttwo\n\n\n" +
		"Managed containers: \n\t/\n" +
		"\t/docker/?Kernel version: [Unsupported]\n\t\tNamespace: docker\n\t\tAliases:\n\t\t\tff\n\t\tWithout a name: the record isn't there\n" +
		"\t/docker/" + id + "\n\t\tNamespace: docker\n\t\tAliases:\n\t\t\tshop_web.0\n\t\t\t" + id + "\n" +
		"\nInotify watches: \n\tNone: the cgroup tree is compared with what was known, in each sweep.\n"
	if body != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	if header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Error(header)
	}
}

// sampledTwice makes Recent of a fleet: a second between the samples, in which each counter grew.
func sampledTwice(r collector.Readings) func(context.Context, string, *Recent) error {
	return func(_ context.Context, path string, to *Recent) error {
		i := slices.IndexFunc(r.Containers, func(c collector.Reading) bool { return c.Container.Path == path })
		if i < 0 {
			return collector.ErrUnknown
		}
		to.Newest.CopyFrom(&r.Containers[i].Sample)
		to.Previous.CopyFrom(&to.Newest)
		to.Previous.Time -= 2e9
		v, _ := to.Newest.Get(metric.CPUUsage)
		to.Previous.Put(metric.CPUUsage, v-500_000_000)
		to.Previous.PutRow(metric.NetworkReceiveBytes, 0, 1<<40-4096)
		return nil
	}
}

func TestPages(t *testing.T) {
	o := wholeServer(t)
	r := fleet(2)
	bad := "<script>alert(1)</script>\"'&"
	r.Containers[0].Container.Labels = append(r.Containers[0].Container.Labels, metric.Label{Key: bad, Value: bad})
	r.Containers[0].Container.Image = bad
	r.Containers[1].NetworkOf = "shop_web.0"
	r.Node.Name = bad
	o.Containers, o.Recent, o.Prefix = of(t, r), sampledTwice(r), "/p"
	h := Handler(o)
	id := func(i int) string { return fmt.Sprintf("%064x", i) }
	f := func(path string, want ...string) {
		t.Helper()
		code, header, body := get(t, h, "GET", path)
		if code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("%s: no %q in\n%s", path, text, body)
			}
		}
		if strings.Contains(body, "<script") {
			t.Errorf("%s: markup from a container in\n%s", path, body)
		}
		if got := header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; style-src 'self';") {
			t.Errorf("%s: policy %q", path, got)
		}
	}
	row := `<a href="/p/containers/docker/` + id(0) + `" title="/docker/` + id(0) + `">shop_web.0</a>`
	f("/p/containers/", row, `<td class="n">0.250</td>`, `<td class="n">2 KiB/s</td>`, `<td class="n">shared</td>`, "/dev/vda1", "kernel", "&lt;script&gt;")
	f("/p/containers/docker", row, "Containers below") // not measured itself
	f("/p/containers/docker/", row)
	f("/p/containers/docker/"+id(0), "shop_web.0", "&lt;script&gt;", "com.docker.swarm.service.name", "CPU cores busy", "0.250", "64 MiB", "eth0", "vda",
		`<a href="/p/containers/docker">docker</a>`, `<a href="/p/api/v1.3/containers/docker/`+id(0)+`">As JSON</a>`)
	f("/p/containers/docker/"+id(1), "counted for shop_web.0")
	f("/p/docker/", row, "shop_web.1")
	f("/p/docker/shop_web.1", "shop_web.1", `<a href="/p/docker/">docker</a>`)
	f("/p/docker/"+id(1), "shop_web.1")
	f("/p/podman/", "There are none.")

	// Without rates, where the agent has none.
	o.Recent = nil
	h = Handler(o)
	f("/p/containers/", `<td class="n">–</td>`, `<td class="n">5 MiB</td>`)

	g := func(path, want string) {
		t.Helper()
		if code, _, body := get(t, h, "GET", path); code != 404 || body != want+"\n" {
			t.Errorf("%s: %d %q, want %q", path, code, body, want)
		}
	}
	g("/p/containers/nope", `failed to get container "/nope" with error: unknown container "/nope"`)
	g("/p/containers/docker/0", `failed to get container "/docker/0" with error: unknown container "/docker/0"`)
	g("/p/docker/shop", `failed to get container "/shop" with error: unable to find container in "docker" namespace. Container "shop" is not unique`)
	g("/p/docker/a/b", `failed to get container "/a/b" with error: unable to find container "a/b" in "docker" namespace`)
	g("/p/podman/x", `failed to get container "/x" with error: unable to find container "x" in "podman" namespace`)
	g("/p/containers/%3Cscript%3E", `failed to get container "/<script>" with error: unknown container "/<script>"`)
}

// A page's links lead back to the cgroup, whatever its name.
func TestPageOfOddNames(t *testing.T) {
	o := wholeServer(t)
	r := fleet(0)
	odd := []string{"/a b", `/system.slice/system-serial\x2dgetty.slice`, "/a%2fb", "/ä?x#y", "/a:b@c", "/a\"'<>"}
	for _, path := range odd {
		r.Containers = append(r.Containers, collector.Reading{Container: &metric.Container{Path: path}})
	}
	o.Containers = of(t, r)
	h := Handler(o)
	p := &pages{&o}
	for _, path := range odd {
		if code, _, body := get(t, h, "GET", p.url(path)); code != 200 || !strings.Contains(body, "<h1>") {
			t.Errorf("%s at %s: %d", path, p.url(path), code)
		}
	}
}

func TestStaticFiles(t *testing.T) {
	h := Handler(wholeServer(t))
	if code, header, body := get(t, h, "GET", "/static/page.css"); code != 200 || header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(body, "color-scheme") {
		t.Errorf("%d %v", code, header)
	}
	for _, path := range []string{"/static/../static/x", "/static/%2e%2e/server.go", "/static/page.css/"} {
		if code, _, _ := get(t, h, "GET", path); code == 200 {
			t.Errorf("%s: %d", path, code)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	o := wholeServer(b)
	r := fleet(100)
	o.Containers, o.Recent = of(b, r), sampledTwice(r)
	h := Handler(o)
	for b.Loop() {
		get(b, h, "GET", "/containers/")
	}
}

// What a page is made of can't break out of its place.
func FuzzMarkup(f *testing.F) {
	f.Add("/a", "b", "c")
	f.Add("javascript:alert(1)", "\"><script>", "</a>")
	f.Add("//evil.example", "", "&amp;")
	f.Add(`/\evil.example`, "", "")
	f.Fuzz(func(t *testing.T, path, title, text string) {
		var m markup
		m.link(path, title, text)
		got := m.b.String()
		links := strings.Count(got, "<")
		if links != 0 && (links != 2 || !strings.HasPrefix(got, `<a href="/`) || strings.HasPrefix(got, `<a href="//`) || strings.HasPrefix(got, `<a href="/\`) || !strings.HasSuffix(got, "</a>")) {
			t.Errorf("%q", got)
		}
		quotes := strings.Count(got, `"`)
		if links == 0 && quotes != 0 || links == 2 && quotes != 2 && quotes != 4 {
			t.Errorf("%q", got)
		}
	})
}
