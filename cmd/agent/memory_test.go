package main

import "testing"

func TestGrowth(t *testing.T) {
	f := func(used uint64, want int) {
		t.Helper()
		if got := growth(used); got != want {
			t.Errorf("a heap of %d bytes may grow by %d %%, want %d", used, got, want)
		}
	}
	f(0, 50)
	f(4<<20, 50)
	f(16<<20, 50)
	f(32<<20, 25)
	f(160<<20, 15)
	f(1<<40, 15)
}
