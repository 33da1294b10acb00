// Command lab prepares a Debian machine for the integration tests and the
// demonstration, and lends their parts to a shell or any other command:
//
//	lab install [PART…]        install the Debian packages that the parts need
//	lab prepare [PART…]        and make all that is slow to make, once; without PART only of
//	                           those that this machine can have, and it names the others
//	lab image KIND NAME [CHANGE…]
//	                           give the engine of DOCKER_HOST an image that needs no
//	                           registry: node, elasticsearch, busybox
//	lab engine COMMAND…        run COMMAND with a Docker engine of its own
//	lab swarm [-n 3] [-suite bookworm] COMMAND…
//	                           … with a Swarm; docker speaks to its manager
//	lab es [-version 8.19.21] COMMAND…
//	                           … with Elasticsearch at $ELASTICSEARCH_URL
//
// Without COMMAND it is the user's shell. Parts end with the command; they can
// be nested: `lab engine lab es sh`. The parts are docker, nodes,
// elasticsearch, initramfs, systemd, prometheus, podman, containerd, images, classes; without
// any, all are meant.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("which command? install, prepare, image, engine, swarm, es; see `go doc ./test/lab/cmd/lab`")
	}
	name, args := args[0], args[1:]
	switch name {
	case "install", "prepare":
		parts, err := parseParts(args)
		if err != nil {
			return err
		}
		if name == "install" {
			return lab.Install(ctx, parts...)
		}
		if len(args) > 0 {
			return lab.Prepare(ctx, parts...)
		}
		lacks, err := lab.PreparePossible(ctx, parts...)
		if lacks != "" {
			fmt.Fprintln(os.Stderr, "lab:", lacks)
		}
		return err
	case "image":
		return importImage(ctx, args)
	case "engine":
		return withEngine(ctx, args)
	case "swarm":
		return withSwarm(ctx, args)
	case "es":
		return withElasticsearch(ctx, args)
	}
	return fmt.Errorf("no command %q: install, prepare, image, engine, swarm, es", name)
}

// parseParts returns the parts with the given names, or all.
func parseParts(names []string) ([]lab.Part, error) {
	if len(names) == 0 {
		return lab.Parts(), nil
	}
	var parts []lab.Part
next:
	for _, name := range names {
		for _, p := range lab.Parts() {
			if p.String() == name {
				parts = append(parts, p)
				continue next
			}
		}
		return nil, fmt.Errorf("no part %q: %v", name, lab.Parts())
	}
	return parts, nil
}

func importImage(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: lab image KIND NAME [CHANGE…], of the kinds %s", strings.Join(lab.ImageKinds(), ", "))
	}
	if err := lab.Install(ctx, lab.Images); err != nil {
		return err
	}
	return lab.ImportImage(ctx, args[0], args[1], args[2:]...)
}

func withEngine(ctx context.Context, args []string) (err error) {
	if err := lab.Install(ctx, lab.Docker); err != nil {
		return err
	}
	e, err := lab.StartEngine(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return shell(ctx, args, "DOCKER_HOST="+e.Host(), "LAB_GATEWAY="+e.Gateway().String())
}

func withSwarm(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("lab swarm", flag.ContinueOnError)
	n := flags.Int("n", 3, "number of nodes, named node1, node2 …")
	suite := flags.String("suite", string(lab.Bookworm), "Debian `release` whose Docker the nodes run: bookworm, trixie, sid")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := lab.Install(ctx, lab.Nodes); err != nil {
		return err
	}
	e, err := lab.StartEngine(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	configs := make([]lab.NodeConfig, *n)
	for i := range configs {
		configs[i] = lab.NodeConfig{Name: fmt.Sprintf("node%d", i+1), Suite: lab.Suite(*suite)}
	}
	nodes, err := e.StartNodes(ctx, configs...)
	if err != nil {
		return err
	}
	if err := lab.Swarm(ctx, nodes...); err != nil {
		return err
	}
	env := []string{"DOCKER_HOST=" + nodes[0].Host(), "LAB_ENGINE=" + e.Host(), "LAB_GATEWAY=" + e.Gateway().String()}
	for _, node := range nodes {
		fmt.Fprintf(os.Stderr, "lab: %s at %s, DOCKER_HOST=%s\n", node.Name(), node.Addr(), node.Host())
	}
	return shell(ctx, flags.Args(), env...)
}

func withElasticsearch(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("lab es", flag.ContinueOnError)
	version := flags.String("version", lab.Elasticsearch8, fmt.Sprint("`version`, of ", lab.ElasticsearchVersions()))
	addr := flags.String("addr", cmp.Or(os.Getenv("LAB_GATEWAY"), "127.0.0.1"),
		"`address` to listen on; inside of lab engine and lab swarm, one that containers reach")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config := lab.ElasticsearchConfig{Version: *version}
	if config.Addr, err = netip.ParseAddr(*addr); err != nil {
		return err
	}
	if err := lab.Install(ctx, lab.Elasticsearch); err != nil {
		return err
	}
	server, err := lab.StartElasticsearch(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return shell(ctx, flags.Args(), "ELASTICSEARCH_URL="+server.URL())
}

// shell runs a command, or else the user's shell, with more in its environment.
func shell(ctx context.Context, args []string, env ...string) error {
	if len(args) == 0 {
		args = []string{"sh"}
		if sh := os.Getenv("SHELL"); sh != "" {
			args[0] = sh
		}
		fmt.Fprintln(os.Stderr, "lab: a shell with", strings.Join(env, " "), "- leave it to end the lab")
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd.Run()
}
