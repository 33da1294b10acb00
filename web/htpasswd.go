package web

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// passwords are the users of a file as Apache's htpasswd writes it, one "user:hash" a line.
// Immutable.
type passwords struct {
	names  []string // in the order of the file
	hashes []htpasswd.EncodedPasswd
	index  map[string]int
}

// maxCost bounds bcrypt's cost: each step doubles the time, and 14 takes a second.
const maxCost = 14

// parsePasswords reads a file of htpasswd(1). Errors name the line and never hold a hash.
func parsePasswords(content []byte) (*passwords, error) {
	p := &passwords{index: map[string]int{}}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text := strings.TrimRight(string(line), " \t\r\n")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, hash, ok := strings.Cut(text, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d isn't user:hash, as htpasswd writes it", number)
		}
		hash, _, _ = strings.Cut(hash, ":") // Apache passes over what follows
		encoded, err := parseHash(hash)
		if err != nil {
			return nil, fmt.Errorf("line %d, user %q: %w", number, name, err)
		}
		if _, twice := p.index[name]; twice {
			return nil, fmt.Errorf("line %d: the user %q is there twice", number, name)
		}
		p.index[name] = len(p.names)
		p.names, p.hashes = append(p.names, name), append(p.hashes, encoded)
	}
	if len(p.names) == 0 {
		return nil, errors.New("there is no user in it; make one with: htpasswd -B <file> <user>")
	}
	return p, nil
}

// parseHash takes bcrypt ($2y$, $2a$, $2b$), Apache's MD5 ($apr1$) and {SHA}.
func parseHash(hash string) (htpasswd.EncodedPasswd, error) {
	switch {
	case strings.HasPrefix(hash, "$2"):
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || len(hash) != 60 {
			return nil, errors.New("its bcrypt hash is malformed")
		}
		if cost > maxCost {
			return nil, fmt.Errorf("bcrypt with cost %d takes seconds for each login; the most is %d", cost, maxCost)
		}
		return accepted(htpasswd.AcceptBcrypt(hash))
	case strings.HasPrefix(hash, htpasswd.PrefixCryptApr1):
		salt, sum, ok := strings.Cut(hash[len(htpasswd.PrefixCryptApr1):], "$")
		const sumLength, maxSalt = 22, 8
		if !ok || len(salt) > maxSalt || len(sum) != sumLength {
			return nil, errors.New("its $apr1$ hash is malformed")
		}
		return accepted(htpasswd.AcceptMd5(hash))
	case strings.HasPrefix(hash, "{SHA}"):
		return accepted(htpasswd.AcceptSha(hash))
	}
	return nil, errors.New("its hash is neither bcrypt ($2y$) nor $apr1$ nor {SHA}: crypt(3) looks at eight letters only, " +
		"and plain text is no hash; make a new one with: htpasswd -B <file> <user>")
}

// accepted hides the reason of go-htpasswd, which would hold the hash.
func accepted(p htpasswd.EncodedPasswd, err error) (htpasswd.EncodedPasswd, error) {
	if err != nil || p == nil {
		return nil, errors.New("its hash is malformed")
	}
	return p, nil
}
