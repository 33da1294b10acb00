package docker

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/metric"
)

func TestEnvironment(t *testing.T) {
	f := func(list, prefixes string, want ...string) {
		t.Helper()
		e := environment{prefixes: strings.Split(prefixes, ",")}
		if err := json.Unmarshal([]byte(list), &e); err != nil || !slices.Equal(e.variables, want) {
			t.Errorf("%s of %s: got %q, %v; want %q", prefixes, list, e.variables, err, want)
		}
	}
	f(`["CG_ROLE=db","PASSWORD=CG_","CG_=","CG_TIER","CG_A=b=c"]`, "CG_", "CG_ROLE=db", "CG_=", "CG_A=b=c")
	f(`["A=1","B=2","C=3"]`, "C,A", "A=1", "C=3")
	f(`["A=1","cg_b=2"]`, "CG_") // the case counts
	f(`["A=1"]`, "")
	f(`[]`, "A")
	f(`null`, "A")
	f(`{"A=1":"A=2"}`, "A")
	f(`[ "A=\"\\", "B=\\\"A=", "A=\u00e4\n" ]`, "A", `A="\`, "A=ä\n")
	f(`["\u0041B=1","A\u003db=c"]`, "A", "AB=1", "A=b=c")
	f(`["B\u003dA=c","=A","\\A=1","A\\=1"]`, "A", `A\=1`)
}

// What is taken is the same from the record and from the API.
func TestEnvironmentOfRecords(t *testing.T) {
	for _, engine := range engines() {
		api := told(t, engine, "web")
		for prefix, want := range map[string][]metric.Label{"SEC": {{Key: "secret", Value: "x"}}, "SECRETS": nil, "sec": nil} {
			r, err := decodeRecord(fixture(t, engine, "web", "config.v2.json"), api.ID, []string{prefix})
			if err != nil {
				t.Fatal(err)
			}
			in := fromResponse(&api, []string{prefix})
			for source, r := range map[string]*record{"the disk": r, "the API": &in.record} {
				if got := r.container("/docker/x").Env; !slices.Equal(got, want) {
					t.Errorf("%s: -env_metadata_whitelist %s gives %v from %s, want %v", engine, prefix, got, source, want)
				}
			}
		}
	}
	spec, err := decodeSpec(fixture(t, "containerd", "config.json"), []string{"SEC"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := spec.container("/default/x", "x").Env, []metric.Label{{Key: "SECRET", Value: "x"}}; !slices.Equal(got, want) {
		t.Errorf("containerd: got %v, want %v", got, want)
	}
}

// Of two keys that differ in their case the last counts, and limits are those of labels.
func TestEnvironmentLabels(t *testing.T) {
	e := environment{variables: []string{"B=1", "a=2", "A=3\n", "LONG=" + strings.Repeat("x", 1<<16)}}
	want := []metric.Label{{Key: "a", Value: "3 "}, {Key: "b", Value: "1"}, {Key: "long", Value: strings.Repeat("x", maxLabelValue)}}
	if got := e.labels(strings.ToLower); !slices.Equal(got, want) {
		t.Errorf("got %.80q", got)
	}
	if got := (&environment{}).labels(strings.ToLower); got != nil {
		t.Errorf("nothing taken: %v", got)
	}
}

// Of a list of strings, the same is taken as by decoding all of it.
func FuzzEnvironment(f *testing.F) {
	f.Add([]byte(`["CG_ROLE=db","PASSWORD=CG_"]`), "CG_")
	f.Add([]byte(`["A=\"\\",  "B=\\\"A=", "A=\u00e4\n", "\ud800A=\xff"]`), "A")
	f.Add([]byte(`{"a":["A=1"]}`), "A")
	f.Fuzz(func(t *testing.T, b []byte, prefix string) {
		e := environment{prefixes: []string{prefix}}
		var all []string
		if err := json.Unmarshal(b, &e); err != nil {
			if json.Unmarshal(b, &all) == nil {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		for _, variable := range e.variables {
			if key, _, ok := strings.Cut(variable, "="); !ok || prefix == "" || !strings.HasPrefix(key, prefix) {
				t.Errorf("%q doesn't begin with %q", variable, prefix)
			}
		}
		if json.Unmarshal(b, &all) != nil || strings.Contains(string(b), `\u003`) {
			return // no list of strings, or with an equals sign that is hidden, which no engine writes
		}
		oracle := environment{prefixes: e.prefixes}
		for _, variable := range all {
			oracle.take(variable)
		}
		if !slices.Equal(e.variables, oracle.variables) {
			t.Errorf("%q of %s: got %q, want %q", prefix, b, e.variables, oracle.variables)
		}
	})
}
