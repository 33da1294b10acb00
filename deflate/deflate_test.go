package deflate

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"testing"
)

// evenCodes are made for nothing in particular.
func evenCodes() *Codes {
	var literals [NumLiterals]int
	var distances [NumDistances]int
	for i := range literals {
		literals[i] = 1 + i%7
	}
	for i := range distances {
		distances[i] = 1
	}
	return NewCodes(&literals, &distances)
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
	steep := make([]int, NumLiterals)
	for i := range steep {
		steep[i] = 1
	}
	steep[0], steep[1], steep[2] = 1000, 300, 100
	f(steep)
	f([]int{1, 1})
	f([]int{5, 1, 1, 1, 9})
}

// Matches of each length, and from each distance, are what they were.
func TestMatches(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, MaxDistance)
	for i := range text {
		text[i] = byte(random.Uint32())
	}
	var z Writer
	z.Reset(nil, evenCodes(), "what for")
	z.Literal(text)
	match := func(n, back int) {
		piece := text[len(text)-back:][:n]
		z.Copy(piece, int64(back))
		text = append(text, piece...)
	}
	for n := 1; n <= 2*maxMatch+10; n++ {
		match(n, 600+n)
	}
	for back := 1; back <= MaxDistance; back += 1 + back/50 {
		match(min(back, 5), back)
	}
	match(5, MaxDistance)
	match(5, MaxDistance)
	z.Sum(text)
	if z.Size() != int64(len(text)) {
		t.Errorf("the size is %d, want %d", z.Size(), len(text))
	}
	unzip, err := gzip.NewReader(bytes.NewReader(append(bytes.Clone(z.Take()), z.Close()...)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(unzip)
	if err != nil || !bytes.Equal(got, text) || unzip.Comment != "what for" {
		t.Errorf("%d bytes became %d, comment %q, %v", len(text), len(got), unzip.Comment, err)
	}
}

func TestCommon(t *testing.T) {
	a := []byte("the quick brown fox jumps over the lazy dog")
	for n := range a {
		for m := range len(a) - n {
			b := bytes.Clone(a[:n+m])
			if m > 0 {
				b[n]++
			}
			if got := Common(a, b); got != n {
				t.Errorf("%d bytes of %q in common, want %d", got, b, n)
			}
		}
	}
}
