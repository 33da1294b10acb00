# deploy/swarm-global.yml as it is, on a Swarm with the ingress mesh and virtual addresses,
# which need IPVS.
#
# The test that embeds this file defines agent_image, which makes the image swarmgauge:1 of the
# agent. What it prints is in sections, each begun by a line "== name".
set -e

# A machine without any interface has no address that a Swarm could be reached at.
address=192.0.2.1
ip link add swarm type dummy
ip address add $address/24 dev swarm
ip link set swarm up
# An emulated processor that has much to do misses heartbeats, for which the node would be
# given up, and its tasks with it.
docker swarm init --advertise-addr $address --dispatcher-heartbeat 1m > /dev/null

agent_image
for name in search kibana; do
	mkdir -p $name/usr/bin $name/bin
	mv $name.bin $name/$name
	cp curl $name/usr/bin/
	cp /usr/bin/busybox $name/bin/
	for tool in sh wget; do ln -s busybox $name/bin/$tool; done
	chmod +x $name/$name $name/usr/bin/curl
	tar -C $name -c . | docker import --change "CMD [\"/$name\"]" - $name:1 > /dev/null
done
export SWARMGAUGE_IMAGE=swarmgauge:1 ELASTICSEARCH_IMAGE=search:1 KIBANA_IMAGE=kibana:1
docker stack deploy --resolve-image never -c swarm-global.yml gauge > /dev/null

patience=150
until [ "$(docker service ls --format '{{.Replicas}}' | grep -c 1/1)" = 3 ] || [ $((patience -= 1)) = 0 ]; do sleep 2; done
echo "== services"
docker service ls --format '{{.Name}} {{.Mode}} {{.Replicas}}'
echo "== tasks"
docker service ps --no-trunc --format '{{.Name}} {{.CurrentState}} {{.Error}}' gauge_agent gauge_elasticsearch gauge_kibana
echo "== addresses"
docker service inspect --format '{{.Spec.Name}} {{.Spec.EndpointSpec.Mode}}{{range .Endpoint.VirtualIPs}} {{.Addr}}{{end}}' gauge_elasticsearch gauge_kibana

# The person's way: port 5601 of the node, through the mesh.
export_kibana() {
	busybox wget -q -O exported --header "Content-Type: application/json" --header "kbn-xsrf: test" \
		--post-file wanted.json http://$address:5601/api/saved_objects/_export
}
patience=60
until export_kibana && [ "$(wc -l < exported)" -ge $WANTED ] || [ $((patience -= 1)) = 0 ]; do sleep 2; done
echo "== dashboards"
wc -l < exported
echo "== documents"
documents=$(docker ps --quiet --filter name=gauge_elasticsearch)
until [ "$(docker exec $documents wget -q -O - http://127.0.0.1:9200/documents | tee documents | grep -c '"swarm.service.name":"gauge_kibana"')" -gt 1 ] || [ $((patience -= 1)) = 0 ]; do sleep 2; done
gzip -c documents | base64

# The same file, with another Elasticsearch: a real one. Swarm puts new tasks into the place
# of those whose environment has changed.
echo "== moved"
SWARMGAUGE_ES_HOST=http://$REACH docker stack deploy --resolve-image never -c swarm-global.yml gauge > /dev/null
updated() { [ "$(docker service inspect --format '{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}' $1)" = completed ]; }
patience=150
until updated gauge_agent && updated gauge_kibana || [ $((patience -= 1)) = 0 ]; do sleep 2; done
tasks=$(docker service ps --no-trunc --filter desired-state=running --format '{{.ID}} {{.Name}}.{{.ID}} {{.Node}}' gauge_agent gauge_elasticsearch gauge_kibana)
echo "$tasks"
# ask PATH asks the real one.
ask() { busybox wget -q -O - "http://$REACH/$1"; }
known() {
	for task in $(echo "$tasks" | cut -d " " -f 1); do
		ask "cadvisor/_search?size=1&q=swarm.task.id:$task" | grep -q '"hits":\[{' || return
	done
}
patience=100
until known || [ $((patience -= 1)) = 0 ]; do sleep 1; done
# What the agent says and what there is of it, when the two agree: it goes on delivering.
said() {
	container=$(docker ps --quiet --filter name=gauge_agent | head -n 1)
	nsenter --net --target $(docker inspect --format '{{.State.Pid}}' $container) \
		busybox wget -q -O - http://127.0.0.1:8080/metrics | grep '^swarmgauge_documents_' > said
}
number() { busybox awk -v name=swarmgauge_documents_$1 '$1 == name { print $2 }' said; }
agree() {
	said && ask cadvisor/_refresh > /dev/null || return
	run=$(ask "cadvisor/_search?size=1&sort=@timestamp:desc&q=event.dataset:swarmgauge.agent" | grep -o '"agent.ephemeral_id":"[^"]*"' | cut -d '"' -f 4)
	ask "cadvisor/_count?q=agent.ephemeral_id:$run" > count
	[ "$(grep -o '"count":[0-9]*' count)" = "\"count\":$(($(number indexed_total) - $(number found_total)))" ]
}
touch said count
patience=60
until agree || [ $((patience -= 1)) = 0 ]; do sleep 1; done
echo "== count"
cat count
echo
echo "== said"
cat said
echo "== agents"
docker service ps --no-trunc --format '{{.ID}} {{.CurrentState}} {{.Error}}' gauge_agent
echo "== tables"
wc -l < /proc/net/ip_vs
echo "== log"
docker service logs --raw gauge_agent 2>&1
echo "== status 0"
