package lab

import (
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// A container of an engine is a process in a cgroup of this machine, can be
// reached from here at its own address, and reaches this machine.
func TestEngine(t *testing.T) {
	e := EngineFor(t)
	ctx := t.Context()
	id, err := e.Docker(ctx, "run", "--detach", "--name", "web", "--publish", "8080:80", BusyboxImage,
		"sh", "-c", "echo hello > /tmp/index.html && exec httpd -f -p 80 -h /tmp")
	if err != nil {
		t.Fatal(err)
	}
	cgroup, err := e.Docker(ctx, "exec", "web", "cat", "/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(cgroup, id) && !strings.Contains(cgroup, "0::/\n") {
		t.Errorf("cgroups of container %s:\n%s", id, cgroup)
	}
	addr, err := e.Docker(ctx, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web")
	if err != nil {
		t.Fatal(err)
	}
	f := func(url string) {
		t.Helper()
		if got := fetch(t, url); got != "hello\n" {
			t.Errorf("GET %s: %q, want %q", url, got, "hello\n")
		}
	}
	f("http://" + addr + ":80/")
	f("http://" + e.Addr().String() + ":8080/")

	listener, err := net.Listen("tcp", netip.AddrPortFrom(e.Gateway(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(listener)
	defer server.Close()
	_, err = e.Docker(ctx, "exec", "web", "wget", "-q", "-O", "-", "http://"+listener.Addr().String()+"/")
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("from a container to this machine: %v, want status 404", err)
	}
}

// An imported image has the files and the metadata that it was given.
func TestImport(t *testing.T) {
	e := EngineFor(t)
	box, err := busybox().get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = e.Import(t.Context(), "echo:test", []File{
		{Name: "/opt/echo", Source: filepath.Join(box, "bin/busybox")},
	}, `ENTRYPOINT ["/opt/echo"]`)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := e.Docker(t.Context(), "run", "--rm", "echo:test", "hello"); err != nil || out != "hello" {
		t.Errorf("a container said %q (%v), want hello", out, err)
	}
}

// An engine ends with the process that started it, and a successor in its slot
// finds nothing of it.
func TestReap(t *testing.T) {
	e := EngineFor(t)
	ctx := t.Context()
	id, err := e.Docker(ctx, "run", "--detach", BusyboxImage, "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	cgroups := func() (found []string) {
		for _, pattern := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/*/*/", "/sys/fs/cgroup/*/*/*/"} {
			dirs, _ := filepath.Glob(pattern + "*" + strings.TrimSpace(id) + "*")
			found = append(found, dirs...)
		}
		return found
	}
	if len(cgroups()) == 0 {
		t.Error("the container has no cgroup")
	}
	pids, err := e.slot.processes()
	if err != nil {
		t.Fatal(err)
	}
	if len(pids) < 4 { // engine, containerd, shim, sleep
		t.Errorf("the engine has only the processes %v", pids)
	}
	if err := e.slot.reap(); err != nil {
		t.Fatal(err)
	}
	if left := cgroups(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for _, pid := range pids {
		if state, _, err := readStat(pid); err == nil && state != 'Z' {
			t.Errorf("process %d is in state %c", pid, state)
		}
	}
}

func TestSlotRuns(t *testing.T) {
	s := &slot{n: 1, run: runRoot + "/1"}
	f := func(want bool, args ...string) {
		t.Helper()
		if got := s.runs(strings.Join(args, "\x00") + "\x00"); got != want {
			t.Errorf("%q: %v, want %v", args, got, want)
		}
	}
	f(true, "/usr/sbin/dockerd", "--exec-root", s.run+"/exec", "--pidfile", s.run+"/pid")
	f(true, "containerd", "--config", s.run+"/exec/containerd/containerd.toml")
	f(true, "/usr/bin/containerd-shim-runc-v2", "-address", s.run+"/exec/containerd/containerd.sock")
	f(false, "containerd", "--config", runRoot+"/11/exec/containerd/containerd.toml")
	f(false, "dockerd")
	f(false, "sh", "-c", "ls "+s.run+"/exec/containerd")
	f(false)
}
