# SPDX-License-Identifier: GPL-2.0-only
# Compares a finished kernel configuration with what the fragments asked for.
#
#   awk [-v known=FILE] -f check-config.awk FRAGMENT... FINAL
#
# Kconfig drops a symbol without a word when its dependencies are missing and switches others on by
# "select", so a kernel can lack what was asked for. This names every such symbol and exits 1.
# A request is "CONFIG_X=value" or "# CONFIG_X is not set"; two different requests for one symbol,
# or a fragment line that is neither a request nor a comment, are errors too. With known=, a list of
# all symbols of the source tree one a line, a request to leave out what does not exist is an error:
# it would hide that a symbol was renamed.

function complain(text) {
	print "check-config: " text > "/dev/stderr"
	errors++
}

BEGIN {
	if (ARGC < 3) {
		complain("usage: awk -f check-config.awk FRAGMENT... FINAL")
		exit
	}
	final = ARGV[ARGC - 1]
	while (known != "" && (getline line < known) > 0)
		exists[line] = ++symbols
	if (known != "" && symbols == 0)
		complain(known " lists no symbol")
}

# Both forms of a setting become symbol and value; "is not set" is the value n.
/^CONFIG_[A-Za-z0-9_]+=/ {
	symbol = substr($0, 1, index($0, "=") - 1)
	value = substr($0, index($0, "=") + 1)
	setting(symbol, value)
	next
}
/^# CONFIG_[A-Za-z0-9_]+ is not set$/ {
	setting($2, "n")
	next
}
/^#/ || /^[ \t]*$/ { next }
FILENAME != final { complain(FILENAME ":" FNR ": not a request: " $0) }

function setting(symbol, value) {
	if (FILENAME == final) {
		got[symbol] = value
		lines++
		return
	}
	if (symbol in wanted) {
		if (wanted[symbol] != value)
			complain(FILENAME ":" FNR ": " symbol "=" value " contradicts " symbol "=" wanted[symbol] " in " where[symbol])
		return
	}
	order[++count] = symbol
	wanted[symbol] = value
	where[symbol] = FILENAME ":" FNR
}

END {
	if (ARGC >= 3 && lines == 0)
		complain(final " is no kernel configuration")
	for (i = 1; i <= count; i++) {
		symbol = order[i]
		value = (symbol in got) ? got[symbol] : "n"
		if (known != "" && !(symbol in exists))
			complain(symbol ", in " where[symbol] ", is no symbol of this kernel")
		else if (value != wanted[symbol])
			complain(symbol " is " value ", but " where[symbol] " asks for " wanted[symbol])
	}
	exit errors > 0
}
