package test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
	"github.com/swarmgauge/swarmgauge/test/lab"
)

// Who runs cAdvisor changes the image's name and nothing else: with the mounts of cAdvisor's
// own README, whose /var/run and /var/lib/docker are here those of the test's engine, the
// agent in its container says what one says that is a process of this machine.
func TestMountsOfCAdvisor(t *testing.T) {
	e := lab.EngineFor(t)
	importAgent(t, e)
	h := &host{Engine: e}
	if !exists("/dev/disk") { // the engine makes it
		t.Cleanup(func() { os.Remove("/dev/disk") })
	}
	shop := h.run(t, "--name", "shop", "--label", "team=web", "--memory", "64m", lab.BusyboxImage, "sleep", "1000")
	id := h.run(t,
		"--volume=/:/rootfs:ro",
		"--volume="+filepath.Dir(strings.TrimPrefix(e.Host(), "unix://"))+":/var/run:ro",
		"--volume=/sys:/sys:ro",
		"--volume="+e.DataRoot()+"/:/var/lib/docker:ro",
		"--volume=/dev/disk/:/dev/disk:ro",
		"--publish=9080:9080", "--name=cadvisor",
		agentImage, "-logtostderr", "--port=9080")
	t.Cleanup(func() {
		if t.Failed() {
			logs := exec.Command("docker", "logs", id)
			logs.Env = append(logs.Environ(), "DOCKER_HOST="+e.Host())
			out, _ := logs.CombinedOutput()
			t.Logf("the agent's log:\n%s", out)
		}
	})
	inside := &agent{URL: "http://" + net.JoinHostPort(e.Addr().String(), "9080")}
	waitFor(t, 30*time.Second, "the agent to answer", func() error {
		_, err := httpGet(t, inside.URL+"/healthz")
		return err
	})
	outside := startAgent(t, "-docker="+e.Host(), "-docker_root="+e.DataRoot(), "-host-root=/", "-spool-dir="+t.TempDir())

	t.Run("machine", func(t *testing.T) { sameMachine(t, inside, outside) })
	t.Run("metrics", func(t *testing.T) { sameNode(t, inside, outside) })
	t.Run("names", func(t *testing.T) {
		waitFor(t, 20*time.Second, "the containers' names", func() error {
			s := inside.scrape(t)
			for name, id := range map[string]string{"shop": shop, "cadvisor": id} {
				if v := s.value("container_memory_usage_bytes", "/docker/"+id, "name="+name); !(v > 0) {
					return fmt.Errorf("%s has %v bytes", name, v)
				}
				if v := s.value("container_network_receive_bytes_total", "/docker/"+id, "name="+name); !(v >= 0) {
					return fmt.Errorf("%s has no network", name)
				}
			}
			if limit, _, _ := s.sum("container_spec_memory_limit_bytes", "container_label_team", "web"); limit != 64<<20 {
				return fmt.Errorf("the limit by a label is %v", limit)
			}
			return nil
		})
	})
	t.Run("healthcheck", func(t *testing.T) { // without arguments, as the image's
		if out := docker(t, e, "exec", id, "/agent", "healthcheck"); out != "ok" {
			t.Errorf("%q", out)
		}
	})
	t.Run("check-config", func(t *testing.T) {
		var told struct {
			Options []struct{ Name, Value, Origin string }
		}
		if err := json.Unmarshal([]byte(docker(t, e, "exec", id, "/agent", "check-config", "-json")), &told); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, o := range told.Options {
			got[o.Name] = o.Value + " " + o.Origin
		}
		for name, want := range map[string]string{
			"proc-root": "/rootfs/proc found", "cgroup-root": "/rootfs/sys/fs/cgroup found", "sys-root": "/rootfs/sys found", "host-root": "/rootfs found",
		} {
			if got[name] != want {
				t.Errorf("-%s is %q, want %q", name, got[name], want)
			}
		}
	})
	t.Run("doctor", func(t *testing.T) {
		report := docker(t, e, "exec", id, "/agent", "doctor") // which fails if something is missing
		lines := parseReport(t, report)
		for _, check := range []string{"proc", "cgroups", "containers", "engine socket", "host root", "sys", "machine id"} {
			if found := worst(lines, check); found.mark != "✓" {
				t.Errorf("%+v in\n%s", found, report)
			}
		}
	})
}

// sameMachine compares what two agents say of the machine, and that with its files.
func sameMachine(t *testing.T, inside, outside *agent) {
	machine := func(a *agent, path string) (v map[string]any) {
		t.Helper()
		text, err := httpGet(t, a.URL+path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		delete(v, "timestamp")
		return v
	}
	for _, a := range []*agent{inside, outside} {
		waitFor(t, 20*time.Second, "the filesystems, which are looked at in the background", func() error {
			if machine(a, "/api/v1.3/machine")["filesystems"] == nil {
				return errNotYet
			}
			return nil
		})
	}
	for _, path := range []string{"/api/v1.3/machine", "/api/v2.1/attributes"} {
		got, want := machine(inside, path), machine(outside, path)
		for key := range want {
			if !reflect.DeepEqual(got[key], want[key]) {
				t.Errorf("%s: %s is %v in a container, and %v outside", path, key, got[key], want[key])
			}
		}
	}
	fromFile := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	got := machine(inside, "/api/v2.1/attributes")
	for key, want := range map[string]string{
		"machine_id":     fromFile("/etc/machine-id"),
		"kernel_version": fromFile("/proc/sys/kernel/osrelease"),
		// A virtual machine without a BIOS has none of its own.
		"system_uuid":          cmp.Or(fromFile("/sys/class/dmi/id/product_uuid"), fromFile("/etc/machine-id")),
		"container_os_version": prettyName(t),
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if v := inside.scrape(t); !hasLabel(v, "cadvisor_version_info", "osVersion", prettyName(t)) {
		t.Errorf("osVersion isn't %q: %v", prettyName(t), v["cadvisor_version_info"])
	}
}

// prettyName returns the name of this machine's distribution.
func prettyName(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		lab.Lack(t, "this machine says nothing of its distribution: "+err.Error())
	}
	found := regexp.MustCompile(`(?m)^PRETTY_NAME="(.*)"$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no name in %s", text)
	}
	return string(found[1])
}

func hasLabel(s scrape, family, label, value string) bool {
	_, _, ok := s.sum(family, label, value)
	return ok
}

// sameNode compares what two agents have of the node on /metrics: the same series, and a CPU
// time that the kernel has, too.
func sameNode(t *testing.T, inside, outside *agent) {
	seriesOf := func(s scrape) (all []string) {
		for name, family := range s {
			if !strings.HasPrefix(name, "container_") && !strings.HasPrefix(name, "machine_") {
				continue
			}
			for _, m := range family.GetMetric() {
				ofNode, series := strings.HasPrefix(name, "machine_"), name
				for _, l := range m.Label {
					if l.GetName() == "id" && l.GetValue() == "/" {
						ofNode = true
					}
					if l.GetValue() != "" {
						series += " " + l.GetName() + "=" + l.GetValue()
					}
				}
				if ofNode {
					all = append(all, series)
				}
			}
		}
		slices.Sort(all)
		return all
	}
	cpu := func(a *agent) float64 {
		total := 0.0
		for _, m := range a.scrape(t)["container_cpu_usage_seconds_total"].GetMetric() {
			for _, l := range m.Label {
				if l.GetName() == "id" && l.GetValue() == "/" {
					total += m.GetCounter().GetValue()
				}
			}
		}
		return total
	}
	waitFor(t, 30*time.Second, "the node's series", func() error {
		got, want := seriesOf(inside.scrape(t)), seriesOf(outside.scrape(t))
		if len(want) < 100 || !slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(s, "container_fs_limit_bytes ") }) {
			return fmt.Errorf("%d series", len(want))
		}
		var differ []string
		for _, series := range want {
			if !slices.Contains(got, series) {
				differ = append(differ, "missing: "+series)
			}
		}
		for _, series := range got {
			if !slices.Contains(want, series) {
				differ = append(differ, "more: "+series)
			}
		}
		if len(differ) > 0 {
			return fmt.Errorf("%s", strings.Join(differ, "\n"))
		}
		return nil
	})
	waitFor(t, 20*time.Second, "the node's CPU time", func() error {
		// A sample is up to a second old, and each CPU has that much in it.
		slack := float64(2 * runtime.NumCPU())
		before := cpu(outside)
		got := cpu(inside)
		if after := cpu(outside); got < before-slack || got > after+slack || got == 0 {
			return fmt.Errorf("%v s, and outside %v … %v", got, before, after)
		}
		return nil
	})
}

// -storage_driver=elasticsearch,stdout does both. One that cAdvisor has and the agent hasn't
// lets it run as without any: what is measured waits in the spool, and a line says so.
func TestStorageDriversOfCAdvisor(t *testing.T) {
	options := func(more ...string) []string {
		return append([]string{"-ship-interval=1s", "-docker=", "-docker_root=" + t.TempDir(), "-podman=", "-containerd=", "-docker_only", "-spool-dir=" + t.TempDir()}, more...)
	}
	t.Run("both", func(t *testing.T) {
		es := estest.New()
		server := httptest.NewServer(es)
		t.Cleanup(server.Close)
		p := startPrinter(t, exec.Command(buildAgent(t), append(options("-storage_driver=elasticsearch,stdout", "-storage_driver_es_host="+server.URL),
			"-listen_ip=127.0.0.1", "-port=0")...))
		const name = "swarmgauge.node"
		waitFor(t, 20*time.Second, "documents of the node in both", func() error {
			printed := len(p.find(func(d document) bool { return d.text("event.dataset") == name }))
			sent := 0
			for _, d := range es.Documents() {
				if strings.Contains(string(d.Source), `"`+name+`"`) {
					sent++
				}
			}
			if printed < 3 || sent < 3 {
				return fmt.Errorf("%d printed, %d sent", printed, sent)
			}
			return nil
		})
		if v := es.Violations(); len(v) > 0 {
			t.Error(v)
		}
	})
	t.Run("none", func(t *testing.T) {
		a := startAgent(t, options("-storage_driver=influxdb", "-storage_driver_host=influxdb:8086", "-storage_driver_db=cadvisor")...)
		waitFor(t, 20*time.Second, "documents that wait", func() error {
			if n := a.metric(t, "swarmgauge_documents_pending"); n < 3 {
				return fmt.Errorf("%v", n)
			}
			return nil
		})
		if n := strings.Count(a.logs(t), "the storage driver influxdb of cAdvisor has no effect here, and nothing is sent there"); n != 1 {
			t.Errorf("said %d times:\n%s", n, a.logs(t))
		}
	})
}
