package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// waiter does something until it succeeds, or until it can't, and says what it waits for.
type waiter struct {
	out     io.Writer
	timeout time.Duration
	began   time.Time
}

const (
	waitSoon, waitLate = time.Second, 5 * time.Second
	// sayEvery is the time between two lines of progress that say the same.
	sayEvery = 15 * time.Second
)

// until calls do until it returns another error than notYet, or none.
func (w *waiter) until(ctx context.Context, what string, notYet error, do func() error) error {
	said, at := "", time.Time{}
	for wait := waitSoon; ; wait = min(2*wait, waitLate) {
		err := do()
		timedOut := errors.Is(ctx.Err(), context.DeadlineExceeded)
		switch {
		case err != nil && timedOut && said != "":
			return fmt.Errorf("gave up after %v: %s", w.timeout, said)
		case err != nil && timedOut:
			return fmt.Errorf("gave up after %v: %s didn't answer in time", w.timeout, what)
		case ctx.Err() != nil && err != nil:
			return ctx.Err()
		case !errors.Is(err, notYet):
			return err
		}
		if err.Error() != said || time.Since(at) >= sayEvery {
			said, at = err.Error(), time.Now()
			fmt.Fprintf(w.out, "waiting for %s (%v of %v): %s\n", what, time.Since(w.began).Round(time.Second), w.timeout, said)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
	}
}
