#!/bin/bash
# The models of three-phase commit, searched by SPIN: every state, none left out and none guessed.
# README.md says what they hold. Counterexamples are printed as they happen.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"

have spin || {
    echo '1..0 # SKIP spin is not installed (apt-get install spin)'
    exit 0
}
at_exit_setup
folder=$(temporary_folder model)
at_exit 'rm -rf "$folder"'
cd "$folder"
cp "$TROTH_ROOT"/tests/model/*.pml .

# search MODEL CC_FLAGS SPIN_FLAGS...: what the search says is in the file said. 2 GiB are the limit.
search() {
    local model=$1 cc_flags
    read -r -a cc_flags <<<"$2"
    shift 2
    rm -f pan ./*.trail said
    spin -a "$@" "$model.pml" >spin.log 2>&1 || { cat spin.log; return 1; }
    cc -DSAFETY -DNOREDUCE -DMEMLIM=2048 "${cc_flags[@]}" -o pan pan.c || return 1
    ./pan -m10000 -w24 >said 2>&1 || { cat said; return 1; }
}
# SPIN says in many words when a search was not a whole one.
whole() {
    grep -q -F 'Full statespace search for:' said &&
        ! grep -q -i -E 'not completed|too small|out of memory|reached -DMEMLIM|hash-compact|bit ?state' said
}

# Depth first: nothing but the states themselves is kept, and a search of millions takes seconds.
holds() {
    search "$1" "-O2" "${@:2}" || return 1
    { whole && grep -q 'errors: 0$' said; } || { cat said; return 1; }
}

# Breadth first: the first run that is found is a shortest one. It must be the check that is named
# that fails, so that a mistake in the model is not taken for the flaw that it shows.
refuted() {
    local model=$1 check=$2
    shift 2
    search "$model" "-O0 -DBFS" "$@" || return 1
    grep -F 'pan:1: assertion violated' said | grep -q -F "$check" || { cat said; return 1; }
    spin -t "$@" "$model.pml" >run.log 2>&1
    grep -E '^ *(site [0-9]:|THE NETWORK)' run.log >run || { cat run.log; return 1; }
}

measured() {
    sed -n -E 's/^.*depth reached ([0-9]+),.*$/depth \1/p; s/^ *([0-9]+) states, stored.*/\1 states/p;
        s/^pan: elapsed time ([0-9.e+-]+) seconds/\1 s/p; s/^ *([0-9.]+).*total actual memory.*/\1 MB/p' said |
        paste -s -d ' ' | sed 's/^/# /'
}
timeline() { sed -E 's/^ */#   /' run; }

two_decisions='((decided==0)||(decided=='
decides='!((('
split='( !((((state[0]=='
ok 'textbook 3PC: when the network is cut, one part commits and the other aborts' \
    refuted textbook-3pc "$split"
measured
timeline
ok 'textbook 3PC: when sites only stop, no run splits' holds textbook-3pc -DCRASHES_ONLY
measured

ok 'the register: no run of three sites and seven ballots has two decisions' holds register
measured
while read -r witness what; do
    ok "the register: some run has $what" refuted register "$decides" "-DWITNESS_$witness"
done <<'END'
COMMIT a commit that participants bring about without their coordinator
ACCEPTOR a commit that a participant makes by accepting, before anybody knows it
ABORT an abort that participants bring about without their coordinator
OVERRULED an abort that a coordinator brings about which had proposed commit
END
for rule in NO_FENCE NO_MAJORITY NO_DURABILITY IGNORE_ACCEPTED LOWEST_ACCEPTED OTHERS_FIRST \
    SPEAK_UNFLUSHED COMMIT_BEFORE_ROW INSERT_OVER_ROW; do
    ok "the register: with $rule some run has two decisions" \
        refuted register "$two_decisions" -DROUNDS=1 "-D$rule"
    measured
done
done_testing
