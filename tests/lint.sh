#!/bin/sh
# lint.sh [DIR]: looks for what the house does without (CONTRIBUTING.md). Prints file:line: reason for each finding;
# exit 1 when there is one.
#
# Each rule: name :: where it applies (product: not in tests) :: where it is allowed all the same :: code or text ::
# what is looked for. "code" is looked at without comments and string literals, "text" is what stands in literals.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/..}"
root=$(pwd)
findings=$(mktemp)
trap 'rm -f "$findings"' EXIT

rules='
banned function :: . :: - :: code :: (^|[^A-Za-z0-9_.>])(v?sprintf|strcpy|strcat|strtok|ato[ifl]|atoll|gets|signal|system|sleep|usleep|nanosleep|alloca|strdupa|strndupa|s?rand)[ ]*[(]
thread :: . :: - :: code :: pthread|threads[.]h|thrd_create
fork outside spawn.c and init :: product :: (^|/)spawn[.]c$|^runner/init/ :: code :: (^|[^A-Za-z0-9_.>])(v?fork|clone3?|posix_spawnp?|popen)[ ]*[(]
environment read outside base/config :: product :: ^base/config[a-z_]*[.]c$ :: code :: (^|[^A-Za-z0-9_])(secure_)?getenv[ ]*[(]
clock asked outside base/clock :: product :: ^base/clock[.]c$|^runner/init/ :: code :: (^|[^A-Za-z0-9_.>])(clock_gettime|gettimeofday|time)[ ]*[(]
SQL outside orchestrator/db :: product :: ^orchestrator/db/ :: text :: (^ *(select|insert into|delete from) )|(select .* from )|(insert into )|(delete from )|(update [a-z_.]+ set )|((create|alter|drop) (table|index|schema|function) )
Engine URL outside runner/docker :: product :: ^runner/docker/ :: text :: /(containers|images)/
'

find base proto runner orchestrator client tests -name '*.[ch]' 2>/dev/null | LC_ALL=C sort |
    RULES=$rules xargs -r awk '
    BEGIN {
        n = split(ENVIRON["RULES"], lines, "\n")
        for (i = 1; i <= n; i++) {
            if (split(lines[i], field, " :: ") != 5) continue
            name[++count] = field[1]
            scope[count] = field[2] == "product" ? "^(base|proto|runner|orchestrator|client)/" : field[2]
            allowed[count] = field[3] == "-" ? "^$" : field[3]
            kind[count] = field[4]
            pattern[count] = field[5]
        }
    }
    # Cuts the line into code and string literals; comments go, also those of several lines.
    function part(line,    c, i, len, quote) {
        code = text = ""
        len = length(line)
        for (i = 1; i <= len; i++) {
            c = substr(line, i, 1)
            if (comment) {
                if (substr(line, i, 2) == "*/") { comment = 0; i++ }
            } else if (quote != "") {
                if (c == "\\") { if (quote == "\"") text = text " "; i++ }
                else if (c == quote) { if (quote == "\"") text = text "\n"; quote = "" }
                else if (quote == "\"") text = text c
            } else if (substr(line, i, 2) == "/*") { comment = 1; i++ }
            else if (substr(line, i, 2) == "//") return
            else if (c == "\"" || c == "\047") { quote = c; code = code c }
            else code = code c
        }
    }
    FNR == 1 { comment = 0 }
    {
        part($0)
        text = tolower(text)
        gsub(/signal\(SIG[A-Z0-9]+, SIG_(IGN|DFL)\)/, "", code) # a signal that is ignored needs no handler
        for (r = 1; r <= count; r++) {
            if (FILENAME !~ scope[r] || FILENAME ~ allowed[r]) continue
            found = 0
            if (kind[r] == "code") found = code ~ pattern[r]
            else {
                m = split(text, literals, "\n")
                for (k = 1; k <= m && !found; k++) found = literals[k] ~ pattern[r]
            }
            if (found) print FILENAME ":" FNR ": " name[r]
        }
    }' >>"$findings"

find . -path ./build -prune -o -path ./.git -prune -o -path ./.berth -prune -o -type f -print |
    sed 's,^\./,,' | LC_ALL=C sort >"$findings.files"
trap 'rm -f "$findings" "$findings.files"' EXIT

# Homes (but that of "user", who lives in images), and the place where this copy lies, unless that is a single word
# that could mean anything.
home='/(home|Users)/[A-Za-z]'
case $root in /*/*) home="$home|$(printf '%s' "$root" | sed 's/[].[*+?(){}|^$\\]/\\&/g')(/|[^A-Za-z0-9_.-]|\$)" ;; esac
tr '\n' '\0' <"$findings.files" | xargs -0 -r grep -nIHE "$home" | grep -vE '/home/user($|[^A-Za-z0-9_])' |
    sed 's/^\([^:]*:[0-9]*\):.*/\1: path of one machine/' >>"$findings" || true

grep -E '\.([ch]|py|sh|sql|cmake)$|CMakeLists.txt$' "$findings.files" | while read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -le 500 ] || echo "$file:501: $lines lines, at most 500"
done >>"$findings"

cat "$findings"
[ ! -s "$findings" ]
