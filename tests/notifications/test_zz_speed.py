import cProfile, pstats
from services.notifications.jobs.announcements import Announcer
from services.notifications.jobs.deliveries import DeliverySender
from services.notifications.jobs.emails import EmailSender
from tests.builders.notifications import *
from tests.notifications.test_deliveries import subscribe
async def test_profile(town, settings, post_office, partner, territory):
    N=200
    from kernel.auth import Caller
    envs=[make_envelope(town.propose(), territory=territory) for _ in range(N)]
    async with open_work(town.database, Caller.system(territory)) as work:
        for e in envs: await handlers.call(work.for_message(e), e)
    await Announcer().run(town.database)
    p=cProfile.Profile(); p.enable()
    await EmailSender(make_settings(settings, smtp_host='127.0.0.1', smtp_port=post_office.port)).run(town.database)
    p.disable()
    pstats.Stats(p).sort_stats("cumtime").print_stats(60)
