# Replaces object and objectgroup by new texts, if both still have the expected
# content. It runs as /bin/sh FILE on the appliance. Package edit puts lines before
# it that set
#
#   folder     the configuration folder
#   work       a folder in it, for this run alone, which holds FILE as `script`
#   newFiles   the files to make, of object.1, objectgroup.1 and object.2
#   object objectgroup   the expected sums, as cksum prints them. Without cksum they
#              are empty, and object.text and objectgroup.text have the expected
#              content.
#   object1 objectgroup1 object2   the sums of uploaded texts
#   program    the awk program that makes the new files from the lines after #data
#              in FILE; empty if the new files were uploaded
#   group deleteGroup mark   variables of that program
#   had        the expected number of entries of the group
#
# It writes nothing in place. $work holds links to the present files (*.old) and the
# new files: object.1 with the added objects, objectgroup.1, and object.2 without the
# removed objects. They replace the present files in this order, so that every
# member of a group has an object.
#
# After a failure it prints a line `failed` with a file or a tool. Otherwise it prints
# the new sums of both files and, after `has`, the number of entries of the group.

LC_ALL=C
export LC_ALL
trap "" HUP PIPE # so that a broken connection does not stop this program half-way
cd "$folder/$work" || exit 1
echo $$ > process # while it lives, other runs leave the folder

# finish removes the folder of this run, and ends with a status.
finish() { # status
	cd "$folder" && rm -rf "$work"
	exit "$1"
}

fail() { # status, file or tool
	echo "failed $2"
	finish "$1"
}

# matches compares a file with a sum. Without a sum it compares the file with a copy.
matches() { # file, sum, copy
	if test "$2"; then
		test "$(cksum < "$1")" = "$2"
	else
		test "$(cat "$1"; echo .)" = "$(cat "$3"; echo .)"
	fi
}

# awaitPrompt waits until a file is not empty, first without a pause, because mv asks
# within milliseconds. It gives up after two minutes, because a full disk may have no
# room for the prompt.
awaitPrompt() { # file
	n=0
	until test -s "$1"; do
		n=$((n + 1))
		test $n -lt 100000 || sleep 1
		test $n -lt 100120 || return 1
	done
}

# replace puts a new text in the place of a file that still has the expected content.
#
# No tool compares and renames in one step. So mv starts first, and replace
# compares while mv waits for an answer. Between this comparison and the rename by
# mv, somebody else may edit the file. If that edit changes the file in place, its
# sum differs after the rename, and replace puts the edited file back. If that edit
# renames another file over it, the edit is lost.
replace() { # new text, file, link to the file, expected sum, copy
	if test $linked; then
		matches "$3" "$4" "$5" || fail 9 "$2"
		# mv -i reads the answer, and awaitPrompt reads the prompt while mv writes it. The
		# line after mv ends the wait if mv ends without a prompt.
		# shellcheck disable=SC2094,SC2216
		if awaitPrompt "$1.prompt" && test "../$2" -ef "$3"; then echo y; else echo n; fi 2> /dev/null | {
			mv -i "$1" "../$2" > /dev/null 2> "$1.prompt"
			echo >> "$1.prompt"
		}
		test -f "$1" && fail 9 "$2"
		matches "$3" "$4" "$5" || { mv -f "$3" "../$2"; fail 9 "$2"; }
	else
		matches "../$2" "$4" "$5" || fail 9 "$2"
		mv -f "$1" "../$2" || fail 13 "$2"
		test -f "$1" && fail 13 "$2"
	fi
}

# failDamaged ends the run because a new text is not complete. The cause may be a
# change of the files, or a tail that does not work.
failDamaged() { # file
	isUnchanged || fail 9 "$1"
	test "$(echo ab | tail -c 2 2> /dev/null)" = b || fail 21 tail
	fail 10 "$1"
}

# failBroken ends the run because a tool failed. The cause may be a change of the
# files.
failBroken() { # tool
	isUnchanged || fail 9 files
	fail 21 "$1"
}

# isUnchanged compares the links with the expected content.
isUnchanged() {
	matches object.old "$object" object.text && matches objectgroup.old "$objectgroup" objectgroup.text
}

test -z "$program" || command -v awk > /dev/null 2>&1 || fail 21 awk

# A link keeps the present file when somebody renames another one over it. replace
# uses the links only where mv asks without a terminal.
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
# Without this test, a broken cksum would look like a change of the files.
isUnchanged || {
	test -z "$object" || test "$(echo crowdsec | cksum 2> /dev/null)" = "2245184355 9" || fail 21 cksum
	fail 9 files
}

if test "$program"; then
	> used
	for file in $newFiles; do
		from=${file%.*}.old
		test $file = object.2 && test -f object.1 && from=object.1
		cp -p $from $file || fail 12 ${file%.*} # for mode and owner
		used= whole=1
		test $file = object.2 && used=used
		test "$(tail -c 1 $from)" && whole=
		if awk -v make=$file -v group="$group" -v deleteGroup="$deleteGroup" -v mark="$mark" -v whole=$whole \
			"$program" stage=0 script stage=1 $used stage=2 $from > $file; then
			read -r longer had1 has1 < report || failBroken awk
		else
			failBroken awk
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
		test "${sum#* }" -eq $((${was#* } + longer)) || failDamaged $file
	done
elif test "$object"; then
	for file in $newFiles; do
		case $file in
		object.1) matches $file "$object1" ;;
		objectgroup.1) matches $file "$objectgroup1" ;;
		object.2) matches $file "$object2" ;;
		esac || failDamaged $file
	done
fi

test "$newFiles" && sync $newFiles 2> /dev/null
old=object.old text=object.text
for file in $newFiles; do
	case $file in
	object.1)
		test "$object1" && test "$object1" = "$object" && continue
		test "$object" || cp object.1 text.1
		test $linked && ln object.1 old.1
		replace object.1 object object.old "$object" object.text
		object=$object1 old=old.1 text=text.1
		;;
	objectgroup.1)
		test "$objectgroup1" && test "$objectgroup1" = "$objectgroup" && continue
		replace objectgroup.1 objectgroup objectgroup.old "$objectgroup" objectgroup.text
		objectgroup=$objectgroup1
		;;
	object.2)
		test "$object2" && test "$object2" = "$object" && continue
		replace object.2 object $old "$object" $text
		object=$object2
		;;
	esac
done
echo "object $object"
echo "objectgroup $objectgroup"
echo "has $has"
finish 0
