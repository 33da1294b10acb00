#!/bin/bash
# Starts Elasticsearch with the users of the stack, whose passwords are secrets: the file
# realm's, which need no running server to be made. Passwords are never arguments.
set -e
cd /usr/share/elasticsearch
cp /usr/local/share/swarmgauge/roles.yml config/roles.yml
: > config/users
: > config/users_roles

add_user() { # name, role, file of the password
	password=$(cat "$3")
	printf '%s\n%s\n' "$password" "$password" | bin/elasticsearch-users useradd "$1" -r "$2" > /dev/null
	echo "user $1 with the role $2"
}

add_user admin superuser /run/secrets/admin_password
add_user kibana-server kibana_system /run/secrets/kibana_password
add_user swarmgauge swarmgauge /run/secrets/swarmgauge_password
exec /usr/local/bin/docker-entrypoint.sh eswrapper
