#!/bin/sh
# The first program of a virtual machine, run by busybox in the initramfs.
export PATH=/bin
mkdir -p /proc /sys /dev /run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

# The number of an NVMe controller depends on who is found first, so disks are
# known by their serial numbers.
disk() {
	for controller in /sys/class/nvme/nvme*; do
		[ -e "$controller" ] || continue
		read -r serial < "$controller/serial"
		[ "$serial" = "$1" ] && echo "/dev/${controller##*/}n1"
	done
}

# Disks may need a moment to appear.
await() {
	tries=0
	until [ -b "$1" ] || [ $tries -ge 100 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
}

DISK=$(disk disk)
[ -z "$DISK" ] || await "$DISK"
echo "export DISK=$DISK" > /payload/lab-env

root=$(disk root)
if [ -n "$root" ]; then
	await "$root"
	mkdir /root
	mount -t ext4 "$root" /root
	cp -a /payload /root/
	umount /dev /sys /proc
	exec switch_root /root /sbin/init
fi

mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
	echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done
# As a child, since the end of the first program is a kernel panic.
/payload/lab-run
