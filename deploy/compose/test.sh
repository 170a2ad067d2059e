#!/usr/bin/env bash
# `make compose-test`: builds the images, starts the whole stack with fresh secrets on a free port, waits until every
# container is healthy, plays the demo against it, and takes everything down again, whatever happened.
#
#   KEEP=1 deploy/compose/test.sh    leaves the stack running and says how to reach and to stop it
set -euo pipefail
cd "$(dirname "$0")/../.."

project=metis-test-$$
scratch=$(mktemp -d)
started=$SECONDS
export METIS_PUBLISH=${METIS_PUBLISH:-127.0.0.1:0} # any free port: an instance may be running beside
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(--project-name "$project" --env-file "$scratch/env" --file docker-compose.yml --file deploy/compose/demo.yml)

say() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - started)); }

tear_down() {
  local code=$?
  trap - EXIT INT TERM
  if ((code)); then
    say "failed with $code; the state of the containers and the end of their logs"
    "${compose[@]}" ps --all 2>/dev/null || "${compose[@]}" ps || true
    "${compose[@]}" logs --no-color --tail=25 2>&1 || true
  fi
  if [[ -n ${KEEP:-} ]]; then
    say "kept: ${compose[*]}"
  else
    "${compose[@]}" --profile demo down --volumes --remove-orphans --timeout 30 >/dev/null 2>&1 || true
    rm -rf "$scratch"
    say "taken down"
  fi
  exit "$code"
}
trap tear_down EXIT INT TERM

# Container by container, since not every version of compose can wait.
wait_healthy() {
  local deadline=$((SECONDS + ${1}))
  local -a waiting
  while true; do
    waiting=()
    for id in $("${compose[@]}" ps --all --quiet); do
      state=$(docker inspect --format '{{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}} {{.State.ExitCode}}' "$id")
      case $state in
        *" running healthy 0" | *" exited "*" 0") ;;
        *" exited "*) echo "ended: $state"; return 1 ;;
        *) waiting+=("$state") ;;
      esac
    done
    ((${#waiting[@]})) || return 0
    ((SECONDS < deadline)) || { printf 'not healthy: %s\n' "${waiting[@]}"; return 1; }
    sleep 1
  done
}

say "images and secrets"
(umask 077 && deploy/compose/new-env.sh >"$scratch/env")
"${compose[@]}" build >"$scratch/build.log" 2>&1 || { tail -40 "$scratch/build.log"; exit 1; }

say "start"
"${compose[@]}" up --detach --no-build
wait_healthy 180
url="http://$("${compose[@]}" port gateway 8080)"
say "every container is healthy; the gateway is at $url"

say "demo"
"${compose[@]}" --profile demo run --rm --use-aliases demo
say "passed"
