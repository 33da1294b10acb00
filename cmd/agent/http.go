package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/metric"
	"github.com/swarmgauge/swarmgauge/web"
)

const (
	basicFile   = "http_auth_file"
	basicRealm  = "http_auth_realm"
	digestFile  = "http_digest_file"
	digestRealm = "http_digest_realm"
	pagesOnly   = "http-auth-pages-only"
	hosts       = "allowed-hosts"
	verbosity   = "v"
	versionFlag = "version"
)

// httpFlags declares the options of who may ask what, and of logs in klog's words.
func (o *options) httpFlags(fs *flag.FlagSet) {
	fs.StringVar(&o.AuthFile, basicFile, "", "file of users and passwords as htpasswd writes it (bcrypt, $apr1$, {SHA}), for basic authentication; read again when it changes")
	fs.StringVar(&o.AuthRealm, basicRealm, "localhost", "realm of -"+basicFile)
	fs.StringVar(&o.DigestFile, digestFile, "", "file of users as htdigest writes it, for digest authentication; -"+basicFile+" goes before it; read again when it changes")
	fs.StringVar(&o.DigestRealm, digestRealm, "localhost", "realm of -"+digestFile+"; users of other realms in it don't count")
	fs.BoolVar(&o.AuthPagesOnly, pagesOnly, false, "ask for a password on pages and their files alone and leave the API and the metrics open, as cAdvisor does; without it everything but the bare /healthz asks")
	fs.StringVar(&o.AllowedHosts, hosts, "", "comma-separated names, with or without a port, that requests may ask for; others are refused (421), the bare /healthz excepted; empty for all")
	fs.BoolVar(&o.Profiling, "profiling", false, "serve /debug/pprof/")
	fs.BoolVar(&o.DisableRootStats, "disable_root_cgroup_stats", false, "measure nothing of the node itself")
	fs.IntVar(&o.Verbosity, verbosity, 0, "klog's verbosity: 3 or more is -log-level=debug, where that isn't set")
	fs.BoolVar(&o.Version, versionFlag, false, "print the version as cAdvisor does, and exit")
}

// debugVerbosity is from where cAdvisor tells of each container, and klog users expect it.
const debugVerbosity = 3

// followsFromVerbosity is the origin of a -log-level that klog's verbosity has set.
const followsFromVerbosity = "follows from -" + verbosity

// derive sets what follows from other options and isn't set itself: the level of the log
// from klog's verbosity, where documents go from -storage_driver, and the time that a document covers from a -housekeeping_interval
// that goes well with cAdvisor, such as 30s.
func (o *options) derive() {
	o.deriveOutput()
	o.ESIndex = cmp.Or(o.ESIndex, kibana.DefaultPrefix) // empty where a stack file's variable is
	if o.Verbosity >= debugVerbosity && o.origins["log-level"] == "" {
		o.LogLevel = "debug"
		o.origins["log-level"] = followsFromVerbosity
	}
	if every := o.HousekeepingInterval; every > 0 && o.origins["ship-interval"] == "" && o.ShipInterval%every != 0 {
		o.ShipInterval = (o.ShipInterval + every - 1) / every * every
		o.origins["ship-interval"] = "follows from -housekeeping_interval"
	}
}

// checkHTTP refuses what can't work.
func (o *options) checkHTTP() error {
	for name, realm := range map[string]string{basicRealm: o.AuthRealm, digestRealm: o.DigestRealm} {
		if strings.ContainsFunc(realm, func(r rune) bool { return r < ' ' || r > '~' || r == ':' }) {
			return fmt.Errorf("-%s can't be %q: a realm is of ASCII letters, and a colon would end it in the file", name, realm)
		}
	}
	if o.AuthPagesOnly && o.AuthFile == "" && o.DigestFile == "" {
		return errors.New("-" + pagesOnly + " needs -" + basicFile + " or -" + digestFile)
	}
	for _, host := range o.hosts() {
		if strings.ContainsAny(host, "/ \t") {
			return fmt.Errorf("-%s can't have %q: it is of names such as gauge.example, with or without a port", hosts, host)
		}
	}
	return nil
}

// hosts returns the names that requests may ask for.
func (o *options) hosts() (list []string) {
	for host := range strings.SplitSeq(o.AllowedHosts, ",") {
		if host = strings.TrimSpace(host); host != "" {
			list = append(list, host)
		}
	}
	return list
}

// auth opens the file of users, nil for none. An agent that was told to ask for passwords
// and can't doesn't start.
func (o *options) auth(log *zap.Logger) (a *web.Auth, err error) {
	switch {
	case o.AuthFile != "":
		if o.DigestFile != "" {
			log.Warn("-" + digestFile + " has no effect beside -" + basicFile)
		}
		if a, err = web.NewBasicAuth(o.AuthFile, o.AuthRealm, log.Named("auth")); err != nil {
			return nil, usageError{fmt.Errorf("-%s: %w", basicFile, err)}
		}
	case o.DigestFile != "":
		if a, err = web.NewDigestAuth(o.DigestFile, o.DigestRealm, log.Named("auth")); err != nil {
			return nil, usageError{fmt.Errorf("-%s: %w", digestFile, err)}
		}
	}
	return a, nil
}

// web says what the server shows.
func (s *state) web(log *zap.Logger) web.Options {
	o := s.options
	return web.Options{
		Health: s.health, Metrics: s.metrics, Containers: s.containers(), API: s.api(), Log: log,
		Sampled: s.loop.Sampled(), Prefix: o.URLBasePrefix, MetricsPath: o.PrometheusEndpoint,
		Auth: s.auth, AuthPagesOnly: o.AuthPagesOnly, Hosts: o.hosts(), Profiling: o.Profiling,
		Validate: s.validate, Recent: recent(s.loop),
	}
}

// recent returns what gives the newest two samples of a cgroup.
func recent(loop *collector.Collector) func(context.Context, string, *web.Recent) error {
	histories := sync.Pool{New: func() any { return new(collector.History) }}
	return func(ctx context.Context, path string, r *web.Recent) error {
		h := histories.Get().(*collector.History)
		defer histories.Put(h)
		if err := loop.History(ctx, collector.Query{Path: path, Count: 2, MaxAge: -1}, h); err != nil {
			return err
		}
		r.Newest.Time = 0
		h.Each(func(s *metric.Sample) bool {
			r.Previous.CopyFrom(&r.Newest)
			r.Newest.CopyFrom(s)
			return true
		})
		if r.Newest.Time == 0 {
			r.Newest.CopyFrom(h.Newest())
		}
		return nil
	}
}
