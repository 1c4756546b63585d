#!/bin/sh
# Brings what one of the other scripts needs, and nothing when it is all there.
#
#   scripts/setup.sh run|pi|demo|test
#
# run:  a virtual environment in .venv with the locked wheels of requirements/run.txt
# pi:   requirements/pi.txt, which adds the Raspberry Pi's GPIO
# demo: as run, and from apt: mosquitto, libGL and GLib for OpenCV, Noto CJK for the drawn plates
# test: the wheels of requirements/dev.txt, and from apt also Chromium, PostgreSQL, the compilers and the emulator for
#       the bridge's firmware, and what the faults need (nftables, FUSE)
#
# Talks on stderr only. GATECTL_PYTHON names the Python to use; GATECTL_NO_APT=1 keeps apt out of it.
set -eu

case "${1:-}" in
    run | pi | demo | test) profile=$1 ;;
    *) echo "usage: scripts/setup.sh run|pi|demo|test" >&2; exit 2 ;;
esac

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$root/.venv
log=$root/var/setup.log
PATH=$PATH:/usr/sbin:/sbin
export PATH
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONHOME PYTHONPATH 2>/dev/null || true

case "$profile" in
    test) requirements=dev ;;
    pi) requirements=pi ;;
    *) requirements=run ;;
esac
lock_file=$root/requirements/$requirements.txt
started_s=$(date +%s)
child=
policy=

elapsed() { echo "$(($(date +%s) - started_s)) s"; }
say() { printf 'gatectl set-up: %s (%s)\n' "$1" "$(elapsed)" >&2; }

# die WHAT HINT: one sentence on what is missing, one on how to mend it.
die() {
    printf '\ngatectl set-up stopped: %s\n%s\n' "$1" "$2" >&2
    exit 1
}

clean_up() {
    if [ -n "$child" ]; then kill "$child" 2>/dev/null || true; fi
    if [ -n "$policy" ]; then $as_root rm -f "$policy"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- long steps, with progress ---------------------------------------------------------------------

# show_progress WORDS: on a terminal a line that is written over, else a line each five seconds.
show_progress() {
    if [ -t 2 ]; then
        printf '\r\033[K  %s (%s)' "$1" "$(elapsed)" >&2
    elif [ $(($(date +%s) - shown_s)) -ge 5 ]; then
        printf '  %s (%s)\n' "$1" "$(elapsed)" >&2
        shown_s=$(date +%s)
    fi
}

bar() { # bar DONE ALL: twenty characters
    awk -v d="$1" -v n="$2" 'BEGIN { k = n ? int(20 * d / n) : 0; if (k > 20) k = 20
        for (i = 0; i < 20; i++) printf "%s", (i < k ? "#" : "."); }'
}

# run_logged WORDS_FUNCTION COMMAND…: runs it with its output in the log; gives its exit status.
run_logged() {
    words=$1
    shift
    shown_s=$(date +%s)
    "$@" >>"$log" 2>&1 9>&- &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        show_progress "$($words)"
        sleep 0.5
    done
    status=0
    wait "$child" || status=$?
    child=
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    return "$status"
}

# --- apt -------------------------------------------------------------------------------------------

as_root=
can_apt() {
    [ "${GATECTL_NO_APT:-}" != 1 ] || return 1
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root=sudo
    else
        return 1
    fi
}

apt_words() { echo "apt is installing $wanted"; }
apt_update_words() { echo "apt is fetching its lists"; }

# The long steps replace their subshell (exec), so that an interrupted set-up ends them too.
apt_get() {
    exec $as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 --no-install-recommends "$@" </dev/null
}

# apt_install PACKAGE…: no service is started meanwhile, and a broker that came with it stays switched off.
apt_install() {
    wanted=$*
    had_broker=no
    if command -v mosquitto >/dev/null 2>&1; then had_broker=yes; fi
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
    fi
    say "installing with apt: $wanted"
    status=0
    # shellcheck disable=SC2086 # package names are words
    run_logged apt_words apt_get install $wanted || {
        run_logged apt_update_words apt_get update || true
        run_logged apt_words apt_get install $wanted || status=1
    }
    if [ -n "$policy" ]; then
        $as_root rm -f "$policy"
        policy=
    fi
    if [ "$had_broker" = no ] && command -v mosquitto >/dev/null 2>&1; then
        for tool in systemctl deb-systemd-helper; do
            if command -v "$tool" >/dev/null 2>&1; then
                $as_root "$tool" disable mosquitto.service >>"$log" 2>&1 || true
                say "Debian's own mosquitto service is left switched off; gatectl starts a broker of its own"
                break
            fi
        done
    fi
    return "$status"
}

have_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }
have_cjk_font() {
    find /usr/share/fonts /usr/local/share/fonts "${HOME:-/nonexistent}/.fonts" \
        "${HOME:-/nonexistent}/.local/share/fonts" -iname 'Noto*CJK*' 2>/dev/null | grep -q .
}
have_postgresql() { command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
have_chromium() { command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1; }

# missing_packages: Debian's names of what this profile lacks.
missing_packages() {
    have_library libGL.so.1 || printf 'libgl1 '
    have_library libgthread-2.0.so.0 || printf 'libglib2.0-0 '
    case "$profile" in run | pi) return 0 ;; esac
    command -v mosquitto >/dev/null 2>&1 || printf 'mosquitto '
    have_cjk_font || printf 'fonts-noto-cjk '
    [ "$profile" = test ] || return 0
    have_chromium || printf 'chromium '
    have_postgresql || printf 'postgresql '
    for tool in gcc make clang avr-gcc; do
        command -v "$tool" >/dev/null 2>&1 || printf '%s ' "$(package_of "$tool")"
    done
    [ -e /usr/lib/avr/include/avr/io.h ] || printf 'avr-libc '
    [ -e /usr/include/simavr/sim_avr.h ] || printf 'libsimavr-dev libelf-dev '
    command -v nft >/dev/null 2>&1 || printf 'nftables '
    command -v fusermount3 >/dev/null 2>&1 || printf 'fuse3 '
}

package_of() { case "$1" in avr-gcc) echo gcc-avr ;; *) echo "$1" ;; esac; }

bring_packages() {
    lacking=$(missing_packages)
    [ -n "$lacking" ] || return 0
    if can_apt; then
        # shellcheck disable=SC2086 # package names are words
        apt_install $lacking || true
        lacking=$(missing_packages)
        [ -n "$lacking" ] || return 0
        say "apt could not install: ${lacking% } (see $log)"
    else
        say "missing, and there is no apt or no right to use it: ${lacking% }"
    fi
    case "$lacking" in
        *libgl1* | *libglib*) say "without libGL and GLib no plate can be read. To mend: sudo apt-get install libgl1 libglib2.0-0" ;;
    esac
    case "$lacking" in
        *mosquitto*) say "without mosquitto the broker written in Python (amqtt) is used. To mend: sudo apt-get install mosquitto" ;;
    esac
    case "$lacking" in
        *fonts*) say "without a Chinese font no plate can be drawn. To mend: sudo apt-get install fonts-noto-cjk" ;;
    esac
    case "$lacking" in
        *avr* | *gcc* | *clang* | *make*) say "without the AVR compiler and emulator the firmware's tests are left out. To mend: sudo apt-get install gcc make clang gcc-avr avr-libc libsimavr-dev libelf-dev" ;;
    esac
    case "$lacking" in
        *postgresql*) say "without PostgreSQL its tests are left out. To mend: sudo apt-get install postgresql" ;;
    esac
    case "$lacking" in
        *chromium*) say "without Chromium the console's tests cannot run. To mend: sudo apt-get install chromium" ;;
    esac
}

# --- Python ----------------------------------------------------------------------------------------

is_right_version() {
    "$1" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 13) and sys.maxsize > 2**32))' \
        >/dev/null 2>&1
}
can_make_venv() { "$1" -c 'import ensurepip, sqlite3, ssl, venv, zlib' >/dev/null 2>&1; }

# find_python: sets `python`; false when none will do.
find_python() {
    for candidate in ${GATECTL_PYTHON:-python3.11 python3.12 python3}; do
        if command -v "$candidate" >/dev/null 2>&1 && is_right_version "$candidate" && can_make_venv "$candidate"; then
            python=$candidate
            return 0
        fi
    done
    return 1
}

# say_why_no_python: the sentence for the very reason.
say_why_no_python() {
    mend="To mend: sudo apt-get install python3 python3-venv, then run this again."
    for candidate in ${GATECTL_PYTHON:-python3.11 python3.12 python3}; do
        if command -v "$candidate" >/dev/null 2>&1 && is_right_version "$candidate"; then
            die "$candidate has no venv module (Debian keeps it in a package of its own)." "$mend"
        fi
    done
    if version=$(python3 -c 'import sys; print(sys.version.split()[0])' 2>/dev/null); then
        die "it needs Python 3.11 or 3.12 (64-bit), and python3 here is $version." \
            "To mend: install Python 3.11 or 3.12 beside it and run this again, or name it: GATECTL_PYTHON=/path/to/python3.12"
    fi
    die "it needs Python 3.11 or 3.12, and there is none here." "$mend"
}

check_machine() {
    if [ "$(getconf LONG_BIT 2>/dev/null || echo 64)" != 64 ]; then
        die "this is a 32-bit system, and its libraries (OpenCV, ONNX Runtime) exist for 64-bit systems only." \
            "To mend: install the 64-bit edition of Raspberry Pi OS or Debian."
    fi
}

check_space() {
    need_mb=$1
    free_mb=$(df -Pm "$root" | awk 'NR == 2 { print $4 }')
    if [ "${free_mb:-999999}" -lt "$need_mb" ]; then
        die "it needs $need_mb MB of free disk space for its libraries, and $root has $free_mb MB." \
            "To mend: free some space, or clone the repository onto a bigger disk."
    fi
}

venv_words() { echo "making the virtual environment"; }

make_venv() {
    if [ -d "$venv" ]; then
        if is_right_version "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then return 0; fi
        say "the virtual environment in .venv does not work (any more); making a new one"
        rm -rf "$venv"
    fi
    check_space 1500
    if ! find_python; then
        if [ -z "${GATECTL_PYTHON:-}" ] && can_apt; then apt_install python3 python3-venv || true; fi
        find_python || say_why_no_python
    fi
    say "making a virtual environment with $("$python" --version 2>&1)"
    run_logged venv_words "$python" -m venv "$venv" ||
        die "the virtual environment could not be made: $(tail -n 1 "$log")" "The whole story is in $log."
}

site_packages() { "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

wheels_all() { grep '==' "$lock_file" | grep -v win32 | sed 's/==.*//' | sort -u | wc -l; }

pip_words() {
    collected=$(grep -c '^Collecting ' "$pip_log" 2>/dev/null) || true
    if grep -q '^Installing collected' "$pip_log" 2>/dev/null; then
        unpacked=$(find "$site" -maxdepth 1 -name '*.dist-info' ! -name 'pip-*' ! -name 'setuptools-*' 2>/dev/null | wc -l)
        echo "[$(bar "$unpacked" "$all")] libraries: unpacking $unpacked of $all"
    else
        echo "[$(bar "${collected:-0}" "$all")] libraries: fetching ${collected:-0} of $all"
    fi
}

pip_install() {
    exec "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --require-hashes --no-deps \
        --only-binary :all: --progress-bar off -r "$lock_file" >"$pip_log" 2>&1
}

say_why_no_wheels() {
    cat "$pip_log" >>"$log"
    if grep -q 'No space left on device' "$pip_log"; then
        die "the disk is full." "To mend: free about 1.5 GB where the repository is (and in /tmp), then run this again."
    elif grep -q -E 'NewConnectionError|NameResolution|Name or service|Network is unreachable|ConnectTimeout|ReadTimeout|SSLError|ProxyError|Connection refused|ConnectionReset|RemoteDisconnected|IncompleteRead|from versions: none' "$pip_log"; then
        die "no connection to the package index, so the libraries could not be fetched." \
            "To mend: check the network (and pip's proxy or mirror settings: pip config list), then run this again; what was fetched is kept."
    elif grep -q 'DO NOT MATCH THE HASHES' "$pip_log"; then
        die "a library that was fetched is not the one that requirements/$requirements.txt names: its hash differs." \
            "To mend: use another package index or mirror; do not go round this check."
    elif grep -q 'No matching distribution' "$pip_log"; then
        die "the package index has no fitting wheel: $(grep -m 1 'No matching distribution' "$pip_log")" \
            "To mend: use 64-bit Debian 12 or Raspberry Pi OS (Bookworm) with Python 3.11 or 3.12 and a complete index or mirror."
    fi
    die "pip failed: $(grep -m 1 -i error "$pip_log" || tail -n 1 "$pip_log")" "The whole story is in $log."
}

fetch_wheels() {
    all=$(wheels_all)
    site=$(site_packages)
    pip_log=$root/var/pip.log
    : >"$pip_log"
    say "fetching $all locked libraries (requirements/$requirements.txt)"
    run_logged pip_words pip_install || say_why_no_wheels
    cat "$pip_log" >>"$log"
}

# put_on_path: makes `import gatectl` and .venv/bin/gatectl work from anywhere, without building a wheel.
put_on_path() {
    printf '%s\n' "$root" >"$(site_packages)/gatectl.pth"
    printf '#!/bin/sh\nexec "%s/bin/python" -P -m gatectl "$@"\n' "$venv" >"$venv/bin/gatectl"
    chmod 755 "$venv/bin/gatectl"
}

# --- when is there nothing to do? ------------------------------------------------------------------

# The stamp names the lock file's hash and the place: a moved tree or a new lock sets up again.
stamp_of() { printf '%s %s\n' "$(sha256sum <"$root/requirements/$1.txt" 2>/dev/null | cut -c1-64)" "$root"; }

stamp_holds() { [ "$(cat "$venv/gatectl-$1.stamp" 2>/dev/null)" = "$(stamp_of "$1")" ]; }

is_current() {
    [ -x "$venv/bin/python" ] || return 1
    if stamp_holds "$requirements"; then return 0; fi
    # The other two locks hold all of the run lock.
    [ "$requirements" = run ] && { stamp_holds dev || stamp_holds pi; }
}

set_up() {
    check_machine
    make_venv
    bring_packages
    fetch_wheels
    put_on_path
    stamp_of "$requirements" >"$venv/gatectl-$requirements.stamp"
    say "ready"
}

if is_current && { [ "$requirements" = "$profile" ] || [ -z "$(missing_packages)" ]; } && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi
mkdir -p "$root/var" 2>/dev/null && [ -w "$root/var" ] ||
    die "cannot write in $root/var as $(id -un)." "To mend: run it as the owner of the repository's folder: $(stat -c %U "$root")."
exec 9>"$root/var/setup.lock"
if ! flock -n 9; then
    say "another set-up is under way; waiting for it"
    flock 9
fi
: >>"$log"
if is_current && "$venv/bin/python" -c '' 2>/dev/null; then
    bring_packages
else
    set_up
fi
