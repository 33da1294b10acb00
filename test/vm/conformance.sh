# The containers that cAdvisor was asked about on a unified hierarchy, and two agents'
# answers to the same requests: one has its defaults, the other all groups of metrics. A
# check of health takes a second of an emulated processor, too, so there are few.
set -e

mkdir -p bb/bin bb/tmp
cp /usr/bin/busybox bb/bin
for applet in sh dd sleep tail wget httpd; do
	ln -s busybox bb/bin/$applet
done
tar -C bb -c . | docker import - bb > /dev/null

golden() {
	docker run --detach --name "$@" > /dev/null
}
golden cg-load --memory 64m --memory-reservation 32m --memory-swap 96m --cpus 0.2 --pids-limit 50 \
	--label app.tier=backend --label com.example.team=a --env CG_ENV=1 --env SECRET=x --ulimit nofile=20000:20000 \
	bb sh -c 'dd if=/dev/zero of=/dev/shm/x bs=1M count=8; while :; do :; done'
golden cg-srv --health-cmd 'wget -q -O /dev/null http://127.0.0.1/' --health-interval 8s \
	bb sh -c 'echo ok > /tmp/index.html; exec httpd -f -p 80 -h /tmp'
golden cg-share --network container:cg-srv bb sleep 10000
golden cg-host --network host bb sleep 10000
golden cg-disk bb sh -c 'while :; do dd if=/dev/zero of=/tmp/x bs=1M count=8 conv=fsync; sleep 2; done'
golden cg-oom --memory 20m --memory-swap 20m bb sh -c 'tail /dev/zero; exec sleep 10000'

./agent -port=8083 -spool-dir=/tmp/defaults -env_metadata_whitelist=CG_ > defaults.log 2>&1 &
defaults=$!
./agent -port=8084 -spool-dir=/tmp/all -docker_only -env_metadata_whitelist=CG_ -disable_metrics= -enable_load_reader > all.log 2>&1 &
all=$!
# await FAMILY NAME… waits until the second agent shows a family of these containers.
await() {
	family=$1
	shift
	for name; do
		tries=0
		until busybox wget -q -O - http://127.0.0.1:8084/metrics | grep -q "^$family{.*name=\"$name\""; do
			tries=$((tries + 1))
			[ $tries -lt 60 ] || break
			sleep 1
		done
	done
}
# Until the health is known, the agent has looked at the processes and sockets of all
# containers, for which it takes its time, and there are three samples of each.
until docker ps | grep -q '(healthy)'; do sleep 1; done
await container_processes cg-load cg-srv cg-share cg-host cg-disk cg-oom
await container_network_tcp_usage_total cg-load cg-srv cg-disk cg-oom
sleep 5
echo "== golden documents"
./fetch < questions.json | gzip | base64
kill $defaults $all
echo "== golden logs"
cat defaults.log all.log
docker rm --force cg-load cg-srv cg-share cg-host cg-disk cg-oom > /dev/null
