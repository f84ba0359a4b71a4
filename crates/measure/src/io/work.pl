# SPDX-License-Identifier: MIT OR Apache-2.0
#
# work.pl DISK TREE PEER: the program of `cki-build bench io`, on a host and in a container on it. For each line "KIND COUNT"
# of its input it does so much, and then says "done".
use strict;
use Fcntl;
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY);

my ($disk, $tree, $peer) = @ARGV;
$| = 1;
my ($small, $large) = (4096, 1 << 20);
my ($pread, $pwrite) = (17, 18);    # of x86-64; they take the address of a buffer, which O_DIRECT wants aligned
my $space = "cki!" x (($large + $small) / 4);
my $buffer = (unpack('J', pack('p', $space)) + $small - 1) & ~($small - 1);
srand 1;

my $file;
sub disk { $file or sysopen($file, $disk, O_RDWR | O_DIRECT) or die "$disk: $!"; fileno $file }
my $length = sysseek(do { disk(); $file }, 0, 2) or die "$disk: $!";

sub transfer {
    my ($call, $size, $at) = @_;
    syscall($call, disk(), $buffer, $size, $at) == $size or die "$disk at $at: $!";
}
sub sync { $file->sync or die "$disk: $!" }
sub random { transfer($_[0], $small, $small * int rand $length / $small) for 1 .. $_[1] }
sub sequence { transfer($_[0], $large, $large * $_) for 0 .. $_[1] - 1 }

my %streams;
sub stream {
    my $port = shift;
    return $streams{$port} if $streams{$port};
    socket(my $s, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    connect($s, pack_sockaddr_in($port, inet_aton($peer))) or die "$peer $port: $!";
    setsockopt($s, IPPROTO_TCP, TCP_NODELAY, 1) or die "no delay: $!";
    $streams{$port} = $s;
}
sub get {
    my ($s, $want) = @_;
    while ($want > 0) {
        my $got = sysread $s, my $bytes, $want < 65536 ? $want : 65536;
        $got or die "the peer is gone";
        $want -= $got;
    }
}
sub put {
    my ($s, $want) = @_;
    while ($want > 0) {
        my $put = syswrite $s, $space, $want < 65536 ? $want : 65536;
        $put or die "the peer is gone";
        $want -= $put;
    }
}

my %kinds = (
    nothing => sub { },
    read_4k => sub { random($pread, @_) },
    write_4k => sub { random($pwrite, @_); sync() },
    read_1m => sub { sequence($pread, @_) },
    write_1m => sub { sequence($pwrite, @_); sync() },
    send_1m => sub { my $s = stream(9001); put($s, $_[0] << 20); get($s, 1) },
    receive_1m => sub { my $s = stream(9002); syswrite $s, pack 'N', $_[0] << 20; get($s, $_[0] << 20) },
    round_trip => sub { my $s = stream(9003); for (1 .. $_[0]) { syswrite $s, 'x'; sysread $s, my $byte, 1 } },
    # Not measured.
    mount => sub { system("mount", $tree, "/mnt") == 0 or die "mount" },
    unmount => sub { system("umount", "/mnt") == 0 or die "umount" },
    # Every file of the tree is written anew, and written back.
    checkout => sub {
        for (1 .. $_[0]) {
            for my $branch ("two", "one") { system("git", "-C", "/mnt/tree", "checkout", "-q", $branch) == 0 or die "git" }
        }
        system("sync", "-f", "/mnt") == 0 or die "sync";
    },
);
while (my $line = <STDIN>) {
    my ($kind, $count) = split ' ', $line;
    $kinds{$kind}->($count);
    print "done\n";
}
