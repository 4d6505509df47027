#!/bin/sh
# A keyring for each service of compose.yaml, in keys/: its own secret key, and the public keys of all. The first
# operator's key is at the root's controller, for `docker compose exec main amptree status`.
set -eu
cd "$(dirname "$0")"
amptree=${AMPTREE:-docker run --rm -i --user 0 --network none -v $PWD/keys:/keys amptree:latest}
keys=${KEYS:-/keys}
[ ! -e keys ] || { echo "keys/ is there already: remove it to make new ones" >&2; exit 1; }
mkdir -m 0700 keys
for service in plant main level_1 level_2 level_3; do
  case $service in
    plant) own=plant ;;
    main) own="controller/main operator/compose" ;;
    *) own=controller/$service ;;
  esac
  $amptree keys new $own --keys "$keys/$service" >/dev/null </dev/null
  $amptree keys show --keys "$keys/$service" >>keys/public </dev/null
done
for service in plant main level_1 level_2 level_3; do
  $amptree keys trust - --keys "$keys/$service" <keys/public >/dev/null
done
# The user of the container.
chown -R 10001:10001 keys 2>/dev/null || echo "keys/ must belong to uid 10001: sudo chown -R 10001:10001 keys" >&2
