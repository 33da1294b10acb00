package cadvisor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/swarmgauge/swarmgauge/metric"
)

// UnmarshalJSON is needed here only, so that golden documents can be read strictly.
func (t *TCPAdvanced) UnmarshalJSON(text []byte) error {
	var counters map[string]int64
	if err := json.Unmarshal(text, &counters); err != nil {
		return err
	}
	if len(counters) != len(t) {
		return fmt.Errorf("%d counters, want %d", len(counters), len(t))
	}
	for i, name := range metric.TCPCounters {
		v, ok := counters[name]
		if !ok {
			return fmt.Errorf("no %s", name)
		}
		t[i] = v
	}
	return nil
}

// goldenStats returns every stats object of the real answers, compact.
func goldenStats(t testing.TB) []json.RawMessage {
	t.Helper()
	files, err := filepath.Glob("testdata/*-*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("testdata has %d golden answers (%v)", len(files), err)
	}
	var all []json.RawMessage
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = appendStats(t, all, text)
	}
	return all
}

// appendStats finds the values of "stats" (an array) and "container_stats" at any depth.
func appendStats(t testing.TB, all []json.RawMessage, text json.RawMessage) []json.RawMessage {
	t.Helper()
	switch text[0] {
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			all = appendStats(t, all, v)
		}
	case '{':
		var object map[string]json.RawMessage
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatal(err)
		}
		for key, v := range object {
			switch {
			case key == "container_stats":
				all = append(all, v)
			case key == "stats" && v[0] == '[':
				var list []json.RawMessage
				if err := json.Unmarshal(v, &list); err != nil {
					t.Fatal(err)
				}
				all = append(all, list...)
			default:
				all = appendStats(t, all, v)
			}
		}
	}
	return all
}

func TestGoldenRoundTrip(t *testing.T) {
	golden := goldenStats(t)
	if len(golden) < 14 {
		t.Fatalf("only %d stats in testdata", len(golden))
	}
	withDisk, withoutNetwork, withProcesses := 0, 0, 0
	for _, want := range golden {
		var v ContainerStats
		d := json.NewDecoder(bytes.NewReader(want))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, want)
		}
		if got := v.AppendJSON(nil); !bytes.Equal(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if len(v.DiskIO.IOServiced) > 0 {
			withDisk++
		}
		if v.Network == nil {
			withoutNetwork++
		}
		if v.Processes != nil && v.Network != nil && v.Network.TCPAdvanced[3] == -1 {
			withProcesses++
		}
	}
	if withDisk == 0 || withoutNetwork == 0 || withProcesses == 0 {
		t.Errorf("%d golden stats with disk IO, %d without network, %d with processes: nothing was proven of these", withDisk, withoutNetwork, withProcesses)
	}
}

// randomize fills every exported field below v with values that strain an encoder.
func randomize(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			zone := time.UTC
			if r.IntN(4) == 0 {
				zone = time.FixedZone("", (r.IntN(47)-23)*1800)
			}
			v.Set(reflect.ValueOf(time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).In(zone)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				randomize(r, v.Field(i))
			}
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			randomize(r, v.Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			randomize(r, v.Index(i))
		}
	case reflect.String:
		text := make([]byte, r.IntN(12))
		for i := range text {
			text[i] = byte(r.UintN(256))
		}
		v.SetString(string(text) + []string{"", "é", "\u2028", "<&>", "\x00\n", "\xe2\x80"}[r.IntN(6)])
	case reflect.Uint64:
		v.SetUint(r.Uint64() >> r.UintN(65))
	case reflect.Array:
		if r.IntN(3) > 0 {
			for i := range v.Len() {
				randomize(r, v.Index(i))
			}
		}
	case reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.UintN(65))
	case reflect.Int32:
		v.SetInt(int64(int32(r.Uint32())))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat([]float64{0, 0.01, 99.99, r.NormFloat64(), r.ExpFloat64() * 1e22, r.Float64() * 1e-9, -1e-7}[r.IntN(7)])
	default:
		panic("no random value for " + v.Type().String())
	}
}

func TestAppendJSONEqualsMarshal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var v ContainerStats
		randomize(r, reflect.ValueOf(&v).Elem())
		want, err := json.Marshal(&v)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.AppendJSON(nil); !bytes.Equal(got, want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "eth0", "a\"b\\c", "\x00\x1f\x7f", "\b\f\n\r\t", "<>&", "\u2028\u2029\u2027", "\xff\xe2\x80", "日本\ufffd", "\xf0\x9f\x98\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got := AppendString(nil, s)
		if !bytes.Equal(got, want) {
			t.Fatalf("%q: got %s, want %s", s, got, want)
		}
		if bytes.ContainsAny(got, "\n\r") || !utf8.Valid(got) {
			t.Fatalf("%q: %q is not one line of UTF-8", s, got)
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q came back as %q (%v)", s, back, err)
		}
	})
}
