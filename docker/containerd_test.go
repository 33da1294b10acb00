package docker

import (
	"os"
	"testing"
)

func TestInspectContainerd(t *testing.T) {
	run := t.TempDir()
	n := newNode(t, Options{ContainerdRun: run})
	const id = "53038276e8f478579565a66b330b7fdc71bfcaf5a6d4ff225b21898c10688d0a"
	path := "/default/" + id
	tasks := run + "/io.containerd.runtime.v2.task"
	n.unknown(path, "mount containerd's "+tasks+" read-only into the agent")

	n.must(os.MkdirAll(tasks+"/moby/"+id2, 0o711))
	n.must(os.WriteFile(tasks+"/file", nil, 0o600))
	n.forget()
	n.unknown(path, tasks+" doesn't have the container 53038276e8f4 in any namespace")

	add := func(namespace, id string, spec []byte) {
		t.Helper()
		n.must(os.MkdirAll(tasks+"/"+namespace+"/"+id, 0o711))
		n.must(os.WriteFile(tasks+"/"+namespace+"/"+id+"/config.json", spec, 0o644))
		n.forget()
	}
	add("default", id, fixture(t, "containerd", "config.json"))
	if c := n.known(path, "named"); c.Runtime != "containerd" || c.ID != id || c.Unidentified != "" {
		t.Errorf("%+v", c)
	}
	n.known("/system.slice/nerdctl-"+id+".scope", "named")

	cri := "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id1 + ".scope"
	add("k8s.io", id1, []byte(`{"annotations":{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.image-name":"reg/app:1"}}`))
	if c := n.known(cri, "app"); c.Image != "reg/app:1" {
		t.Errorf("%+v", c)
	}
	add("k8s.io", id1, []byte(`{}`))
	n.known(cri, id1) // as containerd itself calls it
	add("k8s.io", id1, []byte(`{`))
	n.unknown(cri, tasks+"/k8s.io/"+id1+"/config.json: unexpected end of JSON input")
}

func FuzzDecodeSpec(f *testing.F) {
	f.Add(fixture(f, "containerd", "config.json"))
	f.Add([]byte(`{"annotations":{"nerdctl/name":"\u0000","io.kubernetes.cri.image-name":"\ud800"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		spec, err := decodeSpec(b, []string{"P"})
		if err != nil {
			return
		}
		c := spec.container("/default/"+id1, id1)
		if clean(c.Name, maxText) != c.Name || clean(c.Image, maxText) != c.Image || c.Name == "" {
			t.Errorf("%+v", c)
		}
	})
}
