package kibana

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
)

// testObjects are saved objects as the dashboards are, and few.
func testObjects(pattern string, dashboards ...string) []byte {
	var b strings.Builder
	line := func(kind, id, version, attributes, references string) {
		fmt.Fprintf(&b, `{"type":%q,"id":%q,"attributes":%s,"references":[%s],"managed":true,"coreMigrationVersion":"8.8.0","typeMigrationVersion":%q}`+"\n",
			kind, id, attributes, references, version)
	}
	line("index-pattern", "swarmgauge", "8.0.0", fmt.Sprintf(`{"title":%q,"timeFieldName":"@timestamp","fieldAttrs":"{}"}`, pattern), "")
	line("tag", "swarmgauge-tag", "8.0.0", `{"name":"swarmgauge","description":"Made by swarmgauge.","color":"#000000"}`, "")
	for _, d := range dashboards {
		line("dashboard", "swarmgauge-"+d, "8.9.0", fmt.Sprintf(`{"title":"The %s","panelsJSON":"[{\"text\":\"[x](#/view/swarmgauge-%s?_a=1)\",\"savedObjectId\":\"swarmgauge-%[1]s\"}]"}`, d, dashboards[0]),
			`{"type":"index-pattern","id":"swarmgauge","name":"view"},{"type":"tag","id":"swarmgauge-tag","name":"tag"}`)
	}
	return []byte(b.String())
}

// rig is a fake Kibana, and what is brought there.
type rig struct {
	*kibanatest.Server
	url     string
	options Options
	objects []byte
	version int
	force   bool
}

func newRig(t *testing.T, version string) *rig {
	t.Helper()
	fake := kibanatest.New(version)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return &rig{Server: fake, url: server.URL, options: Options{URL: server.URL}, objects: testObjects("cadvisor-*", "nodes", "services"), version: 3}
}

func (r *rig) setup(t *testing.T) *Setup {
	t.Helper()
	c, err := NewClient(r.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	objects, err := InSpace(r.objects, r.options.Space)
	if err != nil {
		t.Fatal(err)
	}
	return &Setup{Client: c, Objects: objects, Version: r.version, Pattern: "cadvisor-*", Force: r.force, pause: 20 * time.Millisecond}
}

// run sets Kibana up and fails the test where that fails.
func (r *rig) run(t *testing.T) Report {
	t.Helper()
	report, err := r.setup(t).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// refused wants an error with that text; waits tells whether it may pass by itself.
func (r *rig) refused(t *testing.T, text string, waits bool) {
	t.Helper()
	_, err := r.setup(t).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), text) || errors.Is(err, ErrNotYet) != waits {
		t.Errorf("got %v (waits: %t), want %q (waits: %t)", err, errors.Is(err, ErrNotYet), text, waits)
	}
}

func (r *rig) title(id string) any {
	attributes := r.Attributes("dashboard", id)
	return attributes["title"]
}

// TestSetupOnce: everything is brought, once.
func TestSetupOnce(t *testing.T) {
	f := func(version string) {
		t.Helper()
		r := newRig(t, version)
		report := r.run(t)
		want := []string{"dashboard/swarmgauge-nodes", "dashboard/swarmgauge-services", "index-pattern/swarmgauge", "tag/swarmgauge-tag"}
		if got := r.IDs("default"); !slices.Equal(got, want) {
			t.Errorf("%s: %q", version, got)
		}
		if len(report.Created) != 3 || !report.Wrote() || report.Kibana != version {
			t.Errorf("%s: %+v", version, report)
		}
		writes := len(r.Writes())
		report = r.run(t)
		if report.Wrote() || len(report.Same) != 3 || len(report.Kept) != 0 || len(r.Writes()) != writes {
			t.Errorf("%s, again: %+v, %q", version, report, r.Writes()[writes:])
		}
		plan, err := r.setup(t).Plan(t.Context())
		if err != nil || plan.Wrote() || len(plan.Changes) != 0 {
			t.Errorf("%s: %+v, %v", version, plan, err)
		}
		if d := r.Attributes("tag", "swarmgauge-tag")["description"].(string); len(d) > 100 || !strings.HasPrefix(d, "swarmgauge assets 3: ") {
			t.Errorf("the record is %q", d)
		}
	}
	f("8.9.0")
	f("8.19.21")
	f("9.2.2")
	f("10.0.0")
}

// TestSetupObjects brings what the agent brings to a Kibana that judges it, in two spaces.
func TestSetupObjects(t *testing.T) {
	for _, version := range []string{"8.9.0", "8.19.21", "9.2.2"} {
		r := newRig(t, version)
		r.Strict()
		r.Space("ops")
		r.objects = NDJSON(Objects(DefaultPrefix))
		all := len(Objects(DefaultPrefix))
		for _, space := range []string{"", "ops"} {
			r.options.Space = space
			report := r.run(t)
			if len(report.Created) != all-1 { // but for the tag
				t.Errorf("%s %s: %+v", version, space, report)
			}
			if report = r.run(t); report.Wrote() || len(report.Same) != all-1 {
				t.Errorf("%s %s, again: %+v", version, space, report)
			}
		}
		for _, id := range [...]string{tagID, tagID + "-ops"} {
			d, _ := r.Attributes("tag", id)["description"].(string)
			if record, ok := parseRecord(d); !ok || len(d) > 100 || len(record.stamps) != all-1 {
				t.Errorf("the record of %d objects is %q", all, d)
			}
		}
	}
	inSpace, err := InSpace(NDJSON(Objects(DefaultPrefix)), "ops")
	if err != nil {
		t.Fatal(err)
	}
	if err := kibanatest.Validate(inSpace); err != nil {
		t.Error(err)
	}
	for _, o := range Objects(DefaultPrefix) {
		if strings.Contains(string(inSpace), "#/view/"+o.ID+")") {
			t.Errorf("in a space, there are links to %s of the default one", o.ID)
		}
	}
}

// TestSetupPlan writes nothing, and shows what Run would.
func TestSetupPlan(t *testing.T) {
	r := newRig(t, "8.19.21")
	plan, err := r.setup(t).Plan(t.Context())
	if err != nil || len(plan.Created) != 3 || len(plan.Changes) != 3 || plan.Changes[0].Before != nil || len(r.Writes()) != 0 {
		t.Errorf("%+v, %v, %q", plan, err, r.Writes())
	}
	r.run(t)
	r.version, r.objects = 4, []byte(strings.ReplaceAll(string(r.objects), "The nodes", "All nodes"))
	writes := len(r.Writes())
	if plan, err = r.setup(t).Plan(t.Context()); err != nil || len(plan.Replaced) != 3 || len(r.Writes()) != writes {
		t.Errorf("%+v, %v", plan, err)
	}
	if c := plan.Changes[1]; !strings.Contains(string(c.Before), "The nodes") || !strings.Contains(string(c.After), "All nodes") {
		t.Errorf("%s → %s", c.Before, c.After)
	}
}

// TestSetupUpgrade: a newer version replaces what nobody changed, an older one nothing.
func TestSetupUpgrade(t *testing.T) {
	r := newRig(t, "8.19.21")
	r.run(t)
	older := r.objects
	r.version, r.objects = 4, testObjects("cadvisor-*", "nodes", "services", "disks")
	report := r.run(t)
	if len(report.Created) != 1 || len(report.Replaced) != 3 {
		t.Errorf("%+v", report)
	}
	r.version, r.objects = 3, older
	writes := len(r.Writes())
	if report = r.run(t); report.Newer != 4 || report.Wrote() || len(r.Writes()) != writes {
		t.Errorf("%+v", report)
	}
	r.force = true // doesn't mean to go back
	if report = r.run(t); report.Newer != 4 || len(r.Writes()) != writes {
		t.Errorf("%+v", report)
	}
}

// TestSetupPersonal names what a person may have done, and that it stays.
func TestSetupPersonal(t *testing.T) {
	kept := func(t *testing.T, r *rig, text string, wrote bool) {
		t.Helper()
		report := r.run(t)
		if len(report.Kept) != 1 || !strings.Contains(report.Kept[0], text) || report.Wrote() != wrote {
			t.Errorf("%+v", report)
		}
	}
	t.Run("changed", func(t *testing.T) {
		r := newRig(t, "8.19.21")
		r.run(t)
		r.Edit("dashboard", "swarmgauge-nodes", func(a map[string]any) { a["title"] = "Mine" })
		writes := len(r.Writes())
		kept(t, r, `dashboard "The nodes" (id swarmgauge-nodes) is left as it is: it was changed by a person`, false)
		if len(r.Writes()) != writes {
			t.Errorf("%q", r.Writes())
		}
		r.version = 4
		kept(t, r, "changed by a person", true)
		kept(t, r, "changed by a person", false) // the next time, too
		r.version = 5
		kept(t, r, "changed by a person", true)
		if r.title("swarmgauge-nodes") != "Mine" {
			t.Error(r.title("swarmgauge-nodes"))
		}
		r.force = true
		if report := r.run(t); len(report.Kept) != 0 || r.title("swarmgauge-nodes") != "The nodes" {
			t.Errorf("%+v", report)
		}
		r.force = false
		if report := r.run(t); len(report.Kept) != 0 || report.Wrote() {
			t.Errorf("%+v", report)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		r := newRig(t, "8.19.21")
		r.run(t)
		r.Remove("dashboard", "swarmgauge-nodes")
		kept(t, r, "deleted by a person", false)
		r.version = 4
		kept(t, r, "deleted by a person", true)
		kept(t, r, "deleted by a person", false)
		r.force = true
		if report := r.run(t); len(report.Kept) != 0 || r.title("swarmgauge-nodes") != "The nodes" {
			t.Errorf("%+v", report)
		}
	})
	t.Run("his own", func(t *testing.T) {
		r := newRig(t, "8.19.21")
		r.Place("default", `{"type":"dashboard","id":"swarmgauge-nodes","attributes":{"title":"Mine"},"references":[]}`)
		kept(t, r, "it isn't managed by swarmgauge", true)
		kept(t, r, "changed by a person before", false)
		if r.title("swarmgauge-nodes") != "Mine" {
			t.Error(r.title("swarmgauge-nodes"))
		}
	})
	t.Run("a copy", func(t *testing.T) {
		r := newRig(t, "8.19.21")
		r.Place("default", `{"type":"dashboard","id":"copy","originId":"swarmgauge-nodes","attributes":{"title":"Mine"},"references":[]}`)
		r.refused(t, `dashboard "The nodes" has a copy in this space (id copy), which isn't overwritten: delete the copy`, false)
		if r.title("copy") != "Mine" {
			t.Error(r.title("copy"))
		}
	})
	t.Run("the record", func(t *testing.T) {
		r := newRig(t, "8.19.21")
		r.run(t)
		r.Edit("tag", "swarmgauge-tag", func(a map[string]any) { a["description"] = "of the ops team" })
		r.version = 4
		writes := len(r.Writes())
		if report := r.run(t); len(report.Kept) != 3 || !strings.Contains(report.Kept[0], `the description of the tag "swarmgauge"`) || len(r.Writes()) != writes {
			t.Errorf("%+v", report)
		}
	})
	t.Run("the tag", func(t *testing.T) {
		r := newRig(t, "8.19.21")
		r.run(t)
		r.Edit("tag", "swarmgauge-tag", func(a map[string]any) { a["name"], a["color"] = "swarm", "#FFFFFF" })
		r.version = 4
		r.run(t)
		if a := r.Attributes("tag", "swarmgauge-tag"); a["name"] != "swarm" || a["color"] != "#FFFFFF" || !strings.HasPrefix(a["description"].(string), "swarmgauge assets 4:") {
			t.Errorf("%+v", a)
		}
	})
	t.Run("other indices", func(t *testing.T) {
		r := newRig(t, "8.19.21")
		r.run(t)
		r.objects = testObjects("metrics-*", "nodes", "services")
		r.refused(t, "are for the indices cadvisor-*, and this agent's are metrics-*", false)
		r.version = 4
		r.refused(t, "-kibana-space", false)
		r.force = true
		r.run(t)
		if a := r.Attributes("index-pattern", "swarmgauge"); a["title"] != "metrics-*" {
			t.Errorf("%+v", a)
		}
	})
}

// TestSetupNobody names what isn't a person's doing, and is no change.
func TestSetupNobody(t *testing.T) {
	r := newRig(t, "8.19.21")
	r.run(t)
	// Discover counts how often a field is used.
	r.Edit("index-pattern", "swarmgauge", func(a map[string]any) { a["fieldAttrs"] = `{"container.name":{"count":7}}` })
	if report := r.run(t); len(report.Kept) != 0 || report.Wrote() {
		t.Errorf("counted: %+v", report)
	}
	r.Edit("index-pattern", "swarmgauge", func(a map[string]any) {
		a["fieldAttrs"] = `{"container.name":{"count":7,"customLabel":"who"}}`
	})
	if report := r.run(t); len(report.Kept) != 1 {
		t.Errorf("labelled: %+v", report)
	}
	// Kibana is upgraded, and migrates attributes.
	r = newRig(t, "8.9.0")
	r.run(t)
	r.Upgrade("9.2.2")
	if report := r.run(t); len(report.Kept) != 0 || report.Wrote() {
		t.Errorf("upgraded: %+v", report)
	}
	// The file was imported by hand.
	r = newRig(t, "8.19.21")
	for line := range strings.Lines(string(r.objects)) {
		r.Place("default", line)
	}
	if report := r.run(t); len(report.Replaced) != 3 || len(report.Kept) != 0 {
		t.Errorf("imported by hand: %+v", report)
	}
	if report := r.run(t); report.Wrote() || len(report.Kept) != 0 {
		t.Errorf("again: %+v", report)
	}
}

// TestSetupHalfFinished ends a setup after each of its requests: the next one ends it, and
// what was a person's before stays his.
func TestSetupHalfFinished(t *testing.T) {
	for dies := 1; ; dies++ {
		r := newRig(t, "8.19.21")
		r.run(t)
		r.Edit("dashboard", "swarmgauge-services", func(a map[string]any) { a["title"] = "Mine" })
		r.version, r.objects = 4, testObjects("cadvisor-*", "nodes", "services", "disks")
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		r.Override(func(*http.Request) *kibanatest.Answer {
			if asked++; asked == dies {
				cancel()
				return &kibanatest.Answer{Status: 503}
			}
			return nil
		})
		_, err := r.setup(t).Run(ctx)
		cancel()
		r.Override(nil)
		if err == nil {
			if dies < 5 {
				t.Errorf("a setup takes %d requests", dies)
			}
			break
		}
		next := r.setup(t)
		if _, err := next.Run(t.Context()); errors.Is(err, ErrNotYet) {
			next.since = next.since.Add(-patience) // it has waited
		} else if err != nil {
			t.Fatal(err)
		}
		report, err := next.Run(t.Context())
		if err != nil || r.title("swarmgauge-services") != "Mine" || r.title("swarmgauge-disks") != "The disks" || len(report.Kept) != 1 {
			t.Errorf("ended after request %d: %+v, %v", dies, report, err)
		}
		writes := len(r.Writes())
		if report := r.run(t); report.Wrote() || len(r.Writes()) != writes {
			t.Errorf("ended after request %d, and not done: %+v", dies, report)
		}
	}
}

// TestSetupUnmanaged: what a setup has begun is its own, even if Kibana forgets that it is
// managed.
func TestSetupUnmanaged(t *testing.T) {
	r := newRig(t, "8.19.21")
	r.Place("default", `{"type":"tag","id":"swarmgauge-tag","attributes":{"name":"swarmgauge","description":"swarmgauge assets 3 begun WK7Q:","color":"#000000"},"references":[]}`)
	r.Place("default", `{"type":"dashboard","id":"swarmgauge-nodes","attributes":{"title":"Half"},"references":[]}`)
	s := r.setup(t)
	if _, err := s.Run(t.Context()); !errors.Is(err, ErrNotYet) {
		t.Fatal(err)
	}
	s.since = s.since.Add(-patience)
	if report, err := s.Run(t.Context()); err != nil || len(report.Kept) != 0 || r.title("swarmgauge-nodes") != "The nodes" {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestSetupAtOnce: of many, one does the work.
func TestSetupAtOnce(t *testing.T) {
	r := newRig(t, "9.2.2")
	var wg sync.WaitGroup
	for range 20 {
		s := r.setup(t)
		wg.Go(func() {
			for {
				if _, err := s.Run(t.Context()); err == nil {
					return
				} else if !errors.Is(err, ErrNotYet) {
					t.Error(err)
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	if n := len(r.Writes()); n != 3 {
		t.Errorf("%d requests wrote: %q", n, r.Writes())
	}
	if report := r.run(t); report.Wrote() || len(report.Same) != 3 {
		t.Errorf("%+v", report)
	}
}

// TestSetupUpgradeAtOnce: of many that have newer assets, whoever does it, the record in the
// end is of what is there.
func TestSetupUpgradeAtOnce(t *testing.T) {
	r := newRig(t, "9.2.2")
	r.run(t)
	r.version = 4
	var wg sync.WaitGroup
	for range 10 {
		s := r.setup(t)
		s.pause = settle
		wg.Go(func() {
			for {
				if _, err := s.Run(t.Context()); err == nil {
					return
				} else if !errors.Is(err, ErrNotYet) {
					t.Error(err)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	writes := len(r.Writes())
	if report := r.run(t); report.Wrote() || len(report.Same) != 3 || len(report.Kept) != 0 || len(r.Writes()) != writes {
		t.Errorf("%+v", report)
	}
}

// TestSetupRefused names what Kibana may say, and the sentence for it.
func TestSetupRefused(t *testing.T) {
	f := func(name string, prepare func(*rig), text string, waits bool) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "8.19.21")
			prepare(r)
			r.refused(t, text, waits)
		})
	}
	answer := func(path string, a kibanatest.Answer) func(*rig) {
		return func(r *rig) {
			r.Override(func(req *http.Request) *kibanatest.Answer {
				if strings.HasSuffix(req.URL.Path, path) {
					return &a
				}
				return nil
			})
		}
	}
	f("absent", func(r *rig) { r.options.URL = "http://127.0.0.1:1" }, "doesn't answer (dial tcp 127.0.0.1:1: connect: connection refused)", true)
	f("starting", func(r *rig) { r.Boot(true) }, "isn't ready (HTTP status 503", true)
	f("without Elasticsearch", func(r *rig) { r.Level("unavailable") }, "isn't ready (HTTP status 503", true)
	f("starting in a later step", answer("/_import", kibanatest.Answer{Status: 503, Body: "Kibana server is not ready yet"}), "Kibana server is not ready yet", true)
	f("a proxy before it", answer("/api/status", kibanatest.Answer{Status: 502, Body: "<html>"}), "isn't ready (HTTP status 502)", true)
	f("overloaded", answer("/_export", kibanatest.Answer{Status: 429}), "HTTP status 429", true)
	f("7.17", func(r *rig) { r.Upgrade("7.17.29") }, "Kibana 7.17.29 is older than 8.9 and can't take the dashboards, so nothing was brought there; what works is a data view made by hand: Stack Management → Index Patterns → Create index pattern, with the pattern cadvisor-* and the time field @timestamp", false)
	f("8.8", func(r *rig) { r.Upgrade("8.8.2") }, "Stack Management → Data Views → Create data view", false)
	f("a web page", answer("/api/status", kibanatest.Answer{Status: 200, Body: "<!DOCTYPE html>"}), "sends a web page", false)
	f("something else", answer("/api/status", kibanatest.Answer{Status: 200, Body: `{"ok":true}`}), "isn't Kibana", false)
	f("Elasticsearch", answer("/api/status", kibanatest.Answer{Status: 400, Body: `{"error":"no handler"}`}), "isn't Kibana", false)
	f("elsewhere", func(r *rig) { r.BasePath("/kibana") }, "base path (server.basePath) of -kibana-host", false)
	f("redirected", answer("/api/status", kibanatest.Answer{Status: 302, Header: map[string]string{"Location": "https://u:secret@kibana.example/x"}}), `redirects to "https://u:xxxxx@kibana.example/x"`, false)
	f("no credentials", func(r *rig) { r.Secure("Basic eDp5", kibanatest.User{}) }, "doesn't accept the credentials", false)
	f("without the right to read", func(r *rig) { r.Secure("", kibanatest.User{}) }, "(HTTP status 403: Unable to bulk_get dashboard,index-pattern,tag): give his role the Kibana privileges All of Dashboards", false)
	f("without the right to write", func(r *rig) { r.Secure("", kibanatest.User{Read: true}) }, "(HTTP status 403: Unable to bulk_create tag)", false)
	f("no such space", func(r *rig) { r.options.Space = "ops" }, `has no space "ops"`, false)
	f("a space of others", func(r *rig) {
		r.options.Space = "ops"
		r.Secure("", kibanatest.User{Read: true, Write: true, Spaces: []string{"default"}})
	}, `may not enter the space "ops"`, false)
	f("taken in another space", func(r *rig) {
		r.Space("ops")
		for line := range strings.Lines(string(r.objects)) {
			r.Place("ops", line)
		}
	}, "in another space of Kibana at http://127.0.0.1:", false)
	f("newer objects", func(r *rig) {
		r.objects = []byte(strings.ReplaceAll(string(r.objects), `"typeMigrationVersion":"8.9.0"`, `"typeMigrationVersion":"99.0.0"`))
	}, `belongs to a more recent version of Kibana [99.0.0]`, false)
	f("an unknown key", func(r *rig) {
		r.Check(func(line []byte) error {
			if strings.Contains(string(line), "panelsJSON") {
				return errors.New("[attributes.panelsJSON]: definition for this key is missing")
			}
			return nil
		})
	}, `dashboard "The nodes": unknown [attributes.panelsJSON]: definition for this key is missing`, false)
	f("an unknown type", func(r *rig) {
		r.objects = append(r.objects, `{"type":"lens","id":"x","attributes":{"title":"X"},"references":[]}`...)
	}, "non-exportable types: lens:x", false)
	f("a reference to nothing", func(r *rig) {
		r.objects = []byte(strings.ReplaceAll(string(r.objects), `{"type":"index-pattern","id":"swarmgauge","name"`, `{"type":"index-pattern","id":"gone","name"`))
	}, `refers to what isn't there: index-pattern gone`, false)
	f("too large for a proxy", answer("/_import", kibanatest.Answer{Status: 413, Body: "<html>"}), "a proxy before Kibana", false)
	f("too large for Kibana", answer("/_import", kibanatest.Answer{Status: 413, Body: `{"message":"Payload content length greater than maximum allowed"}`}), "savedObjects.maxImportPayloadBytes", false)
	f("no success, no reason", answer("/_import", kibanatest.Answer{Status: 200, Body: `{"success":false,"successCount":0}`}), "and not why", false)
	f("no answer at all", answer("/_import", kibanatest.Answer{Status: 200, Body: `[]`}), "can't be read", false)
	f("success, and nothing made", answer("/_import", kibanatest.Answer{Status: 200, Body: `{"success":true,"successCount":0}`}), "and nothing of the", false)
	f("broken inside", answer("/_export", kibanatest.Answer{Status: 500, Body: `{"statusCode":500,"message":"An internal server error occurred"}`}), "its log says why", false)
	f("an export without objects", answer("/_export", kibanatest.Answer{Status: 400, Body: `{"message":"no"}`}), "doesn't export its objects", false)
	f("an export of nonsense", answer("/_export", kibanatest.Answer{Status: 200, Body: `{"type":`}), "can't be read", false)
}

// TestSetupStray: an object that Kibana makes under another id isn't left behind.
func TestSetupStray(t *testing.T) {
	r := newRig(t, "8.19.21")
	r.Space("ops")
	for line := range strings.Lines(string(r.objects)) {
		r.Place("ops", line)
	}
	r.refused(t, "another space", false)
	if got := r.IDs("default"); len(got) != 0 {
		t.Errorf("%q is left", got)
	}
}

// TestSetupSpaces: each space has its own, with links that lead to its own.
func TestSetupSpaces(t *testing.T) {
	r := newRig(t, "9.2.2")
	r.Space("ops")
	r.run(t)
	r.options.Space = "ops"
	r.run(t)
	want := []string{"dashboard/swarmgauge-nodes-ops", "dashboard/swarmgauge-services-ops", "index-pattern/swarmgauge-ops", "tag/swarmgauge-tag-ops"}
	if got := r.IDs("ops"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	var d struct {
		Attributes struct{ Title, PanelsJSON string }
		References []Reference
	}
	if err := json.Unmarshal([]byte(r.Line("dashboard", "swarmgauge-services-ops")), &d); err != nil {
		t.Fatal(err)
	}
	if want := `[{"savedObjectId":"swarmgauge-services-ops","text":"[x](#/view/swarmgauge-nodes-ops?_a=1)"}]`; d.Attributes.PanelsJSON != want || d.Attributes.Title != "The services" {
		t.Errorf("%+v", d)
	}
	if len(d.References) != 2 || d.References[0] != (Reference{"view", "index-pattern", "swarmgauge-ops"}) || d.References[1].ID != "swarmgauge-tag-ops" {
		t.Errorf("%+v", d.References)
	}
	writes := len(r.Writes())
	r.run(t)
	r.options.Space = "default"
	r.run(t)
	if len(r.Writes()) != writes || len(r.IDs("default")) != 4 {
		t.Errorf("%q", r.Writes()[writes:])
	}
}

// TestClientCredentials: basic, API key, in the URL; behind a base path.
func TestClientCredentials(t *testing.T) {
	dir := t.TempDir()
	password, key := filepath.Join(dir, "password"), filepath.Join(dir, "key")
	os.WriteFile(password, []byte("geheim\n"), 0o600)
	os.WriteFile(key, []byte("id:key\n"), 0o600)
	all := kibanatest.User{Read: true, Write: true}
	f := func(authorization string, o Options) {
		t.Helper()
		r := newRig(t, "8.19.21")
		r.BasePath("/base/path")
		r.Secure(authorization, all)
		o.URL = strings.Replace(r.url, "http://", "http://"+o.URL, 1) + "/base/path/"
		r.options = o
		r.run(t)
		if len(r.IDs("default")) != 4 {
			t.Errorf("%q", r.IDs("default"))
		}
	}
	f("Basic YW5uYTpnZWhlaW0=", Options{User: "anna", PasswordFile: password})
	f("ApiKey aWQ6a2V5", Options{APIKeyFile: key})
	f("Basic YW5uYTpnZWhlaW0=", Options{URL: "anna:geheim@"})

	r := newRig(t, "8.19.21")
	r.options.APIKeyFile = filepath.Join(dir, "gone")
	r.refused(t, "gone", false)
	r.options = Options{URL: strings.Replace(r.url, "http://", "http://anna:geheim@", 1)}
	r.Secure("Basic eDp5", all)
	if _, err := r.setup(t).Run(t.Context()); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%v", err)
	}
}

// TestClientTLS: an authority of one's own, and what is said without it.
func TestClientTLS(t *testing.T) {
	fake := kibanatest.New("9.2.2")
	server := httptest.NewUnstartedServer(fake)
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()
	r := &rig{Server: fake, options: Options{URL: server.URL}, objects: testObjects("cadvisor-*", "nodes"), version: 1}
	r.refused(t, "isn't trusted here: give its CA in -kibana-ca-file", false)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	os.WriteFile(ca, []byte("nonsense"), 0o600)
	r.options.CAFile = ca
	r.refused(t, "holds no PEM certificate", false)
	os.WriteFile(ca, certificate(server), 0o600)
	r.run(t)
	r.options.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	r.refused(t, "is for another host name", false)
	r.options.URL = strings.Replace(server.URL, "https", "http", 1)
	r.refused(t, "isn't Kibana", false)
	plain := newRig(t, "9.2.2")
	plain.options.URL = strings.Replace(plain.url, "http", "https", 1)
	plain.refused(t, "doesn't speak TLS", false)
}

// TestRules: made disabled, once, and never changed.
func TestRules(t *testing.T) {
	r := newRig(t, "8.9.0")
	c := r.setup(t).Client
	rules := Rules("cadvisor", "")
	planned, err := c.AddRules(t.Context(), rules, true)
	if err != nil || len(planned) != len(rules) || len(r.Writes()) != 0 {
		t.Errorf("%q %v", planned, err)
	}
	made, err := c.AddRules(t.Context(), rules, false)
	if err != nil || len(made) != len(rules) {
		t.Errorf("%q %v", made, err)
	}
	got := r.Rules("default")
	if len(got) != len(rules) {
		t.Errorf("%v", got)
	}
	for name, enabled := range got {
		if enabled {
			t.Errorf("%s is enabled", name)
		}
	}
	writes := len(r.Writes())
	if made, err = c.AddRules(t.Context(), rules, false); err != nil || len(made) != 0 || len(r.Writes()) != writes {
		t.Errorf("again: %q %v", made, err)
	}
	r.Space("ops")
	r.options.Space = "ops"
	if made, err = r.setup(t).Client.AddRules(t.Context(), Rules("cadvisor", "ops"), false); err != nil || len(made) != len(rules) || len(r.Rules("ops")) != len(rules) {
		t.Errorf("in a space: %q %v", made, err)
	}
	r = newRig(t, "9.2.2")
	r.Secure("", kibanatest.User{Read: true, Write: true})
	if _, err = r.setup(t).Client.AddRules(t.Context(), rules, false); err == nil || !strings.Contains(err.Error(), "All of Stack Rules") {
		t.Errorf("%v", err)
	}
}
