// Command kibana is the fake Kibana of kibanatest on port 5601, for tests that need one in a
// container. Every object that it is to import, it judges as Kibana's schemas do.
package main

import (
	"log"
	"net/http"

	"github.com/swarmgauge/swarmgauge/kibana/kibanatest"
)

// version is that of the stack file's image.
const version = "8.19.7"

func main() {
	fake := kibanatest.New(version)
	fake.Strict()
	log.Fatal(http.ListenAndServe(":5601", fake))
}
