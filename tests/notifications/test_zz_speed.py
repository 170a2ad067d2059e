import time
from services.notifications.jobs.announcements import Announcer
from services.notifications.jobs.deliveries import DeliverySender
from services.notifications.jobs.emails import EmailSender
from tests.builders.notifications import *
from tests.notifications.test_deliveries import subscribe


async def test_speed(town, settings, post_office, partner, territory):
    await subscribe(town, partner.url(), event_types=("*",))
    N = 200
    t = time.perf_counter()
    from kernel.auth import Caller

    envs = [make_envelope(town.propose(), territory=territory) for _ in range(N)]
    async with open_work(town.database, Caller.system(territory)) as work:
        for e in envs:
            await handlers.call(work.for_message(e), e)
    print("handlers/event ms", (time.perf_counter() - t) / N * 1000)
    for name, run in (
        ("announce", Announcer().run),
        ("email", EmailSender(make_settings(settings, smtp_host="127.0.0.1", smtp_port=post_office.port)).run),
        ("deliver", DeliverySender(settings).run),
    ):
        t = time.perf_counter()
        c = time.process_time()
        await run(town.database)
        print(name, "ms/event", (time.perf_counter() - t) / N * 1000, "cpu", (time.process_time() - c) / N * 1000)
    print(len(post_office.received), len(partner.received))


async def test_profile(town, settings, post_office, partner, territory):
    import cProfile, pstats

    N = 200
    from kernel.auth import Caller

    envs = [make_envelope(town.propose(), territory=territory) for _ in range(N)]
    async with open_work(town.database, Caller.system(territory)) as work:
        for e in envs:
            await handlers.call(work.for_message(e), e)
    p = cProfile.Profile()
    p.enable()
    await Announcer().run(town.database)
    p.disable()
    pstats.Stats(p).sort_stats("cumtime").print_stats(45)
