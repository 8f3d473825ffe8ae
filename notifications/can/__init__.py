"""The CAN door: from frames on a vehicle's bus to notifications.

What decides (frame, dm_rv, faults, life, bridge) is pure and needs no python-can; recordings and bus are the edge that
does, and ask for it when they are used.
"""
