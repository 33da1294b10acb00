package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
)

// right says what a value of an option is, where package flag says only that it can't be
// read; cause is said of options that say it themselves.
func right(f *flag.Flag, cause string) string {
	getter, ok := f.Value.(flag.Getter)
	if !ok {
		return cause
	}
	switch getter.Get().(type) {
	case int:
		if f.Name == "port" {
			return "it is a whole number from 0 (any free one) to 65535"
		}
		return "it is a whole number"
	case time.Duration:
		return "it is a duration such as 10s"
	case bool:
		return "it is true or false"
	}
	return cause
}

// explainValue turns what package flag says of a bad value, which is
// `invalid value "x" for flag -port: parse error`, into a sentence that says what is right.
func explainValue(fs *flag.FlagSet, err error) error {
	_, quoted, ok := strings.Cut(err.Error(), "invalid ")
	if !ok {
		return err
	}
	quoted = strings.TrimPrefix(strings.TrimPrefix(quoted, "boolean "), "value ")
	value, prefixErr := strconv.QuotedPrefix(quoted)
	if prefixErr != nil {
		return err
	}
	rest := strings.TrimPrefix(quoted[len(value):], " for ")
	name, cause, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(rest, "flag "), "-"), ": ")
	f := fs.Lookup(name)
	if f == nil {
		return err
	}
	return fmt.Errorf("invalid value %s for flag -%s: %s", value, name, right(f, cause))
}

// explainGroup adds the nearest name to what is said of an unknown group of metrics.
func explainGroup(err error) error {
	var unknown *cadvisor.UnknownGroupError
	if !errors.As(err, &unknown) {
		return err
	}
	return fmt.Errorf("%w; did you mean %q?", err, nearest(unknown.Name, unknown.Groups))
}

// mostSpool is more than any node has to spare.
const mostSpool = 1 << 50

// checkRanges refuses numbers and times that make no sense. What cAdvisor takes, such as a
// -storage_duration of 0, is taken.
func (o *options) checkRanges() error {
	var errs []error
	for _, row := range []struct {
		option string
		value  time.Duration
		least  time.Duration
	}{
		{"global_housekeeping_interval", o.GlobalHousekeepingInterval, 1},
		{"update_machine_info_interval", o.UpdateMachineInfoInterval, 1},
		{"storage_duration", o.StorageDuration, 0},
		{"max_housekeeping_interval", o.MaxHousekeepingInterval, 0},
	} {
		if row.value < row.least {
			errs = append(errs, fmt.Errorf("-%s is %v; it is a time such as 1m", row.option, row.value))
		}
	}
	if o.SpoolBudget > mostSpool {
		errs = append(errs, fmt.Errorf("-spool-budget is %v; the largest is 1024TiB", &o.SpoolBudget))
	}
	if o.SpoolDir == "" && o.StorageDriver != "stdout" {
		errs = append(errs, errors.New("-spool-dir is empty; it is the folder where documents wait, such as /var/lib/swarmgauge"))
	}
	return errors.Join(errs...)
}
