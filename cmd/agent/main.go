// Command agent is swarmgauge: it measures the containers of this node and ships
// container_stats documents to Elasticsearch.
//
// This package is the only place for flags, environment, signals and exit codes: it
// reads options, wires the other packages together and runs them. There is one file
// per subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes. A missing right or an unreachable Elasticsearch is a degraded feature,
// never an exit.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := program{
		args: os.Args[1:], environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr, ownProcess: true,
	}.run(ctx)
	stop()
	os.Exit(code)
}

// program is one invocation, as a value that tests can start.
type program struct {
	args           []string
	environ        []string
	stdout, stderr io.Writer
	// ownProcess tells that the process is the program's alone, as it isn't in tests: it may
	// be started anew, limited, and deprived of rights.
	ownProcess bool
}

// command is one subcommand.
type command struct {
	name string
	help string
	run  func(program, context.Context, []string) error
}

func commands() []command {
	return []command{
		{"run", "measure and ship until a signal comes (what \"agent\" alone does)", program.runAgent},
		{"collect", "measure everything once and print it, as a table or, with \"json\", as the documents that would be shipped", program.collect},
		{"setup", "set up Elasticsearch (index template) and Kibana (data views, dashboards), waiting for both; what a person has changed stays; exit 0 if all is there", program.setup},
		{"template", "print the index template, for whoever may install it in Elasticsearch", program.template},
		{"test-output", "go the way of documents to Elasticsearch, step by step, and say what is in the way; exit 0 if they get through, 1 if they don't", program.testOutput},
		{"audit", "prove from Elasticsearch that nothing is lost and nothing is there twice; exit 0 if so, 1 if not, 2 if that can't be told", program.audit},
		{"doctor", "say what the agent can and can't see on this node, and the line that mends it; exit 0 if nothing that is needed is missing, 1 if something is", program.doctor},
		{"check-config", "say what the agent would make of its options: each one's value and where it comes from, what has no effect, what is wrong", program.checkConfig},
		{"healthcheck", "ask the agent on this machine how it is; exit 0 if it is well", program.healthcheck},
		{"spool", "say what the spool holds: what waits, what was refused, what was dropped; send refused documents again", program.spool},
		{"replay", "send documents once more that were delivered, after Elasticsearch has lost some", program.replay},
		{"version", "print the version", program.version},
	}
}

// usageError is a mistake in the command line or the environment.
type usageError struct{ error }

// outcome is an answer that has been printed and that the exit code gives, too.
type outcome struct {
	error
	code int
}

func (p program) run(ctx context.Context) int {
	err := p.dispatch(ctx)
	var usage usageError
	var known outcome
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &known):
		return known.code
	case errors.As(err, &usage):
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(p.stderr, "agent: %s\n", line)
		}
		return exitUsage
	}
	fmt.Fprintf(p.stderr, "agent: %v\n", err)
	return exitFailure
}

// dispatch runs the subcommand that the first argument names. An argument list that
// begins with a flag, or is empty, is cAdvisor's way to say run.
func (p program) dispatch(ctx context.Context) error {
	if len(p.args) == 0 || strings.HasPrefix(p.args[0], "-") {
		return p.runAgent(ctx, p.args)
	}
	name := p.args[0]
	var names []string
	for _, c := range commands() {
		if c.name == name {
			return c.run(p, ctx, p.args[1:])
		}
		names = append(names, c.name)
	}
	if name == "help" {
		return p.help()
	}
	near := nearest(name, names)
	if distance(name, near) > len(near)/2 {
		return usageError{fmt.Errorf("there is no command %q; there are %s", name, strings.Join(names, ", "))}
	}
	return usageError{fmt.Errorf("there is no command %q; did you mean %q? \"agent help\" lists all", name, near)}
}

// help prints the commands and the options of this project; cAdvisor's are printed by
// "agent run -help".
func (p program) help() error {
	fmt.Fprintln(p.stdout, "swarmgauge measures the containers of this node and ships them to Elasticsearch.\n\nUsage: agent [command] [options]\n\nCommands:")
	for _, c := range commands() {
		fmt.Fprintf(p.stdout, "  %-13s %s\n", c.name, c.help)
	}
	fmt.Fprintln(p.stdout, "\n\"agent run -help\" lists all options. Each can be set in the environment, too:\n-es-user is SWARMGAUGE_ES_USER, and SWARMGAUGE_ES_USER_FILE names a file that holds it.")
	return nil
}
