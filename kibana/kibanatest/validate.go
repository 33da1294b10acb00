package kibanatest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Validate judges saved objects, one on each line, as a Kibana of 8.9 and later would
// when they are imported into it: which keys there are and what they look like, in
// attributes and in what is embedded in them; that each reference is used and each use has
// its reference, and that the object which it names is in the file; that ids are unique;
// that panels lie on the grid without overlap; and that the columns of charts fit
// together. The error has a line for each fault, nil is returned where there is none.
func Validate(ndjson []byte) error {
	var faults []error
	objects, err := decode(ndjson)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, o := range objects {
		if known[o.Type+" "+o.ID] {
			faults = append(faults, fmt.Errorf("%s %s is there twice", o.Type, o.ID))
		}
		known[o.Type+" "+o.ID] = true
	}
	for _, o := range objects {
		n := len(faults)
		report := func(path, fault string) {
			faults = append(faults, fmt.Errorf("%s %s: %s %s", o.Type, o.ID, path, fault))
		}
		objectShape(o.value, "object", report)
		if len(faults) > n {
			continue // what has the wrong shape can't be looked into
		}
		for _, r := range o.References {
			if !known[r.Type+" "+r.ID] {
				report("references", fmt.Sprintf("%s names %s %s, which isn't in the file", r.Name, r.Type, r.ID))
			}
		}
		if o.Type == "dashboard" {
			checkDashboard(o, report)
		}
	}
	return errors.Join(faults...)
}

// savedObject is one line of a file.
type savedObject struct {
	ID, Type   string
	Attributes struct {
		ControlGroupInput struct{ PanelsJSON string }
		PanelsJSON        string
		TimeFieldName     string
	}
	References []reference

	value any // all of it
}

type reference struct{ Name, Type, ID string }

func decode(ndjson []byte) ([]savedObject, error) {
	var objects []savedObject
	for i, line := range bytes.Split(bytes.TrimSuffix(ndjson, []byte("\n")), []byte("\n")) {
		var o savedObject
		if err := json.Unmarshal(line, &o.value); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if err := json.Unmarshal(line, &o); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		objects = append(objects, o)
	}
	return objects, nil
}
