package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "" // immutable once the program runs

// versionString returns the version, or what the Go toolchain knows of the commit.
func versionString() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	if revision == "" {
		return "unknown"
	}
	return "0.0.0-" + revision + modified
}

func (p program) version(_ context.Context, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("version takes no options; it can't do %q", args[0])}
	}
	fmt.Fprintf(p.stdout, "swarmgauge %s (%s %s/%s)\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// printCAdvisorVersion answers the flag -version in cAdvisor's words.
func printCAdvisorVersion(w io.Writer) {
	fmt.Fprintf(w, "cAdvisor version %s (swarmgauge)\n", versionString())
}
