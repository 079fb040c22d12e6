#!/bin/bash
# What the documents say of commands is true: each `troth NOUN VERB --flag` of them exists, and so
# does each file of the repository that they name and each heading that they link to.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"
cd "$TROTH_ROOT"
troth=build/troth

documents() { ls README.md docs/*.md ./*/README.md; }

# Commands in `...` or in fenced blocks, one a line, without what follows a comment.
commands() {
    documents | xargs sed -E 's/`/\n/g' | sed -nE 's/^\$? ?(troth [a-z].*)$/\1/p' |
        sed -E 's/[[:space:]]+#.*//; s/;.*//; s/--coordinator [^ ]+ //' | sort -u
}

# The words that name the command: as many as `troth` knows.
check_command() {
    local words help flag
    read -r -a words <<<"$1"
    local name=("${words[1]}")
    [[ ${words[2]-} =~ ^[a-z]+$ ]] && "$troth" "${words[1]}" "${words[2]}" --help >/dev/null 2>&1 &&
        name+=("${words[2]}")
    help=$("$troth" "${name[@]}" --help 2>&1) || { echo "no such command: $1"; return 1; }
    for flag in $(grep -oE -- ' --[a-z][a-z-]*' <<<"$1" || true); do
        case $flag in --json | --timeout | --help | --coordinator | --version) continue ;; esac
        grep -qE -- "$flag([^a-z-]|\$)" <<<"$help" || { echo "no flag $flag: $1"; return 1; }
    done
}

commands_exist() {
    local line count=0 failed=0
    while read -r line; do
        count=$((count + 1))
        check_command "$line" || failed=1
    done < <(commands)
    ((count > 30)) || { echo "found only $count commands"; return 1; }
    ((!failed))
}

# [text](file.md) and [text](file.md#heading), from the folder of the document.
links_lead_somewhere() {
    local file target path heading failed=0
    while IFS=$'\t' read -r file target; do
        path=${target%%#*} heading=
        [[ $target != *#* ]] || heading=${target#*#}
        path=${path:+$(dirname "$file")/$path}
        path=${path:-$file}
        [[ -e $path ]] || { echo "$file: no file $target"; failed=1; continue; }
        [[ -z $heading ]] || headings "$path" | grep -qxF "$heading" ||
            { echo "$file: no heading $target"; failed=1; }
    done < <(documents | xargs grep -oHE '\]\([^)# ]*(#[^) ]*)?\)' |
        grep -vE '\]\(https?:' | sed -E 's/^([^:]+):\]\((.*)\)$/\1\t\2/')
    ((!failed))
}

# As they are linked to: lower case, punctuation gone, a dash for each space.
headings() {
    sed -nE 's/^#+ (.*)$/\1/p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

ok "each command and flag that the documents name exists" commands_exist
ok "each link of the documents leads somewhere" links_lead_somewhere
done_testing
