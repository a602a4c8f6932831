#!/bin/sh
# Runs in the guest, as a systemd service: mounts the project, runs what the host's command disk holds, tells the exit code, powers off.
# `shell` as its argument: the terminal of the host is ours, and no exit code is told.
disks=/dev/disk/by-id/virtio
ports=/dev/virtio-ports

export HOME=/root LC_ALL=C.UTF-8
export PATH=/project/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# No compiler lives here, and the CPU is emulated.
export GANTRY_TEST_EXECUTOR=/project/dist/gantry-executor GANTRY_TEST_SLOWNESS="${GANTRY_TEST_SLOWNESS:-5}"

# The ports come with a driver of their own, which a busy host may load late.
tries=0
while [ "$1" != shell ] && [ ! -e "$ports/result" ] && [ $tries -lt 60 ]; do
	sleep 1
	tries=$((tries + 1))
done
mkdir -p /project
mount "$disks-project" /project && cd /project || exit 1
if [ "$1" = shell ]; then
	sh "$disks-command"
else
	sh "$disks-command" </dev/null >"$ports/stdout" 2>"$ports/stderr"
	echo $? >"$ports/result"
fi
