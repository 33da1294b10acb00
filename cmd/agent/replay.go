package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/swarmgauge/swarmgauge/shipper"
)

// takenWithin is how long an agent has to take up a request: it looks for one with each
// batch, and once a second while it has something to do.
const takenWithin = 30 * time.Second

// replay has documents sent once more that were delivered within the last while.
func (p program) replay(ctx context.Context, args []string) error {
	o := new(options)
	fs := o.flags(io.Discard)
	since := fs.Duration("since", 0, "how far back, such as 30m; what was delivered since then is sent once more (default all that is kept)")
	rest, err := o.parse(fs, args, p.environ, p.stdout, commandHelp("replay", "since", "spool-dir"))
	if err != nil {
		return helpIsFine(err)
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("replay sends what was delivered since -since once more; it can't do %q", rest[0])}
	}
	if *since < 0 {
		return usageError{fmt.Errorf("-since is %v; it is a time back from now, such as 30m", *since)}
	}
	from := time.UnixMilli(0)
	if *since > 0 {
		from = time.Now().Add(-*since)
	}
	chosen, err := shipper.RequestReplay(o.SpoolDir, from)
	if err != nil {
		return err
	}
	if chosen.Batches == 0 {
		fmt.Fprintf(p.stdout, "Nothing that was delivered since then is kept in %s: the agent's -spool-replay says for how long, and only what -spool-budget has to spare is used for it.\n", o.SpoolDir)
		return nil
	}
	fmt.Fprintf(p.stdout, "%d batches with %d documents, delivered from %s to %s, are sent once more; those that Elasticsearch has stay single.\n",
		chosen.Batches, chosen.Documents+chosen.GapDocuments, clock(chosen.Oldest), clock(chosen.Newest))
	return p.awaitTaken(ctx, o.SpoolDir)
}

// awaitTaken waits until the agent that has the spool has taken up what was requested.
func (p program) awaitTaken(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, takenWithin)
	defer cancel()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for shipper.Requested(dir) {
		used, err := shipper.SpoolInUse(dir)
		if err != nil {
			return err
		}
		if !used {
			fmt.Fprintln(p.stdout, "No agent has this spool now; the next one that starts does it.")
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("the agent that has %s hasn't taken this up within %v: it is of an older version, or its disk fails, which /healthz?details tells; the request stays for it", dir, takenWithin)
		}
	}
	fmt.Fprintln(p.stdout, "The running agent has taken it up; \"agent spool\" shows how far it is.")
	return nil
}

// clock writes a time for people.
func clock(t *time.Time) string { return t.Local().Format(time.DateTime) }

// commandHelp returns what prints the help of a command that has these options.
func commandHelp(command string, names ...string) func(*flag.FlagSet, io.Writer) {
	return commandHelpAnd(command, "The other options of the agent are accepted, without effect here.", names...)
}

// commandHelpAnd is commandHelp with a sentence about the agent's other options.
func commandHelpAnd(command, others string, names ...string) func(*flag.FlagSet, io.Writer) {
	return func(fs *flag.FlagSet, w io.Writer) {
		for _, c := range commands() {
			if c.name == command {
				fmt.Fprintf(w, "Usage: agent %s [options]\n\nWhat it does: %s.\n\nOptions:\n", command, c.help)
			}
		}
		for _, name := range names {
			printOption(fs.Lookup(name), w)
		}
		fmt.Fprintln(w, "\n"+others)
	}
}
