package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// answer is what came back to one request, byte for byte.
type answer struct {
	Status string // "HTTP/1.1 200 OK"
	Header http.Header
	Body   []byte // without the marks of chunks
}

// request returns the text of a request that asks for the connection to be closed.
func request(method, target, body string, header ...string) string {
	text := method + " " + target + " HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n"
	for _, line := range header {
		text += line + "\r\n"
	}
	if body != "" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return text + "\r\n" + body
}

// exchange sends a request as it is and returns all that comes back.
func exchange(addr, request string) ([]byte, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	return io.ReadAll(conn)
}

// parseAnswer reads the answer to a request.
func parseAnswer(request string, text []byte) (a answer, err error) {
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), &http.Request{Method: method})
	if err != nil {
		return a, err
	}
	defer r.Body.Close()
	a = answer{Status: r.Proto + " " + r.Status, Header: r.Header}
	a.Body, err = io.ReadAll(r.Body)
	return a, err
}

func send(t testing.TB, addr, request string) answer {
	t.Helper()
	text, err := exchange(addr, request)
	if err != nil {
		t.Fatalf("%.200q: %v", request, err)
	}
	a, err := parseAnswer(request, text)
	if err != nil {
		t.Fatalf("%.200q: %v: %.500q", request, err, text)
	}
	return a
}

// goldenAnswer is one answer in a file of requests and answers, each of which begins with a
// line of the request.
type goldenAnswer struct {
	title string // "GET /foo"
	answer
	// cut tells that only the beginning of the body was kept.
	cut bool
}

// readAnswers reads a file of answers. A line that begins with === or == is the request of
// the answer behind it; a file of headers has one answer and no request.
func readAnswers(t testing.TB, file string) (all []goldenAnswer) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The last line is the exit status of what wrote the file.
	for part := range strings.SplitSeq("\n"+strings.TrimSuffix(string(text), "rc=0\n"), "\n==") {
		title, rest, _ := strings.Cut(part, "\n")
		if title = strings.TrimLeft(title, "= "); rest == "" {
			continue
		}
		g := goldenAnswer{title: title, answer: answer{Header: http.Header{}}}
		lines := bufio.NewReader(strings.NewReader(rest))
		for {
			line, err := lines.ReadString('\n')
			line = strings.TrimRight(line, "\r\n")
			if g.Status == "" {
				g.Status = line
			} else if key, value, ok := strings.Cut(line, ": "); ok {
				g.Header.Add(key, value)
			}
			if line == "" || err != nil {
				break
			}
		}
		if g.Body, err = io.ReadAll(lines); err != nil {
			t.Fatal(err)
		}
		g.cut = g.Header.Get("Transfer-Encoding") == "chunked"
		g.Header.Del("Transfer-Encoding")
		all = append(all, g)
	}
	return all
}

// compareHeads compares status and header. Which of the two ways an answer's end is told is
// Go's choice, made by its size; but where cAdvisor says the length of a fixed text, that is
// the length.
func compareHeads(want, got answer, differ func(where, what string)) {
	if want.Status != got.Status {
		differ("status", fmt.Sprintf("%q, in cAdvisor %q", got.Status, want.Status))
	}
	plain := func(h http.Header) http.Header {
		h = h.Clone()
		h.Del("Date")
		h.Del("Connection")
		h.Del("Content-Length")
		return h
	}
	w, g := plain(want.Header), plain(got.Header)
	for key, values := range w {
		if !slices.Equal(values, g[key]) {
			differ(key, fmt.Sprintf("%q, in cAdvisor %q", g[key], values))
		}
		delete(g, key)
	}
	for key, values := range g {
		differ(key, fmt.Sprintf("%q, cAdvisor has no such header", values))
	}
}

// compareAnswers compares an answer with one in a golden file.
func compareAnswers(want goldenAnswer, got answer, differ func(where, what string)) {
	compareHeads(want.answer, got, differ)
	if want.cut {
		return
	}
	if want.Header.Get("Content-Type") == "application/json" {
		compareBodies(bytes.TrimSpace(want.Body), got.Body, differ)
		return
	}
	// Blank lines follow each answer in the file.
	if w, g := strings.TrimRight(string(want.Body), "\n"), strings.TrimRight(string(got.Body), "\n"); w != g {
		differ("body", fmt.Sprintf("%.200q, in cAdvisor %q", g, w))
		return
	}
	if length := want.Header.Get("Content-Length"); length != got.Header.Get("Content-Length") {
		differ("Content-Length", fmt.Sprintf("%q, in cAdvisor %q", got.Header.Get("Content-Length"), length))
	}
}

// compareBodies compares JSON about the same containers; HEAD has none.
func compareBodies(want, got []byte, differ func(where, what string)) {
	if len(want) == 0 && len(got) == 0 {
		return
	}
	w, err1 := parseJSON(identified(want, namesIn(want)))
	g, err2 := parseJSON(identified(got, namesIn(got)))
	if err := errors.Join(err1, err2); err != nil {
		differ("body", fmt.Sprintf("%v: %.200q", err, got))
		return
	}
	(&comparer{differ}).compare("", w, g)
}

// requestOf returns the request that a title of golden/http-status-and-errors.txt stands for.
func requestOf(title string) string {
	switch title {
	case "POST /api/v1.3/containers/ body {bad":
		return request("POST", "/api/v1.3/containers/", "{bad")
	case "POST num_stats 0 docker/aa":
		return request("POST", "/api/v1.3/docker/aa", `{"num_stats":0}`)
	case "POST num_stats -5 docker/aa":
		return request("POST", "/api/v1.3/docker/aa", `{"num_stats":-5}`)
	case "GET /api/v2.0/machinestats type=docker": // v2.0 has no machinestats
		return request("GET", "/api/v2.1/machinestats?type=docker", "")
	}
	method, target, _ := strings.Cut(title, " ")
	return request(method, target, "")
}

// replay sends each request of a golden file and reports how the answers differ.
func replay(t *testing.T, l *ledger, addr string, all []goldenAnswer, request func(title string) string) {
	if len(all) < 11 {
		t.Errorf("%d requests in the file", len(all))
	}
	for _, want := range all {
		differ := func(where, what string) {
			if d := want.title + ": " + where + ": " + what; !l.allows(d) {
				t.Error(d)
			}
		}
		text, err := exchange(addr, request(want.title))
		if err == nil && len(text) == 0 {
			err = errors.New("no answer")
		}
		if err != nil {
			differ("answer", err.Error())
			continue
		}
		got, err := parseAnswer(request(want.title), text)
		if err != nil {
			differ("answer", err.Error())
			continue
		}
		compareAnswers(want, got, differ)
	}
}

// Clients of a decade ask as they always did.
func testOldClients(t *testing.T, addr, id string) {
	parsed := func(request string) *object {
		t.Helper()
		a := send(t, addr, request)
		if !strings.HasSuffix(a.Status, "200 OK") || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%.100q: %s, %q: %.300q", request, a.Status, a.Header, a.Body)
		}
		v, err := parseJSON(a.Body)
		o, ok := v.(*object)
		if err != nil || !ok {
			t.Fatalf("%.100q: %v: %.300q", request, err, a.Body)
		}
		return o
	}
	one := func(request string, samples int) {
		t.Helper()
		o := parsed(request)
		if len(o.keys) != 1 {
			t.Fatalf("%.100q: %q", request, o.keys)
		}
		c, _ := o.of[o.keys[0]].(*object)
		if c == nil || c.of["id"] != id {
			t.Errorf("%.100q: is of %v", request, o.keys)
			return
		}
		if stats, _ := c.of["stats"].([]any); len(stats) != samples {
			t.Errorf("%.100q: %d samples, want %d", request, len(stats), samples)
		}
	}
	// The body counts, whatever it is said to be, and with any method that the API has.
	for _, kind := range []string{"application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "nonsense"} {
		one(request("POST", "/api/v1.3/docker/cg-load", `{"num_stats":2}`, "Content-Type: "+kind), 2)
	}
	one(request("POST", "/api/v1.3/docker/cg-load", `{"num_stats":1,"unknown":{"a":[1]}}`), 1)
	one(request("GET", "/api/v1.3/docker/cg-load", `{"num_stats":1}`), 1)
	one(request("POST", "/api/v1.2/docker/cg-load", `{"num_stats":1}`), 1)
	// By an id, the beginning of one, a name; with slashes too many, and encoded.
	for _, name := range []string{id, id[:12], "cg-load", "cg-load/", "cg%2Dload", "cg%2dloa"} {
		one(request("POST", "/api/v1.3/docker/"+name, `{"num_stats":1}`), 1)
	}
	// Before HTTP/1.1, without a host and without chunks.
	old := "POST /api/v1.3/docker/cg-load HTTP/1.0\r\nContent-Length: 15\r\n\r\n" + `{"num_stats":1}`
	one(old, 1)
	if text, err := exchange(addr, old); err != nil || bytes.Contains(text, []byte("chunked")) {
		t.Errorf("HTTP/1.0: %v: %.300q", err, text)
	}
	if a := send(t, addr, "GET /healthz HTTP/1.0\r\n\r\n"); a.Status != "HTTP/1.0 200 OK" || string(a.Body) != "ok" {
		t.Errorf("HTTP/1.0: %s: %q", a.Status, a.Body)
	}
	// A cgroup by its path, with an encoded slash, and with the slashes of shell scripts.
	root := parsed(request("POST", "/api/v1.3/containers", `{"num_stats":1}`))
	for _, target := range []string{"/api/v1.3/containers/", "/api/v1.0/containers/", "/api/v1.1/containers/%2F"} {
		if o := parsed(request("POST", target, `{"num_stats":1}`)); o.of["name"] != "/" || !slices.Equal(o.keys, root.keys) {
			t.Errorf("%s: %v with %q", target, o.of["name"], o.keys)
		}
	}
	// As of any server that is made with Go: the clean path, to be asked with the same body.
	if a := send(t, addr, request("POST", "/api/v1.3//docker//cg-load", `{"num_stats":1}`)); a.Status != "HTTP/1.1 307 Temporary Redirect" || a.Header.Get("Location") != "/api/v1.3/docker/cg-load" {
		t.Errorf("two slashes: %s, %q", a.Status, a.Header)
	}
	for _, target := range []string{"/api/v1.3/machine/", "/api/v2.1/machine/", "/api/v2.1/attributes/"} {
		if o := parsed(request("GET", target, "")); o.of["num_cores"] == nil {
			t.Errorf("%s: %q", target, o.keys)
		}
	}
	// No answer but that of /metrics is compressed.
	if a := send(t, addr, request("GET", "/api/v1.3/docker/cg-load", "", "Accept-Encoding: gzip, deflate")); a.Header.Get("Content-Encoding") != "" {
		t.Errorf("Content-Encoding %q", a.Header.Get("Content-Encoding"))
	}
	// HEAD has the head of GET, and nothing after it.
	for _, target := range []string{"/api/v1.3/machine", "/healthz", "/metrics", "/api/v1.3/docker/cg-load"} {
		head, get := send(t, addr, request("HEAD", target, "")), send(t, addr, request("GET", target, ""))
		if head.Status != get.Status || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") || len(head.Body) > 0 {
			t.Errorf("HEAD %s: %s %q, GET: %s %q", target, head.Status, head.Header, get.Status, get.Header)
		}
	}
}
