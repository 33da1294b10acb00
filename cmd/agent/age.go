package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// age is how old something may become, in whole days if it is written so; 0 for no bound.
type age time.Duration

const day = 24 * time.Hour

// Set parses "30d", "720h" or "" for no bound.
func (a *age) Set(s string) error {
	if s == "" {
		*a = 0
		return nil
	}
	wrong := errors.New("an age is a number of days, such as 30d, or of hours, such as 720h, and at least a day")
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16) // 179 years
		if err != nil || n == 0 {
			return wrong
		}
		*a = age(n) * age(day)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < day {
		return wrong
	}
	*a = age(d)
	return nil
}

// String returns the age in days if it is of whole ones.
func (a *age) String() string {
	switch d := time.Duration(*a); {
	case d == 0:
		return ""
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	default:
		return d.String()
	}
}
