package test

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// parseMetrics reads an answer of /metrics as Prometheus does.
func parseMetrics(text []byte) (scrape, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(strings.NewReader(string(text)))
}

// compareMetrics compares an answer of /metrics with cAdvisor's: families, their types,
// whether they say what they are; and of each container in names, which has them by id, and
// of the root, which series there are and whether they carry a time.
func compareMetrics(want, got scrape, wantNames, gotNames map[string]string, differ func(where, what string)) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w, g := want[name], got[name]
		if g == nil {
			differ(name, "missing")
			continue
		}
		if w.GetType() != g.GetType() {
			differ(name, fmt.Sprintf("a %v, in cAdvisor a %v", g.GetType(), w.GetType()))
		}
		if (w.GetHelp() == "") != (g.GetHelp() == "") {
			differ(name, fmt.Sprintf("help %q, in cAdvisor %q", g.GetHelp(), w.GetHelp()))
		}
		wanted, found := seriesOf(w, wantNames), seriesOf(g, gotNames)
		for _, series := range slices.Sorted(maps.Keys(wanted)) {
			if timed, ok := found[series]; !ok {
				differ(name+series, "missing")
			} else if timed != wanted[series] {
				differ(name+series, fmt.Sprintf("with a time: %v, in cAdvisor %v", timed, wanted[series]))
			}
		}
		for _, series := range slices.Sorted(maps.Keys(found)) {
			if _, ok := wanted[series]; !ok {
				differ(name+series, "cAdvisor has no such series")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want[name] == nil {
			differ(name, "cAdvisor has no such family")
		}
	}
}

// ofMachine are labels whose values are of one machine.
var ofMachine = regexp.MustCompile(`^(machine_id|system_uuid|boot_id|osVersion|kernelVersion|dockerVersion|cadvisorVersion)$`) // immutable

// ofSwarm are labels whose values are ids of one Swarm.
var ofSwarm = regexp.MustCompile(`^container_label_com_docker_swarm_(node_id|service_id|task_id|task_name)$`) // immutable

// seriesOf returns the series of a family, without what is of one machine, each with
// whether it carries a time: as ` of web{device="disk"}`. Those of containers that aren't in
// names are left out. What all series of a container carry, container_last_seen has once.
func seriesOf(f *dto.MetricFamily, names map[string]string) map[string]bool {
	all := map[string]bool{}
	for _, m := range f.Metric {
		labels := map[string]string{}
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		if strings.HasPrefix(labels["device"], "/dev/loop") {
			continue // file systems of other tests; the machine of cAdvisor's answers has none
		}
		of := ""
		if id, ok := labels["id"]; ok && strings.HasPrefix(f.GetName(), "container_") {
			name := names[hexID.FindString(id)]
			if id != "/" && name == "" {
				continue
			}
			of = " of " + cmp.Or(name, id)
			delete(labels, "id")
			delete(labels, "name")
			maps.DeleteFunc(labels, func(label, value string) bool {
				return isOfContainer(label) && (value == "" || f.GetName() != "container_last_seen")
			})
		}
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			value := labels[name]
			switch {
			case ofMachine.MatchString(name), ofSwarm.MatchString(name):
				value = "…"
			case name == "device":
				value = deviceClass(value)
			case name == "major", name == "minor":
				value = "N"
			case name == "cpu" && value != "total":
				value = "cpuNN"
			case name == "core_id" && value != "", name == "thread_id":
				value = "N"
			case name == "interface" && !strings.HasPrefix(value, "eth"):
				value = "other"
			}
			fmt.Fprintf(&b, ",%s=%q", name, value)
		}
		all[of+"{"+strings.TrimPrefix(b.String(), ",")+"}"] = m.TimestampMs != nil
	}
	return all
}

// isOfContainer tells labels that are of a container as a whole.
func isOfContainer(label string) bool {
	return label == "image" || strings.HasPrefix(label, "container_label_") || strings.HasPrefix(label, "container_env_")
}

// taskName makes the names of tasks of a Swarm the same, which end in ids.
func taskName(name string) string {
	if before, _, ok := strings.Cut(name, "."); ok {
		return before + ".…"
	}
	return name
}

func TestCompareMetrics(t *testing.T) {
	id, other := strings.Repeat("0f", 32), strings.Repeat("1e", 32)
	f := func(want, got string, differences ...string) {
		t.Helper()
		w, err := parseMetrics([]byte(want))
		if err != nil {
			t.Fatal(err)
		}
		g, err := parseMetrics([]byte(got))
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		compareMetrics(w, g, map[string]string{id: "web"}, map[string]string{other: "web"}, func(where, what string) { found = append(found, where+": "+what) })
		if !slices.Equal(found, differences) {
			t.Errorf("%q, want %q", found, differences)
		}
	}
	const head = "# HELP container_a b\n# TYPE container_a counter\n"
	series := `container_a{device="/dev/sda",id="/docker/` + id + `",name="web"} 1`
	same := `container_a{device="/dev/vdb1",id="/docker/` + other + `",name="web"} 2`
	f(head+series+"\n", head+same+"\n")
	f(head+series+" 1000\n", head+same+" 1001\n")
	f(head+series+" 1000\n", head+same+"\n", `container_a of web{device="disk"}: with a time: false, in cAdvisor true`)
	f(head+series+"\n", "# TYPE container_a gauge\n"+same+"\n", `container_a: a GAUGE, in cAdvisor a COUNTER`, `container_a: help "", in cAdvisor "b"`)
	f(head+series+"\n", head+strings.Replace(same, `device="/dev/vdb1"`, `device="overlay_0-17",x=""`, 1)+"\n",
		`container_a of web{device="disk"}: missing`, `container_a of web{device="overlay",x=""}: cAdvisor has no such series`)
	f(head+series+"\n", "b 1\n", `container_a: missing`, `b: cAdvisor has no such family`)
	unknown := `container_a{id="/docker/` + strings.Repeat("2d", 32) + `",name="unknown"} 1`
	f(head+unknown+"\n"+series+"\n", head+same+"\n")
}
