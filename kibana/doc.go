// Package kibana holds the dashboards: descriptions in Go from which come the saved
// objects that Kibana imports, and for each panel the searches that Kibana would send to
// Elasticsearch, and the table that it would make of the answers. It knows the names of
// fields and nothing of how documents are made; it doesn't ask Elasticsearch. Client and
// Setup bring the objects to Kibana, and know nothing of what is in them.
//
// Everything is made anew by each call and belongs to the caller.
//
// The formats are those of Kibana 8.9, the oldest that has all that is used here; newer
// ones migrate them.
package kibana

// Version is the version of the saved objects. It is raised with each change of them.
const Version = 1

// Ids of the saved objects. They are the same everywhere, so that an import replaces what
// an earlier one has made.
const (
	dataViewID       = "swarmgauge"
	legacyDataViewID = "swarmgauge-legacy"
	tagID            = "swarmgauge-tag"
)
