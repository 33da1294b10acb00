package kibanatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Field is what a mapping says of a field.
type Field struct {
	Type string
	// Unindexed fields can be aggregated and not be searched for.
	Unindexed bool
}

// Fields returns the fields of an index template by their dotted names.
func Fields(indexTemplate []byte) (map[string]Field, error) {
	var template struct {
		Template struct{ Mappings property }
	}
	if err := json.Unmarshal(indexTemplate, &template); err != nil {
		return nil, err
	}
	fields := map[string]Field{}
	template.Template.Mappings.collect("", fields)
	if len(fields) == 0 {
		return nil, errors.New("an index template without fields")
	}
	return fields, nil
}

// property is a field of a mapping, or an object of fields.
type property struct {
	Type       string
	Index      *bool
	Enabled    *bool
	Properties map[string]property
	Fields     map[string]property
}

func (p *property) collect(name string, fields map[string]Field) {
	if p.Type != "" && (p.Enabled == nil || *p.Enabled) {
		fields[name] = Field{Type: p.Type, Unindexed: p.Index != nil && !*p.Index}
	}
	for _, inner := range []map[string]property{p.Properties, p.Fields} {
		for key, q := range inner {
			q.collect(strings.TrimPrefix(name+"."+key, "."), fields)
		}
	}
}

// ValidateFields judges which fields the saved objects name, those that [Validate] has no
// fault with: that the mapping has them, and that they are of a type that fits what is
// done with them.
func ValidateFields(ndjson []byte, fields map[string]Field) error {
	objects, err := decode(ndjson)
	if err != nil {
		return err
	}
	c := fieldChecker{fields: fields, timeFields: map[string]string{}}
	for _, o := range objects {
		if o.Type == "index-pattern" {
			c.timeFields[o.ID] = o.Attributes.TimeFieldName
			c.check(o.ID+": timeFieldName", o.Attributes.TimeFieldName, "date")
		}
	}
	for _, o := range objects {
		if o.Type != "dashboard" {
			continue
		}
		panels, controls := o.parts()
		for _, id := range sortedKeys(controls) {
			c.check(o.ID+": control "+id, controls[id].ExplicitInput.FieldName, "keyword")
		}
		for i := range panels {
			c.checkChart(o.ID+": panel "+panels[i].PanelIndex, &panels[i].EmbeddableConfig.Attributes)
		}
	}
	return errors.Join(c.faults...)
}

// fieldChecker collects faults about fields.
type fieldChecker struct {
	fields     map[string]Field
	timeFields map[string]string // of data views
	faults     []error
}

func (c *fieldChecker) fault(path, format string, arguments ...any) {
	c.faults = append(c.faults, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, arguments...)))
}

// check wants the field to be of one of the types.
func (c *fieldChecker) check(path, name string, types ...string) {
	f, ok := c.fields[name]
	if !ok {
		c.fault(path, "the mapping has no field %q", name)
	} else if !slices.Contains(types, f.Type) {
		c.fault(path, "field %s is a %s, not a %s", name, f.Type, strings.Join(types, " or a "))
	}
}

// typesOf are the types of the mapping that Lens' types of data stand for.
func typesOf(dataType string) []string {
	switch dataType {
	case "string":
		return []string{"keyword"}
	case "number":
		return []string{"long", "float", "double"}
	}
	return []string{dataType} // date, boolean
}

func (c *fieldChecker) checkChart(path string, chart *lens) {
	c.checkQuery(path, chart.State.Query.Query)
	for i := range chart.State.Visualization.Layers {
		for _, a := range chart.State.Visualization.Layers[i].Annotations {
			c.checkQuery(path+" annotation "+a.ID, a.Filter.Query)
			if a.TimeField != "" {
				c.check(path+" annotation "+a.ID, a.TimeField, "date")
			}
		}
	}
	for id, l := range chart.State.DatasourceStates.FormBased.Layers {
		timeField := ""
		for _, r := range chart.References {
			if r.Name == "indexpattern-datasource-layer-"+id {
				timeField = c.timeFields[r.ID]
			}
		}
		for _, columnID := range l.ColumnOrder {
			column := l.Columns[columnID]
			c.checkColumn(path+" column "+columnID, &column, timeField)
		}
	}
}

func (c *fieldChecker) checkColumn(path string, column *column, timeField string) {
	c.checkQuery(path, column.Filter.Query)
	switch column.OperationType {
	case "date_histogram":
		c.check(path, column.SourceField, "date")
		if column.SourceField != timeField {
			c.fault(path, "time is %s, and the data view's is %s", column.SourceField, timeField)
		}
	case "terms":
		c.check(path, column.SourceField, typesOf(column.DataType)...)
		if column.Params.OrderAgg != nil {
			c.checkColumn(path+" order", column.Params.OrderAgg, timeField)
		}
	case "last_value":
		c.check(path, column.SourceField, typesOf(column.DataType)...)
		c.check(path, column.Params.SortField, "date")
	case "sum", "average", "max", "min", "median", "percentile":
		c.check(path, column.SourceField, typesOf("number")...)
	case "unique_count":
		c.check(path, column.SourceField, "keyword", "long", "date", "boolean")
	case "count":
		if column.SourceField != "___records___" {
			c.fault(path, "counts %s instead of documents", column.SourceField)
		}
	}
}

// quoted are texts in KQL, condition a field and what is wanted of it.
var (
	quoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	condition = regexp.MustCompile(`([\w@.]+)\s*(:\s*\*|[:<>]=?)`)
)

// checkQuery looks at the fields in a query. Fields that aren't indexed can only be asked
// whether they are there: Elasticsearch 7 refuses anything else.
func (c *fieldChecker) checkQuery(path, kql string) {
	for _, match := range condition.FindAllStringSubmatch(quoted.ReplaceAllString(kql, `""`), -1) {
		name, operator := match[1], match[2]
		f, ok := c.fields[name]
		switch {
		case !ok:
			c.fault(path, "the mapping has no field %q", name)
		case strings.HasSuffix(operator, "*"):
		case f.Unindexed:
			c.fault(path, "field %s can't be searched for", name)
		case strings.ContainsAny(operator, "<>") && !slices.Contains(typesOf("number"), f.Type) && f.Type != "date":
			c.fault(path, "field %s is a %s, which isn't larger or smaller", name, f.Type)
		}
	}
}
