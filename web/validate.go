package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/swarmgauge/swarmgauge/collector"
)

// Verdict is what a report says of a part of the machine, in cAdvisor's words.
type Verdict string

// The verdicts.
const (
	Recommended    Verdict = "[Supported and recommended]"
	NotRecommended Verdict = "[Supported, but not recommended]"
	Unsupported    Verdict = "[Unsupported]"
	Unknown        Verdict = "[Unknown]"
)

// Report is what /validate/ tells of the machine.
type Report struct {
	// Version is the agent's, OS the distribution's name.
	Version, OS string
	Sections    []Section
}

// Section is one part of a report.
type Section struct {
	Title   string
	Verdict Verdict
	// Lines are sentences.
	Lines []string
}

// serveValidate answers with the report as text, laid out as cAdvisor's, and the
// containers below it.
func (o *Options) serveValidate(w http.ResponseWriter, r *http.Request) {
	report := o.Validate(r.Context())
	var b strings.Builder
	fmt.Fprintf(&b, "cAdvisor version: %s\n\nOS version: %s\n\n", report.Version, report.OS)
	for _, s := range report.Sections {
		fmt.Fprintf(&b, "%s: %s\n\t%s\n\n\n", s.Title, s.Verdict, strings.Join(s.Lines, "\n\t"))
	}
	b.WriteString("Managed containers: \n")
	if o.Containers != nil {
		var all collector.Readings
		if err := o.Containers.Latest(r.Context(), &all); err != nil {
			fmt.Fprintf(&b, "\tThey can't be listed: %v\n", err)
		}
		sortByPath(all.Containers)
		for i := range all.Containers {
			appendManaged(&b, &all.Containers[i])
		}
	}
	b.WriteString("\nInotify watches: \n\tNone: the cgroup tree is compared with what was known, in each sweep.\n")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte(b.String()))
}

func appendManaged(b *strings.Builder, r *collector.Reading) {
	c := r.Container
	fmt.Fprintf(b, "\t%s\n", oneLine(c.Path))
	if c.Runtime == "" {
		return
	}
	fmt.Fprintf(b, "\t\tNamespace: %s\n\t\tAliases:\n", c.Runtime)
	for _, alias := range []string{c.Name, c.ID} {
		if alias != "" {
			fmt.Fprintf(b, "\t\t\t%s\n", oneLine(alias))
		}
	}
	if c.Unidentified != "" {
		fmt.Fprintf(b, "\t\tWithout a name: %s\n", oneLine(c.Unidentified))
	}
}

// oneLine keeps what names a container from looking like another line of the report.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

func sortByPath(all []collector.Reading) {
	slices.SortFunc(all, func(a, b collector.Reading) int { return strings.Compare(a.Container.Path, b.Container.Path) })
}
