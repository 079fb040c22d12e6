#!/bin/bash
# The pure code - core, the machines and the runners - reaches the world through core/ports.h only:
# it links nothing that opens, sends, waits, or asks the time, and can't even include the headers.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"

build=$TROTH_ROOT/build
pure=(core coordinator participant client saga)

# The names that a library needs from elsewhere and must not.
needs_nothing_of_the_world() {
    local names forbidden
    forbidden='(PQ|nn_|uv_|pthread_|epoll_|yaml_).*'
    forbidden+='|(f|fd|p)?open(64|at|dir)?|creat|(p|re)?(read|write)(v|64)?|f(data)?sync'
    forbidden+='|socket(pair)?|connect|bind|listen|accept4?|(send|recv)(to|from|msg)?|p?poll|select'
    forbidden+='|clock_gettime|time|gettimeofday|(local|gm)time(_r)?|(u|nano|clock_nano)?sleep'
    forbidden+='|(secure_)?getenv|s?rand(om)?(_r)?|getrandom|getentropy|getpid|fork|exec.*|system'
    names=$(nm --undefined-only --format=posix "$1" | awk 'NF > 1 {print $1}' | sort -u)
    [[ $names ]] || { echo "nm shows no names of $1"; return 1; }
    ! grep -x -E "$forbidden" <<<"$names"
}

# Compiles a line with the very flags that a file of this part has.
compiles() {
    local part=$1 line=$2 flags
    read -r -a flags < <(sed -n "s|.*\"command\": \"[^ ]* \\(.*\\) -o .* -c $TROTH_ROOT/$part/[a-z_]*\\.c\".*|\\1|p" \
        "$build/compile_commands.json" | grep -e cmake/pure | head -n 1 | tr -d '\\')
    ((${#flags[@]})) || { echo "no pure file of $part in compile_commands.json"; return 1; }
    (cd "$build" && cc "${flags[@]}" -fsyntax-only -x c - <<<"$line")
}

refuses_header() {
    local output
    compiles "$1" "#include \"core/ports.h\"" || return 1
    if output=$(compiles "$1" "#include <$2>" 2>&1); then
        echo "$1 may include <$2>"
        return 1
    fi
    grep -F 'pure code may not include' <<<"$output" || { echo "$output"; return 1; }
}

sees_a_breach() {
    [[ $(needs_nothing_of_the_world "$build/io/libtroth_io.a" || true) == *uv_run* ]]
}

for part in "${pure[@]}"; do
    ok "$part needs nothing of the world" \
        needs_nothing_of_the_world "$build/$part/libtroth_$part.a"
    for header in uv.h libpq-fe.h nanomsg/nn.h; do
        ok "$part can't include <$header>" refuses_header "$part" "$header"
    done
done
ok "the check of names sees a breach when there is one" sees_a_breach
done_testing
