#!/bin/sh
# Makes this machine a node of the DispyCluster at @ORIGIN@.
#
# In this order, stopping at the first thing that is wrong and saying what it is:
#   1. looks for Python 3.11 or newer, room on the disk and the way to the dispatcher
#   2. makes a folder with a virtual environment of dispy, pycos and psutil, pinned by hash; they
#      come from the control room, else from your package index
#   3. unpacks the node agent into it and asks, once, for the cluster's secret (mode 0600)
#   4. starts the agent as a systemd service, or in the background where there is no systemd
#   5. waits until the cluster has run a test job here
# It needs no root: everything is then in your home folder and runs as you. Started as root it
# makes an unprivileged user "dispycluster" for the agent and its jobs. Beside its folder, that
# user and one service file it changes nothing, and "sh FOLDER/remove" takes it all back. Running
# it again, with a new invitation, updates what is there.
#
# To choose otherwise, set before it: DISPYCLUSTER_NAME, DISPYCLUSTER_ADDRESS (of this machine, as
# the control room reaches it), DISPYCLUSTER_SLOTS (jobs at a time), DISPYCLUSTER_NODE_FOLDER,
# DISPYCLUSTER_PYTHON.

set -eu

url=@URL@
dispatcher=@DISPATCHER@
port=@PORT@
invited_name=@NAME@
invited_slots=@SLOTS@
agent_sha256=@AGENT_SHA256@
packages_sha256=@PACKAGES_SHA256@
disk_needed=300000000 # bytes

say() { printf '  %-8s%s\n' "$1" "$2"; }

stop() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

fetch() { curl -fsS --max-time 300 "$@"; }

# Tells the control room how a check went; what it answers is the receipt. Goes on if it cannot.
report() {
    check=$1 ok=$2 value=$(printf '%.250s' "$3")
    shift 3
    curl -sS --max-time 20 --data-urlencode "check=$check" --data-urlencode "ok=$ok" \
        --data-urlencode "value=$value" "$@" "$url/report" || true
}

good() { # check, value, words
    say ok "$3"
    report "$1" true "$2" > /dev/null
}

bad() { # check, value, what is wrong and what to do
    report "$1" false "$2" > /dev/null
    stop "$3"
}

main() {
    command -v curl > /dev/null || stop "curl is needed. On Debian and its kin: sudo apt install curl"
    printf 'Making this machine a node of %s\n' '@ORIGIN@'
    find_python
    choose_names
    check_machine
    install_packages
    install_agent
    fetch_secret
    start_agent
    wait_for_test_job
}

find_python() {
    found=""
    for candidate in "${DISPYCLUSTER_PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        command -v "$candidate" > /dev/null || continue
        version=$("$candidate" -c 'import platform; print(platform.python_version())' 2> /dev/null) ||
            continue
        found="$found $version"
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
        "$candidate" -c 'import ensurepip, venv' 2> /dev/null ||
            bad python "$version, but without venv" "This Python makes no virtual environments. \
On Debian, Ubuntu and Raspberry Pi OS: sudo apt install python3-venv"
        python=$candidate
        good python "$version" "Python $version"
        return
    done
    bad python "${found# }" "Python 3.11 or newer is needed; found:${found:- none}. Where there is \
one, name it by DISPYCLUSTER_PYTHON=/path/to/python3.11"
}

choose_names() {
    name=${DISPYCLUSTER_NAME:-${invited_name:-$(uname -n)}}
    name=$(printf '%s' "$name" | tr -c 'A-Za-z0-9._-' - | sed 's/^[._-]*//' | cut -c 1-63)
    name=${name:-node}
    slots=${DISPYCLUSTER_SLOTS:-${invited_slots:-$(nproc)}}
    address=${DISPYCLUSTER_ADDRESS:-$(fetch "$url/address")}
    case $slots in "" | *[!0-9]*) stop "DISPYCLUSTER_SLOTS must be a number, not $slots" ;; esac
    case $address in "" | *[!A-Za-z0-9.:_-]*) stop "$address is no address" ;; esac
    owner=$(id -un 2> /dev/null || id -u)
    folder=${XDG_DATA_HOME:-${HOME:-}/.local/share}/dispycluster-node/$name
    umask 077
    if [ "$(id -u)" = 0 ]; then
        owner=dispycluster
        folder=/opt/dispycluster-node/$name
        umask 022 # the code is root's, and read by the owner; secrets are made private below
    fi
    folder=${DISPYCLUSTER_NODE_FOLDER:-$folder}
    case $folder in
        *[!A-Za-z0-9/._@+-]*) stop "The folder $folder has unusual characters in its name; \
choose another one by DISPYCLUSTER_NODE_FOLDER" ;;
        /*) ;;
        *) folder=$PWD/$folder ;;
    esac
    if [ -e "$folder" ] && [ ! -e "$folder/.dispycluster-node" ] && [ -n "$(ls -A "$folder")" ]; then
        stop "$folder is not empty and not ours; choose another one by DISPYCLUSTER_NODE_FOLDER"
    fi
    mkdir -p "$folder"
    : > "$folder/.dispycluster-node" # so that the next time knows the folder again
    say folder "$folder"
}

check_machine() {
    free=$(df -Pk "$folder" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }')
    [ "$free" -ge "$disk_needed" ] ||
        bad disk "$free" "$folder has $free bytes free; at least $disk_needed are needed"
    good disk "$free" "disk: $((free / 1000000)) MB free"
    good clock "$(date +%s)" "clock: $(date -u '+%Y-%m-%d %H:%M:%S') UTC"
    listen "$address" 0 || stop "$address is not an address of this machine. Say at which one the \
control room reaches it: DISPYCLUSTER_ADDRESS=…"
    [ -x "$folder/stop" ] || listen "$address" "$((port + 1))" ||
        stop "Port $((port + 1)) at $address is taken: is there an agent already?"
    if wrong=$(connect "$dispatcher" "$port"); then
        good port_in "" "the dispatcher answers at $dispatcher, port $port"
    else
        bad port_in "$wrong" "Cannot connect to the dispatcher at $dispatcher, port $port: $wrong. \
Is it running, is DISPY_HOST an address that this machine can reach, is the port open?"
    fi
}

listen() { # could we, at this address and port?
    "$python" -c 'import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
sock = socket.socket(family, kind)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(place)' "$1" "$2" 2> /dev/null
}

connect() { # prints why it cannot
    "$python" -c 'import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
except OSError as error:
    sys.exit(print(error.strerror or error) or 1)
' "$1" "$2"
}

get_parcel() { # name, SHA-256
    fetch -o "$folder/$1" "$url/$1"
    sum=$("$python" -c 'import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$folder/$1")
    [ "$sum" = "$2" ] || stop "$1 is not what this script was made for; fetch the script again"
}

install_packages() {
    venv_python=$folder/venv/bin/python
    if ! "$venv_python" -c 'import pip' 2> /dev/null; then
        say wait "making a virtual environment"
        "$python" -m venv --clear "$folder/venv"
    fi
    get_parcel packages.tar "$packages_sha256"
    rm -rf "$folder/packages"
    mkdir "$folder/packages"
    tar -xf "$folder/packages.tar" -C "$folder/packages"
    rm "$folder/packages.tar"
    say wait "installing dispy, pycos and psutil"
    pip --no-index > "$folder/pip.log" 2>&1 || {
        say wait "not all of them come from the control room: asking the package index"
        pip > "$folder/pip.log" 2>&1 || {
            cat "$folder/pip.log" >&2
            bad packages "$(tail -n 1 "$folder/pip.log")" "pip could not install the packages. \
Without Internet here: fetch them on the control room with \"manage.py wheels\" for this machine's \
kind ($(uname -m)) and run the line again"
        }
    }
    packages=$("$venv_python" -c 'from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in ("dispy", "pycos", "psutil")))')
    good packages "$packages" "$packages"
}

pip() {
    "$venv_python" -m pip install --quiet --disable-pip-version-check --no-input --no-cache-dir \
        --require-hashes --find-links "$folder/packages" -r "$folder/packages/requirements.txt" "$@"
}

install_agent() {
    get_parcel agent.tar.gz "$agent_sha256"
    rm -rf "$folder/code.new"
    mkdir "$folder/code.new"
    tar -xzf "$folder/agent.tar.gz" -C "$folder/code.new"
    rm "$folder/agent.tar.gz"
    "$venv_python" -m compileall -q "$folder/code.new"
    rm -rf "$folder/code"
    mv "$folder/code.new" "$folder/code"
}

fetch_secret() {
    if [ "$owner" = dispycluster ] && ! id dispycluster > /dev/null 2>&1; then
        useradd --system --user-group --no-create-home --home-dir "$folder" \
            --shell /usr/sbin/nologin dispycluster
    fi
    for part in secrets state scratch; do
        mkdir -p "$folder/$part"
        chmod 700 "$folder/$part"
    done
    # From here on the invitation is used up.
    status=$(curl -sS --max-time 60 -o "$folder/secrets/new" -w '%{http_code}' -d '' "$url/secret")
    if [ "$status" = 200 ]; then
        tar -xf "$folder/secrets/new" -C "$folder/secrets"
    elif [ ! -s "$folder/secrets/secret" ]; then
        stop "No secret, no node: $(cat "$folder/secrets/new")"
    fi
    rm "$folder/secrets/new"
    chmod 600 "$folder"/secrets/*
    chown -R "$owner" "$folder/secrets" "$folder/state" "$folder/scratch"
    mode=$(stat -c %a "$folder/secrets/secret")
    good secret "$mode" "the secret is stored with mode 0$mode"
}

write_scripts() {
    tls=""
    [ ! -e "$folder/secrets/cert.pem" ] || tls="--certfile $folder/secrets/cert.pem"
    [ ! -e "$folder/secrets/key.pem" ] || tls="$tls --keyfile $folder/secrets/key.pem"
    cat > "$folder/start" << END
#!/bin/sh
# Runs the agent in the foreground.
cd "$folder"
export PYTHONPATH="$folder/code"
exec "$folder/venv/bin/python" -m node.agent --host $address --name $name --slots $slots \\
    --dispy-port $port --secret-file "$folder/secrets/secret" --scratch "$folder/scratch" $tls
END
    cat > "$folder/keep" << END
#!/bin/sh
# Keeps the agent running where there is no systemd: it is started again 5 s after it ended.
cd "$folder/state"
child=""
trap 'kill \$child 2> /dev/null; wait; rm -f pid; exit 0' TERM INT
echo \$\$ > pid
while :; do
    [ ! -e log ] || [ "\$(wc -c < log)" -lt 10000000 ] || mv log log.1
    "$folder/start" >> log 2>&1 &
    child=\$!
    wait \$child
    sleep 5 &
    child=\$!
    wait \$child
done
END
    cat > "$folder/stop" << END
#!/bin/sh
# Stops the agent.
[ -z "$systemctl" ] || exec $systemctl stop $service
pid=\$(cat "$folder/state/pid" 2> /dev/null) || exit 0
grep -q "$folder/keep" "/proc/\$pid/cmdline" 2> /dev/null || exit 0 # the number is another's now
kill "\$pid"
for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    [ -e "/proc/\$pid" ] || exit 0
    sleep 1
done
kill -9 "\$pid"
END
    cat > "$folder/remove" << END
#!/bin/sh
# Stops this node and takes back everything that was made for it.
"$folder/stop"
if [ -n "$systemctl" ]; then
    $systemctl disable $service
    rm -f "$unit"
    $systemctl daemon-reload
fi
cd "$folder" || exit
rm -rf venv code packages secrets state scratch start keep stop remove pip.log .dispycluster-node
cd / && rmdir "$folder"
[ "$owner" != dispycluster ] || { rmdir /opt/dispycluster-node && userdel dispycluster; }
END
    chmod 755 "$folder/start" "$folder/keep" "$folder/stop" "$folder/remove"
}

choose_keeper() { # systemd for the machine, systemd for this user, or ourselves
    how=background systemctl="" unit="" service=dispycluster-node-$name.service
    if [ "$owner" = dispycluster ] && [ -d /run/systemd/system ]; then
        how=systemd systemctl=systemctl unit=/etc/systemd/system/$service
    elif [ "$(id -u)" != 0 ] && systemctl --user show-environment > /dev/null 2>&1; then
        how=user systemctl="systemctl --user"
        unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$service
    fi
}

write_unit() {
    mkdir -p "${unit%/*}"
    cat > "$unit" << END
[Unit]
Description=DispyCluster node $name
StartLimitIntervalSec=0

[Service]
ExecStart=$folder/start
Restart=always
RestartSec=3
KillMode=control-group
TimeoutStopSec=20
UMask=0077
NoNewPrivileges=yes
END
    if [ "$how" = user ]; then
        printf '\n[Install]\nWantedBy=default.target\n' >> "$unit"
        return
    fi
    cat >> "$unit" << END
User=$owner
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths=$folder/scratch $folder/state
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
END
    chmod 644 "$unit"
}

start_agent() {
    [ ! -x "$folder/stop" ] || "$folder/stop" # an earlier one, in the way it was started
    choose_keeper
    write_scripts
    case $how in
        background) run_in_background ;;
        *)
            write_unit
            $systemctl daemon-reload
            $systemctl enable --quiet "$service"
            $systemctl restart "$service"
            ;;
    esac
    tries=30
    until wrong=$(connect "$address" "$((port + 1))"); do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || {
            last_words >&2
            bad started "$(last_words | tail -n 1)" "The agent does not answer at $address, port \
$((port + 1)); above is what it said last"
        }
        sleep 1
    done
    say ok "the agent runs at $address, port $((port + 1))"
    answer=$(report started true "$how" --data-urlencode "address=$address" \
        --data-urlencode "name=$name")
    case $answer in good* | bad* | waiting*) ;; *) stop "The control room says: $answer" ;; esac
}

run_in_background() {
    if [ "$owner" = dispycluster ]; then
        setsid runuser -u dispycluster -- "$folder/keep" > /dev/null 2>&1 &
    else
        setsid "$folder/keep" > /dev/null 2>&1 &
    fi
}

last_words() {
    case $how in
        background) tail -n 15 "$folder/state/log" ;;
        systemd) journalctl -u "$service" -n 15 --no-pager ;;
        user) journalctl --user -u "$service" -n 15 --no-pager ;;
    esac
}

wait_for_test_job() {
    say wait "for the cluster to run a test job here"
    tries=60
    while :; do
        receipt=$(report waiting true "")
        case $receipt in good*) break ;; esac
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || break
        sleep 1
    done
    printf '\nThe receipt:\n%s\n\n' "$(printf '%s\n' "$receipt" | sed 1d)"
    say stop "$folder/stop"
    case $how in
        background)
            say start "setsid $folder/keep &"
            say boot "it does not start by itself: add \"@reboot $folder/keep\" by crontab -e"
            ;;
        user)
            say start "$systemctl start $service"
            loginctl enable-linger 2> /dev/null ||
                say boot "for it to run while nobody is signed in: sudo loginctl enable-linger $owner"
            ;;
        systemd) say start "systemctl start $service" ;;
    esac
    say remove "$folder/remove"
    case $receipt in
        good*) printf '\n%s is a node of the cluster.\n' "$name" ;;
        *) stop "The agent runs, but the cluster has not used it yet: the receipt says why." ;;
    esac
}

main "$@" < /dev/null
