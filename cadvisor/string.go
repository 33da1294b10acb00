package cadvisor

import "unicode/utf8"

// AppendString appends s as a JSON string exactly as encoding/json does by default: the
// characters <, >, &, U+2028 and U+2029 are escaped too, and what is not UTF-8 becomes
// U+FFFD. The result has no control characters, hence no line breaks.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		size := 1
		var escape [6]byte
		escaped := escape[:0]
		switch {
		case c == '"' || c == '\\':
			escaped = append(escaped, '\\', c)
		case c == '\b':
			escaped = append(escaped, '\\', 'b')
		case c == '\f':
			escaped = append(escaped, '\\', 'f')
		case c == '\n':
			escaped = append(escaped, '\\', 'n')
		case c == '\r':
			escaped = append(escaped, '\\', 'r')
		case c == '\t':
			escaped = append(escaped, '\\', 't')
		case c < utf8.RuneSelf:
			escaped = append(escaped, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				escaped = append(escaped, `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				escaped = append(escaped, `\u202`...)
				escaped = append(escaped, hex[r&15])
			default:
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, escaped...)
		i += size
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// plain tells which bytes stand for themselves in a string.
var plain = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		switch c {
		case '"', '\\', '<', '>', '&':
		default:
			plain[c] = true
		}
	}
	return plain
}()
