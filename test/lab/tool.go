package lab

import (
	"os"
	"testing"
)

// Tool returns the path of a command that a test runs. Without it the test is skipped with the
// sentence that a person has to follow; with CI=true in the environment it fails, because
// `make test` installs all of them.
func Tool(tb testing.TB, command, debianPackage string) string {
	tb.Helper()
	path, err := lookPath(command)
	if err != nil {
		Lack(tb, "needs "+command+": run `sudo apt-get install "+debianPackage+"`")
	}
	return path
}

// Lack skips a test for the reason, or fails it with CI=true in the environment. It is for what
// `make test` sees to.
func Lack(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(why)
	}
	tb.Skip(why)
}
