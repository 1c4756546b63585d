"""`gatectl users …`: staff accounts. A password comes from a prompt or from stdin, never from the command line."""

import sys
from typing import Annotated

import typer

from gatectl.central import staff
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, actor, central, central_settings
from gatectl.errors import RefusedError

app = typer.Typer(help="Staff accounts: list, add, reset.", no_args_is_help=True)

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
]
TOKEN_TTL_S = 3600


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise RefusedError("no terminal to ask in: use --password-stdin", zh="没有终端可输入:请用 --password-stdin")
    found: str = typer.prompt(output.pick("密码", "Password"), hide_input=True, confirmation_prompt=True, err=True)
    return found


@app.command("list")
def list_users(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the accounts."""
    with central(config) as engine, engine.connect() as conn:
        rows = staff.list_staff(conn)
    if json:
        output.print_json(rows)
        return
    heads = output.pick("登录名 姓名 角色 语言 创建时间 停用", "login name role language created disabled").split()
    output.print_table(
        heads,
        [
            [
                row.login,
                row.name,
                row.role,
                row.language,
                output.clock_words(row.created_at_ms),
                output.pick("是", "yes") if row.is_disabled else "",
            ]
            for row in rows
        ],
    )


@app.command()
def add(
    login: Annotated[str, typer.Argument()],
    role: Annotated[str, typer.Option(help="admin, manager, guard or viewer.")] = "viewer",
    name: Annotated[str, typer.Option(help="As shown in records; else the login.")] = "",
    password_stdin: PasswordStdin = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Add an account; asks for its password."""
    with central(config) as engine:
        password = _password(from_stdin=password_stdin)
        with writing(engine) as conn:
            made = staff.add_staff(conn, actor(), login, password, role=role, name=name, language=output.language())
    if json:
        output.print_json({"id": made, "login": login, "role": role})
    else:
        output.say(f"已添加账号 {login}({role})", f"added {login} ({role})")


@app.command()
def reset(
    login: Annotated[str, typer.Argument()],
    password_stdin: PasswordStdin = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print a one-time link (1 hour) with which the owner sets a new password; or set it from stdin."""
    settings = central_settings(config)
    with central(config) as engine:
        if password_stdin:
            password = _password(from_stdin=True)
            with writing(engine) as conn:
                staff.reset_password(conn, actor(), login, password)
            output.say(f"{login} 的密码已重设,所有会话已结束", f"password of {login} set; its sessions are ended")
            return
        with writing(engine) as conn:
            token = staff.make_reset_token(conn, actor(), login, TOKEN_TTL_S)
    link = f"http://{settings.host}:{settings.port}/setup?token={token}"
    if json:
        output.print_json({"login": login, "token": token, "link": link, "expires_in_s": TOKEN_TTL_S})
    else:
        typer.echo(link)
        output.say("此链接 1 小时内有效,只能用一次", "the link works once, within an hour")
