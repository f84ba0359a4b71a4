# SPDX-License-Identifier: MIT OR Apache-2.0
#
# host.pl WORK: on the host of `cki-build bench io`, has the program WORK (the text of work.pl) do its work as a process
# in a network namespace, as engines of containers make them, and then in a container. Says on standard output, for each
# kind of work, "SIDE KIND COUNT" and what each time took: instructions, since the machine's clock counts one a
# nanosecond, without the nanoseconds in which the processor was idle.
use strict;
use IPC::Open2;
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY);

my $work = shift;
my ($peer, $times) = ("10.9.0.1", 3);
my @disk = (["read_4k", 1000], ["write_4k", 1000], ["read_1m", 48], ["write_1m", 48]);
my @network = (["send_1m", 32], ["receive_1m", 32], ["round_trip", 1000]);
$| = 1;

sub run { system(@_) == 0 or die "@_: $?" }
sub text { open my $file, '<', $_[0] or die "$_[0]: $!"; local $/; scalar <$file> }

# The disks, which the machine knows by their serial numbers.
my ($disk, $tree) = map { my $serial = $_; my @found = grep { text($_) =~ /^$serial$/m } glob "/sys/block/*/serial";
    $found[0] =~ m{block/(\w+)/} or die "no $serial"; "/dev/$1" } "cki-disk0", "cki-disk1";

# A bridge, where a veth of the process and a tap of the container are.
run("ip link add br0 type bridge && ip address add $peer/24 dev br0 && ip link set br0 up");
run("ip netns add side && ip link add out type veth peer name eth0 netns side && ip link set out master br0 up");
run("ip -n side address add 10.9.0.2/24 dev eth0 && ip -n side link set eth0 up && ip -n side link set lo up");

# Peers: one takes bytes and says when it has a count of them, one gives as many as it is asked for, one sends back.
my %takes = (9001 => 32 << 20);
my %peers = (
    9001 => sub { my $left = $takes{9001}; while (1) { my $got = sysread $_[0], my $bytes, 65536 or return;
        $left -= $got; if ($left == 0) { syswrite $_[0], 'x'; $left = $takes{9001} } } },
    9002 => sub { my $bytes = 'cki!' x 16384; while (sysread $_[0], my $count, 4) { my $left = unpack 'N', $count;
        $left -= syswrite $_[0], $bytes, $left < 65536 ? $left : 65536 while $left > 0 } },
    9003 => sub { while (sysread $_[0], my $byte, 1) { syswrite $_[0], $byte } },
);
my @peers;
for my $port (keys %peers) {
    socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    bind($listener, pack_sockaddr_in($port, INADDR_ANY)) && listen($listener, 2) or die "port $port: $!";
    my $child = fork;
    if ($child) { push @peers, $child; next }
    while (accept my $stream, $listener) {
        setsockopt($stream, IPPROTO_TCP, TCP_NODELAY, 1);
        $peers{$port}->($stream);
    }
    exit;
}

sub clock {
    my $time = "\0" x 16;
    syscall(228, 1, $time) == 0 or die "clock_gettime: $!";
    my ($seconds, $ns) = unpack 'qq', $time;
    my $idle = 0;
    my $timers = text("/proc/timer_list");
    $idle += $1 while $timers =~ /\.(?:idle|iowait)_sleeptime\s*:\s*(\d+)/g;
    $seconds * 1_000_000_000 + $ns - $idle;
}

sub measure {
    my ($side, @command) = @_;
    my $pid = open2(my $from, my $to, @command);
    my $tell = sub {
        print $to "@_\n";
        my $line = <$from>;
        $line eq "done\n" or die "$side @_: it says nothing";
    };
    my $nothing;
    my $kind = sub {
        my ($name, $count) = @_;
        my @took;
        # The first time is for what happens only once.
        for (0 .. $times) {
            open my $caches, '>', "/proc/sys/vm/drop_caches" or die "caches: $!";
            print $caches "3\n"; close $caches;
            my $start = clock();
            $tell->($name, $count);
            push @took, clock() - $start;
        }
        shift @took;
        $nothing //= (sort { $a <=> $b } @took)[$times / 2];
        print join(' ', $side, $name, $count, map { $_ - $nothing } @took), "\n";
    };
    $kind->("nothing", 1);
    $kind->(@$_) for @disk, @network;
    $tell->("mount", 0);
    $kind->("checkout", 1);
    $tell->("unmount", 0);
    my ($most) = text("/proc/$pid/status") =~ /^VmHWM:\s*(\d+)/m;
    print "$side resident $most\n";
    close $to;
    waitpid $pid, 0;
}

# Two branches of 300 small files, all of which differ.
run("mkfs.ext4 -q $tree && mount $tree /mnt && git init -q -b one /mnt/tree");
run("cd /mnt/tree && git config user.name cki && git config user.email cki && git config gc.auto 0");
for my $branch ("one", "two") {
    run("cd /mnt/tree && git checkout -q -b two") if $branch eq "two";
    for my $number (1 .. 300) {
        my $dir = "/mnt/tree/" . $number % 20;
        mkdir $dir;
        open my $file, '>', "$dir/$number" or die "$dir/$number: $!";
        print $file "$branch $number $_\n" for 1 .. 100;
        close $file or die "$dir/$number: $!";
    }
    run("cd /mnt/tree && git add . && git commit -qm $branch");
}
run("cd /mnt/tree && git checkout -q one && cd / && umount /mnt");

measure("native", "ip", "netns", "exec", "side", "perl", "-e", $work, $disk, $tree, $peer);
measure("container", "cki", "run", "--kernel", "/runtime/lib/vmlinux", "--initrd", "/runtime/lib/initrd", "--image",
    "/dev/vda", "--memory", "256M", "--cmdline", "mitigations=off", "-i", "--network", "bridge=br0", "--ip", "10.9.0.3/24",
    "--disk", "$disk:format=raw", "--disk", "$tree:format=raw", "--", "perl", "-e", $work, "/dev/vdb", "/dev/vdc", $peer);
# The peers are ours.
kill 'TERM', @peers;
