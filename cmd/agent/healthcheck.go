package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// healthcheck asks /healthz of the agent that was started with the same options, for
// images that have no shell and no curl.
func (p program) healthcheck(ctx context.Context, args []string) error {
	o, _, err := parseOptions(args, p.environ, p.stdout)
	if err != nil {
		return helpIsFine(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, body, err := o.askHealth(ctx, "")
	if err != nil {
		return fmt.Errorf("no agent answers: %w", err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("the agent is not well: %s", strings.TrimSpace(string(body)))
	}
	fmt.Fprintln(p.stdout, strings.TrimSpace(string(body)))
	return nil
}

// helpIsFine makes nothing of the error that says that help was asked for and printed.
func helpIsFine(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}
