package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Where nothing may be installed, what is missing is named with what a person has to run, and
// is an error for CI alone.
func TestPreparePossible(t *testing.T) {
	if os.Getenv("LAB_TEST_PREPARE") != "" {
		lacks, err := PreparePossible(t.Context(), Docker, Images)
		if os.Getenv("CI") == "true" {
			if lacks != "" || err == nil || !strings.Contains(err.Error(), "sudo ") {
				t.Errorf("%q, %v with CI=true, want an error that says what to run", lacks, err)
			}
			return
		}
		for _, want := range []string{"[docker images] can't be had here", "SKIP", `sudo -E env PATH="$PATH" make test`} {
			if err != nil || !strings.Contains(lacks, want) {
				t.Errorf("%q, %v, want %q in it", lacks, err, want)
			}
		}
		return
	}
	if os.Getuid() != 0 {
		Lack(t, "needs another user to become: run it as root: sudo go test ./test/lab")
	}
	top := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(top, "test")
	for _, dir := range []string{filepath.Dir(top), top} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(binary, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, ci := range []string{"", "true"} {
		cmd := exec.Command(binary, "-test.run=^TestPreparePossible$")
		cmd.Env, cmd.Dir = append(os.Environ(), "LAB_TEST_PREPARE=1", "CI="+ci), top
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("CI=%s: %v\n%s", ci, err, out)
		}
	}
}
