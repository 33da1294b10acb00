# deploy/swarm-global.yml as it is, on a Swarm as it is after docker swarm init: with the
# ingress mesh and virtual addresses, which need IPVS.
#
# The test that embeds this file defines agent_image, which makes the image swarmgauge:1 of the
# agent. What it prints is in sections, each begun by a line "== name".
set -e

# A machine without any interface has no address that a Swarm could be reached at.
address=192.0.2.1
ip link add swarm type dummy
ip address add $address/24 dev swarm
ip link set swarm up
docker swarm init --advertise-addr $address > /dev/null

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
echo "== tables"
wc -l < /proc/net/ip_vs
echo "== log"
docker service logs --raw gauge_agent 2>&1
echo "== status 0"
