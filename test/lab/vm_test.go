package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The kernel of the small machine has a unified hierarchy with all controllers
// on, accounts direct IO to the cgroup that did it, and reports pressure.
func TestInitramfs(t *testing.T) {
	Need(t, Initramfs)
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, make([]byte, 4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := RunInitramfs(t.Context(), VM{
		Files: []File{{Name: "hello", Data: "#!/bin/sh\necho hello from $1\n"}},
		Disk:  disk,
		Script: `
cat /sys/fs/cgroup/cgroup.subtree_control
./hello payload
cd /sys/fs/cgroup && mkdir lab
sh -c 'echo $$ > lab/cgroup.procs && exec dd if=/dev/zero of=$DISK bs=1M count=2 oflag=direct 2>/dev/null'
cat lab/io.stat
cat lab/cpu.pressure
exit 3
`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != 3 {
		t.Errorf("status %d, want 3", got.Status)
	}
	for _, want := range []string{"cpu io memory", "pids", "hello from payload\n", " wbytes=2097152 ", "some avg10="} {
		if !strings.Contains(got.Output, want) {
			t.Errorf("output lacks %q:\n%s", want, got.Output)
		}
	}
}

// A machine that never ends its script is ended by its context, and the error
// has what it printed.
func TestInitramfsDeadline(t *testing.T) {
	Need(t, Initramfs)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := RunInitramfs(ctx, VM{Script: "echo started; sleep 1000"})
	if err == nil || !strings.Contains(err.Error(), "deadline exceeded") || !strings.Contains(err.Error(), "started") {
		t.Errorf("error %v", err)
	}
}

// Docker under systemd puts a container into a scope of the unified hierarchy.
func TestSystemd(t *testing.T) {
	Need(t, Systemd)
	ctx := t.Context()
	got, err := RunSystemd(ctx, Bookworm, VM{Script: `
set -e
mkdir /box && cp /bin/busybox /box
tar -C /box -c . | docker import - box > /dev/null
docker info --format '{{.CgroupDriver}} {{.CgroupVersion}}'
id=$(docker run -d --cpus 0.5 box /busybox sleep 1000)
cat /sys/fs/cgroup/system.slice/docker-$id.scope/cpu.max
`})
	if err != nil {
		t.Fatal(err)
	}
	if want := "systemd 2\n50000 100000\n"; got.Output != want || got.Status != 0 {
		t.Errorf("status %d, output %q, want %q", got.Status, got.Output, want)
	}
}

func TestParseConsole(t *testing.T) {
	f := func(text string, want VMResult, wantOK bool) {
		t.Helper()
		if got, ok := parseConsole(text); got != want || ok != wantOK {
			t.Errorf("%q: %+v, %v, want %+v, %v", text, got, ok, want, wantOK)
		}
	}
	f("boot\n\nlab-begin\nout\n\nlab-end 0\n", VMResult{Output: "out\n"}, true)
	f("\nlab-begin\n\nlab-end 12\n", VMResult{Output: "", Status: 12}, true)
	f("\nlab-begin\nno newline\nlab-end 1\nmore", VMResult{Output: "no newline", Status: 1}, true)
	f("\nlab-begin\nKernel panic\n", VMResult{}, false)
	f("\nlab-begin\n\nlab-end x\n", VMResult{}, false)
	f("", VMResult{}, false)
}
