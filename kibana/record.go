package kibana

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// What setup did is recorded in the description of our tag, which is written before anything
// else and after everything else:
//
//	swarmgauge assets 3 begun WK7Q: Qx
//	swarmgauge assets 3: Kf3xQw Qx 9aTb0p
//
// The number is the version of the assets, the word behind begun who has begun. Each object
// has two letters of its id and four of its stamp, or none for one that is a person's and
// left alone. An object whose stamp is another one now was changed by a person. A description
// may have 100 letters, so there is room for eleven objects.

const (
	recordBegin = "swarmgauge assets "
	idLetters   = 2
	letters     = 6
	personal    = "" // the stamp of an object that is left alone
)

// record is what is known of an earlier setup.
type record struct {
	version int
	begun   string            // by whom, and not ended; "" where it is
	stamps  map[string]string // by the letters of an object's id
}

// parseRecord reads a description.
func parseRecord(description string) (r record, ok bool) {
	rest, ok := strings.CutPrefix(description, recordBegin)
	if !ok {
		return r, false
	}
	head, list, ok := strings.Cut(rest, ":")
	if !ok {
		return r, false
	}
	head, r.begun, _ = strings.Cut(head, " begun ")
	version, err := strconv.Atoi(head)
	if err != nil || version < 1 {
		return r, false
	}
	r.version, r.stamps = version, make(map[string]string)
	for _, word := range strings.Fields(list) {
		if len(word) != letters && len(word) != idLetters {
			return r, false
		}
		r.stamps[word[:idLetters]] = word[idLetters:]
	}
	return r, true
}

// String returns the description.
func (r record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%d", recordBegin, r.version)
	if r.begun != "" {
		b.WriteString(" begun " + r.begun)
	}
	b.WriteByte(':')
	for _, id := range slices.Sorted(maps.Keys(r.stamps)) {
		b.WriteString(" " + id + r.stamps[id])
	}
	return b.String()
}

// shortHash returns the first letters of a hash.
func shortHash(n int, parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))[:n]
}

// letter returns the letters of an object's id.
func (k objectKey) letters() string { return shortHash(idLetters, []byte(k.Type), []byte(k.ID)) }

// stamp tells two states of an object apart. It is made of the time of the last change,
// which an upgrade of Kibana leaves as it is though it changes attributes. Of a data view it
// is made of the attributes, without the counts of how often a field was used, which Kibana
// writes there by itself.
func (o *saved) stamp() string {
	const n = letters - idLetters
	if o.Type != "index-pattern" && o.UpdatedAt != "" {
		return shortHash(n, []byte(o.UpdatedAt))
	}
	var attributes map[string]any
	if json.Unmarshal(o.Attributes, &attributes) != nil {
		return shortHash(n, o.Attributes, o.References)
	}
	if text, ok := attributes["fieldAttrs"].(string); ok {
		attributes["fieldAttrs"] = withoutCounts(text)
	}
	if attributes["fieldAttrs"] == "{}" {
		delete(attributes, "fieldAttrs")
	}
	canonical, err := json.Marshal(attributes)
	if err != nil {
		panic(err) // what was JSON a moment ago
	}
	return shortHash(n, canonical)
}

// withoutCounts returns the attributes of a data view's fields without their counts.
func withoutCounts(text string) string {
	var fields map[string]map[string]any
	if json.Unmarshal([]byte(text), &fields) != nil {
		return text
	}
	for name, attributes := range fields {
		delete(attributes, "count")
		if len(attributes) == 0 {
			delete(fields, name)
		}
	}
	canonical, err := json.Marshal(fields)
	if err != nil {
		panic(err) // what was JSON a moment ago
	}
	return string(canonical)
}
