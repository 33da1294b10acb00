// Package metric holds the words that every other package uses: the table of
// metrics (what is measured, in which unit, under which names), the Sample that
// carries one cgroup's numbers of one instant, and the Container, Node and Event
// that say whose numbers they are.
//
// It reads nothing, writes nothing and imports nothing of this module. A Container,
// Node or Event is immutable once it is handed over and may then be shared by any
// number of goroutines; a Sample, Window or History belongs to one goroutine at a time.
package metric
