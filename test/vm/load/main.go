// Command load makes work of an exactly known size, for a test that compares what was
// measured with what was done. Each command does one thing, says "ready" when it is done
// or prepared, and then, where there is something to keep, waits until it is killed:
//
//	load burn                       one core's worth of CPU time, all that it gets
//	load hold BYTES                 anonymous memory, each page of it written
//	load write DEVICE COUNT BYTES   writes of BYTES each, past the page cache
//	load read DEVICE COUNT BYTES    the same reading
//	load answer ADDRESS             a UDP server: each datagram gets 100 bytes back
//	load ask ADDRESS COUNT BYTES    datagrams of BYTES each, the next after the answer
//
// It is a static program that needs no files, because it runs in virtual machines and
// in images that have none.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch {
	case command == "burn" && len(args) == 0:
		ready()
		for i := 0; ; i++ { // what is burnt is all that matters
			_ = i
		}
	case command == "hold" && len(args) == 1:
		return hold(args[0])
	case (command == "write" || command == "read") && len(args) == 3:
		return transfer(command, args[0], args[1], args[2])
	case command == "answer" && len(args) == 1:
		return answer(args[0])
	case command == "ask" && len(args) == 3:
		return ask(args[0], args[1], args[2])
	}
	return errors.New("which command, and how much? burn; hold BYTES; write or read DEVICE COUNT BYTES; answer ADDRESS; ask ADDRESS COUNT BYTES")
}

func ready() { fmt.Println("ready") }

// wait waits to be killed. A bare select would be a deadlock to the runtime, which sees
// nobody who could wake it up.
func wait() {
	for {
		unix.Pause()
	}
}

// sizes returns numbers of the command line.
func sizes(texts ...string) ([]int, error) {
	var all []int
	for _, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a number", text)
		}
		all = append(all, n)
	}
	return all, nil
}

func hold(bytes string) error {
	n, err := sizes(bytes)
	if err != nil {
		return err
	}
	if n[0] > 0 {
		memory, err := unix.Mmap(-1, 0, n[0], unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return fmt.Errorf("mmap %d bytes: %w", n[0], err)
		}
		for i := 0; i < len(memory); i += unix.Getpagesize() {
			memory[i] = 1
		}
	}
	ready()
	wait()
	return nil
}

// transfer reads or writes from the start of the device on. Direct IO keeps the page
// cache out: each call is one operation of the device, by the calling process.
func transfer(command, device, count, bytes string) error {
	n, err := sizes(count, bytes)
	if err != nil {
		return err
	}
	call, flags := unix.Pread, unix.O_RDONLY
	if command == "write" {
		call, flags = unix.Pwrite, unix.O_WRONLY
	}
	fd, err := unix.Open(device, flags|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", device, err)
	}
	// Direct IO wants memory aligned to the device's blocks; pages are.
	buffer, err := unix.Mmap(-1, 0, n[1], unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("mmap %d bytes: %w", n[1], err)
	}
	for i := range n[0] {
		if done, err := call(fd, buffer, int64(i)*int64(n[1])); err != nil || done != n[1] {
			return fmt.Errorf("%s %s at %d: %d of %d bytes: %w", command, device, i*n[1], done, n[1], err)
		}
	}
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close %s: %w", device, err)
	}
	ready()
	return nil
}

// answerSize is the size of an answer's payload in bytes.
const answerSize = 100

// datagram is the largest payload that a UDP datagram can have.
const datagram = 65507

func answer(address string) error {
	socket, err := net.ListenPacket("udp4", address)
	if err != nil {
		return err
	}
	ready()
	buffer := make([]byte, datagram)
	for {
		_, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return err
		}
		if _, err := socket.WriteTo(buffer[:answerSize], from); err != nil {
			return err
		}
	}
}

func ask(address, count, bytes string) error {
	n, err := sizes(count, bytes)
	if err != nil {
		return err
	}
	conn, err := net.Dial("udp4", address)
	if err != nil {
		return err
	}
	question, got := make([]byte, n[1]), make([]byte, datagram)
	for i := range n[0] {
		// An answer that is late would make the number of datagrams uncertain, so
		// there is no second try.
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return err
		}
		if _, err := conn.Write(question); err != nil {
			return fmt.Errorf("question %d: %w", i, err)
		}
		if size, err := conn.Read(got); err != nil || size != answerSize {
			return fmt.Errorf("answer %d: %d bytes: %w", i, size, err)
		}
	}
	ready()
	return nil
}
