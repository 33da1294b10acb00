package docker

import "testing"

func TestUnescape(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Unescape(in); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", in, got, want)
		}
	}
	f("", "")
	f("/system.slice/ssh.service", "/system.slice/ssh.service")
	f(`/system.slice/dev-disk-by\x2duuid-a.swap`, "/system.slice/dev-disk-by-uuid-a.swap")
	f(`/a\x2d\x2db`, "/a--b")
	f(`/umlaut-\xc3\xa4`, "/umlaut-ä")
	f(`/half-\xc3`, "/half-\ufffd")
	f(`/bell-\x07`, "/bell- ")
	f(`/short-\x2`, `/short-\x2`)
	f(`/other-\xzz\n`, `/other-\xzz\n`)
	f("/\xff\xff", "/\ufffd\ufffd")
}

func FuzzUnescape(f *testing.F) {
	f.Add(`/system.slice/dev-disk-by\x2duuid-a.swap`)
	f.Add(`/half-\xc3\xff`)
	f.Fuzz(func(t *testing.T, path string) {
		if got := Unescape(path); clean(got, len(got)) != got {
			t.Errorf("Unescape(%q) = %q isn't clean", path, got)
		}
	})
}
