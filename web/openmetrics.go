package web

import (
	"bytes"
	"mime"
	"strconv"
	"strings"
)

// The content types of /metrics. The first one is cAdvisor's answer to everybody: no name
// here needs escaping, whichever way a scraper asks for it.
const (
	textType        = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
	openMetricsType = "application/openmetrics-text; charset=utf-8; version="
)

// openMetricsEnd is the last line of an answer in OpenMetrics.
const openMetricsEnd = "# EOF\n"

// negotiate returns the content type for a request with the header Accept (RFC 9110, 12.5.1).
// That is the text format for all who take it, if only at the lowest weight: Prometheus
// asks for OpenMetrics first and for text last, gets text from cAdvisor, and must find its
// families called as before. OpenMetrics is for those who take nothing else, in the version
// they name.
func negotiate(accept string) string {
	version := ""
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		if weight, err := strconv.ParseFloat(parameters["q"], 64); err == nil && weight == 0 {
			continue // refused
		}
		switch mediaType {
		case "text/plain", "text/*", "*/*":
			return textType
		case "application/openmetrics-text":
			switch v := parameters["version"]; v {
			case "", "1.0.0":
				version = "1.0.0"
			case "0.0.1":
				if version == "" {
					version = v
				}
			}
		}
	}
	if version == "" {
		return textType
	}
	return openMetricsType + version
}

// appendOpenMetrics appends to dst what text, which is ours in the text format, is in
// OpenMetrics 1.0. Series keep their names: a counter is called without its "_total" in the
// lines before its series, and one whose name doesn't end so is of unknown type. Times are in
// seconds. The text may be a piece of an answer, whose end is openMetricsEnd.
func appendOpenMetrics(dst, text []byte) []byte {
	var help []byte // of the family that begins
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("# HELP ")); ok {
			_, help, _ = bytes.Cut(rest, []byte(" "))
		} else if rest, ok := bytes.CutPrefix(line, []byte("# TYPE ")); ok {
			name, kind, _ := bytes.Cut(rest, []byte(" "))
			if string(kind) == "counter\n" {
				var total bool
				if name, total = bytes.CutSuffix(name, []byte("_total")); !total {
					kind = []byte("unknown\n")
				}
			}
			dst = append(append(append(append(dst, "# TYPE "...), name...), ' '), kind...)
			dst = append(append(append(dst, "# HELP "...), name...), ' ')
			dst = append(dst, bytes.ReplaceAll(help, []byte(`"`), []byte(`\"`))...)
		} else {
			dst = appendOpenMetricsSeries(dst, line)
		}
	}
	return dst
}

// appendOpenMetricsSeries appends one line: "name{labels} value" and, for some, a time in
// milliseconds.
func appendOpenMetricsSeries(dst, line []byte) []byte {
	labels := bytes.LastIndexByte(line, '}') + 1 // no value has a brace
	value := labels + bytes.IndexByte(line[labels:], ' ') + 1
	before, ms, timed := bytes.Cut(line[value:], []byte(" "))
	if !timed {
		return append(dst, line...)
	}
	dst = append(append(dst, line[:value]...), before...)
	const digits = 3 // of a second's thousandths
	ms = bytes.TrimSuffix(ms, []byte("\n"))
	point := len(ms) - digits // of today's times, which have thirteen digits
	dst = append(append(dst, ' '), ms[:point]...)
	return append(append(append(dst, '.'), ms[point:]...), '\n')
}
