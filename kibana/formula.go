package kibana

import (
	"strconv"
	"strings"
)

// text returns v as a formula of Lens.
func (v *Value) text() string {
	switch v.op {
	case opNumber:
		return formatNumber(v.number)
	case opAdd, opSubtract, opMultiply, opDivide:
		sign := map[string]string{opAdd: " + ", opSubtract: " - ", opMultiply: " * ", opDivide: " / "}[v.op]
		return v.parts[0].operand() + sign + v.parts[1].operand()
	case opFloor:
		return "floor(" + v.parts[0].text() + ")"
	}
	name := v.op
	if v.isLast() {
		name = "last_value"
	}
	var arguments []string
	if v.op != opCount {
		arguments = append(arguments, v.field)
	}
	if v.op == opPercentile {
		arguments = append(arguments, "percentile="+strconv.Itoa(v.percentile))
	}
	if v.where.op != "" {
		arguments = append(arguments, "kql='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v.where.String())+"'")
	}
	if v.window != "" {
		arguments = append(arguments, "reducedTimeRange='"+v.window+"'")
	}
	if v.shift != "" {
		arguments = append(arguments, "shift='"+v.shift+"'")
	}
	return name + "(" + strings.Join(arguments, ", ") + ")"
}

// operand returns v as a part of arithmetic.
func (v *Value) operand() string {
	switch v.op {
	case opAdd, opSubtract, opMultiply, opDivide:
		return "(" + v.text() + ")"
	}
	return v.text()
}

// addFormula adds the column of a formula, before it those of its parts: one for each
// aggregation, and one for the arithmetic, which Lens keeps as a tree whose leaves are
// numbers and the ids of the other columns.
func (c *columns) addFormula(id string, m *Metric) {
	part := partMaker{columns: c, id: id, label: "Part of " + m.Label}
	root := part.add(&m.Value)
	if _, isColumn := root.(string); !isColumn {
		root = part.addColumn(part.math(root))
	}
	params := object{"formula": m.Value.text(), "isFormulaBroken": false}
	if format := m.Unit.format(); format != nil {
		params["format"] = format
	}
	c.add(id, object{
		"label": m.Label, "customLabel": true,
		"operationType": "formula",
		"dataType":      "number", "isBucketed": false, "scale": "ratio",
		"params": params, "references": []any{root},
	})
}

// partMaker makes the columns that a formula is made of.
type partMaker struct {
	columns *columns
	id      string // of the formula's column
	label   string
	n       int // how many there are
}

// addColumn adds a part's column and returns its id.
func (p *partMaker) addColumn(column object) string {
	id := p.id + "X" + strconv.Itoa(p.n)
	p.n++
	p.columns.add(id, column)
	return id
}

// add adds the columns of v, and returns what stands for it in a tree: a column's id, a
// number, or the tree of arithmetic.
func (p *partMaker) add(v *Value) any {
	switch v.op {
	case opNumber:
		return v.number
	case opAdd, opSubtract, opMultiply, opDivide:
		return object{
			"type": "function", "name": v.op,
			"args": []any{p.add(&v.parts[0]), p.add(&v.parts[1])},
			"text": v.text(),
		}
	case opFloor:
		return object{"type": "function", "name": v.op, "args": []any{p.add(&v.parts[0])}, "text": v.text()}
	}
	return p.addColumn(p.columns.layer.aggregationColumn(v, p.label, None))
}

// math returns the column of a tree of arithmetic.
func (p *partMaker) math(tree any) object {
	return object{
		"label": p.label, "customLabel": true,
		"operationType": "math",
		"dataType":      "number", "isBucketed": false, "scale": "ratio",
		"params": object{"tinymathAst": tree}, "references": leaves(tree),
	}
}

// leaves returns the ids of columns in a tree, each once.
func leaves(tree any) []string {
	var ids []string
	switch node := tree.(type) {
	case string:
		ids = append(ids, node)
	case object:
		for _, argument := range node["args"].([]any) {
			ids = append(ids, leaves(argument)...)
		}
	}
	return ids
}
