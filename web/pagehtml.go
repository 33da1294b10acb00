package web

// write writes the page as HTML.
func (p *page) write(m *markup) {
	m.html("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
	m.element("<title>", p.Title+" – "+p.Node.Name, "</title>\n")
	m.element(`<link rel="stylesheet" href="`, p.Prefix+staticPath+"/page.css", "\">\n</head>\n<body>\n<nav>")
	for _, l := range p.Trail {
		m.link(l.URL, "", l.Name)
		m.html(" / ")
	}
	m.link(p.Prefix+dockerPath+"/", "", "all Docker containers")
	m.html(" · ")
	m.link(p.Prefix+podmanPath+"/", "", "Podman")
	m.html(" · ")
	m.link(p.Prefix+validatePath+"/", "", "this machine")
	m.element("</nav>\n<h1>", p.Title, "</h1>\n")

	if len(p.Facts) > 0 {
		m.html("<table>\n")
		for _, f := range p.Facts {
			m.element("<tr><th>", f.Name, "</th>")
			m.element(`<td class="value">`, f.Value, "</td></tr>\n")
		}
		m.html("</table>\n")
	}
	for _, t := range p.Tables {
		t.write(m)
	}
	if len(p.Labels) > 0 {
		m.html("<h2>Labels</h2>\n<table>\n")
		for _, l := range p.Labels {
			m.element("<tr><th>", l.Key, "</th>")
			m.element(`<td class="value">`, l.Value, "</td></tr>\n")
		}
		m.html("</table>\n")
	}
	p.writeChildren(m)
	m.html("<footer>")
	if !p.At.IsZero() {
		m.element("As of ", p.At.Format("2006-01-02 15:04:05"), " UTC; CPU, network and disk over the last interval. Load the page again for newer numbers. ")
	}
	if p.JSON != "" {
		m.link(p.JSON, "", "As JSON")
		m.html(". ")
	}
	m.element("swarmgauge ", p.Version, "</footer>\n</body>\n</html>\n")
}

func (t *numbers) write(m *markup) {
	if len(t.Rows) == 0 {
		return
	}
	m.element("<h2>", t.Title, "</h2>\n<div class=\"wide\"><table>\n<tr><th></th>")
	writeCells(m, `<th class="n">`, t.Columns, "</th>")
	m.html("</tr>\n")
	for _, row := range t.Rows {
		m.element(`<tr><td class="name">`, row.Name, "</td>")
		writeCells(m, `<td class="n">`, row.Values, "</td>")
		m.html("</tr>\n")
	}
	m.html("</table></div>\n")
}

// writeChildren writes the table of what is below; a page that is about nothing else has it
// also if it is empty.
func (p *page) writeChildren(m *markup) {
	if len(p.Children) == 0 {
		if len(p.Facts) == 0 {
			m.element("<h2>", p.Heading, "</h2>\n<p>There are none.</p>\n")
		}
		return
	}
	m.element("<h2>", p.Heading, "</h2>\n<div class=\"wide\"><table>\n<tr><th>name</th><th>service</th><th>image</th>")
	writeCells(m, `<th class="n">`, childColumns[:], "</th>")
	m.html("</tr>\n")
	for _, c := range p.Children {
		m.html(`<tr><td class="name">`)
		m.link(c.URL, c.Path, c.Name)
		m.element(`</td><td class="value">`, c.Service, "</td>")
		m.element(`<td class="value">`, c.Image, "</td>")
		writeCells(m, `<td class="n">`, c.Values, "</td>")
		m.html("</tr>\n")
	}
	m.html("</table></div>\n")
}

func writeCells(m *markup, before constant, values []string, after constant) {
	for _, v := range values {
		m.element(before, v, after)
	}
}
