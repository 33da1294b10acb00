package faults

// A Row is one fault of the catalogue.
type Row struct {
	// Name is D for delivery and process, S for the spool's disk, C for collection,
	// and a number.
	Name string
	// Fault and Injection say what goes wrong, and how the test makes it go wrong.
	Fault, Injection string
	// Goal is what has to hold beside the invariant: every sample that was taken is in
	// Elasticsearch exactly once, or inside a gap whose count is exact; the agent never
	// panics, hangs, or needs to be cleaned up after; sampling keeps its schedule.
	Goal string
	// Open is what the test doesn't show of the goal, and what of it the agent does otherwise.
	Open string
}

// table is the catalogue, in the order of docs/reliability.md.
var table = []Row{
	{"D1", "kill -9, again and again", "1,000 kills 0.1 to 5 s apart at 500 documents a second, the server failing half of the time", "0 lost, 0 twice; first sample 500 ms after a restart at most", ""},
	{"D2", "kill -9 within publish and acknowledge", "strace kills the agent at each single system call of both", "0 lost, 0 twice, whichever call it was", ""},
	{"D3", "killed for want of memory, again and again", "a cgroup of 24 MiB, a backlog in the spool", "comes back each time; 40 MiB of memory at most where there is no limit", ""},
	{"D4", "stopped for ten minutes", "SIGSTOP, SIGCONT", "one gap with the exact number of sweeps, no burst", ""},
	{"D5", "Elasticsearch away for six hours", "500 documents a second, budget 2 GiB, faster than life", "0 lost; 8 MiB more memory at most; drained 20 times as fast as it came; new documents visible within 5 s", ""},
	{"D6", "an outage longer than the budget", "budget 64 MiB", "only the oldest dropped, told to the document", ""},
	{"D7", "stored, but the answer lost", "three requests of ten are carried out, then reset", "0 lost, 0 twice, all conflicts expected ones", ""},
	{"D8", "rollover during an outage", "the real server: index of the day, alias and data stream", "0 twice with the index of the day, with data streams and with those of time series", "Data streams and rollover aliases are refused, or named, and nothing is written to them: in them the same bytes are there twice after a rollover"},
	{"D9", "a server that swallows everything", "accepts connections and never answers; a stopped server", "99 of 100 sweeps begin within 20 ms, 2 hanging connections at most, delivered within 35 s", "The test measures for how long delivery keeps the loop that sweeps, which has a slot as late; how late sweeps of a whole agent begin beside a dead Elasticsearch is in bench/README.md"},
	{"D10", "a slow server", "10 kB/s, 30 s until it answers", "nothing grows beyond the spool, fresh documents still first", ""},
	{"D11", "a storm of 429 and 503", "30 minutes of them", "one request in 5 s at most, nothing buried", ""},
	{"D12", "some documents of each batch fail", "random statuses by document", "each document handled once, all through in 5 rounds", ""},
	{"D13", "one document of a hundred will never be accepted", "the real server, a strict mapping", "the others indexed, these buried with the reason, one request more at most", ""},
	{"D14", "all documents are refused", "the real server, a wrong template", "nothing buried; held, and degraded within 30 s; all delivered once it is mended", ""},
	{"D15", "full disk, read-only index, index deleted or closed", "the real server, by its settings", "held; delivering 60 s after it is mended; 0 lost", ""},
	{"D16", "credentials revoked, certificates replaced, secret files changed", "a server with TLS; files exchanged under the running agent", "held; delivering 15 s after it is mended, without a restart", ""},
	{"D17", "requests too large", "a limit of 64 KiB, by a server of the test in place of http.max_content_length", "smaller halves, twice the logarithm of requests at most", "Counted are the requests that are refused; as many as the parts need come beside them"},
	{"D18", "a name that doesn't resolve, an address that changes", "a name server of the test behind the agent's own resolver", "delivering 10 s after it is mended", ""},
	{"D19", "loss, disorder, a second of round trip", "a proxy that does to TCP what netem would have it make of 20 % of lost packets", "twice the rate of the documents at least", ""},
	{"D20", "two agents, one spool", "a second one started", "the second waits, and ends after 35 s at most", ""},
	{"D21", "upgrade and downgrade with a full spool", "the spools of other versions; files that only another version knows", "all delivered, unknown files left alone", ""},
	{"D22", "a machine cloned with its spool", "the directory copied, both run", "the split of the epoch detected; 0 _ids given out twice", "An epoch is of one run, so a clone never has the original's, and there is no split to be detected; that a clone delivers the same documents shows as expected conflicts, or, if it does so before the original, as unexpected ones"},
	{"D23", "Elasticsearch loses what it had acknowledged", "the real server with an asynchronous translog, killed", "a warning at start; replay restores all of its window", ""},

	{"S1", "a disk filled by others", "a file system of 24 MiB, ballast", "goes on in memory (16 MiB more at most), back within a sweep of the space; all losses counted", ""},
	{"S2", "no inodes, no quota", "a file system of 64 inodes; EDQUOT of one call by strace, in the test of S4", "goes on in memory (16 MiB more at most), back within a sweep of the inodes; all losses counted", ""},
	{"S3", "a disk that becomes read-only", "mount -o remount,ro", "in memory, degraded within a sweep, back within 10 s", ""},
	{"S4", "EIO of every call", "strace makes each of them fail", "no failed batch told as stored, a new file after a failure, nothing lost in silence", ""},
	{"S5", "an fsync of 30 seconds", "strace delays it", "99 of 100 samples within 20 ms of their slots; 120 intervals kept in memory", ""},
	{"S6", "power cut", "a file system in memory that forgets what wasn't synced: 10,000 states", "0 published batches lost, one interval at most that wasn't published, opening never fails", "The test knows published batches; how much a kill finds that wasn't published is measured in D1"},
	{"S7", "damaged files", "each byte flipped, each truncation, each page zeroed", "one batch lost at most, each one found and counted, none takes over a second", ""},
	{"S8", "what isn't the agent's in the spool", "links, directories, FIFOs, devices, two million entries, another owner", "refused or left alone, nothing waits, started within 2 s beside ten million entries", "Two million entries are what the test makes: to remove ten takes longer than all else together. Results of another number name it"},
	{"S9", "the spool deleted or replaced under the agent", "rm -rf, mv", "made anew with a new epoch, a gap tells what was in it", "The epoch is that of the run and stays, because no number is given out twice in one"},
	{"S10", "start with a full spool of 1 GiB", "18,000 files", "first sample after 500 ms, ready after 1 s, 5 MiB more memory at most", ""},

	{"C1", "cgroups that come and go", "200 a second, with processes", "no descriptor more, an error a minute at most, no document of a wrong id", ""},
	{"C2", "process ids used again", "a namespace with few of them, processes started in a storm", "no sample with numbers of somebody else in a million sweeps", "The full form lasts ten minutes, 6,000 sweeps of up to eight containers each, and knows somebody else's numbers by the name of a network interface"},
	{"C3", "10,000 cgroups", "made for real", "one core at most or a longer interval; 200 MiB, descriptors within the limit", ""},
	{"C4", "reads that hang", "50 files of a FUSE file system that hang", "the others measured on time, 32 waiting threads at most, back within a sweep", ""},
	{"C5", "a dead network file system", "a FUSE file system, in place of NFS, that doesn't answer", "no sweep notices", ""},
	{"C6", "trees of all kinds", "trees after captured and documented mounts, with captured files", "the documents expected", "Kernels that really have such trees are in virtual machines, in tests of their own: TestUnifiedKernelPackages, TestUnifiedKernelBare and TestUnifiedKernelSystemdDocker"},
	{"C7", "kernel files that make no sense", "empty, one byte, 64 MiB, random, fields to come, CRLF", "absent and counted, never zero", ""},
	{"C8", "a clock that jumps", "an hour, a year, 1970, a leap second, suspend: clocks of the test", "_ids unique, one event, no index outside of the years", "The shipper's test has the names of documents, and records nothing; TestUnifiedKernelPackages sets the clock of a virtual machine"},
	{"C9", "monstrous labels", "a megabyte, 10,000 of them, bad UTF-8, NUL, line ends, markup", "one valid line a document, the mapping as it was, pages without what the markup would do", ""},
	{"C10", "engine files that make no sense", "torn, 100 MB, 100,000 deep, FIFO or link instead", "5 ms each, numbers shipped without names", ""},
	{"C11", "limits of descriptors, threads and memory", "64 files, 16 threads by a cgroup, GOMEMLIMIT of 8 MiB", "less measured, not dead", ""},
	{"C12", "what engines do", "restart, pause, rename, update, an engine that is away or elsewhere", "what happened told exactly, no negative flow", ""},
}
