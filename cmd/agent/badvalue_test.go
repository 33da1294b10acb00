package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A value that can't be right is answered by what would be, and nothing is started.
func TestBadValuesAreExplained(t *testing.T) {
	f := func(environ []string, args, want string) {
		t.Helper()
		code, stdout, stderr := invoke(t, environ, strings.Fields("check-config "+args)...)
		if code != exitUsage || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q, %q, want one line with %q", args, code, stdout, stderr, want)
		}
	}
	f(nil, "-port=abc", `invalid value "abc" for flag -port: it is a whole number from 0`)
	f(nil, "-max_procs=x", "-max_procs: it is a whole number")
	f(nil, "-housekeeping_interval=1x", "-housekeeping_interval: it is a duration such as 10s")
	f(nil, "-docker_only=yes", "-docker_only: it is true or false")
	f([]string{"SWARMGAUGE_PORT="}, "", "in SWARMGAUGE_PORT: it is a whole number from 0")
	file := filepath.Join(t.TempDir(), "port")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f([]string{"SWARMGAUGE_PORT_FILE=" + file}, "", `"x" in SWARMGAUGE_PORT_FILE (`+file)
	f(nil, "-global_housekeeping_interval=-5s", "-global_housekeeping_interval is -5s")
	f(nil, "-global_housekeeping_interval=0", "-global_housekeeping_interval is 0s")
	f(nil, "-update_machine_info_interval=0", "-update_machine_info_interval is 0s")
	f(nil, "-storage_duration=-1m", "-storage_duration is -1m0s")
	f(nil, "-max_housekeeping_interval=-1s", "-max_housekeeping_interval is -1s")
	f(nil, "-spool-budget=999999TiB", "the largest is 1024TiB")
	f(nil, "-spool-dir=", "-spool-dir is empty")
	run := func(args, want string) {
		t.Helper()
		code, stdout, stderr := invoke(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q, %q, want one line with %q", args, code, stdout, stderr, want)
		}
	}
	run("run -storage_driver=elasticsearch -storage_driver_es_host=ftp://x", `"ftp://x" isn't an http or https URL`)
	run("run -storage_driver=elasticsearch -storage_driver_es_host=http://x:99999", "a port is a number from 1 to 65535")
	run("version -x", "version takes no options")
	run("healthcheck x", "healthcheck takes options only")
	run("foo", "there are run, collect, setup")
	run("colect", `did you mean "collect"?`)
	if code, _, stderr := invoke(t, nil, "check-config", "-storage_duration=0", "-max_procs=-3", "-storage_driver=stdout", "-spool-dir="); code != exitOK {
		t.Errorf("exit %d, %q for what is taken", code, stderr)
	}
}
