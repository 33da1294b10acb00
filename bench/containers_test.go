package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// What the containers do: four in five sleep, the fifth takes its turn of these. They are
// small, because the benchmark is about the agent, and steady, because it compares
// windows of time.
const idle = `trap "exit 0" TERM; sleep 1000000 & wait`

var busy = [...]string{
	// Some milliseconds of CPU time each second.
	`while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 1; done`,
	// 256 KiB to the disk every other second.
	`while :; do dd if=/dev/zero of=/tmp/f bs=64k count=4 conv=fsync 2>/dev/null; sleep 2; done`,
	// A kilobyte to the gateway of the container's network and back each second.
	`to=$(ip route | awk '$1 == "default" { print $3 }'); while :; do ping -c 1 -s 1000 "$to" >/dev/null; sleep 1; done`,
}

// stack is the name of the Swarm stack that the containers' labels claim.
const stack = "bench"

// command returns what the i-th container runs.
func command(i int) string {
	if i%5 < 4 {
		return idle
	}
	return busy[i/5%len(busy)]
}

// startContainers starts n containers on the engine's bridge network, with the labels
// that tasks of a Swarm service have, and returns the first process of each by its id.
// They end with tb.
func startContainers(tb testing.TB, engine *lab.Engine, n int) (processes map[string]int) {
	tb.Helper()
	processes = map[string]int{}
	// Before the engine ends: it may take longer for so many than the engine gives
	// itself.
	tb.Cleanup(func() {
		var all []string
		for id := range processes {
			all = append(all, id)
		}
		var errs []error
		for some := range slices.Chunk(all, 20) {
			_, err := engine.Docker(context.Background(), append([]string{"container", "rm", "--force", "--volumes"}, some...)...)
			errs = append(errs, err)
		}
		if err := errors.Join(errs...); err != nil {
			tb.Error(err)
		}
	})
	const atOnce = 3
	var (
		starting sync.WaitGroup
		mu       sync.Mutex // guards processes and errs
		errs     []error
		numbers  = make(chan int)
	)
	for range atOnce {
		starting.Go(func() {
			for i := range numbers {
				id, pid, err := startContainer(tb.Context(), engine, i)
				mu.Lock()
				errs = append(errs, err)
				if id != "" {
					processes[id] = pid
				}
				mu.Unlock()
			}
		})
	}
	start := time.Now()
	for i := range n {
		numbers <- i
	}
	close(numbers)
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%d containers started in %v", n, time.Since(start).Round(time.Second))
	return processes
}

// startContainer starts the i-th container. With an error it may still return the id of
// one that has to be removed.
func startContainer(ctx context.Context, engine *lab.Engine, i int) (id string, pid int, err error) {
	const replicas = 10
	service := fmt.Sprintf("%s_service%d", stack, i/replicas)
	slot := i%replicas + 1
	task := fmt.Sprintf("task%021d", i)
	name := fmt.Sprintf("%s.%d.%s", service, slot, task)
	out, err := engine.Docker(ctx, "run", "--detach", "--name", name,
		"--label", "com.docker.stack.namespace="+stack,
		"--label", "com.docker.swarm.node.id=node000000000000000000001",
		"--label", fmt.Sprintf("com.docker.swarm.service.id=service%018d", i/replicas),
		"--label", "com.docker.swarm.service.name="+service,
		"--label", "com.docker.swarm.task=",
		"--label", "com.docker.swarm.task.id="+task,
		"--label", "com.docker.swarm.task.name="+name,
		lab.BusyboxImage, "sh", "-c", command(i))
	if err != nil {
		return "", 0, err
	}
	if id = containerID(out); id != out || id == "" {
		return "", 0, fmt.Errorf("docker run printed %q instead of an id", out)
	}
	if out, err = engine.Docker(ctx, "container", "inspect", "--format", "{{.State.Pid}}", id); err != nil {
		return id, 0, err
	}
	if pid, err = strconv.Atoi(out); err != nil || pid == 0 {
		return id, 0, fmt.Errorf("container %s (%s) has the process %q", name, command(i), out)
	}
	return id, pid, nil
}

// containerID returns the container's id that a cgroup path or a file below one has:
// the first 64 hexadecimal digits in a row. "" means none.
func containerID(path string) string {
	const length = 64
	run := 0
	for i := range len(path) {
		if c := path[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
			run++
		} else {
			run = 0
		}
		if run == length {
			return path[i+1-length : i+1]
		}
	}
	return ""
}

func TestContainerID(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	f := func(path, want string) {
		t.Helper()
		if got := containerID(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	f(id, id)
	f("/sys/fs/cgroup/memory/docker/"+id+"/memory.stat", id)
	f("0::/system.slice/docker-"+id+".scope\n", id)
	f("/docker/"+id[1:], "")
	f("/docker/"+id[:32]+"/"+id[32:], "")
	f("", "")
}

// One container in five is busy, in all three ways.
func TestCommand(t *testing.T) {
	const n = 100
	count := map[string]int{}
	for i := range n {
		count[command(i)]++
	}
	if count[idle] != 80 {
		t.Errorf("%d of %d containers are idle, want 80", count[idle], n)
	}
	for _, c := range busy {
		if count[c] < 6 {
			t.Errorf("%d of %d containers run %q", count[c], n, c)
		}
	}
}
