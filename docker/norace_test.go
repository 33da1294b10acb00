//go:build !race

package docker

// raceEnabled says that the race detector slows and allocates.
const raceEnabled = false
