package web

import (
	"html"
	"strings"
)

// markup is HTML in the making. Everything that isn't written in the code is escaped:
// elements are constants, and what stands in and between them goes through text, which
// is right between elements and in attributes in double quotes.
//
// html/template does that and much more; it makes the program three megabytes larger,
// because the linker can't leave out methods that a template might call.
type markup struct{ b strings.Builder }

// constant is HTML that stands in the code. A string variable doesn't become one by itself.
type constant string

func (m *markup) html(c constant) { m.b.WriteString(string(c)) }

func (m *markup) text(s string) { m.b.WriteString(html.EscapeString(s)) }

// link writes a link to a path of this server. It never leads elsewhere, nor to a script: an
// address that doesn't begin with one slash isn't written, and a backslash is another one to
// browsers.
func (m *markup) link(path, title, text string) {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.HasPrefix(path, `/\`) {
		m.text(text)
		return
	}
	m.html(`<a href="`)
	m.text(path)
	if title != "" {
		m.html(`" title="`)
		m.text(title)
	}
	m.html(`">`)
	m.text(text)
	m.html(`</a>`)
}

func (m *markup) element(before constant, s string, after constant) {
	m.html(before)
	m.text(s)
	m.html(after)
}
