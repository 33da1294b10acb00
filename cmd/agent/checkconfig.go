package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/shipper"
)

// configuration is what check-config tells, and its JSON.
type configuration struct {
	Options []setting `json:"options"`
	// Remarks are what has no effect, or an unwanted one; the agent runs with it.
	Remarks []string `json:"remarks"`
	// Faults are what keeps the agent from starting.
	Faults []string `json:"faults"`
}

// setting is one option as the agent would have it.
type setting struct {
	Name     string `json:"name"`
	Variable string `json:"variable"`
	// Value is without passwords.
	Value string `json:"value"`
	// Origin is "flag", the name of a variable, "default", "found", or what the option
	// follows from.
	Origin string `json:"origin"`
}

// optionsOfRun ends the help of commands that are about the options of the agent.
const optionsOfRun = "The other options are those that the agent is run with: \"agent run -help\" lists them."

const fromDefault = "default"

// checkConfig says what the agent would make of its command line and environment, and
// starts nothing.
func (p program) checkConfig(_ context.Context, args []string) error {
	o := new(options)
	fs := o.flags(io.Discard)
	asJSON := fs.Bool("json", false, "write JSON instead of a table")
	all := fs.Bool("all", false, "tell the options that are at their defaults, too")
	rest, err := o.parse(fs, args, p.environ, p.stdout, commandHelpAnd("check-config", optionsOfRun, "json", "all"))
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%q is not an option; options begin with a dash", rest[0])
	}
	if err == nil {
		err = o.checkStart()
	}
	c := configuration{Options: o.settings(fs, *all), Remarks: o.remarks(), Faults: []string{}}
	if err != nil {
		c.Faults = strings.Split(err.Error(), "\n")
	}
	if *asJSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(c); err != nil {
			return err
		}
	} else {
		c.print(p.stdout)
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

// checkStart tries what "agent run" does with the options before it touches the machine.
func (o *options) checkStart() error {
	_, err := o.auth(zap.NewNop())
	engine, engineErr := o.engine(nil, zap.NewNop())
	if engineErr == nil {
		engine.Close()
	}
	return errors.Join(err, engineErr, shipper.CheckAddresses(o.shipper(zap.NewNop()).Addresses))
}

// settings returns the options that are set, or all, in the order of their names.
func (o *options) settings(fs *flag.FlagSet, all bool) []setting {
	list := []setting{}
	own := new(options).flags(io.Discard) // without the options of the command itself
	fs.VisitAll(func(f *flag.Flag) {
		_, ignored := f.Value.(*ignoredFlag)
		origin := o.origins[f.Name]
		if ignored || f.Name == versionFlag || own.Lookup(f.Name) == nil || origin == "" && !all {
			return
		}
		if origin == "" {
			origin = fromDefault
		}
		list = append(list, setting{f.Name, envName(f.Name), mask(f.Value.String()), origin})
	})
	return list
}

// mask puts an ellipsis in place of user and password in URLs.
func mask(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		if shown := redact(u); shown != u {
			scheme, _, has := strings.Cut(shown, "://")
			if !has {
				scheme = ""
			} else {
				scheme += "://"
			}
			list[i] = scheme + "…@" + strings.TrimPrefix(shown, scheme)
		}
	}
	return strings.Join(list, ",")
}

// remarks say what in the options has no effect, or an unwanted one.
func (o *options) remarks() []string {
	remarks := []string{}
	for _, name := range o.ignored {
		remarks = append(remarks, ignoredSentence(name))
	}
	remarks = append(append(remarks, o.unmet()...), o.unknown...)
	if o.passwordShown {
		remarks = append(remarks, passwordSentence)
	}
	toElasticsearch, toSpool := o.StorageDriver == "elasticsearch", o.StorageDriver != "stdout"
	for _, row := range []struct {
		option string
		works  bool
		why    string
	}{
		{"storage_driver_es_host", toElasticsearch, "documents go to " + o.destination() + "; -storage_driver=elasticsearch sends them"},
		{"es-user", toElasticsearch, "it is for -storage_driver=elasticsearch"},
		{"es-password-file", toElasticsearch, "it is for -storage_driver=elasticsearch"},
		{"es-api-key-file", toElasticsearch, "it is for -storage_driver=elasticsearch"},
		{"es-ca-file", toElasticsearch, "it is for -storage_driver=elasticsearch"},
		{"es-template", toElasticsearch, "it is for -storage_driver=elasticsearch"},
		{"es-product-check", toElasticsearch, "it is for -storage_driver=elasticsearch"},
		{"spool-dir", toSpool, "with -storage_driver=stdout nothing is kept"},
		{"spool-budget", toSpool, "with -storage_driver=stdout nothing is kept"},
		{"spool-replay", toSpool, "with -storage_driver=stdout nothing is kept"},
		{"max_housekeeping_interval", o.AllowDynamicHousekeeping, "it is for -allow_dynamic_housekeeping"},
		{"docker-tls-cert", o.DockerTLS, "it is for -docker-tls"},
		{"docker-tls-key", o.DockerTLS, "it is for -docker-tls"},
		{"docker-tls-ca", o.DockerTLS, "it is for -docker-tls"},
		{"disable_metrics", o.EnableMetrics == "", "-enable_metrics takes its place"},
		{"whitelisted_container_labels", !o.StoreContainerLabels, "without -store_container_labels=false all labels are shown"},
		{"docker_env_metadata_whitelist", o.EnvPrefixes == "", "-env_metadata_whitelist takes its place"},
		{"containerd_env_metadata_whitelist", o.EnvPrefixes == "", "-env_metadata_whitelist takes its place"},
		{basicRealm, o.AuthFile != "", "it is for -" + basicFile},
		{digestRealm, o.DigestFile != "", "it is for -" + digestFile},
		{digestFile, o.AuthFile == "", "-" + basicFile + " goes before it"},
		{verbosity, o.origins["log-level"] == "" || o.origins["log-level"] == followsFromVerbosity, "-log-level goes before it"},
	} {
		if o.origins[row.option] != "" && !row.works {
			remarks = append(remarks, "the option -"+row.option+" has no effect here: "+row.why)
		}
	}
	return remarks
}

func (c *configuration) print(w io.Writer) {
	if len(c.Options) > 0 {
		out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, "OPTION\tVALUE\tORIGIN")
		for _, s := range c.Options {
			fmt.Fprintf(out, "-%s\t%s\t%s\n", s.Name, s.Value, s.Origin)
		}
		out.Flush()
	} else if len(c.Faults) == 0 {
		fmt.Fprintln(w, "Everything is at its default; -all tells what that is.")
	}
	for _, remark := range c.Remarks {
		fmt.Fprintln(w, "note: "+remark)
	}
}
