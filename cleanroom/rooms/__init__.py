"""Rooms: the contract that parties signed, how it is drafted, checked and kept. No run starts without one."""
