package main

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

func TestSetupBadInput(t *testing.T) {
	f := func(args string, want string) {
		t.Helper()
		code, stdout, stderr := invoke(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q, want one line with %q", args, code, stdout+stderr, want)
		}
	}
	f("-kibana-host=kibana:5601", `-kibana-host can't be "kibana:5601": it is a URL such as http://kibana:5601`)
	f("-kibana-host=ftp://kibana", "it is a URL such as")
	f("-kibana-host=http://a:secret@kibana:5601/app/home#/", `can't be "http://kibana:5601/app/home#/": a URL of Kibana ends with its base path`)
	f("-kibana-space=Ops", `-kibana-space can't be "Ops"`)
	f("-kibana-space=a/../b", "as it stands behind /s/ in its URLs")
	f("-kibana-user=a", "-kibana-user and -kibana-password-file belong together")
	f("-kibana-password-file=a", "belong together")
	f("-kibana-user=a -kibana-password-file=b -kibana-api-key-file=c", "keep one")
	f("-retention=30", "an age is a number of days, such as 30d")
	f("-retention=0d", "an age is a number of days")
	f("-retention=2h", "at least a day")
	f("-retention=-3d", "an age is a number of days")
	f("setup now", `it can't do "now"`)
	f("setup -setup-ilm", "-setup-ilm needs -retention")
	f("setup -rules", "-rules needs -kibana-host")
	f("setup -timeout=0s", "-timeout is 0s")
	f("setup -storage_driver_es_host=ftp://x", "isn't an http or https URL")
}

func TestAge(t *testing.T) {
	f := func(text string, want time.Duration, written string) {
		t.Helper()
		var a age
		if err := a.Set(text); err != nil || time.Duration(a) != want || a.String() != written {
			t.Errorf("%q: %v, %q, %v", text, time.Duration(a), a.String(), err)
		}
	}
	f("", 0, "")
	f("30d", 720*time.Hour, "30d")
	f("720h", 720*time.Hour, "30d")
	f("36h", 36*time.Hour, "36h0m0s")
	for _, bad := range []string{"d", "1", "x", "1w", "-1d", "1.5d", "99999999d", "23h", "9223372036h"} {
		if err := new(age).Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestKibanaCredentials: those of Elasticsearch where Kibana has none of its own.
func TestKibanaCredentials(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password, key := file("password", "geheim"), file("key", "id:key")
	f := func(authorization, userinfo string, args ...string) {
		t.Helper()
		fake := kibanatest.New("9.2.2")
		fake.Secure(authorization, kibanatest.User{Read: true, Write: true})
		server := httptest.NewServer(fake)
		defer server.Close()
		o, _, err := parseOptions(append(args, "-kibana-host="+strings.Replace(server.URL, "//", "//"+userinfo, 1)), nil, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		client, err := o.kibanaClient()
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		work, err := o.kibanaWork(client)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := work.Run(t.Context()); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	f("Basic YW5uYTpnZWhlaW0=", "", "-es-user=anna", "-es-password-file="+password)
	f("ApiKey aWQ6a2V5", "", "-es-api-key-file="+key)
	f("ApiKey aWQ6a2V5", "", "-es-user=anna", "-es-password-file="+password, "-kibana-api-key-file="+key)
	f("Basic YW5uYTpnZWhlaW0=", "", "-es-api-key-file="+key, "-kibana-user=anna", "-kibana-password-file="+password)
	f("Basic YmVydDpnZWhlaW0=", "bert:geheim@", "-es-api-key-file="+key)
}

// TestSetupCommand: what is printed, and the exit code.
func TestSetupCommand(t *testing.T) {
	es := httptest.NewServer(estest.New())
	defer es.Close()
	fake := kibanatest.New("9.2.2")
	fake.Strict()
	server := httptest.NewServer(fake)
	defer server.Close()
	f := func(code int, text string, args ...string) {
		t.Helper()
		args = append([]string{"setup", "-storage_driver_es_host=" + es.URL}, args...)
		got, stdout, stderr := invoke(t, nil, args...)
		if got != code || !strings.Contains(stdout+stderr, text) {
			t.Errorf("%q: exit %d, want %d and %q in\n%s%s", args, got, code, text, stdout, stderr)
		}
	}
	f(exitOK, "note: the index template is somebody else's to install", "-es-template=false")
	kibana := "-kibana-host=" + server.URL
	f(exitOK, "Kibana: left alone")
	f(exitOK, `created: data view "cadvisor-*"`, kibana)
	f(exitOK, "objects are there already", kibana)
	fake.Edit("index-pattern", "swarmgauge", func(a map[string]any) { a["name"] = "mine" })
	f(exitOK, `left as it is: the data view "cadvisor-*" (id swarmgauge) is left as it is: it was changed by a person`, kibana)
	f(exitOK, "- name: mine\n    + name: swarmgauge", kibana, "-force", "-dry-run")
	f(exitOK, "replaced: data view", kibana, "-force")
	f(exitFailure, `has no space "ops"`, kibana, "-kibana-space=ops")
	f(exitFailure, "are for the indices cadvisor-*, and this agent's are other-*", kibana, "-storage_driver_es_index=other")
	fake.Boot(true)
	f(exitFailure, "gave up after 2s: Kibana at "+server.URL+" isn't ready", kibana, "-timeout=2s")
}

// TestWaiter: progress is told when it changes, and now and then.
func TestWaiter(t *testing.T) {
	notYet := errors.New("not yet")
	f := func(timeout time.Duration, do func(elapsed time.Duration) error, want string, lines int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			began := time.Now()
			w := &waiter{&out, timeout, began}
			err := w.until(ctx, "it", notYet, func() error { return do(time.Since(began)) })
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != want || strings.Count(out.String(), "\n") != lines {
				t.Errorf("%q, want %q and %d lines:\n%s", got, want, lines, out.String())
			}
		})
	}
	f(time.Minute, func(time.Duration) error { return nil }, "", 0)
	f(time.Minute, func(time.Duration) error { return errors.New("no") }, "no", 0)
	f(time.Minute, func(e time.Duration) error {
		if e > 10*time.Second {
			return nil
		}
		return notYet
	}, "", 1)
	f(time.Minute, func(e time.Duration) error {
		if e > 10*time.Second {
			return errors.New("then no")
		}
		return notYet
	}, "then no", 1)
	f(5*time.Second, func(time.Duration) error { return notYet }, "gave up after 5s: not yet", 1)
}

func TestDifferences(t *testing.T) {
	f := func(before, after string, want ...string) {
		t.Helper()
		var from []byte
		if before != "" {
			from = []byte(before)
		}
		if got := differences(from, []byte(after)); !slices.Equal(got, want) {
			t.Errorf("%s → %s: %q", before, after, got)
		}
	}
	f("", `{"a":{"b":1,"c":[2,3]}}`, "+ 3 values")
	f(`{"a":1}`, `{"a":"1"}`)
	f(`{"a":1,"b":{"c":true}}`, `{"a":2,"d":null}`, "- a: 1", "+ a: 2", "- b.c: true", "+ d: <nil>")
	f(`{"a":"[{\"x\":1}]"}`, `{"a":"[{\"x\":2}]"}`, "- a[0].x: 1", "+ a[0].x: 2")
	f(`{"a":"{{x}}"}`, `{"a":"{{y}}"}`, "- a: {{x}}", "+ a: {{y}}")
	f(`{"a":"x\ny"}`, `{"a":"`+strings.Repeat("é", 200)+`"}`, "- a: x⏎y", "+ a: "+strings.Repeat("é", 100)+"…")
	many := `[` + strings.Repeat("1,", 99) + `1]`
	if got := differences([]byte(`[]`), []byte(many)); len(got) != 41 || got[40] != "… and 60 lines more" {
		t.Errorf("%q", got)
	}
	if got := differences(shipper.IndexTemplate("a"), shipper.IndexTemplate("a")); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
