# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A guest of passt that does what guests do when packets are late: ends before their data, data and ends twice, frames
# in pieces. For each it prints what passt made of that. Argument: an address of this machine other than loopback.
use strict; use warnings; use Socket; use IO::Socket::INET; use POSIX (); use Time::HiRes qw(time sleep);
# passt, and this program is the guest behind it.
my ($GUEST, $HOST) = (inet_aton("10.0.9.2"), inet_aton($ARGV[0]));
my ($FIN, $SYN, $ACK) = (1, 2, 16);
socketpair(my $tap, my $theirs, AF_UNIX, SOCK_STREAM, 0) or die "socketpair: $!";
unless (fork) {
    POSIX::dup2(fileno $theirs, 3) == 3 or die "dup2: $!";
    exec "/runtime/libexec/passt", qw(--quiet --no-map-gw --fd 3 --mtu 1500 --address 10.0.9.2 --netmask 24),
        qw(--gateway 10.0.9.1 --ipv4-only --no-dhcp --no-dhcpv6 --no-ra) or die "passt: $!";
}
close $theirs;
my $port = 1000;
my ($buffer, $from, $to, $next, $heard) = ("");
sub frame {
    my ($flags, $sequence, $data) = @_;
    my $tcp = pack("nnNNCCnnn", $port, 7000, $sequence, $heard, 5 << 4, $flags, 60000, 0, 0) . $data;
    my $ip = pack("CCnnnCCna4a4", 0x45, 0, 20 + length $tcp, 0, 0, 64, 6, 0, $GUEST, $HOST) . $tcp;
    my $frame = ("\x02" . "\0" x 4 . "\x01") . ("\x02" . "\0" x 4 . "\x02") . "\x08\0" . $ip;
    pack("N", length $frame) . $frame;
}
sub out { syswrite($tap, frame(@_)) or die "passt has gone: $!" }
# The next segment within so many seconds: flags, sequence, bytes of data.
sub hear {
    my $until = time + shift;
    while () {
        if (length $buffer >= 4 and length $buffer >= 4 + (my $length = unpack "N", $buffer)) {
            my $frame = substr $buffer, 4, $length;
            $buffer = substr $buffer, 4 + $length;
            next unless unpack("x12n", $frame) == 0x0800 and unpack("x23C", $frame) == 6 and unpack("x36n", $frame) == $port;
            my ($seq, $ack, $doff, $flags) = unpack "x38NNCC", $frame;
            return ($flags, $seq, length($frame) - 34 - ($doff >> 4) * 4, $ack);
        }
        my $left = $until - time; return unless $left > 0;
        vec(my $in = "", fileno $tap, 1) = 1;
        select($in, undef, undef, $left) and (sysread($tap, $buffer, 65536, length $buffer) or die "passt has gone");
    }
}
my $server = IO::Socket::INET->new(LocalPort => 7000, Listen => 5) or die "listen: $!";
sub connection {
    ($port, $next, $heard) = ($port + 1, 1000, 0);
    out($SYN, $next++, "");
    my ($flags, $sequence) = hear(20) or die "no answer";
    die "flags $flags" unless $flags == ($SYN | $ACK);
    $heard = $sequence + 1;
    out($ACK, $next, "");
    $server->accept or die "accept: $!";
}
# What the socket of a server has within so long: bytes, "end", or "nothing".
sub has {
    my ($socket, $time) = @_;
    vec(my $in = "", fileno $socket, 1) = 1;
    select($in, undef, undef, $time) or return "nothing";
    my $read = sysread $socket, my $bytes, 1000;
    defined $read ? $read ? $bytes : "end" : die "read: $!";
}
{
    my $socket = connection;
    out($ACK | $FIN, $next + 5, "");
    print "an end before its data: ", has($socket, 1), "\n";
    out($ACK, $next, "hello");
    print "the data: ", has($socket, 20), "\n";
    out($ACK | $FIN, $next + 5, "");
    print "the end behind it: ", has($socket, 20), "\n";
}
{
    my $socket = connection;
    out($ACK, $next, "hello");
    while (my (undef, undef, undef, $ack) = hear(20)) { last if $ack == $next + 5 }
    1 while hear(0.5);
    out($ACK, $next, "hello");
    print "data that is sent again is acknowledged: ", ((hear(20))[3] // 0) == $next + 5 ? "yes" : "no", "\n";
}
{
    my $socket = connection;
    print $socket "bye"; shutdown $socket, 1;
    my $ends = 0;
    while ($ends < 2 and my ($flags, $sequence, $length) = hear(20)) {
        $heard += $length if $sequence == $heard;
        $ends++ if $flags & $FIN;
        out($ACK, $next, "") if $length;
    }
    print "an end that is not acknowledged is sent again: ", $ends == 2 ? "yes" : "no", "\n";
}
{
    my $socket = connection;
    print $socket "bye"; shutdown $socket, 1;
    my $again = 0;
    while ($again < 2 and my ($flags, $sequence, $length) = hear(20)) { $again++ if $length }
    $heard += length("bye") + 1;
    out($ACK, $next, "late");
    my $sequence = 0;
    while (my (undef, $number, undef, $ack) = hear(20)) {
        next unless $ack == $next + 4;
        $sequence = $number;
        last;
    }
    print "what follows an end has the number behind it: ", $sequence == $heard ? "yes" : "no", ", ", has($socket, 20), "\n";
}
{
    my $socket = connection;
    my $frame = frame($ACK, $next, "pieces");
    for my $piece (substr($frame, 0, 2), substr($frame, 2, 20), substr($frame, 22)) { syswrite $tap, $piece; sleep 0.2 }
    print "a frame in pieces: ", has($socket, 20), "\n";
}
