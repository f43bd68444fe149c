"""The parts of benches/stay/run: what is done to a gateway under those who stay, and what has to come of it."""

import time

from programs import Failed, Gateway, Staying, say, until

# Between two things that are done to the gateway.
PAUSE = 1.0
PACE = 100
CLOSE = 5
DRAIN = 30
LOG = '[log]\nlevel = "info"\n'


class Table:
    """What was asked of the gateway, what came of it, and whether that is right."""

    def __init__(self):
        self.rows, self.part = [], ""

    def begin(self, part):
        self.part = part
        print(f"{part} …", flush=True)

    def put(self, what, found, wanted=None, is_right=None):
        if is_right is None:
            is_right = wanted is None or found == wanted
        verdict = "" if wanted is None else "ok" if is_right else "FAIL"
        self.rows.append((self.part, what, shown(found), "" if wanted is None else shown(wanted), verdict))
        say(": ".join(filter(None, [what, shown(found), verdict])))

    def is_good(self):
        return all(row[-1] != "FAIL" for row in self.rows)

    def show(self):
        rows = [("part", "what", "found", "to be", "verdict"), *self.rows]
        widths = [max(len(row[at]) for row in rows) for at in range(5)]
        print()
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        print("\nnobody has lost anything" if self.is_good() else "\nFAILED")


def shown(value):
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def config(yard, routes, more=""):
    return (
        f'listen = ["127.0.0.1:0"]\ndrain_timeout = "{DRAIN}s"\ndrain_pace = "{PACE}/s"\n'
        '[tls]\ncertificates = [{ chain = "certs/localhost.pem", key = "certs/localhost.key" }]\n'
        f'[admin]\nlisten = "unix:{yard.folder}/admin.sock"\ntoken_file = "token"\n{LOG}'
        '[limits]\nconnections_per_address = 100000\npending_per_address = 100000\nhandshakes_per_address = "0/s"\n'
        f'close_timeout = "{CLOSE}s"\n{more}{routes}'
    )


def spread(count):
    """How long so many are sent home, in seconds."""
    return min(DRAIN - CLOSE, count / PACE)


def all_are_there(gateway, staying):
    def there():
        if staying.is_over():
            raise Failed(f"the harness has ended: {staying.program.told()[-2000:]}")
        return gateway.metric("wsgate_websockets_open") >= staying.count

    until(f"{staying.count} connections", there, 300)
    time.sleep(3 * PAUSE)


def reloads(gateway, asked, table, text):
    """Routes come and go, limits and certificates change, and one file is bad. `text` makes the file from two pieces: of
    limits, and of routes."""
    limits, routes, bad = "", "", asked.reloads // 2
    right = dict.fromkeys(["routes added", "routes removed", "limits changed", "certificates changed", "bad file refused"], 0)
    for number in range(asked.reloads):
        kind = "bad" if number == bad else ("add", "limits", "remove", "certificate")[number % 4]
        if kind == "bad":
            gateway.write(text(limits, f'{routes}[[route]]\npath = "/x"\nproxy = {{ pool = "nobody" }}\nlimitz = 1\n'))
            told = gateway.reload()
            is_told = "not reloaded, nothing has changed" in told and "limitz" in told and "nobody" in told
            right["bad file refused"] += is_told and gateway.status("/x") == 404
            gateway.write(text(limits, routes))
        elif kind == "add":
            routes += f'[[route]]\npath = "/extra-{number}"\necho = {{}}\n'
            gateway.write(text(limits, routes))
            gateway.reload()
            right["routes added"] += gateway.status(f"/extra-{number}") == 426
        elif kind == "remove":
            routes = ""
            gateway.write(text(limits, routes))
            gateway.reload()
            right["routes removed"] += gateway.status(f"/extra-{number - 2}") == 404
        elif kind == "limits":
            limits = f"idle_timeout = \"{60 + number}m\"\nmessage_size = {100_000 + number}\nconnections = {50_000 + number}\n"
            gateway.write(text(limits, routes))
            told = gateway.reload()
            right["limits changed"] += "not reloaded" not in told and "limits" in told
        else:
            before = gateway.shown()
            gateway.certify()
            gateway.write(text(limits, routes))
            gateway.reload()
            right["certificates changed"] += before != gateway.shown() == gateway.leaf()
        time.sleep(PAUSE)
    kinds = [("add", "limits", "remove", "certificate")[number % 4] for number in range(asked.reloads) if number != bad]
    wanted = [kinds.count(kind) for kind in ("add", "remove", "limits", "certificate")] + [1 if asked.reloads else 0]
    for (what, count), due in zip(right.items(), wanted):
        table.put(what, int(count), due)
    table.put("connections ended by reloads", int(gateway.metric("wsgate_websockets_ended_total")), 0)


def drain(gateway, table, backend):
    """The sessions of one backend move to the other."""
    query = f"backend={backend}&limit=1"
    there = gateway.ask("GET", f"/connections?{query}")[1]["count"]
    before = gateway.metric("wsgate_websockets_ended_total")
    status, told = gateway.ask("POST", "/drain", {"pool": "echo", "backend": backend})
    if status != 202:
        raise Failed(f"POST /drain: {status} {told}")
    since = time.monotonic()

    def over():
        one = gateway.ask("GET", "/drain")[1]["drains"][0]
        return one["left"] == 0 and one["open"] == 0

    until("the drain", over)
    took = time.monotonic() - since
    table.put("connections of the drained backend", there)
    table.put("connections ended by its drain", int(gateway.metric("wsgate_websockets_ended_total") - before), there)
    table.put("seconds until it was empty", took)
    gateway.ask("DELETE", f"/drain?pool=echo&backend={backend}")
    time.sleep(3 * PAUSE)
    return there


def upgrade(gateway, asked, table):
    """How many it has sent home."""
    if "upgrade" in asked.without:
        table.put("upgrade", "left out, as asked")
        return 0
    there = int(gateway.metric("wsgate_websockets_open"))
    since = time.monotonic()
    try:
        code = gateway.upgrade()
    except Failed as error:
        table.put("upgrade", str(error), "another process takes over", False)
        return 0
    table.put("the old process ended with", code, 0)
    table.put("seconds until it had gone", time.monotonic() - since)
    time.sleep(3 * PAUSE)
    return there


def judge(staying, table, closed):
    if staying.is_over():
        table.put("the run", "was over before all was done", "longer", False)
    run = staying.found()
    stayed = run["stayed"]
    table.put("messages said", stayed["sent"])
    if run["totals"].get("acks_due") is not None:
        table.put("deliveries due", run["totals"]["due"])
    for name in ("lost", "doubled", "disordered"):
        table.put(name, stayed[name], 0)
    if stayed["doubled"] and run["totals"].get("acks_due") is not None:
        table.put("of the doubled, under a new id", stayed["anew"])
    table.put("said again, without an answer when the Close came", stayed["in_flight"])
    table.put("connections ended by the gateway", stayed["closed"], closed)
    table.put("close codes", ", ".join(f"{code} × {count:,}" for code, count in run["closes"].items()))
    table.put("came back", stayed["back"], closed)
    table.put("connects refused or reset", stayed["refused"], 0)
    errors = {**run["errors"], **run["refusals"]}
    table.put("errors", ", ".join(f"{what} × {count}" for what, count in errors.items()) or "none", "none")
    away = run["latencies"].get("away")
    if away:
        table.put("away, p50/p99/max", " / ".join(f"{away[key] / 1e3:.1f} ms" for key in ("p50", "p99", "max")))
    table.put("most connects in a second", stayed["connects"])
    if not run["generator"]["valid"]:
        table.put("times are the generator's (counts hold)", "; ".join(run["generator"]["why"]))
    return run


def relay(yard, asked, table):
    backends = [yard.echo("one"), yard.echo("two")]
    pool = f'[[route]]\npath = "/ws"\nproxy = {{ pool = "echo" }}\n[pool.echo]\nbackends = {backends}\n'.replace("'", '"')
    gateway = Gateway(yard, config(yard, pool))
    count = asked.connections
    seconds = asked.reloads * 2.5 + spread(count // 2) + spread(count) + 4 * CLOSE + 20
    staying = Staying(yard, gateway, "/ws", count, seconds, ["--rate", count * asked.rate])
    all_are_there(gateway, staying)
    reloads(gateway, asked, table, lambda limits, routes: config(yard, pool + routes, limits))
    moved = drain(gateway, table, backends[0])
    judge(staying, table, moved + upgrade(gateway, asked, table))


def hub(keys):
    return f'[[route]]\npath = "/chat"\nhub = {{ say = {{ rate = "0/s" }}, rooms = 100000, history = 10000{keys} }}\n'


def talk(yard, asked, table, rest, keys):
    """Rooms of ten, in a hub with these keys."""
    gateway = Gateway(yard, config(yard, hub(keys) + rest))
    count = asked.connections
    seconds = asked.reloads * 2.5 + 2 * spread(count) + 4 * CLOSE + 20
    more = ["--language", "wsgate.chat.v1", "--rooms", max(1, count // 10), "--rate", count * asked.rate / 2]
    staying = Staying(yard, gateway, "/chat", count, seconds, more)
    all_are_there(gateway, staying)
    reloads(gateway, asked, table, lambda limits, routes: config(yard, hub(keys) + rest + routes, limits))
    status, told = gateway.ask("DELETE", "/connections?route=/chat&code=1012")
    if status != 202:
        raise Failed(f"DELETE /connections: {status} {told}")
    until("all to be sent home", lambda: gateway.metric("wsgate_websockets_ended_total") >= told["concerned"])
    time.sleep(3 * PAUSE)
    judge(staying, table, told["concerned"] + upgrade(gateway, asked, table))


def chat(yard, asked, table):
    talk(yard, asked, table, f'[cluster]\nredis = "{yard.redis()}"\n', "")


def file(yard, asked, table):
    talk(yard, asked, table, "", ', history_store = "file", history_file = "chat.history"')


def come_back(yard, asked, table):
    if "upgrade" in asked.without:
        return table.put("upgrade", "left out, as asked")
    gateway = Gateway(yard, config(yard, '[[route]]\npath = "/echo"\necho = {}\n'))
    count = asked.crowd
    staying = Staying(yard, gateway, "/echo", count, spread(count) + 2 * CLOSE + 20, ["--rate", count / 10])
    all_are_there(gateway, staying)
    run = judge(staying, table, upgrade(gateway, asked, table))
    rate = count / spread(count)
    wave = max(run["stayed"]["waves"], key=lambda wave: wave["connects"], default=None)
    if wave:
        table.put("connects a second, over the whole spread", wave["connects"] / max(wave["seconds"], 1e-3))
    # Who is told in a tenth of a second comes back in the next, and eleven of these touch one second.
    limit = int(rate * 1.1 + 1)
    table.put("most connects in any one second", run["stayed"]["connects"], f"at most {limit:,} (the spread: {rate:.0f}/s)",
              0 < run["stayed"]["connects"] <= limit)
