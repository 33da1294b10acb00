package secret

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAuthorization(t *testing.T) {
	password, key := filepath.Join(t.TempDir(), "password"), filepath.Join(t.TempDir(), "key")
	f := func(a *Authorization, want string) {
		t.Helper()
		a.Suspect()
		if got, err := a.Header(); got != want || err != nil {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	f(NewAuthorization("", "", ""), "")

	user := NewAuthorization("anna", password, "")
	if _, err := user.Header(); !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), password) {
		t.Errorf("without the file: %v", err)
	}
	write(t, password, "geheim\n")
	f(user, "Basic YW5uYTpnZWhlaW0=")
	write(t, password, "anders")
	f(user, "Basic YW5uYTphbmRlcnM=")

	write(t, key, "id:key")
	both := NewAuthorization("anna", password, key)
	f(both, "ApiKey aWQ6a2V5")
	write(t, key, "aWQ6a2V5Mg==\n")
	f(both, "ApiKey aWQ6a2V5Mg==")
}
