package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStorageDriver(t *testing.T) {
	for _, engine := range engines() {
		e, err := New(Options{Root: t.TempDir(), Host: startFake(t, engine).host()})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if driver, err := e.StorageDriver(t.Context()); err != nil || !strings.HasPrefix(driver, "overlay") && driver != "vfs" {
			t.Errorf("%s: %q, %v", engine, driver, err)
		}
	}

	root := t.TempDir()
	e, err := New(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	f := func(want, wantErr string) {
		t.Helper()
		driver, err := e.StorageDriver(t.Context())
		if driver != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("got %q, %v", driver, err)
		}
	}
	f("", "image: no such file or directory")
	for _, name := range []string{"overlay2", "vfs"} {
		if err := os.MkdirAll(filepath.Join(root, "image", name), 0o700); err != nil {
			t.Fatal(err)
		}
		if name == "overlay2" {
			f("overlay2", "")
		}
	}
	f("", "several drivers: overlay2, vfs")
}
