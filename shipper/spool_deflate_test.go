package shipper

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
)

// bodyOf returns documents of n containers with their action lines.
func bodyOf(n int) (documents [][]byte) {
	e := NewEncoder(documentOptions)
	b := Batch{prefix: "cadvisor", epoch: 0x1234567890abcdef, seq: 77}
	for _, w := range fleet(n) {
		documents = append(documents, append(e.AppendContainer(b.Action(w.Last.Time/1e6), documentNode, w), '\n'))
		b.docs++
		b.line = nil
	}
	return documents
}

// compressed returns the documents as one member, checked by the standard library.
func compressed(t testing.TB, d *deflater, documents ...[]byte) []byte {
	t.Helper()
	d.begin(nil, "why")
	for _, p := range documents {
		d.write(p)
	}
	member := d.end()
	unzip, err := gzip.NewReader(bytes.NewReader(member))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(unzip)
	want := bytes.Join(documents, nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes became %d: %v", len(want), len(got), err)
	}
	return member
}

func TestDeflate(t *testing.T) {
	var d deflater
	f := func(documents ...string) {
		t.Helper()
		var all [][]byte
		for _, text := range documents {
			all = append(all, []byte(text))
		}
		compressed(t, &d, all...)
	}
	f()
	f("")
	f("", "a", "")
	f(`{"a":1}`, `{"a":1}`)
	f(`{"a":1}`, `{"a":12}`, `{"a":1`, `{"a":1,"b":2}`, `{"b":2}`, ",", ":", ",,,::")
	f(`{"a":1,"b":2,"c":3}`, `{"a":1,"c":3}`, `{"a":1,"b":2,"c":3}`) // keys that are missing
	f(`{"c":1,"b":2}`, `{"b":2,"c":1}`)                              // another order
	f(`{"x":"tail"}`, `{"x":"tail of one that is longer","y":1}`, `{"x":"t"}`)
	monster := `{"labels":"` + strings.Repeat("large ", 60<<10) + `"}`
	f(`{"a":1}`, monster, `{"a":1}`, monster, monster)
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf(`{"@timestamp":%d,"name":"%x","n":%d}`, i*i, i*7919*7919*7919, i%7))
	}
	f(many...)
}

// A batch of documents is smaller than by a general compressor at the level that was used
// before.
func TestDeflateSize(t *testing.T) {
	documents := bodyOf(100)
	var d deflater
	compressed(t, &d, documents...) // the codes are those for documents of this length now
	size := len(compressed(t, &d, documents...))
	var other bytes.Buffer
	z, _ := kgzip.NewWriterLevel(&other, 3)
	for _, p := range documents {
		z.Write(p)
	}
	z.Close()
	t.Logf("%d bytes a document, %d by klauspost/compress at level 3", size/len(documents), other.Len()/len(documents))
	if size > other.Len() {
		t.Errorf("%d bytes, more than the %d of a general compressor", size, other.Len())
	}
}

func FuzzDeflate(f *testing.F) {
	f.Add(`{"a":1,"b":22}`, `{"a":1,"c":3,"b":22}`, `{"b":4}`)
	f.Add(",:", "::,,", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var d deflater
		compressed(t, &d, []byte(a), []byte(b), []byte(c), []byte(a+c), []byte(b))
	})
}

// BenchmarkDeflate compresses batches of a hundred documents, beside what did it before.
func BenchmarkDeflate(b *testing.B) {
	documents := bodyOf(100)
	perDocument := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(documents)), "ns/document")
	}
	b.Run("deflater", func(b *testing.B) {
		var d deflater
		var member []byte
		b.ReportAllocs()
		for b.Loop() {
			d.begin(member[:0], "")
			for _, p := range documents {
				d.write(p)
			}
			member = d.end()
		}
		perDocument(b)
	})
	b.Run("klauspost", func(b *testing.B) {
		z, _ := kgzip.NewWriterLevel(nil, 3)
		for b.Loop() {
			z.Reset(io.Discard)
			for _, p := range documents {
				z.Write(p)
			}
			z.Close()
		}
		perDocument(b)
	})
}
