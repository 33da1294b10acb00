package kibana

// view is a data view: the indices that panels ask, and the field that says when.
type view struct {
	id, name  string
	timeField string
}

// currentView and legacyView name the same indices. The legacy one goes by cAdvisor's own
// time, as the boards made for its documents did.
func currentView() view { return view{dataViewID, "swarmgauge", "@timestamp"} }

func legacyView() view {
	return view{legacyDataViewID, "swarmgauge (cAdvisor's fields)", "container_stats.timestamp"}
}

// object returns the data view of the indices <prefix>-*.
func (v view) object(prefix string) Object {
	return Object{
		ID: v.id, Type: "index-pattern",
		Attributes: object{
			"title":           prefix + "-*",
			"name":            v.name,
			"timeFieldName":   v.timeField,
			"allowNoIndex":    true, // a dashboard may be looked at before the first document is there
			"fieldAttrs":      "{}",
			"fieldFormatMap":  "{}",
			"fields":          "[]",
			"runtimeFieldMap": "{}",
			"sourceFilters":   "[]",
			"typeMeta":        "{}",
		},
		References:           []Reference{},
		CoreMigrationVersion: coreVersion, TypeMigrationVersion: dataViewVersion, Managed: true,
	}
}

// reference returns the reference to the data view by a name.
func (v view) reference(name string) Reference {
	return Reference{Name: name, Type: "index-pattern", ID: v.id}
}
