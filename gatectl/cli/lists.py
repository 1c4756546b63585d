"""`gatectl lists …`: how far the whitelists have come, what a gate's lacks, why a credential is on one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gatectl.central import lists
from gatectl.central.audit import write_audit
from gatectl.central.charters import root_public, rotate_site_key
from gatectl.central.credentials import mask_key
from gatectl.central.database import writing
from gatectl.central.gates import duration_words
from gatectl.cli import output
from gatectl.cli.office import (
    ConfigOption,
    JsonOption,
    RevealOption,
    SiteOption,
    actor,
    central,
    central_settings,
    log_reveal,
)
from gatectl.edge.replica_store import ReplicaStore
from gatectl.errors import NotFoundError, PayloadError, StoreError

app = typer.Typer(help="Whitelists: status, diff, explain, rotate-key.", no_args_is_help=True)

_STANDINGS: tuple[lists.Standing, ...] = ("applied", "lagging", "drifted", "refused", "offline", "unseen")


@app.command()
def status(site: SiteOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Each site's list, and how every gate stands against it. Exit 6 unless it is in effect at all."""
    with central(config) as engine, engine.connect() as conn:
        found = lists.site_lists(conn, site)
    if json:
        output.print_json([_site_json(one) for one in found])
    else:
        heads = output.pick("小区 闸口 状态 版本 生效时长", "site gate standing version applied-ago").split()
        output.print_table(heads, [row for one in found for row in _gate_lines(one)])
        for one in found:
            output.say(*_site_words(one))
    if any(one.is_pending or one.count("applied") < len(one.gates) for one in found):
        raise typer.Exit(6)


def _site_json(one: lists.SiteList) -> dict[str, object]:
    counts = {standing: one.count(standing) for standing in _STANDINGS}
    return {
        "site": one.site,
        "version": one.ver,
        "epoch": one.epoch,
        "rows": one.rows,
        "set_hash": one.set_hash,
        "issued_age_s": one.issued_age_s,
        "is_pending": one.is_pending,
        "counts": counts,
        "gates": one.gates,
    }


def _gate_lines(one: lists.SiteList) -> list[list[str]]:
    language = output.language()
    return [
        [
            one.site,
            gate.gate,
            gate.words(language),
            f"{gate.ver}/{one.ver}",
            "-" if gate.applied_age_s is None else duration_words(gate.applied_age_s, language),
        ]
        for gate in one.gates
    ]


def _site_words(one: lists.SiteList) -> tuple[str, str]:
    pending = ("", "")
    if one.is_pending:
        pending = (",正在下发更改", ", a change is being sent")
    reached = f"{one.count('applied')}/{len(one.gates)}"
    return (
        f"{one.name_zh}:版本 {one.ver},{one.rows} 行,已下发 {reached}{pending[0]}",
        f"{one.name_en}: version {one.ver}, {one.rows} rows, in effect at {reached} gates{pending[1]}",
    )


@app.command()
def diff(
    gate: Annotated[str, typer.Argument(help="The gate's id (see `gate list`).")],
    replica: Annotated[
        Path | None, typer.Option("--replica", help="A copy of the gate's acl.db: compared row by row.")
    ] = None,
    reveal: RevealOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """What a gate's list lacks of central's newest, as it reports, or by its file. Exit 8 when they differ."""
    with central(config) as engine:
        is_revealed = log_reveal(engine, reveal, gate)
        with engine.connect() as conn:
            found = lists.gate_difference(conn, gate, is_revealed=is_revealed)
            if replica is not None:
                rows, ver = _rows_of(replica)
                found = lists.file_difference(conn, found.site, rows, ver, is_revealed=is_revealed)
    if json:
        output.print_json(found)
    else:
        for row in found.rows:
            typer.echo(f"{row.what}\t{row.row}")
        output.say(*_difference_words(found))
    if not found.is_same:
        raise typer.Exit(8)


def _rows_of(path: Path) -> tuple[list[bytes], int]:
    """The rows and the version in a replica. Raises NotFoundError, StoreError."""
    if not path.exists():
        raise NotFoundError(f"no file {path}", zh=f"没有文件 {path}")
    store = ReplicaStore(path)
    store.open_read_only()
    try:
        return list(store.rows()), store.stand().ver
    except PayloadError as error:
        raise StoreError(f"{path}: {error}") from error
    finally:
        store.close()


def _difference_words(found: lists.ListDifference) -> tuple[str, str]:
    versions = f"{found.gate_ver}/{found.ver}"
    if found.is_same:
        return f"名单一致,版本 {versions}", f"the lists are the same, version {versions}"
    if found.how == "snapshot":
        return (
            f"版本 {versions}:差别太大,闸口将取整份名单",
            f"version {versions}: too far apart, the gate will fetch the whole list",
        )
    if found.how == "drifted":
        return (
            f"版本 {versions}:版本相同但内容不一致,正在按桶修复;用 --replica 逐行比较",
            f"version {versions}: the same version with other rows, under repair; --replica compares row by row",
        )
    more = found.count - len(found.rows)
    return (
        f"版本 {versions}:{found.count} 行不同" + (f"(另有 {more} 行未列出)" if more else ""),
        f"version {versions}: {found.count} rows differ" + (f" ({more} more not shown)" if more else ""),
    )


@app.command()
def explain(
    credential: Annotated[str, typer.Argument(help="A card number in any printed form, a plate, a key or an id.")],
    site: SiteOption = None,
    reveal: RevealOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Why a credential is or is not on a site's list: state, levels, lanes, since which version, at which gates."""
    with central(config) as engine:
        is_revealed = log_reveal(engine, reveal, credential if credential.startswith("c") else "credential")
        with engine.connect() as conn:
            found = lists.explain(conn, credential, site)
    if json:
        output.print_json([_explanation_json(one, is_revealed=is_revealed) for one in found])
        return
    for one in found:
        for line in _explanation_lines(one, one.key if is_revealed else mask_key(one.key)):
            typer.echo(line)


def _explanation_json(one: lists.Explanation, *, is_revealed: bool) -> dict[str, object]:
    return {
        "credential": one.credential,
        "key": one.key if is_revealed else mask_key(one.key),
        "site": one.site,
        "is_listed": one.is_listed,
        "state": one.state,
        "because": output.pick("\n".join(one.because_zh), "\n".join(one.because_en)).splitlines(),
        "levels": one.levels,
        "valid_from_s": one.valid_from_s,
        "valid_until_s": one.valid_until_s,
        "since_version": one.since_ver,
        "version": one.ver,
        "gates": one.gates,
        "gates_without": one.gates_without,
    }


def _explanation_lines(one: lists.Explanation, key: str) -> list[str]:
    pick = output.pick
    on = pick("在名单上", "on the list") if one.is_listed else pick("不在名单上", "not on the list")
    lines = [f"{key} ({one.credential}, {one.site}): {on}" + (f", {one.state}" if one.state else "")]
    lines += [f"  {words}" for words in (one.because_zh if output.language() == "zh" else one.because_en)]
    for level in one.levels:
        name = pick(level.name_zh, level.name_en)
        lanes = " ".join(level.lanes) or pick("没有通道", "no lane")
        when = level.schedule or pick("任何时间", "at any time")
        lines.append(f"  {pick('权限组', 'level')} {name}: {lanes} ({when})")
    if one.valid_from_s is not None or one.valid_until_s is not None:
        lines.append(f"  {pick('有效期', 'valid')} {_time(one.valid_from_s)} – {_time(one.valid_until_s)}")
    if one.since_ver is None:
        since = pick("早于保留的更改", "older than the kept changes")
    else:
        since = pick(f"版本 {one.since_ver}", f"version {one.since_ver}")
    lines.append(f"  {pick('自', 'since')} {since} ({pick('最新', 'newest')} {one.ver})")
    lines.append(f"  {pick('已生效的闸口', 'gates that have it')}: {' '.join(one.gates) or '-'}")
    if one.gates_without:
        lines.append(f"  {pick('尚未生效', 'not yet')}: {' '.join(one.gates_without)}")
    return lines


def _time(at_s: int | None) -> str:
    if at_s is None:
        return "…"
    return datetime.fromtimestamp(at_s, UTC).astimezone(output.SITE_TIME).strftime("%Y-%m-%d %H:%M")


@app.command("rotate-key")
def rotate_key(
    compromised: Annotated[
        bool,
        typer.Option("--compromised", help="The old key is believed no more; else it may sign until the next time."),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Make a new site key, vouched for by the root key; it signs once central's processes are started anew."""
    settings = central_settings(config)
    with central(config) as engine, writing(engine) as conn:
        new = rotate_site_key(settings.data_dir, is_compromised=compromised)
        write_audit(conn, actor(), "list.rotate_key", "", f"{new}{', the old one compromised' if compromised else ''}")
    typer.echo(f'site_key = "{new}"')
    typer.echo(f'root_key = "{root_public(settings.data_dir)}"')
    output.say(
        "新密钥在重启中心进程后生效;已固定根密钥的闸口自动跟随,其余闸口须改配置",
        "in force when central's processes are started anew; gates that pin root_key follow, others need this site_key",
    )
