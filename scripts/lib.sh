# Shared by the scripts beside it; sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' plain=$'\e[0m'
else
    bold='' plain=''
fi

# A heading, on stderr so that stdout stays the program's.
say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain" >&2; }

# The last words: what is wrong and what to do, then exit 1.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Finds cargo where rustup puts it, even in a shell that has not read its profile.
need_cargo() {
    if ! command -v cargo >/dev/null && [ -r "$HOME/.cargo/env" ]; then
        # shellcheck disable=SC1091
        . "$HOME/.cargo/env"
    fi
    command -v cargo >/dev/null || die "cargo is not on the PATH. Install Rust 1.92 or later (https://rustup.rs); Debian 12's own rustc 1.63 is too old."
}
