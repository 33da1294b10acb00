package web

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tg123/go-htpasswd"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Hashes of "open sesame", made by libxcrypt, OpenSSL and md5sum.
const (
	bcryptHash = "$2y$04$LVUS5EtRgYv8pOLEer0PgehGS943CpoVeNesgDSsFCv.pRPj6XlQG"
	apr1Hash   = "$apr1$saltsalt$HIDXe7D36X22w1CH4M1cQ."
	shaHash    = "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac="
	cryptHash  = "ab/G8gtZdMwak"
	annDigest  = "a4976818f661948f4327d64d60239ac1" // of ann:localhost:open sesame
)

func writeFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answered is what protected handlers answer.
const answered = "the numbers"

func protect(a *Auth) http.Handler {
	return a.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answered) }))
}

// login returns the status of a request with a user and a password.
func login(h http.Handler, user, password string) int {
	r := httptest.NewRequest("GET", "/x", nil)
	r.SetBasicAuth(user, password)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestBasicAuth(t *testing.T) {
	a, err := NewBasicAuth(writeFile(t, "# people\n\nann:"+bcryptHash+"\nbob:"+apr1Hash+":a comment\r\ncarl:"+shaHash+"\ndora:$apr1$x$tMwYqBfQwi3FYAr0aJc8M/\n"), "localhost", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	h := protect(a)
	f := func(user, password string, want int) {
		t.Helper()
		for range 2 { // the second time, those who were right are known
			if got := login(h, user, password); got != want {
				t.Errorf("%q, %q: got %d, want %d", user, password, got, want)
			}
		}
	}
	for _, user := range []string{"ann", "bob", "carl"} {
		f(user, "open sesame", 200)
		f(user, "open sesam", 401)
		f(user, "", 401)
	}
	f("dora", "", 200)
	f("eve", "open sesame", 401)
	f("", "", 401)
	f("ann", strings.Repeat("x", 10000), 401)

	for _, header := range []string{"", "Basic", "Basic !", "Basic " + base64.StdEncoding.EncodeToString([]byte("ann")), "Bearer x", "Digest username=\"ann\""} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 401 || w.Body.String() != "401 Unauthorized\n" || w.Header().Get("WWW-Authenticate") != `Basic realm="localhost"` {
			t.Errorf("%q: got %d %q %v", header, w.Code, w.Body, w.Header())
		}
	}
}

// What one line of a file gets wrong is said in one sentence, which holds no hash.
func TestFilesOfUsersThatMakeNoSense(t *testing.T) {
	f := func(open func(string) error, content, want string) {
		t.Helper()
		err := open(writeFile(t, content))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want %q", content, err, want)
			return
		}
		for _, secret := range []string{cryptHash, "04$LVUS5", "HIDXe7D36", "W8r/", annDigest} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q: the hash is in %q", content, err)
			}
		}
	}
	basic := func(path string) error { _, err := NewBasicAuth(path, "x", zap.NewNop()); return err }
	f(basic, "", "there is no user in it; make one with: htpasswd -B")
	f(basic, "# nobody\n", "there is no user in it")
	f(basic, "ann\n", "line 1 isn't user:hash")
	f(basic, "\n:"+bcryptHash, "line 2 isn't user:hash")
	f(basic, "ann:"+cryptHash, `line 1, user "ann": its hash is neither bcrypt ($2y$) nor $apr1$ nor {SHA}: crypt(3) looks at eight letters only`)
	f(basic, "ann:open sesame", "plain text is no hash")
	f(basic, "ann:$1$saltsalt$HIDXe7D36X22w1CH4M1cQ.", "neither bcrypt")
	f(basic, "ann:"+bcryptHash[:59], "its bcrypt hash is malformed")
	f(basic, "ann:$2y$99"+bcryptHash[6:], "its bcrypt hash is malformed")
	f(basic, "ann:$2y$20"+bcryptHash[6:], "bcrypt with cost 20 takes seconds")
	f(basic, "ann:$apr1$saltsalt", "its $apr1$ hash is malformed")
	f(basic, "ann:$apr1$saltsaltsalt$HIDXe7D36X22w1CH4M1cQ.", "its $apr1$ hash is malformed")
	f(basic, "ann:{SHA}W8r/", "its hash is malformed")
	f(basic, "ann:"+shaHash+"\nann:"+shaHash, `line 2: the user "ann" is there twice`)
	f(basic, strings.Repeat("#\n", maxAuthFile/2+1), "longer than 1048576 bytes")
	digest := func(path string) error { _, err := NewDigestAuth(path, "localhost", zap.NewNop()); return err }
	f(digest, "", `there is no user of the realm "localhost" in it; make one with: htdigest`)
	f(digest, "ann:elsewhere:"+annDigest, `no user of the realm "localhost"`)
	f(digest, "ann:"+annDigest, "line 1 isn't user:realm:hash")
	f(digest, "ann:localhost:"+annDigest[:31], `line 1, user "ann": the hash isn't 32 hexadecimal digits`)
	f(digest, "ann:localhost:"+annDigest+"\nann:localhost:"+annDigest, "is there twice")
	for _, open := range []func(string) error{basic, digest} {
		if err := open("/does/not/exist"); err == nil || !strings.Contains(err.Error(), "open /does/not/exist") {
			t.Errorf("a file that isn't there: %v", err)
		}
	}
}

// A file is read again when it changes; one that goes bad changes nothing, and is told once.
func TestFileOfUsersIsReadAgain(t *testing.T) {
	path := writeFile(t, "a:x")
	parse := func(b []byte) (string, error) {
		if strings.HasPrefix(string(b), "bad") {
			return "", fmt.Errorf("no good")
		}
		return string(b), nil
	}
	w, err := openUsers(path, parse)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	f := func(after time.Duration, want, wantFailed string) {
		t.Helper()
		now = now.Add(after)
		if got, failed := w.get(now); got != want || !strings.Contains(failed, wantFailed) || (failed == "") != (wantFailed == "") {
			t.Errorf("got %q, %q; want %q, %q", got, failed, want, wantFailed)
		}
	}
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f(0, "a:x", "")
	put("b:longer")
	f(time.Second, "a:x", "")
	f(authFileEvery, "b:longer", "")
	put("bad")
	f(authFileEvery, "b:longer", "no good")
	f(authFileEvery, "b:longer", "")
	put("c:z")
	f(authFileEvery, "c:z", "")
	os.Remove(path)
	f(authFileEvery, "c:z", "no such file")
	f(authFileEvery, "c:z", "")
	put("d:again")
	f(authFileEvery, "d:again", "")
}

// Who was taken out of the file is out, whatever was remembered of him.
func TestRemovedUserIsOut(t *testing.T) {
	path := writeFile(t, "ann:"+bcryptHash+"\nbob:"+shaHash)
	core, logs := observer.New(zap.InfoLevel)
	users, err := openUsers(path, parsePasswords)
	if err != nil {
		t.Fatal(err)
	}
	b := &basic{users: users, log: zap.New(core), hashing: make(chan struct{}, 1), admitted: map[[32]byte]admission{}}
	now := time.Now()
	f := func(want verdict) {
		t.Helper()
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth("ann", "open sesame")
		if got := b.check(r, now); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	f(admitted)
	f(admitted)
	if len(b.admitted) != 1 {
		t.Errorf("%d are remembered", len(b.admitted))
	}
	if err := os.WriteFile(path, []byte("bob:"+shaHash), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(authFileEvery)
	f(refused)
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(authFileEvery)
	f(refused)
	if logs.FilterMessageSnippet("The file of users can't be used").Len() != 1 {
		t.Errorf("logged: %v", logs.All())
	}
}

// An unknown user's password is hashed as a known one's is, and only so many wait.
func TestUnknownUsersCostTheSame(t *testing.T) {
	users, err := openUsers(writeFile(t, "ann:"+bcryptHash), parsePasswords)
	if err != nil {
		t.Fatal(err)
	}
	hashed := &countingHash{}
	users.users.hashes[0] = hashed
	b := &basic{users: users, log: zap.NewNop(), hashing: make(chan struct{}, 1), admitted: map[[32]byte]admission{}}
	for i, user := range []string{"ann", "eve", ""} {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, "x")
		if v := b.check(r, time.Now()); v != refused || hashed.n != i+1 {
			t.Errorf("%q: %v after %d hashes, want %d", user, v, hashed.n, i+1)
		}
	}
	b.hashing <- struct{}{} // the pause after the last one is over; somebody's password is being hashed
	r := httptest.NewRequest("GET", "/", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r = r.WithContext(ctx) // gives up at once
	r.SetBasicAuth("ann", "x")
	if v := b.check(r, time.Now()); v != busy || hashed.n != 3 {
		t.Errorf("with no place to hash: %v", v)
	}
}

// Of many requests with the same password that come at once, one hashes it; a wrong one is
// followed by a pause.
func TestPasswordsThatComeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowHash{takes: time.Second}
		users := &watchedUsers[*passwords]{looked: time.Now(), users: &passwords{names: []string{"ann"}, hashes: []htpasswd.EncodedPasswd{slow}, index: map[string]int{"ann": 0}}}
		b := &basic{users: users, log: zap.NewNop(), hashing: make(chan struct{}, 1), admitted: map[[32]byte]admission{}}
		ask := func(password string) verdict {
			r := httptest.NewRequest("GET", "/", nil)
			r.SetBasicAuth("ann", password)
			return b.check(r, time.Now())
		}
		verdicts := make(chan verdict, 100)
		for range 100 {
			go func() { verdicts <- ask("right") }()
		}
		for range 100 {
			if v := <-verdicts; v != admitted {
				t.Errorf("got %v", v)
			}
		}
		if slow.n.Load() != 1 {
			t.Errorf("hashed %d times", slow.n.Load())
		}
		began := time.Now()
		if v := ask("wrong"); v != refused || time.Since(began) != time.Second {
			t.Errorf("%v after %v", v, time.Since(began))
		}
		if v := ask("wrong"); v != refused || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", v, time.Since(began))
		}
		if v := ask("right"); v != admitted || time.Since(began) != 5*time.Second {
			t.Errorf("who is known waits: %v after %v", v, time.Since(began))
		}
		for range 3 {
			go func() { verdicts <- ask("wrong") }()
		}
		got := map[verdict]int{}
		for range 3 {
			got[<-verdicts]++
		}
		if got[busy] != 2 || got[refused] != 1 {
			t.Errorf("got %v", got)
		}
		time.Sleep(admittedFor - time.Minute)
		ask("right")
		time.Sleep(admittedFor - time.Minute)
		before := slow.n.Load()
		if v := ask("right"); v != admitted || slow.n.Load() != before {
			t.Errorf("who comes again and again is hashed again: %v", v)
		}
		time.Sleep(admittedFor)
		if v := ask("right"); v != admitted || slow.n.Load() != before+1 {
			t.Errorf("who hasn't come for long isn't: %v", v)
		}
	})
}

type slowHash struct {
	takes time.Duration
	n     atomic.Int64
}

func (s *slowHash) MatchesPassword(password string) bool {
	s.n.Add(1)
	time.Sleep(s.takes)
	return password == "right"
}

type countingHash struct{ n int }

func (c *countingHash) MatchesPassword(string) bool { c.n++; return false }

// The example of RFC 7616, 3.9.1.
func TestDigestOfTheRFC(t *testing.T) {
	f, ok := parseDigestHeader(`username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, ` +
		`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", ` +
		`qop=auth, response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`)
	if !ok || f.answer(hexMD5("Mufasa", "http-auth@example.org", "Circle of Life"), "GET") != f.response {
		t.Errorf("%v, got %+v", ok, f)
	}
}

func TestDigestHeader(t *testing.T) {
	f := func(s string, want digestFields, wantOK bool) {
		t.Helper()
		if got, ok := parseDigestHeader(s); ok != wantOK || got != want {
			t.Errorf("%q: got %+v, %v", s, got, ok)
		}
	}
	f(``, digestFields{}, true)
	f(` , ,`, digestFields{}, true)
	f(`username="a\"b\\c",nc = 00000001 ,QOP=auth`, digestFields{username: `a"b\c`, nc: "00000001", qop: "auth"}, true)
	f(`unknown="x", uri="/a,b=c"`, digestFields{uri: "/a,b=c"}, true)
	f(`username="ann", username="bob"`, digestFields{}, false)
	f(`username="ann`, digestFields{}, false)
	f(`username="ann\`, digestFields{}, false)
	f(`username=`, digestFields{}, false)
	f(`username`, digestFields{}, false)
	f(`username="ann" realm="x"`, digestFields{}, false)
	f(`nc=1"2"`, digestFields{}, false)
}

// digestRequest is a request as a client makes it that knows secret.
func digestRequest(user, secret, nonce string, count int, change func(*digestFields)) *http.Request {
	f := digestFields{username: user, realm: "localhost", nonce: nonce, uri: "/x?a=b", cnonce: "c", qop: "auth", nc: fmt.Sprintf("%08x", count)}
	if change != nil {
		change(&f)
	}
	if f.response == "" {
		f.response = f.answer(secret, "GET")
	}
	r := httptest.NewRequest("GET", "/x?a=b", nil)
	header := fmt.Sprintf("Digest username=%s, realm=%s, nonce=%s, uri=%s, response=%s, cnonce=%s, qop=%s, nc=%s",
		quote(f.username), quote(f.realm), quote(f.nonce), quote(f.uri), quote(f.response), quote(f.cnonce), f.qop, f.nc)
	if f.algorithm != "" {
		header += ", algorithm=" + f.algorithm
	}
	r.Header.Set("Authorization", header)
	return r
}

func TestDigestAuth(t *testing.T) {
	users, n, now := digests{"ann": annDigest}, newNonces(), time.Now()
	nonce := n.next(now)
	f := func(r *http.Request, want verdict) {
		t.Helper()
		if got := checkDigest(users, n, "localhost", r, now); got != want {
			t.Errorf("%s: got %v, want %v", r.Header.Get("Authorization"), got, want)
		}
	}
	change := func(c func(*digestFields)) *http.Request { return digestRequest("ann", annDigest, nonce, 100, c) }
	f(change(nil), admitted)
	f(change(nil), stale) // the same count again
	f(digestRequest("ann", annDigest, nonce, 99, nil), admitted)
	f(digestRequest("ann", annDigest, nonce, 99, nil), stale)
	f(digestRequest("ann", annDigest, nonce, 36, nil), stale) // too far behind to be known
	f(digestRequest("ann", annDigest, nonce, 37, nil), admitted)
	f(digestRequest("ann", annDigest, nonce, 1000, nil), admitted)
	f(digestRequest("ann", annDigest, nonce, 100, nil), stale)
	f(digestRequest("ann", annDigest, nonce, 999, nil), admitted)

	f(digestRequest("ann", hexMD5("ann", "localhost", "wrong"), nonce, 2000, nil), refused)
	f(digestRequest("eve", annDigest, nonce, 2000, nil), refused)
	f(digestRequest("eve", strings.Repeat("0", 32), nonce, 2000, nil), refused) // what unknown users are checked against
	f(change(func(f *digestFields) { f.realm = "elsewhere" }), refused)
	f(change(func(f *digestFields) { f.uri = "/x" }), refused)
	f(change(func(f *digestFields) { f.qop = "auth-int" }), refused)
	f(change(func(f *digestFields) { f.algorithm = "SHA-256" }), refused)
	f(change(func(f *digestFields) { f.nc = "1" }), refused)
	f(change(func(f *digestFields) { f.nc = "0000000g" }), refused)
	f(change(func(f *digestFields) { f.cnonce = "" }), refused)
	f(change(func(f *digestFields) { f.response = strings.Repeat("0", 32) }), refused)
	f(change(func(f *digestFields) { f.nonce = "not ours" }), stale)
	f(digestRequest("ann", annDigest, newNonces().next(now), 1, nil), stale) // of the run before
	f(digestRequest("ann", annDigest, n.next(now.Add(-nonceLife-time.Second)), 1, nil), stale)
	f(digestRequest("ann", annDigest, n.next(now.Add(time.Minute)), 1, nil), stale)
	f(digestRequest("ann", annDigest, n.next(now), 1, func(f *digestFields) { f.algorithm = "md5" }), admitted)
}

// What was forgotten to save memory is never taken as new.
func TestForgottenNonceIsStale(t *testing.T) {
	n, now := newNonces(), time.Now()
	first := n.next(now)
	if !n.use(first, 1, now) {
		t.Fatal("a new nonce isn't taken")
	}
	for i := range 3 * maxNonces {
		if at := now.Add(time.Duration(i+1) * time.Millisecond); !n.use(n.next(at), 1, at) {
			t.Fatalf("nonce %d isn't taken", i)
		}
	}
	if len(n.used) > maxNonces {
		t.Errorf("%d are remembered", len(n.used))
	}
	if n.use(first, 1, now.Add(time.Second*10)) || n.use(first, 2, now.Add(time.Second*10)) {
		t.Error("a forgotten nonce is taken again")
	}
}

// curl logs in as it does everywhere, and again after the nonce has become stale.
func TestDigestAuthWithCurl(t *testing.T) {
	curl := lab.Tool(t, "curl", "curl")
	a, err := NewDigestAuth(writeFile(t, "ann:localhost:"+annDigest+"\nann:else:"+annDigest), "localhost", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(protect(a))
	defer server.Close()
	f := func(want string, args ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), curl, append([]string{"-s", "-w", "%{http_code}", "--max-time", "10"}, args...)...).Output()
		if err != nil || string(out) != want {
			t.Errorf("curl %q: got %q, %v", args, out, err)
		}
	}
	f(answered+"200", "--digest", "-u", "ann:open sesame", server.URL+"/a?b=c&d")
	f(answered+"200"+answered+"200", "--digest", "-u", "ann:open sesame", server.URL+"/a", server.URL+"/b")
	f("401 Unauthorized\n401", "--digest", "-u", "ann:wrong", server.URL+"/")
	f("401 Unauthorized\n401", "--basic", "-u", "ann:open sesame", server.URL+"/")
	f("401 Unauthorized\n401", server.URL+"/")
}

func FuzzPasswords(f *testing.F) {
	f.Add([]byte("ann:" + bcryptHash + "\nbob:" + apr1Hash + "\ncarl:" + shaHash))
	f.Add([]byte("ann:" + cryptHash))
	f.Add([]byte("#\n\r\n:\nx:$2y$:$apr1$$"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePasswords(b)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		if len(p.names) == 0 || len(p.names) != len(p.hashes) || len(p.index) != len(p.names) {
			t.Errorf("%+v", p)
		}
	})
}

func FuzzDigests(f *testing.F) {
	f.Add([]byte("ann:localhost:"+annDigest+"\n"), "localhost")
	f.Add([]byte("a:b:c:d"), "")
	f.Fuzz(func(t *testing.T, b []byte, realm string) {
		d, err := parseDigests(b, realm)
		if (len(d) == 0) == (err == nil) {
			t.Fatalf("%v, %v", d, err)
		}
		for name, hash := range d {
			if name == "" || len(hash) != 32 || strings.ToLower(hash) != hash {
				t.Errorf("%q has %q", name, hash)
			}
		}
	})
}

// Whatever a header holds, what was read of it can be written and read again.
func FuzzDigestHeader(f *testing.F) {
	f.Add(`username="Mufasa", realm="a", uri="/dir", algorithm=MD5, nonce="7/x", nc=00000001, cnonce="f2", qop=auth, response="8ca523f5e9506fed4657c9700eebdbec"`)
	f.Add(`username="a\"b`)
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDigestHeader(s)
		if !ok {
			if got != (digestFields{}) {
				t.Errorf("%+v of what makes no sense", got)
			}
			return
		}
		again, ok := parseDigestHeader("username=" + quote(got.username) + ",realm=" + quote(got.realm) + ",nonce=" + quote(got.nonce) +
			",uri=" + quote(got.uri) + ",response=" + quote(got.response) + ",algorithm=" + quote(got.algorithm) +
			",cnonce=" + quote(got.cnonce) + ",qop=" + quote(got.qop) + ",nc=" + quote(got.nc))
		if !ok || again != got {
			t.Errorf("%+v became %+v", got, again)
		}
		n := newNonces()
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header["Authorization"] = []string{"Digest " + s}
		if v := checkDigest(digests{"ann": annDigest}, n, "localhost", r, time.Now()); v != refused {
			t.Errorf("let in: %v", v)
		}
	})
}

// What a request with a password that is known costs, beside the hash that it saves.
func BenchmarkBasicAuth(b *testing.B) {
	const hash = "$2y$10$vJJ6FzZGkuMdsI9RqYpYcufx7fEBWoGjnpWfGNLyBkkLtUtnHKjwS" // of "pw10"
	a, err := NewBasicAuth(writeFile(b, "ann:"+hash), "localhost", zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	h := protect(a)
	for _, password := range []string{"pw10", "wrong"} {
		b.Run(password, func(b *testing.B) {
			for b.Loop() {
				login(h, "ann", password)
			}
		})
	}
}
