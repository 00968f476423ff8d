# Makes a new text of object or objectgroup, as objects.Patch does, to the same
# bytes. It reads
#
#   stage=0  the change, in lines as Patch.Encode writes them, behind a line
#            #data
#   stage=1  for object.2: names that other groups list
#   stage=2  the text
#
# and writes the new text to standard output (some awks flush every line that
# goes anywhere else). Variables:
#
#   make     objectgroup.1; object.1, which is object with all that gets an
#            object; object.2, which is object without what is absent
#   group deleteGroup   the names of the two groups
#   mark     the comment in a section that was missing
#   whole    1: the last line of the text has a line end
#
# What it has to say stands in report: by how many bytes the new text is longer,
# so that an awk or a disk that lost some is found out; how many entries the
# group had and has. In used stand the touched names that other groups list.

function trim(s) {
	sub(/^[ \t\r]+/, "", s)
	sub(/[ \t\r]+$/, "", s)
	return s
}

# opens tells whether a line opens a section, and takes its name.
function opens(line,  end) {
	line = trim(line)
	end = index(line, "]")
	if (end) section = trim(substr(line, 2, end - 2))
	return end
}

# entry is a line without comment and white space.
function entry(line,  i) {
	line = trim(line)
	if (line ~ /^#/ || line ~ /^\[/) return ""
	i = index(line, " #")
	return i ? trim(substr(line, 1, i - 1)) : line
}

# ending is the carriage return that ends a line, if one does.
function ending(line) { return line ~ /\r$/ ? "\r" : "" }

# put writes a line. Where the last must stay without line end, each waits for
# the next.
function put(line) {
	if (whole) {
		print line
		return
	}
	if (waiting) print waits
	waits = line
	waiting = 1
}

function add(line) {
	put(line)
	longer += length(line) + 1
}

function drop(line) { longer -= length(line) + 1 }

# insert adds what a list holds.
function insert(list, cr,  line) {
	if (!n[list]) return
	while ((getline line < list) > 0) add(line cr)
}

# below adds what belongs below the header of a section, once.
function below(cr) {
	if (section in placed) return
	placed[section] = 1
	if (section in list) insert(list[section], cr)
}

# missing makes a section that there was not.
function missing(name, comment) {
	if (name in placed || comment != "" && !n[list[name]]) return
	add("[" name "]" usual)
	if (comment != "") add(comment usual)
	insert(list[name], usual)
}

# keep notes a line to be added, in its list.
function keep(name, line) {
	print line > name
	n[name]++
}

BEGIN {
	if (make == "objectgroup.1") {
		list[group] = "members"
		list[deleteGroup] = "ended"
	} else if (make == "object.1") {
		list["Host"] = "hosts"
		list["Network"] = "networks"
	}
	# What a line must hold to be more than an entry that stays as it is.
	special = "^[ \t\r]*\\[|^[ \t\r]*#|^[ \t\r]*$"
	few = 50
}

stage == 2 && !reading {
	reading = 1
	usual = ending($0)
	quick = whole && touched < few
	for (name in n) close(name)
}

# Most lines, if few names are touched: this is what a flush takes time for.
quick && $0 !~ special {
	had += counts
	print
	next
}

stage == 2 && $0 ~ /^[ \t\r]*\[/ && opens($0) {
	put($0)
	counts = make == "objectgroup.1" && section == group
	below(ending($0))
	next
}

stage == 2 && make == "objectgroup.1" {
	name = $0
	if (name !~ /^crowdsec_[a-z0-9_]+$/) name = entry(name)
	had += counts && name != ""
	if (!(name in to)) put($0)
	else if (section == group || section == deleteGroup) {
		lost += counts
		drop($0)
	} else {
		print name > "used"
		put($0)
	}
	next
}

stage == 2 {
	if ($0 ~ /^crowdsec_[a-z0-9_]*=/) name = substr($0, 1, index($0, "=") - 1)
	else {
		name = entry($0)
		i = index(name, "=")
		if (i) name = trim(substr(name, 1, i - 1))
	}
	if (name in to && section == (name ~ /^crowdsec_ip_/ ? "Host" : "Network") && (to[name] == "A") == (make == "object.2")) drop($0)
	else put($0)
	next
}

stage == 1 {
	delete to[$0]
	next
}

!begun {
	begun = $0 == "#data"
	next
}

/^#/ { next }

/^=/ {
	state = substr($0, 2)
	next
}

# A prefix. For what is used here, see Patch.Encode.
{
	value = $NF
	if (i = index(value, "/")) name = "crowdsec_net_" $1 "_" substr(value, i + 1)
	else if (NF == 2) name = "crowdsec_ip_" $1
	else {
		split(value, b, ".")
		name = "crowdsec_ip_" sprintf("%.0f", ((b[1] * 256 + b[2]) * 256 + b[3]) * 256 + b[4])
	}
	to[name] = state
	if (++touched < few) special = special "|" name
	if (make == "object.1") {
		if (state != "A") keep(i ? "networks" : "hosts", name "=" value (i ? "" : ",resolve=static"))
	} else if (make == "objectgroup.1") {
		if (state == "S") keep("members", name)
		if (state == "E") keep("ended", name)
	}
}

END {
	if (!reading) for (name in n) close(name)
	if (make == "objectgroup.1") {
		missing(group)
		missing(deleteGroup)
	} else if (make == "object.1") {
		missing("Host", mark)
		missing("Network", mark)
	}
	if (waiting) printf "%s", waits
	else if (!whole && longer < 0) longer++ # the last line that went had no line end
	print longer + 0, had + 0, had - lost + n["members"] > "report"
}
