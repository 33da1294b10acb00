package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// object is a JSON object that knows the order of its keys.
type object struct {
	keys []string
	of   map[string]any
}

// parseJSON returns one JSON value: *object, []any, string, json.Number, bool, or nil.
func parseJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := parseValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows the value (%v)", err)
	}
	return v, nil
}

func parseValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := &object{of: map[string]any{}}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name := key.(string) // or Token had failed
			if _, twice := o.of[name]; twice {
				return nil, fmt.Errorf("key %q is there twice", name)
			}
			v, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			o.keys, o.of[name] = append(o.keys, name), v
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return token, nil
}

// comparer compares an answer with cAdvisor's to the same question about the same
// containers. What must be equal: keys and their order, types, which numbers, texts and
// arrays are there at all, all texts and truth values but those in volatile, and all
// numbers of a specification.
type comparer struct {
	// differ takes one difference: where, and what.
	differ func(where, what string)
}

var (
	// volatile texts and truth values are of a machine or of an instant. Whether a text is
	// empty isn't.
	volatile = regexp.MustCompile(`(\.machine_id|\.system_uuid|\.boot_id|\.vendor_id|\.kernel_version|\.container_os_version|\.mac_address|` +
		`\.disk_map\.\*\.(name|scheduler)|\.network_devices\[\]\.name|\.mountpoint|\.present|\.running_time|\[\]\.status|\[\]\.start_time|` +
		`\.network\.name|\.interfaces\[\]\.name|\.subcontainers\[\]\.name|\.process_name|\.container_name|\.docker\.swarm\.(node\.id|service\.id|task\.id|task\.name)|\.caches\[\]\.type|\.diskio\..*\.device)$`) // immutable
	// fractions may have a decimal point.
	fractions = regexp.MustCompile(`\.(avg10|avg60|avg300|percent_cpu|percent_mem)$`) // immutable
	// specified numbers are those of a container's specification.
	specified = regexp.MustCompile(`\.spec\.`) // immutable
	// ofNode is the limit that is the memory of a machine.
	ofNode = regexp.MustCompile(`^(\.spec\./|(\[/\])?\.spec)\.memory\.limit$`) // immutable
	// ordered arrays have the same elements at the same places, up to their numbers.
	ordered = regexp.MustCompile(`(\.stats|\.stats\./<[^>]*>|\.aliases|\.labels)$`) // immutable
	// byKey objects have keys that are data: each member is of the same kind.
	byKey = regexp.MustCompile(`(\.disk_map|\.(file|anon|unevictable))$`) // immutable
	// diskDevice is a block device of any machine.
	diskDevice = regexp.MustCompile(`^/dev/((vd|sd|nvme|xvd|mapper/|dm-|mmcblk)[^/]*)$`) // immutable
	// overlayDevice is cAdvisor's name for a mounted layer.
	overlayDevice = regexp.MustCompile(`^overlay_\d+-\d+$`) // immutable
)

func (c *comparer) compare(path string, want, got any) {
	if kind, is := kindOf(want), kindOf(got); kind != is {
		c.differ(path, fmt.Sprintf("%s, cAdvisor has %s", is, kind))
		return
	}
	switch want := want.(type) {
	case *object:
		c.compareObjects(path, want, got.(*object))
	case []any:
		c.compareArrays(path, want, got.([]any))
	case string:
		c.compareTexts(path, want, got.(string))
	case bool:
		if want != got && !volatile.MatchString(path) {
			c.differ(path, fmt.Sprintf("%v, cAdvisor has %v", got, want))
		}
	case json.Number:
		number := got.(json.Number)
		if specified.MatchString(path) && !ofNode.MatchString(path) && want != number {
			c.differ(path, fmt.Sprintf("%v, cAdvisor has %v", number, want))
		}
		if strings.ContainsAny(number.String(), ".eE-") && !fractions.MatchString(path) && !strings.ContainsAny(want.String(), ".eE-") {
			c.differ(path, fmt.Sprintf("%v, which is no whole number", number))
		}
	}
}

func (c *comparer) compareObjects(path string, want, got *object) {
	if byKey.MatchString(path) {
		if len(got.keys) == 0 || len(want.keys) == 0 {
			if len(got.keys) != len(want.keys) {
				c.differ(path, fmt.Sprintf("%d members, cAdvisor has %d", len(got.keys), len(want.keys)))
			}
			return
		}
		for _, key := range got.keys {
			c.compare(path+".*", want.of[want.keys[0]], got.of[key])
		}
		return
	}
	var both, same []string
	for _, key := range want.keys {
		if _, ok := got.of[key]; !ok {
			c.differ(path+"."+key, "missing")
			continue
		}
		both = append(both, key)
	}
	for _, key := range got.keys {
		if _, ok := want.of[key]; !ok {
			c.differ(path+"."+key, "cAdvisor has no such key")
			continue
		}
		same = append(same, key)
	}
	if !slices.Equal(both, same) {
		c.differ(path, fmt.Sprintf("keys in the order %q, in cAdvisor %q", same, both))
	}
	for _, key := range both {
		c.compare(path+"."+key, want.of[key], got.of[key])
	}
}

func (c *comparer) compareArrays(path string, want, got []any) {
	if ordered.MatchString(path) {
		if len(want) != len(got) {
			c.differ(path, fmt.Sprintf("%d elements, cAdvisor has %d", len(got), len(want)))
		}
		for i := range min(len(want), len(got)) {
			c.compare(path+"[]", want[i], got[i])
		}
		c.inOrder(path, got)
		return
	}
	if len(want) == 0 || len(got) == 0 {
		if len(want) != len(got) {
			c.differ(path, fmt.Sprintf("%d elements, cAdvisor has %d", len(got), len(want)))
		}
		return
	}
	// Elements that have a name are compared with that of the same name.
	named := map[string]any{}
	for _, v := range want {
		named[nameOf(v)] = v
	}
	seen := map[string]bool{}
	for _, v := range got {
		name := nameOf(v)
		seen[name] = true
		other, ok := named[name]
		if !ok {
			if inSets(path) {
				c.differ(path+"["+name+"]", "cAdvisor has no such element")
			}
			other = want[0]
		}
		place := path + "[]"
		if isContainer(v) {
			place = path + "[" + name + "]"
		}
		c.compare(place, other, v)
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		known := isContainer(named[name]) && (name == "/" || strings.HasPrefix(name, "/<"))
		if !seen[name] && (inSets(path) || known) {
			c.differ(path+"["+name+"]", "missing")
		}
	}
}

// inSets tells whether the names of an array's elements must be the same: not of what is a
// matter of the machine.
func inSets(path string) bool {
	return strings.HasSuffix(path, ".filesystem") || strings.HasSuffix(path, ".filesystems") || strings.HasSuffix(path, ".ulimits")
}

// nameOf returns what tells an element of an array from the others.
func nameOf(v any) string {
	o, ok := v.(*object)
	if !ok {
		return fmt.Sprint(v)
	}
	for _, key := range [...]string{"device", "event_type", "name", "cmd"} {
		if text, ok := o.of[key].(string); ok {
			return deviceClass(text)
		}
	}
	return ""
}

// deviceClass makes the devices of two machines the same.
func deviceClass(device string) string {
	switch {
	case diskDevice.MatchString(device):
		return "disk"
	case overlayDevice.MatchString(device):
		return "overlay"
	}
	return device
}

// inOrder checks that samples are from the oldest to the newest.
func (c *comparer) inOrder(path string, list []any) {
	last := time.Time{}
	for _, v := range list {
		o, ok := v.(*object)
		if !ok {
			return
		}
		text, ok := o.of["timestamp"].(string)
		if !ok {
			return
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || at.Before(last) {
			c.differ(path, fmt.Sprintf("what is of %s follows what is of %v (%v)", text, last, err))
		}
		last = at
	}
}

func (c *comparer) compareTexts(path, want, got string) {
	wanted, err := time.Parse(time.RFC3339Nano, want)
	if err == nil {
		at, err := time.Parse(time.RFC3339Nano, got)
		switch {
		case err != nil || at.Format(time.RFC3339Nano) != got || !strings.HasSuffix(got, "Z"):
			c.differ(path, fmt.Sprintf("%q, which is no time as %q is", got, want))
		case at.IsZero() != wanted.IsZero():
			c.differ(path, fmt.Sprintf("%q, cAdvisor has %q", got, want))
		}
		return
	}
	if strings.HasSuffix(path, ".aliases[]") {
		want, got = taskName(want), taskName(got)
	}
	if strings.HasSuffix(path, ".device") {
		want, got = deviceClass(want), deviceClass(got)
	}
	if want != got && (!volatile.MatchString(path) || want == "" || got == "") {
		c.differ(path, fmt.Sprintf("%q, cAdvisor has %q", got, want))
	}
}

func isContainer(v any) bool {
	o, ok := v.(*object)
	return ok && o.of["spec"] != nil
}

func kindOf(v any) string {
	switch v.(type) {
	case *object:
		return "an object"
	case []any:
		return "an array"
	case string:
		return "a text"
	case bool:
		return "a truth value"
	case json.Number:
		return "a number"
	}
	return "null"
}

// hexID is a container's id.
var hexID = regexp.MustCompile(`[0-9a-f]{64}`) // immutable

// identified puts names in place of ids and of the paths of containers' cgroups, which are
// "/docker/<id>" or "/system.slice/docker-<id>.scope". names has the ids' names.
func identified(text []byte, names map[string]string) []byte {
	inPath := regexp.MustCompile(`"(/[^"]*)?` + hexID.String() + `(\.scope)?"`)
	return inPath.ReplaceAllFunc(text, func(quoted []byte) []byte {
		id := string(hexID.Find(quoted))
		name := "<" + cmp.Or(names[id], "?"+id) + ">"
		if quoted[1] == '/' {
			name = "/" + name
		}
		return []byte(`"` + name + `"`)
	})
}

// namesIn returns the names of the containers of an answer by id.
func namesIn(text []byte) map[string]string {
	names := map[string]string{}
	for _, found := range regexp.MustCompile(`"aliases":\["([^"]+)","([0-9a-f]{64})"`).FindAllSubmatch(text, -1) {
		names[string(found[2])] = string(found[1])
	}
	return names
}

func TestComparer(t *testing.T) {
	f := func(want, got string, differences ...string) {
		t.Helper()
		w, err := parseJSON([]byte(want))
		if err != nil {
			t.Fatal(err)
		}
		g, err := parseJSON([]byte(got))
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		c := comparer{differ: func(where, what string) { found = append(found, where+": "+what) }}
		c.compare("", w, g)
		if !slices.Equal(found, differences) {
			t.Errorf("%s and %s: %q, want %q", want, got, found, differences)
		}
	}
	f(`{"a":1,"b":"x"}`, `{"a":2,"b":"x"}`)
	f(`{"a":1,"b":"x"}`, `{"b":"x","a":2}`, `: keys in the order ["b" "a"], in cAdvisor ["a" "b"]`)
	f(`{"a":1}`, `{"b":1}`, `.a: missing`, `.b: cAdvisor has no such key`)
	f(`{"a":null}`, `{"a":[]}`, `.a: an array, cAdvisor has null`)
	f(`{"a":[]}`, `{}`, `.a: missing`)
	f(`{"a":[]}`, `{"a":[1]}`, `.a: 1 elements, cAdvisor has 0`)
	f(`{"a":[{"b":1}]}`, `{"a":[{"b":1},{}]}`, `.a[].b: missing`)
	f(`{"a":1}`, `{"a":"1"}`, `.a: a text, cAdvisor has a number`)
	f(`{"a":1}`, `{"a":1.5}`, `.a: 1.5, which is no whole number`)
	f(`{"avg10":1}`, `{"avg10":1.5}`)
	f(`{"has_cpu":true}`, `{"has_cpu":false}`, `.has_cpu: false, cAdvisor has true`)
	f(`{"spec":{"cpu":{"quota":1}}}`, `{"spec":{"cpu":{"quota":2}}}`, `.spec.cpu.quota: 2, cAdvisor has 1`)
	f(`{"boot_id":"a"}`, `{"boot_id":"b"}`)
	f(`{"boot_id":"a"}`, `{"boot_id":""}`, `.boot_id: "", cAdvisor has "a"`)
	f(`{"t":"2026-11-22T11:04:48.51Z"}`, `{"t":"2027-11-22T11:04:48Z"}`)
	f(`{"t":"0001-01-01T00:00:00Z"}`, `{"t":"2027-11-22T11:04:48Z"}`, `.t: "2027-11-22T11:04:48Z", cAdvisor has "0001-01-01T00:00:00Z"`)
	f(`{"t":"2026-11-22T11:04:48.51Z"}`, `{"t":"2027-11-22T11:04:48.50Z"}`, `.t: "2027-11-22T11:04:48.50Z", which is no time as "2026-11-22T11:04:48.51Z" is`)
	f(`{"stats":[{"timestamp":"2026-11-22T11:04:48Z"},{"timestamp":"2026-11-22T11:04:49Z"}]}`,
		`{"stats":[{"timestamp":"2026-11-22T11:04:48Z"},{"timestamp":"2026-11-22T11:04:47Z"}]}`,
		`.stats: what is of 2026-11-22T11:04:47Z follows what is of 2026-11-22 11:04:48 +0000 UTC (<nil>)`)
	f(`{"stats":[1,2]}`, `{"stats":[1]}`, `.stats: 1 elements, cAdvisor has 2`)
	f(`{"filesystem":[{"device":"/dev/vda"},{"device":"overlay_0-1"}]}`, `{"filesystem":[{"device":"/dev/nvme0n1p1"}]}`, `.filesystem[overlay]: missing`)
	f(`[{"name":"/","spec":{}},{"name":"/<web>","spec":{}},{"name":"/other","spec":{}}]`, `[{"name":"/","spec":{}}]`, `[/<web>]: missing`)
	f(`{"disk_map":{"8:0":{"size":1}}}`, `{"disk_map":{"9:0":{"size":1},"9:1":{}}}`, `.disk_map.*.size: missing`)

	id := strings.Repeat("0f", 32)
	text := identified([]byte(`{"/docker/`+id+`":{"id":"`+id+`","name":"/system.slice/docker-`+id+`.scope","other":"`+strings.Repeat("1", 64)+`"}}`), map[string]string{id: "web"})
	if want := `{"/<web>":{"id":"<web>","name":"/<web>","other":"<?` + strings.Repeat("1", 64) + `>"}}`; string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
}
