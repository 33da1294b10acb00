// Command search is the fake Elasticsearch of estest on port 9200, for an emulated machine,
// which is too slow for a real one. It answers the stack file's health check, too, and to
// GET /documents with every document that it has, one in a line.
package main

import (
	"bufio"
	"log"
	"net/http"

	"github.com/swarmgauge/swarmgauge/shipper/estest"
)

func main() {
	fake := estest.New()
	http.Handle("/", fake)
	http.HandleFunc("GET /_cluster/health", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("GET /documents", func(w http.ResponseWriter, _ *http.Request) {
		lines := bufio.NewWriter(w)
		defer lines.Flush()
		for _, d := range fake.Documents() {
			lines.Write(d.Source)
			lines.WriteByte('\n')
		}
	})
	log.Fatal(http.ListenAndServe(":9200", nil))
}
