package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/web"
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
	host := o.ListenIP
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	url := "http://" + net.JoinHostPort(host, strconv.Itoa(o.Port)) + o.URLBasePrefix + web.HealthPath
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no agent answers: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("no agent answers: %w", err)
	}
	if response.StatusCode != http.StatusOK {
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
