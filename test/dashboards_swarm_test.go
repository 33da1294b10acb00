package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// What the dashboards are looked at with: a Swarm whose services do all that dashboards are
// made to show, with agents that are given all that they can use.

// shipInterval is short, so that a minute has many documents.
const shipInterval = 2 * time.Second

// watchful gives the stack file's agents what it leaves to the reader, beside the engine's
// socket: the folders in which disk space is counted, and groups of metrics that are off by
// default.
const watchful = `
version: "3.8"
services:
  agent:
    environment:
      SWARMGAUGE_SHIP_INTERVAL: 2s
      SWARMGAUGE_UPDATE_MACHINE_INFO_INTERVAL: 15s
      SWARMGAUGE_ENABLE_LOAD_READER: "true"
      SWARMGAUGE_DISABLE_METRICS: advtcp,cpu_topology,cpuset,hugetlb,memory_numa,referenced_memory,resctrl
    cap_add: [SYS_PTRACE, DAC_READ_SEARCH]
    volumes:
      - /var/lib/docker/image/overlay2/layerdb:/var/lib/docker/image/overlay2/layerdb:ro
      - /var/lib/docker/overlay2:/var/lib/docker/overlay2:ro
      - /var/lib/docker/volumes:/var/lib/docker/volumes:ro
`

// market is a stack of services that each do one thing that a dashboard shows.
//   - web is scaled up and down, and client fetches its page of 256 KiB over the overlay;
//   - burn wants a whole CPU, politely, and may have a fifth;
//   - cache holds 60 MiB of its limit of 64;
//   - writer fills its layer, a volume and its log, fetches pages, has every limit, and now
//     and then a child that wants too much;
//   - news is updated.
const market = `
version: "3.9" # has limits of processes
x-service: &service
  image: ` + lab.BusyboxImage + `
  networks: [market]
  stop_grace_period: 1s
services:
  web:
    <<: *service
    command: ["sh", "-c", "mkdir /tmp/www && dd if=/dev/zero of=/tmp/www/page bs=1024 count=256 && exec httpd -f -p 80 -h /tmp/www"]
    deploy: {replicas: 2, endpoint_mode: dnsrr, resources: {limits: {cpus: "0.5", memory: 64M}}}
  client:
    <<: *service
    command: ["sh", "-c", "while :; do wget -q -O /dev/null http://tasks.web/page; sleep 0.5; done"]
    deploy: {mode: global, endpoint_mode: dnsrr}
  burn:
    <<: *service
    command: ["sh", "-c", "renice -n 10 -p $$$$; while :; do :; done"]
    deploy: {replicas: 1, endpoint_mode: dnsrr, resources: {limits: {cpus: "0.2", memory: 32M}}}
  cache:
    <<: *service
    command: ["sh", "-c", "dd if=/dev/zero of=/dev/shm/held bs=1M count=60 && exec sleep 1000"]
    deploy: {replicas: 1, endpoint_mode: dnsrr, resources: {limits: {cpus: "0.5", memory: 64M}}}
  writer:
    <<: *service
    command: ["sh", "-c", "dd if=/dev/zero of=/layer bs=1M count=24 && dd if=/dev/zero of=/data/volume bs=1M count=8 && i=0; while :; do head -c 65536 /dev/zero | tr '\\0' x | fold; dd if=/dev/zero of=/data/again bs=1M count=1 conv=fsync 2>/dev/null; wget -q -O /dev/null http://tasks.web/page; i=$$((i+1)); if [ $$((i%4)) = 0 ]; then tail /dev/zero; fi; sleep 1; done"]
    healthcheck: {test: ["CMD", "true"], interval: 5s}
    volumes: ["written:/data"]
    deploy: {replicas: 1, endpoint_mode: dnsrr, resources: {limits: {cpus: "0.05", memory: 32M, pids: 50}}}
  news:
    <<: *service
    command: ["sleep", "1000"]
    deploy: {replicas: 1, endpoint_mode: dnsrr}
networks:
  market: {driver: overlay}
volumes:
  written:
`

// trouble is a stack of services none of which does well:
//   - greedy has a child killed for want of memory every few seconds, and lives on;
//   - doomed is killed for want of memory itself, and comes again;
//   - crash ends with the code 3, and comes again;
//   - sick fails its health check, and is slow to leave;
//   - nowhere may run on no node;
//   - vanished has an image that no node has.
const trouble = `
version: "3.8"
x-service: &service
  image: ` + lab.BusyboxImage + `
  stop_grace_period: 20s
services:
  greedy:
    <<: *service
    command: ["sh", "-c", "while :; do sleep 5; tail /dev/zero; done"]
    deploy: {endpoint_mode: dnsrr, resources: {limits: {memory: 32M}}}
  doomed:
    <<: *service
    command: ["sh", "-c", "sleep 3; exec tail /dev/zero"]
    deploy: {endpoint_mode: dnsrr, resources: {limits: {memory: 16M}}, restart_policy: {condition: any, delay: 10s}}
  crash:
    <<: *service
    command: ["sh", "-c", "sleep 3; exit 3"]
    deploy: {endpoint_mode: dnsrr, restart_policy: {condition: any, delay: 8s}}
  sick:
    <<: *service
    command: ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    healthcheck: {test: ["CMD", "false"], interval: 2s, timeout: 2s, retries: 2}
    deploy: {endpoint_mode: dnsrr, restart_policy: {condition: any, delay: 4s}}
  nowhere:
    <<: *service
    command: ["sleep", "1000"]
    deploy: {endpoint_mode: dnsrr, placement: {constraints: ["node.labels.place == nowhere"]}}
  vanished:
    <<: *service
    image: lab/vanished:1
    deploy: {endpoint_mode: dnsrr, restart_policy: {condition: any, delay: 5s}}
`

// awaitReplicas waits until a service has that many running tasks.
func (w *swarm) awaitReplicas(t testing.TB, service string, want int) {
	t.Helper()
	waitFor(t, time.Minute, service+" to run", func() error {
		is := w.service(t, "ls", "--filter", "name="+service, "--format", "{{.Replicas}}")
		if running, _, _ := strings.Cut(is, "/"); running != strconv.Itoa(want) {
			return fmt.Errorf("%s of %d", is, want)
		}
		return nil
	})
}

// anyContainer returns a service's container and the node that it runs on.
func (w *swarm) anyContainer(t testing.TB, service string) (n *lab.Node, id string) {
	t.Helper()
	waitFor(t, time.Minute, "a container of "+service, func() error {
		for _, n = range w.nodes {
			if id, _, _ = strings.Cut(docker(t, n, "ps", "--quiet", "--no-trunc", "--filter", "label=com.docker.swarm.service.name="+service), "\n"); id != "" {
				return nil
			}
		}
		return errNotYet
	})
	return n, id
}

// nodeCgroups returns the path of the cgroup above the containers of each node, as this
// machine sees it, by the node's name.
func (w *swarm) nodeCgroups(t testing.TB) map[string]string {
	t.Helper()
	paths := map[string]string{}
	for _, n := range w.nodes {
		paths[n.Name()] = "docker/" + docker(t, w.engine, "inspect", "--format", "{{.Id}}", n.Name()) + "/docker"
	}
	return paths
}

// cgroupNumber reads a number of a cgroup, from the first of the files that one of its
// directories has: the one behind the key, or the only one.
func cgroupNumber(path, key string, files ...string) (float64, error) {
	for _, dir := range cgroupDirs(path) {
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				line = strings.TrimSpace(line)
				if k, v, ok := strings.Cut(line, " "); ok && k == key {
					return strconv.ParseFloat(v, 64)
				} else if key == "" && !ok {
					return strconv.ParseFloat(line, 64)
				}
			}
		}
	}
	return 0, fmt.Errorf("cgroup %s has no %s in %v", path, key, files)
}

// cgroupCPU reads the CPU time that a cgroup and those below it have ever used.
func cgroupCPU(path string) (used time.Duration, at time.Time, err error) {
	at = time.Now()
	if ns, err := cgroupNumber(path, "", "cpuacct.usage"); err == nil { // v1
		return time.Duration(ns), at, nil
	}
	us, err := cgroupNumber(path, "usage_usec", "cpu.stat")
	return time.Duration(us) * time.Microsecond, at, err
}

// cpuWatch reads what the containers of each node have used, several times a second, so that
// it can tell the use between any two instants.
type cpuWatch struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	// by node; owned by the watch's goroutine until it has ended
	readings map[string][]cpuReading
	err      error
}

type cpuReading struct {
	at   time.Time
	used time.Duration
}

func (w *swarm) watchCPU(t testing.TB) *cpuWatch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &cpuWatch{cancel: cancel, readings: map[string][]cpuReading{}}
	paths := w.nodeCgroups(t)
	c.done.Go(func() {
		for ctx.Err() == nil {
			for node, path := range paths {
				used, at, err := cgroupCPU(path)
				if err != nil {
					c.err = errors.Join(c.err, err)
					return
				}
				c.readings[node] = append(c.readings[node], cpuReading{at, used})
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	t.Cleanup(c.stop)
	return c
}

func (c *cpuWatch) stop() {
	c.cancel()
	c.done.Wait()
}

// coreSeconds returns what the containers of a node have used between two instants, of a
// watch that has been stopped.
func (c *cpuWatch) coreSeconds(t testing.TB, node string, from, to time.Time) float64 {
	t.Helper()
	if c.err != nil {
		t.Fatal(c.err)
	}
	return (c.at(t, node, to) - c.at(t, node, from)).Seconds()
}

// at interpolates between the readings around an instant.
func (c *cpuWatch) at(t testing.TB, node string, at time.Time) time.Duration {
	t.Helper()
	all := c.readings[node]
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if !a.at.After(at) && b.at.After(at) {
			return a.used + time.Duration(float64(b.used-a.used)*float64(at.Sub(a.at))/float64(b.at.Sub(a.at)))
		}
	}
	t.Fatalf("the CPU time of %s was not read around %v, but %d times from %v on", node, at, len(all), all[0].at)
	return 0
}
