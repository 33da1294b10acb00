package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// failed begins the last line of a background process that could not start everything.
const failed = "failed: "

// background holds the lock of the files while a background process does its work.
func background(ctx context.Context, f files, work func(context.Context, files) error) error {
	lock := flock.New(f.lock)
	if free, err := lock.TryLock(); err != nil || !free {
		return errors.Join(err, errors.New("another demo runs"))
	}
	defer lock.Unlock()
	err := work(ctx, f)
	if err != nil {
		fmt.Println(failed + err.Error())
	}
	return err
}

// serve starts everything, says so, and waits for a signal to remove it.
func serve(ctx context.Context, f files) (err error) {
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; i >= 0; i-- {
			if e := undo[i](); e != nil {
				fmt.Println("not removed:", e)
			}
		}
	}()

	st := new(state)
	engine, err := findEngine(ctx)
	if err != nil {
		fmt.Println("No Docker engine can be used here:", err)
		fmt.Println("So the cgroups that are there are measured.")
		st.Engine = "none"
	} else {
		undo = append(undo, engine.close)
		st.Engine = engine.words
		fmt.Println("Docker engine:", engine.words)
		undo = append(undo, func() error { return engine.removeLoad(context.WithoutCancel(ctx)) })
		if st.Containers, err = engine.startLoad(ctx); err != nil {
			return err
		}
		fmt.Println("Started", st.Containers, "containers that do something.")
	}

	es, err := startElasticsearch(ctx, engine)
	if err != nil {
		return err
	}
	undo = append(undo, es.close)
	st.Elasticsearch, st.Kibana = es.url, es.kibana
	fmt.Println("Elasticsearch answers at", es.url)

	stop, address, err := startAgent(ctx, f.dir, engine, es.url)
	if err != nil {
		return err
	}
	undo = append(undo, stop)
	st.Agent = address
	fmt.Println("The agent answers at", address)
	if err := f.save(st); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// prepare installs what is missing.
func prepare(ctx context.Context) error {
	parts := []lab.Part{lab.Elasticsearch}
	if _, err := hostEngine(ctx); err != nil {
		parts = append(parts, lab.Docker)
	}
	fmt.Println("Preparing:", strings.Trim(fmt.Sprint(parts), "[]"), "(downloads at the first time)")
	if err := lab.Prepare(ctx, parts[0]); err != nil {
		return err
	}
	// Without an engine there is less to see, and serve says why.
	lab.Prepare(ctx, parts[1:]...)
	return ctx.Err()
}

// startAgent starts bin/agent on the engine's containers, on port 8080 if it is free.
func startAgent(ctx context.Context, dir string, e *engine, elasticsearch string) (stop func() error, address string, err error) {
	binary, err := filepath.Abs("bin/agent")
	if err != nil {
		return nil, "", err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, "", fmt.Errorf("%w; run: make build", err)
	}
	port, err := freePort(8080)
	if err != nil {
		return nil, "", err
	}
	args := []string{
		fmt.Sprintf("-port=%d", port), "-listen_ip=127.0.0.1", "-docker_only",
		"-storage_driver=elasticsearch", "-storage_driver_es_host=" + elasticsearch,
		"-spool-dir=" + filepath.Join(dir, "spool"), "-log-format=console",
	}
	if e != nil {
		args = append(args, "-docker="+e.host, "-docker_root="+e.root)
	} else {
		args = append(args, "-docker_only=false")
	}
	log, err := os.Create(filepath.Join(dir, "agent.log"))
	if err != nil {
		return nil, "", err
	}
	defer log.Close()
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	// It must not outlive this process, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() error {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			return cmd.Process.Kill()
		}
	}
	address = fmt.Sprintf("http://127.0.0.1:%d", port)
	for range 50 {
		if response, err := http.Get(address + "/healthz"); err == nil {
			response.Body.Close()
			return stop, address, nil
		}
		select {
		case err := <-ended:
			return nil, "", fmt.Errorf("the agent ended: %w; see %s", err, log.Name())
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, "", errors.Join(ctx.Err(), stop())
		}
	}
	return nil, "", errors.Join(fmt.Errorf("the agent doesn't answer; see %s", log.Name()), stop())
}

// freePort returns the port that is wanted, or any free one.
func freePort(wanted int) (int, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", wanted))
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return 0, err
		}
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
