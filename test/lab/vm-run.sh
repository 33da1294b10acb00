#!/bin/sh
# Runs the script in a virtual machine, marks its output and status for the
# reader of the console, and powers off.
cd /payload || exit
. ./lab-env
printf '\nlab-begin\n'
sh ./lab-script < /dev/null 2>&1
printf '\nlab-end %d\n' $?
sync
exec poweroff -f
