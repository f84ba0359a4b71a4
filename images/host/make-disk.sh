# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes a raw disk that a PC's BIOS boots: bash make-disk.sh HOST SECOND SYSLINUX_CFG MBR OUT
#
# HOST is a directory with bzImage and initrd, SECOND a file that becomes the second partition.
# Reproducible: the disk and volume numbers are constant, and so are the times of files. Nothing
# here needs root or a loop device.
host=$1 content=$2 config=$3 mbr=$4 out=$5

# A FAT partition from 1 MiB on, with room to spare for another kernel beside this one, and behind it the second one.
offset=$((1024 * 1024))
used=$(($(stat -c %s "$host/bzImage") + $(stat -c %s "$host/initrd")))
mib=$(((used * 2 / offset) + 40)) # FAT32 starts at 33 MiB
second=$(((mib + 1) * offset))
second_size=$((($(stat -c %s "$content") + offset - 1) / offset * offset))
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
truncate -s "$((second + second_size))" "$out"
dd if="$mbr" of="$out" bs=440 count=1 conv=notrunc status=none
write 440 "$(le32 0x$serial)"
write 446 "\\x80\\xfe\\xff\\xff\\x0c\\xfe\\xff\\xff$(le32 $((offset / 512)))$(le32 $((mib * offset / 512)))"
write 462 "\\x00\\xfe\\xff\\xff\\x83\\xfe\\xff\\xff$(le32 $((second / 512)))$(le32 $((second_size / 512)))"
write 510 '\x55\xaa'

truncate -s "${mib}M" partition
mkfs.fat -F 32 -s 1 -h $((offset / 512)) --invariant -i "$serial" -n CKI partition > mkfs.log
syslinux --install partition

mkdir files
cp "$host/bzImage" "$host/initrd" files/
cp "$config" files/syslinux.cfg
cat "$host"/share/doc/*/copyright > files/copyright.txt
touch -d "$stamp" files/*
for file in bzImage initrd syslinux.cfg copyright.txt; do
	mcopy -m -i partition "files/$file" "::/$file"
done
dd if=partition of="$out" bs="$offset" seek=1 conv=notrunc,sparse status=none
dd if="$content" of="$out" bs="$offset" seek="$((mib + 1))" conv=notrunc,sparse status=none
rm -r partition files mkfs.log
