package lab

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sampleFiles is one of each kind of thing, and the listing of them.
func sampleFiles(t *testing.T) (files []File, want string) {
	dir := t.TempDir()
	err := errors.Join(
		os.Mkdir(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "sub", "plain"), []byte("12345"), 0o600),
		os.Symlink("sub/plain", filepath.Join(dir, "link")),
	)
	if err != nil {
		t.Fatal(err)
	}
	files = []File{
		{Name: "/init", Data: "go"},
		{Name: "a/tree/", Source: dir},
		{Name: "../a/tree/sub/one", Source: filepath.Join(dir, "sub", "plain")},
	}
	return files, "init go\na/\na/tree/\na/tree/link -> sub/plain\na/tree/sub/\na/tree/sub/plain 12345\na/tree/sub/one 12345\n"
}

func TestWriteTar(t *testing.T) {
	files, want := sampleFiles(t)
	var archive bytes.Buffer
	if err := writeTar(&archive, files); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(h.Name)
		switch h.Typeflag {
		case tar.TypeSymlink:
			got.WriteString(" -> " + h.Linkname)
		case tar.TypeReg:
			got.WriteString(" " + string(content))
		}
		got.WriteString("\n")
	}
	if got.String() != want {
		t.Errorf("archive has\n%s\nwant\n%s", got.String(), want)
	}
}

// The cpio command of the system reads what the kernel shall read.
func TestWriteCpio(t *testing.T) {
	cpio := Tool(t, "cpio", "cpio")
	files, _ := sampleFiles(t)
	var archive bytes.Buffer
	if err := writeCpio(&archive, files); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(cpio, "--extract", "--quiet", "--make-directories", "--no-preserve-owner")
	cmd.Dir, cmd.Stdin = dir, &archive
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, want := range map[string]string{"init": "go", "a/tree/link": "12345", "a/tree/sub/plain": "12345", "a/tree/sub/one": "12345"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, want)
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "a/tree/link")); err != nil || target != "sub/plain" {
		t.Errorf("link to %q (%v)", target, err)
	}
}
