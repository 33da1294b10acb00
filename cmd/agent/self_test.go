package main

import (
	"testing"
	"time"
)

func TestSelf(t *testing.T) {
	s := newSelf(nil)
	defer s.close()
	v := s.process()
	const mib, gib = 1 << 20, 1 << 30
	if v.CPU <= 0 || v.CPU > time.Hour || v.RSS < mib || v.RSS > gib || v.Goroutines < 2 || time.Since(v.Started) > time.Minute {
		t.Errorf("%+v", v)
	}
	if n := testing.AllocsPerRun(100, func() { s.process() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	s.close()
	if v := s.process(); v.RSS != 0 {
		t.Errorf("memory that can't be read is %d", v.RSS)
	}
}
