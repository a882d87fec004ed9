#!/bin/sh
# Lays out what the image holds: sh src/build/rootfs.sh EXECUTABLE FOLDER, from the top of the repository.
# FOLDER/root   the executable, the shared libraries it is linked to, CA certificates, time zones, a user that is
#               not root, a place for temporary files
# FOLDER/config a default configuration, FOLDER/state the places for logs and data: they become that user's when
#               the Dockerfile copies them, which does not keep owners
# Needs ldd and, on this machine, the CA certificates and time zone data that go in.
set -eu

executable=$1
root=$2/root
user=65532

mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/usr/share/doc/dispa" "$root/tmp" "$root/proc" "$root/dev" \
  "$2/config" "$2/state/logs" "$2/state/data"
cp "$executable" "$root/usr/bin/dispa"
chmod 755 "$root/usr/bin/dispa"
cp config/config.toml "$2/config/config.toml"
cp LICENSE THIRD_PARTY_LICENSES.md "$root/usr/share/doc/dispa/"

# "libc.so.6 => /lib/…/libc.so.6 (0x…)" and "/lib64/ld-linux-x86-64.so.2 (0x…)"
ldd "$executable" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
# Loaded when it is first needed, not linked: name resolution through /etc/hosts and DNS.
for name in libnss_files.so.2 libnss_dns.so.2 libresolv.so.2; do
  for folder in /lib/*-linux-gnu /usr/lib/*-linux-gnu /lib64; do
    [ -e "$folder/$name" ] || continue
    mkdir -p "$root$folder"
    cp -L "$folder/$name" "$root$folder/$name"
    break
  done
done

cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
cp -RL /usr/share/zoneinfo "$root/usr/share/zoneinfo"
printf 'root:x:0:0:root:/:/none\ndispa:x:%s:%s:dispa:/var/lib/dispa:/none\n' "$user" "$user" >"$root/etc/passwd"
printf 'root:x:0:\ndispa:x:%s:\n' "$user" >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
chmod 1777 "$root/tmp"
