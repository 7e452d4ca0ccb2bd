#!/bin/sh
# Prints a folder with librocksdb.a and libstdc++.a; builds them first when this machine does not have them yet.
#
# RocksDB is 300 C++ files, about 20 CPU minutes. It is compiled once per machine and not once per checkout: the folder
# lies in the cache and is named after all that the archive depends on.
#
# libstdc++.a lies beside it because librocksdb-sys asks for the shared libstdc++ whenever it is given an archive. The
# folder comes first in the linker's search path, so the static one is found and the program stays static.
#
# usage: rocksdb-archive.sh CACHE-FOLDER
set -eu

cache=$1
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

version=$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p;}' "$root/Cargo.lock")
if [ -z "$version" ]; then
    echo "rocksdb-archive: Cargo.lock does not name librocksdb-sys" >&2
    exit 1
fi
flags=$(grep -E '^(rustflags|CXXSTDLIB_STATIC|target) *=' "$root/.cargo/config.toml")
compiler="$(g++ -dumpmachine) $(g++ -dumpfullversion)"
key=$(printf '%s\n' "$version" "$flags" "$compiler" | sha256sum | cut -c 1-16)

folder=$cache/rocksdb/$key
lib=$folder/lib
complete() { [ -s "$lib/librocksdb.a" ] && [ -s "$lib/libstdc++.a" ]; }

if ! complete; then
    mkdir -p "$folder"
    # Two checkouts on one machine: the second waits and finds the work done.
    exec 9>"$folder/lock"
    flock 9
    if ! complete; then
        echo "Building RocksDB for librocksdb-sys $version, once for this machine (about 20 CPU minutes)" >&2
        cd "$root"
        env -u ROCKSDB_LIB_DIR -u ROCKSDB_STATIC \
            cargo build --release --package rocksdb --target-dir "$folder/build" >&2
        built=$(find "$folder/build" -name librocksdb.a -path '*/out/*' | head -n 1)
        mkdir -p "$lib"
        cp "$(g++ -print-file-name=libstdc++.a)" "$lib/libstdc++.a"
        # The last step, in one piece: a build that was cut off is not taken for a whole one.
        cp "$built" "$lib/librocksdb.a.new"
        mv "$lib/librocksdb.a.new" "$lib/librocksdb.a"
        rm -rf "$folder/build"
    fi
fi
printf '%s\n' "$lib"
