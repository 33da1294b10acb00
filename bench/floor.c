//go:build ignore
// (for the Go command, which refuses C files in a package without cgo)

// floor reads files again and again through descriptors that it keeps, and tells the
// CPU time that this took: the least that any program pays for these numbers, because
// nearly all of it is the kernel's work.
//
//     cc -O2 -o floor floor.c
//     floor INTERVAL_MS SWEEPS < LIST
//
// LIST has the path of one file a line; they are read in this order, each with one
// pread of 64 KiB, as the agent does. A sweep reads all of them once; one starts every
// INTERVAL_MS, so that caches are as cold and the kernel's pending per-CPU counts as
// many as an agent with that interval finds them. 0 means one after the other.
//
// It prints one line:
//
//     files 1400 sweeps 20 bytes 4200000 failed 0 cpu_ns 71234567
//
// bytes were read and failed reads happened in these sweeps. cpu_ns is user and system
// time of the whole process (CLOCK_PROCESS_CPUTIME_ID), waking up included; opening and
// two sweeps before the others are not in it.

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { UNMEASURED_SWEEPS = 2 };

static char buffer[64 << 10];

struct totals {
	uint64_t bytes, failed;
};

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t number(const char *text)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (end == text || *end || v < 0) {
		fprintf(stderr, "floor: \"%s\" is not a number\n", text);
		exit(2);
	}
	return v;
}

/* raise_limit makes room for as many descriptors as the system allows. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("setrlimit");
}

/* open_all opens every file of the list on standard input. */
static int *open_all(size_t *count)
{
	char *line = NULL;
	size_t size = 0, room = 0;
	ssize_t length;
	int *fds = NULL;

	*count = 0;
	while ((length = getline(&line, &size, stdin)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = 0;
		if (*count == room) {
			room = room ? 2 * room : 1024;
			fds = realloc(fds, room * sizeof *fds);
			if (!fds)
				die("realloc");
		}
		fds[*count] = open(line, O_RDONLY | O_CLOEXEC);
		if (fds[*count] < 0)
			die(line);
		++*count;
	}
	free(line);
	return fds;
}

static void sweep(const int *fds, size_t count, struct totals *t)
{
	for (size_t i = 0; i < count; i++) {
		ssize_t n = pread(fds[i], buffer, sizeof buffer, 0);

		if (n < 0)
			t->failed++;
		else
			t->bytes += n;
	}
}

/* wait_until sleeps to an instant of the monotonic clock, so that the time that a
 * sweep takes is part of the interval. */
static void wait_until(struct timespec *at, int64_t interval_ms)
{
	at->tv_sec += interval_ms / 1000;
	at->tv_nsec += interval_ms % 1000 * 1000000;
	if (at->tv_nsec >= 1000000000) {
		at->tv_sec++;
		at->tv_nsec -= 1000000000;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL) == EINTR)
		;
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t))
		die("clock_gettime");
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: floor INTERVAL_MS SWEEPS < LIST\n");
		return 2;
	}
	int64_t interval_ms = number(argv[1]), sweeps = number(argv[2]), begun = 0;
	struct totals totals = {0};
	struct timespec at;
	size_t count;

	raise_limit();
	int *fds = open_all(&count);

	if (clock_gettime(CLOCK_MONOTONIC, &at))
		die("clock_gettime");
	for (int64_t i = -UNMEASURED_SWEEPS; i < sweeps; i++) {
		if (i == 0) {
			totals = (struct totals){0};
			begun = cpu_ns();
		}
		if (interval_ms)
			wait_until(&at, interval_ms);
		sweep(fds, count, &totals);
	}
	printf("files %zu sweeps %lld bytes %llu failed %llu cpu_ns %lld\n", count, (long long)sweeps,
	       (unsigned long long)totals.bytes, (unsigned long long)totals.failed, (long long)(cpu_ns() - begun));
	return 0;
}
