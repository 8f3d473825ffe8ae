"""The events of the benchmarks."""

from enum import Enum

from notifications.events import NotificationEvent, NotificationPriority, register

CRITICAL, LOW, MEDIUM = NotificationPriority.CRITICAL, NotificationPriority.LOW, NotificationPriority.MEDIUM


class BenchEvents(Enum):
    NOOP = "bench_noop"
    MAIL = "bench_mail"
    LAYOUT = "bench_layout"
    ALARM = "bench_alarm"
    CROWD = "bench_crowd"
    BUSY = "bench_busy"
    ORDER = "bench_order"
    MEMO = "bench_memo"


register(BenchEvents.NOOP, NotificationEvent("bench_noop", LOW, ["log"], context={"number": str}))
register(
    BenchEvents.MAIL,
    NotificationEvent("bench_mail", MEDIUM, ["email"], context={"number": str, "carrier": str, "day": str}),
)
register(
    BenchEvents.LAYOUT,
    NotificationEvent("bench_layout", MEDIUM, ["email"], context={"number": str, "carrier": str, "day": str}),
)
register(BenchEvents.ALARM, NotificationEvent("bench_alarm", CRITICAL, ["wire"], context={"number": str}))
register(BenchEvents.CROWD, NotificationEvent("bench_crowd", LOW, ["wire"], context={"number": str}))
register(
    BenchEvents.BUSY,
    NotificationEvent(
        "bench_busy",
        MEDIUM,
        ["email"],
        context={"number": str},
        category="works",
        dedup_window=3600,
        dedup_keys=("number",),
        batch_window=300,
    ),
)
register(
    BenchEvents.ORDER,
    NotificationEvent(
        "bench_order", MEDIUM, ["email"], context={"number": str, "day": str, "rows": list[dict[str, str]]}
    ),
)
register(BenchEvents.MEMO, NotificationEvent("bench_memo", LOW, ["memo"], context={"number": str}))
