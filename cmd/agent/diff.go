package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	diffLines = 40 // of one object
	diffText  = 100
)

// differences returns what changes from one JSON text to another, a line for each value:
// its path, and what is taken away (-) or comes (+). Texts that are JSON themselves are
// looked into. Numbers are as good as texts of them, as Elasticsearch has them in settings.
func differences(before, after []byte) (lines []string) {
	from, to := make(map[string]string), make(map[string]string)
	flatten(from, "", before)
	flatten(to, "", after)
	if before == nil {
		return []string{fmt.Sprintf("+ %d values", len(to))}
	}
	paths := maps.Clone(from)
	maps.Copy(paths, to)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		old, had := from[path]
		new, has := to[path]
		if had && has && old == new {
			continue
		}
		if had {
			lines = append(lines, "- "+path+": "+old)
		}
		if has {
			lines = append(lines, "+ "+path+": "+new)
		}
	}
	if more := len(lines) - diffLines; more > 0 {
		lines = append(lines[:diffLines], fmt.Sprintf("… and %d lines more", more))
	}
	return lines
}

// flatten adds the values of a JSON text by their paths.
func flatten(to map[string]string, path string, text []byte) {
	var value any
	if json.Unmarshal(text, &value) == nil {
		flattenValue(to, path, value)
	}
}

func flattenValue(to map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			flattenValue(to, strings.TrimPrefix(path+"."+key, "."), inner)
		}
	case []any:
		for i, inner := range v {
			flattenValue(to, fmt.Sprintf("%s[%d]", path, i), inner)
		}
	case string:
		if len(v) > 1 && (v[0] == '{' || v[0] == '[') && json.Valid([]byte(v)) {
			flatten(to, path, []byte(v))
			return
		}
		to[path] = cut(v)
	default:
		to[path] = fmt.Sprint(v)
	}
}

// cut bounds a text to one line.
func cut(s string) string {
	s = strings.ReplaceAll(s, "\n", "⏎")
	if r := []rune(s); len(r) > diffText {
		return string(r[:diffText]) + "…"
	}
	return s
}
