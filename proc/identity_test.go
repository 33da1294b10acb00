package proc

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmgauge/swarmgauge/metric"
)

const goodID = "0123456789abcdef0123456789abcdef"

func TestIdentityFixture(t *testing.T) {
	host := t.TempDir()
	write(t, host, "machine-id", goodID+"\n")
	if err := os.Mkdir(filepath.Join(host, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, host, "etc/os-release", "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")
	got, err := open(t, copyMachine(t, v1Machine)).Identity(IdentityOptions{
		MachineIDs: []string{filepath.Join(host, "none"), filepath.Join(host, "machine-id")}, HostRoot: host,
	})
	want := metric.Node{
		MachineID: goodID, BootID: "0f9ae64b-7a9a-4a58-8b1c-0d6f3a1a2f77", Kernel: "6.18.44",
		OS: "Debian GNU/Linux 12 (bookworm)", Architecture: runtime.GOARCH, CPUs: 2, MemoryBytes: 24682416 << 10,
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

// What can't be known is empty, and said; the rest is there.
func TestIdentityParts(t *testing.T) {
	root := copyMachine(t, v1Machine)
	if err := os.Remove(filepath.Join(root, "meminfo")); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(root, "no-machine-id")
	got, err := open(t, root).Identity(IdentityOptions{MachineIDs: []string{none}})
	want := metric.Node{BootID: "0f9ae64b-7a9a-4a58-8b1c-0d6f3a1a2f77", Kernel: "6.18.44", Architecture: runtime.GOARCH, CPUs: 2}
	if got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	for _, file := range []string{filepath.Join(root, "meminfo"), none} {
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("error %v doesn't name %s", err, file)
		}
	}
}

func TestIdentityLive(t *testing.T) {
	got, err := open(t, "/proc").Identity(IdentityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	if want := unix.ByteSliceToString(name.Release[:]); got.Kernel != want {
		t.Errorf("kernel %q, uname says %q", got.Kernel, want)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	if want := info.Totalram * uint64(info.Unit); got.MemoryBytes != want {
		t.Errorf("%d bytes of memory, sysinfo says %d", got.MemoryBytes, want)
	}
	if len(got.BootID) != 36 || got.CPUs < 1 {
		t.Errorf("%+v", got)
	}
}

func TestMachineID(t *testing.T) {
	f := func(want string, texts ...string) {
		t.Helper()
		dir := t.TempDir()
		files := []string{filepath.Join(dir, "none")}
		for i, text := range texts {
			name := string(rune('a' + i))
			write(t, dir, name, text)
			files = append(files, filepath.Join(dir, name))
		}
		got, err := machineID("", files)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", texts, got, err, want)
		}
	}
	f(goodID, goodID+"\n")
	f(goodID, "", "uninitialized\n", goodID)
	f(goodID, goodID[1:], goodID+"00", goodID)
	f("")
	f("", "uninitialized\n")
}

// Of each file in the list the node's goes before the agent's own, which counts where the
// node has none.
func TestIDsBelowHostRoot(t *testing.T) {
	own, root := t.TempDir(), t.TempDir()
	files := []string{filepath.Join(own, "a"), filepath.Join(own, "b")}
	f := func(want string) {
		t.Helper()
		if got, err := machineID(root, files); got != want || err != nil {
			t.Errorf("machine id %q, %v, want %q", got, err, want)
		}
		if got, err := bootID(root, files); got != want || err != nil {
			t.Errorf("boot id %q, %v, want %q", got, err, want)
		}
	}
	id := func(digit string) string { return strings.Repeat(digit, 32) }
	if _, err := machineID(root, files); err == nil || !strings.Contains(err.Error(), root+files[1]) || !strings.Contains(err.Error(), "open "+files[1]) {
		t.Errorf("error %v doesn't name all places", err)
	}
	write(t, own, "a", id("a"))
	f(id("a"))
	if err := os.MkdirAll(filepath.Join(root, own), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, own), "b", id("b"))
	f(id("b")) // the second of the list
	write(t, filepath.Join(root, own), "a", id("c"))
	f(id("c"))
	// A link that leads out of the node's root is none of the node's.
	if err := os.Remove(filepath.Join(root, own, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(files[0], filepath.Join(root, own, "a")); err != nil {
		t.Fatal(err)
	}
	f(id("b"))
}

func TestPrettyName(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := prettyName(strings.NewReader(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	f("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n", "Debian GNU/Linux 12 (bookworm)")
	f("PRETTY_NAME='Alpine Linux v3.20'", "Alpine Linux v3.20")
	f("NAME=x\n  PRETTY_NAME=Void\nPRETTY_NAME=other\n", "Void")
	f("PRETTY_NAME=\"a \\\"b\\\"\"\n", `a "b"`)
	f("NAME=x\n", "Linux")
	f("", "Linux")
}

// A link in the node's root that leads out of it isn't followed.
func TestOSNameStaysInRoot(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	write(t, outside, "os-release", "PRETTY_NAME=stranger\n")
	for _, dir := range []string{"etc", "usr/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(root, "etc/os-release")
	if err := os.Symlink(filepath.Join(outside, "os-release"), link); err != nil {
		t.Fatal(err)
	}
	if name, err := osName(root); err == nil {
		t.Errorf("%q of a file outside", name)
	}
	write(t, root, "usr/lib/os-release", "PRETTY_NAME=own\n")
	if name, err := osName(root); name != "own" || err != nil {
		t.Errorf("%q, %v, want own", name, err)
	}
	// The usual link is relative.
	os.Remove(link)
	if err := os.Symlink("../usr/lib/os-release", link); err != nil {
		t.Fatal(err)
	}
	if name, err := osName(root); name != "own" || err != nil {
		t.Errorf("%q, %v, want own", name, err)
	}
}
