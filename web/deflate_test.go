package web

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/swarmgauge/swarmgauge/collector"
	"github.com/swarmgauge/swarmgauge/metric"
)

// deflated returns an answer about r, and what becomes of it by compressing and inflating.
func deflated(t testing.TB, z *deflater, r collector.Readings) (text, inflated []byte) {
	t.Helper()
	c := newContainers(of(t, r))
	var out bytes.Buffer
	z.reset(&out)
	rest, err := c.append(t.Context(), nil, &requestOptions{idType: "name", maxAge: -1}, func(piece []byte) []byte {
		text = append(text, piece...)
		z.write(piece, c)
		c.marks = c.marks[:0]
		return piece[:0]
	})
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, rest...)
	z.write(rest, c)
	z.close()
	unzip, err := gzip.NewReader(&out)
	if err == nil {
		inflated, err = io.ReadAll(unzip)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text, inflated
}

// What was compressed is what it was, whatever labels there are and whoever has which numbers;
// the standard library inflates it, and checks its sum.
func TestDeflate(t *testing.T) {
	z := newDeflater()
	f := func(name string, r collector.Readings) {
		t.Helper()
		text, inflated := deflated(t, z, r)
		if !bytes.Equal(text, inflated) {
			at, _ := common(text, inflated)
			t.Errorf("%s: %d bytes became %d, the first %d of them the same: %.200q became %.200q", name, len(text), len(inflated), at, text[at:], inflated[at:])
		}
	}
	f("nobody", fleet(0))
	f("one", fleet(1))
	f("tasks", tasks(150)) // pieces, and families longer than the window
	gaps := tasks(60)
	for i := range gaps.Containers {
		if i%3 != 0 {
			gaps.Containers[i].Sample = metric.Sample{}
			gaps.Containers[i].Sample.Put(metric.MemoryUsage, uint64(i))
		}
	}
	f("gaps", gaps)
	large := fleet(20)
	for i := range large.Containers {
		c := *large.Containers[i].Container
		c.Labels = []metric.Label{{Key: "large", Value: strings.Repeat(fmt.Sprint(i), 40<<10)}, {Key: "same", Value: strings.Repeat("s", 1<<10)}}
		large.Containers[i].Container = &c
	}
	f("labels longer than the window", large)
	odd := fleet(3)
	c := *odd.Containers[1].Container
	c.Labels = []metric.Label{{Key: "a", Value: "\xff\n\"\\ä"}, {Key: "n", Value: ""}}
	c.Name = ""
	odd.Containers[1].Container = &c
	f("odd labels", odd)
}

func FuzzDeflate(f *testing.F) {
	f.Add("shop_web.1.abcdef|shop_web.2.ghijkl|abcdef", uint8(5))
	f.Add("\n|}|{|\xff", uint8(40))
	f.Fuzz(func(t *testing.T, values string, n uint8) {
		r := fleet(int(n % 50))
		list := strings.Split(values, "|")
		for i := range r.Containers {
			c := *r.Containers[i].Container
			c.Labels = nil
			for j := range len(list) {
				c.Labels = append(c.Labels, metric.Label{Key: fmt.Sprint("k", j%7), Value: list[(i*7+j*i)%len(list)]})
			}
			c.Name, c.Image = list[i%len(list)], list[i/2%len(list)]
			r.Containers[i].Container = &c
			if i%4 == 3 {
				r.Containers[i].Sample = metric.Sample{}
			}
		}
		if text, inflated := deflated(t, newDeflater(), r); !bytes.Equal(text, inflated) {
			t.Errorf("%d bytes became %d", len(text), len(inflated))
		}
	})
}
