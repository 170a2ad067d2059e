#!/usr/bin/env bash
# Backup and restore of the instance's PostgreSQL server, all databases at one and the same moment.
#
#   deploy/compose/backup.sh create FOLDER   writes FOLDER/metis-<date>.tar.gz while everything runs, then checks it
#   deploy/compose/backup.sh check FILE      starts FILE in a container of its own and looks at what is in it
#   deploy/compose/backup.sh restore FILE    puts FILE in the place of the instance's data (asks first; the stack stops)
#
# One moment matters: an event leaves one database and arrives in another. Four dumps made one after the other would
# hold effects without their causes.
set -euo pipefail
image=postgres:18
data=/var/lib/postgresql/18/docker
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
[[ -z ${METIS_ENV_FILE:-} ]] || compose+=(--env-file "$METIS_ENV_FILE")

die() { echo "$*" >&2; exit 1; }

create() {
  umask 077
  mkdir -p "$1"
  local file
  file=$1/metis-$(date -u +%Y%m%dT%H%M%SZ).tar.gz
  "${compose[@]}" exec -T postgres pg_basebackup --username postgres --pgdata - --format tar \
    --wal-method fetch --checkpoint fast --label metis | gzip -6 >"$file.part"
  mv "$file.part" "$file"
  check "$file"
  echo "$file"
}

unpack() { # unpack VOLUME <tar.gz: replaces what the volume holds
  docker run --rm --interactive --network none --volume "$1:/var/lib/postgresql" --entrypoint bash "$image" -euc \
    "rm -rf $data; mkdir -p $data; tar -xz -C $data; chown -R postgres:postgres /var/lib/postgresql/18; chmod 0700 $data"
}

query() { docker exec "$1" psql --username postgres --dbname "$2" --no-align --tuples-only --command "$3"; }

check() {
  local file=$1 name=metis-backup-check-$$
  [[ -s $file ]] || die "$file: no such file, or empty"
  # shellcheck disable=SC2064
  trap "docker rm --force --volumes $name >/dev/null 2>&1; docker volume rm --force $name >/dev/null 2>&1" EXIT
  docker volume create "$name" >/dev/null
  unpack "$name" <"$file"
  docker run --detach --name "$name" --network none --volume "$name:/var/lib/postgresql" --env PGDATA=$data \
    --env POSTGRES_PASSWORD=unused "$image" >/dev/null
  for _ in $(seq 120); do
    docker exec "$name" pg_isready --quiet --username postgres --host 127.0.0.1 && break
    sleep 0.5
  done
  for service in registry matching credits notifications; do
    echo "$service: revision $(query "$name" "metis_$service" 'SELECT version_num FROM alembic_version')," \
      "$(query "$name" "metis_$service" 'SELECT count(*) FROM outbox') events in the outbox"
  done
  local off
  off=$(query "$name" metis_credits \
    'SELECT count(*) FROM (SELECT territory FROM account GROUP BY territory HAVING sum(balance_minutes) <> 0) AS off')
  echo "credits: $(query "$name" metis_credits 'SELECT count(*) FROM transfer') transfers;" \
    "books that do not sum to zero: $off"
  docker rm --force --volumes "$name" >/dev/null
  docker volume rm --force "$name" >/dev/null
  trap - EXIT
  [[ $off == 0 ]] || die "$file: the books do not sum to zero"
}

restore() {
  local file=$1 answer volume
  check "$file"
  read -r -p "Everything this instance recorded after $(basename "$file") will be gone. Type 'restore': " answer
  [[ $answer == restore ]] || die "nothing done"
  "${compose[@]}" stop
  # On a new machine there is nothing yet: this makes the containers and their volumes.
  "${compose[@]}" up --no-start postgres rabbitmq
  volume=$(docker inspect --format '{{range .Mounts}}{{if eq .Destination "/var/lib/postgresql"}}{{.Name}}{{end}}{{end}}' \
    "$("${compose[@]}" ps --all --quiet postgres)")
  unpack "$volume" <"$file"
  # What waits in the broker happened after the backup, or is in an outbox of it: the queues begin empty.
  "${compose[@]}" rm --force --stop rabbitmq
  docker volume rm "${volume%postgres}rabbitmq"
  "${compose[@]}" up --detach
  echo "Restored. Now give each service the events that were under way at that moment (deploy/README.md, Restore)."
}

case ${1:-} in
  create | check | restore) [[ $# == 2 ]] || die "usage: $0 $1 PATH"; "$1" "$2" ;;
  *) sed -n '2,6p' "$0"; exit 2 ;;
esac
