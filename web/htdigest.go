package web

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// digests are the users of one realm of a file as Apache's htdigest writes it, one
// "user:realm:MD5(user:realm:password)" a line: the hash in small hexadecimal digits by
// user. Immutable.
type digests map[string]string

// parseDigests reads a file of htdigest(1). Users of other realms are passed over. Errors
// name the line and never hold a hash.
func parseDigests(content []byte, realm string) (digests, error) {
	d := digests{}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text := strings.TrimRight(string(line), " \t\r\n")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, rest, _ := strings.Cut(text, ":")
		of, hash, ok := strings.Cut(rest, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d isn't user:realm:hash, as htdigest writes it", number)
		}
		if b, err := hex.DecodeString(hash); err != nil || len(b) != md5.Size {
			return nil, fmt.Errorf("line %d, user %q: the hash isn't 32 hexadecimal digits", number, name)
		}
		if of != realm {
			continue
		}
		if _, twice := d[name]; twice {
			return nil, fmt.Errorf("line %d: the user %q is there twice", number, name)
		}
		d[name] = strings.ToLower(hash)
	}
	if len(d) == 0 {
		return nil, errors.New("there is no user of the realm " + fmt.Sprintf("%q", realm) + " in it; make one with: htdigest <file> <realm> <user>")
	}
	return d, nil
}
