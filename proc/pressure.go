package proc

import (
	"bytes"

	"github.com/swarmgauge/swarmgauge/metric"
)

// pressure is where the numbers of one pressure file go.
type pressure struct{ some, full stall }

// stall is where the fields of one line go.
type stall struct{ avg10, avg60, avg300, total metric.ID }

var (
	cpuPressure = pressure{
		stall{metric.PressureCPUSomeAvg10, metric.PressureCPUSomeAvg60, metric.PressureCPUSomeAvg300, metric.PressureCPUSome},
		stall{metric.PressureCPUFullAvg10, metric.PressureCPUFullAvg60, metric.PressureCPUFullAvg300, metric.PressureCPUFull},
	}
	memoryPressure = pressure{
		stall{metric.PressureMemorySomeAvg10, metric.PressureMemorySomeAvg60, metric.PressureMemorySomeAvg300, metric.PressureMemorySome},
		stall{metric.PressureMemoryFullAvg10, metric.PressureMemoryFullAvg60, metric.PressureMemoryFullAvg300, metric.PressureMemoryFull},
	}
	ioPressure = pressure{
		stall{metric.PressureIOSomeAvg10, metric.PressureIOSomeAvg60, metric.PressureIOSomeAvg300, metric.PressureIOSome},
		stall{metric.PressureIOFullAvg10, metric.PressureIOFullAvg60, metric.PressureIOFullAvg300, metric.PressureIOFull},
	}
)

func (p pressure) ids() []metric.ID {
	return []metric.ID{
		p.some.avg10, p.some.avg60, p.some.avg300, p.some.total,
		p.full.avg10, p.full.avg60, p.full.avg300, p.full.total,
	}
}

// parse parses a file of /proc/pressure (accounting/psi.rst): shares of time in percent
// over 10, 60 and 300 s, and the whole time in µs.
//
//	some avg10=0.00 avg60=0.61 avg300=2.05 total=28659034
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=0
//
// The cpu file has full since Linux 5.13; for a whole machine that is always 0, as some
// task runs whenever one waits.
func (p pressure) parse(b []byte, s *metric.Sample) (bad []byte) {
	for len(b) > 0 {
		line, rest, whole := cutLine(b)
		b = rest
		name, fields := cutField(line)
		ok := whole
		switch {
		case !whole:
		case string(name) == "some":
			ok = p.some.put(fields, s)
		case string(name) == "full":
			ok = p.full.put(fields, s)
		}
		if !ok {
			bad = firstOf(bad, line)
		}
	}
	return bad
}

// put puts the fields that it knows.
func (to stall) put(fields []byte, s *metric.Sample) bool {
	for {
		var field []byte
		if field, fields = cutField(fields); len(field) == 0 {
			return true
		}
		name, text, _ := bytes.Cut(field, []byte("="))
		var id metric.ID
		switch string(name) {
		case "avg10":
			id = to.avg10
		case "avg60":
			id = to.avg60
		case "avg300":
			id = to.avg300
		case "total":
			us, ok := number(text)
			if ok {
				us, ok = scaled(us, 1000)
			}
			if !ok {
				return false
			}
			s.Put(to.total, us)
			continue
		default:
			continue
		}
		v, ok := hundredths(text)
		if !ok {
			return false
		}
		s.Put(id, v)
	}
}
