package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
