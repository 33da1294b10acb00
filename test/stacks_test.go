package test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Each variant of the stack files of deploy/ runs in a Swarm of two nodes, all of them at the
// same time, and documents come from each node. The manager has the docker command of 20.10,
// which merges stack files; what the newest makes of them is looked at, too. The Elasticsearch
// in the stacks is the stripped server in the shape of the official image; no image of
// Kibana can be had, so Kibana has no tasks, or a container that sleeps in its place, which
// shows what Kibana would find.

// stacks is the Swarm under test. Its first node is the manager.
type stacks struct {
	engine *lab.Engine
	nodes  []*lab.Node
	// outside is an Elasticsearch with users that isn't in a stack. It has no API keys: the
	// proxy encrypted takes apiKey for its user agent, and so does plain without any key.
	outside          *lab.ElasticsearchServer
	encrypted, plain string
	authority        *authority
}

// apiKey is id:key, as a secret has it.
const apiKey = "key-id:key-secret"

// deployFolder is where the stack files are on nodes.
const deployFolder = "/deploy"

func TestStackFiles(t *testing.T) {
	lab.Need(t, lab.Nodes, lab.Elasticsearch, lab.Images)
	w := startStacks(t)

	// All are deployed before any is waited for: a server takes half a minute to start.
	whole := w.stack("whole", "swarm-global.yml", "no-ipvs.yml", w.file(t, "whole.yml", `
services:
  kibana: {deploy: {replicas: 0}}
`))
	w.exec(t, w.nodes[0], "sh", deployFolder+"/make_secrets.sh")
	secure := w.stack("secure", "swarm-global.yml", "security.yml", "no-ipvs.yml", w.file(t, "secure.yml", `
services:
  kibana: {command: [sleep, "1000000"]}
`))
	for name, content := range map[string]string{"swarmgauge_api_key": apiKey, "swarmgauge_ca": certificatePEM(w.authority.der)} {
		if err := w.nodes[0].WriteFile(t.Context(), deployFolder+"/"+name, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		docker(t, w.nodes[0], "secret", "create", name, deployFolder+"/"+name)
	}
	existing := w.stack("existing", "swarm-global.yml", "existing-elasticsearch.yml", "no-ipvs.yml", w.file(t, "existing.yml", `
services:
  agent: {environment: {SWARMGAUGE_STORAGE_DRIVER_ES_INDEX: existing}}
`))
	existing.environ = []string{"SWARMGAUGE_ES_HOST=" + w.encrypted}
	alone := w.stack("alone", "swarm-global.yml", "agent-only.yml", "socket.yml", "no-ipvs.yml", w.file(t, "alone.yml", `
services:
  agent: {environment: {SWARMGAUGE_STORAGE_DRIVER_ES_INDEX: alone}}
`))
	if err := alone.deploy(t); err == nil || !strings.Contains(err.Error(), "set it to the URL of Elasticsearch") {
		t.Errorf("agent-only.yml without SWARMGAUGE_ES_HOST: %v", err)
	}
	alone.environ = []string{"SWARMGAUGE_ES_HOST=" + w.plain}
	for _, s := range []*deployment{whole, secure, existing, alone} {
		if err := s.deploy(t); err != nil {
			t.Fatal(err)
		}
		s.checkNewest(t)
	}
	w.composeUp(t)

	t.Run("Existing", func(t *testing.T) { w.awaitOutside(t, "existing") })
	t.Run("AgentOnly", func(t *testing.T) { w.awaitOutside(t, "alone") })
	t.Run("Whole", func(t *testing.T) { w.testWhole(t, whole) })
	t.Run("Socket", func(t *testing.T) { w.testSocket(t, alone) })
	t.Run("Security", func(t *testing.T) { w.testSecurity(t, secure) })
	t.Run("Compose", w.testCompose)
}

// startStacks starts everything that the stacks need.
func startStacks(t *testing.T) *stacks {
	t.Helper()
	ctx := t.Context()
	e := lab.EngineFor(t)
	w := &stacks{engine: e, authority: newAuthority(t, "outside")}
	var starting sync.WaitGroup
	errs := make([]error, 3)
	starting.Go(func() {
		var err error
		w.nodes, err = e.StartNodes(ctx, lab.NodeConfig{Name: "node1", Suite: lab.Bookworm}, lab.NodeConfig{Name: "node2", Suite: lab.Sid})
		if err == nil {
			err = lab.Swarm(ctx, w.nodes...)
		}
		errs[0] = err
	})
	starting.Go(func() { errs[1] = e.KeepElasticsearchImage(ctx) })
	starting.Go(func() {
		w.outside, errs[2] = lab.StartElasticsearch(ctx, lab.ElasticsearchConfig{
			Users: []lab.ElasticsearchUser{
				{Name: "admin", Password: adminPassword},
				{Name: "agent", Password: agentPassword, Roles: []string{"agent"}},
			},
			Roles: `
agent:
  cluster: [manage_index_templates]
  indices:
  - names: ['existing-*', 'alone-*']
    privileges: [create_doc, auto_configure]
`,
		})
	})
	starting.Wait()
	if w.outside != nil {
		t.Cleanup(func() {
			if err := w.outside.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	w.startProxies(t)

	if err := e.Import(ctx, agentImage, []lab.File{{Name: "/agent", Source: buildAgent(t)}}, finalStage(t, "../Dockerfile")...); err != nil {
		t.Fatal(err)
	}
	for i, n := range w.nodes {
		starting.Go(func() { errs[i] = n.Load(ctx, agentImage, lab.ElasticsearchImage) })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, n := range w.nodes {
		copyDeploy(t, n)
	}
	return w
}

// copyDeploy copies the stack files to a node, without the secrets of whoever works here.
func copyDeploy(t *testing.T, n *lab.Node) {
	t.Helper()
	err := filepath.WalkDir("../deploy", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "secrets" {
				return fs.SkipDir
			}
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		name, err := filepath.Rel("../deploy", path)
		if err != nil {
			return err
		}
		return n.WriteFile(t.Context(), deployFolder+"/"+name, f)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// startProxies starts what leads from the nodes to the Elasticsearch outside.
func (w *stacks) startProxies(t *testing.T) {
	t.Helper()
	proxy := proxyTo(t, w.outside)
	asAgent := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.SetBasicAuth("agent", agentPassword)
		proxy.ServeHTTP(rw, r)
	})
	withKey := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "ApiKey "+base64.StdEncoding.EncodeToString([]byte(apiKey)) {
			http.Error(rw, "wrong API key", http.StatusUnauthorized)
			return
		}
		asAgent.ServeHTTP(rw, r)
	})
	certificate, key := w.authority.issue(t, time.Now().Add(time.Hour), w.engine.Gateway().AsSlice())
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, plain := serverFor(t, w.engine, withKey), serverFor(t, w.engine, asAgent)
	encrypted.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	encrypted.StartTLS()
	plain.Start()
	w.encrypted, w.plain = encrypted.URL, plain.URL
}

// exec runs a command in a node.
func (w *stacks) exec(t testing.TB, n *lab.Node, args ...string) string {
	t.Helper()
	out, err := n.Exec(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// file writes a stack file of the test's own, beside those of deploy/, and returns its name.
func (w *stacks) file(t testing.TB, name, content string) string {
	t.Helper()
	for _, n := range w.nodes {
		if err := n.WriteFile(t.Context(), deployFolder+"/test-"+name, strings.NewReader("version: \"3.8\"\n"+content)); err != nil {
			t.Fatal(err)
		}
	}
	return "test-" + name
}

// deployment is one stack.
type deployment struct {
	*stacks
	name    string
	files   []string
	environ []string // of who deploys
}

func (w *stacks) stack(name string, files ...string) *deployment {
	return &deployment{stacks: w, name: name, files: files}
}

// command is docker stack with the stack's files and environment.
func (s *deployment) command(args ...string) []string {
	command := append([]string{"env", "SWARMGAUGE_IMAGE=" + agentImage, "ELASTICSEARCH_IMAGE=" + lab.ElasticsearchImage,
		"KIBANA_IMAGE=" + lab.BusyboxImage, "ES_JAVA_OPTS=-Xms512m -Xmx512m -XX:TieredStopAtLevel=1"}, s.environ...)
	command = append(append(command, "docker", "stack"), args...)
	for _, f := range s.files {
		command = append(command, "--compose-file", deployFolder+"/"+f)
	}
	return command
}

func (s *deployment) deploy(t testing.TB) error {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			s.log(t)
		}
	})
	_, err := s.nodes[0].Exec(t.Context(), append(s.command("deploy", "--resolve-image", "never"), s.name)...)
	return err
}

// log shows how the stack's tasks are, and what they say.
func (s *deployment) log(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, service := range []string{"agent", "elasticsearch", "kibana"} {
		tasks, err := s.nodes[0].Docker(ctx, "service", "ps", "--no-trunc", s.name+"_"+service)
		t.Logf("%s_%s: %v\n%s", s.name, service, err, tasks)
		logs, err := s.nodes[0].Docker(ctx, "service", "logs", "--tail", "15", s.name+"_"+service)
		t.Logf("%v\n%s", err, logs)
	}
}

// checkNewest makes sure that the newest docker command makes the same of the files as the
// manager's, as far as the variants change anything.
func (s *deployment) checkNewest(t testing.TB) {
	t.Helper()
	merged := s.exec(t, s.nodes[1], s.command("config")...)
	for _, service := range []string{"agent", "elasticsearch", "kibana"} {
		deployed := s.service(t, service)
		section, ok := serviceSection(merged, service)
		if !ok {
			t.Errorf("%s: the newest docker has no service %s:\n%s", s.name, service, merged)
			continue
		}
		if test := deployed.Spec.TaskTemplate.ContainerSpec.Healthcheck.Test; len(test) == 0 || strings.Contains(strings.Join(test[1:], " "), "CMD") {
			t.Errorf("%s: the health check of %s is %q", s.name, service, test)
		}
		for _, secret := range deployed.Spec.TaskTemplate.ContainerSpec.Secrets {
			name := strings.TrimPrefix(secret.SecretName, s.name+"_")
			if !strings.Contains(section, "source: "+name) {
				t.Errorf("%s: to the newest docker, %s has no secret %s:\n%s", s.name, service, name, section)
			}
		}
		if mode := deployed.Spec.Mode.Replicated; mode != nil && (mode.Replicas == 0) != strings.Contains(section, "replicas: 0") {
			t.Errorf("%s: %s has %d replicas, and to the newest docker:\n%s", s.name, service, mode.Replicas, section)
		}
		if !strings.Contains(section, "endpoint_mode: dnsrr") {
			t.Errorf("%s: to the newest docker, %s has virtual addresses:\n%s", s.name, service, section)
		}
	}
}

// serviceSection returns the part of a stack file as docker stack config writes it that is
// about a service: two spaces stand before the service's name, four before its keys.
func serviceSection(file, service string) (section string, ok bool) {
	_, rest, ok := strings.Cut(file, "\n  "+service+":\n")
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "    ") {
			break
		}
		section += line
	}
	return section, ok
}

// serviceSpec is what docker service inspect says, as far as stack files are checked.
type serviceSpec struct {
	Spec struct {
		Mode struct {
			Replicated *struct{ Replicas int }
		}
		TaskTemplate struct {
			ContainerSpec struct {
				Env     []string
				Secrets []struct {
					SecretName string
					File       struct {
						Name, UID string
						Mode      uint32
					}
				}
				Healthcheck struct {
					Test              []string
					Interval, Timeout time.Duration
					StartPeriod       time.Duration
					Retries           int
				}
			}
			Resources struct {
				Limits struct{ MemoryBytes int64 }
			}
		}
	}
}

func (s *deployment) service(t testing.TB, name string) serviceSpec {
	t.Helper()
	var specs []serviceSpec
	if err := json.Unmarshal([]byte(docker(t, s.nodes[0], "service", "inspect", s.name+"_"+name)), &specs); err != nil {
		t.Fatal(err)
	}
	return specs[0]
}

// healthy returns the id of a service's container on a node, once that is healthy.
func (s *deployment) healthy(t testing.TB, n *lab.Node, service string) string {
	t.Helper()
	return s.container(t, n, service, "(healthy)")
}

// container returns the id of a service's container on a node, once docker ps shows this status.
func (s *deployment) container(t testing.TB, n *lab.Node, service, want string) (id string) {
	t.Helper()
	awaitSlowly(t, 4*time.Minute, "a container of "+s.name+"_"+service+" on "+n.Name(), func() error {
		found := docker(t, n, "ps", "--no-trunc", "--filter", "label=com.docker.swarm.service.name="+s.name+"_"+service, "--format", "{{.ID}} {{.Status}}")
		id, _, _ = strings.Cut(found, " ")
		if !strings.Contains(found, want) {
			return fmt.Errorf("%q", found)
		}
		return nil
	})
	return id
}

// awaitSlowly is waitFor for what is asked by a process in a node. Asked more often, these
// would take the time of what is waited for.
func awaitSlowly(t testing.TB, limit time.Duration, what string, f func() error) {
	t.Helper()
	waitFor(t, limit, what, func() error {
		err := f()
		if err != nil {
			time.Sleep(time.Second)
		}
		return err
	})
}

// curl asks the Elasticsearch in a container.
func curl(t testing.TB, n *lab.Node, container string, args ...string) (string, error) {
	t.Helper()
	return n.Docker(t.Context(), append([]string{"exec", container, "curl", "-s", "-S", "--max-time", "20"}, args...)...)
}

// awaitInside waits until the Elasticsearch in a container has documents that fit a query.
func awaitInside(t testing.TB, n *lab.Node, container, query string, args ...string) {
	t.Helper()
	awaitSlowly(t, 2*time.Minute, "documents with "+query, func() error {
		out, err := curl(t, n, container, append(args, "-G", "--data-urlencode", "q="+query)...)
		if err != nil {
			return err
		}
		var answer struct{ Count int }
		if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Count == 0 {
			return fmt.Errorf("%s (%v)", out, err)
		}
		return nil
	})
}

// awaitOutside waits until the Elasticsearch outside has documents of containers of all nodes.
func (w *stacks) awaitOutside(t *testing.T, alias string) {
	for _, n := range w.nodes {
		awaitSlowly(t, 2*time.Minute, "documents of "+n.Name(), func() error {
			got, err := count(t, w.outside, alias, both(term("host.name", n.Name()), term("event.dataset", "swarmgauge.container")))
			if err == nil && got == 0 {
				err = errNotYet
			}
			return err
		})
	}
	if services := docker(t, w.nodes[0], "service", "ls", "--filter", "label=com.docker.stack.namespace="+alias, "--format", "{{.Name}} {{.Replicas}}"); !strings.Contains(services, alias+"_elasticsearch 0/0") || !strings.Contains(services, alias+"_kibana 0/0") {
		t.Errorf("services of %s: %s", alias, services)
	}
}

const (
	plainCount  = "http://localhost:9200/cadvisor/_count"
	secureCount = "https://localhost:9200/cadvisor/_count"
)

func (w *stacks) testWhole(t *testing.T, s *deployment) {
	es := s.healthy(t, w.nodes[0], "elasticsearch")
	for _, n := range w.nodes {
		awaitInside(t, w.nodes[0], es, "host.name:"+n.Name()+" AND event.dataset:swarmgauge.container", plainCount)
		s.healthy(t, n, "agent")
	}
	for service, limit := range map[string]int64{"agent": 128 << 20, "elasticsearch": 2 << 30, "kibana": 2 << 30} {
		task := s.service(t, service).Spec.TaskTemplate
		if task.Resources.Limits.MemoryBytes != limit {
			t.Errorf("%s may have %d bytes of memory, want %d", service, task.Resources.Limits.MemoryBytes, limit)
		}
		if check := task.ContainerSpec.Healthcheck; len(check.Test) == 0 || check.StartPeriod == 0 {
			t.Errorf("%s has the health check %+v", service, check)
		}
	}
	keys := 0
	for _, variable := range s.service(t, "kibana").Spec.TaskTemplate.ContainerSpec.Env {
		// Kibana refuses shorter ones.
		if name, key, _ := strings.Cut(variable, "="); strings.HasSuffix(name, "_ENCRYPTIONKEY") && len(key) >= 32 {
			keys++
		}
	}
	if keys != 3 {
		t.Errorf("Kibana has %d encryption keys, want 3", keys)
	}
}

// testSocket has agents with the socket tell of a container that was gone before any sample
// was due.
func (w *stacks) testSocket(t *testing.T, s *deployment) {
	for _, n := range w.nodes {
		id := s.healthy(t, n, "agent")
		if mounts := docker(t, n, "inspect", "--format", "{{json .Mounts}}", id); !strings.Contains(mounts, "/var/run/docker.sock") {
			t.Errorf("the agent on %s has the mounts %s", n.Name(), mounts)
		}
		name := "brief-" + n.Name()
		docker(t, n, "run", "--rm", "--name", name, "--network", "none", lab.BusyboxImage, "true")
		waitFor(t, time.Minute, "the end of "+name, func() error {
			got, err := count(t, w.outside, s.name, both(term("container_Name", name), term("event.action", "die")))
			if err == nil && got == 0 {
				err = errNotYet
			}
			return err
		})
	}
}

func (w *stacks) testSecurity(t *testing.T, s *deployment) {
	manager := w.nodes[0]
	secret := func(name string) string { return w.exec(t, manager, "cat", deployFolder+"/secrets/"+name) }
	es := s.healthy(t, manager, "elasticsearch")
	as := func(user, password string) []string { return []string{"-k", "-u", user + ":" + password} }
	admin := as("admin", secret("admin_password"))
	for _, n := range w.nodes {
		awaitInside(t, manager, es, "host.name:"+n.Name()+" AND event.dataset:swarmgauge.container", append(admin, secureCount)...)
	}

	// Neither without TLS, nor without a password, nor more than a role allows.
	if out, err := curl(t, manager, es, "-f", "http://localhost:9200/"); err == nil {
		t.Errorf("Elasticsearch answers without TLS: %s", out)
	}
	status := func(want string, args ...string) {
		t.Helper()
		got, err := curl(t, manager, es, append(args, "-k", "-o", "/dev/null", "-w", "%{http_code}")...)
		if err != nil || got != want {
			t.Errorf("%v: status %s (%v), want %s", args[0], got, err, want)
		}
	}
	status("401", secureCount)
	agent := as("swarmgauge", secret("swarmgauge_password"))
	status("403", append([]string{secureCount}, agent...)...) // it only writes
	kibana := as("kibana-server", secret("kibana_password"))
	who, err := curl(t, manager, es, append(kibana, "https://localhost:9200/_security/_authenticate")...)
	if err != nil || !strings.Contains(who, `"roles":["kibana_system"]`) {
		t.Errorf("Kibana's user: %s (%v)", who, err)
	}

	// Secrets are in no description of a container.
	described := docker(t, manager, "inspect", es)
	processes := docker(t, manager, "exec", es, "sh", "-c", "cat /proc/[0-9]*/cmdline")
	for _, name := range []string{"admin_password", "kibana_password", "swarmgauge_password"} {
		if strings.Contains(described+processes, secret(name)) {
			t.Errorf("%s can be read in docker inspect, or in the arguments of a process", name)
		}
	}
	for _, of := range s.service(t, "elasticsearch").Spec.TaskTemplate.ContainerSpec.Secrets {
		if of.File.UID != "1000" || of.File.Mode != 0o400 {
			t.Errorf("%s: uid %s, mode %o", of.File.Name, of.File.UID, of.File.Mode)
		}
	}

	// Kibana's place, where a container sleeps instead.
	place := s.container(t, manager, "kibana", "Up")
	config := docker(t, manager, "exec", place, "cat", "/usr/share/kibana/config/kibana.yml")
	for _, want := range []string{
		"elasticsearch.password: \"" + secret("kibana_password") + "\"\n",
		"xpack.encryptedSavedObjects.encryptionKey: \"" + secret("kibana_encryption_key") + "\"\n",
	} {
		if !strings.Contains(config+"\n", want) {
			t.Errorf("kibana.yml lacks %s:\n%s", want, config)
		}
	}
	for _, file := range []string{"kibana.yml", "certs/ca.crt", "certs/server.crt", "certs/server.key"} {
		if got := docker(t, manager, "exec", place, "stat", "-L", "-c", "%u %a", "/usr/share/kibana/config/"+file); got != "1000 400" {
			t.Errorf("%s is of the uid and mode %s", file, got)
		}
	}
}

// compose is docker compose on the second node, without Kibana, whose image can't be had.
func compose(args ...string) []string {
	return append([]string{"env", "SWARMGAUGE_IMAGE=" + agentImage, "ELASTICSEARCH_IMAGE=" + lab.ElasticsearchImage,
		"ES_JAVA_OPTS=-Xms512m -Xmx512m -XX:TieredStopAtLevel=1", "docker", "compose", "--file", deployFolder + "/compose.yml"}, args...)
}

func (w *stacks) composeUp(t *testing.T) {
	t.Helper()
	w.exec(t, w.nodes[1], compose("up", "--detach", "agent", "elasticsearch")...)
}

func (w *stacks) testCompose(t *testing.T) {
	host := w.nodes[1]
	var es string
	awaitSlowly(t, 4*time.Minute, "a healthy Elasticsearch", func() error {
		found := docker(t, host, "ps", "--filter", "label=com.docker.compose.service=elasticsearch", "--format", "{{.ID}} {{.Status}}")
		es, _, _ = strings.Cut(found, " ")
		if !strings.Contains(found, "(healthy)") {
			return fmt.Errorf("%q", found)
		}
		return nil
	})
	awaitInside(t, host, es, "host.name:"+host.Name()+" AND event.dataset:swarmgauge.container AND container_Name:gauge-elasticsearch-1", plainCount)
	if config := w.exec(t, host, compose("config")...); !strings.Contains(config, "published: \"5601\"") {
		t.Errorf("Kibana isn't published:\n%s", config)
	}
}
