# Known work in bare cgroups, measured by an agent, on a kernel with nothing else.
#
# The test that embeds this file puts the amounts before it, as variables. What it prints
# is in sections, each begun by a line "== name".
set -e
lab=/sys/fs/cgroup/lab
container=$lab/$CONTAINER_ID

# inside CGROUP COMMAND… runs a command as a member of the cgroup.
inside() {
	group=$1
	shift
	sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

# await FILE waits until a command has written that it is ready.
await() {
	until grep -qs ready "$1"; do sleep 0.1; done
}

# Huge pages would round up what a program's own heap takes, once so and once so.
echo never > /sys/kernel/mm/transparent_hugepage/enabled

mkdir $lab
echo "+cpu +memory +io +pids" > $lab/cgroup.subtree_control
./agent -storage_driver=stdout -raw_cgroup_prefix_whitelist=/lab -docker= -docker_root=/payload/engine \
	-node-name=bare -housekeeping_interval=1s -ship-interval=2s > documents 2> log &
agent=$!
until [ -s documents ]; do sleep 0.1; done

mkdir $lab/idle $lab/memory $lab/disk $lab/oom $lab/pids $lab/cpu $container
echo $MEMORY_LIMIT > $lab/memory/memory.max
echo $OOM_LIMIT > $lab/oom/memory.max
echo $PIDS_LIMIT > $lab/pids/pids.max
echo "$CPU_QUOTA $CPU_PERIOD" > $lab/cpu/cpu.max

inside $lab/idle ./load hold 0 > idle &
await idle
inside $lab/memory ./load hold $MEMORY > memory &
await memory

inside $lab/disk ./load write $DISK $WRITES $WRITE_SIZE
inside $lab/disk ./load read $DISK $READS $READ_SIZE

# A container's network: a namespace that is joined with this one. Each side is told the
# other's hardware address and there is no IPv6, so that the only frames are those meant.
insmod ./veth.ko
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
unshare -n sh -c '
	echo $$ > "$0/cgroup.procs"
	echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
	until ip link show eth0 > /dev/null 2>&1; do sleep 0.1; done
	ip link set eth0 address 02:00:00:00:00:02
	ip address add 10.99.0.2/24 dev eth0
	ip link set eth0 up
	arp -s 10.99.0.1 02:00:00:00:00:01
	exec ./load answer 10.99.0.2:9000' $container > answer &
until read -r server < $container/cgroup.procs; do sleep 0.1; done
ip link add eth0 type veth # and its other end, veth0
ip link set veth0 address 02:00:00:00:00:01
ip address add 10.99.0.1/24 dev veth0
ip link set veth0 up
ip link set eth0 netns $server
await answer
arp -s 10.99.0.2 02:00:00:00:00:02
./load ask 10.99.0.2:9000 $QUESTIONS $QUESTION_SIZE

inside $lab/oom ./load hold $((2 * OOM_LIMIT)) || true # is killed

# The shell ends at the first fork that is refused; its children stay.
inside $lab/pids sh -c 'while true; do sleep 1000 & done' 2> /dev/null || true

# Alone, so that the quota is all that holds it back.
inside $lab/cpu ./load burn > cpu &
burner=$!
await cpu
from=$(date +%s)
sleep $CPU_SECONDS
to=$(date +%s)
echo 1 > $lab/cpu/cgroup.kill
wait $burner || true # the shell says here that it was killed
echo "== burning"
echo $from $to

# Everything stands still (Go's run-time system would wake up now and then). The sweeps
# before and after see what the kernel says now.
echo 1 > $lab/cgroup.freeze
sleep 4
echo "== kernel"
cd $lab
grep . */cpu.stat */cpu.pressure */memory.stat */memory.events */memory.pressure */io.stat */io.pressure */pids.current */pids.events
sed s,^,$CONTAINER_ID/net/dev:, /proc/$server/net/dev
cd /payload
# Forks refused are counted in a file that is read seldom.
patience=100
until grep -q '"container.pids.limit_hits":[1-9]' documents || [ $((patience -= 1)) = 0 ]; do sleep 1; done
rmdir $lab/disk $lab/oom $lab/cpu # their last documents
sleep 2
kill $agent
wait $agent && echo "== status 0"

# The clock is set forward and back under an agent of its own.
./agent -storage_driver=stdout -docker_only -docker= -docker_root=/payload/engine \
	-node-name=clock -housekeeping_interval=1s -ship-interval=1s > clock-documents 2> clock-log &
agent=$!
until [ -s clock-documents ]; do sleep 0.1; done
sleep 2
date -s @$(($(date +%s) + CLOCK_STEP)) > clock-date
sleep 3
date -s @$(($(date +%s) - CLOCK_STEP)) > clock-date
sleep 3
kill $agent
wait $agent
echo "== clock log"
cat clock-log
echo "== clock documents"
gzip -c clock-documents | base64
echo "== later"
sed s,^,$CONTAINER_ID/net/dev:, /proc/$server/net/dev
echo "== log"
cat log
echo "== documents"
gzip -c documents | base64
