// Package docker says who a cgroup is: which container runtime made it, and under which
// name, image, labels and Swarm task.
//
// The first source is the engine's own record on disk, containers/<id>/config.v2.json
// below its data root, which needs no socket and wakes no daemon. The second is the
// engine's API, when its socket is given: it identifies where the disk isn't mounted,
// and it alone tells events (start, exit, OOM, health). Of Podman's and containerd's
// containers the disk tells names and starts, and their APIs, when they are given, the
// labels and the rest; CRI-O's containers keep their id.
//
// Never here: the environment of a container, which holds secrets (what is decoded has
// no field for it, and the bytes are wiped), the engine's statistics API, and any
// request per sample.
//
// An Engine's methods may be called by any number of goroutines at once, except that
// one Watch runs at a time.
package docker
