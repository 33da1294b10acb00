package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/swarmgauge/swarmgauge/shipper"
)

// template prints the index template of the prefix that the options name, as the body of
// PUT _index_template/<prefix>: for an administrator of an Elasticsearch where the agent
// itself may write documents and nothing else.
func (p program) template(_ context.Context, args []string) error {
	o, rest, err := parseOptionsAnd(args, p.environ, p.stdout, func(*options, *flag.FlagSet) {}, commandHelp("template", "storage_driver_es_index"))
	if err != nil {
		return helpIsFine(err)
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("template prints the index template; it can't do %q", rest[0])}
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", shipper.IndexTemplate(o.ESIndex))
	return err
}
