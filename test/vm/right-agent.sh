# The kernel's word of the cgroup $container, and the agent's metrics, which is started with
# $agent_options. What is printed is in sections, each begun by a line "== name".
#
# The agent comes when all stands still, and reads everything at once.
echo 1 > $container/cgroup.freeze
busybox ip link set lo up
./agent $agent_options -docker= -podman= -containerd= \
	-node-name=right -spool-dir=/tmp/spool -listen_ip=127.0.0.1 -port=8085 > log 2>&1 &
agent=$!
tell() {
	for file in memory.events memory.stat memory.min memory.low memory.max memory.swap.max cpu.weight io.stat; do
		sed "s,^,right/$file:," $container/$file
	done
	sed s,^,root/memory.stat:, /sys/fs/cgroup/memory.stat
	sed s,^,diskstats:, /proc/diskstats
	sed s,^,meminfo:, /proc/meminfo
}
echo "== cgroup"
echo "${container#/sys/fs/cgroup}"
echo "== kernel"
tell
patience=100
until busybox wget -q -O metrics http://127.0.0.1:8085/metrics && grep -q "^container_memory_failcnt.*$CONTAINER_ID" metrics || [ $((patience -= 1)) = 0 ]; do sleep 1; done
echo "== metrics"
gzip -c metrics | base64
echo "== later"
tell
kill $agent
wait $agent && echo "== status 0"
echo "== log"
cat log
