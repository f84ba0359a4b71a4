# SPDX-License-Identifier: MIT OR Apache-2.0
# What is known of the files below /tree: a line each, and then devices, contents and extended attributes.
# A directory's link count is left out, which is a file system's own.
cd /
find tree \( -type d -printf '%p|%y %m %U:%G %Ts\n' \) -o -printf '%p|%y %m %U:%G %Ts %n %s %l\n' | sort
find tree -type b -o -type c | sort | xargs stat -c '%n %t:%T'
find tree -type f -print0 | sort -z | xargs -0 sha256sum
find tree -print0 | sort -z | xargs -0 getfattr -h -d -e hex -m '^(user|security)' --
