package cgroup

import "github.com/swarmgauge/swarmgauge/metric"

// parsePressure parses cpu.pressure, memory.pressure or io.pressure (accounting/psi.rst,
// Linux 4.20): shares of time in percent over 10, 60 and 300 s, and total in µs:
//
//	some avg10=60.59 avg60=43.22 avg300=13.45 total=44659628
//	full avg10=60.59 avg60=43.20 avg300=13.44 total=44627027
//
// cpu.pressure has the line full since Linux 5.13 only. The IDs from first on are the
// total of some and its three averages, then the same of full.
func (k *sink) parsePressure(b []byte, first metric.ID) (bad int) {
	if len(b) == 0 {
		return 0
	}
	for i := 0; i < len(b); {
		next := nextLine(b, i)
		if next < 0 {
			return i
		}
		line := b[:next]
		switch {
		case hasPrefixAt(line, i, "some "):
			bad = k.parseStall(line, i+len("some "), first)
		case hasPrefixAt(line, i, "full "):
			bad = k.parseStall(line, i+len("full "), first+4)
		default:
			bad = parsed
		}
		if bad != parsed {
			return bad
		}
		i = next
	}
	return parsed
}

// parseStall parses the fields of one line from b[i:] on; b ends with the line.
func (k *sink) parseStall(b []byte, i int, total metric.ID) (bad int) {
	for n, field := range [...]string{"avg10=", "avg60=", "avg300="} {
		if !hasPrefixAt(b, i, field) {
			return i
		}
		v, next := hundredths(b, i+len(field))
		if !at(b, next, ' ') {
			return i
		}
		k.put(total+1+metric.ID(n), v)
		i = next + 1
	}
	if !hasPrefixAt(b, i, "total=") {
		return i
	}
	start := i + len("total=")
	v, next := number(b, start)
	v, ok := scaled(v, nsPerMicrosecond)
	if next == start || !ok || !at(b, next, '\n') && !at(b, next, ' ') {
		return i
	}
	k.put(total, v)
	return parsed
}

// hundredths parses a number with two decimals at b[i:] into hundredths of one;
// without one, next is i.
func hundredths(b []byte, i int) (v uint64, next int) {
	whole, point := number(b, i)
	if point == i || !at(b, point, '.') {
		return 0, i
	}
	cents, next := number(b, point+1)
	v, ok := scaled(whole, 100)
	if next != point+3 || !ok || v+cents < v {
		return 0, i
	}
	return v + cents, next
}
