package main

import (
	"slices"
	"testing"
)

func TestWithoutMemoryProfile(t *testing.T) {
	f := func(environ, want []string) {
		t.Helper()
		before := slices.Clone(environ)
		if got := withoutMemoryProfile(environ); !slices.Equal(got, want) {
			t.Errorf("%q became %q, want %q", environ, got, want)
		}
		if !slices.Equal(environ, before) {
			t.Errorf("%q was changed to %q", before, environ)
		}
	}
	f(nil, []string{"GODEBUG=memprofilerate=0"})
	f([]string{"A=b"}, []string{"A=b", "GODEBUG=memprofilerate=0"})
	f([]string{"GODEBUG="}, []string{"GODEBUG=memprofilerate=0"})
	f([]string{"GODEBUG=gctrace=1", "A=b"}, []string{"GODEBUG=gctrace=1,memprofilerate=0", "A=b"})
	f([]string{"GODEBUG=memprofilerate=1"}, []string{"GODEBUG=memprofilerate=1"})
}
