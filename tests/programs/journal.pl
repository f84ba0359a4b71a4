# SPDX-License-Identifier: MIT OR Apache-2.0
#
# journal.pl DISK ROUNDS: writes versions of blocks of 4 KiB to a disk, 64 KiB apart. After each few it syncs, and
# then writes to the first block which version is safe. Says on standard output what it writes before it does ("w
# BLOCK VERSION"), and what is synced after it is ("s VERSION").
use strict;
use IO::Handle;

my ($disk, $rounds) = @ARGV;
open my $file, '+<:raw', $disk or die "$disk: $!";
STDOUT->autoflush(1);
srand 1;

sub put {
    my ($block, $version) = @_;
    sysseek $file, $block << 16, 0 or die "seek: $!";
    my $written = syswrite $file, pack('Q<2', $block, $version) x 256;
    defined $written && $written == 4096 or die "block $block: $!";
}

my $version = 0;
for (1 .. $rounds) {
    for (0 .. rand 8) {
        my $block = 1 + int rand 63;
        $version++;
        print "w $block $version\n";
        put($block, $version);
    }
    $file->sync or die "sync: $!";
    print "s $version\n";
    put(0, $version);
}
