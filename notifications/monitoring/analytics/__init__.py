"""Charts for operators and the tables behind them: how much is sent, how well, how fast, and when.

They are calculated from hourly figures and samples of the queue, never from the log, so they cost the same however much
is sent. :func:`~notifications.monitoring.analytics.report.build_report` is the entry.
"""
