// Package kibanatest judges saved objects as Kibana would, and is a strict fake of its
// server: it is for tests.
package kibanatest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// shape is what a value of JSON may look like. It calls report for each place where the
// value looks otherwise.
type shape func(value any, path string, report reporter)

// reporter takes a fault and where it is.
type reporter func(path, fault string)

// text is any string.
func text(value any, path string, report reporter) {
	if _, ok := value.(string); !ok {
		report(path, "isn't a text")
	}
}

// number is any number.
func number(value any, path string, report reporter) {
	if _, ok := value.(float64); !ok {
		report(path, "isn't a number")
	}
}

// flag is true or false.
func flag(value any, path string, report reporter) {
	if _, ok := value.(bool); !ok {
		report(path, "is neither true nor false")
	}
}

// nothing is null.
func nothing(value any, path string, report reporter) {
	if value != nil {
		report(path, "isn't null")
	}
}

// word is one of some strings.
func word(words ...string) shape {
	return func(value any, path string, report reporter) {
		if s, ok := value.(string); !ok || !slices.Contains(words, s) {
			report(path, fmt.Sprintf("is %v, not one of %s", value, strings.Join(words, ", ")))
		}
	}
}

// either is what one of the shapes fits.
func either(shapes ...shape) shape {
	return func(value any, path string, report reporter) {
		var faults []string
		for _, s := range shapes {
			n := len(faults)
			s(value, path, func(path, fault string) { faults = append(faults, path+" "+fault) })
			if len(faults) == n {
				return
			}
		}
		report(path, "has none of the shapes it may have: "+strings.Join(faults, "; "))
	}
}

// variants is an object whose shape depends on the word under a key of it.
func variants(key string, shapes map[string]shape) shape {
	return func(value any, path string, report reporter) {
		object, ok := value.(map[string]any)
		if !ok {
			report(path, "isn't an object")
			return
		}
		chosen, _ := object[key].(string)
		if s := shapes[chosen]; s != nil {
			s(value, path, report)
		} else {
			report(path+"."+key, fmt.Sprintf("is %v, not one of %s", object[key], strings.Join(sortedKeys(shapes), ", ")))
		}
	}
}

// list is an array of things of one shape.
func list(each shape) shape {
	return func(value any, path string, report reporter) {
		array, ok := value.([]any)
		if !ok {
			report(path, "isn't an array")
			return
		}
		for i, v := range array {
			each(v, path+"["+strconv.Itoa(i)+"]", report)
		}
	}
}

// dictionary is an object with any keys and things of one shape.
func dictionary(each shape) shape {
	return func(value any, path string, report reporter) {
		object, ok := value.(map[string]any)
		if !ok {
			report(path, "isn't an object")
			return
		}
		for _, key := range sortedKeys(object) {
			each(object[key], path+"."+key, report)
		}
	}
}

// keys are the shapes of an object's members. A name that ends in "?" may be absent.
type keys map[string]shape

// record is an object that has these keys and no others.
func record(members keys) shape {
	return func(value any, path string, report reporter) {
		object, ok := value.(map[string]any)
		if !ok {
			report(path, "isn't an object")
			return
		}
		for _, name := range sortedKeys(members) {
			key, optional := strings.CutSuffix(name, "?")
			if v, ok := object[key]; ok {
				members[name](v, path+"."+key, report)
			} else if !optional {
				report(path, "lacks "+key)
			}
		}
		for _, key := range sortedKeys(object) {
			if members[key] == nil && members[key+"?"] == nil {
				report(path+"."+key, "is a key that Kibana doesn't know")
			}
		}
	}
}

// embedded is a string that is a document of JSON.
func embedded(inner shape) shape {
	return func(value any, path string, report reporter) {
		s, ok := value.(string)
		if !ok {
			report(path, "isn't a text of JSON")
			return
		}
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			report(path, "isn't a text of JSON: "+err.Error())
			return
		}
		inner(v, path, report)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
