# SPDX-License-Identifier: MIT OR Apache-2.0
# What is mended in passt's tcp.c.

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
