# Puts edited texts in the place of object and objectgroup, provided that both
# are still the files that were meant. It runs as /bin/sh FILE on the appliance.
# The lines before it, made by this package, set
#
#   folder     the configuration folder
#   work       a folder in it, for this run alone, which holds FILE as `script`;
#              up to its last dash it tells for which group the run is
#   makes      which of object.1, objectgroup.1 and object.2 there are to be
#   object objectgroup   what cksum says of the files meant; empty without
#              cksum: then their texts stand in object.text, objectgroup.text
#   object1 objectgroup1 object2   what it must say of texts that were uploaded
#   program group deleteGroup mark had   empty for texts that were uploaded:
#              the awk program that makes them of what stands behind #data in
#              FILE, and its variables
#
# Nothing is written in place. In $work stand *.old, links to the files meant,
# and the new texts: object.1, with what is added; objectgroup.1; object.2,
# without what is taken out. They replace the files in this order, so that no
# group ever lists what has no object.
#
# It reports on standard output: a line `failed` with the file or the tool, or at
# its end the sums of the files, and behind `has` how many entries the group has.

LC_ALL=C
export LC_ALL
trap "" HUP PIPE # should the connection break, this still comes to its end
cd "$folder/$work" || exit 1

# finish ends with a status, and leaves nothing behind.
finish() {
	cd "$folder" && rm -rf "$work"
	exit "$1"
}

fail() { # status, file or tool
	echo "failed $2"
	finish "$1"
}

# is tells whether a file is as cksum says, or where there is no cksum, as a
# copy of its text.
is() {
	if test "$2"; then
		test "$(cksum < "$1")" = "$2"
	else
		test "$(cat "$1"; echo .)" = "$(cat "$3"; echo .)"
	fi
}

# prompted waits until mv has asked its question, which is then in the file.
prompted() { # file
	n=0
	until test -s "$1"; do
		n=$((n + 1))
		test $n -lt 1000000 || return 1
	done
}

# swap puts a new text in the place of a file, if that is still the file meant.
#
# No tool compares and renames in one step. So mv starts first. While it waits
# for the answer to its question, swap compares. Only a file that is renamed
# over the one meant between that comparison and the rename of mv is lost.
# If somebody wrote into the file meant until the rename, swap puts it back.
swap() { # new text, file, link to the file meant, its sum, a copy of its text
	if test $linked; then
		is "$3" "$4" "$5" || fail 9 "$2"
		# mv -i reads the answer, and prompted reads the prompt while mv writes it.
		# shellcheck disable=SC2094,SC2216
		if prompted "$1.prompt" && test "../$2" -ef "$3"; then echo y; else echo n; fi 2> /dev/null |
			mv -i "$1" "../$2" > /dev/null 2> "$1.prompt"
		test -f "$1" && fail 9 "$2"
		is "$3" "$4" "$5" || { mv -f "$3" "../$2"; fail 9 "$2"; }
	else
		is "../$2" "$4" "$5" || fail 9 "$2"
		mv -f "$1" "../$2" || fail 13 "$2"
		test -f "$1" && fail 13 "$2"
	fi
}

# damaged ends the run because a new text is not complete. A tail that does not work
# is one reason. If the files changed meanwhile, that is the reason instead.
damaged() {
	still || fail 9 "$1"
	test "$(echo ab | tail -c 2 2> /dev/null)" = b || fail 21 tail
	fail 10 "$1"
}

# broken ends the run because a tool failed. If the files changed meanwhile, that is
# the reason instead.
broken() {
	still || fail 9 files
	fail 21 "$1"
}

# still tells whether the links hold what was meant.
still() {
	is object.old "$object" object.text && is objectgroup.old "$objectgroup" objectgroup.text
}

# Without awk nothing else is worth a try.
if test "$program"; then
	command -v awk > /dev/null 2>&1 || fail 21 awk
fi

# Links keep the present files when somebody renames others over them. They help if mv
# asks before it replaces a file, also without a terminal.
linked=
echo y > yes
> one
> two
mv -i one two < yes > /dev/null 2> question
test -s question && test ! -f one && test / -ef / 2> /dev/null && linked=1
for file in object objectgroup; do
	test -f ../$file || fail 11 $file
	test -h ../$file && fail 14 $file
	ln ../$file $file.old 2> /dev/null || { linked=; cp -p ../$file $file.old || fail 12 $file; }
done
# A cksum that does not work would say that every file has changed.
still || {
	test -z "$object" || test "$(echo crowdsec | cksum 2> /dev/null)" = "2245184355 9" || fail 21 cksum
	fail 9 files
}

if test "$program"; then
	> used
	for file in $makes; do
		from=${file%.*}.old
		test $file = object.2 && test -f object.1 && from=object.1
		cp -p $from $file || fail 12 ${file%.*} # for mode and owner
		used= whole=1
		test $file = object.2 && used=used
		test "$(tail -c 1 $from)" && whole=
		if awk -v make=$file -v group="$group" -v deleteGroup="$deleteGroup" -v mark="$mark" -v whole=$whole \
			"$program" stage=0 script stage=1 $used stage=2 $from > $file; then
			read -r longer had1 has1 < report || broken awk
		else
			broken awk
		fi
		sum=$(cksum < $file) was=$object
		case $file in
		object.1) object1=$sum ;;
		objectgroup.1)
			test "$had1" = "${had:-$had1}" || fail 9 objectgroup
			objectgroup1=$sum was=$objectgroup has=$has1
			;;
		object.2)
			object2=$sum
			test $from = object.1 && was=$object1
			;;
		esac
		test "${sum#* }" -eq $((${was#* } + longer)) || damaged $file
	done
elif test "$object"; then
	for file in $makes; do
		case $file in
		object.1) is $file "$object1" ;;
		objectgroup.1) is $file "$objectgroup1" ;;
		object.2) is $file "$object2" ;;
		esac || damaged $file
	done
fi

test "$makes" && sync $makes 2> /dev/null
old=object.old text=object.text
for file in $makes; do
	case $file in
	object.1)
		test "$object1" && test "$object1" = "$object" && continue
		test "$object" || cp object.1 text.1
		test $linked && ln object.1 old.1
		swap object.1 object object.old "$object" object.text
		object=$object1 old=old.1 text=text.1
		;;
	objectgroup.1)
		test "$objectgroup1" && test "$objectgroup1" = "$objectgroup" && continue
		swap objectgroup.1 objectgroup objectgroup.old "$objectgroup" objectgroup.text
		objectgroup=$objectgroup1
		;;
	object.2)
		test "$object2" && test "$object2" = "$object" && continue
		swap object.2 object $old "$object" $text
		object=$object2
		;;
	esac
done
echo "object $object"
echo "objectgroup $objectgroup"
echo "has $has"
finish 0
