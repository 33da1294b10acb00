package docker

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// apiContainer is the container of testdata/containerd/get.bin.
var apiContainer = strings.Repeat("abcd", 16) // immutable

// startContainerd answers on a unix socket as containerd does, with what testdata recorded,
// for the container in the namespace "default". It returns the path of the socket and
// counts the questions.
func startContainerd(t *testing.T) (path string, asked *atomic.Int64) {
	t.Helper()
	path, asked = filepath.Join(t.TempDir(), "containerd.sock"), new(atomic.Int64)
	answer := fixture(t, "containerd", "get.bin")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		question, err := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		id := apiContainer
		if string(question) != "\x00\x00\x00\x00\x42\x0a\x40"+id || err != nil || r.Header.Get("containerd-namespace") != "default" {
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "not found")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write(answer)
		w.Header().Set("Grpc-Status", "0")
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return path, asked
}

func TestInspectContainerdAPI(t *testing.T) {
	socket, asked := startContainerd(t)
	n := newNode(t, Options{ContainerdRun: t.TempDir(), ContainerdSocket: socket, ContainerdNamespace: "default"})
	path := "/default/" + apiContainer
	c := n.known(path, "named")
	want := []metric.Label{{Key: "io.containerd.image.config.stop-signal", Value: "SIGTERM"}, {Key: "nerdctl/name", Value: "named"}, {Key: "team", Value: "web"}}
	if c.Runtime != "containerd" || c.ID != apiContainer || c.Image != "localhost/lab/busybox:1" || len(c.Labels) != len(want) ||
		c.Created.Truncate(time.Minute) != time.Date(2026, 11, 25, 22, 53, 0, 0, time.UTC) {
		t.Errorf("%+v", c)
	}
	for i, l := range want {
		if c.Labels[i] != l {
			t.Errorf("label %v, want %v", c.Labels[i], l)
		}
	}
	for range 10 {
		if n.known(path, "named") != c {
			t.Fatal("another pointer though nothing changed")
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	n.unknown("/default/"+id1, "mount containerd's", "namespace \"default\": the container isn't there")

	gone := newNode(t, Options{ContainerdRun: t.TempDir(), ContainerdSocket: socket + ".not", ContainerdNamespace: "default"})
	gone.unknown(path, "containerd doesn't answer at "+socket+".not: dial unix")
}

// A namespace that was told is recognized by the cgroup, another one by the bundle.
func TestContainerdNamespaces(t *testing.T) {
	run := t.TempDir()
	n := newNode(t, Options{ContainerdRun: run, ContainerdNamespace: "shop"})
	if runtime, id, ok := n.Recognize("/shop/" + id1); runtime != "containerd" || id != id1 || !ok {
		t.Errorf("%s %s %v", runtime, id, ok)
	}
	if runtime, _, _ := n.Recognize("/else/" + id1); runtime != "docker" {
		t.Errorf("an unknown parent's container is of %s", runtime)
	}
	bundle := func(namespace, id string) {
		dir := filepath.Join(run, "io.containerd.runtime.v2.task", namespace, id)
		n.must(os.MkdirAll(dir, 0o711))
		n.must(os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o644))
		n.must(os.WriteFile(filepath.Join(dir, "init.pid"), []byte("42"), 0o644))
	}
	bundle("else", id1)
	c := n.known("/else/"+id1, id1)
	if c.Runtime != "containerd" || c.PID != 42 || time.Since(c.Started) > time.Minute || c.Unidentified != "" {
		t.Errorf("%+v", c)
	}
	n.forget()
	if n.known("/else/"+id1, id1) != c {
		t.Error("another pointer though nothing changed")
	}
	// Docker's own containers are Docker's to tell of.
	bundle("moby", id2)
	n.unknown("/docker/"+id2, "containers")
}

func FuzzDecodeContainerd(f *testing.F) {
	answer := fixture(f, "containerd", "get.bin")
	f.Add(answer)
	f.Add([]byte("\x00\x00\x00\x00\x04\x0a\x02\x1a\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x06\x0a\x04\x42\x02\x08\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeContainerd(b)
		if err != nil {
			return
		}
		if len(b) < grpcPrefix || int(binary.BigEndian.Uint32(b[1:])) != len(b)-grpcPrefix {
			t.Errorf("%d bytes were taken", len(b))
		}
		c := a.container(nil, "/default/"+id1, id1)
		if c.Name == "" || clean(c.Name, maxText) != c.Name || clean(c.Image, maxText) != c.Image {
			t.Errorf("%+v", c)
		}
	})
}
