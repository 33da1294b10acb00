package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// What is mounted, and where the agent finds it then. Values are without the directory that
// stands for the container's root.
func TestFind(t *testing.T) {
	// What every container has.
	own := []string{"proc/stat", "sys/fs/cgroup/memory", "sys/devices/system/cpu"}
	// The stack file's mounts.
	stack := []string{"host/proc/stat", "host/sys/fs/cgroup/cgroup.controllers", "var/lib/docker/containers/"}
	// cAdvisor's: the node's root, run, sys and the engine's folder.
	canonical := []string{
		"rootfs/proc/stat", "rootfs/sys/fs/cgroup/cgroup.controllers", "rootfs/sys/devices/system/cpu",
		"rootfs/etc/", "rootfs/usr/", "rootfs/var/lib/docker/containers/", "rootfs/var/lib/containers/storage/overlay-containers/",
		"var/lib/docker/containers/", "var/run/containerd/containerd.sock", "var/run/containerd/io.containerd.runtime.v2.task/",
	}
	f := func(name string, args []string, want map[string]string, files ...[]string) {
		t.Helper()
		root := t.TempDir()
		for _, list := range files {
			for _, file := range list {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if file[len(file)-1] == '/' {
					os.MkdirAll(path, 0o755)
				} else if err := os.WriteFile(path, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		o := new(options)
		fs := o.flags(io.Discard)
		if _, err := o.parse(fs, args, nil, io.Discard, printOptions); err != nil {
			t.Fatal(err)
		}
		o.find(fs, root)
		for _, s := range soughtFiles() {
			value, origin := want[s.option], found
			if value == "" {
				value, origin = fs.Lookup(s.option).DefValue, ""
			} else {
				value = root + value
			}
			if o.named(s.option) {
				continue
			}
			if got := fs.Lookup(s.option).Value.String(); got != value || o.origins[s.option] != origin {
				t.Errorf("%s: -%s is %q (%s), want %q", name, s.option, got, o.origins[s.option], value)
			}
		}
	}
	f("nothing", nil, nil, own)
	f("stack", nil, map[string]string{"proc-root": "/host/proc", "cgroup-root": "/host/sys/fs/cgroup"}, own, stack)
	asCAdvisor := map[string]string{
		"proc-root": "/rootfs/proc", "cgroup-root": "/rootfs/sys/fs/cgroup", "sys-root": "/rootfs/sys", "host-root": "/rootfs",
		"podman-root": "/rootfs/var/lib/containers", "containerd-run": "/var/run/containerd", "containerd": "/var/run/containerd/containerd.sock",
	}
	f("cAdvisor", nil, asCAdvisor, own, canonical)
	// The engine's folder isn't mounted at its own place.
	f("cAdvisor without the engine's folder", nil,
		map[string]string{"proc-root": "/rootfs/proc", "cgroup-root": "/rootfs/sys/fs/cgroup", "sys-root": "/rootfs/sys", "host-root": "/rootfs",
			"docker_root": "/rootfs/var/lib/docker", "podman-root": "/rootfs/var/lib/containers"},
		own, canonical[:7])
	// What somebody has said counts, also if it says what is the default.
	f("said", []string{"-proc-root=/proc", "-host-root="},
		map[string]string{"cgroup-root": "/rootfs/sys/fs/cgroup", "sys-root": "/rootfs/sys", "podman-root": "/rootfs/var/lib/containers",
			"containerd-run": "/var/run/containerd", "containerd": "/var/run/containerd/containerd.sock"}, own, canonical)
	// A single file of the node isn't its root, nor is its cgroup tree its /sys.
	f("files", nil, nil, own, []string{"host/etc/machine-id", "host/sys/fs/", "rootfs/etc/os-release", "rootfs/usr/lib/os-release"})
	f("both", nil, map[string]string{
		"proc-root": "/host/proc", "cgroup-root": "/host/sys/fs/cgroup", "sys-root": "/rootfs/sys", "host-root": "/rootfs",
		"podman-root": "/rootfs/var/lib/containers", "containerd-run": "/var/run/containerd", "containerd": "/var/run/containerd/containerd.sock",
	}, own, stack, canonical)
}

// What is found is told with where it was found.
func TestFoundIsTold(t *testing.T) {
	o := new(options)
	fs := o.flags(io.Discard)
	o.ProcRoot, o.origins = "/rootfs/proc", map[string]string{"proc-root": found}
	got, err := json.Marshal(o.settings(fs, false))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"proc-root","variable":"SWARMGAUGE_PROC_ROOT","value":"/rootfs/proc","origin":"found"}]`
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is missing is to be mounted where the agent looks for it, and nothing has to say so; a
// variable that says otherwise is to be changed.
func TestMendsOfWhatIsSought(t *testing.T) {
	f := func(origin, want string) {
		t.Helper()
		c := checks{o: &options{origins: map[string]string{"proc-root": origin}}}
		m := c.mountAt("proc-root", "/proc", "/proc", "/proc")
		if got := m.line(&place{kind: inContainer}).String(); got != "docker run: "+want {
			t.Errorf("%s", got)
		}
	}
	f("", "-v /proc:/host/proc:ro")
	f(found, "-v /proc:/host/proc:ro")
	f("SWARMGAUGE_PROC_ROOT", "-v /proc:/host/proc:ro -e SWARMGAUGE_PROC_ROOT=/host/proc")
}
