package kibana

import (
	"regexp"
	"strings"
	"testing"
)

// TestPanelsExplainThemselves wants of each panel what a person needs who sees it for the
// first time: a title, a sentence on what it shows, when it shows nothing or zero and what that
// means, names of axes, and units. There is no panel that can't be empty: about a time in which
// no agent reported, none has anything to show.
func TestPanelsExplainThemselves(t *testing.T) {
	for _, d := range Dashboards() {
		for _, p := range d.Panels {
			if p.Title == "" || !strings.HasPrefix(p.ID, d.Letter) {
				t.Errorf("%s on dashboard %s is called %q", p.ID, d.Letter, p.Title)
			}
			if p.Chart == nil {
				continue // the bar of links
			}
			if !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s has no sentence on what it shows: %q", p.ID, p.Description)
			}
			if !saysWhyEmpty.MatchString(p.Description) {
				t.Errorf("%s doesn't say when there is nothing in it: %q", p.ID, p.Description)
			}
			if xy, ok := p.Chart.(*XY); ok {
				checkAxes(t, p.ID, xy)
			}
			for _, l := range p.Chart.layers() {
				checkNames(t, p.ID, l)
			}
		}
	}
}

// saysWhyEmpty is how descriptions begin to tell why there is nothing.
var saysWhyEmpty = regexp.MustCompile(`\b([Ee]mpty|[Zz]ero) (where|while|unless|without|until|on|otherwise)\b|\bempty\.`)

func checkAxes(t *testing.T, id string, xy *XY) {
	right := false
	for _, l := range xy.Layers {
		for _, m := range l.Metrics {
			right = right || m.Right
		}
	}
	if right != (xy.Right != "") {
		t.Errorf("%s: the axis at the right has a name and no values, or values and no name", id)
	}
	if xy.Left == "" && xy.Layers[0].Series != SidewayBars {
		t.Errorf("%s: the axis at the left has no name", id)
	}
}

func checkNames(t *testing.T, id string, l *Layer) {
	names := map[string]bool{}
	for _, m := range l.Metrics {
		if names[m.Label] || m.Label == "" {
			t.Errorf("%s has the name %q twice, or a value without a name", id, m.Label)
		}
		names[m.Label] = true
		if m.Unit == None && m.Value.dataType() == "number" && m.Label != "Exit code" {
			t.Errorf("%s: %s has no unit", id, m.Label)
		}
	}
}

// TestLinksLeadOn wants each link to lead to another dashboard, which has a menu of what was
// clicked on: so the filter that comes along makes sense there, and can be taken back.
func TestLinksLeadOn(t *testing.T) {
	boards := map[Link]*Dashboard{}
	for _, d := range Dashboards() {
		boards[Link(d.ID)] = d
	}
	for _, d := range boards {
		for _, p := range d.Panels {
			titles := map[string]bool{}
			for _, link := range p.Links {
				to := boards[link]
				if to == nil || to == d {
					t.Errorf("%s leads to %q", p.ID, link)
					continue
				}
				if titles[link.title()] {
					t.Errorf("%s has two links with the title %q", p.ID, link.title())
				}
				titles[link.title()] = true
				if !groupsByMenuOf(p, to) {
					t.Errorf("%s leads to %s, which has no menu of what it groups by", p.ID, to.Title)
				}
			}
		}
	}
}

// groupsByMenuOf tells whether the panel has groups by the field of a menu of the dashboard.
func groupsByMenuOf(p *Panel, to *Dashboard) bool {
	for _, l := range p.Chart.layers() {
		for i := range l.Buckets {
			for _, c := range to.Controls {
				if l.Buckets[i].field == c.Field {
					return true
				}
			}
		}
	}
	return false
}
