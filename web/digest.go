package web

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// digestFields are the parameters of an Authorization: Digest header that count
// (RFC 7616, 3.4).
type digestFields struct {
	username, realm, nonce, uri, response, algorithm, cnonce, qop, nc string
}

// parseDigestHeader reads the header's value after "Digest ": parameters by comma, each a
// token or a quoted string. It is false for what isn't that, or has a parameter twice.
// Unknown parameters are passed over.
func parseDigestHeader(s string) (f digestFields, ok bool) {
	var seen [9]bool
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return f, true
		}
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return digestFields{}, false
		}
		value, rest, ok := cutValue(strings.TrimLeft(rest, " \t"))
		if !ok {
			return digestFields{}, false
		}
		for i, known := range [...]struct {
			name string
			to   *string
		}{
			{"username", &f.username}, {"realm", &f.realm}, {"nonce", &f.nonce}, {"uri", &f.uri}, {"response", &f.response},
			{"algorithm", &f.algorithm}, {"cnonce", &f.cnonce}, {"qop", &f.qop}, {"nc", &f.nc},
		} {
			if strings.EqualFold(strings.TrimRight(name, " \t"), known.name) {
				if seen[i] {
					return digestFields{}, false
				}
				seen[i], *known.to = true, value
			}
		}
		s = strings.TrimLeft(rest, " \t")
		if s != "" && s[0] != ',' {
			return digestFields{}, false
		}
	}
}

// cutValue takes a token or a quoted string off the beginning of s.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", \t\"")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// quote returns s as a quoted string (RFC 9110, 5.6.4).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

const (
	// nonceLife is how long a nonce is taken; clients get the next one without asking
	// for the password again.
	nonceLife = 5 * time.Minute
	// maxNonces bounds the nonces whose counts are remembered. Only who knows a
	// password has one remembered.
	maxNonces = 1000
)

// nonces makes nonces and sees to it that each is used once for each count. What is sent
// out is not remembered: a nonce proves by itself that it was made here, and when.
type nonces struct {
	key [32]byte // immutable

	mu   sync.Mutex // guards what follows
	used map[string]*nonceUse
	// since is the time from which nonces are taken: that of the newest one that was
	// forgotten, so that no forgotten one is taken as new.
	since time.Time
}

// nonceUse are the counts with which a nonce has been used: the highest, and which of
// the 64 up to it. Browsers send requests side by side, which come in any order.
type nonceUse struct {
	made    time.Time
	highest uint64
	seen    uint64 // bit i: highest-i
}

func newNonces() *nonces {
	n := &nonces{used: map[string]*nonceUse{}}
	rand.Read(n.key[:])
	return n
}

// nonceTime, nonceSalt and nonceProof are the lengths of the parts of a nonce.
const (
	nonceTime  = 8
	nonceSalt  = 8
	nonceProof = 16
)

// next returns a new nonce.
func (n *nonces) next(now time.Time) string {
	var b [nonceTime + nonceSalt + nonceProof]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixNano()))
	rand.Read(b[nonceTime : nonceTime+nonceSalt])
	copy(b[nonceTime+nonceSalt:], n.proof(b[:nonceTime+nonceSalt]))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (n *nonces) proof(b []byte) []byte {
	h := hmac.New(sha256.New, n.key[:])
	h.Write(b)
	return h.Sum(nil)[:nonceProof]
}

// made returns when a nonce was made; ok is false if it wasn't made here.
func (n *nonces) made(nonce string) (at time.Time, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != nonceTime+nonceSalt+nonceProof || !hmac.Equal(b[nonceTime+nonceSalt:], n.proof(b[:nonceTime+nonceSalt])) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), true
}

// use notes that a nonce is used with a count, and tells whether it may be.
func (n *nonces) use(nonce string, count uint64, now time.Time) bool {
	made, ok := n.made(nonce)
	if !ok || now.Sub(made) > nonceLife || made.After(now) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	u := n.used[nonce]
	if u == nil {
		if !made.After(n.since) {
			return false
		}
		n.forget(now)
		n.used[nonce] = &nonceUse{made: made, highest: count, seen: 1}
		return true
	}
	switch {
	case count > u.highest:
		u.seen = u.seen<<min(count-u.highest, 64) | 1
		u.highest = count
		return true
	case u.highest-count >= 64 || u.seen&(1<<(u.highest-count)) != 0:
		return false
	}
	u.seen |= 1 << (u.highest - count)
	return true
}

// forget makes room for one more nonce. n.mu is held.
func (n *nonces) forget(now time.Time) {
	if len(n.used) < maxNonces {
		return
	}
	oldest := now
	for nonce, u := range n.used {
		if now.Sub(u.made) > nonceLife {
			delete(n.used, nonce)
		} else if u.made.Before(oldest) {
			oldest = u.made
		}
	}
	if len(n.used) < maxNonces {
		return
	}
	n.since = oldest
	for nonce, u := range n.used {
		if !u.made.After(oldest) {
			delete(n.used, nonce)
		}
	}
}

// answer returns what a client that knows the password answers (RFC 7616, 3.4.1);
// secret is MD5(user:realm:password).
func (f *digestFields) answer(secret, method string) string {
	return hexMD5(secret, f.nonce, f.nc, f.cnonce, f.qop, hexMD5(method, f.uri))
}

func hexMD5(parts ...string) string {
	sum := md5.Sum([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(sum[:])
}

// verdict is what becomes of a request with credentials.
type verdict int

const (
	refused verdict = iota
	admitted
	// stale means that who asks knows the password, and needs another nonce.
	stale
	// busy means that it isn't known: too many others are being checked.
	busy
)

// checkDigest tells what becomes of a request.
func checkDigest(users digests, n *nonces, realm string, r *http.Request, now time.Time) verdict {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Digest") {
		return refused
	}
	f, ok := parseDigestHeader(rest)
	count, err := strconv.ParseUint(f.nc, 16, 32)
	if !ok || err != nil || len(f.nc) != 8 || f.qop != "auth" || f.cnonce == "" || f.realm != realm ||
		f.algorithm != "" && !strings.EqualFold(f.algorithm, "MD5") || f.uri != r.RequestURI {
		return refused
	}
	secret, known := users[f.username]
	if !known {
		secret = strings.Repeat("0", 2*md5.Size) // costs the same, and is nobody's
	}
	same := subtle.ConstantTimeCompare([]byte(f.answer(secret, r.Method)), []byte(strings.ToLower(f.response))) == 1
	switch {
	case !same || !known:
		return refused
	case !n.use(f.nonce, count, now):
		return stale
	}
	return admitted
}
