package cgroup

import "github.com/swarmgauge/swarmgauge/metric"

// unlimited is where v1's memory limits mean "no limit": the kernel counts pages in a
// signed long and prints LONG_MAX rounded down to a page, 9223372036854771712 with
// pages of 4 KiB and less with larger ones.
const unlimited = 1 << 62

// parseNumber parses a file of one number, for example memory.current:
//
//	11886592
//
// A limit may instead be "max" (v2, pids of both), "-1" (v1 cpu.cfs_quota_us) or very
// large (v1 memory), which mean that there is none: the number is absent then.
func (k *sink) parseNumber(b []byte, r *row) (bad int) {
	if r.limit && (string(b) == "max\n" || string(b) == "-1\n") {
		return parsed
	}
	v, next := number(b, 0)
	if next == 0 || !at(b, next, '\n') || next+1 != len(b) {
		return 0
	}
	if r.limit && v >= unlimited || r.zeroIsNone && v == 0 {
		return parsed
	}
	v, ok := scaled(v, r.keys[0].scale)
	if !ok {
		return 0
	}
	k.put(r.keys[0].to, v)
	return parsed
}

// parseQuota parses v2's cpu.max, quota and period in µs (cgroup-v2.rst, "CPU
// Interface Files"); without a limit the quota is the word max:
//
//	20000 100000
func (k *sink) parseQuota(b []byte, quota, period metric.ID) (bad int) {
	q, next := uint64(0), 0
	limited := !hasPrefixAt(b, 0, "max")
	if limited {
		q, next = number(b, 0)
	} else {
		next = len("max")
	}
	if next == 0 || !at(b, next, ' ') {
		return 0
	}
	start := next + 1
	p, next := number(b, start)
	if next == start || !at(b, next, '\n') || next+1 != len(b) {
		return start
	}
	if limited {
		k.put(quota, q)
	}
	k.put(period, p)
	return parsed
}

// maxCPUs bounds the numbers of CPUs; the kernel's own bound (CONFIG_NR_CPUS) is 8192.
const maxCPUs = 1 << 16

// parseList parses a list of CPUs, ascending, and puts how many they are and the list
// itself into the sample (cpuset.cpus.effective, v1 cpuset.effective_cpus):
//
//	0-3,8
//
// An empty list, a lone newline, is a cpuset that was not set up yet: absent.
func (k *sink) parseList(b []byte, count metric.ID) (bad int) {
	s := k.sample
	if string(b) == "\n" {
		s.CPUSet = ""
		return parsed
	}
	cpus := uint64(0)
	for i, least := 0, uint64(0); ; {
		first, next := number(b, i)
		if next == i || first < least {
			return i
		}
		last := first
		if at(b, next, '-') {
			start := next + 1
			if last, next = number(b, start); next == start || last < first {
				return i
			}
		}
		if last >= maxCPUs || next >= len(b) {
			return i
		}
		cpus += last - first + 1
		least = last + 1
		if b[next] == '\n' && next+1 == len(b) {
			break
		}
		if b[next] != ',' {
			return i
		}
		i = next + 1
	}
	if list := b[:len(b)-1]; s.CPUSet != string(list) {
		s.CPUSet = string(list)
	}
	k.put(count, cpus)
	return parsed
}

// parsePerCPU parses v1's cpuacct.usage_percpu, ns for each possible CPU in the order
// of their numbers, with a blank after each (cgroup-v1/cpuacct.rst), and puts their sum
// into total:
//
//	3124379 8535394
//
// A CPU that is possible but not there has 0, as the kernel prints it.
func (k *sink) parsePerCPU(b []byte, to, total metric.ID) (bad int) {
	i, sum := 0, uint64(0)
	for cpu := 0; cpu < maxCPUs; cpu++ {
		v, next := number(b, i)
		if next == i || next >= len(b) || sum+v < sum {
			return i
		}
		sum += v
		k.sample.PutRow(to, k.numberedRow(metric.PerCPU, cpu), v)
		if b[next] == ' ' {
			next++
		}
		if at(b, next, '\n') && next+1 == len(b) {
			k.put(total, sum)
			return parsed
		}
		if b[next-1] != ' ' {
			return i
		}
		i = next
	}
	return i
}
