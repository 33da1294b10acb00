#!/bin/sh
# Makes what security.yml needs, in the folder secrets beside this script or in the one that
# is given: a certificate authority, a certificate of it for Elasticsearch and Kibana, and
# passwords. What is there already stays as it is.
set -eu
umask 077

dir=${1:-$(dirname "$0")/secrets}
days=3650
command -v openssl >/dev/null || {
	echo "make_secrets: openssl is missing; on Debian: apt-get install openssl" >&2
	exit 1
}
mkdir -p "$dir"
cd "$dir"

for name in admin_password kibana_password swarmgauge_password kibana_encryption_key; do
	# Without an end of line, which would become a part of the password. In two steps, so
	# that an empty file can't stay behind.
	[ -s "$name" ] || { openssl rand -hex 24 | tr -d '\n' > "$name.new" && mv "$name.new" "$name"; }
done

if [ ! -s ca.crt ] || [ ! -s ca.key ]; then
	rm -f server.crt server.key
	openssl req -x509 -newkey rsa:3072 -nodes -sha256 -days $days -subj "/CN=swarmgauge stack" \
		-keyout ca.key -out ca.crt 2>/dev/null
fi
if [ ! -s server.crt ] || [ ! -s server.key ]; then
	cat > server.cnf <<-'END'
		subjectAltName = DNS:elasticsearch, DNS:kibana, DNS:localhost, IP:127.0.0.1
		extendedKeyUsage = serverAuth
	END
	openssl req -new -newkey rsa:3072 -nodes -sha256 -subj "/CN=elasticsearch" \
		-keyout server.key -out server.csr 2>/dev/null
	openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days $days \
		-extfile server.cnf -out server.crt 2>/dev/null
	rm -f server.cnf server.csr ca.srl
fi
echo "The secrets are in $(pwd). Keep ca.key elsewhere: whoever has it can pretend to be this Elasticsearch."
