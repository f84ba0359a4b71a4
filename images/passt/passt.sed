# SPDX-License-Identifier: MIT OR Apache-2.0
# What is mended in passt's tcp.c and tap.c.

# The guest's kernel hands a connection to the server once its SYN,ACK is acknowledged. That was left to the client's
# first data, so that a server that speaks first never heard of its client, and both waited.
/^static void tcp_conn_from_sock_finish/,/^}/ s/ACK_IF_NEEDED/ACK/w changed

# Newer kernels (Linux 3aa7857fe1d7) keep the window of a socket closed for ever if it is closed when it is clamped: a
# client that sent more than the guest could take at once was stuck.
/^static void tcp_clamp_window/,/^}/ {
  s/^\tint s = .*//w changed
  s/^\tif (setsockopt(s, .*TCP_WINDOW_CLAMP.*//w changed
  s/^\t\ttrace("TCP: failed to set TCP_WINDOW_CLAMP.*//w changed
}

# A guest that has ended its half still acknowledges what it hears. What was not taken from the socket then did not end,
# and so the guest never heard the client's end.
/Established connections not accepting data from tap/,/^\t}/ {
  s/^\t\ttcp_update_seqack_from_tap(c, conn, \(.*\));/\t\ttcp_sock_consume(conn, \1);\n&/w changed
  s/\n.*/&\n\t\ttcp_clamp_window(c, conn, ntohs(th->window));\n\t\ttcp_data_from_sock(c, conn);/w changed
}

# A FIN ends what the guest sends only if all before it was taken. One without data was believed while the socket was full
# and data before it had still to be sent again: the other side heard an end in the middle, and no error.
/^static void tcp_data_from_tap/,/^}/ {
  s/^\tuint32_t seq_from_tap = conn->seq_from_tap;$/&\n\tuint32_t end = 0;/w changed
  s/^\t\t\tfin = 1;$/\t\t\tfin = 1, end = seq + len;/w changed
  s/^\tif (fin && !partial_send) {$/\tif (fin \&\& !partial_send \&\& end == conn->seq_from_tap) {/w changed
}

# Data that is sent again takes the FIN behind it along. A guest that was slow to acknowledge one (2 s) never got it again,
# and got acknowledgements of a number before it, which it throws away, until the connection was reset.
/^static void tcp_data_from_tap/,/^}/ {
  s/^\t\tconn->seq_to_tap = max_ack_seq;$/\t\tif (conn->seq_to_tap != max_ack_seq) {\n\t\t\tconn->events \&= ~TAP_FIN_SENT;\n\t\t\ttcp_epoll_ctl(c, conn);\n\t\t}\n&/w changed
}
/^static void tcp_timer_handler/,/^}/ {
  s/^\t\t\tconn->seq_to_tap = conn->seq_ack_from_tap;$/\t\t\tif (conn->seq_to_tap != conn->seq_ack_from_tap) {\n\t\t\t\tconn->retrans++;\n\t\t\t\tconn->events \&= ~TAP_FIN_SENT;\n\t\t\t\ttcp_epoll_ctl(c, conn);\n\t\t\t}\n&/w changed
}

# Then all may be acknowledged at once, the end too, of which only a part was sent again.
/^static int tcp_sock_consume/,/^}/ {
  s/^{$/&\n\tssize_t n;\n/w changed
  s/^\tif (recv(conn->sock, NULL, ack_seq - conn->seq_ack_from_tap,$/\tn = recv(conn->sock, NULL, ack_seq - conn->seq_ack_from_tap,/w changed
  s/ MSG_DONTWAIT | MSG_TRUNC) < 0)$/ MSG_DONTWAIT | MSG_TRUNC);\n\tif (n < 0)/w changed
  s/^\treturn 0;$/\tif (SEQ_GT(ack_seq, conn->seq_to_tap)) {\n\t\tconn->seq_to_tap = ack_seq;\n\t\tif (n < (ssize_t)(ack_seq - conn->seq_ack_from_tap))\n\t\t\tconn->events |= TAP_FIN_SENT;\n\t}\n\n&/w changed
}

# Who sends again what was taken has lost the acknowledgement, or did not believe it, and gets another.
/^static void tcp_data_from_tap/,/^}/ {
  s/^\tuint16_t max_ack_seq_wnd = conn->wnd_from_tap;$/&\n\tint again = ACK_IF_NEEDED;/w changed
  /^\t\tif (SEQ_GE(seq_offset, 0) && SEQ_LE(seq + len, seq_from_tap))$/ {
    N
    s/)\n\t\t\tcontinue;$/) {\n\t\t\tagain = ACK;\n\t\t\tcontinue;\n\t\t}/w changed
  }
  s/^\t\ttcp_send_flag(c, conn, ACK_IF_NEEDED);$/\t\ttcp_send_flag(c, conn, again);/w changed
}

# What the guest sends is acknowledged to it when the other side has done so, or after this time. 50 ms for the 64 KiB that
# QEMU's user network takes at once are a megabyte a second.
s/^#define ACK_INTERVAL\t\t\t50\t/#define ACK_INTERVAL\t\t\t2\t/w changed

# Frames come over a stream, which may break them anywhere: 1 to 4 bytes at the end of what was read were thrown away, and
# so was a frame of which not all had come at the second reading. What followed was then read as lengths.
/^static int tap_handler_passt/,/^}/ {
  s/^\twhile (n > (ssize_t)sizeof(uint32_t)) {$/\twhile (n > 0) {/w changed
  s/^\t\tssize_t len = ntohl(\*(uint32_t \*)p);$/\t\tssize_t len, head = sizeof(uint32_t) - n;\n\n\t\tif (head > 0) {\n\t\t\trem = recv(c->fd_tap, p + n, head, MSG_WAITALL);\n\t\t\tif (rem != head)\n\t\t\t\treturn 0;\n\t\t\tn += rem;\n\t\t}\n\n\t\tlen = ntohl(*(uint32_t *)p);/w changed
  s/recv(c->fd_tap, p + n, len - n, 0);/recv(c->fd_tap, p + n, len - n, MSG_WAITALL);/w changed
}

# A guest that has acknowledged all that it was sent owes nothing, though this is no news: the acknowledgement of a SYN never is,
# and a client that said nothing for 24 s (10, and seven times 2) was hung up on.
/^static void tcp_update_seqack_from_tap/,/^}/ {
  s/^\tif (SEQ_GT(seq, conn->seq_ack_from_tap)) {$/\tif (seq == conn->seq_to_tap) {\n\t\tconn_flag(c, conn, ~ACK_FROM_TAP_DUE);\n\t\tconn->retrans = 0;\n\t}\n\n&/w changed
}

# A SYN that the guest did not answer, its server having enough clients that wait, was not sent again, and the client was hung up
# on after 10 s. Like Linux' own it is now sent seven times, each time after twice as long, which takes two minutes. So
# is what has to be sent again later, for as long as eight minutes in place of 14 s: a guest may be paused.
/^static void tcp_timer_ctl/,/^}/ {
  s/^\t\t\tit.it_value.tv_sec = SYN_TIMEOUT;$/\t\t\tit.it_value.tv_sec = conn->events == SOCK_ACCEPTED ?\n\t\t\t\t\t     1 << conn->retrans : SYN_TIMEOUT;/w changed
  s/^\t\t\tit.it_value.tv_sec = ACK_TIMEOUT;$/\t\t\tit.it_value.tv_sec = ACK_TIMEOUT << conn->retrans;/w changed
}
/^static void tcp_timer_handler/,/^}/ {
  s/^\t\tif (!(conn->events & ESTABLISHED)) {$/\t\tif (conn->events == SOCK_ACCEPTED \&\& conn->retrans < 6) {\n\t\t\tconn->retrans++;\n\t\t\tconn->seq_to_tap--;\n\t\t\ttcp_send_flag(c, conn, SYN);\n\t\t\ttcp_timer_ctl(c, conn);\n\t\t} else if (!(conn->events \& ESTABLISHED)) {/w changed
}

# A guest that has taken all and has no room for more may stay so for as long as it likes: only what was sent again is counted
# (by the mend above).
/^static void tcp_timer_handler/,/^}/ s/^\t\t\tconn->retrans++;$//w changed

# A SYN,ACK that comes again asks for the acknowledgement of it, and so does a segment without data from before what is
# expected: a server with SO_KEEPALIVE sends one to see whether its client is there, and took it for gone. Nor was an end
# acknowledged again.
/^static void tcp_data_from_tap/,/^}/ {
  s/^\t\tseq = ntohl(th->seq);$/\t\tif (th->syn) {\n\t\t\tagain = ACK;\n\t\t\tcontinue;\n\t\t}\n\n&/w changed
  /^\t\tif (!len)$/ {
    N
    s/)\n\t\t\tcontinue;$/) {\n\t\t\tif (SEQ_LT(seq, conn->seq_from_tap))\n\t\t\t\tagain = ACK;\n\t\t\tcontinue;\n\t\t}/w changed
  }
}
/^int tcp_tap_handler/,/^}/ s/^\tif (conn->events & TAP_FIN_RCVD) {$/&\n\t\tif (th->fin)\n\t\t\ttcp_send_flag(c, conn, ACK);/w changed

# What a guest acknowledges in place of a SYN is of a connection that it remembers and passt does not, between the same ports.
# That one is reset, not the new one, whose SYN is sent again.
/^int tcp_tap_handler/,/^}/ {
  s/^\tif (th->ack && !(conn->events & ESTABLISHED))$/\tif (th->ack \&\& !(conn->events \& ESTABLISHED) \&\&\n\t    (th->syn || conn->events != SOCK_ACCEPTED))/w changed
  /^\t\telse$/ {
    N
    s/^\t\telse\n\t\t\ttcp_rst(c, conn);$/\t\telse if (th->ack \&\& !th->syn \&\& !th->fin) {\n\t\t\tuint32_t seq_to_tap = conn->seq_to_tap;\n\n\t\t\tconn->seq_to_tap = ntohl(th->ack_seq);\n\t\t\ttcp_send_flag(c, conn, RST);\n\t\t\tconn->seq_to_tap = seq_to_tap;\n\t\t} else\n\t\t\ttcp_rst(c, conn);/w changed
  }
}
