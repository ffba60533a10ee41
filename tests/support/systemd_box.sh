#!/bin/sh
# Runs in fresh namespaces (mount, process, cgroup, network): makes a root in memory and executes COMMAND there. The
# machine's files cannot be written to: those bound into the root are read-only.
#
#     systemd_box.sh FOLDER CHECKOUT PACKAGES PYTHON COMMAND...
#
# FOLDER is replaced in this namespace alone; the files of FOLDER/etc are copied to /etc. Without a CHECKOUT,
# FOLDER/root is a whole system, and is written to.
set -eu
folder=$1 checkout=$2 packages=$3 python=$4
shift 4

bind() {
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    mount -o remount,bind,ro "$root$2"
}

mount --make-rprivate /
root=$folder/root
mkdir -p "$root"
if [ -n "$checkout" ]; then
    mount -t tmpfs -o mode=755 tmpfs "$root"
    cd "$root"
    mkdir -p dev etc/systemd home proc root run sys tmp var/log var/tmp
    ln -s ../run var/run
    chmod 1777 tmp var/tmp

    bind /usr /usr
    for name in bin sbin lib lib32 lib64; do
        if [ -L "/$name" ]; then
            cp -a "/$name" .
        elif [ -d "/$name" ]; then
            bind "/$name" "/$name"
        fi
    done
    for name in passwd group nsswitch.conf hosts ld.so.cache localtime ssl; do
        [ ! -e "/etc/$name" ] || cp -a "/etc/$name" etc/
    done
    cp -a "$folder/etc/." etc/
    bind "$checkout" /opt/mailworker/checkout
    bind "$packages" /opt/mailworker/packages
    if [ "$python" != /usr ]; then
        bind "$python" /opt/python
        touch etc/ld.so.conf
    fi
    cp -a "$folder/opt/." opt/
else
    mount --bind "$root" "$root"
    cd "$root"
fi
mkdir -p old

mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    cp -a "/dev/$name" "dev/$name"
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkfifo dev/kmsg # systemd's log, which goes on to our output
cat <>dev/kmsg &
mkdir dev/mqueue dev/pts dev/shm
mount -t devpts -o ptmxmode=666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up

pivot_root . old
umount -l /old
rmdir /old
if [ "$python" != /usr ]; then
    echo /opt/python/lib >etc/ld.so.conf # its own library, not Debian's of the same name
    ldconfig
fi
# No service may set the clock, load modules or restart the machine.
exec setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_boot,-syslog "$@"
