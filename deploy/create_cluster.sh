#!/bin/sh
# A Docker Swarm of several nodes on one machine, each node a container with an engine of its
# own, with swarmgauge, Elasticsearch, Kibana and a small application that makes load.
set -eu

usage() {
	cat <<'END'
Usage: create_cluster.sh [up] [options]    make the cluster, or what is missing of it
       create_cluster.sh destroy           remove what it made, and nothing else

  --nodes N            workers beside the manager (default 4)
  --no-kibana          without Kibana
  --no-elasticsearch   without Elasticsearch and Kibana; SWARMGAUGE_ES_HOST names the one to use
  --no-demo            without the application
  --no-socket          agents without the engine's socket of their node, as swarm-global.yml has
                       them: panels about the Swarm's services, nodes and tasks stay empty then.
                       With it (socket.yml), who takes an agent over rules its node, and where nodes
                       are privileged this machine
  --offline            ask no registry: images are there, or are made on this machine
  --privileged WHEN    nodes with --privileged: yes, no, or auto (default), where the engine allows it
  --listen ADDRESS     where ports of this machine are published (default 127.0.0.1)
  --force              even if the memory won't suffice
  --timeout SECONDS    how long everything may take to work once it is deployed (default 600)

Images, from the environment: NODE_IMAGE (docker:dind; any with an engine will do),
ELASTICSEARCH_IMAGE, KIBANA_IMAGE, DEMO_IMAGE (busybox:1.36), and SWARMGAUGE_IMAGE (built
from this checkout). What an engine lacks is pulled. Where no registry answers, root on Debian
makes them: a node by debootstrap, an Elasticsearch (without most modules) from Maven
Central, the agent with Go. A Kibana can't be made so.
END
}

label=swarmgauge.cluster
name=swarmgauge # begins the names of containers and volumes
network=swarmgauge-cluster
stack=gauge
demo_stack=demo

here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
began=$(date +%s)

say() { printf '%4ds  %s\n' "$(($(date +%s) - began))" "$*"; }
die() {
	echo "create_cluster: $*" >&2
	exit 1
}

# ---- What is asked for ------------------------------------------------------------------

action=up workers=4 kibana=yes elasticsearch=yes demo=yes socket=yes offline=no privileged=auto
listen=127.0.0.1 force=no timeout=600
while [ $# -gt 0 ]; do
	case $1 in
	up | destroy) action=$1 ;;
	--no-kibana) kibana=no ;;
	--no-elasticsearch) elasticsearch=no kibana=no ;;
	--no-demo) demo=no ;;
	--no-socket) socket=no ;;
	--offline) offline=yes ;;
	--force) force=yes ;;
	--nodes | --privileged | --listen | --timeout)
		[ $# -gt 1 ] || die "$1 needs a value; --help lists all options"
		case $1 in
		--nodes) workers=$2 ;;
		--privileged) privileged=$2 ;;
		--listen) listen=$2 ;;
		--timeout) timeout=$2 ;;
		esac
		shift
		;;
	-h | --help | help)
		usage
		exit
		;;
	*) die "there is no \"$1\"; --help lists all options" ;;
	esac
	shift
done
is_number() { case $1 in '' | *[!0-9]* | ?????*) return 1 ;; esac }
is_number "$workers" || die "--nodes takes a number, not \"$workers\""
is_number "$timeout" || die "--timeout takes seconds, not \"$timeout\""
case $privileged in yes | no | auto) ;; *) die "--privileged is yes, no or auto, not \"$privileged\"" ;; esac
[ "$elasticsearch" = yes ] || [ -n "${SWARMGAUGE_ES_HOST:-}" ] ||
	die "with --no-elasticsearch, SWARMGAUGE_ES_HOST has to name the one to use: SWARMGAUGE_ES_HOST=http://elastic.example:9200 $0 …"
if [ "$elasticsearch" = yes ]; then
	unset SWARMGAUGE_ES_HOST # the cluster's own
fi

# ---- The engine -------------------------------------------------------------------------

check_engine() {
	command -v docker >/dev/null ||
		die "the command docker is missing: install Docker (https://docs.docker.com/engine/install/, on Debian: apt-get install docker.io)"
	if ! said=$(docker version --format '{{.Server.Version}}' 2>&1); then
		case $said in
		*"permission denied"*) die "you may not use the Docker engine: run this as root (sudo $0), or become a member of the group docker" ;;
		*) die "no Docker engine answers at ${DOCKER_HOST:-the usual socket}: start it (sudo systemctl start docker), or name another one in DOCKER_HOST. Docker says: $(echo "$said" | tr '\n' ' ')" ;;
		esac
	fi
}

check_memory() {
	# Elasticsearch has a heap of 512 MiB and takes twice that; so does Kibana.
	need=$(((workers + 1) * 200))
	[ "$elasticsearch" = no ] || need=$((need + 1200))
	[ "$kibana" = no ] || need=$((need + 1200))
	have=$(($(docker info --format '{{.MemTotal}}') / 1048576))
	[ "$have" -ge "$need" ] || [ "$force" = yes ] ||
		die "the engine's machine has $have MiB of memory, and about $need are needed: take fewer nodes (--nodes 1) or --no-kibana, or try with --force"
}

# ---- Removing ---------------------------------------------------------------------------

# made lists what carries this script's label.
made() { docker "$@" --quiet --filter "label=$label"; }

destroy() {
	removed=
	for kind in container volume network image; do
		case $kind in
		container) ids=$(made $kind ls --all) ;;
		*) ids=$(made $kind ls | sort -u) ;; # an image has several names
		esac
		[ -n "$ids" ] || continue
		case $kind in
		container) options="--force --volumes" ;;
		image) options=--force ;; # with all its names
		*) options= ;;
		esac
		# shellcheck disable=SC2086 # lists of words
		docker $kind rm $options $ids >/dev/null
		# shellcheck disable=SC2086
		number=$(echo $ids | wc -w)
		[ "$number" = 1 ] || kind=${kind}s
		removed="$removed $number $kind,"
	done
	if [ -z "$removed" ]; then
		echo "There is no cluster to remove."
	else
		echo "Removed:${removed%,}. Images that were pulled stay."
	fi
}

# ---- Images -----------------------------------------------------------------------------

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# obtain gets an image from the engine or a registry.
obtain() {
	has_image "$1" && return
	[ "$offline" = no ] || return
	say "Pulling $1"
	docker pull "$1" && return
	say "It can't be pulled; from here on, no registry is asked."
	offline=yes
	return 1
}

# make_image makes one of the kinds of images that need no registry.
make_image() {
	made_image=swarmgauge-cluster/$1
	has_image "$made_image" && return
	if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
		die "no registry answers, and only root on Debian can make the image \"$1\" without one: load it into the engine, and name it in $2"
	fi
	say "Making the image $made_image (downloads at the first time)"
	(cd "$repo" && "$(.ci/go)" run ./test/lab/cmd/lab image "$1" "$made_image" "LABEL $label=image") ||
		die "the image \"$1\" could not be made: see above; or name an image that the engine has in $2"
}

# build_agent makes the agent's image from the checkout. Its tag is its content, so that
# Swarm sees a change.
build_agent() {
	built=swarmgauge-cluster/agent
	version=$(git -C "$repo" describe --tags --dirty --always 2>/dev/null || true)
	if [ "$offline" = no ]; then
		say "Building the agent's image (minutes at the first time)"
		if ! docker build --quiet --label $label=image --build-arg "VERSION=$version" --tag $built "$repo" >/dev/null; then
			say "It can't be built in Docker; from here on, no registry is asked."
			offline=yes
		fi
	fi
	if [ "$offline" = yes ]; then
		say "Building the agent with Go"
		go=$("$repo/.ci/go")
		command -v make >/dev/null || die "the command make is missing; on Debian: apt-get install make"
		make -s -C "$repo" build "GO=$go" >/dev/null
		context=$temp/agent
		mkdir -p "$context/etc/ssl/certs"
		cp "$repo/bin/agent" "$context/"
		if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
			cp /etc/ssl/certs/ca-certificates.crt "$context/etc/ssl/certs/"
		else
			: >"$context/etc/ssl/certs/ca-certificates.crt"
		fi
		# The Dockerfile's last stage, which takes what the one before it has built.
		sed -n '/^FROM scratch/,$s/^COPY --from=build /COPY /; /^FROM scratch/,$p' "$repo/Dockerfile" >"$context/Dockerfile"
		DOCKER_BUILDKIT=0 docker build --quiet --label $label=image --tag $built "$context" >"$log" 2>&1 ||
			die "the agent's image could not be built: $(cat "$log")"
	fi
	id=$(docker image inspect --format '{{.Id}}' $built)
	SWARMGAUGE_IMAGE=$built:$(printf %.12s "${id#sha256:}")
	docker tag $built "$SWARMGAUGE_IMAGE"
}

get_images() {
	if [ -z "${NODE_IMAGE:-}" ]; then
		NODE_IMAGE=docker:dind
		obtain $NODE_IMAGE || { make_image node NODE_IMAGE && NODE_IMAGE=$made_image; }
	else
		obtain "$NODE_IMAGE" || die "the engine has no image $NODE_IMAGE, and it can't be pulled"
	fi
	if [ -z "${SWARMGAUGE_IMAGE:-}" ]; then
		build_agent
	else
		obtain "$SWARMGAUGE_IMAGE" || die "the engine has no image $SWARMGAUGE_IMAGE, and it can't be pulled"
	fi
	if [ "$elasticsearch" = yes ]; then
		if [ -z "${ELASTICSEARCH_IMAGE:-}" ]; then
			ELASTICSEARCH_IMAGE=$(image_of elasticsearch)
			obtain "$ELASTICSEARCH_IMAGE" || { make_image elasticsearch ELASTICSEARCH_IMAGE && ELASTICSEARCH_IMAGE=$made_image; }
		else
			obtain "$ELASTICSEARCH_IMAGE" || die "the engine has no image $ELASTICSEARCH_IMAGE, and it can't be pulled"
		fi
	fi
	if [ "$kibana" = yes ]; then
		KIBANA_IMAGE=${KIBANA_IMAGE:-$(image_of kibana)}
		obtain "$KIBANA_IMAGE" || {
			say "There is no Kibana: its image $KIBANA_IMAGE can neither be pulled nor made here."
			kibana=no
		}
	fi
	if [ "$demo" = yes ]; then
		if [ -z "${DEMO_IMAGE:-}" ]; then
			DEMO_IMAGE=busybox:1.36
			obtain $DEMO_IMAGE || { make_image busybox DEMO_IMAGE && DEMO_IMAGE=$made_image; }
		else
			obtain "$DEMO_IMAGE" || die "the engine has no image $DEMO_IMAGE, and it can't be pulled"
		fi
	fi
}

# image_of reads the default of an image from the stack file.
image_of() { sed -n "s/^ *image: \${[A-Z]*_IMAGE:-\(.*\/$1:.*\)}\$/\1/p" "$here/swarm-global.yml"; }

# ---- Nodes ------------------------------------------------------------------------------

# node_entry becomes the engine of a node. Without --privileged, the kernel's trees are
# read-only at first. A cgroup v2 with processes of its own can't pass its controllers on to
# the engine's containers, so the processes go to a cgroup below it. Images of Docker's own
# have an entry that knows this.
#
# Before each task, Swarm asks a registry for the image that is there. Offline, with a name
# server that is known not to be there, it has no answer at once instead of after half a
# minute.
#
# A node that was stopped hard has left files with the ids of its processes, which are those of
# others when it starts again: the engine would wait for a containerd that it takes to run.
#
# The fields of mountinfo: 36 35 98:0 /root /mount/point …
# shellcheck disable=SC2016 # the node expands it
node_entry='
set -e
while read -r _ _ _ _ target _; do
	case $target in
	/sys | /sys/fs/cgroup | /sys/fs/cgroup/* | /proc/sys) [ -w "$target" ] || mount -o remount,bind,rw "$target" ;;
	esac
done < /proc/self/mountinfo
if [ "$1" = yes ]; then
	echo nameserver 127.0.0.1 > /etc/resolv.conf
fi
if command -v dockerd-entrypoint.sh > /dev/null; then
	exec dockerd-entrypoint.sh dockerd --host unix:///var/run/docker.sock
fi
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	mkdir -p /sys/fs/cgroup/engine
	while read -r pid; do
		echo "$pid" > /sys/fs/cgroup/engine/cgroup.procs || true # it may have ended
	done < /sys/fs/cgroup/cgroup.procs
	for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
		echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
	done
fi
rm -f /var/run/docker.pid /var/run/docker/containerd/*.pid
exec dockerd --host unix:///var/run/docker.sock
'

# choose_rights finds out whether nodes can have --privileged. Machines that lack a
# capability themselves, as containers and sandboxes do, refuse it.
choose_rights() {
	[ "$privileged" = auto ] || return 0
	if docker run --rm --privileged --network none --label $label=probe --entrypoint true "$NODE_IMAGE" >/dev/null 2>&1; then
		privileged=yes
	else
		privileged=no
		say "The engine refuses --privileged; nodes get single capabilities."
	fi
}

node_name() { echo "$name-node$1"; }

# node_state prints what node $1 is (running, another state of docker's, or none), and the
# value of its label: node, if it is this script's.
node_state() {
	found=$(docker container ls --all --filter "name=^$(node_name "$1")\$" --format '{{.State}} {{.Label "'$label'"}}')
	echo "${found:-none node}"
}

# start_node brings node $1 into being. The ports of the manager, which is number 1, are those
# that people know, unless somebody has them; the other nodes' agents get free ones.
start_node() {
	node=$(node_name "$1")
	state=$(node_state "$1")
	case $state in
	*" node") ;;
	*) die "there is a container $node that isn't this script's: rename or remove it" ;;
	esac
	case ${state% node} in
	running) return ;;
	none) ;;
	created) docker container rm --force --volumes "$node" >/dev/null ;;
	*)
		say "Starting $node again"
		docker container start "$node" >/dev/null
		return
		;;
	esac
	number=$1
	set -- --detach --name "$node" --hostname "node$number" --network $network --ip "$(address_of "$1")" --label $label=node \
		--volume "$node:/var/lib/docker" --entrypoint sh
	if [ "$privileged" = yes ]; then
		set -- "$@" --privileged
	else
		set -- "$@" --device-cgroup-rule "a *:* rwm" \
			--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined
		for capability in SYS_ADMIN NET_ADMIN NET_RAW SYS_MODULE SYS_PTRACE SYS_NICE SYSLOG MKNOD AUDIT_WRITE SETFCAP SETPCAP DAC_READ_SEARCH; do
			set -- "$@" --cap-add $capability
		done
	fi
	if [ -d /lib/modules ]; then
		set -- "$@" --volume /lib/modules:/lib/modules:ro
	fi
	docker volume create --label $label=node "$node" >/dev/null
	kibana_port=5601 page_port=8080 elasticsearch_port=9200
	[ "$number" = 1 ] || page_port=
	while :; do
		ports="--publish $listen:$page_port:8080"
		[ "$number" != 1 ] || ports="$ports --publish $listen:$kibana_port:5601 --publish $listen:$elasticsearch_port:9200"
		# shellcheck disable=SC2086 # ports are words
		if said=$(docker run "$@" $ports "$NODE_IMAGE" -c "$node_entry" node "$offline" 2>&1); then
			return
		fi
		docker container rm --force --volumes "$node" >/dev/null 2>&1 || true
		case $said in
		*"already allocated"* | *"address already in use"* | *"not available"*) ;;
		*) die "$node could not be started: $said" ;;
		esac
		case $said in
		*":5601"*) taken=$kibana_port kibana_port= ;;
		*":8080"*) taken=$page_port page_port= ;;
		*":9200"*) taken=$elasticsearch_port elasticsearch_port= ;;
		*) taken= ;;
		esac
		[ -n "$taken" ] || die "$node could not be started: $said"
		say "Port $taken of $listen is taken by something else; a free one is used instead."
	done
}

# in_node runs a command in node $1.
in_node() {
	in=$(node_name "$1")
	shift
	docker exec "$in" "$@"
}

await_engine() {
	tries=0
	until in_node "$1" docker version >/dev/null 2>&1; do
		tries=$((tries + 1))
		case $(node_state "$1") in running*) ;; *) tries=1000 ;; esac
		[ $tries -lt 240 ] || die "the engine of $(node_name "$1") doesn't start; it says: $(docker logs --tail 5 "$(node_name "$1")" 2>&1)"
		sleep 0.5
	done
}

# for_nodes runs a function for all nodes (all) or for workers (workers) at the same time.
for_nodes() {
	pids=
	i=1
	[ "$1" = all ] || i=2
	while [ $i -le $((workers + 1)) ]; do
		$2 $i &
		pids="$pids $!"
		i=$((i + 1))
	done
	failed=
	for pid in $pids; do
		wait "$pid" || failed=1
	done
	[ -z "$failed" ] || die "stopped. Run it again to go on from here, or remove what there is: $0 destroy"
}

subnet() { docker network inspect --format '{{(index .IPAM.Config 0).Subnet}}' $network; }

# make_network makes the network of the nodes. Docker gives fixed addresses only in a network
# whose addresses somebody has chosen; so it chooses them itself, and is told the same.
make_network() {
	if docker network inspect $network >/dev/null 2>&1; then
		case $(docker network inspect --format '{{index .Labels "'$label'"}}' $network) in
		network) return ;;
		*) die "there is a network $network that isn't this script's: remove it" ;;
		esac
	fi
	docker network create --label $label=network $network >/dev/null
	chosen=$(subnet)
	docker network rm $network >/dev/null
	docker network create --label $label=network --subnet "$chosen" $network >/dev/null
}

# address_of prints the address of node $1, which it keeps: in a Swarm, one that comes back
# with the address of another is taken for that.
address_of() { echo "$(subnet | sed 's,[0-9]*/.*,,')$((10 + $1))"; }

make_nodes() {
	[ "$workers" -le 200 ] || die "there is room for 200 workers, not for $workers"
	make_network
	more=$((workers + 2))
	case $(node_state $more) in
	none*) ;;
	*) say "There are more nodes than --nodes asks for; they stay. \"destroy\" removes all." ;;
	esac
	say "Starting a manager and $workers workers"
	for_nodes all start_node
	for_nodes all await_engine
}

swarm_of() { in_node "$1" docker info --format '{{.Swarm.LocalNodeState}}'; }

# heard_of tells whether the manager hears of node $1, which takes itself for a member.
heard_of() {
	id=$(in_node "$1" docker info --format '{{.Swarm.NodeID}}')
	[ "$(in_node 1 docker node inspect --format '{{.Status.State}}' "$id" 2>/dev/null)" = ready ]
}

join_worker() {
	if [ "$(swarm_of "$1")" = active ]; then
		# One that was stopped hard may take itself for a member for minutes without the
		# manager ever hearing of it: then it joins anew.
		tries=0
		until heard_of "$1"; do
			tries=$((tries + 1))
			[ "$tries" -lt 30 ] || break
			sleep 1
		done
		[ "$tries" -ge 30 ] || return 0
	fi
	# A node of that name that isn't there any more.
	for gone in $(in_node 1 docker node ls --filter "name=node$1" --format '{{.ID}} {{.Status}}' | sed -n 's/ Down$//p'); do
		in_node 1 docker node rm --force "$gone" >/dev/null
	done
	in_node "$1" docker swarm leave --force >/dev/null 2>&1 || true
	in_node "$1" docker swarm join --advertise-addr "$(address_of "$1")" --token "$token" "$manager:2377" >/dev/null
}

join_nodes() {
	manager=$(address_of 1)
	case $(swarm_of 1) in
	inactive)
		say "Joining them into a Swarm"
		in_node 1 docker swarm init --advertise-addr "$manager" >/dev/null
		;;
	active) ;;
	*) die "the Swarm is broken, perhaps since the machine was restarted: remove it ($0 destroy) and make it anew" ;;
	esac
	token=$(in_node 1 docker swarm join-token --quiet worker) ||
		die "the manager doesn't answer: remove the cluster ($0 destroy) and make it anew"
	for_nodes workers join_worker
}

# load_into gives images to node $1 unless it has them.
load_into() {
	into=$1
	shift
	missing=
	for image in "$@"; do
		want=$(docker image inspect --format '{{.Id}}' "$image")
		has=$(in_node "$into" docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)
		[ "$want" = "$has" ] || missing="$missing $image"
	done
	[ -n "$missing" ] || return 0
	# shellcheck disable=SC2086 # a list of words
	docker save $missing | docker exec -i "$(node_name "$into")" docker load --quiet >/dev/null
}

load_images() {
	images=$SWARMGAUGE_IMAGE
	[ "$demo" = no ] || images="$images $DEMO_IMAGE"
	if [ "$1" = 1 ]; then
		[ "$elasticsearch" = no ] || images="$images $ELASTICSEARCH_IMAGE"
		[ "$kibana" = no ] || images="$images $KIBANA_IMAGE"
	fi
	# shellcheck disable=SC2086 # a list of words
	load_into "$1" $images
}

# ---- Stacks -----------------------------------------------------------------------------

deploy() {
	for file in "$here"/*.yml; do
		docker cp "$file" "$(node_name 1):/tmp/" >/dev/null 2>&1
	done
	set -- -c /tmp/swarm-global.yml -c /tmp/cluster.yml -c /tmp/agent-page.yml
	# shellcheck disable=SC2016 # the node expands it
	if ! in_node 1 sh -c 'modprobe ip_vs 2>/dev/null; test -e /proc/net/ip_vs'; then
		say "The kernel has no IPVS; services do without the ingress mesh and virtual addresses."
		set -- "$@" -c /tmp/no-ipvs.yml
	fi
	[ "$elasticsearch" = yes ] || set -- "$@" -c /tmp/agent-only.yml
	[ "$socket" = no ] || set -- "$@" -c /tmp/socket.yml
	kibana_host=
	[ "$kibana" = no ] || kibana_host=http://kibana:5601
	say "Deploying the stack $stack"
	in_node 1 env SWARMGAUGE_IMAGE="$SWARMGAUGE_IMAGE" ELASTICSEARCH_IMAGE="${ELASTICSEARCH_IMAGE:-none}" \
		KIBANA_IMAGE="${KIBANA_IMAGE:-none}" KIBANA_REPLICAS="$([ "$kibana" = yes ] && echo 1 || echo 0)" \
		SWARMGAUGE_KIBANA_HOST="$kibana_host" SWARMGAUGE_ES_HOST="${SWARMGAUGE_ES_HOST:-}" \
		ES_JAVA_OPTS="${ES_JAVA_OPTS:--Xms512m -Xmx512m}" \
		docker stack deploy --resolve-image never "$@" $stack >"$log" 2>&1 || die "the stack $stack can't be deployed: $(cat "$log")"
	[ "$demo" = yes ] || return 0
	say "Deploying the stack $demo_stack"
	in_node 1 env DEMO_IMAGE="$DEMO_IMAGE" docker stack deploy --resolve-image never -c /tmp/demo.yml $demo_stack >"$log" 2>&1 ||
		die "the stack $demo_stack can't be deployed: $(cat "$log")"
}

# stored prints how many documents of node $1 Elasticsearch has taken.
stored() {
	docker exec "$(node_name "$1")" sh -c 'wget -q -O - http://127.0.0.1:8080/metrics 2>/dev/null || busybox wget -q -O - http://127.0.0.1:8080/metrics' 2>/dev/null |
		sed -n 's/^swarmgauge_documents_indexed_total \([0-9]*\).*/\1/p'
}

# lacking prints what doesn't work yet, in words.
lacking() {
	in_node 1 docker service ls --filter "label=com.docker.stack.namespace=$stack" --format '{{.Name}} {{.Replicas}}' |
		while read -r service replicas _; do
			[ "${replicas%/*}" = "${replicas#*/}" ] || echo "$service has $replicas tasks"
		done
	i=1
	while [ $i -le $((workers + 1)) ]; do
		count=$(stored $i)
		[ "${count:-0}" -gt 0 ] || echo "no documents of node$i yet"
		i=$((i + 1))
	done
}

await_documents() {
	deadline=$(($(date +%s) + timeout))
	before=
	while :; do
		lacks=$(lacking | head -n 3 | tr '\n' ';' | sed 's/;$//; s/;/; /g')
		[ -n "$lacks" ] || break
		[ "$lacks" = "$before" ] || say "$lacks"
		before=$lacks
		if [ "$(date +%s)" -ge $deadline ]; then
			for service in $(in_node 1 docker service ls --quiet); do
				in_node 1 docker service ps --no-trunc --filter desired-state=running --format '{{.Name}} on {{.Node}}: {{.CurrentState}} {{.Error}}' "$service"
			done >&2
			die "it doesn't work after $timeout seconds: $lacks. The tasks are above; docker exec $(node_name 1) docker service logs ${stack}_agent says more"
		fi
		sleep 2
	done
}

# ---- All of it --------------------------------------------------------------------------

published() { docker port "$(node_name "$1")" "$2/tcp" | sed -n '1s/^0\.0\.0\.0:/127.0.0.1:/; 1p'; }

show() {
	cat <<END

The cluster works, after $(($(date +%s) - began)) seconds:

END
	i=1
	while [ $i -le $((workers + 1)) ]; do
		role=worker
		[ $i != 1 ] || role=manager
		echo "  node$i, $role: the agent's pages at http://$(published $i 8080)/docker/, its health at /healthz?details"
		i=$((i + 1))
	done
	if [ "$elasticsearch" = yes ]; then
		echo "  Elasticsearch: http://$(published 1 9200)/cadvisor/_search?sort=@timestamp:desc&pretty"
	fi
	if [ "$kibana" = yes ]; then
		echo "  Kibana:        http://$(published 1 5601)/app/dashboards"
	else
		echo "  Kibana:        none here; where its image can be had, it comes with the stack"
	fi
	if [ "$demo" = yes ]; then
		cat <<'END'

What to look at, in the stack demo: web is throttled (it wants more than its fifth of a core),
cache is about to reach its memory limit, batch ends and fails now and then, writer writes to
its disk and has no limits.
END
	fi
	if [ "$kibana" = yes ] && [ "$socket" = no ]; then
		cat <<'END'

Panels about the Swarm's own state (services, nodes, tasks that wait or fail) stay empty with
--no-socket: only the engine of a manager tells it.
END
	fi
	cat <<END

The Swarm itself: docker exec $(node_name 1) docker service ls
Remove all of it: $0 destroy
END
}

temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
log=$temp/log # of what speaks only when it fails

check_engine
if [ "$action" = destroy ]; then
	destroy
	exit
fi
check_memory
get_images
choose_rights
make_nodes
join_nodes
say "Loading images into the nodes"
for_nodes all load_images
deploy
await_documents
show
