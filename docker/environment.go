package docker

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/swarmgauge/swarmgauge/metric"
)

// An environment takes those variables out of a container's environment that the operator
// asked for. The others, where secrets are, are skipped in the record's own bytes: no copy
// of them is made, so that clearing these bytes leaves nothing.
type environment struct {
	prefixes  []string // of keys; none takes nothing
	variables []string // "KEY=value", in the record's order
}

// UnmarshalJSON reads a list of variables. It is handed a part of the document that is being
// decoded, which has been found to be well-formed; anything but a list has no variables.
func (e *environment) UnmarshalJSON(b []byte) error {
	e.variables = nil
	if len(e.prefixes) == 0 || len(b) == 0 || b[0] != '[' {
		return nil
	}
	for {
		start := bytes.IndexByte(b, '"')
		if start < 0 {
			return nil
		}
		b = b[start:]
		end := endOfString(b)
		if err := e.takeJSON(b[:end]); err != nil {
			return err
		}
		b = b[end:]
	}
}

// endOfString returns the length of the JSON string that b begins with, quotes included.
func endOfString(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// takeJSON takes a variable that is a JSON string if its key, which is all that is decoded
// of it before that, begins with a prefix.
func (e *environment) takeJSON(b []byte) error {
	equals := bytes.IndexByte(b, '=')
	if equals < 0 {
		return nil
	}
	var key string
	if err := json.Unmarshal(append(bytes.Clone(b[:equals]), '"'), &key); err != nil {
		return nil // the sign was a part of an escape, which no key has
	}
	if !e.wants(key) {
		return nil
	}
	var variable string
	if err := json.Unmarshal(b, &variable); err != nil {
		return err
	}
	e.take(variable)
	return nil
}

// take takes a variable if its key begins with a prefix.
func (e *environment) take(variable string) {
	if key, _, ok := strings.Cut(variable, "="); ok && e.wants(key) {
		e.variables = append(e.variables, variable)
	}
}

func (e *environment) wants(key string) bool {
	for _, prefix := range e.prefixes {
		if prefix != "" && strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// labels returns the variables as labels, within the limits of labels, under their keys or
// what rename makes of them. Of variables with the same key the last one counts, as for a
// process.
func (e *environment) labels(rename func(string) string) []metric.Label {
	if len(e.variables) == 0 {
		return nil
	}
	m := make(map[string]string, len(e.variables))
	for _, variable := range e.variables {
		key, value, _ := strings.Cut(variable, "=")
		m[rename(key)] = value
	}
	return labels(m)
}
