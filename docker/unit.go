package docker

import "strings"

// Unescape returns a cgroup path as a person would write it: systemd's escapes in unit
// names, "\x2d" for "-" (systemd.unit(5), "String escaping for inclusion in unit
// names"), are resolved and what can't be printed is replaced as in labels. It is for
// display; the kernel knows the path only by its escaped form.
func Unescape(path string) string {
	if !strings.Contains(path, `\x`) {
		return clean(path, 3*len(path)) // U+FFFD takes three bytes
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+3 < len(path) && path[i+1] == 'x' && isHex(path[i+2]) && isHex(path[i+3]) {
			b = append(b, hexValue(path[i+2])<<4|hexValue(path[i+3]))
			i += 3
			continue
		}
		b = append(b, path[i])
	}
	return clean(string(b), 3*len(b))
}

// hexValue returns the value of a digit that isHex accepts.
func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}
