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
	objects, err := decode(ndjson)
	if err != nil {
		return err
	}
	var faults []error
	for _, o := range objects {
		report := func(path, fault string) {
			faults = append(faults, fmt.Errorf("%s %s: %s %s", o.Type, o.ID, path, fault))
		}
		objectShape(o.value, "object", report)
	}
	return errors.Join(faults...)
}

// savedObject is one line of a file.
type savedObject struct {
	ID, Type string
	value    any // all of it
}

func decode(ndjson []byte) ([]savedObject, error) {
	var objects []savedObject
	for i, line := range bytes.Split(bytes.TrimSuffix(ndjson, []byte("\n")), []byte("\n")) {
		var o savedObject
		if err := json.Unmarshal(line, &o); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if err := json.Unmarshal(line, &o.value); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		objects = append(objects, o)
	}
	return objects, nil
}
