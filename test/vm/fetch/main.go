// Command fetch sends requests to servers of this machine, for a test that compares the
// answers byte for byte: it reads a JSON object of name to address and request from its
// standard input and prints one of name to answer, from the status line to the last byte.
//
// It is a static program that needs no files, because it runs in virtual machines.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var requests map[string]struct{ Addr, Request string }
	if err := json.NewDecoder(in).Decode(&requests); err != nil {
		return err
	}
	answers := map[string][]byte{}
	for name, r := range requests {
		answer, err := exchange(r.Addr, r.Request)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		answers[name] = answer
	}
	return json.NewEncoder(out).Encode(answers)
}

// exchange returns what comes back until the server closes the connection, as the request
// has to ask for.
func exchange(addr, request string) ([]byte, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	return io.ReadAll(conn)
}
