package test

import (
	_ "embed"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/swarmgauge/swarmgauge/test/lab"
)

//go:embed vm/conformance.sh
var conformanceScript string // immutable

// Where the agents of vm/conformance.sh answer: one with its defaults, one with all groups of
// metrics.
const (
	vmDefaults = "127.0.0.1:8083"
	vmAll      = "127.0.0.1:8084"
)

// conformanceFiles are what vm/conformance.sh needs beside the agent.
func conformanceFiles(t *testing.T) []lab.File {
	t.Helper()
	type asked struct{ Addr, Request string }
	all := map[string]asked{
		"metrics-default.prom.gz":    {vmDefaults, get("/metrics")},
		"metrics-all-groups.prom.gz": {vmAll, get("/metrics")},
		"validate.txt":               {vmDefaults, get("/validate/")},
	}
	for _, q := range questionsV2() {
		all[q.golden] = asked{vmDefaults, q.request}
	}
	for _, q := range questionsAllV2() {
		all[q.golden] = asked{vmAll, q.request}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return []lab.File{
		{Name: "fetch", Source: compile(t, "build", "./vm/fetch")},
		{Name: "questions.json", Data: string(text)},
	}
}

// checkConformance compares the answers that vm/conformance.sh got with cAdvisor's about the
// same containers on a unified hierarchy.
func checkConformance(t *testing.T, r report) {
	var texts map[string][]byte
	if err := json.Unmarshal(r.unpacked(t, "golden documents"), &texts); err != nil {
		t.Fatal(err)
	}
	answered := func(golden, request string) answer {
		t.Helper()
		a, err := parseAnswer(request, texts[golden])
		if err != nil {
			t.Fatalf("%s: %v: %.300q", golden, err, texts[golden])
		}
		return a
	}
	names := namesIn(answered("v1.3-docker-all-2stats.json", "POST").Body)
	if len(names) != 6 {
		t.Errorf("containers %q", names)
	}
	c := newConformance(t, filepath.Join(goldenDir, "v2"), names, allowedOnV2())
	for _, q := range append(questionsV2(), questionsAllV2()...) {
		c.check(t, q, answered(q.golden, q.request))
	}
	c.checkMetrics(t, "metrics-default.prom.gz", answered("metrics-default.prom.gz", "GET"), true)
	c.checkMetrics(t, "metrics-all-groups.prom.gz", answered("metrics-all-groups.prom.gz", "GET"), true)
	checkValidate(t, c.ledger, c.dir, answered("validate.txt", "GET"))
	c.ledger.finish(t)
}
