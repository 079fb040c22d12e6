# How examples/run tells its story: chapters, commands as a person would type them with what they
# really print, and checks, any of which ends the story when it fails. Sourced after common.sh.
# shellcheck shell=bash

if [[ -t 1 ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi
chapters=0
checks=0

chapter() {
    chapters=$((chapters + 1))
    printf '\n%s%d. %s%s\n\n' "$bold" "$chapters" "$1" "$plain"
}

tell() { printf '%s\n' "$@"; }

# The arguments as one would type them.
typed() {
    local word words=()
    for word in "$@"; do
        case $word in
        *\'*) words+=("\"$word\"") ;;
        *[!A-Za-z0-9_./:=,@%+-]* | '') words+=("'$word'") ;;
        *) words+=("$word") ;;
        esac
    done
    printf '%s' "${words[*]}"
}

show_command() { printf '\n    %s$ %s%s\n' "$bold" "$*" "$plain"; }
show_output() { sed '/./s/^/    /'; }

# run COMMAND...: shows it, what it prints and a status that is not 0; keeps $output and $status.
run() { run_as "$(typed "$@")" "$@"; }

# run_as TEXT COMMAND...: the same, shown as TEXT.
run_as() {
    show_command "$1"
    shift
    status=0
    output=$("$@" 2>&1 </dev/null) || status=$?
    [[ -z $output ]] || show_output <<<"$output"
    ((status == 0)) || printf '    %s(exit code %d)%s\n' "$dim" "$status" "$plain"
}

# check WHAT COMMAND...: something that must be so.
check() {
    local what=$1 said
    shift
    if said=$("$@" 2>&1); then
        checks=$((checks + 1))
        printf '  %s✓ %s%s\n' "$green" "$what" "$plain"
        return
    fi
    printf '  %s✗ %s%s\n' "$red" "$what" "$plain"
    printf '    failed: %s\n' "$(typed "$@")"
    [[ -z $said ]] || show_output <<<"$said"
    exit 1
}

# For check: commands that say what they found. Nothing found, as by a query that failed, is never
# what was expected.
is() { [[ $1 && $1 == "$2" ]] || { printf 'found %s, expected %s\n' "${1:-nothing}" "${2:-nothing}"; return 1; }; }
contains() { [[ $1 == *"$2"* ]] || { printf '"%s" is not in:\n%s\n' "$2" "$1"; return 1; }; }
soon() { wait_until 20 "$@" || { printf 'not within 20 s\n'; return 1; }; }
