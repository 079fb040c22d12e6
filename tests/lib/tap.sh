# TAP from a shell script: what prove reads. Sourced after common.sh.
# shellcheck shell=bash

tap_count=0
tap_failed=0

# ok NAME COMMAND...: the test passes when the command does; what the command says is shown when it
# does not.
ok() {
    local name=$1 output
    shift
    tap_count=$((tap_count + 1))
    if output=$("$@" 2>&1); then
        printf 'ok %d - %s\n' "$tap_count" "$name"
    else
        tap_failed=$((tap_failed + 1))
        printf 'not ok %d - %s\n' "$tap_count" "$name"
        printf '%s\n' "$output" | sed 's/^/# /'
    fi
}

done_testing() {
    printf '1..%d\n' "$tap_count"
    ((tap_failed == 0))
}
