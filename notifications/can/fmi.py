"""Descriptions of failure mode indicators. RV-C and J1939 agree up to 18 and differ in 19-22 and 31."""

RVC = {
    0: "above the normal range",
    1: "below the normal range",
    2: "erratic or invalid",
    3: "shorted to high voltage",
    4: "shorted to low voltage",
    5: "open circuit or current too low",
    6: "grounded or current too high",
    7: "mechanical part not responding",
    8: "wrong frequency, pulse width or period",
    9: "not updated at the proper rate",
    10: "changing too fast",
    11: "failure not identifiable",
    12: "bad node",
    13: "calibration required",
    14: "special failure mode",
    15: "slightly above the normal range",
    16: "moderately above the normal range",
    17: "slightly below the normal range",
    18: "moderately below the normal range",
    19: "invalid data received from the network",
    20: "network device not responding",
    21: "networked device not responding",
    22: "reversed polarity",
}

J1939 = {
    **{number: words for number, words in RVC.items() if number < 19},
    19: "received network data in error",
    20: "data drifted high",
    21: "data drifted low",
    31: "condition exists",
}

TABLES = {"rvc": RVC, "j1939": J1939}
