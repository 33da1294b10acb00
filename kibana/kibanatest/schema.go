package kibanatest

// objectShape is a saved object in a file for import. It is a function and not a
// variable, because shapes of the parts are.
func objectShape(value any, path string, report reporter) {
	attributes := shape(nil)
	if o, ok := value.(map[string]any); ok {
		switch o["type"] {
		case "dashboard":
			attributes = dashboardShape()
		case "index-pattern":
			attributes = dataViewShape()
		case "tag":
			attributes = record(keys{"name": text, "description": text, "color": text})
		default:
			report(path+".type", "is one that this package doesn't know")
			return
		}
	}
	record(keys{
		"id": text, "type": text, "attributes": attributes,
		"references":           list(record(keys{"name": text, "type": text, "id": text})),
		"coreMigrationVersion": text, "typeMigrationVersion": text,
		"managed?": flag,
	})(value, path, report)
}

func dataViewShape() shape {
	return record(keys{
		"title": text, "name?": text, "timeFieldName?": text, "allowNoIndex?": flag, "allowHidden?": flag, "type?": text,
		"fieldAttrs?":      embedded(dictionary(record(keys{"customLabel?": text, "count?": number, "customDescription?": text}))),
		"fieldFormatMap?":  embedded(dictionary(record(keys{"id": text, "params?": dictionary(anything)}))),
		"fields?":          embedded(list(anything)),
		"runtimeFieldMap?": embedded(dictionary(anything)),
		"sourceFilters?":   embedded(list(record(keys{"value": text}))),
		"typeMeta?":        embedded(dictionary(anything)),
	})
}

// anything is any value.
func anything(any, string, reporter) {}

// dashboardShape is the schema of a dashboard's attributes, version 1.
func dashboardShape() shape {
	return record(keys{
		"title": text, "description?": text, "version?": number, "hits?": number,
		"timeRestore?": flag, "timeFrom?": text, "timeTo?": text,
		"refreshInterval?": record(keys{"pause": flag, "value": number, "display?": text, "section?": number}),
		"kibanaSavedObjectMeta?": record(keys{
			"searchSourceJSON?": embedded(record(keys{"query?": queryShape(), "filter?": list(anything)})),
		}),
		"controlGroupInput?": record(keys{
			"panelsJSON?": embedded(dictionary(controlShape())), "controlStyle?": word("oneLine", "twoLine"),
			"chainingSystem?":           word("HIERARCHICAL", "NONE"),
			"ignoreParentSettingsJSON?": embedded(record(keys{"ignoreFilters": flag, "ignoreQuery": flag, "ignoreTimerange": flag, "ignoreValidations": flag})),
		}),
		"optionsJSON?": embedded(record(keys{"useMargins": flag, "hidePanelTitles": flag, "syncColors": flag, "syncCursor": flag, "syncTooltips": flag})),
		"panelsJSON?":  embedded(list(panelShape())),
	})
}

func queryShape() shape {
	return record(keys{"language": word("kuery", "lucene"), "query": text})
}

func controlShape() shape {
	return record(keys{
		"type": word("optionsListControl"), "order": number, "width": word("small", "medium", "large"), "grow": flag,
		"explicitInput": record(keys{
			"id": text, "fieldName": text, "title?": text, "selectedOptions?": list(text), "singleSelect?": flag,
			"existsSelected?": flag, "exclude?": flag, "searchTechnique?": word("prefix", "wildcard", "exact"),
			"enhancements?": record(keys{}),
		}),
	})
}
