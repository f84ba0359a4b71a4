# SPDX-License-Identifier: MIT OR Apache-2.0
#
# A guest of passt that does what guests do when packets are late: ends before their data, data and ends twice, frames
# in pieces. For each it prints what passt made of that. Argument: an address of this machine other than loopback.
use strict; use warnings; use Socket; use IO::Socket::INET; use POSIX (); use Time::HiRes qw(time sleep);
# passt, and this program is the guest behind it.
my ($GUEST, $HOST) = (inet_aton("10.0.9.2"), inet_aton($ARGV[0]));
my ($FIN, $SYN, $RST, $ACK) = (1, 2, 4, 16);
socketpair(my $tap, my $theirs, AF_UNIX, SOCK_STREAM, 0) or die "socketpair: $!";
unless (fork) {
    POSIX::dup2(fileno $theirs, 3) == 3 or die "dup2: $!";
    exec "/runtime/libexec/passt", qw(--quiet --no-map-gw --fd 3 --mtu 1500 --address 10.0.9.2 --netmask 24),
        qw(--gateway 10.0.9.1 --ipv4-only --no-dhcp --no-dhcpv6 --no-ra --tcp-ports 7001:80) or die "passt: $!";
}
close $theirs;
# Our port, passt's, and the window that we offer.
my ($port, $peer, $window) = (1000, 7000, 60000);
my ($buffer, $from, $to, $next, $heard) = ("");
sub frame {
    my ($flags, $sequence, $data) = @_;
    my $tcp = pack("nnNNCCnnn", $port, $peer, $sequence, $heard, 5 << 4, $flags, $window, 0, 0) . $data;
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
            next unless unpack("x12n", $frame) == 0x0800 and unpack("x23C", $frame) == 6;
            next unless unpack("x34N", $frame) == ($peer << 16 | $port);
            my ($seq, $ack, $doff, $flags) = unpack "x38NNCC", $frame;
            return ($flags, $seq, length($frame) - 34 - ($doff >> 4) * 4, $ack);
        }
        my $left = $until - time; return unless $left > 0;
        vec(my $in = "", fileno $tap, 1) = 1;
        select($in, undef, undef, $left) and (sysread($tap, $buffer, 65536, length $buffer) or die "passt has gone");
    }
}
my $server = IO::Socket::INET->new(LocalPort => 7000, Listen => 5) or die "listen: $!";
my $last = 1000;
sub connection {
    ($port, $peer, $next, $heard) = (++$last, 7000, 1000, 0);
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
my $tries = 0;
# A client of our published port whose SYN is there.
sub client {
    my $client;
    # It listens when it has started.
    until ($client = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 7001)) { sleep 0.1; $tries++ < 200 or die "connect: $!" }
    ($port, $peer, $next, $heard) = (80, $client->sockport, 1000, 0);
    syn();
    $client;
}
sub syn {
    my ($flags, $sequence) = hear(20) or return "nothing";
    $heard = $sequence + 1;
    $flags == $SYN ? "SYN" : "flags $flags";
}
sub accepted {
    out($SYN | $ACK, $next++, "");
    my ($flags) = hear(20) or return "nothing";
    $flags == $ACK ? "ACK" : "flags $flags";
}
# Of these more is said when half a minute is over.
my $start = time;
my $silent = client; accepted;
my $paused = client; accepted;
print $paused "unheard";
my $full = client; $window = 100; accepted;
print $full "x" x 1000;
my ($first, $length) = 0;
while ($first < 100) { (undef, undef, $length) = hear(20) or die "no data"; $first += $length; $heard += $length }
$window = 0; out($ACK, $next, "");
my @full = ($peer, $next, $heard);
my $waiting = client;
my @waiting = ($peer, $next, $heard);
$window = 60000;
{
    my $client = client;
    ($heard, my $expected) = (777, $heard);
    out($ACK, 5000, "");
    my ($flags, $sequence) = hear(20);
    print "what is not known is reset: ", $flags == $RST && $sequence == 777 ? "yes" : "no";
    print ", and the new connection begins again: ", syn, " ", $heard == $expected ? "the same" : "another", " ", accepted, "\n";
    out($SYN | $ACK, $next - 1, "");
    print "the acknowledgement of a SYN,ACK that comes again: ", (hear(20))[3] // 0, "\n";
    print $client "data"; while (my (undef, undef, $length) = hear(20)) { $heard += $length and last if $length }
    out($ACK, $next, "");
    1 while hear(0.5);
    out($ACK, $next - 1, "");
    print "whether it is there: ", (hear(20))[3] // 0, "\n";
    out($ACK | $FIN, $next, "");
    while (my (undef, undef, undef, $ack) = hear(20)) { last if $ack == $next + 1 }
    1 while hear(0.5);
    out($ACK | $FIN, $next, "");
    print "an end that comes again: ", (hear(20))[3] // 0, ", ", has($client, 20), "\n";
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
{
    ($port, $peer, $next, $heard) = (80, @waiting);
    print "a SYN that was not answered: ", syn, " again, ", accepted, "\n";
    out($ACK, $next, "welcome");
    print "a client that has waited: ", has($waiting, 20), "\n";
    sleep $start + 30 - time if time < $start + 30;
    print "a client that was silent: ", has($silent, 0.1), ", one that was not heard: ", has($paused, 0.1), "\n";
    ($peer, $next, $heard) = @full;
    out($ACK, $next, "");
    my $rest = 0;
    while ($rest < 900 and my (undef, undef, $length) = hear(20)) { $rest += $length; $heard += $length }
    print "what was waiting for room: $rest, ", has($full, 0.1), "\n";
}
