#!/usr/bin/env bash
# secrets.sh FOLDER: the Secrets of a Kaiser in Kubernetes as manifests, from what `make secrets` and `make certs` made.
#   deploy/kubernetes/secrets.sh .kaiser-secrets | kubectl apply -n kaiser -f -
set -euo pipefail
folder=${1:?say where make secrets has put them, such as .kaiser-secrets}
kubectl=${KUBECTL:-kubectl}

# secret NAME FILE...: a Secret with these files of the folder; a key is the file's name, or what stands before a "=".
secret() {
    local name=$1 arguments=() each
    shift
    for each in "$@"; do
        case $each in
            *=*) arguments+=("--from-file=${each%%=*}=$folder/${each#*=}") ;;
            *) arguments+=("--from-file=$folder/$each") ;;
        esac
    done
    "$kubectl" create secret generic "$name" --dry-run=client -o yaml "${arguments[@]}"
    echo ---
}

secret kaiser-migrate nats-migrate database-migrate
secret kaiser-ingest nats-ingest mqtt-ingest mqtt-sandbox
for service in sensor actuator health logic simulator factory recorder; do
    secret "kaiser-$service" "nats-$service" "database-$service"
done
secret kaiser-alarm nats-alarm database-alarm alarm-key
secret kaiser-websocket-gateway nats-websocket-gateway database-gateway admin-password token-secret oidc-client-secret
secret kaiser-database database-superuser
secret nats passwords.conf=nats/passwords.conf
secret sandbox sandbox.conf=nats/sandbox.conf
secret mosquitto passwords=mosquitto/passwords
[ ! -f "$folder/tls/server.crt" ] || secret mosquitto-tls tls.crt=tls/server.crt tls.key=tls/server.key
[ ! -f "$folder/cluster/tls.crt" ] || secret nats-cluster-tls tls.crt=cluster/tls.crt tls.key=cluster/tls.key ca.crt=cluster/ca.crt
