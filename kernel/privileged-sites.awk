# SPDX-License-Identifier: GPL-2.0-only
# Lists the privileged instructions of a kernel by function, and compares with what is known.
#
#   objdump -d --no-show-raw-insn -j .text -j .init.text vmlinux | awk -v known=FILE -f privileged-sites.awk
#
# "Privileged" is what raises #GP at CPL 0 with PKRS != 0 (docs/reference/isa.md). Each line of FILE is
#   FUNCTION<blank>reason
# where FUNCTION may end in "*" and the reason says why a CKI guest does not get there. A function that
# has such an instruction and no line is an error: it would be a #GP in a container. A line without such
# a function is only noted, because compilers differ in what they inline.
# Without known= the functions are only listed, with their instructions.

function complain(text) {
	print "privileged-sites: " text > "/dev/stderr"
	errors++
}

function reason_of(name,	i, stem) {
	if (name in reason) {
		used[name] = 1
		return 1
	}
	for (i = 1; i <= patterns; i++) {
		stem = pattern[i]
		if (substr(name, 1, length(stem)) == stem) {
			used[stem "*"] = 1
			return 1
		}
	}
	return 0
}

BEGIN {
	while (known != "" && (getline line < known) > 0) {
		if (line ~ /^(#|$)/)
			continue
		split(line, word, /[ \t]+/)
		if (!word[2]) {
			complain(word[1] " has no reason")
			continue
		}
		listed[word[1]] = 1
		if (word[1] ~ /\*$/)
			pattern[++patterns] = substr(word[1], 1, length(word[1]) - 1)
		else
			reason[word[1]] = 1
	}
	alone = "^(cli|sti|hlt|wrmsr|rdmsr|rdpmc|iret|iretq|iretw|in|out|ins[bwl]?|outs[bwl]?|lgdt|lidt|lldt|ltr|" \
		"lmsw|clts|invd|wbinvd|wbnoinvd|invpcid|xsetbv|sysexit|sysexitl|sysexitq|sysenter|monitor|mwait|" \
		"monitorx|mwaitx|rsm|int|int1|icebp|vmcall|vmmcall|vmlaunch|vmresume|vmxon|vmxoff|vmread|vmwrite|" \
		"vmrun|vmload|vmsave|stgi|clgi|skinit|invlpga|invlpgb|tlbsync|getsec)$"
}

/^[0-9a-f]+ <.*>:$/ {
	name = $2
	sub(/^</, "", name)
	sub(/>:$/, "", name)
	# Parts and clones that the compiler made count as their function.
	sub(/\.(part|isra|constprop|cold).*$/, "", name)
	next
}

/^[ ]*[0-9a-f]+:/ {
	mnemonic = $2
	if (mnemonic ~ /^(rep|repz|repnz|lock|cs|ds|es|data16)$/)
		mnemonic = $3
	found = mnemonic ~ alone
	if (mnemonic ~ /^mov/ && $0 ~ /%(cr[0348]|db[0-7]|dr[0-7])([,]|[ ]*$)/)
		found = 1
	if (!found)
		next
	lines++
	if (!(name in sites))
		order[++functions] = name
	if (index(sites[name], " " mnemonic " ") == 0)
		sites[name] = sites[name] " " mnemonic " "
}

END {
	if (known == "") {
		for (i = 1; i <= functions; i++)
			print order[i] sites[order[i]]
		exit
	}
	if (lines == 0)
		complain("no privileged instruction at all: not a disassembled kernel")
	for (i = 1; i <= functions; i++)
		if (!reason_of(order[i]))
			complain(order[i] " has" sites[order[i]] "and no reason why a guest does not get there")
	for (line in listed)
		if (!(line in used))
			print "privileged-sites: note: nothing for " line > "/dev/stderr"
	if (errors)
		exit 1
	print lines " privileged instructions in " functions " functions, all accounted for"
}
