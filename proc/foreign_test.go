package proc

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

// The test runs itself again: with contained, a directory, in new namespaces, then with
// confined also without capabilities.
const (
	contained = "PROC_TEST_CONTAINED"
	confined  = "PROC_TEST_CONFINED"
)

// An agent in a container has PID, mount, network and cgroup namespaces of its own, no
// capabilities, and the node's /proc mounted beside its own. What it reads of the node is
// the node's all the same.
func TestFromContainer(t *testing.T) {
	needRoot(t)
	switch dir := os.Getenv(contained); {
	case os.Getenv(confined) != "":
		lookFromContainer(t, filepath.Join(dir, "proc"))
		return
	case dir != "":
		enterContainer(t, dir)
	}
	var node metric.Sample
	if err := openNode(t, "/proc").Read(&node, true); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestFromContainer$", "-test.v")
	cmd.Env = append(os.Environ(), contained+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for row := range node.Rows(metric.PerInterface) {
		if name := node.Key(metric.PerInterface, row).Name; !bytes.Contains(out, []byte("interface "+name+"\n")) {
			t.Errorf("the node's %s can't be seen from the container:\n%s", name, out)
		}
	}
}

// enterContainer, in new namespaces, makes the mounts of a container in dir and runs the
// test again without capabilities.
func enterContainer(t *testing.T, dir string) {
	root := filepath.Join(dir, "proc")
	if err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		os.Mkdir(root, 0o755),
		unix.Mount("/proc", root, "", unix.MS_BIND, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
	); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // what is dropped is this thread's, which becomes the process
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && err != unix.EINVAL {
			t.Fatal(err)
		}
	}
	t.Fatal(unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), confined+"=1")))
}

// lookFromContainer is the test proper.
func lookFromContainer(t *testing.T, root string) {
	if status, err := os.ReadFile("/proc/self/status"); err != nil || !bytes.Contains(status, []byte("CapEff:\t0000000000000000\n")) {
		t.Fatalf("there are capabilities left: %v\n%s", err, status)
	}
	fs := open(t, root)
	self, err := fs.Self()
	if err != nil || self == os.Getpid() {
		t.Fatalf("process %d, %v, want its id on the node", self, err)
	}
	own, err := fs.OpenNet(self, "", new(NetBuffer))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	n := openNode(t, root)
	if n.Namespace() == 0 || n.Namespace() == own.Namespace() {
		t.Errorf("the node's network namespace is %d, the agent's %d", n.Namespace(), own.Namespace())
	}
	var s metric.Sample
	if err := n.Read(&s, true); err != nil {
		t.Error(err)
	}
	for row := range s.Rows(metric.PerInterface) {
		os.Stdout.WriteString("interface " + s.Key(metric.PerInterface, row).Name + "\n")
	}
	if err := fs.NewFilesystems("").Read(new(metric.Sample)); err != nil {
		t.Error(err)
	}
	if _, err := fs.Identity(IdentityOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := fs.PidsByContainer(t.Context()); err != nil {
		t.Error(err)
	}
}
