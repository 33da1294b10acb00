package docker

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

func TestNewHost(t *testing.T) {
	f := func(host, want string) {
		t.Helper()
		e, err := New(Options{Host: host})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", host, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want %q in it", host, err, want)
		}
		if e != nil {
			e.Close()
		}
	}
	f("", "")
	f("unix:///var/run/docker.sock", "")
	f("tcp://10.0.0.1:2376", "")
	f("/var/run/docker.sock", `the engine's address "/var/run/docker.sock"`)
}

func TestInspectFromSocket(t *testing.T) {
	for _, engine := range engines() {
		fake := startFake(t, engine)
		n := newNode(t, Options{Host: fake.host()})
		for _, name := range []string{"web", "side", "failed"} {
			path := fake.add(engine, name)
			c := n.known(path, name)
			for range 10 {
				if n.known(path, name) != c {
					t.Fatalf("%s/%s: another pointer", engine, name)
				}
			}
			switch name {
			case "web":
				if c.Health != "healthy" || c.NetworkMode != "bridge" || c.PID == 0 {
					t.Errorf("%s/web: %+v", engine, c)
				}
			case "failed":
				if c.Exit == nil || c.Exit.Code != 3 || c.State != "exited" {
					t.Errorf("%s/failed: %+v", engine, c)
				}
			}
		}
		if got := fake.count("inspect"); got != 3 {
			t.Errorf("%s: %d inspections of 3 containers", engine, got)
		}
		if got := fake.count("refused"); got != 0 {
			t.Errorf("%s: %d requests of a version that the engine doesn't have", engine, got)
		}
		n.unknown("/docker/"+id1, "the engine at "+fake.host()+" doesn't know the container "+id1[:12])
	}
}

// TestInspectDocker29 asks an engine that refuses versions before 1.44, as Docker does since
// 29. cAdvisor speaks at most 1.41 up to its version 0.49, and loses all names there.
// With an engine of years to come the newest that the agent knows is agreed on.
func TestInspectDocker29(t *testing.T) {
	for _, engine := range []struct{ version, oldest, agreed string }{
		{"1.52", "1.44", "1.52"},
		{"1.99", "1.50", client.MaxAPIVersion},
	} {
		fake := startFake(t, "28.5")
		fake.version, fake.oldest = engine.version, engine.oldest
		n := newNode(t, Options{Host: fake.host()})
		n.known(fake.add("28.5", "web"), "web")
		if info, err := n.Node(t.Context()); err != nil || info.EngineVersion == "" || info.APIVersion != engine.agreed {
			t.Errorf("an engine with API %s: %+v, %v", engine.version, info, err)
		}
		if got := fake.count("refused"); got != 0 {
			t.Errorf("an engine with API %s refused %d requests", engine.version, got)
		}
	}
}

// TestInspectBoth holds that the disk stays the source where it is mounted, and the
// socket adds what the disk doesn't have.
func TestInspectBoth(t *testing.T) {
	fake := startFake(t, "28.5")
	n := newNode(t, Options{Host: fake.host()})
	side := n.add("28.5", "side")
	n.known(side, "side")
	if got := fake.count("inspect"); got != 0 {
		t.Errorf("%d inspections of a container on disk", got)
	}
	// Engine 28 leaves "starting" on disk; the API knows better, and is asked once.
	web := n.add("28.5", "web")
	fake.add("28.5", "web")
	for range 10 {
		if c := n.known(web, "web"); c.Health != "healthy" {
			t.Errorf("health %q", c.Health)
		}
	}
	if got := fake.count("inspect"); got != 1 {
		t.Errorf("%d inspections for one container's health", got)
	}
	// What is on no disk is asked for.
	hosted := fake.add("28.5", "hosted")
	n.known(hosted, "hosted")

	// The disk's word counts again without the engine, but for health.
	fake.stop()
	n.forget()
	if c := n.known(web, "web"); c.Health != "" {
		t.Errorf("health %q though nobody knows", c.Health)
	}
	n.known(hosted, "hosted") // stays known
	n.unknown("/docker/"+id1, "doesn't have the container", "and the engine doesn't answer at "+fake.host())
}

func TestInspectSilentEngine(t *testing.T) {
	// An engine that hangs: it takes connections, and says nothing.
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := newNode(t, Options{Host: "unix://" + path})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.Inspect(ctx, "/docker/"+id1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}

	// One that refuses: told once, and not asked again for each container.
	l.Close()
	os.Remove(path)
	n.unknown("/docker/"+id1, "isn't there: mount", "and the engine doesn't answer at unix://"+path)
	start := time.Now()
	for range 1000 {
		n.forget()
		n.unknown("/docker/"+id2, "the engine doesn't answer")
	}
	if d := time.Since(start); d > time.Second && !raceEnabled {
		t.Errorf("1000 containers without an engine took %v", d)
	}
}

func TestInspectConcurrently(t *testing.T) {
	fake := startFake(t, "28.5")
	n := newNode(t, Options{Host: fake.host()})
	paths := []string{fake.add("28.5", "web"), fake.add("28.5", "side"), n.add("28.5", "hosted"), "/docker/" + id1}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				n.Inspect(t.Context(), paths[(i+j)%len(paths)])
				if j%10 == 0 {
					n.cache.changed(id1, "", time.Now())
					n.Node(t.Context())
				}
			}
		})
	}
	wg.Wait()
	n.known(paths[0], "web")
}

func TestTLS(t *testing.T) {
	fake := startFake(t, "28.5")
	server := httptest.NewUnstartedServer(fake)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	host := "tcp://" + server.Listener.Addr().String()
	path := fake.add("28.5", "web")

	// The files may come late: they are read at each connection.
	n := newNode(t, Options{Host: host, TLS: &TLS{CA: ca}})
	n.unknown(path, ca)
	pemCert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	n.must(os.WriteFile(ca, pemCert, 0o600))
	n.socket.silent = nil // as after a while
	n.forget()
	n.known(path, "web")

	// Nobody vouches for that engine.
	n = newNode(t, Options{Host: host, TLS: &TLS{}})
	n.unknown(path, "certificate signed by unknown authority")
}

func TestNode(t *testing.T) {
	n := newNode(t, Options{})
	if got, err := n.Node(t.Context()); got != (Node{}) || err == nil {
		t.Errorf("nothing known: %+v, %v", got, err)
	}
	path := n.add("28.5", "shop_api.1")
	if _, err := n.Inspect(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if got, err := n.Node(t.Context()); got != (Node{SwarmID: "0ogsb6melpfb8bfvswezve790"}) || err == nil {
		t.Errorf("from labels: %+v, %v", got, err)
	}

	for _, engine := range engines() {
		fake := startFake(t, engine)
		n := newNode(t, Options{Host: fake.host()})
		got, err := n.Node(t.Context())
		var want struct {
			ServerVersion string
			Swarm         struct {
				NodeID  string
				Cluster struct{ ID string }
			}
		}
		if err := json.Unmarshal(fake.info, &want); err != nil {
			t.Fatal(err)
		}
		if err != nil || got != (Node{
			Name: "node1", EngineVersion: want.ServerVersion, Root: "/var/lib/docker",
			SwarmID: want.Swarm.NodeID, ClusterID: want.Swarm.Cluster.ID, Manager: true,
			APIVersion: map[string]string{"20.10": "1.41", "26.1": "1.45", "28.5": "1.51"}[engine],
		}) || len(got.SwarmID) != 25 || !strings.HasPrefix(got.EngineVersion, engine) {
			t.Errorf("%s: %+v, %v", engine, got, err)
		}
		n.unknown("/docker/"+id1, "doesn't know the container")
	}
}
