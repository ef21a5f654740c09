#!/bin/bash
# steps.sh ROOTFS.tar UIDMAP: what is done to images and containers; what it prints may not depend on the storage driver.
set -euo pipefail
rootfs=$1 uidmap=$2

# Whatever a failed step leaves running ends with the namespaces; this is for the message.
trap 'echo "failed: line $LINENO" >&2' ERR

view='find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /etc \) -prune -o -print | sort |
  while read -r path; do
    stat -c "%n %F %a %u %g" "$path"
    if [ -L "$path" ]; then readlink "$path"; elif [ -f "$path" ]; then md5sum < "$path"; fi
  done'

# remove CONTAINER: the shm of one that was just killed may still be mounted ("device or resource busy"); then once more.
remove() {
  podman rm -f -t 0 "$1" > /dev/null 2> said && return
  cat said >&2
  grep -q 'resource busy' said
  sleep 2
  podman rm -f -t 0 "$1" > /dev/null
}

# inside IMAGE SCRIPT [OPTION…]: what `run --rm` does, without its wait of up to 20 s for a conmon that was faster than it.
inside() {
  local image=$1 script=$2
  shift 2
  podman run -d --name passing "$@" "$image" sleep 1000 > /dev/null
  podman exec passing sh -c "$script"
  remove passing
}

podman import -q "$rootfs" base > /dev/null

mkdir context
cat > context/Containerfile <<'EOF'
FROM base
RUN mkdir -p /app/a/b && echo one > /app/a/b/f && echo two > /app/keep && ln -s keep /app/link && ln /app/keep /app/hard
RUN rm -r /app/a && rm /usr/share/doc/pkg/f1 && echo changed > /usr/share/doc/pkg/f2 && echo more >> /usr/share/doc/pkg/f3
RUN mkdir /app/a && echo new > /app/a/g && rm -rf /usr/share/doc && mkdir -p /usr/share/doc/pkg && echo only > /usr/share/doc/pkg/z
RUN mv /app/a /app/moved && rm /app/link && mkdir /app/link && echo in > /app/link/x && rm -r /srv && echo file > /srv
RUN rm /srv && mkdir -m 1770 /srv && chown 5:7 /srv && echo su > /app/su && chown 6:7 /app/su && chmod 4711 /app/su && mkfifo /app/fifo
RUN cp -a /usr/share/big /app/big && rm -r /usr/share/big && mv /lib/tree /app/tree && rm /app/tree/d3/f3 && chmod 700 /app/tree/d4
EOF
podman build -q --network none -t built context > /dev/null
echo "== built"
podman run --rm built true
inside built "$view"

echo "== a container"
podman run -d --name one built sleep 1000 > /dev/null
podman exec one sh -c 'echo hi > /root/new; rm /app/moved/g; chmod 750 /app; echo x >> /usr/share/doc/pkg/z; mkdir /root/dir; echo y > /root/dir/y'
podman exec one sh -c 'cat /root/new /usr/share/doc/pkg/z; ls /app/moved'
echo "== diff"
# Without directories that stand there for what changed below them: only some drivers list them.
podman diff one | grep -v -e ' /etc' -e ' /run' | LC_ALL=C sort -r -k 2 | awk '$1 == "C" && index(last, $2 "/") == 1 { next } { last = $2; print }'
echo "== committed"
podman commit -q one committed > /dev/null
podman exec one cat /root/new
inside committed "$view"

echo "== stopped, started again, copied from"
podman stop -t 0 one > /dev/null
podman start one > /dev/null
podman exec one cat /root/new /root/dir/y
podman cp one:/root/dir copied
cat copied/y
remove one

echo "== read-only"
inside committed 'cat /root/new; if touch /root/no 2> /dev/null; then echo written; fi' --read-only

echo "== ids of another range"
inside built 'stat -c "%u %g %a %n" / /app/keep /app/su /srv; echo own > /root/own; chown 3:4 /root/own; stat -c "%u %g" /root/own; tr -s " " < /proc/self/uid_map' \
  --uidmap "$uidmap" --gidmap "$uidmap"
inside built 'echo of two > /root/two; chown 8:9 /root/two; rm /app/keep; stat -c "%u %g" /root/two; ls /app' \
  --uidmap "$uidmap" --gidmap "$uidmap"

podman rmi -f -a > /dev/null
podman ps -a -q
podman images -q

echo "== left behind"
for _ in $(seq 50); do
  left=$(grep -F "$PWD/graph/" /proc/self/mountinfo | grep -v -F " $PWD/graph/overlay " || true)
  # Processes have a command line until they end, also those that nobody has waited for yet.
  left+=$(grep -l -z -e 'daemon[.]js' -e 'fuse-overlayf[s]' -e 'ovl-watchdo[g]' /proc/[0-9]*/cmdline 2> /dev/null || true)
  [ -z "$left" ] && break
  sleep 0.1
done
echo "$left"
podman system migrate 2> /dev/null || true
