package docker

import (
	"strings"
	"testing"
)

const (
	id1 = "de2015af4df315612086bbb19a726d7492922368f14275cd2f455c238378f5f5"
	id2 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func TestRecognize(t *testing.T) {
	f := func(path, runtime, id string) {
		t.Helper()
		r, got, ok := recognize(path)
		if r != runtime || got != id || ok != (id != "") {
			t.Errorf("recognize(%q) = %q, %q, %v; want %q, %q", path, r, got, ok, runtime, id)
		}
	}
	none := func(path string) { t.Helper(); f(path, "", "") }

	// Docker
	f("/docker/"+id1, "docker", id1)
	f("/docker/"+id2+"/docker/"+id1, "docker", id1) // docker in docker
	f("/system.slice/docker-"+id1+".scope", "docker", id1)
	f("/customparent.slice/customparent-a.slice/docker-"+id1+".scope", "docker", id1)
	f("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-"+id1+".scope", "docker", id1)
	f("/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service/"+id1, "docker", id1)
	f("/my/own/parent/"+id1, "docker", id1)
	f("/system.slice:docker:"+id1, "docker", id1)
	f("/ecs/0f3b9d3f2f3f4d0e8f3f/"+id1, "docker", id1)
	f("/../docker/"+id1, "docker", id1) // from within a cgroup namespace
	f("/"+id1, "docker", id1)
	f(id1, "docker", id1)

	// Podman
	f("/machine.slice/libpod-"+id1+".scope", "podman", id1)
	f("/machine.slice/libpod-"+id1+".scope/container", "podman", id1)
	f("/machine.slice/machine-libpod_pod_"+id2+".slice/libpod-"+id1+".scope", "podman", id1)
	f("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-"+id1+".scope/container", "podman", id1)
	f("/libpod_parent/libpod-"+id1, "podman", id1)
	f("/libpod_parent/"+id1, "podman", id1)
	none("/machine.slice/libpod-conmon-" + id1 + ".scope")
	none("/libpod_parent/libpod-conmon-" + id1)
	none("/machine.slice/machine-libpod_pod_" + id1 + ".slice")
	none("/machine.slice/libpod-" + id1 + ".scope/container/init.scope")
	none("/system.slice/" + id1 + ".service") // health check of Podman
	none("/system.slice/" + id1 + "-59a1be6c4a9f9cd6.service")
	none("/system.slice/" + id1 + ".timer")

	// containerd
	f("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0123_4567.slice/cri-containerd-"+id1+".scope", "containerd", id1)
	f("/kubepods/burstable/pod7b4b0f0c-1b1c-4f55-8b6b-2f5f0c1f2a3b/"+id1, "containerd", id1)
	f("/docker/"+id2+"/kubelet/kubepods/burstable/pod7b4b0f0c/"+id1, "containerd", id1) // kind
	f("/kubepods-besteffort-pod7b4b.slice:cri-containerd:"+id1, "containerd", id1)
	f("/system.slice/nerdctl-"+id1+".scope", "containerd", id1)
	f("/default/"+id1, "containerd", id1)
	f("/k8s.io/"+id1, "containerd", id1)

	// CRI-O
	f("/kubepods.slice/kubepods-pod0123.slice/crio-"+id1+".scope", "crio", id1)
	f("/kubepods/besteffort/pod0123/crio-"+id1, "crio", id1)
	none("/kubepods.slice/kubepods-pod0123.slice/crio-conmon-" + id1 + ".scope")

	// no containers
	none("")
	none("/")
	none("/docker")
	none("/docker/" + id1 + "/init.scope")
	none("/docker/" + id1 + "/container")
	none("/docker/" + id1 + "/")
	none("/system.slice/docker.service")
	none("/system.slice/docker-" + id1 + ".scope/system.slice/ssh.service")
	none(`/system.slice/var-lib-docker-containers-` + id1 + `-mounts-shm.mount`)
	none(`/system.slice/var-lib-docker-overlay2-` + id1 + `-merged.mount`)
	none("/docker/" + id1[:63])
	none("/docker/" + id1 + "a")
	none("/docker/" + strings.ToUpper(id1))
	none("/lxc.payload.web")
	none("/docker/buildkit/xzk3tvd4gvj3jx0y2mx5q4k2u")
}

func TestRecognizeAllocs(t *testing.T) {
	path := "/system.slice/docker-" + id1 + ".scope"
	if n := testing.AllocsPerRun(100, func() { recognize(path) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRecognize(f *testing.F) {
	f.Add("/docker/" + id1)
	f.Add("/machine.slice/libpod-" + id1 + ".scope/container")
	f.Add("/system.slice:docker:" + id1)
	f.Add("/" + strings.Repeat("a", 200))
	f.Fuzz(func(t *testing.T, path string) {
		runtime, id, ok := recognize(path)
		if !ok {
			if runtime != "" || id != "" {
				t.Fatalf("not recognized, and yet %q, %q", runtime, id)
			}
			return
		}
		if runtime == "" || len(id) != idLength || strings.Trim(id, "0123456789abcdef") != "" || !strings.Contains(path, id) {
			t.Fatalf("recognize(%q) = %q, %q", path, runtime, id)
		}
		// What a container makes inside its own cgroup is none.
		if r, _, ok := recognize(path + "/init.scope"); ok {
			t.Fatalf("%q is recognized as %q", path+"/init.scope", r)
		}
	})
}

func BenchmarkRecognize(b *testing.B) {
	path := "/system.slice/docker-" + id1 + ".scope"
	b.ReportAllocs()
	for b.Loop() {
		recognize(path)
	}
}
