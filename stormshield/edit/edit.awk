# Makes a new text of object or objectgroup, with the same bytes as Patch.Apply
# of package objects. It reads
#
#   stage=0  the patch, after a line #data, as Patch.Encode writes it
#   stage=1  for object.2: the names of the patch that other groups list
#   stage=2  the old text
#
# It writes the new text to standard output, because some awks flush every line of
# other files. Variables:
#
#   make     object.1, which is object with the added objects; objectgroup.1; or
#            object.2, which is object without the removed objects
#   group deleteGroup   the names of the two groups
#   mark     the comment in a section that the text lacked
#   whole    1: the last line of the text has a line end
#
# The file report gets three numbers: by how many bytes the new text is longer, which
# shows a loss of bytes, and how many entries the group had and has. The file used
# gets the names for stage=1.

function trim(s) {
	sub(/^[ \t\r]+/, "", s)
	sub(/[ \t\r]+$/, "", s)
	return s
}

# openSection reports whether a line opens a section, and sets the section.
function openSection(line,  end) {
	line = trim(line)
	end = index(line, "]")
	if (end) section = trim(substr(line, 2, end - 2))
	return end
}

# entry returns a line without comment and white space.
function entry(line,  i) {
	line = trim(line)
	if (line ~ /^#/ || line ~ /^\[/) return ""
	i = index(line, " #")
	return i ? trim(substr(line, 1, i - 1)) : line
}

# carriageReturn returns the carriage return at the end of a line, or nothing.
function carriageReturn(line) { return line ~ /\r$/ ? "\r" : "" }

# put writes a line. If the last line must have no line end, put keeps each line until
# the next one comes.
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

# drop counts a line that the new text does not have.
function drop(line) { longer -= length(line) + 1 }

# insert adds the lines of a list.
function insert(list, cr,  line) {
	if (!n[list]) return
	while ((getline line < list) > 0) add(line cr)
}

# addBelow adds the new lines below the first header of a section.
function addBelow(cr) {
	if (section in placed) return
	placed[section] = 1
	if (section in list) insert(list[section], cr)
}

# addMissing makes a section if the text lacks it.
function addMissing(name, comment) {
	if (name in placed || comment != "" && !n[list[name]]) return
	add("[" name "]" usual)
	if (comment != "") add(comment usual)
	insert(list[name], usual)
}

# addTo adds a line to a list, which is a file.
function addTo(name, line) {
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
	# A line that does not match this is an entry that stays.
	special = "^[ \t\r]*\\[|^[ \t\r]*#|^[ \t\r]*$"
	few = 50
}

stage == 2 && !reading {
	reading = 1
	usual = carriageReturn($0)
	quick = whole && touched < few
	for (name in n) close(name)
}

# Most lines are entries that stay. A flush spends most of its time here.
quick && $0 !~ special {
	had += counts
	print
	next
}

stage == 2 && $0 ~ /^[ \t\r]*\[/ && openSection($0) {
	put($0)
	counts = make == "objectgroup.1" && section == group
	addBelow(carriageReturn($0))
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

# A prefix, as Patch.Encode writes it.
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
		if (state != "A") addTo(i ? "networks" : "hosts", name "=" value (i ? "" : ",resolve=static"))
	} else if (make == "objectgroup.1") {
		if (state == "S") addTo("members", name)
		if (state == "E") addTo("ended", name)
	}
}

END {
	if (!reading) for (name in n) close(name)
	if (make == "objectgroup.1") {
		addMissing(group)
		addMissing(deleteGroup)
	} else if (make == "object.1") {
		addMissing("Host", mark)
		addMissing("Network", mark)
	}
	if (waiting) printf "%s", waits
	else if (!whole && longer < 0) longer++ # the last dropped line had no line end
	print longer + 0, had + 0, had - lost + n["members"] > "report"
}
