package kibana

import "strings"

// Control is a menu of the values that a field has, which filters the dashboard.
type Control struct {
	Title string
	Field string
	// One lets only one value be chosen.
	One bool
}

// id is the same for a field on all dashboards.
func (c *Control) id() string {
	return "control-" + strings.NewReplacer(".", "-", "_", "-").Replace(c.Field)
}

// controls returns the menus as a dashboard stores them, and their references.
func (d *Dashboard) controls() (object, []Reference) {
	panels := object{}
	var references []Reference
	for i := range d.Controls {
		c := &d.Controls[i]
		panels[c.id()] = object{
			"type": "optionsListControl", "order": i, "width": "medium", "grow": true,
			"explicitInput": object{
				"id": c.id(), "fieldName": c.Field, "title": c.Title,
				"selectedOptions": []string{}, "singleSelect": c.One, "enhancements": object{},
			},
		}
		references = append(references, d.view.reference("controlGroup_"+c.id()+":optionsListDataView"))
	}
	return object{
		"controlStyle":   "oneLine",
		"chainingSystem": "HIERARCHICAL",
		"panelsJSON":     embed(panels),
		"ignoreParentSettingsJSON": embed(object{
			"ignoreFilters": false, "ignoreQuery": false, "ignoreTimerange": false, "ignoreValidations": false,
		}),
	}, references
}
