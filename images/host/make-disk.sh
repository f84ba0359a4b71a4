# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes a raw disk that a PC's BIOS boots: bash make-disk.sh HOST SECOND SYSLINUX_CFG MBR OUT [SLOTS]
#
# HOST is a directory with bzImage and initrd, SECOND a file that becomes the second partition. With SLOTS, a directory,
# its files are on the first partition as well, kernel and initial file system are in the directory a there, and a third
# partition is as large as the second, both with room to grow.
# Reproducible: the disk and volume numbers are constant, and so are the times of files. Nothing
# here needs root or a loop device.
host=$1 content=$2 config=$3 mbr=$4 out=$5 slots=${6-}

# A FAT partition from 1 MiB on, with room to spare for another kernel beside this one, and behind it the second one.
offset=$((1024 * 1024))
used=$(($(stat -c %s "$host/bzImage") + $(stat -c %s "$host/initrd")))
mib=$(((used * 2 / offset) + 40)) # FAT32 starts at 33 MiB
second=$(((mib + 1) * offset))
second_size=$((($(stat -c %s "$content") + offset - 1) / offset * offset))
third_size=0
if [ -n "$slots" ]; then
	second_size=$((second_size * 3 / 2 / offset * offset))
	third_size=$second_size
fi
serial=434b4900

# FAT times have no zone and begin in 1980; the BIOS never looks at them.
stamp='1980-01-01 00:00:02 UTC'
export TZ=UTC SOURCE_DATE_EPOCH=315532802

le32() { # NUMBER: its four bytes, little-endian, as printf escapes
	printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}
write() { # OFFSET ESCAPES
	printf "$2" | dd of="$out" bs=1 seek="$1" conv=notrunc status=none
}

# The first sector: 440 bytes of program, the disk's number, an active partition of type 0C (FAT32,
# LBA) and one of type 83 (Linux), both without CHS addresses, and the signature.
truncate -s "$((second + second_size + third_size))" "$out"
dd if="$mbr" of="$out" bs=440 count=1 conv=notrunc status=none
write 440 "$(le32 0x$serial)"
write 446 "\\x80\\xfe\\xff\\xff\\x0c\\xfe\\xff\\xff$(le32 $((offset / 512)))$(le32 $((mib * offset / 512)))"
write 462 "\\x00\\xfe\\xff\\xff\\x83\\xfe\\xff\\xff$(le32 $((second / 512)))$(le32 $((second_size / 512)))"
if [ -n "$slots" ]; then
	write 478 "\\x00\\xfe\\xff\\xff\\x83\\xfe\\xff\\xff$(le32 $(((second + second_size) / 512)))$(le32 $((third_size / 512)))"
fi
write 510 '\x55\xaa'

truncate -s "${mib}M" partition
mkfs.fat -F 32 -s 1 -h $((offset / 512)) --invariant -i "$serial" -n CKI partition > mkfs.log
syslinux --install partition

mkdir files
if [ -n "$slots" ]; then
	cp -r --no-preserve=mode "$slots/." files/
	cp "$host/bzImage" "$host/initrd" files/a/
else
	cp "$host/bzImage" "$host/initrd" files/
fi
cp "$config" files/syslinux.cfg
cat "$host"/share/doc/*/copyright > files/copyright.txt
find files -exec touch -d "$stamp" {} +
(
	cd files
	find . -mindepth 1 -type d -printf '%P\n' | LC_ALL=C sort | while read -r directory; do
		mmd -i ../partition "::/$directory"
	done
	find . -type f -printf '%P\n' | LC_ALL=C sort | while read -r file; do
		mcopy -m -i ../partition "$file" "::/$file"
	done
)
dd if=partition of="$out" bs="$offset" seek=1 conv=notrunc,sparse status=none
dd if="$content" of="$out" bs="$offset" seek="$((mib + 1))" conv=notrunc,sparse status=none
rm -r partition files mkfs.log
