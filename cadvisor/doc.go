// Package cadvisor holds cAdvisor's frozen JSON as plain typed structs, filled from a
// metric.Sample by plain code: the v1 ContainerStats, which is both an element of the
// REST API's "stats" and the container_stats of a document in Elasticsearch.
//
// The layout is the one of cAdvisor's development head: keys, their order, and which of
// them are always there. A number that was not read prints the zero that cAdvisor would
// print; where cAdvisor's value is wrong (memory.failcnt and memory.kernel on cgroup v2,
// page faults of child cgroups, the host's disk counters shown as a container's) the
// right one stands under the same key.
//
// The package knows nothing of HTTP, Elasticsearch or files, and nothing of the fields
// that are our own. A ContainerStats belongs to one goroutine at a time.
package cadvisor
