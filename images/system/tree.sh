# SPDX-License-Identifier: MIT OR Apache-2.0
# What images/app/base.sh starts with when it installs the system disk's packages: install.sh, but no file system is
# made of them yet.
. "$installer_common"

pack() { # DIRECTORY IMAGE
	:
}
