package kibanatest

import "fmt"

// panelShape is one panel of a dashboard: a chart of Lens or a text, in the dashboard
// itself.
func panelShape() shape {
	members := func(config shape) shape {
		return record(keys{
			"version?": text, "type": text, "panelIndex": text, "title?": text,
			"gridData":         record(keys{"x": number, "y": number, "w": number, "h": number, "i": text}),
			"embeddableConfig": config,
		})
	}
	return variants("type", map[string]shape{
		"lens": members(record(keys{
			"enhancements": enhancementsShape(), "hidePanelTitles?": flag, "description?": text, "attributes": lensShape(),
			"timeRange?": record(keys{"from": text, "to": text}),
		})),
		"visualization": members(record(keys{
			"enhancements": enhancementsShape(), "hidePanelTitles?": flag, "savedVis": markdownShape(),
		})),
	})
}

func markdownShape() shape {
	return record(keys{
		"title": text, "description?": text, "type": word("markdown"), "uiState": record(keys{}),
		"params": record(keys{"fontSize": number, "openLinksInNewTab": flag, "markdown": text}),
		"data":   record(keys{"aggs": list(anything), "searchSource": record(keys{"query": queryShape(), "filter": list(anything)})}),
	})
}

func enhancementsShape() shape {
	return record(keys{"dynamicActions?": record(keys{"events": list(record(keys{
		"eventId": text, "triggers": list(word("FILTER_TRIGGER")),
		"action": record(keys{
			"factoryId": word("DASHBOARD_TO_DASHBOARD_DRILLDOWN"), "name": text,
			"config": record(keys{"useCurrentFilters": flag, "useCurrentDateRange": flag, "openInNewTab": flag}),
		}),
	}))})})
}

// lensShape is a chart.
func lensShape() shape {
	members := func(visualization shape) shape {
		return record(keys{
			"title": text, "description?": text, "type?": word("lens"), "visualizationType": text,
			"references": list(record(keys{"name": text, "type": text, "id": text})),
			"state": record(keys{
				"query": queryShape(), "filters": list(anything),
				"internalReferences": list(anything), "adHocDataViews": dictionary(anything),
				"datasourceStates": record(keys{
					"formBased":     record(keys{"layers": dictionary(layerShape())}),
					"indexpattern?": record(keys{"layers": record(keys{})}),
					"textBased?":    record(keys{"layers": record(keys{})}),
				}),
				"visualization": visualization,
			}),
		})
	}
	return variants("visualizationType", map[string]shape{
		"lnsXY": members(xyShape()), "lnsMetric": members(metricShape()),
		"lnsDatatable": members(datatableShape()), "lnsHeatmap": members(heatmapShape()),
	})
}

func layerShape() shape {
	return record(keys{
		"columns": dictionary(columnShape()), "columnOrder": list(text),
		"incompleteColumns?": record(keys{}), "ignoreGlobalFilters?": flag, "sampling?": number,
	})
}

// columnShape is a column of a layer; what its parameters are depends on its operation.
func columnShape() shape {
	return variants("operationType", map[string]shape{
		"date_histogram": columnOf(keys{"sourceField": text, "params": record(keys{
			"interval": text, "includeEmptyRows?": flag, "dropPartials?": flag, "ignoreTimeRange?": flag,
		})}),
		"terms": columnOf(keys{"sourceField": text, "params": record(keys{
			"size": number, "orderDirection": word("asc", "desc"), "otherBucket": flag, "missingBucket": flag,
			"orderBy": variants("type", map[string]shape{
				"alphabetical": record(keys{"type": text, "fallback?": flag}),
				"column":       record(keys{"type": text, "columnId": text}),
				"custom":       record(keys{"type": text}),
			}),
			"orderAgg?": aggregationShape(), "parentFormat?": record(keys{"id": word("terms")}),
			"include?": list(text), "exclude?": list(text), "includeIsRegex?": flag, "excludeIsRegex?": flag,
			"secondaryFields?": list(text), "accuracyMode?": flag,
		})}),
		"sum": aggregationShape(), "count": aggregationShape(), "unique_count": aggregationShape(),
		"average": aggregationShape(), "max": aggregationShape(), "min": aggregationShape(), "median": aggregationShape(),
		"percentile": aggregationShape(), "last_value": aggregationShape(),
		"formula": columnOf(keys{"references": list(text), "timeScale?": word("s", "m", "h", "d"), "params": record(keys{
			"formula": text, "isFormulaBroken": flag, "format?": formatShape(),
		})}),
		"math":              columnOf(keys{"references": list(text), "params": record(keys{"tinymathAst": mathShape})}),
		"normalize_by_unit": columnOf(keys{"references": list(text), "params": record(keys{"unit": word("s", "m", "h", "d")})}),
		"static_value": columnOf(keys{"references": list(text), "isStaticValue": flag, "params": record(keys{
			"value": text, "format?": formatShape(),
		})}),
	})
}

// columnOf is what all columns have, and these.
func columnOf(members keys) shape {
	all := keys{
		"operationType": text, "label": text, "customLabel?": flag, "isBucketed": flag,
		"dataType": word("number", "string", "date", "boolean"),
		"scale?":   word("ratio", "ordinal", "interval"),
	}
	for name, s := range members {
		all[name] = s
	}
	return record(all)
}

// aggregationShape is a column that Elasticsearch computes.
func aggregationShape() shape {
	members := func(params keys) shape {
		params["format?"] = formatShape()
		return columnOf(keys{
			"sourceField": text, "params?": record(params), "filter?": queryShape(),
			"timeScale?": word("s", "m", "h", "d"), "timeShift?": text, "reducedTimeRange?": text,
		})
	}
	empty := members(keys{"emptyAsNull?": flag})
	return variants("operationType", map[string]shape{
		"sum": empty, "count": empty, "unique_count": empty,
		"average": empty, "max": empty, "min": empty, "median": empty,
		"percentile": members(keys{"percentile": number}),
		"last_value": members(keys{"sortField": text, "showArrayValues": flag}),
	})
}

func formatShape() shape {
	return record(keys{
		"id":      word("number", "bytes", "percent"),
		"params?": record(keys{"decimals": number, "suffix?": text, "compact?": flag}),
	})
}

// mathShape is a tree of arithmetic: a number, the id of a column, or a function of trees.
func mathShape(value any, path string, report reporter) {
	either(number, text, record(keys{
		"type": word("function"), "name": word("add", "subtract", "multiply", "divide", "floor"),
		"args": list(mathShape), "text?": text, "location?": record(keys{"min": number, "max": number}),
	}))(value, path, report)
	if call, ok := value.(map[string]any); ok {
		want := 2
		if call["name"] == "floor" {
			want = 1
		}
		if arguments, _ := call["args"].([]any); len(arguments) != want {
			report(path, fmt.Sprintf("has %d arguments", len(arguments)))
		}
	}
}

func paletteShape() shape {
	stops := list(record(keys{"color": text, "stop": number}))
	return record(keys{
		"type": word("palette"), "name": text, "accessor?": text,
		"params?": record(keys{
			"name": text, "reverse?": flag, "continuity?": word("above", "below", "all", "none"),
			"rangeType?": word("number", "percent"), "rangeMin?": either(number, nothing), "rangeMax?": either(number, nothing),
			"steps?": number, "progression?": word("fixed"), "maxSteps?": number, "colorStops?": stops, "stops": stops,
		}),
	})
}

func xyShape() shape {
	sides := record(keys{"x": flag, "yLeft": flag, "yRight": flag})
	extent := record(keys{"mode": word("full", "dataBounds", "custom"), "lowerBound?": number, "upperBound?": number})
	data := record(keys{
		"layerId": text, "layerType": text, "xAccessor?": text, "splitAccessor?": text, "accessors": list(text),
		"seriesType": word("line", "area", "area_stacked", "bar", "bar_stacked", "bar_horizontal", "bar_horizontal_stacked"),
		"position?":  word("top"), "showGridlines?": flag, "palette?": paletteShape(),
		"collapseFn?": word("sum", "avg", "min", "max"),
		"yConfig?":    list(record(keys{"forAccessor": text, "axisMode?": word("left", "right", "auto"), "color?": text})),
	})
	reference := record(keys{
		"layerId": text, "layerType": text, "accessors": list(text),
		"yConfig?": list(record(keys{
			"forAccessor": text, "axisMode?": word("left", "right", "bottom"), "color?": text,
			"lineStyle?": word("solid", "dashed", "dotted"), "lineWidth?": number, "fill?": word("none", "above", "below"),
			"icon?": text, "iconPosition?": text, "textVisibility?": flag,
		})),
	})
	annotation := record(keys{
		"type": word("query"), "id": text, "label": text, "key": record(keys{"type": word("point_in_time")}), "timeField?": text,
		"filter": record(keys{"type": word("kibana_query"), "language": word("kuery"), "query": text}),
		"color?": text, "lineStyle?": word("solid", "dashed", "dotted"), "lineWidth?": number, "textVisibility?": flag,
		"icon?":      word("alert", "asterisk", "bell", "bolt", "bug", "circle", "flag", "heart", "mapMarker", "pinFilled", "starEmpty", "starFilled", "tag", "triangle"),
		"textField?": text, "extraFields?": list(text), "isHidden?": flag,
	})
	annotations := record(keys{
		"layerId": text, "layerType": text, "annotations": list(annotation),
		"ignoreGlobalFilters": flag, "persistanceType?": word("byValue"),
	})
	return record(keys{
		"layers":              list(variants("layerType", map[string]shape{"data": data, "referenceLine": reference, "annotations": annotations})),
		"preferredSeriesType": text, "valueLabels?": word("hide", "show"),
		"legend": record(keys{
			"isVisible": flag, "position": word("top", "right", "bottom", "left"), "showSingleSeries?": flag,
			"shouldTruncate?": flag, "maxLines?": number, "legendSize?": word("auto", "small", "medium", "large", "xlarge"),
		}),
		"fittingFunction?":              word("None", "Zero", "Linear", "Carry", "Lookahead", "Average", "Nearest"),
		"curveType?":                    word("LINEAR", "CURVE_MONOTONE_X", "CURVE_STEP_AFTER"),
		"axisTitlesVisibilitySettings?": sides, "tickLabelsVisibilitySettings?": sides, "gridlinesVisibilitySettings?": sides,
		"yLeftExtent?": extent, "yRightExtent?": extent, "yTitle?": text, "yRightTitle?": text, "xTitle?": text,
		"showCurrentTimeMarker?": flag, "fillOpacity?": number, "hideEndzones?": flag,
	})
}

func metricShape() shape {
	return record(keys{
		"layerId": text, "layerType": word("data"), "metricAccessor": text, "secondaryMetricAccessor?": text,
		"secondaryPrefix?": text, "maxAccessor?": text, "breakdownByAccessor?": text, "maxCols?": number,
		"subtitle?": text, "color?": text, "palette?": paletteShape(),
	})
}

func datatableShape() shape {
	return record(keys{
		"layerId": text, "layerType": word("data"),
		"columns": list(record(keys{
			"columnId": text, "isTransposed?": flag, "isMetric?": flag, "hidden?": flag, "oneClickFilter?": flag, "width?": number,
			"alignment?": word("left", "right", "center"), "colorMode?": word("none", "cell", "text"), "palette?": paletteShape(),
		})),
		"sorting?":   record(keys{"columnId?": text, "direction": word("asc", "desc", "none")}),
		"paging?":    record(keys{"enabled": flag, "size": number}),
		"rowHeight?": word("auto", "single", "custom"), "headerRowHeight?": word("auto", "single", "custom"),
	})
}

func heatmapShape() shape {
	return record(keys{
		"layerId": text, "layerType": word("data"), "shape": word("heatmap"),
		"xAccessor": text, "yAccessor?": text, "valueAccessor": text,
		"legend": record(keys{"isVisible": flag, "position": text, "type": word("heatmap_legend")}),
		"gridConfig": record(keys{
			"type": word("heatmap_grid"), "isCellLabelVisible": flag,
			"isXAxisLabelVisible": flag, "isXAxisTitleVisible": flag, "isYAxisLabelVisible": flag, "isYAxisTitleVisible": flag,
		}),
		"palette?": paletteShape(),
	})
}
