"""The CAN bridge: it converts frames on a vehicle's bus into notifications.

The bridge itself is pure: bytes become facts, the time is that of the frames, and neither python-can nor the database
is needed. It consists of bridge and of everything that bridge imports. The modules recordings and bus import
python-can, and databases imports cantools, when they are used. The modules rules and sender, and those that read rule
files, need Django.
"""
