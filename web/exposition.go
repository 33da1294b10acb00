package web

import (
	"net/http"
	"strconv"
	"strings"
)

// Family is one family of metrics in the Prometheus text format 0.0.4.
type Family struct {
	Name string
	// Type is "counter" or "gauge".
	Type    string
	Help    string
	Samples []Point
}

// Point is one sample of a family.
type Point struct {
	// Label and Value are the one label that a sample may have; "" for none.
	Label, LabelValue string
	Value             float64
}

func serveMetrics(w http.ResponseWriter, families []Family) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(appendFamilies(nil, families))
}

// appendFamilies appends the families to dst in the text format.
func appendFamilies(dst []byte, families []Family) []byte {
	for _, f := range families {
		dst = append(dst, "# HELP "+f.Name+" "+escapeHelp.Replace(f.Help)+"\n# TYPE "+f.Name+" "+f.Type+"\n"...)
		for _, p := range f.Samples {
			dst = append(dst, f.Name...)
			if p.Label != "" {
				dst = append(dst, `{`+p.Label+`="`+escapeLabel.Replace(p.LabelValue)+`"}`...)
			}
			dst = append(dst, ' ')
			dst = strconv.AppendFloat(dst, p.Value, 'g', -1, 64)
			dst = append(dst, '\n')
		}
	}
	return dst
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)
