package secret

import (
	"encoding/base64"
	"strings"
	"sync"
	"time"
)

// Authorization makes the header of that name.
type Authorization struct {
	mu       sync.Mutex // guards what follows
	user     string
	password File
	apiKey   File
	header   string
}

// NewAuthorization returns the header of a user whose password is in a file, or of the API
// key in a file, encoded or as id:key, which wins; "" for none of them.
func NewAuthorization(user, passwordFile, apiKeyFile string) *Authorization {
	return &Authorization{user: user, password: File{Path: passwordFile}, apiKey: File{Path: apiKeyFile}}
}

// Header returns the header's value, "" for none.
func (a *Authorization) Header() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	newKey, err := a.apiKey.refresh(now)
	if err != nil {
		return "", err
	}
	newPassword, err := a.password.refresh(now)
	if err != nil {
		return "", err
	}
	if a.header != "" && !newKey && !newPassword {
		return a.header, nil
	}
	switch {
	case strings.Contains(a.apiKey.content, ":"): // id:key, not yet encoded
		a.header = "ApiKey " + base64.StdEncoding.EncodeToString([]byte(a.apiKey.content))
	case a.apiKey.content != "":
		a.header = "ApiKey " + a.apiKey.content
	case a.user != "":
		a.header = "Basic " + base64.StdEncoding.EncodeToString([]byte(a.user+":"+a.password.content))
	}
	return a.header, nil
}

// Suspect has the files read again: the server refused what they held.
func (a *Authorization) Suspect() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.password.suspect()
	a.apiKey.suspect()
}
