package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInspectPodman(t *testing.T) {
	root := t.TempDir()
	n := newNode(t, Options{PodmanRoot: root})
	const (
		kept     = "/machine.slice/libpod-1398d9176e229aeedbe7bb3d4e59106090e435bcadb884c8843c3e2bcd1a7dac.scope"
		volatile = "/libpod_parent/libpod-a5afd466b85e7da4df9f3a199a1f36ce3d208873b1c0cada6ce66efe594dfce4"
	)
	store := root + "/storage/overlay-containers"
	n.unknown(kept, "mount Podman's "+store+" read-only into the agent")

	n.must(os.MkdirAll(store, 0o700))
	n.must(os.WriteFile(store+"/containers.json", fixture(t, "podman", "containers.json"), 0o600))
	n.forget()
	c := n.known(kept, "kept2")
	if c.Runtime != "podman" || c.Image != "localhost/bb:1" || !strings.HasPrefix(c.ImageID, "sha256:2e76d3ed705b") || c.Created.Year() != 2026 || c.Unidentified != "" {
		t.Errorf("%+v", c)
	}
	n.known(kept+"/container", "kept2")
	n.unknown(volatile, store+" doesn't have the container a5afd466b85e")
	n.must(os.WriteFile(store+"/volatile-containers.json", fixture(t, "podman", "volatile-containers.json"), 0o600))
	n.forget()
	n.known(volatile, "volatile")
	if n.known(kept, "kept2") != c {
		t.Error("another pointer though nothing changed")
	}

	n.must(os.WriteFile(store+"/containers.json", []byte(`[{"id":"`+id1+`","names":["a\u001b"],"metadata":"no JSON"},{"id":"`+id2+`"}]`), 0o600))
	n.known("/libpod_parent/libpod-"+id1, "a ")
	if c := n.known("/libpod_parent/libpod-"+id2, ""); c.Unidentified == "" {
		t.Error("no reason for a missing name")
	}
	n.must(os.WriteFile(store+"/containers.json", []byte(`[{"id":`), 0o600))
	n.forget()
	n.unknown(kept, filepath.Join(store, "containers.json")+": unexpected end of JSON input")
}

// Podman's API tells what the store doesn't, and is asked again when the store shows that
// the container was renamed, has ended, or was started again.
func TestInspectPodmanAPI(t *testing.T) {
	const id = "81f8bd9a20d5da31b2b7057c052567c17ca711bac50d4e2add66cf5eb165927d"
	root := t.TempDir()
	store := root + "/storage/overlay-containers"
	fake := startFake(t, "20.10") // Podman speaks this version
	answer := string(fixture(t, "podman", "www", "inspect.json"))
	fake.set(id, []byte(answer))
	n := newNode(t, Options{PodmanRoot: root, PodmanHost: fake.host()})
	path := "/libpod_parent/libpod-" + id

	c := n.known(path, "www") // by the API alone
	if c.Runtime != "podman" || c.Label("team") != "web" || c.State != "running" || c.Health != "" || c.PID == 0 || c.NetworkMode != "none" ||
		c.Image != "localhost/lab/busybox:1" || !strings.HasPrefix(c.ImageID, "sha256:fb7115c75f14") || c.Started.IsZero() {
		t.Errorf("%+v", c)
	}

	list := string(fixture(t, "podman", "www", "containers.json"))
	data := store + "/" + id + "/userdata"
	touch := func(name string) {
		t.Helper()
		n.must(os.WriteFile(data+"/"+name, nil, 0o600))
		long := time.Now().Add(-time.Hour).Add(time.Duration(fake.count("inspect")) * time.Second)
		n.must(os.Chtimes(data, long, long)) // else it may be about to change
	}
	n.must(os.MkdirAll(data, 0o700))
	n.must(os.WriteFile(store+"/containers.json", []byte(list), 0o600))
	touch("config.json")
	n.forget()
	if n.known(path, "www") != c {
		t.Error("another pointer though nothing changed")
	}
	asked := fake.count("inspect")
	for range 10 {
		n.known(path, "www")
	}
	if got := fake.count("inspect"); got != asked {
		t.Errorf("asked %d times more though nothing changed", got-asked)
	}

	n.must(os.WriteFile(store+"/containers.json", []byte(strings.Replace(list, `"www"`, `"wwww"`, 1)), 0o600))
	fake.set(id, []byte(strings.Replace(answer, `"/www"`, `"/wwww"`, 1)))
	n.known(path, "wwww")

	ended := strings.NewReplacer(`"/www"`, `"/wwww"`, `"Status":"running","Running":true`, `"Status":"exited","Running":false`, `"ExitCode":0`, `"ExitCode":7`)
	fake.set(id, []byte(ended.Replace(answer)))
	touch("gone")
	if c := n.known(path, "wwww"); c.Exit == nil || c.Exit.Code != 7 {
		t.Errorf("after its end: %+v", c)
	}

	// Without the API what it told goes on.
	fake.stop()
	n.forget()
	if c := n.known(path, "wwww"); c.Label("team") != "web" {
		t.Errorf("%+v", c)
	}
}

func FuzzDecodePodman(f *testing.F) {
	f.Add(fixture(f, "podman", "containers.json"))
	f.Add(fixture(f, "podman", "volatile-containers.json"))
	f.Add([]byte(`[null,{"metadata":"{\"name\":7}","names":[null]}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := decodePodman(b)
		if err != nil {
			return
		}
		for _, p := range all {
			c := p.container("/x")
			if clean(c.Name, maxText) != c.Name || (c.Name == "") != (c.Unidentified != "") {
				t.Errorf("%+v", c)
			}
		}
	})
}
