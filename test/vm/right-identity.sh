# What isn't a number: another agent, with the engine's socket, while the container right is
# renamed and started again.
#
# The test that embeds this file puts right-docker.sh and right-agent.sh before it.
echo 0 > $container/cgroup.freeze
./agent -docker_only -podman= -containerd= -node-name=right -spool-dir=/tmp/identity \
	-listen_ip=127.0.0.1 -port=8086 > identity.log 2>&1 &
agent=$!
until busybox wget -q -O metrics http://127.0.0.1:8086/metrics && grep -q 'name="right"' metrics || [ $((patience -= 1)) -le 0 ]; do sleep 1; done
echo "== created"
docker inspect --format '{{.Created}}' right
docker rename right renamed
docker restart --time 0 renamed > /dev/null
echo "== restarted"
docker inspect --format '{{.State.StartedAt}}' renamed
echo "== version"
docker version --format '{{.Server.Version}} {{.Server.APIVersion}}'
until busybox wget -q -O metrics http://127.0.0.1:8086/metrics && grep -q 'name="renamed"' metrics || [ $((patience -= 1)) -le 0 ]; do sleep 1; done
sleep 5
busybox wget -q -O metrics http://127.0.0.1:8086/metrics
echo "== identity metrics"
gzip -c metrics | base64
echo "== attributes"
busybox wget -q -O - http://127.0.0.1:8086/api/v2.1/attributes
kill $agent
wait $agent
echo
echo "== identity log"
cat identity.log
