# A cgroup in which the numbers that cAdvisor gets wrong are none of them zero.
#
# The test that embeds this file puts the amounts before it, as variables, and
# right-agent.sh after it.
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
agent_options=-raw_cgroup_prefix_whitelist=/lab
