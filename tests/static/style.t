#!/bin/bash
# What a machine can say about style, so that a person need not.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"
cd "$TROTH_ROOT"

# The files of the repository; what a build made is not among them.
files() { find . \( -path './build*' -o -path ./.git \) -prune -o -type f -print; }

scripts() {
    files | while read -r file; do
        [[ $file == *.sh ]] && printf '%s\n' "$file" && continue
        read -r -n 64 line <"$file" || true
        [[ ${line-} == '#!'*bash* ]] && printf '%s\n' "$file"
    done || true
}

c_is_formatted() {
    mapfile -t sources < <(files | grep -E '\.[ch]$' | grep -v '^\./cmake/')
    clang-format --dry-run -Werror "${sources[@]}"
}

scripts_are_clean() {
    local list script
    mapfile -t list < <(scripts)
    ((${#list[@]} > 5)) || { echo "found only ${#list[@]} scripts"; return 1; }
    for script in "${list[@]}"; do bash -n "$script" || return 1; done
    # Exempt: what is said of files that are sourced, and of the names that they share.
    shellcheck -x -S warning -e SC1090,SC2034,SC2154 "${list[@]}"
}

# Split, so that this file does not find itself.
nothing_is_put_off() {
    ! files | xargs grep -n -w -I -E "TO""DO|FIX""ME|XX""X|HA""CK"
}

lines_are_clean() {
    ! files | grep -E '\.([chty]|sh|sql|ya?ml|md|proto|txt)$|/run$' |
        xargs grep -n -I -E "[[:space:]]+\$|"$'\r'
}

ok "C is formatted as .clang-format says" c_is_formatted
ok "scripts parse, and shellcheck has no warning" scripts_are_clean
ok "no line puts work off" nothing_is_put_off
ok "no line ends in white space" lines_are_clean
done_testing
