# SPDX-License-Identifier: MIT OR Apache-2.0
#
# journal.pl DISK ROUNDS: writes versions of blocks of 4 KiB to a disk, 64 KiB apart. After each few, and four at once
# with what is between them, it syncs, and then writes to the first block which version is safe. Says on standard output
# what it writes before it does ("w BLOCK VERSION"), and what is synced after it is ("s VERSION").
use strict;
use IO::Handle;

my ($disk, $rounds) = @ARGV;
open my $file, '+<:raw', $disk or die "$disk: $!";
STDOUT->autoflush(1);
srand 1;
my $version = 0;

sub put {
    my ($block, $version, $more) = @_;
    my $bytes = join "\0" x (60 << 10), map { pack('Q<2', $_, $version) x 256 } $block .. $block + $more;
    sysseek $file, $block << 16, 0 or die "seek: $!";
    my $written = syswrite $file, $bytes;
    defined $written && $written == length $bytes or die "block $block: $!";
}
sub write_next {
    my ($block, $more) = @_;
    $version++;
    print "w $_ $version\n" for $block .. $block + $more;
    put($block, $version, $more);
}

for (1 .. $rounds) {
    write_next(1 + int rand 63, 0) for 0 .. rand 8;
    write_next(1 + int rand 60, 3);
    $file->sync or die "sync: $!";
    print "s $version\n";
    put(0, $version, 0);
}
