// Package lab gives tests and demonstrations the real things that an agent
// meets, on one Linux machine and without an image registry: Docker engines of
// several years, a Swarm of several nodes, Elasticsearch, and machines with a
// unified cgroup hierarchy.
//
//   - [Engine] is a Docker engine of its own: data, network, mounts.
//   - [Node] is a container that behaves as a machine with its own engine;
//     [Swarm] joins several of them.
//   - [Podman] and [Containerd] run containers without Docker.
//   - [ElasticsearchServer] is a single-node server that can be stopped and started
//     again on its data.
//   - [PrometheusServer] is a server that scrapes what it is told to.
//   - [RunInitramfs] and [RunSystemd] boot a Linux kernel in an emulator, run a
//     script there and return what it printed.
//
// What takes long to make (root file systems, kernels, downloads) is made once
// and kept in [CacheDir]. What must be installed is installed by [Install];
// tests ask for it through [Need], which is the place that decides whether a
// test runs, installs or skips.
//
// Everything ends with its Close method, and also when the process that started
// it dies. Several processes may use the package at once: nothing has a fixed
// port, name or address.
//
// The package is not for production code and has no fakes: what needs faults on
// demand uses the fakes of the packages under test. Debian on amd64 is the only
// platform that it was made for; engines and nodes need root.
//
// A value's methods may be called from several goroutines at once unless their
// comments say otherwise.
package lab
