package docker

import "strings"

// idLength is the length of a container id in hexadecimal digits: Docker, Podman,
// CRI-O and nerdctl all take 256 random bits, the CRI part of containerd as well.
const idLength = 64

// The runtimes' words, as metric.Container has them.
const (
	runtimeDocker     = "docker"
	runtimePodman     = "podman"
	runtimeContainerd = "containerd"
	runtimeCRIO       = "crio"
)

// Recognize tells from a cgroup's path alone which runtime made the cgroup and under
// which id. Only the last element counts, so that a cgroup which a container made
// inside its own ("/docker/<id>/init.scope") isn't one, and the inner of two nested
// containers is. What is known by sight:
//
//	/docker/<id>, /<any parent>/<id>               Docker, cgroupfs driver
//	….slice/docker-<id>.scope                      Docker, systemd driver
//	/libpod_parent/libpod-<id>                     Podman, cgroupfs driver
//	….slice/libpod-<id>.scope                      Podman, systemd driver
//	….slice/libpod-<id>.scope/container            the same, where crun put the processes
//	….slice/cri-containerd-<id>.scope, nerdctl-…   containerd, systemd driver
//	/k8s.io/<id>, /default/<id>, /kubepods/…/<id>  containerd, cgroupfs driver
//	/<namespace that was told>/<id>                the same
//	….slice/crio-<id>.scope                        CRI-O
//
// A monitor (conmon) isn't its container, and the units that systemd or Podman name
// after a container (….mount, ….service, ….timer) hold none. A bare id or an unknown
// prefix is taken for Docker's, whose cgroup parent is the user's choice.
//
// A Podman scope and the cgroup "container" in it both answer with the same id: they
// are one container, and count the same things.
func (e *Engine) Recognize(path string) (runtime, id string, ok bool) {
	runtime, id, ok = recognize(path)
	if runtime == runtimeDocker && path == "/"+e.containerd.namespace+"/"+id {
		runtime = runtimeContainerd
	}
	return runtime, id, ok
}

func recognize(path string) (runtime, id string, ok bool) {
	parent, last := splitLast(path)
	if last == "container" {
		parent, last = splitLast(parent)
		if !strings.HasPrefix(last, "libpod-") || !strings.HasSuffix(last, ".scope") {
			return "", "", false
		}
	}
	at := idIndex(last)
	if at < 0 {
		return "", "", false
	}
	if rest := last[at+idLength:]; rest != "" && rest != ".scope" {
		return "", "", false
	}
	id = last[at : at+idLength]

	// A systemd path handed to a cgroupfs driver becomes one element,
	// "system.slice:docker:<id>": the word before the id counts there too.
	prefix := strings.TrimRight(last[:at], "-:_")
	prefix = prefix[strings.LastIndexByte(prefix, ':')+1:]
	switch {
	case strings.Contains(prefix, "conmon"):
		return "", "", false
	case prefix == "":
		return ownerOfParent(parent), id, true
	case prefix == "libpod":
		return runtimePodman, id, true
	case prefix == "crio":
		return runtimeCRIO, id, true
	case prefix == "cri-containerd", prefix == "nerdctl", prefix == "containerd":
		return runtimeContainerd, id, true
	}
	return runtimeDocker, id, true
}

// ownerOfParent returns whose a cgroup is that has nothing but the id for a name.
func ownerOfParent(parent string) string {
	switch _, name := splitLast(parent); name {
	case "k8s.io", "default", "nerdctl": // containerd: the parent is its namespace
		return runtimeContainerd
	case "libpod_parent":
		return runtimePodman
	}
	if strings.Contains(parent, "/kubepods") {
		return runtimeContainerd // CRI-O has its prefix with the cgroupfs driver too
	}
	return runtimeDocker
}

// splitLast cuts the last element off a slash-separated path.
func splitLast(path string) (parent, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// idIndex returns where in s a run of exactly idLength lower-case hexadecimal digits
// begins, -1 if there is none.
func idIndex(s string) int {
	run := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && isHex(s[i]) {
			run++
			continue
		}
		if run == idLength {
			return i - idLength
		}
		run = 0
	}
	return -1
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }
