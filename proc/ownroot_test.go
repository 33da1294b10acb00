package proc

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Started again by TestOwnRoot with a root directory or a PID namespace of its own, the test
// prints what it is told there.
const ownRootEnv = "SWARMGAUGE_TEST_OWN_ROOT"

func TestOwnRoot(t *testing.T) {
	fs, err := Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if where := os.Getenv(ownRootEnv); where != "" {
		if fs.OwnRoot() {
			t.Errorf("%s is taken for the machine's root", where)
		}
		return
	}
	needRoot(t)
	var pids unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &pids); err != nil {
		t.Fatal(err)
	}
	var first, own unix.Stat_t
	// Some machines let nobody look at their first process.
	hidden := unix.Stat("/proc/1/root", &first) != nil
	if err := unix.Stat("/", &own); err != nil {
		t.Fatal(err)
	}
	inContainer := hidden || pids.Ino != 0xEFFFFFFC || first.Ino != own.Ino || first.Dev != own.Dev
	if fs.OwnRoot() == inContainer {
		t.Errorf("the test is in a container: %v, and the root is taken for the machine's: %v", inContainer, fs.OwnRoot())
	}
	// A PID namespace of its own, with its own /proc, on the same root.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.Command("unshare", "--pid", "--fork", "--mount-proc", self, "-test.run", "^TestOwnRoot$")
	again.Env = append(os.Environ(), ownRootEnv+"=a PID namespace of its own")
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
