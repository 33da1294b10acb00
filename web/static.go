package web

import (
	"embed"
	"fmt"
	"mime"
	"net/http"
	"path"
)

// staticFiles are the files that pages need.
//
//go:embed static
var staticFiles embed.FS // immutable

// serveStatic answers with a file by its exact name, and with cAdvisor's words where there
// is none.
func serveStatic(w http.ResponseWriter, r *http.Request) {
	content, err := staticFiles.ReadFile(r.URL.Path[1:])
	if err != nil {
		http.Error(w, fmt.Sprintf("unknown static resource %q", r.URL.Path), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(r.URL.Path)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "max-age=3600")
	w.Write(content)
}
