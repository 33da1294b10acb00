# Known work in Docker's containers, measured by two agents: one is a process of the
# machine, one a container with the mounts and rights of deploy/swarm-global.yml.
#
# The test that embeds this file puts the amounts before it, as variables. What it prints
# is in sections, each begun by a line "== name". A call of the docker command takes a
# second of an emulated processor, so there are few.
set -e

# Huge pages would round up what a program's own heap takes, once so and once so.
echo never > /sys/kernel/mm/transparent_hugepage/enabled

mkdir image
cp agent load image/
cp /usr/bin/busybox image/
tar -C image -c . | docker import --change 'ENTRYPOINT ["/agent"]' - known:1 > /dev/null

./agent -storage_driver=stdout -docker= -docker_only -node-name=host -port=8081 \
	-housekeeping_interval=1s -ship-interval=2s > process.documents 2> process.log &
process=$!
docker run --name gauge --hostname node --read-only --cap-drop ALL --memory 128m \
	--volume /proc:/host/proc:ro --volume /sys/fs/cgroup:/host/sys/fs/cgroup:ro \
	--volume /var/lib/docker/containers:/var/lib/docker/containers:ro --volume spool:/var/lib/swarmgauge \
	--env SWARMGAUGE_PROC_ROOT=/host/proc --env SWARMGAUGE_CGROUP_ROOT=/host/sys/fs/cgroup \
	--env SWARMGAUGE_DOCKER_ONLY=true known:1 \
	-storage_driver=stdout -housekeeping_interval=1s -ship-interval=2s > container.documents 2> container.log &
until [ -s process.documents ] && [ -s container.documents ]; do sleep 0.5; done

# begin NAME OPTIONS… IMAGE COMMAND… starts a container, waits until its work is done or
# prepared, and makes NAME a link to its cgroup.
begin() {
	name=$1
	id=$(docker run --detach --name "$@")
	ln -s /sys/fs/cgroup/system.slice/docker-$id.scope $name
	until grep -qs ready /var/lib/docker/containers/$id/$id-json.log; do sleep 0.2; done
}

begin idle --entrypoint /load known:1 hold 0
begin memory --memory $MEMORY_LIMIT --entrypoint /load known:1 hold $MEMORY
begin disk --device $DISK --entrypoint /busybox known:1 sh -c \
	"/load write $DISK $WRITES $WRITE_SIZE > /dev/null && /load read $DISK $READS $READ_SIZE && exec /busybox sleep 10000"
# Two devices in each interval, for some seconds.
begin disks --device $DISK --entrypoint /busybox known:1 sh -c \
	"for i in 1 2 3 4 5 6 7 8; do /busybox dd if=/dev/zero of=/file bs=64k count=4 conv=fsync; /load read $DISK 2 $READ_SIZE; /busybox sleep 0.5; done; exec /busybox sleep 10000"
begin server --entrypoint /load known:1 answer :9000
address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' server)
begin client --entrypoint /busybox known:1 sh -c \
	"/load ask $address:9000 $QUESTIONS $QUESTION_SIZE && exec /busybox sleep 10000"

# The agent's container sees where others are through ".." of its own namespace.
echo "== seen"
docker exec gauge /busybox cat /host/proc/$(head -n 1 server/cgroup.procs)/cgroup
echo "== health"
docker exec gauge /agent healthcheck && echo well

begin cpu --cpu-quota $CPU_QUOTA --cpu-period $CPU_PERIOD --entrypoint /load known:1 burn
echo "== inspect"
docker inspect idle memory disk server client cpu gauge
# Alone now, so that the quota is all that holds it back.
echo "== burning"
from=$(date +%s)
sleep $CPU_SECONDS
echo $from $(date +%s)

# Everything stands still (Go's run-time system would wake up now and then). The sweeps
# before and after see what the kernel says now.
names="idle memory disk server client cpu"
for name in $names; do
	echo 1 > $name/cgroup.freeze
done
sleep 4
echo "== kernel"
for name in $names; do
	grep . $name/cpu.stat $name/cpu.pressure $name/memory.stat $name/memory.pressure $name/io.stat $name/io.pressure $name/pids.current
	sed "s,^,$name/net/dev:," /proc/$(head -n 1 $name/cgroup.procs)/net/dev
done
sleep 3
docker stop gauge > /dev/null
kill $process
wait $process && echo "== status 0"
# A frozen container still receives what its bridge sends to all, so that the agents' last
# readings lie between two of the kernel's.
echo "== later"
sed "s,^,server/net/dev:," /proc/$(head -n 1 server/cgroup.procs)/net/dev
# Asked for all that there is, the agent shows systemd's units.
./agent collect json -docker= > units.documents 2> units.log
for agent in process container units; do
	echo "== $agent log"
	cat $agent.log
	echo "== $agent documents"
	gzip -c $agent.documents | base64
done
