package docker

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/swarmgauge/swarmgauge/metric"
)

// What is kept of a container's labels. Labels are foreign text of any size: an image
// may carry a licence in one, and each is copied into every document.
const (
	maxLabelKey   = 128     // bytes
	maxLabelValue = 1 << 10 // bytes
	maxLabels     = 64
	maxLabelsSize = 16 << 10 // bytes, keys and values together
)

// maxText limits other texts that the engine tells: names, images.
const maxText = 1 << 10 // bytes

// labels returns what is kept of m, sorted by key: clean text, within the limits above.
// Who a container belongs to is kept first; of the rest, which labels are cut depends
// only on their keys and sizes, so that the result is the same each time.
func labels(m map[string]string) []metric.Label {
	keys := make([]string, 0, len(m))
	var others []string
	for key := range m {
		if belongs(key) {
			keys = append(keys, key)
		} else {
			others = append(others, key)
		}
	}
	slices.Sort(keys)
	slices.Sort(others)
	keys = append(keys, others...)
	var kept []metric.Label
	size := 0
	for _, key := range keys {
		if len(kept) == maxLabels {
			break
		}
		l := metric.Label{Key: clean(key, maxLabelKey), Value: clean(m[key], maxLabelValue)}
		// Two keys may have become the same one; the first in order stays.
		same := func(k metric.Label) bool { return k.Key == l.Key }
		if l.Key == "" || size+len(l.Key)+len(l.Value) > maxLabelsSize || slices.ContainsFunc(kept, same) {
			continue
		}
		size += len(l.Key) + len(l.Value)
		kept = append(kept, l)
	}
	slices.SortFunc(kept, func(a, b metric.Label) int { return cmp.Compare(a.Key, b.Key) })
	return kept
}

// belongs reports whether a label says which stack, service or project a container
// belongs to.
func belongs(key string) bool {
	return strings.HasPrefix(key, "com.docker.swarm.") ||
		strings.HasPrefix(key, "com.docker.stack.") ||
		strings.HasPrefix(key, "com.docker.compose.")
}

// clean returns s as valid UTF-8 of at most limit bytes, cut between characters: what is
// no UTF-8 becomes U+FFFD, a control character a space. The result doesn't keep a
// longer s in memory.
func clean(s string, limit int) string {
	ok := 0
	for ok < len(s) {
		r, n := utf8.DecodeRuneInString(s[ok:])
		if r == utf8.RuneError && n == 1 || isControl(r) || ok+n > limit {
			break
		}
		ok += n
	}
	if ok == len(s) {
		return s
	}
	b := make([]byte, ok, min(len(s), limit))
	copy(b, s)
	for _, r := range s[ok:] { // yields U+FFFD for each byte that is no UTF-8
		if isControl(r) {
			r = ' '
		}
		if len(b)+utf8.RuneLen(r) > limit {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

// isControl reports whether r could forge a line or steer a terminal: C0 without the
// tab, DEL, C1, and the characters that turn the direction of the text around them.
func isControl(r rune) bool {
	switch {
	case r < ' ':
		return r != '\t'
	case r < 0x7f:
		return false
	case r < 0xa0:
		return true
	}
	return 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}
