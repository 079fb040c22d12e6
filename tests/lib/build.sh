# Building with CMake and Ninja. Sourced after common.sh.
# shellcheck shell=bash

build_configure() { (cd "$TROTH_ROOT" && cmake --preset "$1" ${CI:+-DCMAKE_COMPILE_WARNING_AS_ERROR=ON}); }

# build_preset PRESET FOLDER [TARGET...]: quiet unless it fails. The presets are in
# CMakePresets.json; all targets when none is named. A second script that builds in the same folder
# waits for the first. In CI warnings are errors.
build_preset() {
    local preset=$1 folder=$TROTH_ROOT/$2 log=$TROTH_ROOT/$2/build.log lock
    shift 2
    mkdir -p "$folder"
    exec {lock}>"$folder/build.lock"
    flock "$lock"
    if ! {
        { [[ -f $folder/build.ninja ]] || build_configure "$preset"; } &&
            ninja -C "$folder" "$@"
    } >"$log" 2>&1 </dev/null; then
        tail -n 40 "$log" >&2
        die "the build in $folder failed" "All of its output: $log"
    fi
    exec {lock}>&-
}
