#!/bin/sh
# SPDX-License-Identifier: EUPL-1.2
# Lays memory over this system's files and tries the package in there: `cargo xtask test --only package` runs it in namespaces of its own.
# $1 is an empty folder, $2 what is run in there, $3 and $4 are the packages.
set -eu

place=$1
mount -t tmpfs -o mode=755 tmpfs "$place"
mkdir "$place/root"
cd "$place/root"
for folder in usr etc var; do
    mkdir -p "../over/$folder/files" "../over/$folder/work" $folder
    mount -t overlay -o "lowerdir=/$folder,upperdir=$place/over/$folder/files,workdir=$place/over/$folder/work" overlay $folder
done
# What was merged into /usr long ago.
for link in bin sbin lib lib32 lib64 libx32; do
    [ ! -L /$link ] || cp -P /$link .
done
mkdir -p proc dev run tmp root srv/trial
chmod 1777 tmp
mount -t proc proc proc
mount --rbind /dev dev
ip link set lo up
# A container's dpkg may be told to leave out manual pages and documents.
rm -rf etc/dpkg/dpkg.cfg.d
cp "$2" srv/trial/trial.sh
cp "$3" srv/trial/old.deb
cp "$4" srv/trial/new.deb
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 /bin/bash /srv/trial/trial.sh /srv/trial
