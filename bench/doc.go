// Package bench measures the whole agent as it runs in production, on real containers
// and cgroups, and beside it the floor: what the kernel charges for reading the same
// files (floor.c). It has benchmarks and their tests only and nothing to import;
// README.md says how to run them, what the numbers mean, and what they were last.
package bench
