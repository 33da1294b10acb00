package lab

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Crowd is clients of an agent that ask for too much at once, or take too long.
type Crowd struct {
	leave   context.CancelFunc
	clients sync.WaitGroup

	mu      sync.Mutex // guards answers
	answers map[string]int
}

// crowd has n clients ask again and again, with a pause after each time. What ask tells is
// the status, or in a word what became of the connection.
func crowd(n int, pause time.Duration, ask func(ctx context.Context, client int, told func(answer string))) *Crowd {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Crowd{leave: cancel, answers: map[string]int{}}
	for client := range n {
		c.clients.Go(func() {
			for ctx.Err() == nil {
				ask(ctx, client, c.told)
				sleep(ctx, pause)
			}
		})
	}
	return c
}

func (c *Crowd) told(answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[answer]++
}

// Answers returns how often the clients got what.
func (c *Crowd) Answers() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.answers)
}

// Leave ends all clients and returns what they got, in one line.
func (c *Crowd) Leave() string {
	c.leave()
	c.clients.Wait()
	answers := c.Answers()
	var parts []string
	for _, answer := range slices.Sorted(maps.Keys(answers)) {
		parts = append(parts, fmt.Sprintf("%s %d times", answer, answers[answer]))
	}
	return strings.Join(parts, ", ")
}

// OpenStreams has n clients want a stream of events. Who gets one keeps it, who doesn't asks
// again after some seconds.
func OpenStreams(address string, n int) *Crowd {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return crowd(n, 5*time.Second, func(ctx context.Context, _ int, told func(string)) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1.3/events/?stream=true", nil)
		if err != nil {
			told(err.Error())
			return
		}
		response, err := client.Do(request)
		if err != nil {
			if ctx.Err() == nil {
				told("cut off")
			}
			return
		}
		defer response.Body.Close()
		told(response.Status)
		io.Copy(io.Discard, response.Body)
	})
}

// SendSlowly has n clients send a request a byte at a time, until they are cut off.
func SendSlowly(address string, n int) *Crowd {
	return crowd(n, 100*time.Millisecond, func(ctx context.Context, _ int, told func(string)) {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			if ctx.Err() == nil {
				told("no connection")
			}
			return
		}
		defer conn.Close()
		request := io.MultiReader(strings.NewReader("GET /metrics HTTP/1.1\r\nHost: agent\r\nX-Slow: "), endless('x'))
		for b := make([]byte, 1); ctx.Err() == nil; sleep(ctx, 200*time.Millisecond) {
			request.Read(b) // never fails
			if _, err := conn.Write(b); err != nil {
				told("cut off")
				return
			}
		}
	})
}

// SendMuch has n clients send bodies of 16 MiB: half of them say how much will come.
func SendMuch(address string, n int) *Crowd {
	const size = 16 << 20
	return crowd(n, 50*time.Millisecond, func(ctx context.Context, client int, told func(string)) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/api/v1.3/docker", io.LimitReader(endless('0'), size))
		if err != nil {
			told(err.Error())
			return
		}
		if client%2 == 0 {
			request.ContentLength = size
		}
		response, err := http.DefaultClient.Do(request)
		switch {
		case err == nil:
			response.Body.Close()
			told(response.Status)
		case ctx.Err() == nil: // who is still sending may not get to read the answer
			told("cut off")
		}
	})
}

// endless is an endless text of one character.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}
