package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// NodeConfig says what a node shall be.
type NodeConfig struct {
	Name  string // container's and host's name, two characters at least
	Suite Suite  // decides the version of Docker
	// Args are further arguments for the node's dockerd. The containerd image
	// store of Docker 28 is [ContainerdStore].
	Args []string
	// Run are further arguments for `docker run`, such as a bind mount.
	Run []string
}

// ContainerdStore is the argument that makes an engine of [Sid] keep images in
// containerd instead of in its own graph driver.
const ContainerdStore = "--feature=containerd-snapshotter=true"

// Node is a container that behaves as a machine of its own: it has a host name,
// an address on the engine's default bridge, and a Docker engine.
//
// In the node, /sys/fs/cgroup looks as on a machine; seen from this machine,
// the node's containers are at /docker/<node id>/docker/<id>.
type Node struct {
	engine *Engine
	name   string
	addr   netip.Addr
}

// nodeStart bounds the start of several nodes, which takes seconds once the
// engine has their images.
const nodeStart = 4 * time.Minute

// nodeEntry makes the kernel's trees writable, which a container without
// --privileged gets read-only, and becomes the engine.
//
// The fields of mountinfo: 36 35 98:0 /root /mount/point …
const nodeEntry = `
set -e
while read -r _ _ _ _ target _; do
	case $target in
	/sys | /sys/fs/cgroup | /sys/fs/cgroup/* | /proc/sys) mount -o remount,bind,rw "$target" ;;
	esac
done < /proc/self/mountinfo
exec dockerd "$@"
`

// nodeCapabilities are what an engine needs. --privileged would include more
// than some machines have to give (CAP_SYS_RESOURCE).
var nodeCapabilities = [...]string{
	"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_MODULE", "SYS_PTRACE", "SYS_NICE", "SYSLOG",
	"MKNOD", "AUDIT_WRITE", "SETFCAP", "SETPCAP", "DAC_READ_SEARCH",
}

// StartNodes starts nodes and waits until their engines answer. They all have
// [BusyboxImage]. They end with the engine, or with [Node.Close].
func (e *Engine) StartNodes(ctx context.Context, configs ...NodeConfig) ([]*Node, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeStart)
	defer cancel()
	for _, c := range configs {
		if _, err := e.KeepNodeImage(ctx, c.Suite); err != nil {
			return nil, err
		}
	}
	nodes := make([]*Node, len(configs))
	errs := make([]error, len(configs))
	var all sync.WaitGroup
	for i, c := range configs {
		all.Go(func() { nodes[i], errs[i] = e.startNode(ctx, c) })
	}
	all.Wait()
	return nodes, errors.Join(errs...)
}

// KeepNodeImage makes the image of a suite's nodes, unless the engine has it, and returns its
// name.
func (e *Engine) KeepNodeImage(ctx context.Context, s Suite) (image string, err error) {
	rootfs := s.rootfs()
	archive, err := rootfs.get(ctx)
	if err != nil {
		return "", err
	}
	return s.image(), e.keepImageTar(ctx, s.image(), rootfs.tag(), archive, nodeVolume)
}

// nodeVolume is a change of a node's image: overlay2 can't lie on overlay2, so the engine's
// data gets a volume.
const nodeVolume = "VOLUME /var/lib/docker"

func (s Suite) image() string { return labImages + "node-" + string(s) }

func (e *Engine) startNode(ctx context.Context, c NodeConfig) (*Node, error) {
	n := &Node{engine: e, name: c.Name}
	sockets := filepath.Join(e.slot.run, c.Name)
	if err := os.Mkdir(sockets, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	args := []string{"run", "--detach", "--name", c.Name, "--hostname", c.Name,
		"--volume", sockets + ":" + nodeSockets,
		"--device-cgroup-rule", "a *:* rwm",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
	}
	for _, capability := range nodeCapabilities {
		args = append(args, "--cap-add", capability)
	}
	args = append(args, c.Run...)
	args = append(args, c.Suite.image(), "sh", "-c", nodeEntry, "sh",
		"--host", "unix:///var/run/docker.sock", "--host", "unix://"+nodeSockets+"/docker.sock", "--dns", e.Addr().String())
	if _, err := e.Docker(ctx, append(args, c.Args...)...); err != nil {
		return nil, fmt.Errorf("start node %s: %w", c.Name, err)
	}
	if err := n.await(ctx); err != nil {
		return nil, err
	}
	addr, err := e.Docker(ctx, "inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", c.Name)
	if err != nil {
		return nil, err
	}
	if n.addr, err = netip.ParseAddr(addr); err != nil {
		return nil, fmt.Errorf("address of node %s: %w", c.Name, err)
	}
	return n, n.Load(ctx, BusyboxImage)
}

// nodeSockets is the folder of a node that it shares with this machine.
const nodeSockets = "/run/lab"

// await waits until the node's engine answers.
func (n *Node) await(ctx context.Context) error {
	for {
		_, err := n.Docker(ctx, "version", "--format", "{{.Server.Version}}")
		if err == nil {
			return nil
		}
		running, inspectErr := n.engine.Docker(ctx, "inspect", "--format", "{{.State.Running}}", n.name)
		if ctx.Err() == nil && inspectErr == nil && running == "true" {
			if sleep(ctx, 200*time.Millisecond) == nil {
				continue
			}
		}
		return fmt.Errorf("the engine of node %s isn't ready: %w; its last words:\n%s", n.name, err, n.logs())
	}
}

// logs returns the end of the output of the node's engine.
func (n *Node) logs() string {
	// The caller's context may have ended; that is why the logs are wanted.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	text, err := n.engine.command(ctx, "logs", "--tail", "30", n.name).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return tail(string(text))
}

// Name returns the node's host name.
func (n *Node) Name() string { return n.name }

// Addr returns the node's address. This machine and the
// other nodes reach it there.
func (n *Node) Addr() netip.Addr { return n.addr }

// Host returns the value for DOCKER_HOST that leads from this machine to the
// node's engine.
func (n *Node) Host() string {
	return "unix://" + filepath.Join(n.engine.slot.run, n.name, "docker.sock")
}

// Exec runs a command in the node and returns its standard output without the
// white space at its ends.
func (n *Node) Exec(ctx context.Context, args ...string) (string, error) {
	return output(n.exec(ctx, nil, args...))
}

// Docker runs the node's own docker command, which fits its engine.
func (n *Node) Docker(ctx context.Context, args ...string) (string, error) {
	return n.Exec(ctx, append([]string{"docker"}, args...)...)
}

func (n *Node) exec(ctx context.Context, stdin io.Reader, args ...string) *exec.Cmd {
	cmd := n.engine.command(ctx, append([]string{"exec", "--interactive", n.name}, args...)...)
	cmd.Stdin = stdin
	return cmd
}

// WriteFile writes a file in the node; its folder is made where it is missing.
func (n *Node) WriteFile(ctx context.Context, path string, content io.Reader) error {
	_, err := output(n.exec(ctx, content, "sh", "-c", `mkdir -p "${1%/*}/" && cat > "$1"`, "sh", path))
	return err
}

// Load copies images of the engine into the node's engine.
func (n *Node) Load(ctx context.Context, images ...string) error {
	save := n.engine.command(ctx, append([]string{"save"}, images...)...)
	archive, err := save.StdoutPipe()
	if err != nil {
		return err
	}
	load := n.exec(ctx, archive, "docker", "load", "--quiet")
	if err := save.Start(); err != nil {
		return err
	}
	_, loadErr := output(load)
	if err := errors.Join(loadErr, save.Wait()); err != nil {
		return fmt.Errorf("load %v into %s: %w", images, n.name, err)
	}
	return nil
}

// Close ends the node and removes all that it had.
func (n *Node) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineStop)
	defer cancel()
	return again(ctx, func(ctx context.Context) error {
		_, err := n.engine.Docker(ctx, "container", "rm", "--force", "--volumes", n.name)
		return err
	})
}

// Swarm joins nodes into a Swarm, the first one as its manager, the others as
// workers.
//
// Kernels without IPVS have no virtual addresses and no ingress mesh: services
// that shall run anywhere use `endpoint_mode: dnsrr` and ports in `mode: host`.
func Swarm(ctx context.Context, nodes ...*Node) error {
	manager := nodes[0]
	if _, err := manager.Docker(ctx, "swarm", "init", "--advertise-addr", manager.addr.String()); err != nil {
		return fmt.Errorf("%w; last words of its engine:\n%s", err, manager.logs())
	}
	token, err := manager.Docker(ctx, "swarm", "join-token", "--quiet", "worker")
	if err != nil {
		return err
	}
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes[1:] {
		all.Go(func() {
			_, err := n.Docker(ctx, "swarm", "join", "--advertise-addr", n.addr.String(), "--token", token,
				netip.AddrPortFrom(manager.addr, 2377).String())
			if err != nil {
				errs[i] = fmt.Errorf("%w; last words of its engine:\n%s", err, n.logs())
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
