package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/swarmgauge/swarmgauge/shipper"
)

// outputFlags are the options that test-output has beside the agent's own.
type outputFlags struct {
	purpose string
	write   bool
	json    bool
}

// outputOptions are test-output's own options, and those of the agent that matter to it.
func outputOptions() []string {
	return []string{
		"for", "write", "json",
		"storage_driver", "storage_driver_es_host", "storage_driver_es_index", "es-user", "es-password-file", "es-api-key-file", "es-ca-file", "es-template", "es-product-check", "retention",
		"kibana-host", "kibana-space", "kibana-user", "kibana-password-file", "kibana-api-key-file", "kibana-ca-file", "node-name",
	}
}

func (f *outputFlags) declare(_ *options, fs *flag.FlagSet) {
	fs.StringVar(&f.purpose, "for", string(shipper.ForAgent), "whose user of Elasticsearch is tested: that of an agent, of a setup (\"agent setup\") or of an audit (\"agent audit\")")
	fs.BoolVar(&f.write, "write", true, "write one document as the agent does (event.dataset: swarmgauge.test), and install the index template if the agent would; false to look only")
	fs.BoolVar(&f.json, "json", false, "print JSON instead of lines")
}

// outputReport is what test-output prints as JSON.
type outputReport struct {
	Status shipper.Status `json:"status"`
	*shipper.OutputReport
	APIKey *apiKey `json:"api_key,omitempty"`
}

// apiKey is the body of POST _security/api_key.
type apiKey struct {
	Name  string                   `json:"name"`
	Roles map[string]*shipper.Role `json:"role_descriptors"`
}

// testOutput goes the way of documents to Elasticsearch, step by step, with the configuration
// of the agent, and says what is in the way and what mends it.
func (p program) testOutput(ctx context.Context, args []string) error {
	var flags outputFlags
	o := new(options)
	fs := o.flags(io.Discard)
	flags.declare(o, fs)
	rest, err := o.parse(fs, args, p.environ, p.stdout, commandHelp("test-output", outputOptions()...))
	if err != nil {
		return helpIsFine(err)
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("test-output takes options only; it can't do %q", rest[0])}
	}
	purpose, err := purposeOf(flags.purpose)
	if err != nil {
		return usageError{err}
	}
	options := o.shipper(zap.NewNop())
	options.Addresses = strings.Split(o.ESHost, ",")
	test := shipper.OutputTest{For: purpose, Write: flags.write, Retention: o.Retention > 0, Node: o.nodeName()}
	report := outputReport{OutputReport: shipper.RunOutputTest(ctx, options, test)}
	if o.StorageDriver != "elasticsearch" && purpose == shipper.ForAgent {
		report.Findings = append(report.Findings, shipper.Finding{Check: "storage_driver", Status: shipper.Degraded,
			Text: fmt.Sprintf("-storage_driver is %q: the agent sends nothing to Elasticsearch; set -storage_driver=elasticsearch", o.StorageDrivers)})
	}
	if o.KibanaHost != "" && purpose != shipper.ForAudit {
		f, err := o.testKibana(ctx)
		if err != nil {
			return err
		}
		report.Findings = append(report.Findings, f)
	}
	report.Status = report.OutputReport.Status()
	if role := report.Role; role != nil {
		report.APIKey = &apiKey{roleName(purpose), map[string]*shipper.Role{roleName(purpose): role}}
	}
	if flags.json {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(report); err != nil {
			return err
		}
	} else {
		printOutput(p.stdout, &report, purpose)
	}
	if report.Status == shipper.Fault {
		return outcome{errors.New("documents don't get through"), exitFailure}
	}
	return nil
}

func purposeOf(name string) (shipper.Purpose, error) {
	var names []string
	for _, p := range shipper.Purposes() {
		if string(p) == name {
			return p, nil
		}
		names = append(names, string(p))
	}
	return "", fmt.Errorf("-for can't be %q; did you mean %q? (%s)", name, nearest(name, names), strings.Join(names, ", "))
}

// nodeName is the name of this node in documents.
func (o *options) nodeName() string {
	if o.NodeName != "" {
		return o.NodeName
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func roleName(p shipper.Purpose) string { return "swarmgauge-" + string(p) }

// printOutput prints the lines that people read.
func printOutput(w io.Writer, r *outputReport, purpose shipper.Purpose) {
	heading := ""
	for i := range r.Findings {
		f := &r.Findings[i]
		about := f.Address
		if about == "" {
			about = "Elasticsearch"
		}
		if about != heading {
			heading = about
			fmt.Fprintln(w, heading)
		}
		fmt.Fprintf(w, "  %s %s: %s", mark(f.Status), f.Check, f.Text)
		if f.Milliseconds > 0 {
			fmt.Fprintf(w, " (%.1f ms)", f.Milliseconds)
		}
		fmt.Fprintln(w)
	}
	if r.Role == nil {
		return
	}
	fmt.Fprintf(w, "\nMissing: %s.\nThis role has all that is needed; it can be the user's only one:\n\nPUT _security/role/%s\n%s\n\nThe same for an API key:\n\nPOST _security/api_key\n%s\n",
		strings.Join(r.Missing, ", "), roleName(purpose), oneLine(r.Role), oneLine(r.APIKey))
}

// mark is a status in a list for people.
func mark(s shipper.Status) string {
	switch s {
	case shipper.OK:
		return "✓"
	case shipper.Unused:
		return "·"
	case shipper.Unknown:
		return "?"
	case shipper.Degraded:
		return "!"
	}
	return "✗"
}

func oneLine(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts can't fail
	}
	return string(b)
}
