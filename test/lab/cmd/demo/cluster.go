package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

const (
	script = "deploy/create_cluster.sh"
	// managerContainer is the name that the script gives to the manager.
	managerContainer = "swarmgauge-node1"
)

// clusterUp runs the script that makes a cluster, and prints what Elasticsearch knows.
func clusterUp(ctx context.Context, f files, workers int) error {
	st, err := clusterEngine(ctx, f)
	if err != nil {
		return err
	}
	args := []string{"up", "--nodes", strconv.Itoa(workers)}
	if st.Host != "" {
		args = append(args, "--offline", "--listen", st.Address)
	}
	if err := st.command(ctx, script, args...).Run(); err != nil {
		return fmt.Errorf("%s: %w", script, err)
	}
	published := st.command(ctx, "docker", "port", managerContainer, "9200/tcp")
	published.Stdout = nil
	out, err := published.Output()
	if err != nil {
		return fmt.Errorf("docker port: %w", err)
	}
	address, _, _ := strings.Cut(string(out), "\n")
	st.Elasticsearch = "http://" + address
	// Of the stack demo: two of web, one of cache and writer, and a visitor on each node;
	// batch comes and goes.
	st.Containers = 4 + workers + 1
	err = show(ctx, os.Stdout, st)
	fmt.Println("\n`make demo-down` removes all of it.")
	return err
}

// noEngine is the error of a machine on which no engine answers and none can be started.
type noEngine struct{ error }

// lackOf makes an error a lack of an engine, unless somebody has ended the program.
func lackOf(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return noEngine{err}
}

// clusterEngine returns the engine for the cluster: the one of an earlier run, the one that
// answers on this machine, or Debian's, started for it.
func clusterEngine(ctx context.Context, f files) (*state, error) {
	running, err := f.running()
	if err != nil {
		return nil, err
	}
	if !running {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if exec.CommandContext(limited, "docker", "version").Run() == nil {
			return new(state), nil
		}
		fmt.Println("No Docker engine answers here, so Debian's is started, for the demo alone and without a way to")
		fmt.Println("registries: there will be no Kibana, whose image can't be made. With an engine that runs,")
		fmt.Println("and a registry that answers, there is one. Preparing (downloads at the first time) …")
		if err := lab.Prepare(ctx, lab.Docker, lab.Images); err != nil {
			return nil, lackOf(ctx, err)
		}
		if err := f.launch("engine"); err != nil {
			return nil, err
		}
		st, err := f.follow(ctx, os.Stdout)
		return st, lackOf(ctx, err)
	}
	return f.follow(ctx, os.Stdout)
}

// command is a command that uses the engine, and this process' output.
func (st *state) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if st.Host != "" {
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+st.Host)
	}
	return cmd
}

// serveEngine starts Debian's engine, says so, and waits for a signal to remove it, with all
// that is in it.
func serveEngine(ctx context.Context, f files) error {
	e, err := lab.StartEngine(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := e.Close(); err != nil {
			fmt.Println("not removed:", err)
		}
	}()
	if err := f.save(&state{Engine: "Debian's", Host: e.Host(), Address: e.Addr().String()}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// clusterDown removes the cluster, with its engine if that was started for it.
func clusterDown(ctx context.Context, f files) error {
	running, err := f.running()
	if err != nil {
		return err
	}
	if running {
		return f.end(ctx)
	}
	if exec.CommandContext(ctx, "docker", "version").Run() != nil {
		fmt.Println("no Docker engine answers, so there is no cluster")
		return nil
	}
	return new(state).command(ctx, script, "destroy").Run()
}
