package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/kibana"
	"github.com/swarmgauge/swarmgauge/shipper"
)

// setupFlags are the options that setup has beside the agent's own.
type setupFlags struct {
	dryRun, force, rules, ilm bool
	export                    string
	timeout                   time.Duration
}

// setupOptions returns setup's own options, and those of the agent that matter to it.
func setupOptions() []string {
	return []string{
		"dry-run", "export", "force", "rules", "setup-ilm", "timeout",
		"storage_driver_es_host", "storage_driver_es_index", "es-user", "es-password-file", "es-api-key-file", "es-ca-file", "es-template", "es-product-check",
		"kibana-host", "kibana-space", "kibana-user", "kibana-password-file", "kibana-api-key-file", "kibana-ca-file", "retention",
	}
}

func (f *setupFlags) declare(_ *options, fs *flag.FlagSet) {
	fs.BoolVar(&f.dryRun, "dry-run", false, "show what would be written, and write nothing")
	fs.BoolVar(&f.force, "force", false, "overwrite what a person has changed, and bring back what he deleted")
	fs.BoolVar(&f.rules, "rules", false, "make alerting rules in Kibana, too, disabled; those that are there stay as they are")
	fs.BoolVar(&f.ilm, "setup-ilm", false, "make a lifecycle policy that deletes indices older than -retention, for an Elasticsearch that shall do that itself")
	fs.StringVar(&f.export, "export", "", "directory that everything is written to as files, for whoever imports by hand; nothing is asked or changed anywhere else")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long Elasticsearch and Kibana are waited for")
}

// setup sets up Elasticsearch and Kibana, waiting for both.
func (p program) setup(ctx context.Context, args []string) error {
	var flags setupFlags
	o := new(options)
	fs := o.flags(io.Discard)
	flags.declare(o, fs)
	rest, err := o.parse(fs, args, p.environ, p.stdout, commandHelp("setup", setupOptions()...))
	switch {
	case err != nil:
		return helpIsFine(err)
	case len(rest) > 0:
		return usageError{fmt.Errorf("setup sets up Elasticsearch and Kibana; it can't do %q", rest[0])}
	case flags.ilm && o.Retention == 0:
		return usageError{errors.New("-setup-ilm needs -retention, the age from which on indices are deleted")}
	case flags.rules && o.KibanaHost == "" && flags.export == "":
		return usageError{errors.New("-rules needs -kibana-host: alerting rules are Kibana's")}
	case flags.timeout <= 0:
		return usageError{fmt.Errorf("-timeout is %v; it is a time such as 5m", flags.timeout)}
	case flags.export != "":
		return p.exportSetup(o, &flags)
	}
	w := &waiter{out: p.stderr, timeout: flags.timeout, began: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	if err := p.setupElasticsearch(ctx, o, &flags, w); err != nil {
		return err
	}
	if o.KibanaHost == "" {
		fmt.Fprintln(p.stdout, "Kibana: left alone, because there is no -kibana-host.")
		return nil
	}
	return p.setupKibana(ctx, o, &flags, w)
}

func (p program) setupElasticsearch(ctx context.Context, o *options, flags *setupFlags, w *waiter) error {
	options := o.shipper(newLog("error", o.LogFormat, p.stderr))
	options.Addresses = strings.Split(o.ESHost, ",")
	s, err := shipper.NewSetup(options)
	if err != nil {
		return usageError{err}
	}
	defer s.Close()
	s.Force = flags.force
	if flags.ilm {
		s.Lifecycle = time.Duration(o.Retention)
	}
	where := "Elasticsearch at " + redact(o.ESHost)
	var report shipper.SetupReport
	err = w.until(ctx, where, shipper.ErrNotYet, func() (err error) {
		report, err = s.Run(ctx, flags.dryRun)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s:\n", where)
	for _, c := range report.Changes {
		p.tell(flags, c.Name, c.Before, c.After)
	}
	p.list("is there already", report.Same)
	p.list("left as it is", report.Kept)
	p.list("note", report.Remarks)
	return nil
}

func (p program) setupKibana(ctx context.Context, o *options, flags *setupFlags, w *waiter) error {
	client, err := o.kibanaClient()
	if err != nil {
		return err
	}
	defer client.Close()
	work, err := o.kibanaWork(client)
	if err != nil {
		return err
	}
	work.Force = flags.force
	do := work.Run
	if flags.dryRun {
		do = work.Plan
	}
	var report kibana.Report
	var rules []string
	err = w.until(ctx, "Kibana at "+client.String(), kibana.ErrNotYet, func() (err error) {
		report, err = do(ctx)
		return err
	})
	if err == nil && flags.rules {
		err = w.until(ctx, "Kibana at "+client.String(), kibana.ErrNotYet, func() error {
			made, err := client.AddRules(ctx, kibana.Rules(o.ESIndex, o.KibanaSpace), flags.dryRun)
			rules = append(rules, made...)
			return err
		})
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s at %s:\n", strings.TrimSpace("Kibana "+report.Kibana), client)
	switch {
	case report.Newer > 0:
		fmt.Fprintf(p.stdout, "  the dashboards there are of a newer agent (version %d, this one has %d) and are left as they are\n", report.Newer, kibana.Version)
	case flags.dryRun:
		for _, c := range report.Changes {
			p.tell(flags, c.Name, c.Before, c.After)
		}
	default:
		p.list("created", report.Created)
		p.list("replaced", report.Replaced)
	}
	if n := len(report.Same); n > 0 {
		fmt.Fprintf(p.stdout, "  %d objects are there already\n", n)
	}
	p.list("left as it is", report.Kept)
	verb := "created, disabled"
	if flags.dryRun {
		verb = "would be created, disabled"
	}
	p.list(verb, rules)
	return nil
}

// list prints a line for each.
func (p program) list(verb string, all []string) {
	for _, one := range all {
		fmt.Fprintf(p.stdout, "  %s: %s\n", verb, one)
	}
}

// tell prints what was written, or with -dry-run what would be, line by line.
func (p program) tell(flags *setupFlags, name string, before, after []byte) {
	verb := "created"
	if before != nil {
		verb = "replaced"
	}
	if !flags.dryRun {
		p.list(verb, []string{name})
		return
	}
	p.list("would be "+verb, []string{name})
	for _, line := range differences(before, after) {
		fmt.Fprintf(p.stdout, "    %s\n", line)
	}
}
