package web

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
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

// All codes have fifteen bits at most, and leave none over.
func TestCodes(t *testing.T) {
	f := func(weights []int) {
		t.Helper()
		sum := 0.0
		seen := map[code]bool{}
		for symbol, c := range codes(weights) {
			if c.len == 0 || c.len > 15 || seen[c] {
				t.Errorf("symbol %d has %v", symbol, c)
			}
			seen[c] = true
			sum += 1 / float64(int(1)<<c.len)
		}
		if sum != 1 {
			t.Errorf("the codes make %v", sum)
		}
	}
	literals, distances := weights()
	f(literals[:])
	f(distances[:])
	f([]int{1, 1})
	f([]int{5, 1, 1, 1, 9})
}

// Matches of each length, and from each distance, are what they were.
func TestMatches(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, maxDistance)
	for i := range text {
		text[i] = byte(random.Uint32())
	}
	z := newDeflater()
	var out bytes.Buffer
	z.reset(&out)
	z.write(text, nil)
	match := func(n, back int) {
		piece := text[len(text)-back:][:n]
		z.copy(piece, int64(back))
		text = append(text, piece...)
	}
	for n := minMatch; n <= 2*maxMatch+10; n++ {
		match(n, 600+n)
	}
	for back := 1; back <= maxDistance; back += 1 + back/50 {
		match(min(back, 5), back)
	}
	match(5, maxDistance)
	z.endMatch()
	// The sum is of what write was given: the rest goes by the side.
	body := append([]byte(nil), out.Bytes()...)
	out.Reset()
	z.close()
	body = append(body, out.Bytes()...)
	unzip, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(unzip)
	if err != gzip.ErrChecksum || !bytes.Equal(got, text) {
		t.Errorf("%d bytes became %d, %v", len(text), len(got), err)
	}
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
