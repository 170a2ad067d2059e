#!/bin/sh
# Prints the environment file of a new instance: every secret fresh, nothing else set.
#
#   deploy/compose/new-env.sh > .env
#
# Keep the file for its owner alone, and a copy of it apart from the machine (deploy/README.md, Backup).
set -eu
cd "$(dirname "$0")/../.."
image="metis/cli:${METIS_VERSION:-0.1.0}"
# Hexadecimal: these stand in URLs.
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# `docker compose build` wants the file that this script writes, so the one image that makes keys is built here.
docker image inspect "$image" >/dev/null 2>&1 || docker build --quiet --tag "$image" \
  --build-arg SERVICE=cli --build-arg "BASE=${METIS_BASE_IMAGE:-python:3.12-slim}" \
  --build-arg PIP_INDEX_URL --build-arg UV_DEFAULT_INDEX . >&2

# Before anything is printed: half a file would look like a whole one.
keys=$(docker run --rm --network none --read-only "$image" keys)
echo "# Made by deploy/compose/new-env.sh. .env.example says what else may stand here."
echo "$keys" | grep -v '^METIS_SECRET='
for name in POSTGRES RABBITMQ METIS_REGISTRY_DATABASE METIS_MATCHING_DATABASE METIS_CREDITS_DATABASE METIS_NOTIFICATIONS_DATABASE; do
  echo "${name}_PASSWORD='$(secret)'"
done
