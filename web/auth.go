package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Auth lets in who knows a password. It belongs to one server; any number of requests may
// use it at once.
type Auth struct {
	// check tells what becomes of a request. It may take as long as a password costs.
	check func(*http.Request, time.Time) verdict
	// challenge is the header WWW-Authenticate; again is whether the client only
	// needs another nonce.
	challenge func(now time.Time, again bool) string
}

// NewBasicAuth returns basic authentication (RFC 7617) by a file of htpasswd: cAdvisor's
// -http_auth_file and -http_auth_realm. It fails if the file can't be read or one line of
// it makes no sense; later on the file is read again when it changes.
func NewBasicAuth(path, realm string, log *zap.Logger) (*Auth, error) {
	users, err := openUsers(path, parsePasswords)
	if err != nil {
		return nil, err
	}
	b := &basic{users: users, log: log, hashing: make(chan struct{}, 1), admitted: map[[sha256.Size]byte]admission{}}
	rand.Read(b.key[:])
	return &Auth{
		check:     b.check,
		challenge: func(time.Time, bool) string { return "Basic realm=" + quote(realm) },
	}, nil
}

// NewDigestAuth returns digest authentication (RFC 7616: MD5, qop=auth) by a file of
// htdigest: cAdvisor's -http_digest_file and -http_digest_realm. It fails as NewBasicAuth.
func NewDigestAuth(path, realm string, log *zap.Logger) (*Auth, error) {
	users, err := openUsers(path, func(b []byte) (digests, error) { return parseDigests(b, realm) })
	if err != nil {
		return nil, err
	}
	n := newNonces()
	return &Auth{
		check: func(r *http.Request, now time.Time) verdict {
			of, failed := users.get(now)
			logFailed(log, failed)
			return checkDigest(of, n, realm, r, now)
		},
		challenge: func(now time.Time, again bool) string {
			header := "Digest realm=" + quote(realm) + `, nonce="` + n.next(now) + `", algorithm=MD5, qop="auth"`
			if again {
				header += ", stale=true"
			}
			return header
		},
	}, nil
}

// Wrap returns h for those who know a password. The others get cAdvisor's 401.
func (a *Auth) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		v := refused
		if r.Header.Get("Authorization") != "" {
			v = a.check(r, now)
		}
		switch v {
		case admitted:
			h.ServeHTTP(w, r)
			return
		case busy:
			refuseForNow(w, "too many passwords are being checked")
			return
		}
		w.Header().Set("WWW-Authenticate", a.challenge(now, v == stale))
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte("401 Unauthorized\n"))
	})
}

func logFailed(log *zap.Logger, failed string) {
	if failed != "" {
		log.Error("The file of users can't be used, those of before may still log in: " + failed)
	}
}

const (
	// admittedFor is how long after its last use a password that was right isn't hashed
	// again: bcrypt is made to take long, and a Prometheus sends it with each scrape.
	admittedFor = 5 * time.Minute
	maxAdmitted = 100
	// hashWait is how long a request waits for the passwords of others to be hashed.
	hashWait = 5 * time.Second
	// pausePerHash is how long, in multiples of the time it took, nothing is hashed after
	// a wrong password: guessing gets a quarter of a core at most.
	pausePerHash = 3
)

// basic checks passwords.
type basic struct {
	users *watchedUsers[*passwords]
	log   *zap.Logger
	key   [32]byte // immutable
	// hashing holds one token while a password is hashed, and for a while after a wrong
	// one: guessing must not take the CPU time that sampling needs.
	hashing chan struct{}

	mu       sync.Mutex // guards admitted
	admitted map[[sha256.Size]byte]admission
}

// admission is a user with a password that was right, by the file of that time.
type admission struct {
	by    *passwords
	until time.Time
}

func (b *basic) check(r *http.Request, now time.Time) verdict {
	user, password, ok := r.BasicAuth()
	if !ok {
		return refused
	}
	users, failed := b.users.get(now)
	logFailed(b.log, failed)
	sum := b.sum(user, password)
	if b.known(sum, users, now) {
		return admitted
	}
	// An unknown user is checked against somebody's hash, always the same one's: the
	// time tells nobody who is known.
	i, is := users.index[user]
	if !is {
		which := b.sum(user, "")
		i = int(binary.BigEndian.Uint64(which[:]) % uint64(len(users.hashes)))
	}
	waiting := time.NewTimer(hashWait)
	defer waiting.Stop()
	select {
	case b.hashing <- struct{}{}:
	case <-waiting.C:
		return busy
	case <-r.Context().Done():
		return busy
	}
	if b.known(sum, users, now) { // another request has brought the same meanwhile
		<-b.hashing
		return admitted
	}
	began := time.Now()
	if right := users.hashes[i].MatchesPassword(password); !right || !is {
		time.AfterFunc(pausePerHash*time.Since(began), func() { <-b.hashing })
		return refused
	}
	b.admit(sum, users, now)
	<-b.hashing
	return admitted
}

// known tells whether a user with a password was let in a while ago, by the same file.
func (b *basic) known(sum [sha256.Size]byte, users *passwords, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	of, known := b.admitted[sum]
	if !known || of.by != users || !now.Before(of.until) {
		return false
	}
	of.until = now.Add(admittedFor)
	b.admitted[sum] = of
	return true
}

func (b *basic) admit(sum [sha256.Size]byte, users *passwords, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.admitted) >= maxAdmitted {
		clear(b.admitted)
	}
	b.admitted[sum] = admission{users, now.Add(admittedFor)}
}

// sum returns a hash of a user and a password that is of no use to anybody who doesn't
// have the key, which lives as long as the process.
func (b *basic) sum(user, password string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, b.key[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(user))))
	h.Write([]byte(user))
	h.Write([]byte(password))
	h.Sum(sum[:0])
	return sum
}
