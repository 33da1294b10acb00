package shipper

import (
	"math/rand/v2"
	"time"
)

// backoff spaces attempts by full jitter: each wait is drawn evenly between zero and a
// ceiling that doubles from base to limit. Evenly from zero, because many agents lose
// the same server at the same instant and must not come back at the same instant. The
// zero value doesn't wait. It belongs to one goroutine.
type backoff struct {
	base, limit time.Duration
	ceiling     time.Duration
}

// next returns the wait before the next attempt. A floor above it, as a Retry-After
// asks for, replaces it, with jitter on top so that all who were told the same number
// don't obey it at once.
func (b *backoff) next(floor time.Duration) time.Duration {
	b.ceiling = min(max(b.base, 2*b.ceiling), b.limit)
	if b.ceiling <= 0 {
		return floor
	}
	wait := rand.N(b.ceiling)
	if wait < floor {
		return floor + wait/4
	}
	return wait
}

// reset makes the next wait a short one again.
func (b *backoff) reset() { b.ceiling = 0 }
