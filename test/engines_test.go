package test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// startNodes starts nodes that have the agent in agentInNode.
func startNodes(t testing.TB, e *lab.Engine, configs ...lab.NodeConfig) []*lab.Node {
	t.Helper()
	for i := range configs {
		configs[i].Run = append(configs[i].Run, "--volume", filepath.Dir(buildAgent(t))+":"+filepath.Dir(agentInNode)+":ro")
	}
	nodes, err := e.StartNodes(t.Context(), configs...)
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

const agentInNode = "/opt/swarmgauge/agent"

// agentIn returns an agent that is a process of a node and prints documents every
// second. It ends with the node.
func agentIn(e *lab.Engine, n *lab.Node, options ...string) *exec.Cmd {
	cmd := exec.Command("docker", append([]string{
		"exec", n.Name(), agentInNode, "-port=0", "-storage_driver=stdout", "-ship-interval=1s", "-docker_only",
	}, options...)...)
	cmd.Env = append(cmd.Environ(), "DOCKER_HOST="+e.Host())
	return cmd
}

// stack is a stack with a replicated and a global service. The nodes' kernel may have no
// virtual addresses.
const stack = `version: "3.8"
services:
  web:
    image: ` + lab.BusyboxImage + `
    command: ["sleep", "1000"]
    labels:
      com.example.tier: front
    deploy:
      replicas: 2
      endpoint_mode: dnsrr
  each:
    image: ` + lab.BusyboxImage + `
    command: ["sleep", "1000"]
    deploy:
      mode: global
      endpoint_mode: dnsrr
`

// Engines of several years say who a container is, by their files and by their API.
func TestEngines(t *testing.T) {
	lab.Need(t, lab.Nodes)
	e := lab.EngineFor(t)
	configs := []lab.NodeConfig{
		{Name: "bookworm", Suite: lab.Bookworm},
		{Name: "trixie", Suite: lab.Trixie},
		{Name: "sid", Suite: lab.Sid},
		{Name: "containerd-store", Suite: lab.Sid, Args: []string{lab.ContainerdStore}},
	}
	for i, n := range startNodes(t, e, configs...) {
		t.Run(n.Name(), func(t *testing.T) {
			t.Parallel()
			checkVersion(t, n, configs[i].Suite)
			testEngine(t, n, map[string]*printer{
				"files":  startPrinter(t, agentIn(e, n, "-docker=")),
				"socket": startPrinter(t, agentIn(e, n)),
			})
		})
	}
}

// engineVersions are the engines that README.md and the tests' names speak of; sid's only
// becomes newer.
var engineVersions = map[lab.Suite]string{lab.Bookworm: "20.10", lab.Trixie: "26.1", lab.Sid: "28.5"}

// checkVersion fails when a release has another engine than the tests say that they are about.
func checkVersion(t *testing.T, n *lab.Node, suite lab.Suite) {
	t.Helper()
	if change := versionChange(suite, docker(t, n, "version", "--format", "{{.Server.Version}}")); change != "" {
		t.Error(change)
	}
}

// versionChange says what isn't as engineVersions has it; "" if nothing is.
func versionChange(suite lab.Suite, version string) string {
	want := engineVersions[suite]
	var major, minor, wantMajor, wantMinor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return fmt.Sprintf("the engine of Debian's %s says that it is version %q, which this test can't read", suite, version)
	}
	fmt.Sscanf(want, "%d.%d", &wantMajor, &wantMinor) // our own constant
	switch newer := major > wantMajor || major == wantMajor && minor >= wantMinor; {
	case suite == lab.Sid && !newer:
		return fmt.Sprintf("Debian's %s has Docker %s, and had %s: no engine is tested any more that is as new as that", suite, version, want)
	case suite != lab.Sid && (major != wantMajor || minor != wantMinor):
		return fmt.Sprintf("Debian's %s has Docker %s, and had %s: what is tested has changed, so change engineVersions, and what is said of that version", suite, version, want)
	}
	return ""
}

func TestVersionChange(t *testing.T) {
	f := func(suite lab.Suite, version, want string) {
		t.Helper()
		if got := versionChange(suite, version); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s of %s: %q, want %q in it", version, suite, got, want)
		}
	}
	f(lab.Bookworm, "20.10.24+dfsg1", "")
	f(lab.Bookworm, "20.11.1", "had 20.10")
	f(lab.Trixie, "26.1.5+dfsg1", "")
	f(lab.Trixie, "28.5.2", "what is tested has changed")
	f(lab.Sid, "28.5.2+dfsg2", "")
	f(lab.Sid, "29.0.1", "")
	f(lab.Sid, "28.4.0", "as new as that")
	f(lab.Sid, "27.9.0", "as new as that")
	f(lab.Sid, "", "can't read")
}

func testEngine(t *testing.T, n *lab.Node, agents map[string]*printer) {
	version := docker(t, n, "version", "--format", "{{.Server.Version}}")
	t.Logf("Docker %s, API %s", version, docker(t, n, "version", "--format", "{{.Server.APIVersion}}"))
	if err := lab.Swarm(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := n.WriteFile(t.Context(), "/tmp/stack.yml", strings.NewReader(stack)); err != nil {
		t.Fatal(err)
	}
	docker(t, n, "stack", "deploy", "--resolve-image", "never", "--compose-file", "/tmp/stack.yml", "shop")
	docker(t, n, "tag", lab.BusyboxImage, "registry.example/team/web:1.2")
	plain := docker(t, n, "run", "--detach", "--name", "plain", "--restart", "on-failure:3", "--label", "team=web", "--label", "empty=",
		"--health-cmd", "true", "--health-interval", "2s", "--health-timeout", "1s",
		"registry.example/team/web:1.2", "sh", "-c", "test -e /tmp/again || { touch /tmp/again; exit 1; }; exec sleep 1000")
	onHost := docker(t, n, "run", "--detach", "--network", "host", lab.BusyboxImage, "sleep", "1000")
	seven := docker(t, n, "run", "--detach", lab.BusyboxImage, "sh", "-c", "sleep 3; exit 7")

	tasks := awaitTasks(t, n, 3)
	waitFor(t, 20*time.Second, "the engine to restart the container", func() error {
		if c := inspect(t, n, plain); c.RestartCount != 1 || c.State.Status != "running" || c.State.Health.Status != "healthy" {
			return fmt.Errorf("%+v", c.State)
		}
		return nil
	})
	for source, p := range agents {
		for _, id := range []string{plain, onHost} {
			awaitIdentity(t, source, p, n, id, func(document) error { return nil })
		}
		for _, task := range tasks {
			awaitIdentity(t, source, p, n, task.container, task.check)
		}
		p.awaitActions(t, 15*time.Second, seven, "start", "die 7")
		for _, d := range p.container(onHost) {
			if fields := d.fieldsBelow("container.network."); len(fields) > 0 {
				t.Fatalf("%s: a container in the node's network has %q", source, fields)
			}
		}
		if _, ok := p.after(t, plain, time.Now()).number("container.network.ingress.bytes"); !ok {
			t.Errorf("%s: a container with a network of its own has no numbers of it", source)
		}
	}

	// Later engines write "starting" into their files, and then nothing of the checks: once
	// the first one must have ended, that isn't passed on any more.
	waitFor(t, 10*time.Second, "the health from files", func() error {
		want := ""
		if strings.HasPrefix(version, "20.") {
			want = "healthy"
		}
		if health := agents["files"].after(t, plain, time.Now()).text("container.health"); health != want {
			return fmt.Errorf("%q, want %q", health, want)
		}
		return nil
	})
	socket := agents["socket"]
	if health := socket.after(t, plain, time.Now()).text("container.health"); health != "healthy" {
		t.Errorf("socket: health %q", health)
	}
	socket.awaitEngine(t, n, plain)
	docker(t, n, "rename", "plain", "renamed")
	waitFor(t, 5*time.Second, "the new name", func() error {
		events := socket.events(plain)
		if last := events[len(events)-1]; last.text("event.action") != "rename" || last.text("container.name") != "renamed" {
			return fmt.Errorf("%s %s", last.text("event.action"), last.text("container.name"))
		}
		return nil
	})
}

// awaitIdentity waits until an agent says of a container what its engine says, and what
// else is checked.
func awaitIdentity(t testing.TB, source string, p *printer, n *lab.Node, id string, check func(document) error) {
	t.Helper()
	want := inspect(t, n, id)
	waitFor(t, 20*time.Second, "the identity from "+source, func() error {
		d := p.after(t, id, time.Now())
		if name := d.text("machine_name"); name != n.Name() {
			return fmt.Errorf("machine_name is %q", name)
		}
		return errors.Join(identityOf(d, want), check(d))
	})
}

// taskIdentity is who a task is, as the Swarm tells it.
type taskIdentity struct {
	container                                string
	id, name, node, nodeName, service, stack string
	serviceName                              string
	slot                                     any // float64, nil for a task of a global service
}

// awaitTasks waits until a number of tasks run and returns them.
func awaitTasks(t testing.TB, n *lab.Node, number int) (tasks []taskIdentity) {
	t.Helper()
	var ids []string
	waitFor(t, 30*time.Second, "the tasks to run", func() error {
		ids = strings.Fields(docker(t, n, "node", "ps", "--no-trunc", "--filter", "desired-state=running", "--format", "{{.ID}}", "self"))
		for _, id := range ids {
			if state := docker(t, n, "inspect", "--type", "task", "--format", "{{.Status.State}}", id); state != "running" {
				return fmt.Errorf("task %s is %s", id, state)
			}
		}
		if len(ids) != number {
			return fmt.Errorf("%d tasks, want %d", len(ids), number)
		}
		return nil
	})
	for _, id := range ids {
		fields := strings.Split(docker(t, n, "inspect", "--type", "task", "--format",
			"{{.Status.ContainerStatus.ContainerID}}|{{.ID}}|{{.NodeID}}|{{.ServiceID}}|{{.Slot}}", id), "|")
		one := taskIdentity{container: fields[0], id: fields[1], node: fields[2], service: fields[3], nodeName: n.Name(), stack: "shop"}
		one.serviceName = docker(t, n, "service", "inspect", "--format", "{{.Spec.Name}}", one.service)
		second := one.node
		if slot := fields[4]; slot != "<no value>" && slot != "0" {
			var number float64
			if _, err := fmt.Sscan(slot, &number); err != nil {
				t.Fatal(err)
			}
			one.slot, second = number, slot
		}
		one.name = one.serviceName + "." + second + "." + one.id
		tasks = append(tasks, one)
	}
	slices.SortFunc(tasks, func(a, b taskIdentity) int { return cmp.Compare(a.name, b.name) })
	if tasks[0].slot != nil || tasks[1].slot != 1.0 || tasks[2].slot != 2.0 {
		t.Fatalf("tasks %+v, want one of a global service and two replicas", tasks)
	}
	return tasks
}

// check compares a document with the task.
func (k taskIdentity) check(d document) error {
	var errs []error
	for field, want := range map[string]any{
		"swarm.task.id": k.id, "swarm.task.name": k.name, "swarm.task.slot": k.slot,
		"swarm.service.id": k.service, "swarm.service.name": k.serviceName, "swarm.stack": k.stack,
		"swarm.node.id": k.node, "swarm.node.name": k.nodeName,
	} {
		if d[field] != want {
			errs = append(errs, fmt.Errorf("%s is %v, want %v", field, d[field], want))
		}
	}
	return errors.Join(errs...)
}

// secondEngine is one more engine in a node, which can be stopped while its containers go
// on.
type secondEngine struct{ node *lab.Node }

const secondSocket = "unix:///run/second.sock"

// Docker runs the docker command against the engine.
func (e secondEngine) Docker(ctx context.Context, args ...string) (string, error) {
	return e.node.Docker(ctx, append([]string{"--host", secondSocket}, args...)...)
}

// start starts the engine and waits until it answers.
func (e secondEngine) start(t testing.TB) {
	t.Helper()
	_, err := e.node.Exec(t.Context(), "sh", "-c", `
nohup dockerd --data-root /var/lib/docker/second --exec-root /run/second --pidfile /run/second.pid --host `+secondSocket+` \
	--live-restore --bridge none --iptables=false --ip6tables=false > /run/second.log 2>&1 < /dev/null &`)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, 30*time.Second, "the second engine", func() error {
		_, err := e.Docker(t.Context(), "version")
		return err
	})
}

// stop ends the engine and waits for its end.
func (e secondEngine) stop(t testing.TB) {
	t.Helper()
	if _, err := e.node.Exec(t.Context(), "sh", "-c", "kill $(cat /run/second.pid)"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 30*time.Second, "the second engine to end", func() error {
		if _, err := e.node.Exec(t.Context(), "test", "!", "-e", "/run/second.pid"); err != nil {
			return err
		}
		return nil
	})
}

// An engine that starts after the agent is found, and one that is restarted below its
// containers takes nothing away: numbers and names go on, its events come again, and the
// end that a container had meanwhile is told.
func TestEngineRestarts(t *testing.T) {
	lab.Need(t, lab.Nodes)
	e := lab.EngineFor(t)
	n := startNodes(t, e, lab.NodeConfig{Name: "restarts", Suite: lab.Sid})[0]
	second := secondEngine{n}
	p := startPrinter(t, agentIn(e, n, "-docker_root=/var/lib/docker/second", "-docker="+secondSocket))

	second.start(t)
	if _, err := n.Exec(t.Context(), "sh", "-c", "docker save "+lab.BusyboxImage+" | docker --host "+secondSocket+" load"); err != nil {
		t.Fatal(err)
	}
	steady := docker(t, second, "run", "--detach", "--name", "steady", lab.BusyboxImage, "sleep", "1000")
	killed := docker(t, second, "run", "--detach", "--name", "killed", lab.BusyboxImage, "sleep", "1000")
	p.awaitActions(t, 20*time.Second, steady, "start")
	p.awaitActions(t, 20*time.Second, killed, "start")
	p.awaitEngine(t, second, steady)

	pid := inspect(t, second, killed).State.Pid
	second.stop(t)
	if _, err := n.Exec(t.Context(), "sh", "-c", fmt.Sprintf("kill -KILL %d", pid)); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	p.after(t, steady, stopped.Add(5*time.Second))
	second.start(t)
	p.awaitEngine(t, second, steady)
	// An engine that was away doesn't know how it ended: 255, whatever it was.
	end := inspect(t, second, killed)
	if end.State.Status != "exited" {
		t.Errorf("the killed container is %s", end.State.Status)
	}
	p.awaitActions(t, 20*time.Second, killed, "start", fmt.Sprintf("die %d", end.State.ExitCode))
	p.checkSteady(t, steady)
	if err := identityOf(p.after(t, steady, time.Now()), inspect(t, second, steady)); err != nil {
		t.Error(err)
	}
}
