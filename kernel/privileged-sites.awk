# SPDX-License-Identifier: GPL-2.0-only
# Lists the instructions of a kernel that a CKI guest may not execute, by function, and compares with what is known.
#
#   objdump -d --no-show-raw-insn vmlinux | awk -v known=FILE -f privileged-sites.awk
#
# At CPL 0 with PKRS != 0 everything raises #GP that the manual does not name (docs/reference/isa.md, section 4). So it is
# here: what is not among the ordinary mnemonics below counts as privileged, known to us or not, and so do bytes
# that are no instruction to objdump. Whoever adds a mnemonic looks it up in the manual's list first.
#
# Each line of FILE is
#   FUNCTION<blank>reason
# where FUNCTION may end in "*" and the reason says why a CKI guest does not get there. What an alternative would
# put in place belongs to no function: its name is "alternative:" and the mnemonic, its reason why the alternative
# is not chosen in a guest. A function that has such an instruction and no line is an error: it would be a #GP in
# a container. A line without such a function is only noted, because compilers differ in what they inline.
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
	condition = "(o|no|b|ae|e|ne|be|a|s|ns|p|np|l|ge|le|g)"
	size = "[bwlq]?"
	# Integers and their moves. MOV is looked at again for its operands.
	ordinary["integer"] = "^(mov|movabs|movs|movz|movnti|cmov" condition "|push|pop|xchg|xadd|cmpxchg|bswap|lea|" \
		"add|adc|sub|sbb|and|or|xor|not|neg|inc|dec|cmp|test|mul|imul|div|idiv|shl|shr|sar|rol|ror|rcl|rcr|" \
		"shld|shrd|bt|bts|btr|btc|bsf|bsr|stos|lods|scas|cmps|nop)" size "$"
	ordinary["extension"] = "^(mov[sz](bw|bl|bq|wl|wq|lq)|cltq|cqto|cltd|cwtl|cwtd|set" condition "|cmpxchg(8|16)b|" \
		"movbe|popcnt|tzcnt|lzcnt|andn|bextr|bzhi|pdep|pext|mulx|rorx|shlx|shrx|sarx|crc32[bwlq]?|rdrand|rdseed)$"
	# Where it goes on. The far ones fault at a gate; a guest's GDT has none.
	ordinary["control"] = "^(j" condition "|jrcxz|jmp|call|ret|leave|lret|lretq|ljmp|lcall|int3|ud[012]|" \
		"syscall|sysret[lq]|loop)[q]?$"
	ordinary["flags"] = "^(clc|stc|cmc|cld|std|clac|stac|pushf|popf|sahf|lahf)[q]?$"
	ordinary["floating point"] = "^(fn?(init|clex|stsw|stcw|save)|fwait|f(ld|ild|mul|div|sub|subp|istp|st|stp)[lps]*|" \
		"emms|ldmxcsr|stmxcsr|fx(save|rstor)(64)?|xsave(64|opt|opt64|c|c64)?|xrstor(64)?|xgetbv)$"
	# What nf_tables looks up ranges with, between kernel_fpu_begin() and kernel_fpu_end(). VEX, never EVEX.
	ordinary["vectors"] = "^v(movdqa|movntdqa|pand|ptest|pxor)$"
	ordinary["caches and order"] = "^(pause|[lms]fence|prefetch(t[012]|nta|w)|clflush|clflushopt|clwb|serialize)$"
	ordinary["registers"] = "^(cpuid|rdtsc|rdtscp|rdpid|rdpkru|wrpkru|(rd|wr)[fg]sbase|swapgs|invlpg|endbr64|" \
		"str|sldt|sgdt|sidt|smsw|lar|lsl|verr|verw)$"
	prefix = "^(rep|repz|repnz|lock|[c-g]s|ss|data16|addr32|bnd|notrack|rex.*)$"
}

/^Disassembly of section / {
	replacement = $4 == ".altinstr_replacement:"
	next
}

/^[0-9a-f]+ <.*>:$/ {
	name = $2
	sub(/^</, "", name)
	sub(/>:$/, "", name)
	# Parts and clones that the compiler made count as their function.
	sub(/\.(part|isra|constprop|cold).*$/, "", name)
	next
}

function is_ordinary(mnemonic,	group) {
	for (group in ordinary)
		if (mnemonic ~ ordinary[group])
			return 1
	return 0
}

/^[ ]*[0-9a-f]+:/ {
	for (at = 2; at < NF && $at ~ prefix; at++)
		;
	mnemonic = $at
	# Prefixes alone are the end of padding; an alternative may be nothing but one.
	if (!mnemonic || mnemonic ~ prefix)
		next
	if (!(mnemonic in allowed))
		allowed[mnemonic] = is_ordinary(mnemonic)
	found = !allowed[mnemonic]
	if (mnemonic ~ /^mov/ && $0 ~ /%(cr[0348]|db[0-7]|dr[0-7])([,]|[ ]*$)/)
		found = 1
	if (!found)
		next
	if (replacement)
		name = "alternative:" mnemonic
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
