package kibana

import (
	"bytes"
	"encoding/json"
)

// The versions that objects are stamped with: the oldest that have the shape they are
// written in. Kibana migrates older objects, and refuses newer ones.
const (
	coreVersion      = "8.8.0"
	dashboardVersion = "8.9.0"
	dataViewVersion  = "8.0.0"
	tagVersion       = "8.0.0"
	// panelVersion is what by-value panels say of themselves.
	panelVersion = "8.9.0"
)

// DefaultPrefix is the prefix of indices for which the committed objects are made: the agent's
// own default, which is cAdvisor's.
const DefaultPrefix = "cadvisor"

// Object is one saved object of Kibana.
type Object struct {
	ID                   string      `json:"id"`
	Type                 string      `json:"type"` // dashboard, index-pattern, tag
	Attributes           object      `json:"attributes"`
	References           []Reference `json:"references"`
	CoreMigrationVersion string      `json:"coreMigrationVersion"`
	TypeMigrationVersion string      `json:"typeMigrationVersion"`
	// Managed has Kibana offer a copy to whoever wants to change the object.
	Managed bool `json:"managed"`
}

// Reference says which object another one names.
type Reference struct {
	Name string `json:"name"`
	Type string `json:"type"`
	ID   string `json:"id"`
}

// object is an object of JSON, whose keys are written in order.
type object = map[string]any

// Objects returns the saved objects for the indices <prefix>-*: data views, tag and
// dashboards, each after those that it refers to but for the dashboards, which refer to
// each other.
func Objects(prefix string) []Object {
	objects := []Object{
		currentView().object(prefix),
		legacyView().object(prefix),
		{
			ID: tagID, Type: "tag",
			Attributes:           object{"name": "swarmgauge", "description": "Made by swarmgauge.", "color": "#0B64DD"},
			References:           []Reference{},
			CoreMigrationVersion: coreVersion, TypeMigrationVersion: tagVersion, Managed: true,
		},
	}
	for _, d := range Dashboards() {
		objects = append(objects, d.object())
	}
	return objects
}

// NDJSON returns the objects as Kibana imports them, one on each line.
func NDJSON(objects []Object) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for _, o := range objects {
		if err := encoder.Encode(o); err != nil {
			panic(err) // maps of texts, numbers and bools can't fail
		}
	}
	return text.Bytes()
}

// embed returns v as a text of JSON, as Kibana stores much inside of attributes.
func embed(v any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // maps of texts, numbers and bools can't fail
	}
	return string(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}
