package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper"
	"github.com/swarmgauge/swarmgauge/web"
)

const (
	exitRefuted   = 1
	exitUndecided = 2
)

// auditSettle is how old a document has to be by default: Elasticsearch shows what it has
// acknowledged some seconds later.
const auditSettle = time.Minute

// auditFlags are the options that audit has beside the agent's own.
type auditFlags struct {
	since    time.Duration
	from, to string
	agents   string
	json     bool
}

func (f *auditFlags) declare(o *options, fs *flag.FlagSet) {
	fs.DurationVar(&f.since, "since", time.Hour, "length of the time that is audited, up to -to; -from wins")
	fs.StringVar(&f.from, "from", "", "begin of the time that is audited, as 2026-11-25T12:00:00Z")
	fs.StringVar(&f.to, "to", "", "its end (default a minute ago)")
	fs.StringVar(&o.ESIndex, "index", o.ESIndex, "the same as -storage_driver_es_index")
	fs.StringVar(&f.agents, "agents", "", "comma-separated URLs of running agents, as http://node:8080: what they say is on its way isn't missing")
	fs.BoolVar(&f.json, "json", false, "print JSON instead of a table")
}

// span returns the time that is audited.
func (f *auditFlags) span(now time.Time) (from, to time.Time, err error) {
	to = now.Add(-auditSettle)
	if f.to != "" {
		if to, err = time.Parse(time.RFC3339, f.to); err != nil {
			return from, to, fmt.Errorf("-to can't be %q: a time is written 2026-11-25T12:00:00Z", f.to)
		}
	}
	from = to.Add(-f.since)
	if f.from != "" {
		if from, err = time.Parse(time.RFC3339, f.from); err != nil {
			return from, to, fmt.Errorf("-from can't be %q: a time is written 2026-11-25T12:00:00Z", f.from)
		}
	}
	if !from.Before(to) {
		return from, to, fmt.Errorf("nothing lies between %s and %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return from, to, nil
}

// audit proves or refutes, from what Elasticsearch holds, that each document that agents
// made is there exactly once or in a gap.
func (p program) audit(ctx context.Context, args []string) error {
	var flags auditFlags
	o, rest, err := parseOptionsAnd(args, p.environ, p.stdout, flags.declare, commandHelpAnd("audit", optionsOfRun,
		"since", "from", "to", "agents", "json", "index", "storage_driver_es_host", "es-user", "es-password-file", "es-api-key-file", "es-ca-file"))
	if err != nil {
		return helpIsFine(err)
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("audit takes options only; it can't do %q", rest[0])}
	}
	var audited shipper.AuditOptions
	if audited.From, audited.To, err = flags.span(time.Now()); err != nil {
		return usageError{err}
	}
	for _, url := range words(flags.agents) {
		live, err := askAgent(ctx, strings.TrimSuffix(url, "/"))
		if err != nil {
			return outcome{p.complain(err), exitUndecided}
		}
		audited.Live = append(audited.Live, live)
	}
	options := o.shipper(newLog("warn", o.LogFormat, p.stderr))
	options.Addresses = strings.Split(o.ESHost, ",")
	found, err := shipper.RunAudit(ctx, options, audited)
	if err != nil {
		return outcome{p.complain(fmt.Errorf("reading Elasticsearch at %s: %w", redact(o.ESHost), err)), exitUndecided}
	}
	if flags.json {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(found); err != nil {
			return err
		}
	} else {
		printAudit(p.stdout, found)
	}
	switch found.Verdict {
	case shipper.Proven:
		return nil
	case shipper.Refuted:
		return outcome{errors.New("refuted"), exitRefuted}
	}
	return outcome{errors.New("undecided"), exitUndecided}
}

// complain prints the error as run does, and returns it.
func (p program) complain(err error) error {
	fmt.Fprintf(p.stderr, "agent: %v\n", err)
	return err
}

// askAgent asks a running agent for its counters.
func askAgent(ctx context.Context, url string) (live shipper.LiveAgent, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+web.HealthPath+"?details", nil)
	if err != nil {
		return live, usageError{err}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return live, fmt.Errorf("the agent doesn't answer: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return live, fmt.Errorf("the agent at %s: %w", request.URL.Redacted(), err)
	}
	var health struct {
		Delivery struct {
			Epoch                                  string
			Sampled, Found, Indexed, Pending, Dead int64
			Dropped                                map[string]int64
			SpoolBytes                             int64 `json:"spool_bytes"`
			MemoryBytes                            int64 `json:"memory_bytes"`
		}
	}
	if err := json.Unmarshal(body, &health); err != nil {
		return live, fmt.Errorf("what answers at %s (%s) is no agent", request.URL.Redacted(), response.Status)
	}
	d := &health.Delivery
	live = shipper.LiveAgent{
		URL: request.URL.Redacted(), Sampled: d.Sampled, Found: d.Found, Indexed: d.Indexed, Pending: d.Pending, Dead: d.Dead,
		Empty: d.Pending == 0 && d.SpoolBytes == 0 && d.MemoryBytes == 0,
	}
	for _, n := range d.Dropped {
		live.Dropped += n
	}
	if _, err := fmt.Sscanf(d.Epoch, "%016x", &live.Epoch); err != nil {
		return live, fmt.Errorf("the agent at %s ships to no Elasticsearch", live.URL)
	}
	return live, nil
}

// printAudit prints the table that people read.
func printAudit(w io.Writer, a *shipper.Audit) {
	fmt.Fprintf(w, "%s to %s: %s\n\n", a.From.UTC().Format(time.RFC3339), a.To.UTC().Format(time.RFC3339), a.Verdict)
	if len(a.Nodes) > 0 {
		out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, "NODE\tVERDICT\tRUNS\tKILLED\tBATCHES\tMADE\tTHERE\tIN GAPS\tON THEIR WAY\tLOST\tTWICE\tSLOTS MISSED\tUNTIL")
		for i := range a.Nodes {
			n := &a.Nodes[i]
			fmt.Fprintf(out, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", n.Name, n.Verdict, n.Runs, n.Killed, n.Batches,
				n.Made, n.Present, n.InGaps, n.OnTheirWay, n.Lost, n.Twice, n.MissedSweeps, n.Until.Format(time.RFC3339))
		}
		out.Flush()
	}
	for i := range a.Nodes {
		for _, sentence := range a.Nodes[i].Reasons {
			fmt.Fprintf(w, "\n%s: %s", a.Nodes[i].Name, sentence)
		}
	}
	for _, sentence := range a.Reasons {
		fmt.Fprintf(w, "\n%s", sentence)
	}
	if a.Foreign > 0 {
		fmt.Fprintf(w, "\n%d documents have an _id that no agent gave; they aren't judged.", a.Foreign)
	}
	fmt.Fprintln(w)
}
