"""The CAN bridge: it converts frames on a vehicle's bus into notifications.

The modules frame, dm_rv, dm1, transport, addresses, faults, fault_tracker and bridge are pure and do not need
python-can. The modules recordings
and bus import it when they are used.
"""
