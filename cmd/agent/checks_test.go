package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/cgroup"
	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// unified opens a cgroup2 mount with these files.
func unified(t *testing.T, files map[string]string) (root string, h *cgroup.Hierarchy) {
	t.Helper()
	dir := t.TempDir()
	root = filepath.Join(dir, "cg")
	files["../proc/self/mountinfo"] = fmt.Sprintf("41 31 0:38 / %s rw,relatime - cgroup2 cgroup2 rw\n", root)
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := cgroup.Open(cgroup.Options{ProcRoot: filepath.Join(dir, "proc"), CgroupRoot: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return root, h
}

func TestFindingsOfCgroups(t *testing.T) {
	pressure := "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
	f := func(files map[string]string, want ...string) {
		t.Helper()
		root, h := unified(t, files)
		c := &checks{o: &options{CgroupRoot: root}, where: &place{kind: inContainer}, cgroups: h}
		var got []string
		for _, found := range c.ofCgroups() {
			text := fmt.Sprintf("%s %s", found.Check, found.Status)
			if line := found.mend.line(c.where); line != nil {
				text += " " + strings.ReplaceAll(line.String(), root, "ROOT")
			}
			got = append(got, text)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	f(map[string]string{"cgroup.controllers": "cpuset cpu io memory hugetlb pids\n", "cpu.pressure": pressure}, "cgroups ok", "pressure ok")
	f(map[string]string{"cgroup.controllers": "cpuset cpu pids\n"},
		"cgroups ok",
		"pressure degraded on the node: boot with psi=1, or use a kernel with CONFIG_PSI",
		"controllers fault on the node: boot with cgroup_enable=memory",
		"controllers degraded on the node: remove cgroup_disable=io from the boot flags, or use a kernel that has it")
	f(map[string]string{"cgroup.controllers": "cpuset cpu io memory hugetlb pids\n", "cpu.pressure": pressure, "cgroup.type": "domain\n"},
		"cgroups fault docker run: -v /sys/fs/cgroup:ROOT:ro", "pressure ok")
}

func TestSecondAgent(t *testing.T) {
	agent := func(id, name, image, service string) *metric.Container {
		return &metric.Container{ID: id, Name: name, Image: image, Swarm: metric.Swarm{ServiceName: service}}
	}
	f := func(where *place, mend string, containers ...*metric.Container) {
		t.Helper()
		g := glance{containers: containers}
		found := g.agents(where)
		if got := found.mend.elsewhere; got != mend || (found.Status == shipper.Degraded) != (mend != "") {
			t.Errorf("%+v, want %q", found, mend)
		}
	}
	// The tests' process isn't the first of a container: it stands for doctor beside an agent.
	beside := &place{kind: inContainer, id: "1"}
	f(beside, "", agent("1", "a", "x/swarmgauge", ""), agent("3", "web", "nginx", ""))
	f(beside, "docker stop b", agent("1", "a", "x/gauge", ""), agent("2", "b", "x/gauge", ""))
	f(beside, "docker service rm old_agent", agent("1", "a", "mine", ""), agent("2", "old_agent.1", "swarmgauge:1.0", "old_agent"))
	f(&place{}, "", agent("2", "b", "swarmgauge", ""))
	f(&place{}, "docker stop c", agent("2", "b", "swarmgauge", ""), agent("3", "c", "swarmgauge", ""))
}

func TestClockIsJudged(t *testing.T) {
	const slack, interval = 600 * time.Millisecond, 10 * time.Second
	f := func(off time.Duration, want shipper.Status, text string) {
		t.Helper()
		if status, said := judgeClock(off, slack, interval); status != want || !strings.Contains(said, text) {
			t.Errorf("%v: %s %q", off, status, said)
		}
	}
	f(0, shipper.OK, "agrees")
	f(-2500*time.Millisecond, shipper.OK, "agrees")
	f(-4*time.Second, shipper.Degraded, "4s behind")
	f(4*time.Second, shipper.Degraded, "4s ahead of")
	f(time.Hour, shipper.Fault, "1h0m0s ahead of")
}

func TestFindingOfKibana(t *testing.T) {
	fake := kibanatest.New("8.19.7")
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	f := func(host string, want shipper.Status, text, mend string) {
		t.Helper()
		c := &checks{o: &options{KibanaHost: host, ESIndex: "cadvisor"}, where: &place{kind: inContainer}}
		found := c.ofKibana(t.Context())
		got := ""
		if line := found.mend.line(c.where); line != nil {
			got = line.String()
		}
		if found.Status != want || !strings.Contains(found.Text, text) || got != mend {
			t.Errorf("%+v, %q", found, got)
		}
	}
	f("", shipper.OK, "left alone", "")
	f(server.URL, shipper.OK, "the agent brings", "")
	fake.Level("unavailable")
	f(server.URL, shipper.Degraded, "isn't ready", "docker run: -e SWARMGAUGE_KIBANA_HOST=http://KIBANA:5601")
	fake.Level("available")
	f(server.URL+"/elsewhere", shipper.Degraded, "there is no Kibana", "")
	if changes := fake.Writes(); len(changes) > 0 {
		t.Errorf("%q", changes)
	}
}
