#!/bin/sh
# Installs this clone as the gate daemon of this machine, a systemd service: sudo ./scripts/install_gate.sh
# Run it again to bring a newer version; it never overwrites a configuration.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
to=/opt/gatectl
config=/etc/gatectl/edge.toml
password=/etc/gatectl/broker.password

say() { printf 'install_gate: %s\n' "$1"; }
if [ "$(id -u)" != 0 ]; then
    echo "install_gate: it writes to $to and /etc, so run it as root: sudo $0" >&2
    exit 2
fi

say "copying the program to $to"
mkdir -p "$to"
if [ "$here" != "$to" ]; then
    for part in gatectl scripts requirements config docs firmware_bridge setup.cfg pyproject.toml README.md LICENSE; do
        [ -e "$here/$part" ] || continue
        rm -rf "${to:?}/$part"
        cp -R "$here/$part" "$to/$part"
    done
fi
"$to/scripts/setup.sh" pi
chmod -R a+rX "$to"

if ! id gatectl >/dev/null 2>&1; then
    say "adding the system user gatectl"
    useradd --system --user-group --home-dir /var/lib/gatectl --shell /usr/sbin/nologin gatectl
fi
groups=
for group in dialout gpio video; do
    if getent group "$group" >/dev/null; then groups="$groups $group"; fi
done

install -d -m 0750 -o root -g gatectl /etc/gatectl
is_new=no
if [ ! -e "$config" ]; then
    is_new=yes
    install -m 0640 -o root -g gatectl "$to/config/edge.example.toml" "$config"
    say "wrote $config from the example"
fi
if [ ! -e "$password" ]; then
    install -m 0640 -o root -g gatectl /dev/null "$password"
    say "wrote an empty $password: put this gate's broker password there"
fi

say "installing gatectl-edge.service"
install -D -m 0644 "$to/config/systemd/gatectl-edge.service" /etc/systemd/system/gatectl-edge.service
# Only groups that this system has: systemd refuses to start a service with an unknown one.
sed -i "s/^SupplementaryGroups=.*/SupplementaryGroups=${groups# }/" /etc/systemd/system/gatectl-edge.service

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable gatectl-edge.service
    if [ "$is_new" = no ]; then
        systemctl restart gatectl-edge.service
        say "the gate daemon is restarted; its log: journalctl -u gatectl-edge -f"
        exit 0
    fi
else
    say "systemd does not run here, so the service was neither enabled nor started"
fi
if [ "$is_new" = no ]; then exit 0; fi
cat <<END

Next:
  1. edit $config (gate, site, site_key, broker, lanes, devices, readers, cameras; see $to/docs/configuration.md)
  2. put the broker's password for this gate into $password
  3. $to/.venv/bin/gatectl edge check-config --config $config
  4. $to/.venv/bin/gatectl doctor --config $config
  5. systemctl start gatectl-edge && journalctl -u gatectl-edge -f
END
