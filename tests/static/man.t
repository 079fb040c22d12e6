#!/bin/bash
# The man pages: two formatters have nothing to say against them, and they hold all that there is.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"

build=${TROTH_BUILD:-$TROTH_ROOT/build}
pages=("$build/docs/man/troth.1" "$build/docs/man/trothd.8" "$build/docs/man/troth-participant.8"
    "$TROTH_ROOT/docs/man/trothd.yaml.5" "$TROTH_ROOT/docs/man/participant.yaml.5")

is_silent() {
    local output
    output=$("$@" 2>&1)
    [[ ! $output ]] || { printf '%s\n' "$output"; return 1; }
}

# All keys that the reader of a configuration knows, a word each. Those of io/settings are both's.
keys() {
    tr -d '\n' <"$TROTH_ROOT/$1" | grep -o 'keys\[\] = {[^}]*}' | grep -o '"[a-z_]*"' | tr -d '"' |
        sort -u
}

# holds_all_keys PATTERN FILE SOURCE...: KEY in the pattern is each of the keys.
holds_all_keys() {
    local pattern=$1 file=$2 source key missing=() count=0
    shift 2
    for source in "$@"; do
        while read -r key; do
            count=$((count + 1))
            grep -Eq "${pattern//KEY/$key}" "$file" || missing+=("$key")
        done < <(keys "$source")
    done
    ((count > 5)) || { echo "only $count keys were found in $*"; return 1; }
    ((${#missing[@]} == 0)) || { echo "$file has not: ${missing[*]}"; return 1; }
}

holds_every_command() {
    local command count=0
    while read -r command; do
        count=$((count + 1))
        grep -Fq ".SS \"troth $command" "$build/docs/man/troth.1" ||
            { echo "no section of troth $command"; return 1; }
    done < <("$build/troth" completion bash | sed -n "/^_troth_commands/,/^'/p" | grep '^[a-z]')
    ((count > 20)) || { echo "only $count commands were found"; return 1; }
}

tells_what_help_tells() {
    local text
    text=$(mandoc -T utf8 "$build/docs/man/$1.8" | sed 's/.\x08//g' | tr -s ' \n' ' ')
    [[ $text == *--check-config* && $text == *SIGTERM* && $text == *"Exit codes: 0 ended as asked"* ]] ||
        { printf '%s\n' "$text"; return 1; }
}

for page in "${pages[@]}"; do
    ok "groff takes ${page##*/}" is_silent groff -man -ww -z -Tutf8 "$page"
    ok "mandoc takes ${page##*/}" is_silent mandoc -T lint -W warning "$page"
done
ok "every command has its section in troth.1" holds_every_command
ok "trothd.8 has the help" tells_what_help_tells trothd
ok "troth-participant.8 has the help" tells_what_help_tells troth-participant
ok "trothd.yaml.5 has every key" holds_all_keys '^\.BR? KEY( |$)' \
    "$TROTH_ROOT/docs/man/trothd.yaml.5" coordinator/config.c io/settings.c
ok "participant.yaml.5 has every key" holds_all_keys '^\.BR? KEY( |$)' \
    "$TROTH_ROOT/docs/man/participant.yaml.5" participant/config.c io/settings.c
ok "config/trothd.yaml has every key" holds_all_keys '(^|[ {])KEY:' \
    "$TROTH_ROOT/config/trothd.yaml" coordinator/config.c io/settings.c
ok "config/participant.yaml has every key" holds_all_keys '(^|[ {])KEY:' \
    "$TROTH_ROOT/config/participant.yaml" participant/config.c io/settings.c
done_testing
