package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	if err := lab.Install(ctx, lab.Docker); err != nil {
		return nil, err
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
		docker: docker, close: func() error { return nil }, image: image,
	}, nil
}

// load is one service of the demo.
type load struct {
	name     string
	replicas int
	limits   []string // of docker run; a service has the same with "limit-"
	command  string
}

// network is the network of all containers, image what they run, and prefix begins their
// names. All three have the label, by which they are known as the demo's own: on an engine
// that was there, names may be somebody else's.
const (
	network = "swarmgauge-demo"
	image   = "swarmgauge-demo-busybox"
	prefix  = "demo_"
	label   = "swarmgauge.demo"
)

// names are those of all containers on an engine that was there.
func names() []string {
	names := []string{elasticsearchName, kibanaName}
	for _, l := range loads() {
		names = append(names, prefix+l.name)
	}
	return names
}

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
		if err := e.claim(ctx); err != nil {
			return 0, err
		}
		if err := e.buildImage(ctx); err != nil {
			return 0, err
		}
	}
	driver := "bridge"
	if e.swarm {
		driver = "overlay"
	}
	if _, err := e.docker(ctx, "network", "create", "--driver", driver, "--label", label, network); err != nil {
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
		args := []string{"run", "--detach", "--name", prefix + l.name, "--label", label, "--network", network}
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

// claim makes sure that nobody else has the names of the demo on an engine that was there, and
// removes what a demo has left that was killed.
func (e *engine) claim(ctx context.Context) error {
	var strangers []string
	look := func(kind string, ours []string, args ...string) error {
		for _, name := range ours {
			all, err := e.list(ctx, append(args, "--filter", kind+"="+name)...)
			if err != nil {
				return err
			}
			if !slices.Contains(all, name) && !slices.Contains(all, name+":latest") {
				continue // another one, of which the name is a part
			}
			labelled, err := e.list(ctx, append(args, "--filter", kind+"="+name, "--filter", "label="+label)...)
			if err != nil {
				return err
			}
			if !slices.Contains(labelled, name) && !slices.Contains(labelled, name+":latest") {
				strangers = append(strangers, name)
			}
		}
		return nil
	}
	err := errors.Join(
		look("name", names(), "ps", "--all", "--format", "{{.Names}}"),
		look("name", []string{network}, "network", "ls", "--format", "{{.Name}}"),
		look("reference", []string{image}, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
	if err != nil {
		return err
	}
	if len(strangers) > 0 {
		return fmt.Errorf("this engine has something of somebody else's under names that the demo needs: %s; rename or remove it, and start the demo again", strings.Join(strangers, ", "))
	}
	return e.removeLoad(ctx)
}

// list returns the lines that a command of the client prints.
func (e *engine) list(ctx context.Context, args ...string) ([]string, error) {
	out, err := e.docker(ctx, args...)
	return strings.Fields(out), err
}

// removeLoad removes what startLoad made, and elasticsearchImages. An engine of the demo's own
// goes as a whole.
func (e *engine) removeLoad(ctx context.Context) error {
	if e.lab != nil {
		return nil
	}
	const ours = "label=" + label
	remove := func(found []string, err error, command ...string) error {
		if err == nil && len(found) > 0 {
			_, err = e.docker(ctx, append(command, found...)...)
		}
		return err
	}
	containers, err := e.list(ctx, "ps", "--all", "--quiet", "--filter", ours)
	err1 := remove(containers, err, "rm", "--force", "--volumes")
	networks, err := e.list(ctx, "network", "ls", "--quiet", "--filter", ours)
	err2 := remove(networks, err, "network", "rm")
	images, err := e.list(ctx, "image", "ls", "--format", "{{.Repository}}", "--filter", ours, "--filter", "reference="+image)
	err3 := remove(images, err, "image", "rm")
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
	_, err = e.docker(ctx, "build", "--quiet", "--label", label, "--tag", e.image, dir)
	return err
}
