package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

// resctrlTree stands for /sys/fs/resctrl of a machine with two caches: no machine of the lab
// has the CPU for it. The rest of its sysfs is this machine's.
type resctrlTree struct{ sys, root string }

func newResctrlTree(t testing.TB) *resctrlTree {
	t.Helper()
	sys := t.TempDir()
	for _, name := range []string{"block", "bus", "class", "devices", "firmware", "kernel"} {
		if err := os.Symlink("/sys/"+name, filepath.Join(sys, name)); err != nil {
			t.Fatal(err)
		}
	}
	tree := &resctrlTree{sys, filepath.Join(sys, "fs/resctrl")}
	if err := os.CopyFS(tree.root, os.DirFS("../proc/testdata/resctrl-two-sockets")); err != nil {
		t.Fatal(err)
	}
	return tree
}

// group makes a group with all threads of processes, which has counted so much: of the
// second cache ten times the first one's.
func (r *resctrlTree) group(t testing.TB, name string, pids []int, occupancy, total, local uint64) {
	t.Helper()
	write := func(file, text string) {
		t.Helper()
		file = filepath.Join(r.root, name, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var tasks strings.Builder
	for _, pid := range pids {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			tasks.WriteString(thread.Name() + "\n")
		}
	}
	write("tasks", tasks.String())
	write("cpus_list", "\n")
	for i, factor := range []uint64{1, 10} {
		cache := fmt.Sprintf("mon_data/mon_L3_%02d/", i)
		write(cache+"llc_occupancy", fmt.Sprintln(factor*occupancy))
		write(cache+"mbm_total_bytes", fmt.Sprintln(factor*total))
		write(cache+"mbm_local_bytes", fmt.Sprintln(factor*local))
	}
}

// names returns all files with their sizes and times.
func (r *resctrlTree) names(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(r.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What groups of resctrl have counted is shown of the containers whose own they are, and of
// the node; the agent makes none.
func TestResctrl(t *testing.T) {
	e := lab.EngineFor(t)
	h := &host{Engine: e}
	run := func(name string) (id string, pids []int) {
		t.Helper()
		id = h.run(t, "--name", name, lab.BusyboxImage, "sh", "-c", "sleep 1000 & exec sleep 1001")
		waitFor(t, 20*time.Second, "two processes", func() error {
			if pids = pidsOf(t, e, id); len(pids) != 2 {
				return fmt.Errorf("%v", pids)
			}
			return nil
		})
		return id, pids
	}
	named, _ := run("resctrl-named")
	_, alone := run("resctrl-alone")
	_, sharing := run("resctrl-sharing")
	_, shared := run("resctrl-shared")
	_, part := run("resctrl-part")
	tree := newResctrlTree(t)
	tree.group(t, "", []int{os.Getpid()}, 1, 2, 3)
	tree.group(t, "mon_groups/"+named, nil, 100, 200, 300)
	tree.group(t, "batch", alone, 1000, 2000, 3000)
	tree.group(t, "batch/mon_groups/some", alone[:1], 10000, 20000, 30000)
	tree.group(t, "crowd", append(sharing, shared...), 1e6, 2e6, 3e6)
	tree.group(t, "worker", part[1:], 1e7, 2e7, 3e7)
	tree.group(t, "p1", nil, 0, 0, 0) // the fixture's
	before := tree.names(t)
	options := []string{"-docker=", "-docker_root=" + e.DataRoot(), "-docker_only", "-sys-root=" + tree.sys}
	a := startAgent(t, append(options, "-enable_metrics=cpu,memory,resctrl", "-spool-dir="+t.TempDir())...)
	off := startAgent(t, append(options, "-spool-dir="+t.TempDir())...)
	const occupancy, total, local = "container_llc_occupancy_bytes", "container_memory_bandwidth_bytes", "container_memory_bandwidth_local_bytes"
	waitFor(t, 60*time.Second, "the groups", func() error {
		s := a.scrape(t)
		for _, name := range []string{"resctrl-named", "resctrl-alone"} {
			if _, ok := s.series(occupancy, map[string]string{"name": name}); !ok {
				return fmt.Errorf("%s has none", name)
			}
		}
		if _, ok := off.scrape(t).series("container_last_seen", map[string]string{"name": "resctrl-named"}); !ok {
			return errors.New("the agent without the group doesn't know resctrl-named yet")
		}
		return nil
	})
	s := a.scrape(t)
	want := func(want float64, family string, labels map[string]string) {
		t.Helper()
		for i, factor := range []float64{1, 10} {
			labels["node_id"] = strconv.Itoa(i)
			if v, ok := s.series(family, labels); !ok || v != factor*want {
				t.Errorf("%s %v is %v (%v), want %v", family, labels, v, ok, factor*want)
			}
		}
	}
	of := func(name string) map[string]string { return map[string]string{"name": name} }
	want(100, occupancy, of("resctrl-named"))
	want(200, total, of("resctrl-named"))
	want(300, local, of("resctrl-named"))
	want(1000, occupancy, of("resctrl-alone"))
	want(2000, total, of("resctrl-alone"))
	want(3000, local, of("resctrl-alone"))
	node := map[string]string{"id": "/"}
	want(1+1000+1e6+1e7, occupancy, node)
	want(2+2000+2e6+2e7, total, node)
	want(3+3000+3e6+3e7, local, node)
	for _, name := range []string{"resctrl-sharing", "resctrl-shared", "resctrl-part"} {
		if v, ok := s.series(occupancy, of(name)); ok {
			t.Errorf("%s has %v of a group that isn't its own", name, v)
		}
	}

	// cAdvisor's JSON.
	const object = `{"memory_bandwidth":[{"mbm_total_bytes":200,"mbm_local_bytes":300},{"mbm_total_bytes":2000,"mbm_local_bytes":3000}],` +
		`"cache":[{"llc_occupancy":100},{"llc_occupancy":1000}]}`
	type stats struct {
		Resctrl json.RawMessage
	}
	newestOf := func(a *agent, path string, v any) {
		t.Helper()
		text, err := httpGet(t, a.URL+path)
		if err == nil {
			err = json.Unmarshal([]byte(text), v)
		}
		if err != nil {
			t.Fatal(path, err)
		}
	}
	check := func(a *agent, want string) {
		t.Helper()
		var v1 map[string]struct{ Stats []stats }
		newestOf(a, "/api/v1.3/docker/resctrl-named", &v1)
		var v20 map[string][]stats
		newestOf(a, "/api/v2.0/stats/resctrl-named?type=docker&count=1", &v20)
		var v21 map[string]struct{ Stats []stats }
		newestOf(a, "/api/v2.1/stats/resctrl-named?type=docker&count=1", &v21)
		if len(v1) != 1 || len(v20) != 1 || len(v21) != 1 {
			t.Fatalf("%d, %d and %d containers", len(v1), len(v20), len(v21))
		}
		for path, c := range v1 {
			for api, s := range map[string]stats{
				"v1.3": c.Stats[len(c.Stats)-1], "v2.0": v20[path][0], "v2.1": v21[path].Stats[0],
			} {
				if string(s.Resctrl) != want {
					t.Errorf("%s: %s, want %s", api, s.Resctrl, want)
				}
			}
		}
	}
	check(a, object)
	check(off, "{}")
	for family := range off.scrape(t) {
		if family == occupancy || family == total || family == local {
			t.Errorf("%s is there, although its group is off", family)
		}
	}
	if after := tree.names(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
