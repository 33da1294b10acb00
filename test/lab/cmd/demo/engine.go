package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// engine is a Docker engine that runs the load.
type engine struct {
	words string // for people
	host  string // of the API
	root  string // its data
	swarm bool   // containers are tasks of services
	// docker runs the command line client.
	docker func(ctx context.Context, args ...string) (string, error)
	close  func() error
	image  string
	lab    *lab.Engine // nil for an engine that was there
}

// findEngine returns the engine that answers on this machine, or starts one.
func findEngine(ctx context.Context) (*engine, error) {
	e, err := hostEngine(ctx)
	if err == nil {
		return e, nil
	}
	own, err := lab.StartEngine(ctx)
	if err != nil {
		return nil, err
	}
	e = &engine{
		words: "Debian's, started for this demo, a Swarm of one node",
		host:  own.Host(), root: own.DataRoot(), swarm: true,
		docker: own.Docker, close: own.Close, image: lab.BusyboxImage, lab: own,
	}
	if _, err := own.Docker(ctx, "swarm", "init", "--advertise-addr", own.Addr().String()); err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return e, nil
}

// hostEngine returns the engine that answers at the usual place.
func hostEngine(ctx context.Context) (*engine, error) {
	docker := func(ctx context.Context, args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out)), err
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	info, err := docker(limited, "info", "--format", "{{.ServerVersion}} {{.DockerRootDir}}")
	if err != nil {
		return nil, err
	}
	version, root, ok := strings.Cut(info, " ")
	if _, err := os.Stat(filepath.Join(root, "containers")); !ok || err != nil {
		return nil, fmt.Errorf("the engine's data at %q isn't on this machine", root)
	}
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	return &engine{
		words: "the one that runs here, " + version, host: host, root: root,
		docker: docker, close: func() error { return nil }, image: "swarmgauge-demo-busybox",
	}, nil
}

// load is one service of the demo.
type load struct {
	name     string
	replicas int
	limits   []string // of docker run; a service has the same with "limit-"
	command  string
}

// network is the network of all containers, and prefix begins their names.
const (
	network = "swarmgauge-demo"
	prefix  = "demo_"
)

func loads() []load {
	return []load{
		{"web", 2, []string{"memory=32m"}, "mkdir -p /www && dd if=/dev/zero of=/www/index.html bs=64k count=1 && httpd -f -h /www"},
		{"visitor", 1, []string{"cpus=0.2"}, "while :; do wget -q -O /dev/null http://demo_web/; sleep 0.2; done"},
		{"worker", 1, []string{"cpus=0.3"}, "while :; do :; done"},
		{"cache", 1, []string{"memory=64m"}, "dd if=/dev/zero of=/dev/shm/cache bs=1M count=32; exec sleep 1000000"},
		{"writer", 1, nil, "while :; do dd if=/dev/zero of=/tmp/file bs=64k count=16 conv=fsync; sleep 1; done"},
	}
}

// startLoad starts the containers and returns how many there are.
func (e *engine) startLoad(ctx context.Context) (containers int, err error) {
	if e.lab == nil {
		if err := e.buildImage(ctx); err != nil {
			return 0, err
		}
	}
	driver := "bridge"
	if e.swarm {
		driver = "overlay"
	}
	if _, err := e.docker(ctx, "network", "create", "--driver", driver, network); err != nil {
		return 0, err
	}
	for _, l := range loads() {
		if e.swarm {
			// Without virtual addresses, which not every kernel has.
			args := []string{"service", "create", "--detach", "--quiet", "--name", prefix + l.name, "--network", network,
				"--endpoint-mode", "dnsrr", "--replicas", fmt.Sprint(l.replicas), "--label", "com.docker.stack.namespace=demo",
				"--container-label", "com.docker.stack.namespace=demo", "--no-resolve-image"}
			for _, limit := range l.limits {
				args = append(args, "--limit-"+strings.Replace(limit, "cpus", "cpu", 1))
			}
			if _, err := e.docker(ctx, append(args, e.image, "sh", "-c", l.command)...); err != nil {
				return 0, err
			}
			containers += l.replicas
			continue
		}
		args := []string{"run", "--detach", "--name", prefix + l.name, "--network", network}
		for _, limit := range l.limits {
			args = append(args, "--"+limit)
		}
		if _, err := e.docker(ctx, append(args, e.image, "sh", "-c", l.command)...); err != nil {
			return 0, err
		}
		containers++
	}
	return containers, nil
}

// removeLoad removes what startLoad made. An engine of the demo's own goes as a whole.
func (e *engine) removeLoad(ctx context.Context) error {
	if e.lab != nil {
		return nil
	}
	remove := []string{"rm", "--force", "--volumes"}
	for _, l := range loads() {
		remove = append(remove, prefix+l.name)
	}
	_, err1 := e.docker(ctx, remove...)
	_, err2 := e.docker(ctx, "network", "rm", network)
	_, err3 := e.docker(ctx, "image", "rm", e.image)
	return errors.Join(err1, err2, err3)
}

// buildImage builds an image from Debian's static busybox, without any registry.
func (e *engine) buildImage(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "swarmgauge-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyFile(filepath.Join(dir, "busybox"), "/bin/busybox"); err != nil {
		return fmt.Errorf("%w; run: apt-get install busybox-static", err)
	}
	const dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\",\"--install\",\"-s\",\"/bin\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	_, err = e.docker(ctx, "build", "--quiet", "--tag", e.image, dir)
	return err
}
