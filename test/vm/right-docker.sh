# A container of Docker in which the numbers that cAdvisor gets wrong are none of them zero.
#
# The test that embeds this file puts the amounts before it, as variables, and
# right-agent.sh after it.
set -e
mkdir image
cp load image/
cp /usr/bin/busybox image/
tar -C image -c . | docker import - known:1 > /dev/null

# The first load is killed, the second one stays.
CONTAINER_ID=$(docker run --detach --name right --memory $OOM_LIMIT --memory-reservation $((OOM_LIMIT / 2)) \
	--memory-swap $((2 * OOM_LIMIT)) known:1 /busybox sh -c "/load hold $((2 * OOM_LIMIT)); /load hold $((OOM_LIMIT / 4)); /busybox sleep 1000")
until [ "$(docker logs right 2> /dev/null | grep -c ready)" = 1 ]; do sleep 0.5; done
container=/sys/fs/cgroup/system.slice/docker-$CONTAINER_ID.scope
agent_options=-docker_only
