package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarmgauge/swarmgauge/cadvisor"
	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// eventLimits reads -event_storage_age_limit and -event_storage_event_limit: lists of
// type=limit, where the type "default" is for all that aren't in the list.
func (o *options) eventLimits() (map[metric.Action]collector.OccurrenceLimit, error) {
	limits := map[metric.Action]collector.OccurrenceLimit{}
	for _, action := range cadvisor.EventActions() {
		limits[action] = collector.OccurrenceLimit{Age: 24 * time.Hour, Count: 100000}
	}
	err := eachLimit("event_storage_age_limit", o.EventAgeLimit, func(action metric.Action, value string) error {
		age, err := time.ParseDuration(value)
		limits[action] = collector.OccurrenceLimit{Age: age, Count: limits[action].Count}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = eachLimit("event_storage_event_limit", o.EventCountLimit, func(action metric.Action, value string) error {
		count, err := strconv.Atoi(value)
		if count < 0 {
			return fmt.Errorf("%d is below 0", count)
		}
		limits[action] = collector.OccurrenceLimit{Age: limits[action].Age, Count: count}
		return err
	})
	return limits, err
}

// eachLimit calls set with each entry of a list, the default first and then for all types.
func eachLimit(option, list string, set func(metric.Action, string) error) error {
	known := []string{"default"}
	for _, action := range cadvisor.EventActions() {
		known = append(known, cadvisor.EventType(action))
	}
	entries := map[string]string{}
	for entry := range strings.SplitSeq(list, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(entry), "=")
		if entry != "" && (!ok || !slices.Contains(known, name)) {
			return fmt.Errorf("-%s can't have %q: it is a list of type=limit, with the types %s", option, entry, strings.Join(known, ", "))
		}
		entries[name] = value
	}
	for _, action := range cadvisor.EventActions() {
		value, given := entries[cadvisor.EventType(action)]
		if !given {
			value, given = entries["default"]
		}
		if !given {
			continue
		}
		if err := set(action, value); err != nil {
			return fmt.Errorf("-%s has a limit that can't be read: %w", option, err)
		}
	}
	return nil
}
