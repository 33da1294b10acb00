# A cgroup in which the numbers that cAdvisor gets wrong are none of them zero, the kernel's
# word of them, and the agent's metrics.
#
# The test that embeds this file puts the amounts before it, as variables. What it prints
# is in sections, each begun by a line "== name".
set -e
lab=/sys/fs/cgroup/lab
container=$lab/$CONTAINER_ID
inside() {
	sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' $container "$@"
}

mkdir $lab
echo "+cpu +memory +io +pids" > $lab/cgroup.subtree_control
mkdir $container
echo $OOM_LIMIT > $container/memory.max
echo $((OOM_LIMIT / 2)) > $container/memory.low
echo $OOM_LIMIT > $container/memory.swap.max
echo 100 > $container/cpu.weight # what runtimes make of 1024 shares
inside ./load hold $((OOM_LIMIT / 4)) > held &
until grep -qs ready held; do sleep 0.1; done
inside ./load hold $((2 * OOM_LIMIT)) || true # is killed
inside ./load write $DISK $WRITES $WRITE_SIZE
inside ./load read $DISK $READS $READ_SIZE

# The agent comes when all stands still, and reads everything at once.
echo 1 > $container/cgroup.freeze
ip link set lo up
./agent -raw_cgroup_prefix_whitelist=/lab -docker= -docker_root=/payload/engine -podman= -containerd= \
	-node-name=right -spool-dir=/tmp/spool -listen_ip=127.0.0.1 -port=8080 > log 2>&1 &
agent=$!
tell() {
	for file in memory.events memory.stat memory.min memory.low memory.max memory.swap.max cpu.weight io.stat; do
		sed "s,^,right/$file:," $container/$file
	done
	sed s,^,root/memory.stat:, /sys/fs/cgroup/memory.stat
	sed s,^,diskstats:, /proc/diskstats
	sed s,^,meminfo:, /proc/meminfo
}
echo "== kernel"
tell
patience=100
until wget -q -O metrics http://127.0.0.1:8080/metrics && grep -q "^container_memory_failcnt.*$CONTAINER_ID" metrics || [ $((patience -= 1)) = 0 ]; do sleep 1; done
echo "== metrics"
gzip -c metrics | base64
echo "== later"
tell
kill $agent
wait $agent && echo "== status 0"
echo "== log"
cat log
