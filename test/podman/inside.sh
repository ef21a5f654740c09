#!/bin/sh
# inside.sh STATE UID COMMAND…: runs the command as the user, within the namespaces that it was started in, where
# nothing of the machine's own podman is seen or touched and an ordinary user has ids to give to containers.
set -eu
state=$1 uid=$2
shift 2

mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
# An own mount for the layers: whatever podman does to their propagation stays here.
mount --bind "$state" "$state"
cd "$state"
mkdir -p home runtime tmp
chmod 700 home runtime

if [ "$uid" != 0 ]; then
  cp /etc/passwd passwd && echo "layers:x:$uid:$uid::$state/home:/bin/sh" >> passwd
  cp /etc/group group && echo "layers:x:$uid:" >> group
  echo 'layers:300000:65536' > ids
  for file in passwd group; do mount --bind $file /etc/$file; done
  for file in /etc/subuid /etc/subgid; do
    [ -e $file ] || touch $file
    mount --bind ids $file
  done
  chown -R "$uid:$uid" "$state"
fi

# This shell is the namespace's first process: it stays, to wait for whatever is orphaned, as podman expects somebody to.
setpriv --reuid="$uid" --regid="$uid" --clear-groups \
  env -i PATH="$PATH" HOME="$state/home" XDG_RUNTIME_DIR="$state/runtime" TMPDIR="$state/tmp" LC_ALL=C \
  CONTAINERS_CONF="$state/containers.conf" CONTAINERS_STORAGE_CONF="$state/storage.conf" "$@" &
wait $!
