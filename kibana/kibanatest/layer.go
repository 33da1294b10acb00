package kibanatest

import (
	"fmt"
	"slices"
	"strings"
)

// layer is a layer of a chart that has the right shape.
type layer struct {
	Columns     map[string]column
	ColumnOrder []string
}

// column is a column of a layer, of whatever operation.
type column struct {
	OperationType, DataType, SourceField, Label string
	IsBucketed                                  bool
	References                                  []string
	Filter                                      query
	ReducedTimeRange, TimeShift                 string
	Params                                      struct {
		OrderBy     struct{ Type, ColumnID string }
		OrderAgg    *column
		SortField   string
		Formula     string
		TinymathAst any
	}
}

// Operations that the browser computes from other columns.
func (c *column) isReference() bool {
	switch c.OperationType {
	case "formula", "math", "normalize_by_unit", "static_value":
		return true
	}
	return false
}

// isPart tells whether the column belongs to a formula.
func (l *layer) isPart(id string) bool {
	for _, c := range l.Columns {
		if slices.Contains(c.References, id) {
			return true
		}
	}
	return false
}

// check looks at how the columns of the layer fit together.
func (l *layer) check(report reporter) {
	if order := slices.Sorted(slices.Values(l.ColumnOrder)); !slices.Equal(order, sortedKeys(l.Columns)) {
		report("columnOrder", fmt.Sprintf("is %v, the columns are %v", order, sortedKeys(l.Columns)))
		return
	}
	timed, bucketed, real, formula := false, false, false, false
	for i, id := range l.ColumnOrder {
		c := l.Columns[id]
		timed = timed || c.OperationType == "date_histogram"
		bucketed = bucketed || c.IsBucketed
		real = real || !c.IsBucketed && !c.isReference()
		formula = formula || c.OperationType == "formula"
		if c.IsBucketed != (c.OperationType == "date_histogram" || c.OperationType == "terms") {
			report("column "+id, "says wrongly whether it is a bucket")
		}
		if c.IsBucketed && i > 0 && !l.Columns[l.ColumnOrder[i-1]].IsBucketed {
			report("columnOrder", "has the bucket "+id+" behind a metric")
		}
	}
	if formula && bucketed && !real {
		report("columns", "have buckets and nothing that Elasticsearch computes in them")
	}
	for _, id := range l.ColumnOrder {
		c := l.Columns[id]
		inside := func(path, fault string) { report("column "+id+" "+path, fault) }
		for _, r := range c.References {
			if _, ok := l.Columns[r]; !ok {
				inside("references", r+", which isn't there")
			}
		}
		if timed && c.ReducedTimeRange != "" {
			inside("reducedTimeRange", "doesn't go with buckets of time")
		}
		switch c.OperationType {
		case "terms":
			l.checkTerms(&c, inside)
		case "normalize_by_unit":
			if !timed {
				inside("operationType", "needs buckets of time")
			}
			if len(c.References) != 1 {
				inside("references", "are not one")
			}
		case "formula":
			l.checkFormula(id, &c, inside)
		case "math":
			var leaves []string
			treeLeaves(c.Params.TinymathAst, &leaves)
			if !slices.Equal(slices.Sorted(slices.Values(leaves)), slices.Sorted(slices.Values(c.References))) {
				inside("references", fmt.Sprintf("are %v, the arithmetic needs %v", c.References, leaves))
			}
		}
	}
}

// checkTerms looks at what the groups are sorted by.
func (l *layer) checkTerms(c *column, report reporter) {
	switch by := c.Params.OrderBy; by.Type {
	case "custom":
		if c.Params.OrderAgg == nil {
			report("params", "lack orderAgg")
		}
	case "column":
		if other, ok := l.Columns[by.ColumnID]; !ok || other.IsBucketed || other.isReference() || other.OperationType == "last_value" {
			report("params", "can't be sorted by column "+by.ColumnID)
		}
	}
	if c.Params.OrderBy.Type != "custom" && c.Params.OrderAgg != nil {
		report("params", "have an orderAgg that isn't used")
	}
}

// checkFormula looks at whether the text of a formula and its parts say the same.
func (l *layer) checkFormula(id string, c *column, report reporter) {
	if len(c.References) != 1 {
		report("references", "are not one")
		return
	}
	for part, other := range l.Columns {
		if !strings.HasPrefix(part, id+"X") {
			continue
		}
		call := other.OperationType + "("
		if other.OperationType == "math" || other.OperationType == "static_value" {
			call = ""
		} else if field := other.SourceField; field != "" && field != "___records___" {
			call += field
		}
		if !strings.Contains(c.Params.Formula, call) {
			report("formula", fmt.Sprintf("%q has no %s…", c.Params.Formula, call))
		}
		if !l.isPart(part) {
			report("parts", part+" isn't used")
		}
	}
}

// treeLeaves adds the ids of columns in a tree of arithmetic.
func treeLeaves(tree any, ids *[]string) {
	switch node := tree.(type) {
	case string:
		*ids = append(*ids, node)
	case map[string]any:
		arguments, _ := node["args"].([]any)
		for _, argument := range arguments {
			treeLeaves(argument, ids)
		}
	}
}
