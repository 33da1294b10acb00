package cadvisor

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/metric"
)

// notServed are the families of cAdvisor that are missing here, by what they begin with, and why.
var notServed = map[string]string{
	"container_scrape_error": "of the scrape, not of a container",
	"machine_":               "of the machine, not of a container",
	"cadvisor_version_info":  "of the agent, not of a container",
}

// Each family of cAdvisor, every group switched on, is here with its type, or is on the list.
func TestFamiliesAreThoseOfCAdvisor(t *testing.T) {
	text, err := os.ReadFile("testdata/families.txt")
	if err != nil {
		t.Fatal(err)
	}
	all, err := ParseGroups("", "")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]string{}
	for _, f := range Families(all) {
		ours[f.Name] = f.Kind.String()
	}
	for line := range strings.Lines(string(text)) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		missing := false
		for prefix := range notServed {
			missing = missing || strings.HasPrefix(name, prefix)
		}
		if served := ours[name]; missing && served != "" || !missing && served != kind {
			t.Errorf("%s is a %s in cAdvisor, here %q", name, kind, served)
		}
	}
}

// The labels are those of cAdvisor's own exposition.
func TestFamiliesOfSocketsHaveTheLabelsOfCAdvisor(t *testing.T) {
	text, err := os.ReadFile("testdata/labels.txt")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]bool{}
	for _, f := range detailFamilies() {
		for _, n := range f.Numbers {
			ours[f.Name+" "+strings.TrimPrefix(n.Labels, ",")] = true
		}
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		if lines++; !ours[strings.TrimSpace(line)] {
			t.Errorf("%s isn't here", strings.TrimSpace(line))
		}
	}
	if lines != 135 {
		t.Errorf("%d series in testdata", lines)
	}
}

func TestFamiliesTable(t *testing.T) {
	all, _ := ParseGroups("", "")
	families := Families(all)
	if !slices.IsSortedFunc(families, func(a, b Family) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the families aren't in the order of their names")
	}
	for i, f := range families {
		if i > 0 && families[i-1].Name == f.Name {
			t.Errorf("%s is there twice", f.Name)
		}
		if (f.Of == nil) == (len(f.Numbers) == 0) || f.Help == "" {
			t.Errorf("%s: numbers %v and a function, or neither, or no help", f.Name, f.Numbers)
		}
		for _, n := range f.Numbers {
			if kind := metric.Describe(n.ID).Kind; kind != f.Kind {
				t.Errorf("%s is a %v, its number %v a %v", f.Name, f.Kind, n.ID, kind)
			}
			if n.ID.Per() != f.Numbers[0].ID.Per() && !n.Else {
				t.Errorf("%s has numbers per %v and per %v", f.Name, n.ID.Per(), f.Numbers[0].ID.Per())
			}
		}
	}
}

// As cAdvisor: a list to enable replaces everything, one to disable the default list.
func TestParseGroups(t *testing.T) {
	f := func(enable, disable, want, wantErr string) {
		t.Helper()
		set, err := ParseGroups(enable, disable)
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("enable %q, disable %q: error %v", enable, disable, err)
			}
			return
		}
		var on []string
		for _, name := range groups {
			if set.Has(name) {
				on = append(on, name)
			}
		}
		if got := strings.Join(on, ","); err != nil || got != want || !set.Has("") {
			t.Errorf("enable %q, disable %q: %s (%v), want %s", enable, disable, got, err, want)
		}
	}
	f("", DisabledByDefault, "app,cpu,cpuLoad,disk,diskIO,memory,network,oom_event,percpu,perf_event,pressure", "")
	f("cpu,memory", "memory", "cpu,memory", "")
	f("cpu,accelerator", "", "cpu", "") // of cAdvisor before 0.49
	f("accelerator", "", "", "")
	f("", "", strings.Join(groups[:], ","), "")
	f("tcp", DisabledByDefault, "tcp", "")
	f("cpus", "", "", `no group of metrics "cpus"`)
	f("", "cpu,x", "", `no group of metrics "x"`)
}

// Without a number for each CPU there is one for all.
// A container without a quota has no periods and no bursts, as in cAdvisor.
func TestFamiliesOfQuota(t *testing.T) {
	on, err := ParseGroups("cpu", "")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range Families(on) {
		if strings.HasPrefix(f.Name, "container_cpu_cfs_") {
			found++
			if f.Needs == nil || *f.Needs != metric.CPUQuota {
				t.Errorf("%s is there without a quota", f.Name)
			}
		}
	}
	if found != 5 {
		t.Errorf("%d families, want 5", found)
	}
}

// A container's start doesn't change while it is being started, which would look like a
// restart.
func TestFamilyOfStart(t *testing.T) {
	created, started := time.Unix(1795000000, 0), time.Unix(1795000001, 0)
	f := func(c metric.Container, want float64) {
		t.Helper()
		if v, ok := lastStart(&Observation{Container: &c}); v != want || ok != (want > 0) {
			t.Errorf("%+v: %v (%v), want %v", c, v, ok, want)
		}
	}
	f(metric.Container{Created: created, State: "created"}, 0)
	f(metric.Container{Created: created, Started: started, State: "running"}, 1795000001)
	f(metric.Container{Created: created, Started: started, State: "exited"}, 1795000001)
	f(metric.Container{Created: created}, 1795000000) // not of a runtime, or not identified
	f(metric.Container{Created: created, State: "running"}, 1795000000)
}

func TestFamiliesWithoutPerCPU(t *testing.T) {
	on, err := ParseGroups("", "percpu,memory")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Families(on) {
		if f.Group == "memory" {
			t.Errorf("%s is there, although its group is off", f.Name)
		}
		if f.Name == "container_cpu_usage_seconds_total" && (len(f.Numbers) != 1 || f.Numbers[0].ID != metric.CPUUsage) {
			t.Errorf("%s has %v", f.Name, f.Numbers)
		}
	}
}
