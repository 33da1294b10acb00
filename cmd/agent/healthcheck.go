package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// healthVariable is how cAdvisor's image was told what its health check asks, where the port
// is an argument that the check doesn't have.
const healthVariable = "CADVISOR_HEALTHCHECK_URL="

// healthcheck asks /healthz of the agent that was started with the same options, or what
// healthVariable says, for images that have no shell and no curl. Without options it has those
// of the container's first process, as an image's check that can't know them wants it.
func (p program) healthcheck(ctx context.Context, args []string) error {
	if len(args) == 0 && p.ownProcess {
		// Where it can't be read, there are the variables.
		text, _ := os.ReadFile("/proc/1/cmdline")
		args = agentArgs(string(text), os.Args[0])
	}
	o, rest, err := parseOptionsAnd(args, p.environ, p.stdout, func(*options, *flag.FlagSet) {}, commandHelp("healthcheck", "listen_ip", "port", "url_base_prefix"))
	if err != nil {
		return helpIsFine(err)
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("healthcheck takes options only; it can't do %q", rest[0])}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := o.healthURL()
	for _, kv := range p.environ {
		if set, ok := strings.CutPrefix(kv, healthVariable); ok && set != "" {
			url = set
		}
	}
	status, body, err := askHealth(ctx, url)
	if err != nil {
		return fmt.Errorf("no agent answers: %w", err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("the agent is not well: %s", strings.TrimSpace(string(body)))
	}
	fmt.Fprintln(p.stdout, strings.TrimSpace(string(body)))
	return nil
}

// agentArgs returns the options in the command line of a process, as the kernel tells it (each
// argument ended by NUL), if that is an agent of the same name; else nil.
func agentArgs(commandLine, name string) []string {
	args := strings.Split(strings.TrimSuffix(commandLine, "\x00"), "\x00")
	if args[0] != name {
		return nil
	}
	args = args[1:]
	if len(args) > 0 && args[0] == "run" {
		args = args[1:]
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return nil // another command
	}
	return args
}

// helpIsFine makes nothing of the error that says that help was asked for and printed.
func helpIsFine(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}
