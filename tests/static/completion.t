#!/bin/bash
# `troth completion`: its scripts parse, know what troth knows, and complete in a real bash.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"

build=${TROTH_BUILD:-$TROTH_ROOT/build}
PATH=$build:$PATH
at_exit_setup
folder=$(temporary_folder completion)
at_exit "rm -rf '$folder'"
cd "$folder"
mkdir 'a folder' journal
: >order.yaml
: >'my order.yaml'
troth completion bash >bash.sh
troth completion zsh >_troth

# replies LINE: what bash would offer behind it, sorted, a line each.
replies() {
    bash --noprofile --norc -c '
        . ./bash.sh
        COMP_LINE=$1 COMP_POINT=${#1}
        read -ra COMP_WORDS <<<"$1"
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _troth
        printf "%s\n" "${COMPREPLY[@]}"' bash "$1" | LC_ALL=C sort
}

# completes LINE WORD...: exactly to these.
completes() {
    local line=$1 got wanted
    shift
    got=$(replies "$line")
    wanted=$(printf '%s\n' "$@" | LC_ALL=C sort)
    [[ $got == "$wanted" ]] || { printf 'wanted:\n%s\ngot:\n%s\n' "$wanted" "$got"; return 1; }
}

# offers LINE WORD: it is among them.
offers() {
    replies "$1" | grep -Fxq -e "$2" || { replies "$1"; return 1; }
}

commands() { troth --help | sed -n '/^  submit/,/^$/s/^  \([a-z]*\( [a-z]*\)\{0,1\}\)  .*/\1/p'; }

every_command_is_offered() {
    local command noun
    (($(commands | wc -l) > 20)) || { commands; return 1; }
    while read -r command; do
        noun=${command% *}
        [[ $noun == "$command" ]] && noun=
        offers "troth $noun${noun:+ }" "${command##* }" || return 1
    done < <(commands)
}

# The flags that a command parses are those that its help tells, but for those of every command.
every_flag_is_in_the_help() {
    local command told parsed all status=0
    all='--coordinator|--timeout|--json|--help|--version'
    while read -r command; do
        parsed=$(replies "troth $command --" | grep -Exv -e "$all" || true)
        # shellcheck disable=SC2086 # a command has two words
        told=$(troth $command --help | sed -n '/^Examples*:$/q;p' |
            sed -n 's/^  \(-[-a-zA-Z ,]*\).*/\1/p' | grep -o -e '--[a-z-]*' |
            grep -Exv -e "$all" | LC_ALL=C sort -u || true)
        [[ $parsed == "$told" ]] || {
            printf '%s parses:\n%s\nand tells:\n%s\n' "$command" "$parsed" "$told"
            status=1
        }
    done < <(commands)
    return "$status"
}

every_help_fits_80_columns() {
    local command
    while read -r command; do
        # shellcheck disable=SC2086 # a command has two words
        ! troth $command --help | grep -E '.{81}' || { printf 'in %s\n' "$command"; return 1; }
    done < <(commands)
}

ok "the script for bash parses" bash -n bash.sh
if have zsh; then
    ok "the script for zsh parses" zsh -n _troth
fi
ok "every command is offered" every_command_is_offered
ok "every flag that is parsed is in the help, and no other" every_flag_is_in_the_help
ok "every help fits 80 columns" every_help_fits_80_columns
ok "first words" completes "troth par" participant
ok "second words" completes "troth journal " dump verify
ok "a global flag and its value come before" completes \
    "troth --coordinator tcp://127.0.0.1:7400 --json saga sh" show
ok "flags" completes "troth saga list --n" --name --needs-operator
ok "flags of every command" offers "troth doctor -" --timeout
ok "flags before a command" offers "troth --co" --coordinator
ok "values that are known" completes "troth submit --protocol " 2pc 3pc
ok "values behind =" completes "troth submit --protocol=3" 3pc
ok "values of a flag that has a line for each" completes "troth saga graph order.yaml --format " dot mermaid
ok "words that are known" completes "troth completion z" zsh
ok "files" completes "troth submit -f order" order.yaml
ok "files with spaces" completes "troth submit --file my" 'my order.yaml'
ok "folders" completes "troth saga list --journal " 'a folder' journal
ok "a folder as the word" completes "troth journal dump j" journal
ok "nothing where nothing is known" completes "troth tx show " ""
ok "a flag's value is not taken for the command" completes "troth --timeout tx journal v" verify
done_testing
